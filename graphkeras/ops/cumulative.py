"""Cumulative sums and products, as in `keras.ops.numpy`."""

from graphkeras.ir.dtypes import is_float
from graphkeras.ops import cumulative_records  # noqa: F401 - registers the ops
from graphkeras.ops.inference import normalize_axis, scalar_like
from graphkeras.ops.numpy_shape import ravel
from graphkeras.trace import as_tensor, convert_to_tensor, prim


def _along(name, x, axis, dtype, nan=None):
    x = as_tensor(x) if dtype is None else convert_to_tensor(x, dtype)
    x = prim.cast(x, dtype="int32") if x.dtype == "bool" else x
    if nan is not None and is_float(x.dtype):
        x = prim.select(prim.is_nan(x), scalar_like(nan, x), x)
    if axis is None:
        x, axis = ravel(x), 0
    elif isinstance(axis, (tuple, list)) and len(axis) == 1:
        axis = axis[0]
    return x, normalize_axis(name, axis, x.ndim)


def cumsum(x, axis=None, dtype=None):
    """Returns the cumulative sums of elements along an axis.

    Args:
        x: Input tensor.
        axis: Axis along which; the flattened tensor by default.
        dtype: dtype of the elements and of the result; that of `x` by default, int32 for booleans.

    Returns:
        Tensor of the sums up to each element. Sums of floats are kept in the next wider type and rounded once.

    Example:

    >>> cumsum([1, 2, 3]).tolist()
    [1, 3, 6]
    """
    x, axis = _along("cumsum", x, axis, dtype)
    return prim.cumsum(x, axis=axis, reverse=False)


def cumprod(x, axis=None, dtype=None):
    """Returns the cumulative products of elements along an axis.

    Args:
        x: Input tensor.
        axis: Axis along which; the flattened tensor by default.
        dtype: dtype of the elements and of the result; that of `x` by default, int32 for booleans.

    Returns:
        Tensor of the products up to each element.

    Example:

    >>> cumprod([1, 2, 3]).tolist()
    [1, 2, 6]
    """
    x, axis = _along("cumprod", x, axis, dtype)
    return prim.cumprod(x, axis=axis, reverse=False)


def nancumsum(x, axis=None, dtype=None):
    """Returns the cumulative sums of elements along an axis, with NaN counted as zero.

    Args:
        x: Input tensor.
        axis: Axis along which; the flattened tensor by default.
        dtype: As for `cumsum`.

    Returns:
        Tensor of the sums up to each element.

    Example:

    >>> nancumsum([1.0, float("nan"), 2.0]).tolist()
    [1.0, 1.0, 3.0]
    """
    x, axis = _along("nancumsum", x, axis, dtype, nan=0)
    return prim.cumsum(x, axis=axis, reverse=False)


def nancumprod(x, axis=None, dtype=None):
    """Returns the cumulative products of elements along an axis, with NaN counted as one.

    Args:
        x: Input tensor.
        axis: Axis along which; the flattened tensor by default.
        dtype: As for `cumprod`.

    Returns:
        Tensor of the products up to each element.

    Example:

    >>> nancumprod([2.0, float("nan"), 3.0]).tolist()
    [2.0, 2.0, 6.0]
    """
    x, axis = _along("nancumprod", x, axis, dtype, nan=1)
    return prim.cumprod(x, axis=axis, reverse=False)


__all__ = ["cumprod", "cumsum", "nancumprod", "nancumsum"]
