"""Reductions over axes, and positions of extremes."""

from functools import cache

import numpy as np

from graphkeras.ir.dims import size
from graphkeras.ir.dtypes import FLOATS, dtype_name
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ir.quiet import quiet
from graphkeras.ir.registry import ZERO_GRADIENT, ErrorSample, Sample, register_op
from graphkeras.ir.samples import booleans, exactly, integers, uniform
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops import batching
from graphkeras.ops.inference import NUMERIC, REAL, reduced_shape, require_axes, require_axis, require_dtype, scalar_like, show
from graphkeras.trace import prim

_WIDER = {"float16": np.float32, "bfloat16": np.float32, "float32": np.float64}


def _require_elements(name, x, axes):
    if any(isinstance(x.shape[a], int) and x.shape[a] == 0 for a in axes):
        raise ShapeError(
            f"{name}: an axis of size 0 has no extreme.",
            got=show([x]),
            expected="at least one element along the reduced axes",
            mend="skip empty batches, or concatenate a neutral value first",
        )


def _infer(name, allowed, what, needs_elements=False):
    def infer(x, *, axes, keepdims):
        require_dtype(name, [x], allowed, what)
        require_axes(name, axes, x.rank)
        if needs_elements:
            _require_elements(name, x, axes)
        return TensorSpec(reduced_shape(x.shape, axes, keepdims), x.dtype)

    return infer


@cache
def _wide_dtype(dtype):
    return np.dtype(_WIDER.get(dtype_name(dtype), dtype))


def _accumulated(ufunc):
    """Sums and products are formed in the next wider type and rounded once: the meaning has no order of summation."""

    @quiet
    def eager(x, *, axes, keepdims):
        # The ufunc itself: np.sum spends more time around it than it takes for a small array.
        return np.asarray(ufunc.reduce(x, axis=axes, keepdims=keepdims, dtype=_wide_dtype(x.dtype))).astype(x.dtype)

    return eager


def _extreme(function):
    @quiet
    def eager(x, *, axes, keepdims):
        return np.asarray(function(x, axis=axes, keepdims=keepdims))

    return eager


def expanded(reduced, x, axes, keepdims):
    """A reduced tensor with the reduced axes put back at size 1, so that it broadcasts against `x`."""
    return reduced if keepdims else prim.reshape(reduced, shape=reduced_shape(x.spec.shape, axes, True))


def _sum_vjp(ct, x, y, *, axes, keepdims):
    return (prim.broadcast_to(expanded(ct, x, axes, keepdims), shape=x.spec.shape),)


def _extreme_vjp(ct, x, y, *, axes, keepdims):
    # Ties share the gradient equally, as in TensorFlow.
    chosen = prim.cast(prim.equal(x, expanded(y, x, axes, keepdims)), dtype=ct.dtype)
    count = prim.reduce_sum(chosen, axes=axes, keepdims=True)
    return (chosen * (expanded(ct, x, axes, keepdims) / count),)


def _prod_vjp(ct, x, y, *, axes, keepdims):
    return (expanded(ct, x, axes, keepdims) * prim.product_of_others(x, axes=axes),)


def _others(x, axes):
    """y / x where nothing is zero; where one element is zero, the product of the rest for that element and zero for the others;
    zero where more are zero."""
    zero, one = scalar_like(0, x), scalar_like(1, x)
    is_zero = prim.equal(x, zero)
    zeros = prim.reduce_sum(prim.cast(is_zero, dtype=x.dtype), axes=axes, keepdims=True)
    nonzero = prim.select(is_zero, one, x)
    product = prim.reduce_prod(nonzero, axes=axes, keepdims=True)
    others = prim.select(
        is_zero, prim.cast(prim.equal(zeros, one), dtype=x.dtype), prim.cast(prim.equal(zeros, zero), dtype=x.dtype)
    )
    return others * (product / nonzero)


@quiet
def _others_of_arrays(x, *, axes):
    wide = x.astype(_WIDER.get(dtype_name(x.dtype), x.dtype))
    is_zero = wide == 0
    zeros = is_zero.sum(axis=axes, keepdims=True)
    nonzero = np.where(is_zero, 1, wide)
    others = np.where(is_zero, zeros == 1, zeros == 0)
    return (others * (np.prod(nonzero, axis=axes, keepdims=True) / nonzero)).astype(x.dtype)


def _others_vjp(ct, x, y, *, axes):
    # d (product of all but i) / d x[k] is the product of all but i and k, for k other than i. Row k of a square array is x with a one
    # in place k; the product of all but i of that row is what is wanted. Quadratic, and right at any number of zeros.
    rank = len(x.spec.shape)
    kept = [a for a in range(rank) if a not in axes]
    perm = (*kept, *axes)
    rows = tuple(x.spec.shape[a] for a in kept)
    count = size(x.spec.shape[a] for a in axes)
    flat = prim.reshape(prim.transpose(x, perm=perm), shape=(*rows, 1, count))
    weights = prim.reshape(prim.transpose(ct, perm=perm), shape=(*rows, 1, count))
    same = prim.equal(
        prim.iota(shape=(count, count), axis=0, dtype="int32"), prim.iota(shape=(count, count), axis=1, dtype="int32")
    )
    others = prim.product_of_others(prim.select(same, scalar_like(1, x), flat), axes=(len(rows) + 1,))
    pulled = prim.reduce_sum(prim.select(same, scalar_like(0, x), weights * others), axes=(len(rows) + 1,), keepdims=False)
    pulled = prim.reshape(pulled, shape=tuple(x.spec.shape[a] for a in perm))
    return (prim.transpose(pulled, perm=tuple(perm.index(a) for a in range(rank))),)


def _others_infer(x, *, axes):
    require_dtype("product_of_others", [x], FLOATS, "float")
    require_axes("product_of_others", axes, x.rank)
    return x


def _samples(make, *extra):
    cases = [
        ((3, 4), (1,), False),
        ((3, 4), (0,), False),
        ((3, 4), (0, 1), True),
        ((2, 3, 19), (0, 2), False),
        ((2, 3, 4), (1,), True),
        ((5, 33), (1,), True),
        ((4,), (), False),
    ]
    return [*(Sample((make(shape),), {"axes": axes, "keepdims": keep}) for shape, axes, keep in cases), *extra]


_ERRORS = [
    ErrorSample(
        (uniform((2, 3)),), {"axes": (2,), "keepdims": False}, raises=ArgumentError, match="axis 2 is out of bounds for rank 2"
    ),
    ErrorSample((uniform((2, 3)),), {"axes": (1, 0), "keepdims": False}, raises=ArgumentError, match="not sorted"),
]
_BOOL_REFUSED = ErrorSample((booleans((2,)),), {"axes": (0,), "keepdims": False}, raises=DTypeError, match="not bool")
_LAST = {"axes": (1,), "keepdims": False}
_INTEGERS = [Sample((integers((3, 5)),), _LAST)]
_SPECIAL = [
    Sample((exactly([[1.0, float("nan")], [float("inf"), 2.0], [float("-inf"), 0.0]], "float32"),), _LAST),
    Sample((exactly([[1, 3, 3], [2, 2, 2]], "float32"),), _LAST),
]

register_op(
    "reduce_sum",
    kind="reduction",
    infer=_infer("reduce_sum", NUMERIC, "numeric"),
    eager=_accumulated(np.add),
    vjp=_sum_vjp,
    samples=_samples(uniform, *_INTEGERS, Sample((uniform((0, 3)),), {"axes": (0,), "keepdims": False})),
    errors=[*_ERRORS, _BOOL_REFUSED],
)
register_op(
    "reduce_prod",
    kind="reduction",
    infer=_infer("reduce_prod", NUMERIC, "numeric"),
    eager=_accumulated(np.multiply),
    vjp=_prod_vjp,
    samples=_samples(
        lambda shape: uniform(shape, 0.5, 1.5),
        *_INTEGERS,
        Sample((exactly([[2, 0, 3], [0, 0, 5], [1, 2, 4]], "float32"),), _LAST),
    ),
    errors=[*_ERRORS, _BOOL_REFUSED],
)
register_op(
    "product_of_others",  # along some axes, the product of all other elements: the slope of reduce_prod
    kind="composite",
    batch=batching.shifted("axes"),
    infer=_others_infer,
    eager=_others_of_arrays,
    vjp=_others_vjp,
    expand=lambda x, *, axes: _others(x, axes),
    samples=[
        *(Sample((uniform((3, 4), 0.5, 1.5),), {"axes": axes}) for axes in ((1,), (0,), (0, 1), ())),
        Sample((exactly([[2, 0, 3, 5], [0, 0, 5, 7], [0, 0, 0, 4]], "float32"),), {"axes": (1,)}),
        Sample((uniform((2, 3, 4), 0.5, 1.5),), {"axes": (0, 2)}),
    ],
    errors=[
        ErrorSample((integers((2,)),), {"axes": (0,)}, raises=DTypeError, match="float"),
        ErrorSample((uniform((2,)),), {"axes": (1,)}, raises=ArgumentError, match="out of bounds"),
    ],
)
for _name, _function in (("reduce_max", np.max), ("reduce_min", np.min)):
    register_op(
        _name,
        kind="reduction",
        infer=_infer(_name, REAL, "real", needs_elements=True),
        eager=_extreme(_function),
        vjp=_extreme_vjp,
        samples=_samples(uniform, *_INTEGERS, *_SPECIAL),
        errors=[
            *_ERRORS,
            _BOOL_REFUSED,
            ErrorSample((uniform((0, 3)),), {"axes": (0,), "keepdims": False}, raises=ShapeError, match="no extreme"),
        ],
    )
for _name, _function in (("reduce_any", np.any), ("reduce_all", np.all)):
    register_op(
        _name,
        kind="reduction",
        infer=_infer(_name, ("bool",), "boolean"),
        eager=_extreme(_function),
        vjp=ZERO_GRADIENT,
        samples=_samples(booleans),
        errors=[
            ErrorSample((uniform((2,)),), {"axes": (0,), "keepdims": False}, raises=DTypeError, match="needs boolean elements")
        ],
    )


def _position_infer(name):
    def infer(x, *, axis, keepdims):
        require_dtype(name, [x], REAL, "real")
        require_axis(name, axis, x.rank)
        _require_elements(name, x, (axis,))
        return TensorSpec(reduced_shape(x.shape, (axis,), keepdims), "int32")

    return infer


def _position_eager(function):
    return lambda x, *, axis, keepdims: np.asarray(function(x, axis=axis, keepdims=keepdims)).astype(np.int32)


for _name, _function in (("argmax", np.argmax), ("argmin", np.argmin)):
    register_op(
        _name,
        kind="reduction",
        batch=batching.shifted("axis"),
        infer=_position_infer(_name),
        eager=_position_eager(_function),
        vjp=ZERO_GRADIENT,
        samples=[
            Sample((uniform((3, 10)),), {"axis": 1, "keepdims": False}),
            Sample((uniform((3, 10)),), {"axis": 0, "keepdims": True}),
            Sample((uniform((2, 3, 4)),), {"axis": 1, "keepdims": False}),
            Sample((uniform((37,)),), {"axis": 0, "keepdims": False}),
            Sample((integers((4, 20), 0, 3),), {"axis": 1, "keepdims": False}),
            Sample((exactly([[1, float("nan"), 5], [2, 2, 1], [float("-inf")] * 3], "float32"),), {"axis": 1, "keepdims": False}),
        ],
        errors=[
            ErrorSample((uniform((2,)),), {"axis": 1, "keepdims": False}, raises=ArgumentError, match="out of bounds for rank 1"),
            ErrorSample((uniform((2, 0)),), {"axis": 1, "keepdims": False}, raises=ShapeError, match="no extreme"),
        ],
    )
