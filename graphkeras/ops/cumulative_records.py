"""Records of cumulative sums and products along an axis."""

import numpy as np

from graphkeras.ir.dtypes import FLOATS, numpy_dtype
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ir.quiet import quiet
from graphkeras.ir.registry import ErrorSample, Sample, register_op
from graphkeras.ir.samples import any_axis, any_dtype, any_shape, booleans, exactly, flip, integers, uniform
from graphkeras.ops import batching
from graphkeras.ops.inference import REAL, join_dim, require_axis, require_dtype, require_equal_dtypes, scalar_like, show
from graphkeras.ops.sources import iota
from graphkeras.trace import prim

# As for reductions: running values are kept in the next wider type and rounded once per element.
_WIDER = {"float16": np.float32, "bfloat16": np.float32, "float32": np.float64}


def _infer(op):
    def infer(x, *, axis, reverse):
        require_dtype(op, [x], REAL, "real")
        require_axis(op, axis, x.rank)
        return x

    return infer


def _eager(function):
    def eager(x, *, axis, reverse):
        with np.errstate(all="ignore"):
            turned = np.flip(x, axis) if reverse else x
            result = function(turned, axis=axis, dtype=_WIDER.get(x.dtype.name, x.dtype)).astype(x.dtype)
        return np.ascontiguousarray(np.flip(result, axis)) if reverse else result

    return eager


def _cumprod_slope(ct, x, *, axis, reverse):
    """dL/dx[i] = (sum over j >= i of ct[j] y[j]) / x[i] where nothing is zero.

    At the first zero of a line the product of the others takes its place: the running product with that zero replaced by 1, up to
    the next zero. Elements behind the first zero have no influence.
    """
    zero, one = scalar_like(0, x), scalar_like(1, x)
    is_zero = prim.equal(x, zero)
    zeros = prim.cumsum(prim.cast(is_zero, dtype="int32"), axis=axis, reverse=reverse)  # zeros so far, this element included
    none = prim.equal(zeros, np.int32(0))
    single = prim.equal(zeros, np.int32(1))
    safe = prim.select(is_zero, one, x)
    running = prim.cumprod(safe, axis=axis, reverse=reverse)
    before = prim.cumsum(prim.select(none, ct * running, zero), axis=axis, reverse=not reverse) / safe
    at_zero = prim.cumsum(prim.select(single, ct * running, zero), axis=axis, reverse=not reverse)
    first = prim.logical_and(is_zero, single)
    return prim.select(none, before, prim.select(first, at_zero, zero))


def _slope_infer(ct, x, *, axis, reverse):
    require_dtype("cumprod_gradient", [ct, x], FLOATS, "floating-point")
    require_equal_dtypes("cumprod_gradient", [ct, x])
    require_axis("cumprod_gradient", axis, x.rank)
    if ct.rank != x.rank or any(join_dim(a, b) is None for a, b in zip(ct.shape, x.shape)):
        raise ShapeError("cumprod_gradient: cotangent and input have different shapes.", got=show([ct, x]), expected="equal shapes")
    return x


@quiet
def _slope_eager(ct, x, *, axis, reverse):
    """As `_cumprod_slope`, in the next wider type."""
    wide = _WIDER.get(x.dtype.name, x.dtype)
    turn = lambda v: np.flip(v, axis) if reverse else v
    behind = lambda v: np.flip(np.cumsum(np.flip(v, axis), axis), axis)
    ct, v = (turn(a).astype(wide) for a in (ct, x))
    is_zero = v == 0
    zeros = np.cumsum(is_zero, axis)
    safe = np.where(is_zero, 1, v)
    weighted = ct * np.cumprod(safe, axis)
    before = behind(np.where(zeros == 0, weighted, 0)) / safe
    at_zero = behind(np.where(zeros == 1, weighted, 0))
    result = np.where(zeros == 0, before, np.where(is_zero & (zeros == 1), at_zero, 0))
    return np.ascontiguousarray(turn(result.astype(x.dtype)))


def _slope_vjp(ct, outer, x, y, *, axis, reverse):
    """y[i] = sum over j >= i of outer[j] Q[i, j], with Q[i, j] the product of all up to j but i: of row i of a square, which is x
    with a one in place i. So Q is a cumulative product itself, whose gradient is known. Quadratic, and right at any number of
    zeros."""
    rank, n = x.ndim, x.spec.shape[axis]
    perm = (*(a for a in range(rank) if a != axis), axis)
    rows = tuple(x.spec.shape[a] for a in perm[:-1])
    last = lambda v: prim.transpose(v, perm=perm)  # (R, n)
    as_row = lambda v: prim.reshape(last(v), shape=(*rows, 1, n))
    i, j = (iota((n, n), a, "int32", like=x) for a in (0, 1))
    same, counts = prim.equal(i, j), (prim.less_equal if reverse else prim.greater_equal)(j, i)
    square = prim.select(same, scalar_like(1, x), as_row(x))
    products = prim.cumprod(square, axis=rank, reverse=reverse)
    weights = prim.select(counts, prim.reshape(last(ct), shape=(*rows, n, 1)) * products, scalar_like(0, x))
    pulled = prim.select(counts, prim.reshape(last(ct), shape=(*rows, n, 1)) * as_row(outer), scalar_like(0, x))
    pulled = prim.cumprod_gradient(pulled, square, axis=rank, reverse=reverse)
    pulled = prim.select(same, scalar_like(0, x), pulled)
    inverse = tuple(perm.index(a) for a in range(rank))
    return tuple(
        prim.transpose(prim.reduce_sum(v, axes=(rank - 1,), keepdims=False), perm=inverse) for v in (weights, pulled)
    )


def _samples(make):
    along = {"axis": 1, "reverse": False}
    return [
        Sample((make((3, 10)),), along),
        Sample((make((3, 10)),), {"axis": 1, "reverse": True}),
        Sample((make((40,)),), {"axis": 0, "reverse": False}),
        Sample((make((5, 19)),), {"axis": 0, "reverse": True}),
        Sample((make((2, 4, 3)),), {"axis": 1, "reverse": False}),
        Sample((make((11, 6)),), along),
        Sample((integers((3, 7), -3, 4),), along),
        Sample((integers((30,), 0, 4, "uint8"),), {"axis": 0, "reverse": False}),
        Sample((exactly([[1.0, np.inf, 2.0, -np.inf, 1.0]], "float32"),), along),
        Sample((uniform((4, 9), dtype="float16"),), along),
    ]


_WITH_ZEROS = exactly([[2, 0, 3, 0.5, 1], [0, 0, 1.5, 7, 0], [1, 2, 4, 0.5, 3], [0.5, 3, 0, 2, 0]], "float32")
_ERRORS = [
    ErrorSample((uniform((3,)),), {"axis": 1, "reverse": False}, raises=ArgumentError, match="out of bounds for rank 1"),
    ErrorSample((booleans((3,)),), {"axis": 0, "reverse": False}, raises=DTypeError, match="needs real elements"),
]

register_op(
    "cumsum",
    kind="index",
    batch=batching.shifted("axis"),
    infer=_infer("cumsum"),
    eager=_eager(np.cumsum),
    vjp=lambda ct, x, y, *, axis, reverse: (prim.cumsum(ct, axis=axis, reverse=not reverse),),
    lower={"cpu": "cumulative"},
    cost=lambda x, outputs, *, axis, reverse: x.size,
    samples=_samples(uniform),
    errors=_ERRORS,
)
register_op(
    "cumprod",
    kind="index",
    batch=batching.shifted("axis"),
    infer=_infer("cumprod"),
    eager=_eager(np.cumprod),
    vjp=lambda ct, x, y, *, axis, reverse: (prim.cumprod_gradient(ct, x, axis=axis, reverse=reverse),),
    lower={"cpu": "cumulative"},
    cost=lambda x, outputs, *, axis, reverse: x.size,
    samples=[*_samples(lambda shape: uniform(shape, 0.5, 1.5)), Sample((_WITH_ZEROS,), {"axis": 1, "reverse": False})],
    errors=_ERRORS,
)


def _slope_varied(rng):
    """Zeros are many: any number of them in a line."""
    shape, dtype = any_shape(rng, 1, 3, most=80), any_dtype(rng)
    array = np.where(rng.random(shape) < 0.2, 0, rng.uniform(0.5, 1.5, shape)).astype(numpy_dtype(dtype))
    return Sample((uniform(shape, dtype=dtype), exactly(array)), {"axis": any_axis(rng, len(shape)), "reverse": flip(rng)})


register_op(
    "cumprod_gradient",
    kind="composite",
    batch=batching.shifted("axis"),
    infer=_slope_infer,
    eager=_slope_eager,
    vjp=_slope_vjp,
    expand=_cumprod_slope,
    cost=lambda ct, x, outputs, *, axis, reverse: 8 * x.size,
    samples=[
        *(Sample((uniform((4, 5)), _WITH_ZEROS), {"axis": a, "reverse": r}) for a in (0, 1) for r in (False, True)),
        Sample((uniform((2, 3, 4)), uniform((2, 3, 4), 0.5, 1.5)), {"axis": 1, "reverse": False}),
    ],
    errors=[
        ErrorSample(
            (uniform((3,)), uniform((4,))), {"axis": 0, "reverse": False}, raises=ShapeError, match="have different shapes"
        )
    ],
    vary=_slope_varied,
)
