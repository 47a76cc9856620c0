"""Reductions, as in `keras.ops.numpy`."""

import numpy as np

from graphkeras.ir.dims import size as _size_of
from graphkeras.ir.dtypes import is_float
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.inference import normalize_axes, normalize_axis, scalar_like
from graphkeras.ops.promotion import as_float, converted, promote, result_type
from graphkeras.trace import as_tensor, convert_to_tensor, prim

# Narrow integers are summed and multiplied in 32 bits, as in JAX.
_ACCUMULATED = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}


def _reduced(op, x, axis, keepdims):
    return getattr(prim, op)(x, axes=normalize_axes(op, axis, x.ndim), keepdims=bool(keepdims))


def count_of(x, axes):
    """The number of elements along some axes: an int, or a size known only at run time."""
    return _size_of(x.spec.shape[a] for a in axes)


def sum(x, axis=None, keepdims=False):
    """Sum of a tensor over the given axes.

    Args:
        x: Input tensor; narrow integers and booleans are summed in 32 bits.
        axis: Axis or axes along which the sum is computed; all by default.
        keepdims: If `True`, the axes which are reduced are left in the result with size one.

    Returns:
        Output tensor containing the sum; 0 over no elements.

    Example:

    >>> sum([[1, 2], [3, 4]], axis=1).tolist()
    [3, 7]
    """
    x = as_tensor(x)
    return _reduced("reduce_sum", convert_to_tensor(x, _ACCUMULATED.get(x.dtype)), axis, keepdims)


def prod(x, axis=None, keepdims=False, dtype=None):
    """Product of tensor elements over given axes.

    Args:
        x: Input tensor.
        axis: Axis or axes along which the product is computed; all by default.
        keepdims: If `True`, the axes which are reduced are left in the result with size one.
        dtype: Data type of the product.

    Returns:
        Output tensor containing the product; 1 over no elements.

    Example:

    >>> prod([[1, 2], [3, 4]], axis=0).tolist()
    [3, 8]
    """
    x = as_tensor(x)
    return _reduced("reduce_prod", convert_to_tensor(x, dtype or _ACCUMULATED.get(x.dtype)), axis, keepdims)


def mean(x, axis=None, keepdims=False):
    """Computes the arithmetic mean along the specified axes.

    Args:
        x: Input tensor; integers become floats, half precision is summed in float32.
        axis: Axis or axes along which the means are computed; all by default.
        keepdims: If `True`, the axes which are reduced are left in the result with size one.

    Returns:
        Output tensor containing the mean values; NaN over no elements.

    Example:

    >>> mean([[1.0, 2.0], [3.0, 4.0]], axis=0).tolist()
    [2.0, 3.0]
    """
    x = as_tensor(x)
    compute = result_type(x.dtype, "float32")
    result = x.dtype if is_float(x.dtype) else compute
    axes = normalize_axes("mean", axis, x.ndim)
    total = prim.reduce_sum(convert_to_tensor(x, compute), axes=axes, keepdims=bool(keepdims))
    return convert_to_tensor(prim.divide(total, converted(count_of(x, axes), compute)), result)


def var(x, axis=None, keepdims=False):
    """Computes the variance along the specified axes.

    Args:
        x: Input tensor; computed in float32 or wider.
        axis: Axis or axes along which the variance is computed; all by default.
        keepdims: If `True`, the axes which are reduced are left in the result with size one.

    Returns:
        Output tensor containing the variance (the mean squared distance from the mean).

    Example:

    >>> var([1.0, 3.0]).item()
    1.0
    """
    x = as_tensor(x)
    result = result_type(x.dtype, float)
    x = convert_to_tensor(x, result_type(x.dtype, "float32"))
    if not is_float(x.dtype):  # complex numbers
        return convert_to_tensor(mean(prim.square(x - mean(x, axis, keepdims=True)), axis, keepdims), result)
    spread = prim.variance(x, axes=normalize_axes("var", axis, x.ndim), keepdims=bool(keepdims))
    return convert_to_tensor(spread, result)


def std(x, axis=None, keepdims=False):
    """Computes the standard deviation along the specified axes.

    Args:
        x: Input tensor; integers become floatx.
        axis: Axis or axes along which to compute the standard deviation; all by default.
        keepdims: If `True`, the axes which are reduced are left in the result with size one.

    Returns:
        Output tensor containing the standard deviation values.

    Example:

    >>> std([1.0, 3.0]).item()
    1.0
    """
    x = as_float(x)
    wide = convert_to_tensor(x, result_type(x.dtype, "float32"))
    return convert_to_tensor(prim.sqrt(var(wide, axis, keepdims)), x.dtype)


def _extreme(op, of_bools, join, x, axis, keepdims, initial):
    x = as_tensor(x)
    axes = normalize_axes(op, axis, x.ndim)
    if initial is not None:
        initial = converted(initial if isinstance(initial, (int, float)) else as_tensor(initial), x.dtype)
        if any(isinstance(x.spec.shape[a], int) and x.spec.shape[a] == 0 for a in axes):
            shape = tuple(1 if a in axes else d for a, d in enumerate(x.spec.shape) if keepdims or a not in axes)
            return prim.broadcast_to(initial, shape=shape)
    result = _reduced(of_bools if x.dtype == "bool" else op, x, axis, keepdims)
    if initial is None:
        return result
    if x.dtype == "bool":
        return (prim.logical_or if of_bools == "reduce_any" else prim.logical_and)(result, initial)
    return getattr(prim, join)(result, initial)


def max(x, axis=None, keepdims=False, initial=None):
    """Returns the maximum of a tensor or maximum along an axis.

    Args:
        x: Input tensor.
        axis: Axis or axes along which to operate; all by default.
        keepdims: If `True`, the axes which are reduced are left in the result with size one.
        initial: The minimum value of an output element.

    Returns:
        Maximum of `x`; NaN where an element is NaN.

    Raises:
        ShapeError: where there is no element.

    Example:

    >>> max([[1, 5], [3, 4]], axis=1).tolist()
    [5, 4]
    """
    return _extreme("reduce_max", "reduce_any", "maximum", x, axis, keepdims, initial)


def min(x, axis=None, keepdims=False, initial=None):
    """Returns the minimum of a tensor or minimum along an axis.

    Args:
        x: Input tensor.
        axis: Axis or axes along which to operate; all by default.
        keepdims: If `True`, the axes which are reduced are left in the result with size one.
        initial: The maximum value of an output element.

    Returns:
        Minimum of `x`; NaN where an element is NaN.

    Raises:
        ShapeError: where there is no element.

    Example:

    >>> min([[1, 5], [3, 4]], axis=1).tolist()
    [1, 3]
    """
    return _extreme("reduce_min", "reduce_all", "minimum", x, axis, keepdims, initial)


def amax(x, axis=None, keepdims=False):
    """Returns the maximum of a tensor along an axis; see `max`.

    Example:

    >>> amax([1, 5]).item()
    5
    """
    return max(x, axis, keepdims)


def amin(x, axis=None, keepdims=False):
    """Returns the minimum of a tensor along an axis; see `min`.

    Example:

    >>> amin([1, 5]).item()
    1
    """
    return min(x, axis, keepdims)


def ptp(x, axis=None, keepdims=False):
    """Range of values (maximum - minimum) along an axis.

    Example:

    >>> ptp([1, 5]).item()
    4
    """
    return max(x, axis, keepdims) - min(x, axis, keepdims)


def all(x, axis=None, keepdims=False):
    """Tests whether all elements along the given axes evaluate to `True`.

    Args:
        x: Input tensor; numbers other than zero are true.
        axis: Axis or axes to reduce; all by default.
        keepdims: If `True`, the axes which are reduced are left in the result with size one.

    Returns:
        Boolean tensor.

    Example:

    >>> all([[True, False], [True, True]], axis=1).tolist()
    [False, True]
    """
    return _reduced("reduce_all", convert_to_tensor(x, "bool"), axis, keepdims)


def any(x, axis=None, keepdims=False):
    """Tests whether any element along the given axes evaluates to `True`.

    Args:
        x: Input tensor; numbers other than zero are true.
        axis: Axis or axes to reduce; all by default.
        keepdims: If `True`, the axes which are reduced are left in the result with size one.

    Returns:
        Boolean tensor.

    Example:

    >>> any([[True, False], [False, False]], axis=1).tolist()
    [True, False]
    """
    return _reduced("reduce_any", convert_to_tensor(x, "bool"), axis, keepdims)


def count_nonzero(x, axis=None):
    """Counts the number of non-zero values in `x` along the given axes.

    Args:
        x: Input tensor.
        axis: Axis or axes along which to count; all by default.

    Returns:
        int32 tensor of counts.

    Example:

    >>> count_nonzero([[0, 1], [2, 3]], axis=1).tolist()
    [1, 2]
    """
    return sum(convert_to_tensor(x, "bool"), axis)


def _position(op, x, axis, keepdims):
    x = as_tensor(x)
    rank = x.ndim
    x = prim.cast(x, dtype="int32") if x.dtype == "bool" else x
    if axis is None or not rank:
        flat = prim.reshape(x, shape=(x.spec.size,))
        result = getattr(prim, op)(flat, axis=0, keepdims=False)
        return prim.reshape(result, shape=(1,) * rank) if keepdims and rank else result
    return getattr(prim, op)(x, axis=normalize_axis(op, axis, rank), keepdims=bool(keepdims))


def argmax(x, axis=None, keepdims=False):
    """Returns the indices of the maximum values along an axis.

    Args:
        x: Input tensor.
        axis: Axis along which to look; the flattened tensor by default.
        keepdims: If `True`, the axis is left in the result with size one.

    Returns:
        int32 tensor of indices: the first one on a tie; NaN counts as the largest value.

    Example:

    >>> argmax([[1, 5, 5], [3, 2, 1]], axis=1).tolist()
    [1, 0]
    """
    return _position("argmax", x, axis, keepdims)


def argmin(x, axis=None, keepdims=False):
    """Returns the indices of the minimum values along an axis.

    Args:
        x: Input tensor.
        axis: Axis along which to look; the flattened tensor by default.
        keepdims: If `True`, the axis is left in the result with size one.

    Returns:
        int32 tensor of indices: the first one on a tie; NaN counts as the smallest value.

    Example:

    >>> argmin([[1, 5, 5], [3, 2, 1]], axis=1).tolist()
    [0, 2]
    """
    return _position("argmin", x, axis, keepdims)


def average(x, axis=None, weights=None):
    """Computes the weighted average along the specified axis.

    Args:
        x: Input tensor.
        axis: Axis along which to average; all by default.
        weights: Weights, of the shape of `x` or, for a single axis, a vector along it; all 1 by default.

    Returns:
        The average, in floats.

    Example:

    >>> average([1.0, 3.0], weights=[3.0, 1.0]).item()
    1.5
    """
    if weights is None:
        return mean(convert_to_tensor(x, result_type(as_tensor(x).dtype, float)), axis)
    x, weights = promote(as_tensor(x), as_tensor(weights), at_least=float)
    if weights.ndim != x.ndim:
        if weights.ndim != 1 or not isinstance(axis, int):
            raise ArgumentError(
                "average: the weights do not fit.",
                got=f"x {x.spec}, weights {weights.spec}, axis={axis!r}",
                expected="weights of the shape of x, or a vector along one axis",
            )
        at = normalize_axis("average", axis, x.ndim)
        weights = prim.reshape(weights, shape=tuple(weights.spec.size if i == at else 1 for i in range(x.ndim)))
        return sum(x * weights, axis) / sum(weights)
    return sum(x * weights, axis) / sum(weights, axis)


def _without_nan(x, value):
    return prim.select(prim.is_nan(x), scalar_like(value, x), x)


def nansum(x, axis=None, keepdims=False):
    """Sum over the given axes, with NaN as zero.

    Example:

    >>> nansum([1.0, float("nan"), 2.0]).item()
    3.0
    """
    x = as_tensor(x)
    return sum(_without_nan(x, 0) if is_float(x.dtype) else x, axis, keepdims)


def nanprod(x, axis=None, keepdims=False):
    """Product over the given axes, with NaN as one.

    Example:

    >>> nanprod([3.0, float("nan"), 2.0]).item()
    6.0
    """
    x = as_tensor(x)
    return prod(_without_nan(x, 1) if is_float(x.dtype) else x, axis, keepdims)


def nanmean(x, axis=None, keepdims=False):
    """Mean over the given axes of the elements that are not NaN.

    Example:

    >>> nanmean([1.0, float("nan"), 2.0]).item()
    1.5
    """
    x = as_tensor(x)
    if not is_float(x.dtype):
        return mean(x, axis, keepdims)
    count = prim.cast(prim.logical_not(prim.is_nan(x)), dtype=x.dtype)
    return prim.divide(nansum(x, axis, keepdims), sum(count, axis, keepdims))


def nanvar(x, axis=None, keepdims=False):
    """Variance over the given axes of the elements that are not NaN.

    Example:

    >>> nanvar([1.0, float("nan"), 3.0]).item()
    1.0
    """
    x = convert_to_tensor(x, result_type(as_tensor(x).dtype, float))
    return nanmean(prim.square(x - nanmean(x, axis, keepdims=True)), axis, keepdims)


def nanstd(x, axis=None, keepdims=False):
    """Standard deviation over the given axes of the elements that are not NaN.

    Example:

    >>> nanstd([1.0, float("nan"), 3.0]).item()
    1.0
    """
    return prim.sqrt(nanvar(x, axis, keepdims))


def _nan_extreme(extreme, neutral, x, axis, keepdims):
    x = as_tensor(x)
    if not is_float(x.dtype):
        return extreme(x, axis, keepdims)
    found = extreme(_without_nan(x, neutral), axis, keepdims)
    return prim.select(all(prim.is_nan(x), axis, keepdims), scalar_like(np.nan, x), found)


def nanmax(x, axis=None, keepdims=False):
    """Maximum over the given axes of the elements that are not NaN; NaN where there are none.

    Example:

    >>> nanmax([1.0, float("nan"), 2.0]).item()
    2.0
    """
    return _nan_extreme(max, -np.inf, x, axis, keepdims)


def nanmin(x, axis=None, keepdims=False):
    """Minimum over the given axes of the elements that are not NaN; NaN where there are none.

    Example:

    >>> nanmin([1.0, float("nan"), 2.0]).item()
    1.0
    """
    return _nan_extreme(min, np.inf, x, axis, keepdims)


def _nan_position(position, neutral, x, axis, keepdims):
    x = as_tensor(x)
    if not is_float(x.dtype):
        return position(x, axis, keepdims)
    found = position(_without_nan(x, neutral), axis, keepdims)
    return prim.select(all(prim.is_nan(x), axis, keepdims), scalar_like(-1, found), found)


def nanargmax(x, axis=None, keepdims=False):
    """Index of the maximum among the elements that are not NaN; -1 where there are none.

    Example:

    >>> nanargmax([1.0, float("nan"), 2.0]).item()
    2
    """
    return _nan_position(argmax, -np.inf, x, axis, keepdims)


def nanargmin(x, axis=None, keepdims=False):
    """Index of the minimum among the elements that are not NaN; -1 where there are none.

    Example:

    >>> nanargmin([3.0, float("nan"), 2.0]).item()
    2
    """
    return _nan_position(argmin, np.inf, x, axis, keepdims)
