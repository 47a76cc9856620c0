"""Diagonals, triangles and identity matrices, as in `keras.ops.numpy`."""

import operator

import numpy as np

from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.inference import scalar_like
from graphkeras.ops.numpy_index import take
from graphkeras.ops.numpy_reduce import sum as reduce_sum
from graphkeras.ops.numpy_shape import expand_dims, moveaxis, ravel, reshape
from graphkeras.ops.sources import iota
from graphkeras.trace import as_tensor, prim
from graphkeras.trace.settings import floatx


def eye(N, M=None, k=0, dtype=None):
    """Returns a 2-D tensor with ones on a diagonal and zeros elsewhere.

    Args:
        N: Number of rows.
        M: Number of columns; `N` by default.
        k: Index of the diagonal: 0 the main one, positive above, negative below.
        dtype: Data type; floatx by default.

    Returns:
        Tensor with ones on the k-th diagonal.

    Example:

    >>> eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return _banded("equal", N, M, k, floatx() if dtype is None else dtype_name(dtype))


def identity(n, dtype=None):
    """Returns the identity matrix.

    Args:
        n: Number of rows and columns.
        dtype: Data type; floatx by default.

    Returns:
        The identity matrix.

    Example:

    >>> identity(2, dtype="int32").tolist()
    [[1, 0], [0, 1]]
    """
    return eye(n, dtype=dtype)


def tri(N, M=None, k=0, dtype=None):
    """Returns a tensor with ones at and below a diagonal and zeros elsewhere.

    Args:
        N: Number of rows.
        M: Number of columns; `N` by default.
        k: Index of the diagonal: 0 the main one, positive above, negative below.
        dtype: Data type; floatx by default.

    Returns:
        Tensor with its lower triangle filled with ones.

    Example:

    >>> tri(2).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    return _banded("less_equal", N, M, k, floatx() if dtype is None else dtype_name(dtype))


def _banded(comparison, rows, columns, k, dtype, like=None):
    """Ones where `column - row` compares with k, as a matrix (rows, columns)."""
    columns = rows if columns is None else columns
    row, column = iota((rows, 1), 0, "int32", like), iota((1, columns), 1, "int32", like)
    hit = getattr(prim, comparison)(prim.subtract(column, row), np.int32(k))
    return hit if dtype == "bool" else prim.cast(hit, dtype=dtype)


def _triangle(comparison, x, k):
    x = as_tensor(x)
    kept = _banded(comparison, *x.spec.shape[-2:], k, "bool", like=x)
    return prim.select(kept, x, scalar_like(0, x))


def tril(x, k=0):
    """Returns the lower triangle of a tensor, with zeros above the k-th diagonal.

    Args:
        x: Input tensor of rank 2 or more.
        k: Diagonal above which elements are zeroed. Defaults to 0.

    Returns:
        Tensor of the same shape.

    Example:

    >>> tril([[1, 2], [3, 4]]).tolist()
    [[1, 0], [3, 4]]
    """
    return _triangle("less_equal", x, k)


def triu(x, k=0):
    """Returns the upper triangle of a tensor, with zeros below the k-th diagonal.

    Args:
        x: Input tensor of rank 2 or more.
        k: Diagonal below which elements are zeroed. Defaults to 0.

    Returns:
        Tensor of the same shape.

    Example:

    >>> triu([[1, 2], [3, 4]]).tolist()
    [[1, 2], [0, 4]]
    """
    return _triangle("greater_equal", x, k)


def diagonal(x, offset=0, axis1=0, axis2=1):
    """Returns a diagonal of the planes of two axes.

    Args:
        x: Input tensor of rank 2 or more.
        offset: Offset of the diagonal from the main one.
        axis1: First axis of the planes.
        axis2: Second axis of the planes.

    Returns:
        Tensor whose last axis is the diagonal.

    Example:

    >>> diagonal([[1, 2], [3, 4]]).tolist()
    [1, 4]
    """
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = map(operator.index, x.spec.shape[-2:])
    length = max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)
    first = offset if offset >= 0 else -offset * columns
    places = first + (columns + 1) * np.arange(length, dtype=np.int32)
    return take(reshape(x, (*x.spec.shape[:-2], rows * columns)), places.astype(np.int32), axis=-1)


def diag(x, k=0):
    """Extracts a diagonal of a matrix, or makes a matrix with the given diagonal.

    Args:
        x: Tensor of rank 1 or 2.
        k: Index of the diagonal.

    Returns:
        The diagonal (rank 1) or the matrix (rank 2).

    Example:

    >>> diag([1, 2]).tolist(), diag([[1, 2], [3, 4]], k=1).tolist()
    ([[1, 0], [0, 2]], [2])
    """
    x = as_tensor(x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ArgumentError("`x` must be 1d or 2d.", got=str(x.spec), expected="rank 1 or 2")
    size = x.spec.shape[0] + abs(k)
    along_rows = prim.pad(x, scalar_like(0, x), low=(max(-k, 0),), high=(max(k, 0),))
    # Row i of the k-th diagonal holds element i (k >= 0), or i + k of the shorter one: the padding puts it at place i.
    return prim.select(_banded("equal", size, size, k, "bool", like=x), expand_dims(along_rows, 1), scalar_like(0, x))


def diagflat(x, k=0):
    """Makes a matrix with the flattened tensor as a diagonal.

    Args:
        x: Input tensor.
        k: Index of the diagonal.

    Returns:
        A matrix.

    Example:

    >>> diagflat([[1, 2]]).tolist()
    [[1, 0], [0, 2]]
    """
    return diag(ravel(x), k)


def trace(x, offset=0, axis1=0, axis2=1):
    """Returns the sum along diagonals of a tensor.

    Args:
        x: Input tensor of rank 2 or more.
        offset: Offset of the diagonal from the main one.
        axis1: First axis of the planes.
        axis2: Second axis of the planes.

    Returns:
        The sum of the diagonal.

    Example:

    >>> trace([[1, 2], [3, 4]]).item()
    5
    """
    return reduce_sum(diagonal(x, offset, axis1, axis2), axis=-1)
