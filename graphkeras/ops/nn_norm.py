"""Moments and normalisations, as in `keras.ops.nn`."""

import warnings

from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops.inference import join_dim, normalize_axes, normalize_axis, scalar_like
from graphkeras.ops.math import norm
from graphkeras.ops.numpy_binary import clip
from graphkeras.ops.numpy_reduce import mean, var
from graphkeras.ops.numpy_reduce import sum as reduce_sum
from graphkeras.ops.numpy_shape import expand_dims, reshape
from graphkeras.ops.promotion import as_float, result_type
from graphkeras.trace import as_tensor, convert_to_tensor, prim
from graphkeras.trace.settings import epsilon as default_epsilon


def normalize(x, axis=-1, order=2, epsilon=None):
    """Normalizes `x` over the specified axis: `x / max(norm(x), epsilon)`.

    Args:
        x: Input tensor.
        axis: The axis or axes. Defaults to -1.
        order: The exponent of the norm. Defaults to 2.
        epsilon: A lower bound of the norm; `config.epsilon()` by default.

    Returns:
        The normalized tensor.

    Example:

    >>> [round(v, 4) for v in normalize([3.0, 4.0]).tolist()]
    [0.6, 0.8]
    """
    if not isinstance(order, int) or order < 1:
        raise ArgumentError("Argument `order` must be an int >= 1.", got=f"order={order!r}", expected="an int >= 1")
    x = as_float(x)
    x = expand_dims(x, 0) if not x.ndim else x
    epsilon = default_epsilon() if epsilon is None else epsilon
    if order == 2:
        inverse = prim.rsqrt(reduce_sum(prim.square(x), axis, keepdims=True))
        return x * prim.minimum(inverse, scalar_like(1.0 / epsilon, x))
    return x / prim.maximum(norm(x, order, axis, keepdims=True), scalar_like(epsilon, x))


def moments(x, axes, keepdims=False, synchronized=False):
    """Calculates the mean and variance of `x` over axes.

    Args:
        x: Input tensor; half precision is computed in float32.
        axes: Axes over which to compute.
        keepdims: If `True`, the axes are left in the result with size one.
        synchronized: Kept for compatibility with Keras.

    Returns:
        Mean and variance.

    Example:

    >>> [v.item() for v in moments([0.0, 2.0], axes=[0])]
    [1.0, 1.0]
    """
    x = as_float(x)
    dtype = x.dtype
    x = convert_to_tensor(x, result_type(dtype, "float32"))
    center, spread = mean(x, axes, keepdims), var(x, axes, keepdims)
    if x.dtype != dtype:
        # Half precision holds no larger numbers.
        center, spread = (convert_to_tensor(clip(v, -65504.0, 65504.0), dtype) for v in (center, spread))
    return center, spread


def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=0.001):
    """Normalizes `x` by `mean` and `variance`: `(x - mean) / sqrt(variance + epsilon) * scale + offset`.

    Args:
        x: Input tensor.
        mean: Vector of the size of the axis.
        variance: Vector of the size of the axis.
        axis: The axis of `x` along which the vectors lie.
        offset: Optional vector that is added.
        scale: Optional vector by which the result is scaled.
        epsilon: Small float added to the variance. Defaults to 1e-3.

    Returns:
        The normalized tensor.

    Example:

    >>> batch_normalization([[1.0, 4.0]], [1.0, 2.0], [1.0, 4.0], axis=-1, epsilon=0.0).tolist()
    [[0.0, 1.0]]
    """
    x = as_float(x)
    axis = normalize_axis("batch_normalization", axis, x.ndim)

    mean, variance, scale, offset = (
        None if v is None else _vector(name, v, x, axis)
        for name, v in (("mean", mean), ("variance", variance), ("scale", scale), ("offset", offset))
    )
    scale = prim.broadcast_to(scalar_like(1.0, x), shape=mean.spec.shape) if scale is None else scale
    y = prim.batch_norm(x, mean, variance, scale, axis=axis, epsilon=float(epsilon))
    if offset is None:
        return y
    return y + (offset if axis == x.ndim - 1 else reshape(offset, tuple(-1 if i == axis else 1 for i in range(x.ndim))))


def _vector(name, value, x, axis):
    value, size = convert_to_tensor(value, x.dtype), x.spec.shape[axis]
    if value.ndim != 1 or join_dim(value.spec.shape[0], size) is None:
        raise ShapeError(
            f"batch_normalization: argument `{name}` must be a vector of length {size}.",
            got=f"{name} {value.spec} for axis {axis} of {x.spec}",
            expected=f"shape ({size},)",
            mend="check axis=, and squeeze the statistics of moments(..., keepdims=True)",
        )
    return value


def rms_normalization(x, scale=None, axis=-1, epsilon=None):
    """Root mean square normalization (Zhang and Sennrich, 2019): `x * rsqrt(mean(square(x)) + epsilon) * scale`.

    Args:
        x: Input tensor.
        scale: Optional scaling factor.
        axis: The axis or axes. Defaults to -1.
        epsilon: Small float added to the mean square; `config.epsilon()` by default.

    Returns:
        The normalized tensor, in the dtype of `x`.

    Example:

    >>> [round(v, 4) for v in rms_normalization([3.0, 3.0]).tolist()]
    [1.0, 1.0]
    """
    x = as_tensor(x)
    dtype = x.dtype
    x = convert_to_tensor(x, result_type(dtype, "float32"))
    x = expand_dims(x, 0) if not x.ndim else x
    y = x * prim.rsqrt(mean(prim.square(x), axis, keepdims=True) + (default_epsilon() if epsilon is None else epsilon))
    return convert_to_tensor(y if scale is None else y * convert_to_tensor(scale, x.dtype), dtype)


def layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None, **kwargs):
    """Layer normalization (Ba et al., 2016): each example is normalised over `axis` on its own.

    Args:
        x: Input tensor.
        gamma: Optional scaling factor.
        beta: Optional offset.
        axis: The axis or axes. Defaults to -1.
        epsilon: Small float added to the variance; `config.epsilon()` by default.

    Returns:
        The normalized tensor, in the dtype of `x`.

    Example:

    >>> [round(v, 3) for v in layer_normalization([1.0, 3.0]).tolist()]
    [-1.0, 1.0]
    """
    rms_scaling = kwargs.pop("rms_scaling", False)
    if kwargs:
        raise ArgumentError(f"layer_normalization: unknown arguments {', '.join(kwargs)}.", got=str(kwargs))
    if rms_scaling:
        warnings.warn(
            "You passed `rms_scaling=True`, which is deprecated. This argument incorrectly scales the input by the variance, not "
            "the root mean square. To correctly use RMS Normalization, please use `ops.rms_normalization` instead.",
            stacklevel=2,
        )
    x = as_tensor(x)
    dtype = x.dtype
    x = convert_to_tensor(x, result_type(dtype, "float32"))
    axes = normalize_axes("layer_normalization", axis, x.ndim)
    shape = tuple(d if i in axes else 1 for i, d in enumerate(x.spec.shape))
    epsilon = default_epsilon() if epsilon is None else epsilon

    def along(v):
        v = convert_to_tensor(v, x.dtype)
        return reshape(v, shape) if v.ndim != x.ndim and axes != (x.ndim - 1,) else v

    if rms_scaling:
        y = x * prim.rsqrt(var(x, axes, keepdims=True) + epsilon)
        return convert_to_tensor(y if gamma is None else y * along(gamma), dtype)
    y = prim.standardize(x, axes=axes, epsilon=float(epsilon))
    if gamma is not None:
        y = y * along(gamma)
    if beta is not None:
        y = y + along(beta)
    return convert_to_tensor(y, dtype)
