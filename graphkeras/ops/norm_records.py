"""Composites of normalisations. Their gradients are in closed form, so that a fused step passes over its arrays as few times as
the mathematics asks for: what cancels is never computed, and sums that need no scale yet do not wait for it."""

import numpy as np

from graphkeras.ir.dims import size
from graphkeras.ir.dtypes import FLOATS
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ir.registry import ErrorSample, Sample, register_op
from graphkeras.ir.samples import any_axis, any_dtype, any_shape, integers, uniform
from graphkeras.ops import batching
from graphkeras.ops.elementwise import in_float32
from graphkeras.ops.inference import (
    join_dim,
    reduced_shape,
    require_axes,
    require_axis,
    require_dtype,
    require_equal_dtypes,
    scalar_like,
    show,
)
from graphkeras.ops.promotion import converted
from graphkeras.ops.reductions import expanded
from graphkeras.trace import prim

_HALF = ("float16", "bfloat16")


def _mean(x, axes):
    """With the axes kept at size 1, but summed as `mean` sums, so that the two become one node."""
    mean = prim.divide(prim.reduce_sum(x, axes=axes, keepdims=False), converted(size(x.spec.shape[a] for a in axes), x.dtype))
    return prim.reshape(mean, shape=reduced_shape(x.spec.shape, axes, True))


def _centered(x, axes):
    return x - _mean(x, axes)


def _wide(function):
    """Half precision is computed in float32 and rounded once."""

    def wrapped(x, *others, **attrs):
        if x.dtype not in _HALF:
            return function(x, *others, **attrs)
        wide = (prim.cast(v, dtype="float32") for v in (x, *others))
        return prim.cast(function(*wide, **attrs), dtype=x.dtype)

    return wrapped


# ---- variance -------------------------------------------------------------------------------------------------------


def _is_down_columns(shape, axes) -> bool:
    """Whether the axes are neighbours, with one behind them along which columns lie side by side."""
    return bool(axes) and axes == tuple(range(axes[0], axes[-1] + 1)) and any(d != 1 for d in shape[axes[-1] + 1 :])


def _deviations_infer(x, *, axes, keepdims):
    require_dtype("reduce_deviations", [x], FLOATS, "floating-point")
    require_axes("reduce_deviations", axes, x.rank)
    if not _is_down_columns(x.shape, axes):
        raise ArgumentError(
            f"reduce_deviations: axes {axes} of {x.shape} are not the rows of columns that lie side by side.",
            got=show([x]),
            expected="neighbouring axes, and a longer one than 1 behind them",
            mend="use variance, which takes any axes",
        )
    return x.with_shape(reduced_shape(x.shape, axes, keepdims))


def _deviations_eager(x, *, axes, keepdims):
    deviations, _ = _deviations(x, axes)
    return np.asarray(np.square(deviations).sum(axes, keepdims=keepdims)).astype(x.dtype)


def _deviations_vjp(ct, x, y, *, axes, keepdims):
    return (_centered(x, axes) * (expanded(ct, x, axes, keepdims) * scalar_like(2, x)),)


register_op(
    "reduce_deviations",  # sum of the squared deviations from the mean of a column, in one walk over the rows
    kind="reduction",
    infer=_deviations_infer,
    eager=in_float32(_deviations_eager),
    vjp=_deviations_vjp,
    cost=lambda x, outputs, **attrs: 4 * x.size,
    samples=[
        Sample((uniform((7, 3)),), {"axes": (0,), "keepdims": False}),
        Sample((uniform((4, 3, 2, 5)),), {"axes": (0, 1, 2), "keepdims": True}),
        Sample((uniform((3, 70, 2), 100, 101),), {"axes": (1,), "keepdims": False}),
        Sample((uniform((300, 20), 9999, 10001),), {"axes": (0,), "keepdims": False}),
    ],
    errors=[
        ErrorSample((integers((2, 3)),), {"axes": (0,), "keepdims": True}, raises=DTypeError, match="needs floating-point elements"),
        ErrorSample((uniform((2, 3)),), {"axes": (1,), "keepdims": True}, raises=ArgumentError, match="not the rows of columns"),
        ErrorSample((uniform((2, 3, 4)),), {"axes": (0, 2), "keepdims": True}, raises=ArgumentError, match="not the rows of columns"),
        ErrorSample((uniform((2, 3)),), {"axes": (2,), "keepdims": True}, raises=ArgumentError, match="axis 2 is out of"),
    ],
)


def _variance_infer(x, *, axes, keepdims):
    require_dtype("variance", [x], FLOATS, "floating-point")
    require_axes("variance", axes, x.rank)
    return x.with_shape(reduced_shape(x.shape, axes, keepdims))


@_wide
def _variance_expand(x, *, axes, keepdims):
    if _is_down_columns(x.spec.shape, axes):
        count = converted(size(x.spec.shape[a] for a in axes), x.dtype)
        return prim.divide(prim.reduce_deviations(x, axes=axes, keepdims=keepdims), count)
    spread = _mean(prim.square(_centered(x, axes)), axes)
    return prim.reshape(spread, shape=reduced_shape(x.spec.shape, axes, keepdims))


def _deviations(x, axes):
    """Deviations from the mean, and how many share one, as float64; NaN without elements."""
    wide, count = x.astype(np.float64), np.float64(np.prod([x.shape[a] for a in axes]))
    return wide - wide.sum(axes, keepdims=True) / count, count


def _variance_eager(x, *, axes, keepdims):
    deviations, count = _deviations(x, axes)
    return np.asarray(np.square(deviations).sum(axes, keepdims=keepdims) / count).astype(x.dtype)


def _variance_vjp(ct, x, y, *, axes, keepdims):
    # The mean's own share is the sum of the deviations, which is zero.
    count = converted(size(x.spec.shape[a] for a in axes), x.dtype)
    return (_centered(x, axes) * (expanded(ct, x, axes, keepdims) * prim.divide(scalar_like(2, x), count)),)


register_op(
    "variance",
    kind="composite",
    batch=batching.shifted("axes"),
    infer=_variance_infer,
    eager=in_float32(_variance_eager),
    vjp=_variance_vjp,
    expand=_variance_expand,
    cost=lambda x, outputs, **attrs: 4 * x.size,
    samples=[
        Sample((uniform((3, 5)),), {"axes": (1,), "keepdims": True}),
        Sample((uniform((4, 3, 2, 5)),), {"axes": (0, 1, 2), "keepdims": False}),
        Sample((uniform((7, 3), 100, 101),), {"axes": (0,), "keepdims": False}),
    ],
    errors=[
        ErrorSample((integers((2, 3)),), {"axes": (1,), "keepdims": True}, raises=DTypeError, match="needs floating-point elements"),
        ErrorSample((uniform((2, 3)),), {"axes": (2,), "keepdims": True}, raises=ArgumentError, match="axis 2 is out of"),
    ],
)


# ---- deviations from the mean, in units of the standard deviation ---------------------------------------------------


def _standardize_infer(x, *, axes, epsilon):
    require_dtype("standardize", [x], FLOATS, "floating-point")
    require_axes("standardize", axes, x.rank)
    return x


def _inverse_deviation(x, axes, epsilon):
    return prim.rsqrt(prim.variance(x, axes=axes, keepdims=True) + scalar_like(epsilon, x))


@_wide
def _standardize_expand(x, *, axes, epsilon):
    return _centered(x, axes) * _inverse_deviation(x, axes, epsilon)


def _standardize_eager(x, *, axes, epsilon):
    deviations, count = _deviations(x, axes)
    return (deviations / np.sqrt(np.square(deviations).sum(axes, keepdims=True) / count + epsilon)).astype(x.dtype)


def _standardize_vjp(ct, x, y, **attrs):
    return (_standardize_slope(ct, x, y, **attrs),)


@_wide
def _standardize_slope(ct, x, y, *, axes, epsilon):
    # The deviation divides both factors of the second mean, so the sum can share the pass over x that finds it.
    centered, inverse = _centered(x, axes), _inverse_deviation(x, axes, epsilon)
    return (ct - _mean(ct, axes) - y * (_mean(ct * centered, axes) * inverse)) * inverse


register_op(
    "standardize",
    kind="composite",
    batch=batching.shifted("axes"),
    infer=_standardize_infer,
    eager=in_float32(_standardize_eager),
    vjp=_standardize_vjp,
    expand=_standardize_expand,
    cost=lambda x, outputs, **attrs: 7 * x.size,
    samples=[
        Sample((uniform((3, 5)),), {"axes": (1,), "epsilon": 1e-3}),
        Sample((uniform((2, 3, 19)),), {"axes": (1, 2), "epsilon": 1e-3}),
        Sample((uniform((6, 4), 30, 31),), {"axes": (0,), "epsilon": 1e-2}),
    ],
    vary=lambda rng: _any_standardize(rng),
    errors=[
        ErrorSample((integers((2, 3)),), {"axes": (1,), "epsilon": 0.1}, raises=DTypeError, match="needs floating-point elements"),
        ErrorSample((uniform((2, 3)),), {"axes": (2,), "epsilon": 0.1}, raises=ArgumentError, match="axis 2 is out of"),
    ],
)


def _any_standardize(rng):
    shape = any_shape(rng, 1, 3, least=1)
    return Sample((uniform(shape, dtype=any_dtype(rng)),), {"axes": (any_axis(rng, len(shape)),), "epsilon": 0.01})


# ---- normalisation by vectors along an axis -------------------------------------------------------------------------


def _batch_norm_infer(x, mean, variance, scale, *, axis, epsilon):
    require_equal_dtypes("batch_norm", [x, mean, variance, scale])
    require_dtype("batch_norm", [x], FLOATS, "floating-point")
    require_axis("batch_norm", axis, x.rank)
    for vector in (mean, variance, scale):
        if vector.rank != 1 or join_dim(vector.shape[0], x.shape[axis]) is None:
            raise ShapeError(
                f"batch_norm: a vector of shape {vector.shape} does not lie along axis {axis} of {x.shape}.",
                got=show([x, mean, variance, scale]),
                expected=f"mean, variance and scale of shape ({x.shape[axis]},)",
                mend="reduce over all axes but that one",
            )
    return x


def _along(vector, x, axis):
    return prim.reshape(vector, shape=tuple(d if i == axis else 1 for i, d in enumerate(x.spec.shape)))


@_wide
def _batch_norm_expand(x, mean, variance, scale, *, axis, epsilon):
    inverse = prim.rsqrt(variance + scalar_like(epsilon, x)) * scale
    return (x - _along(mean, x, axis)) * _along(inverse, x, axis)


def _batch_norm_eager(x, mean, variance, scale, *, axis, epsilon):
    wide = [v.astype(np.float64) for v in (mean, variance, scale)]
    mean, variance, scale = (v.reshape([-1 if i == axis else 1 for i in range(x.ndim)]) for v in wide)
    return ((x - mean) / np.sqrt(variance + epsilon) * scale).astype(x.dtype)


def _batch_norm_vjp(ct, x, mean, variance, scale, y, *, axis, epsilon):
    # Both sums are taken before the deviation is known: they can share the pass over x that finds it.
    axes = tuple(i for i in range(len(x.spec.shape)) if i != axis)
    inverse = prim.rsqrt(variance + scalar_like(epsilon, x))
    factor = inverse * scale
    total = prim.reduce_sum(ct, axes=axes, keepdims=False)
    product = prim.reduce_sum(ct * (x - _along(mean, x, axis)), axes=axes, keepdims=False)
    of_scale = product * inverse
    of_variance = of_scale * scale * prim.square(inverse) * scalar_like(-0.5, x)
    return ct * _along(factor, x, axis), prim.negative(total * factor), of_variance, of_scale


def _any_batch_norm(rng):
    shape = any_shape(rng, 1, 4, least=1)
    axis, dtype = any_axis(rng, len(shape)), any_dtype(rng)
    vectors = (uniform((shape[axis],), *limits, dtype=dtype) for limits in ((-1, 1), (0.1, 2), (-1, 1)))
    return Sample((uniform(shape, dtype=dtype), *vectors), {"axis": axis, "epsilon": 0.01})


def _batch_norm_inputs(shape, axis):
    vector = (shape[axis],)
    return uniform(shape), uniform(vector), uniform(vector, 0.1, 2), uniform(vector)


register_op(
    "batch_norm",
    kind="composite",
    batch=batching.batch_norm,
    infer=_batch_norm_infer,
    eager=in_float32(_batch_norm_eager),
    vjp=_batch_norm_vjp,
    expand=_batch_norm_expand,
    cost=lambda x, *vectors, outputs, **attrs: 2 * x.size,
    samples=[
        Sample(_batch_norm_inputs((5, 3), 1), {"axis": 1, "epsilon": 1e-3}),
        Sample(_batch_norm_inputs((2, 4, 3, 5), 3), {"axis": 3, "epsilon": 1e-3}),
        Sample(_batch_norm_inputs((2, 4, 3), 1), {"axis": 1, "epsilon": 1e-2}),
    ],
    vary=_any_batch_norm,
    errors=[
        ErrorSample(_batch_norm_inputs((5, 3), 0), {"axis": 1, "epsilon": 0.1}, raises=ShapeError, match="does not lie along axis 1"),
    ],
)
