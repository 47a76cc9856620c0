"""Conversions, shapes and slices, as in `keras.ops.core`."""

import numpy as np

from graphkeras.ir.dtypes import dtype_name, is_float, numpy_dtype
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops.inference import normalize_axis
from graphkeras.ops.numpy_shape import cut, reshape, resolve_shape
from graphkeras.ops.sources import filled
from graphkeras.trace import as_tensor, prim
from graphkeras.trace import convert_to_tensor as _convert
from graphkeras.trace import is_tensor as _is_tensor


def shape(x):
    """Gets the shape of a tensor.

    Args:
        x: Input tensor.

    Returns:
        A tuple of ints; sizes known only when the program runs are symbolic integers that can be used in shapes and in arithmetic.

    Example:

    >>> shape([[1, 2, 3]])
    (1, 3)
    """
    return as_tensor(x).spec.shape


def ndim(x):
    """Returns the number of axes of a tensor.

    Args:
        x: Input tensor.

    Returns:
        An int.

    Example:

    >>> ndim([[1, 2]])
    2
    """
    return as_tensor(x).ndim


def size(x):
    """Returns the number of elements of a tensor.

    Args:
        x: Input tensor.

    Returns:
        An int, or a symbolic integer where it is known only when the program runs.

    Example:

    >>> size([[1, 2]])
    2
    """
    return as_tensor(x).spec.size


def dtype(x):
    """Returns the dtype of a tensor as a string.

    Args:
        x: Input tensor.

    Returns:
        The dtype name.

    Example:

    >>> dtype([1.0])
    'float32'
    """
    return as_tensor(x).dtype


def is_tensor(x):
    """Checks whether the given object is a tensor.

    Args:
        x: Any object.

    Returns:
        `True` for eager and symbolic tensors and variables.

    Example:

    >>> is_tensor(as_tensor(1)), is_tensor(1)
    (True, False)
    """
    return _is_tensor(x)


def cast(x, dtype):
    """Casts a tensor to the desired dtype.

    Args:
        x: Input tensor.
        dtype: The target dtype; floats are cut to integers, and everything but zero is true.

    Returns:
        A tensor of the dtype.

    Example:

    >>> cast([1.7, -1.7], "int32").tolist()
    [1, -1]
    """
    x, dtype = as_tensor(x), dtype_name(dtype)
    return x if x.dtype == dtype else prim.cast(x, dtype=dtype)


def _limits(dtype):
    if dtype == "bool":
        return 0, 1
    if dtype == "bfloat16":
        return -3.3895313892515355e38, 3.3895313892515355e38
    info = np.finfo(numpy_dtype(dtype)) if is_float(dtype) else np.iinfo(dtype)
    return info.min, info.max


def saturate_cast(x, dtype):
    """Casts a tensor to the desired dtype, with values beyond its range cut to the range.

    Args:
        x: Input tensor.
        dtype: The target dtype.

    Returns:
        A tensor of the dtype.

    Example:

    >>> saturate_cast([-1.0, 256.0], "uint8").tolist()
    [0, 255]
    """
    x, dtype = as_tensor(x), dtype_name(dtype)
    source = x if x.dtype != "bool" else prim.cast(x, dtype="int32")
    (low, high), (in_low, in_high) = _limits(dtype), _limits(source.dtype)
    kind = numpy_dtype(source.dtype).type
    low, high = kind(max(low, in_low)), kind(min(high, in_high))
    if is_float(source.dtype) and not is_float(dtype):
        # Rounding may have pushed a limit out of the target's range.
        low = np.nextafter(low, kind(0)) if float(low) < float(_limits(dtype)[0]) else low
        high = np.nextafter(high, kind(0)) if float(high) > float(_limits(dtype)[1]) else high
    return cast(prim.minimum(prim.maximum(source, np.asarray(low)), np.asarray(high)), dtype)


def convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    """Converts an array, number or nested list to a tensor.

    Args:
        x: The object to convert.
        dtype: The target dtype; Python floats become floatx and Python ints int32 by default.
        sparse: Kept for compatibility with Keras; tensors are dense.
        ragged: Kept for compatibility with Keras; tensors are not ragged.

    Returns:
        A tensor.

    Example:

    >>> convert_to_tensor(np.array([1.0, 2.0], "float32")).dtype
    'float32'
    """
    if sparse or ragged:
        raise ArgumentError(
            "Tensors are dense.", got=f"sparse={sparse}, ragged={ragged}", expected="sparse=None, ragged=None", mend="leave both out"
        )
    return _convert(x, None if dtype is None else dtype_name(dtype))


def convert_to_numpy(x):
    """Converts a tensor to a NumPy array.

    Args:
        x: Input tensor or variable, with a value.

    Returns:
        A new array.

    Example:

    >>> convert_to_numpy([1, 2])
    array([1, 2], dtype=int32)
    """
    return np.array(as_tensor(x))


def stop_gradient(variable):
    """Stops gradient computation.

    Args:
        variable: A tensor; no gradient flows back through the result.

    Returns:
        The tensor with the same values.

    Example:

    >>> stop_gradient([1.0]).tolist()
    [1.0]
    """
    return prim.stop_gradient(as_tensor(variable))


def unstack(x, num=None, axis=0):
    """Unpacks an axis of a tensor into a list of tensors.

    Args:
        x: Input tensor.
        num: Size of the axis, if it is not known.
        axis: The axis to unpack. Defaults to 0.

    Returns:
        A list of tensors without the axis.

    Example:

    >>> [t.tolist() for t in unstack([[1, 2], [3, 4]])]
    [[1, 2], [3, 4]]
    """
    x = as_tensor(x)
    axis = normalize_axis("unstack", axis, x.ndim)
    dims = x.spec.shape
    if num is None and not isinstance(dims[axis], int):
        raise ShapeError(
            f"unstack: Cannot infer argument `num` from shape {x.shape}.",
            got=f"{x.spec}, axis={axis}",
            expected="an axis whose size is known when the graph is built",
            mend="pass num=, or give the size in Input(shape=...)",
        )
    count = dims[axis] if num is None else num
    rest = (*dims[:axis], *dims[axis + 1 :])
    return [reshape(cut(x, axis, i, i + 1), rest) for i in range(count)]


def scatter(indices, values, shape):
    """Returns a tensor of zeros of the given shape with values added at the indices.

    Args:
        indices: Integer tensor (..., K): the first K coordinates of each value.
        values: Tensor (..., rest of the shape).
        shape: Shape of the result, known when the graph is built.

    Returns:
        Tensor of the shape; values at equal indices are added up.

    Example:

    >>> scatter([[0, 1], [1, 1]], [1.0, 2.0], (2, 2)).tolist()
    [[0.0, 1.0], [0.0, 2.0]]
    """

    indices, values, dims = as_tensor(indices), as_tensor(values), resolve_shape(shape)
    depth = indices.spec.shape[-1]
    flat = None
    for axis in range(depth):
        place = prim.check_range(indices[..., axis], low=0, high=dims[axis], what="index")
        flat = place if flat is None else flat * dims[axis] + place
    count = 1
    for d in dims[:depth]:
        count *= d
    result = prim.scatter_add(filled(0, (count, *dims[depth:]), values.dtype, like=values), flat, values, axis=0)
    return reshape(result, dims)
