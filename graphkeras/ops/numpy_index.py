"""Functions that pick elements, as in `keras.ops.numpy`."""

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dims import size as _size_of
from graphkeras.ir.dtypes import is_integer
from graphkeras.ir.errors import ArgumentError, TraceError
from graphkeras.ops.getitem import getitem
from graphkeras.ops.inference import broadcast_dim, normalize_axis
from graphkeras.ops.numpy_shape import cut, expand_dims, moveaxis, ravel, reshape
from graphkeras.ops.promotion import as_float, promote
from graphkeras.ops.sources import iota
from graphkeras.trace import SymbolicTensor, Tensor, as_tensor, convert_to_tensor, prim


def get_item(x, key):
    """Returns `x[key]`.

    Args:
        x: Input tensor.
        key: Integers, slices, `None`, `...`, integer arrays or masks.

    Returns:
        The part of the tensor.

    Example:

    >>> get_item([1, 2, 3], slice(1, None)).tolist()
    [2, 3]
    """
    return getitem(x, key)


def take(x, indices, axis=None):
    """Takes elements from a tensor along an axis.

    Args:
        x: Input tensor.
        indices: Integer tensor; negative ones count from the end.
        axis: Axis over which to select; the flattened tensor by default.

    Returns:
        Tensor in which the axis is replaced by the axes of `indices`.

    Raises:
        DataError: for an index out of range.

    Example:

    >>> take([[1, 2], [3, 4]], [1, 0], axis=1).tolist()
    [[2, 1], [4, 3]]
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = ravel(x), 0
    indices = as_tensor(indices)
    if not is_integer(indices.dtype):
        indices = prim.cast(indices, dtype="int32")
    return prim.gather(x, indices, axis=normalize_axis("take", axis, x.ndim))


def take_along_axis(x, indices, axis=None):
    """Selects values from `x` at the positions that `indices` gives along an axis.

    Args:
        x: Input tensor.
        indices: Integer tensor of the rank of `x`, broadcast with it on all other axes.
        axis: Axis along which to select; the flattened tensor by default.

    Returns:
        Tensor of the shape of the (broadcast) indices.

    Raises:
        DataError: for an index out of range.

    Example:

    >>> take_along_axis([[1, 5], [7, 3]], [[1], [0]], axis=1).tolist()
    [[5], [7]]
    """
    x, indices = as_tensor(x), as_tensor(indices)
    if axis is None:
        if indices.ndim != 1:
            raise ArgumentError("`indices` must be 1D if axis=None.", got=str(indices.spec), expected="rank 1")
        x, axis = ravel(x), 0
    if x.ndim != indices.ndim:
        raise ArgumentError(
            "take_along_axis: x and indices have different ranks.",
            got=f"x {x.spec}, indices {indices.spec}",
            expected="equal ranks",
            mend="insert axes of size 1 with ops.expand_dims",
        )
    axis = normalize_axis("take_along_axis", axis, x.ndim)
    x, indices = moveaxis(x, axis, -1), moveaxis(indices, axis, -1)
    rows = tuple(broadcast_dim(a, b) for a, b in zip(x.spec.shape[:-1], indices.spec.shape[:-1]))
    size, picks = x.spec.shape[-1], indices.spec.shape[-1]
    count = _size_of(rows)
    x = prim.broadcast_to(x, shape=(*rows, size))
    indices = prim.broadcast_to(indices, shape=(*rows, picks))
    # (R, n) and (R, p): element r * n + i of the flattened rows.
    total = count * size
    dtype = "int32" if isinstance(total, int) and total < 2**31 else "int64"
    index = convert_to_tensor(reshape(indices, (count, picks)), dtype)
    index = prim.select(index < 0, index + size, index)
    if not isinstance(size, Dim):
        index = prim.check_range(index, low=0, high=size, what="index")
    flat = index + iota((count, 1), 0, dtype, like=x) * size
    picked = prim.gather(reshape(x, (total,)), flat, axis=0)
    return moveaxis(reshape(picked, (*rows, picks)), -1, axis)


def nonzero(x):
    """Returns the indices of the elements that are not zero.

    Args:
        x: Input tensor, with a value: the number of results depends on it.

    Returns:
        A list of int32 tensors, one per axis.

    Raises:
        TraceError: for a symbolic tensor.

    Example:

    >>> [i.tolist() for i in nonzero([[0, 1], [2, 0]])]
    [[0, 1], [1, 0]]
    """
    x = as_tensor(x)
    if isinstance(x, SymbolicTensor):
        raise TraceError(
            "nonzero: the number of results is unknown when the graph is built.",
            got=repr(x),
            expected="an eager tensor",
            mend="use ops.where(mask, x, y), which keeps the shape, or run the model with run_eagerly=True",
        )
    return [Tensor(i.astype(np.int32)) for i in np.nonzero(x.array)]


def unravel_index(indices, shape):
    """Converts flat indices into a tuple of coordinates.

    Args:
        indices: Integer tensor of indices into the flattened array.
        shape: Shape of the array.

    Returns:
        A tuple of tensors, one per axis.

    Example:

    >>> [c.tolist() for c in unravel_index([1, 5], (2, 3))]
    [[0, 1], [1, 2]]
    """
    indices = as_tensor(indices)
    coordinates = []
    for size in reversed(shape):
        coordinates.append(indices % size)
        indices = indices // size
    return tuple(reversed(coordinates))


def isin(x1, x2, assume_unique=False, invert=False):
    """Tests whether each element of `x1` is present in `x2`.

    Args:
        x1: Input tensor.
        x2: The values against which to test.
        assume_unique: Has no effect on the result.
        invert: If `True`, the result is inverted.

    Returns:
        Boolean tensor of the shape of `x1`.

    Example:

    >>> isin([1, 2, 3], [3, 1]).tolist()
    [True, False, True]
    """
    x1, x2 = promote(as_tensor(x1), as_tensor(x2))
    hits = prim.equal(expand_dims(x1, -1), ravel(x2))
    found = prim.reduce_any(hits, axes=(x1.ndim,), keepdims=False)
    return prim.logical_not(found) if invert else found


def diff(a, n=1, axis=-1):
    """Calculates the n-th discrete difference along an axis.

    Args:
        a: Input tensor.
        n: How often values are differenced. Defaults to 1.
        axis: Axis along which. Defaults to -1.

    Returns:
        Tensor whose axis is shorter by `n`.

    Example:

    >>> diff([1, 2, 4, 7]).tolist()
    [1, 2, 3]
    """
    a = as_tensor(a)
    if n < 0 or not a.ndim:
        raise ArgumentError("diff: needs an order n >= 0 and at least one axis.", got=f"{a.spec}, n={n}")
    axis = normalize_axis("diff", axis, a.ndim)
    for _ in range(n):
        size = a.spec.shape[axis]
        if isinstance(size, int) and size < 1:
            return a
        after, before = cut(a, axis, 1, size), cut(a, axis, 0, size - 1)
        a = prim.not_equal(after, before) if a.dtype == "bool" else prim.subtract(after, before)
    return a


def trapezoid(y, x=None, dx=1.0, axis=-1):
    """Integrates along an axis by the composite trapezoidal rule.

    Args:
        y: Tensor to integrate.
        x: Sample points; evenly spaced by default.
        dx: Spacing where `x` is not given.
        axis: Axis along which. Defaults to -1.

    Returns:
        The integral.

    Example:

    >>> trapezoid([1.0, 2.0, 3.0]).item()
    4.0
    """
    y = moveaxis(as_float(y), axis, -1)
    spacing = dx if x is None else diff(convert_to_tensor(x, y.dtype), axis=axis)
    if x is not None and spacing.ndim > 1:
        spacing = moveaxis(spacing, axis, -1)
    size, last = y.spec.shape[-1], y.ndim - 1
    heights = 0.5 * (cut(y, last, 1, size) + cut(y, last, 0, size - 1))
    return prim.reduce_sum(heights * spacing, axes=(last,), keepdims=False)
