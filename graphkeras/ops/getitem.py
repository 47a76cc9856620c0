"""Indexing with brackets, as NumPy means it: integers, slices, new axes, ellipsis, integer arrays and boolean masks."""

import operator

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import is_integer
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.inference import dim_min, slice_length
from graphkeras.trace import SymbolicTensor, Tensor, apply, as_tensor, is_tensor


class TensorIndexError(ArgumentError, IndexError):
    """An index does not fit a tensor."""


def getitem(x, key):
    """x[key].

    Example:

    >>> x = as_tensor(np.arange(6).reshape(2, 3))
    >>> getitem(x, (slice(None), -1)).tolist(), getitem(x, (None, 0)).shape
    ([2, 5], (1, 3))
    """
    x = as_tensor(x)
    if type(key) is int and type(x) is Tensor and x.ndim and -len(x) <= key < len(x):
        return _row(x, key % len(x))
    items = _expand_ellipsis(x, key if isinstance(key, tuple) else (key,))
    arrays = any(_is_array(item) for item in items)
    starts, stops, strides, shape, advanced = [], [], [], [], {}
    axis = 0
    for item in items:
        if item is None:
            shape.append(1)
            continue
        size = x.spec.shape[axis]
        position = None
        if isinstance(item, slice):
            start, stop, stride = _bounds(item, size, axis)
            shape.append(slice_length(start, stop, stride))
        elif _is_array(item):
            start, stop, stride = 0, size, 1
            advanced[len(shape)] = item
            shape.append(size)
        else:
            position = _position(item, size, axis, x)
            start, stop, stride = position, position + 1, 1
            if arrays:
                # Beside arrays an integer is an index array of rank 0, which decides where the result's axes go.
                start, stop = 0, size
                advanced[len(shape)] = np.asarray(position, np.int64) if not isinstance(position, Dim) else as_tensor(position)
                shape.append(size)
        starts.append(start)
        stops.append(stop)
        strides.append(stride)
        axis += 1
    if any((a, b, s) != (0, n, 1) for a, b, s, n in zip(starts, stops, strides, x.spec.shape)):
        x = apply("slice", x, starts=tuple(starts), stops=tuple(stops), strides=tuple(strides))
    if tuple(shape) != x.spec.shape:
        x = apply("reshape", x, shape=tuple(shape))
    return _take_arrays(x, advanced) if advanced else x


def _row(x, place):
    """One row of an eager tensor: what loops over tensors ask for."""
    size, *rest = x._array.shape
    if size != 1:
        zeros, ones = (0,) * len(rest), (1,) * (len(rest) + 1)
        x = apply("slice", x, starts=(place, *zeros), stops=(place + 1, *rest), strides=ones)
    return apply("reshape", x, shape=tuple(rest))


def _is_array(item) -> bool:
    """True for an index that picks several places, or one that is known only to the graph."""
    if isinstance(item, SymbolicTensor):
        return True
    return isinstance(item, (np.ndarray, Tensor, list)) and np.ndim(getattr(item, "array", item)) > 0


def _fail(summary, x, key, expected, mend=""):
    raise TensorIndexError(summary, got=f"index {key!r} into {x.spec}", expected=expected, mend=mend)


def _expand_ellipsis(x, key) -> list:
    """One item per axis and new axis: masks become index arrays, the ellipsis and missing axes become full slices."""
    key = [as_tensor(item) if is_tensor(item) else item for item in key]
    used = sum(map(_axes_of, key))
    dots = [i for i, item in enumerate(key) if item is Ellipsis]
    if len(dots) > 1:
        _fail("an index has more than one ellipsis.", x, key, "at most one '...'")
    if used > x.ndim:
        _fail(f"{used} indices for a tensor of rank {x.ndim}.", x, key, f"at most {x.ndim} indices")
    at = dots[0] if dots else len(key)
    key = [*key[:at], *[slice(None)] * (x.ndim - used), *key[at + 1 :]]
    items, axis = [], 0
    for item in key:
        if isinstance(item, (bool, np.bool_)):
            _fail("a Python boolean is not an index.", x, item, "integers, slices, arrays or masks", "use ops.where or None")
        if isinstance(item, (list, np.ndarray)) or is_tensor(item):
            item = _array_index(item, x, axis, key)
        parts = item if isinstance(item, tuple) else (item,)
        items += parts
        axis += sum(part is not None for part in parts)
    return items


def _axes_of(item) -> int:
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, SymbolicTensor) or not isinstance(item, (list, np.ndarray, Tensor)):
        return 1
    array = np.asarray(getattr(item, "array", item))
    return array.ndim if array.dtype == bool and array.ndim else 1


def _array_index(item, x, axis, key):
    """An index array as it is; a mask as the tuple of index arrays of its true places."""
    if isinstance(item, SymbolicTensor):
        if not is_integer(item.dtype):
            _fail(
                f"a symbolic {item.dtype} tensor is not an index.",
                x,
                key,
                "an integer tensor; the number of true places of a mask is unknown when the graph is built",
                "use ops.where(mask, x, 0), or multiply by the mask",
            )
        return item
    array = np.asarray(item.array if isinstance(item, Tensor) else item)
    if array.dtype == bool:
        covered = x.spec.shape[axis : axis + array.ndim]
        if len(covered) != array.ndim or any(not isinstance(d, Dim) and d != n for d, n in zip(covered, array.shape)):
            _fail(f"a mask of shape {array.shape} does not fit axis {axis}.", x, key, f"a mask of shape {covered}")
        return tuple(np.nonzero(array))
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        _fail(f"an array of {array.dtype} is not an index.", x, key, "integers or booleans", "cast the index to 'int32'")
    return array if array.ndim else int(array)


def _position(item, size, axis, x):
    if isinstance(item, Dim):
        return item
    try:
        index = operator.index(item)
    except TypeError:
        _fail(f"{type(item).__name__} is not an index.", x, item, "integers, slices, None, '...', integer arrays or masks")
    if isinstance(size, Dim):
        return index if index >= 0 else size + index
    if not -size <= index < size:
        _fail(f"index {index} is out of range for axis {axis} of size {size}.", x, item, f"an integer in [{-size}, {size})")
    return index % size


def _bound(value):
    return value if value is None or isinstance(value, Dim) else operator.index(value)


def _bounds(item, size, axis):
    """Start, stop and stride of a slice, with negative and missing bounds resolved as in NumPy.

    On an axis of unknown size a positive start is taken to lie inside, and a stop is cut to the size.
    """
    start, stop = _bound(item.start), _bound(item.stop)
    stride = 1 if item.step is None else operator.index(item.step)
    if stride == 0:
        raise TensorIndexError(f"the step of a slice of axis {axis} is 0.", got=repr(item), expected="a step other than 0")
    if not any(isinstance(v, Dim) for v in (start, stop, size)):
        start, stop, stride = slice(start, stop, stride).indices(size)
        return (start, stop, stride) if slice_length(start, stop, stride) else (0, 0, 1)
    if isinstance(start, int) and isinstance(stop, int) and (start < 0) == (stop < 0) and (stop - start) * stride <= 0:
        return 0, 0, 1
    if stride > 0:
        first = 0 if start is None else _wrapped(start, size)
        last = size if stop is None else _clamped(stop, size)
    else:
        first = size - 1 if start is None else _clamped(start, size - 1, size)
        last = -1 if stop is None else _wrapped(stop, size)
    return first, last, stride


def _wrapped(bound, size):
    return size + bound if isinstance(bound, int) and bound < 0 else bound


def _clamped(bound, limit, size=None):
    if isinstance(bound, int) and bound < 0:
        return (limit if size is None else size) + bound
    # Axes are taken to have an element: x[:1] then keeps the plain size 1.
    return bound if isinstance(bound, Dim) or bound <= 1 else dim_min(bound, limit)


def _take_arrays(x, advanced):
    """Indexes several axes with arrays that are broadcast together. Their axes stand where the first array stood if the arrays
    are neighbours, else in front."""
    axes = sorted(advanced)
    if len(axes) == 1:
        return apply("gather", x, _as_index(advanced[axes[0]]), axis=axes[0])
    sizes = [x.spec.shape[a] for a in axes]
    rest = [a for a in range(x.ndim) if a not in axes]
    flat = x if axes[-1] < len(axes) else apply("transpose", x, perm=(*axes, *rest))
    size = 1
    for n in sizes:
        size = n * size
    flat = apply("reshape", flat, shape=(size, *(x.spec.shape[a] for a in rest)))
    index = None
    for axis, n in zip(axes, sizes):
        places = _non_negative(advanced[axis], n, axis)
        index = places if index is None else index * n + places
    result = apply("gather", flat, _as_index(index), axis=0)
    if axes[0] == 0 or axes != list(range(axes[0], axes[-1] + 1)):
        return result
    rank, front = as_tensor(index).ndim, axes[0]
    # (indices..., before..., after...) -> (before..., indices..., after...)
    perm = (*range(rank, rank + front), *range(rank), *range(rank + front, result.ndim))
    return apply("transpose", result, perm=perm)


def _as_index(item):
    return item if is_tensor(item) else np.asarray(item, np.int32 if np.all(np.abs(item) < 2**31) else np.int64)


def _non_negative(item, size, axis):
    if isinstance(item, (np.ndarray, int)) and not isinstance(size, Dim):
        item = np.asarray(item).astype(np.int64)
        if item.size and (item.min() < -size or item.max() >= size):
            raise TensorIndexError(
                f"an index of axis {axis} is out of range.",
                got=f"indices between {item.min()} and {item.max()}",
                expected=f"integers in [{-size}, {size})",
            )
        return np.where(item < 0, item + size, item)
    item = apply("cast", item, dtype="int64")
    wrapped = apply("select", item < 0, item + size, item)
    return wrapped if isinstance(size, Dim) else apply("check_range", wrapped, low=0, high=size, what="index")
