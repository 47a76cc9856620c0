"""Functions that put elements in order or count them, as in `keras.ops.numpy` and `keras.ops.math`."""

import numpy as np

from graphkeras.ir.errors import ArgumentError, TraceError
from graphkeras.ops import sorting_records  # noqa: F401 - registers the ops
from graphkeras.ops.inference import normalize_axis
from graphkeras.ops.numpy_create import linspace
from graphkeras.ops.numpy_reduce import max as reduce_max
from graphkeras.ops.numpy_reduce import min as reduce_min
from graphkeras.ops.numpy_shape import cut, ravel
from graphkeras.ops.promotion import promote, result_type
from graphkeras.ops.sources import filled
from graphkeras.trace import SymbolicTensor, Tensor, as_tensor, convert_to_tensor, prim


def sort(x, axis=-1):
    """Sorts the elements along an axis, in ascending order.

    Args:
        x: Input tensor. NaN is placed behind all numbers; equal elements keep their order.
        axis: Axis along which to sort; `None` sorts the flattened tensor. Defaults to -1.

    Returns:
        Sorted tensor.

    Example:

    >>> sort([[3, 1, 2]]).tolist()
    [[1, 2, 3]]
    """
    x = as_tensor(x)
    x, axis = (ravel(x), 0) if axis is None else (x, axis)
    return prim.sort(x, axis=normalize_axis("sort", axis, x.ndim))


def argsort(x, axis=-1):
    """Returns the indices that sort a tensor along an axis.

    Args:
        x: Input tensor. NaN comes behind all numbers; of equal elements the first comes first.
        axis: Axis along which to sort; `None` sorts the flattened tensor. Defaults to -1.

    Returns:
        int32 tensor of indices.

    Example:

    >>> argsort([[3, 1, 2]]).tolist()
    [[1, 2, 0]]
    """
    x = as_tensor(x)
    x, axis = (ravel(x), 0) if axis is None or not x.ndim else (x, axis)
    return prim.argsort(x, axis=normalize_axis("argsort", axis, x.ndim))


def argpartition(x, kth, axis=-1):
    """Returns indices that bring the element of rank `kth` to its place, smaller ones before it and larger ones behind.

    Args:
        x: Input tensor.
        kth: Rank of the element; it has no influence, for the indices sort the tensor completely.
        axis: Axis along which to partition; `None` takes the flattened tensor. Defaults to -1.

    Returns:
        int32 tensor of indices.

    Example:

    >>> argpartition([3, 1, 2], 1).tolist()
    [1, 2, 0]
    """
    if not isinstance(kth, int):
        raise ArgumentError(
            "argpartition: kth must be an integer.",
            got=f"kth={kth!r}",
            expected="the rank of one element",
            mend="sort completely with ops.argsort for several ranks",
        )
    return argsort(x, axis)


def top_k(x, k, sorted=True):
    """Finds the `k` largest elements of the last axis and where they are.

    Args:
        x: Input tensor. NaN counts as the largest; of equal elements the first comes first.
        k: How many, as an int.
        sorted: Has no influence: the elements are always in descending order.

    Returns:
        Tuple of two tensors (..., k): values, and int32 indices.

    Example:

    >>> [part.tolist() for part in top_k([5, 2, 7, 1], k=2)]
    [[7, 5], [2, 0]]
    """
    x = as_tensor(x)
    return prim.top_k(prim.cast(x, dtype="uint8") if x.dtype == "bool" else x, k=k.__index__())


def bincount(x, weights=None, minlength=0, sparse=False):
    """Counts how often each non-negative integer occurs.

    Args:
        x: Integer tensor of rank 1 or 2, with values: the size of the result depends on them. Rows are counted one by one.
        weights: Tensor of the shape of `x`; each element counts as its weight.
        minlength: Least size of the result's last axis.
        sparse: Kept for compatibility with Keras; tensors are dense.

    Returns:
        int32 tensor of counts, or sums of weights in the common dtype of `x` and `weights`.

    Raises:
        TraceError: for a symbolic tensor.

    Example:

    >>> bincount([1, 2, 2], minlength=4).tolist()
    [0, 1, 2, 0]
    """
    x = as_tensor(x)
    if sparse:
        raise ArgumentError("Tensors are dense.", got="sparse=True", expected="sparse=False", mend="leave sparse=False")
    if isinstance(x, SymbolicTensor):
        raise TraceError(
            "bincount: the number of results is unknown when the graph is built.", got=repr(x), expected="an eager tensor",
            mend="use ops.sum(ops.one_hot(x, num_classes), axis=...), whose size is fixed, or run with run_eagerly=True",
        )  # fmt: skip
    if x.ndim not in (1, 2):
        raise ArgumentError("bincount: needs rank 1 or 2.", got=str(x.spec), expected="rank 1 or 2")
    length = max(int(x.array.max(initial=-1)) + 1, int(minlength))
    dtype = "int32" if weights is None else result_type(x.dtype, as_tensor(weights).dtype)
    ones = filled(1, x.spec.shape, dtype, like=x) if weights is None else convert_to_tensor(weights, dtype)
    places = prim.check_range(prim.cast(x, dtype="int32"), low=0, high=length, what="value")
    return _counts(places, ones, length)


def _counts(places, amounts, length):
    """The sum of `amounts` at each place of the last axis."""
    rows = places.spec.shape[:-1]
    if not rows:
        return prim.scatter_add(filled(0, (length,), amounts.dtype, like=amounts), places, amounts, axis=0)
    row = prim.iota(shape=(*rows, 1), axis=0, dtype="int32") * np.int32(length)
    flat = filled(0, (rows[0] * length,), amounts.dtype, like=amounts)
    return prim.reshape(prim.scatter_add(flat, places + row, amounts, axis=0), shape=(*rows, length))


def histogram(x, bins=10, range=None):
    """Counts the elements in bins of equal width.

    Args:
        x: Tensor of rank 1.
        bins: Number of bins.
        range: (smallest, largest) edge; elements beyond are left out. The extremes of `x` by default.

    Returns:
        Tuple of counts, with the dtype of `x`, and the `bins + 1` edges. The last bin holds its upper edge too.

    Example:

    >>> [part.tolist() for part in histogram([1.0, 1.5, 3.0], bins=2)]
    [[2.0, 1.0], [1.0, 2.0, 3.0]]
    """
    x = as_tensor(x)
    if not isinstance(bins, int) or bins <= 0:
        raise ArgumentError(
            "Argument `bins` should be a non-negative integer that is not zero.", got=f"bins={bins!r}", expected="1 or more",
            mend="pass the number of bins, e.g. bins=10",
        )  # fmt: skip
    if range is not None and (not isinstance(range, (tuple, list)) or len(range) != 2 or range[1] < range[0]):
        raise ArgumentError(
            "Argument `range` must be a tuple of two elements in ascending order.", got=f"range={range!r}", expected="(low, high)",
            mend="leave range=None for the least and the largest element",
        )  # fmt: skip
    if x.ndim != 1:
        raise ArgumentError(
            "histogram: Input tensor must be 1-dimensional.", got=str(x.spec), expected="rank 1", mend="use ops.ravel first"
        )
    low, high = (reduce_min(x), reduce_max(x)) if range is None else (convert_to_tensor(v, x.dtype) for v in range)
    edges = prim.cast(linspace(low, high, bins + 1), dtype=x.dtype)
    bin_of = prim.searchsorted(cut(edges, 0, 1, bins), x, side="right")
    inside = prim.logical_and(prim.greater_equal(x, low), prim.less_equal(x, high))
    return _counts(bin_of, prim.cast(inside, dtype=x.dtype), bins), edges


def unique(x, sorted=True, return_index=False, return_inverse=False, return_counts=False, axis=None, size=None, fill_value=None):
    """Finds the different elements of a tensor.

    Args:
        x: Input tensor, with values: the number of results depends on them.
        sorted: Whether the results are in ascending order, or in that of their first occurrence.
        return_index: Whether to return the index of each first occurrence.
        return_inverse: Whether to return, for each element of `x`, its index among the results.
        return_counts: Whether to return how often each occurs.
        axis: Axis along which slices are compared; the flattened tensor by default.
        size: Number of results, to which they are cut or filled up.
        fill_value: What to fill up with; 0 by default.

    Returns:
        The different elements, or a tuple of them and what was asked for (int32 tensors).

    Raises:
        TraceError: for a symbolic tensor.

    Example:

    >>> [part.tolist() for part in unique([3, 1, 3], return_counts=True)]
    [[1, 3], [1, 2]]
    """
    x = as_tensor(x)
    if isinstance(x, SymbolicTensor):
        raise TraceError(
            "unique: the number of results is unknown when the graph is built.", got=repr(x), expected="an eager tensor",
            mend="run the model with run_eagerly=True",
        )  # fmt: skip
    # As in TensorFlow, no NaN equals another.
    values, index, inverse, counts = np.unique(
        x.array, return_index=True, return_inverse=True, return_counts=True, axis=axis, equal_nan=False
    )
    along = 0 if axis is None else normalize_axis("unique", axis, x.ndim)
    inverse = inverse.reshape(x.array.shape if axis is None else -1)
    if not sorted:
        order = np.argsort(index)
        values, index, counts = np.take(values, order, along), index[order], counts[order]
        inverse = np.argsort(order)[inverse]
    if size is not None:
        missing = max(0, size - len(index))
        kept = np.arange(min(size, len(index)))
        widths = [(0, missing if a == along else 0) for a in range(values.ndim)]
        values = np.pad(np.take(values, kept, along), widths, constant_values=0 if fill_value is None else fill_value)
        index, counts = np.pad(index[kept], (0, missing), constant_values=1), np.pad(counts[kept], (0, missing))
    wanted = [(index, return_index), (inverse, return_inverse), (counts, return_counts)]
    results = [Tensor(values), *(Tensor(part.astype(np.int32)) for part, asked in wanted if asked)]
    return tuple(results) if len(results) > 1 else results[0]


def searchsorted(sorted_sequence, values, side="left"):
    """Finds the positions at which values would keep a sequence sorted.

    Args:
        sorted_sequence: Sorted tensor of rank 1.
        values: Values to look for.
        side: "left" for the first fitting position, "right" for the last.

    Returns:
        int32 tensor of the shape of `values`; NaN is looked for behind all numbers.

    Example:

    >>> searchsorted([1, 2, 3], [2, 9]).tolist()
    [1, 3]
    """
    edges, values = promote(as_tensor(sorted_sequence), as_tensor(values))
    return prim.searchsorted(edges, values, side=side)


def digitize(x, bins):
    """Returns the indices of the bins to which each value belongs.

    Args:
        x: Input tensor.
        bins: Increasing bin edges of rank 1.

    Returns:
        int32 tensor: `i` such that `bins[i-1] <= x < bins[i]`.

    Example:

    >>> digitize([0.5, 1.0, 9.0], [1.0, 2.0]).tolist()
    [0, 1, 2]
    """
    return searchsorted(bins, x, side="right")


__all__ = [
    "argpartition", "argsort", "bincount", "digitize", "histogram", "searchsorted", "sort", "top_k", "unique",
]  # fmt: skip
