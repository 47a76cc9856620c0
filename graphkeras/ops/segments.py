"""Reductions of segments, and updates at computed places, as in `keras.ops.math` and `keras.ops.core`."""

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dims import size as size_of
from graphkeras.ir.dtypes import is_float, numpy_dtype
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops import segment_records  # noqa: F401 - registers scatter_reduce
from graphkeras.ops.inference import join_dim
from graphkeras.ops.numpy_shape import cut, resolve_shape
from graphkeras.ops.sources import filled, iota
from graphkeras.trace import SymbolicTensor, as_tensor, convert_to_tensor, is_tensor, prim


def _lowest(dtype):
    return (
        np.finfo(numpy_dtype(dtype)).min
        if dtype in ("float16", "float32", "float64")
        else (-3.3895313892515355e38 if is_float(dtype) else np.iinfo(dtype).min)
    )


def _highest(dtype):
    return -_lowest(dtype) if is_float(dtype) else np.iinfo(dtype).max


def segments(name, data, segment_ids, num_segments, how, start):
    """Rows put together by segment; `how` is "add" or one of scatter_reduce, `start(dtype)` what an empty segment holds.

    Raises:
        DataError: for an id of `num_segments` or more, as TensorFlow does on CPUs.
    """
    data, ids = as_tensor(data), as_tensor(segment_ids)
    if ids.ndim != 1:
        raise ShapeError(
            f"{name}: Argument `segment_ids` should be an 1-D vector.",
            got=f"segment_ids {ids.spec}",
            expected="rank 1",
            mend="flatten the ids with ops.reshape(ids, -1), and the same axes of the data",
        )
    if not data.ndim or join_dim(ids.spec.shape[0], data.spec.shape[0]) is None:
        raise ShapeError(
            f"{name}: Argument `segment_ids` and `data` should have same leading dimension.",
            got=f"data {data.spec}, segment_ids {ids.spec}",
            expected="one id for each row of the data",
            mend="check that both come from the same batch",
        )
    if num_segments is None:
        if isinstance(ids, SymbolicTensor):
            raise ArgumentError("Argument `num_segments` must be set when the ids are symbolic.", got=repr(ids), expected="an int")
        num_segments = int(ids.array.max()) + 1 if ids.array.size else 0
    rest = data.spec.shape[1:]
    ids = prim.cast(ids, dtype="int32")
    negative = prim.less(ids, np.int32(0))
    ids = (
        prim.check_range(prim.select(negative, np.int32(0), ids), low=0, high=num_segments, what="segment id")
        if num_segments
        else ids
    )
    # One row more takes what is left out.
    ids = prim.select(negative, np.int32(num_segments), ids)
    rows = filled(start(data.dtype), (num_segments + 1, *rest), data.dtype, like=data)
    filled_rows = prim.scatter_add(rows, ids, data, axis=0) if how == "add" else prim.scatter_reduce(rows, ids, data, how=how)
    return cut(filled_rows, 0, 0, num_segments)


def segment_max(data, segment_ids, num_segments=None, sorted=False):
    """Computes the maximum of segments of a tensor.

    Args:
        data: Tensor whose rows are compared.
        segment_ids: int tensor: the segment of each row; rows of negative segments are left out.
        num_segments: Number of segments; the largest id plus 1 by default, which needs eager ids.
        sorted: Whether the ids are sorted; has no effect on the result.

    Returns:
        Tensor with one row per segment; the lowest number of the dtype where a segment is empty.

    Example:

    >>> segment_max([1, 2, 10], [0, 0, 1], num_segments=2).tolist()
    [2, 10]
    """
    return segments("segment_max", data, segment_ids, num_segments, "max", _lowest)


def segment_min(data, segment_ids, num_segments=None, sorted=False):
    """Computes the minimum of segments of a tensor.

    Args:
        data: Tensor whose rows are compared.
        segment_ids: int tensor: the segment of each row; rows of negative segments are left out.
        num_segments: Number of segments; the largest id plus 1 by default, which needs eager ids.
        sorted: Whether the ids are sorted; has no effect on the result.

    Returns:
        Tensor with one row per segment; the highest number of the dtype where a segment is empty.

    Example:

    >>> segment_min([1, 2, 10], [0, 0, 1], num_segments=2).tolist()
    [1, 10]
    """
    return segments("segment_min", data, segment_ids, num_segments, "min", _highest)


def segment_prod(data, segment_ids, num_segments=None, sorted=False):
    """Computes the product of segments of a tensor.

    Args:
        data: Tensor whose rows are multiplied.
        segment_ids: int tensor: the segment of each row; rows of negative segments are left out.
        num_segments: Number of segments; the largest id plus 1 by default, which needs eager ids.
        sorted: Whether the ids are sorted; has no effect on the result.

    Returns:
        Tensor with one row per segment; 1 where a segment is empty.

    Example:

    >>> segment_prod([1, 2, 10], [0, 0, 1], num_segments=2).tolist()
    [2, 10]
    """
    return segments("segment_prod", data, segment_ids, num_segments, "mul", lambda dtype: 1)


def scatter_update(inputs, indices, updates, reduction=None):
    """Updates a tensor at the places that `indices` gives.

    Args:
        inputs: Input tensor.
        indices: Integer tensor (N, K): the first K coordinates of each update.
        updates: Tensor (N, rest of the shape of `inputs`).
        reduction: `None` replaces (of several updates of one place the last stands); "add", "max", "min" and "mul" put old and new
            values together.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        DataError: for an index out of range.

    Example:

    >>> scatter_update([[0, 0], [0, 0]], [[0, 1], [1, 0]], [5, 7]).tolist()
    [[0, 5], [7, 0]]
    """
    if reduction not in (None, "add", "max", "min", "mul"):
        raise ArgumentError(
            f"Unsupported reduction: {reduction}", got=f"reduction={reduction!r}", expected="None, 'add', 'max', 'min', 'mul'"
        )
    x, indices = as_tensor(inputs), as_tensor(indices)
    updates = convert_to_tensor(updates, x.dtype)
    depth = indices.spec.shape[-1] if indices.ndim else None
    if not isinstance(depth, int) or depth > x.ndim:
        raise ShapeError(
            "scatter_update: the indices have the wrong shape.",
            got=f"indices {indices.spec} for inputs {x.spec}",
            expected="(N, K), K <= rank",
        )
    dims, lead = x.spec.shape, indices.spec.shape[:-1]
    count = size_of(lead)
    places = None
    for axis in range(depth):
        part = prim.reshape(cut(indices, indices.ndim - 1, axis, axis + 1), shape=(count,))
        part = prim.cast(part, dtype="int32")
        if axis or depth > 1:  # rows beyond the first coordinate would pass for others
            part = prim.check_range(part, low=0, high=dims[axis], what="index")
        places = part if places is None else places * _scalar(dims[axis]) + part
    rows = prim.reshape(x, shape=(size_of(dims[:depth]), *dims[depth:]))
    updates = prim.reshape(prim.broadcast_to(updates, shape=(*lead, *dims[depth:])), shape=(count, *dims[depth:]))
    if reduction == "add":
        result = prim.scatter_add(rows, places, updates, axis=0)
    else:
        result = prim.scatter_reduce(rows, places, updates, how=reduction or "set")
    return prim.reshape(result, shape=dims)


def _scalar(size):
    return prim.dim(size=size) if isinstance(size, Dim) else np.int32(size)


def _starts(start_indices):
    """The beginning on each axis: ints and sizes, or scalar int32 tensors for what is known only at run time."""
    if is_tensor(start_indices):
        tensor = as_tensor(start_indices)
        if not isinstance(tensor, SymbolicTensor):
            return tuple(int(v) for v in tensor.array)
        return tuple(_start(prim.reshape(cut(tensor, 0, i, i + 1), shape=())) for i in range(tensor.spec.shape[0]))
    return tuple(_start(v) for v in start_indices)


def _start(value):
    if is_tensor(value):
        tensor = as_tensor(value)
        return prim.cast(tensor, dtype="int32") if isinstance(tensor, SymbolicTensor) else int(tensor.array)
    return value


def slice(inputs, start_indices, shape):
    """Returns a slice of a tensor.

    Args:
        inputs: Input tensor.
        start_indices: Start of the slice on every axis: ints, or integer tensors whose values may be known only at run time.
        shape: Shape of the slice; -1 takes the rest of an axis.

    Returns:
        Tensor of the given shape.

    Raises:
        ShapeError: for a slice that leaves the tensor, or another number of axes than `inputs` has.
        DataError: for a slice that leaves the tensor at run time.

    Example:

    >>> slice([[1, 2, 3], [4, 5, 6]], [0, 1], [2, 2]).tolist()
    [[2, 3], [5, 6]]
    """
    x, starts, sizes = as_tensor(inputs), _starts(start_indices), resolve_shape(shape)
    for name, given in (("start_indices", starts), ("shape", sizes)):
        if len(given) != x.ndim:
            raise ShapeError(
                f"slice: the number of dimensions in `inputs` must match the number of dimensions in `{name}`.",
                got=f"inputs {x.spec}, {name}={start_indices if name == 'start_indices' else shape!r}",
                expected=f"{x.ndim} numbers in `{name}`",
                mend="give one number per axis; shape -1 takes the rest of an axis",
            )
    for axis, (start, size, room) in enumerate(zip(starts, sizes, x.spec.shape, strict=True)):
        if not is_tensor(start):
            x = cut(x, axis, start, room if isinstance(size, int) and size == -1 else start + size)
        elif isinstance(size, int) and size == -1:
            raise ShapeError(
                f"slice: shape[{axis}] is -1, but the start on that axis is known only when the program runs.",
                got=f"start_indices={start_indices!r}, shape={shape!r}",
                expected="a size for every axis with a computed start",
                mend="name the size, or use ops.take with indices of a known number",
            )
        else:
            x = prim.gather(x, iota((size,), 0, "int32", like=x) + start, axis=axis)
    return x


def slice_update(inputs, start_indices, updates):
    """Returns a tensor with a slice of it replaced.

    Args:
        inputs: Input tensor.
        start_indices: Start of the slice on every axis: ints, or integer tensors whose values may be known only at run time. A
            slice that would leave the tensor is moved inside.
        updates: Tensor of the rank of `inputs`, not larger on any axis.

    Returns:
        Tensor of the shape and dtype of `inputs`.

    Example:

    >>> slice_update([[0, 0], [0, 0]], [1, 0], [[5, 7]]).tolist()
    [[0, 0], [5, 7]]
    """
    x = as_tensor(inputs)
    updates = convert_to_tensor(updates, x.dtype)
    starts = _starts(start_indices)
    if not len(starts) == x.ndim == updates.ndim:
        raise ShapeError(
            "slice_update: ranks differ.",
            got=f"inputs {x.spec}, {len(starts)} starts, updates {updates.spec}",
            expected="equal ranks",
        )
    inside = None
    for axis, (start, size, room) in enumerate(zip(starts, updates.spec.shape, x.spec.shape)):
        if size == room:
            continue
        if isinstance(start, (int, np.integer)) and isinstance(room, int) and isinstance(size, int):
            start = np.int32(max(0, min(int(start), room - size)))
        else:
            start = prim.maximum(prim.minimum(as_tensor(start), _scalar(room - size)), np.int32(0))
        # Element i of the axis comes from element i - start of the updates, where there is one.
        place = iota((room,), 0, "int32", like=x) - start
        known = prim.logical_and(prim.greater_equal(place, np.int32(0)), prim.less(place, _scalar(size)))
        updates = prim.gather(updates, prim.select(known, place, np.int32(0)), axis=axis)
        known = prim.reshape(known, shape=tuple(room if a == axis else 1 for a in range(x.ndim)))
        inside = known if inside is None else prim.logical_and(inside, known)
    return updates if inside is None else prim.select(inside, updates, x)


__all__ = ["scatter_update", "segment_max", "segment_min", "segment_prod", "slice", "slice_update"]
