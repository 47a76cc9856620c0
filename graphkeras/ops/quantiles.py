"""Medians, quantiles and percentiles, as in `keras.ops.numpy`."""

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dims import size as size_of
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops import sorting_records  # noqa: F401 - registers sort
from graphkeras.ops.inference import normalize_axes, scalar_like
from graphkeras.ops.numpy_index import take_along_axis
from graphkeras.ops.promotion import result_type
from graphkeras.trace import as_tensor, convert_to_tensor, prim
from graphkeras.trace.settings import floatx

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")
_WHOLE = {"lower": prim.floor, "higher": prim.ceil, "nearest": prim.round}


def _number(value):
    """A float64 scalar; `np.float64` would pass for a Python number."""
    return np.array(value, np.float64)


def _f64(value):
    """A size, known or not, as a float64 scalar."""
    return prim.cast(prim.dim(size=value), dtype="float64") if isinstance(value, Dim) else _number(value)


def _lines(x, axes):
    """(R, n): the elements along the axes, one line for each place of the other axes."""
    others = tuple(a for a in range(x.ndim) if a not in axes)
    moved = prim.transpose(x, perm=(*others, *axes))
    rows, n = size_of(x.spec.shape[a] for a in others), size_of(x.spec.shape[a] for a in axes)
    return prim.reshape(moved, shape=(rows, n)), others


def _ranks(q, last, method):
    """Places, below and above, of the quantiles among sorted elements 0 .. last; and the weight of those below."""
    exact = last * q
    place = lambda v: prim.cast(prim.maximum(prim.minimum(v, last), _number(0)), dtype="int32")
    if method in _WHOLE:
        return place(_WHOLE[method](exact)), None, None
    above = place(prim.ceil(exact))
    if method == "midpoint":
        return above, place(prim.floor(exact)), _number(0.5)
    below = prim.maximum(above - np.int32(1), np.int32(0))
    above = place(prim.cast(below, dtype="float64") + _number(1))
    return above, below, prim.cast(above, dtype="float64") - exact


def _quantile(name, x, q, axis, method, keepdims, ignore_nan):
    x = as_tensor(x)
    x = convert_to_tensor(x, result_type(x.dtype, float))
    q = as_tensor(q)
    if method not in _METHODS:
        raise ArgumentError(f"{name}: unknown method.", got=f"method={method!r}", expected="one of " + ", ".join(_METHODS))
    if q.ndim > 1:
        raise ArgumentError(f"{name}: `q` must be a number or of rank 1.", got=str(q.spec), expected="rank 0 or 1")
    axes = normalize_axes(name, axis, x.ndim)
    lines, others = _lines(x, axes)
    rows, n = lines.spec.shape
    quantiles = prim.reshape(prim.cast(q, dtype="float64"), shape=(1, q.spec.size))
    ordered = prim.sort(lines, axis=1)
    missing = prim.is_nan(lines)
    if ignore_nan:
        valid = prim.reduce_sum(prim.cast(prim.logical_not(missing), dtype="float64"), axes=(1,), keepdims=True)
        last, broken = prim.maximum(valid - _number(1), _number(0)), prim.equal(valid, _number(0))
        pick = lambda places: take_along_axis(ordered, prim.broadcast_to(places, shape=(rows, q.spec.size)), 1)
    else:
        last, broken = _f64(n - 1), prim.reduce_any(missing, axes=(1,), keepdims=True)
        pick = lambda places: prim.gather(ordered, prim.reshape(places, shape=(q.spec.size,)), axis=1)
    above, below, weight = _ranks(quantiles, last, method)
    result = pick(above)
    if below is not None:
        weight = prim.cast(weight, dtype=x.dtype)
        result = result * (scalar_like(1, x) - weight) + pick(below) * weight
    result = prim.select(broken, scalar_like(np.nan, x), result)
    # (R, q) -> (q, other axes)
    kept = tuple(1 if a in axes else d for a, d in enumerate(x.spec.shape)) if keepdims else tuple(x.spec.shape[a] for a in others)
    return prim.reshape(prim.transpose(result, perm=(1, 0)), shape=(*q.spec.shape, *kept))


def quantile(x, q, axis=None, method="linear", keepdims=False):
    """Computes quantiles along axes.

    Args:
        x: Input tensor; integers become floatx.
        q: Number or tensor of rank 1, in [0, 1].
        axis: Axis or axes; all by default.
        method: "linear", "lower", "higher", "midpoint" or "nearest", for quantiles between two elements.
        keepdims: If `True`, the axes are left in the result with size one.

    Returns:
        Tensor of the quantiles, with the axis of `q` first. NaN where an element is NaN.

    Example:

    >>> quantile([1.0, 2.0, 3.0, 4.0], [0.0, 0.5]).tolist()
    [1.0, 2.5]
    """
    return _quantile("quantile", x, q, axis, method, keepdims, ignore_nan=False)


def percentile(x, q, axis=None, method="linear", keepdims=False):
    """Computes percentiles along axes.

    Args:
        x: Input tensor; integers become floatx.
        q: Number or tensor of rank 1, in [0, 100].
        axis: Axis or axes; all by default.
        method: As for `quantile`.
        keepdims: If `True`, the axes are left in the result with size one.

    Returns:
        Tensor of the percentiles, with the axis of `q` first. NaN where an element is NaN.

    Example:

    >>> percentile([1.0, 2.0, 3.0], 50).item()
    2.0
    """
    return _quantile("percentile", x, _hundredths(q), axis, method, keepdims, ignore_nan=False)


def _hundredths(q):
    return convert_to_tensor(q, floatx()) / 100.0


def median(x, axis=None, keepdims=False):
    """Computes the median along axes.

    Args:
        x: Input tensor; integers become floatx.
        axis: Axis or axes; all by default.
        keepdims: If `True`, the axes are left in the result with size one.

    Returns:
        Tensor of the medians. NaN where an element is NaN.

    Example:

    >>> median([1.0, 9.0, 2.0]).item()
    2.0
    """
    return _quantile("median", x, 0.5, axis, "linear", keepdims, ignore_nan=False)


def nanquantile(x, q, axis=None, method="linear", keepdims=False):
    """Computes quantiles along axes, leaving NaN out.

    Args:
        x: Input tensor; integers become floatx.
        q: Number or tensor of rank 1, in [0, 1].
        axis: Axis or axes; all by default.
        method: As for `quantile`.
        keepdims: If `True`, the axes are left in the result with size one.

    Returns:
        Tensor of the quantiles, with the axis of `q` first. NaN where there are no other elements.

    Example:

    >>> nanquantile([1.0, float("nan"), 3.0], 0.5).item()
    2.0
    """
    return _quantile("nanquantile", x, q, axis, method, keepdims, ignore_nan=True)


def nanpercentile(x, q, axis=None, method="linear", keepdims=False):
    """Computes percentiles along axes, leaving NaN out.

    Args:
        x: Input tensor; integers become floatx.
        q: Number or tensor of rank 1, in [0, 100].
        axis: Axis or axes; all by default.
        method: As for `quantile`.
        keepdims: If `True`, the axes are left in the result with size one.

    Returns:
        Tensor of the percentiles, with the axis of `q` first. NaN where there are no other elements.

    Example:

    >>> nanpercentile([1.0, float("nan"), 3.0], 100).item()
    3.0
    """
    return _quantile("nanpercentile", x, _hundredths(q), axis, method, keepdims, ignore_nan=True)


def nanmedian(x, axis=None, keepdims=False):
    """Computes the median along axes, leaving NaN out.

    Args:
        x: Input tensor; integers become floatx.
        axis: Axis or axes; all by default.
        keepdims: If `True`, the axes are left in the result with size one.

    Returns:
        Tensor of the medians. NaN where there are no other elements.

    Example:

    >>> nanmedian([1.0, float("nan"), 3.0]).item()
    2.0
    """
    if axis in ((), []):
        return as_tensor(x)
    return _quantile("nanmedian", x, 0.5, axis, "linear", keepdims, ignore_nan=True)


__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]
