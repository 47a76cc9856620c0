"""Functions that make tensors, as in `keras.ops.numpy`."""

import operator

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import dtype_name, is_integer, numpy_dtype
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.arithmetic import power
from graphkeras.ops.inference import scalar_like
from graphkeras.ops.numpy_shape import broadcast_to, expand_dims, moveaxis, reshape, resolve_shape
from graphkeras.ops.promotion import converted, dtype_of, operand, promote, result_type
from graphkeras.ops.sources import filled, iota, staged
from graphkeras.trace import SymbolicTensor, Tensor, as_tensor, as_value, convert_to_tensor, current_scope, prim
from graphkeras.trace.settings import floatx


def _dtype(dtype) -> str:
    return floatx() if dtype is None else dtype_name(dtype)


def zeros(shape, dtype=None):
    """Returns a new tensor of given shape and type, filled with zeros.

    Args:
        shape: Shape of the new tensor.
        dtype: Desired data type; floatx by default.

    Returns:
        Tensor of zeros.

    Example:

    >>> zeros((2,)).tolist()
    [0.0, 0.0]
    """
    return filled(0, resolve_shape(shape), _dtype(dtype))


def ones(shape, dtype=None):
    """Returns a new tensor of given shape and type, filled with ones.

    Args:
        shape: Shape of the new tensor.
        dtype: Desired data type; floatx by default.

    Returns:
        Tensor of ones.

    Example:

    >>> ones((2,), dtype="int32").tolist()
    [1, 1]
    """
    return filled(1, resolve_shape(shape), _dtype(dtype))


def empty(shape, dtype=None):
    """Returns a tensor of given shape and type; its elements are zero.

    Args:
        shape: Shape of the new tensor.
        dtype: Desired data type; floatx by default.

    Returns:
        Tensor of zeros.

    Example:

    >>> empty((1,)).shape
    (1,)
    """
    return zeros(shape, dtype)


def full(shape, fill_value, dtype=None):
    """Returns a new tensor of given shape and type, filled with `fill_value`.

    Args:
        shape: Shape of the new tensor.
        fill_value: Fill value, a number or a tensor that broadcasts to the shape.
        dtype: Desired data type; floatx by default.

    Returns:
        Tensor with the given shape.

    Example:

    >>> full((2,), 7.0).tolist()
    [7.0, 7.0]
    """
    value = staged(converted(operand(fill_value), _dtype(dtype)))
    return prim.broadcast_to(value, shape=resolve_shape(shape))


def zeros_like(x, dtype=None):
    """Returns a tensor of zeros with the shape and dtype of `x`.

    Args:
        x: Input tensor.
        dtype: Overrides the data type of the result.

    Returns:
        Tensor of zeros.

    Example:

    >>> zeros_like([1, 2]).tolist()
    [0, 0]
    """
    return full_like(x, 0, dtype)


def ones_like(x, dtype=None):
    """Returns a tensor of ones with the shape and dtype of `x`.

    Args:
        x: Input tensor.
        dtype: Overrides the data type of the result.

    Returns:
        Tensor of ones.

    Example:

    >>> ones_like([1.0, 2.0]).tolist()
    [1.0, 1.0]
    """
    return full_like(x, 1, dtype)


def empty_like(x, dtype=None):
    """Returns a tensor with the shape and dtype of `x`; its elements are zero.

    Example:

    >>> empty_like([1.0, 2.0]).shape
    (2,)
    """
    return zeros_like(x, dtype)


def full_like(x, fill_value, dtype=None):
    """Returns a full tensor with the shape and dtype of `x`.

    Args:
        x: Input tensor.
        fill_value: Fill value, a number or a tensor that broadcasts to the shape.
        dtype: Overrides the data type of the result.

    Returns:
        Tensor filled with `fill_value`.

    Example:

    >>> full_like([1, 2], 5).tolist()
    [5, 5]
    """
    x = as_tensor(x)
    value = converted(operand(fill_value), x.dtype if dtype is None else dtype_name(dtype))
    value = SymbolicTensor.wrap(as_value(value)) if isinstance(x, SymbolicTensor) else staged(value)
    return prim.broadcast_to(value, shape=x.spec.shape)


def array(x, dtype=None):
    """Creates a tensor.

    Args:
        x: Input tensor, array or nested list.
        dtype: The desired data type.

    Returns:
        A tensor.

    Example:

    >>> array([1, 2]).dtype, array([1, 2], dtype="float32").tolist()
    ('int32', [1.0, 2.0])
    """
    return convert_to_tensor(x, None if dtype is None else dtype_name(dtype))


def copy(x):
    """Returns a copy of `x`.

    Args:
        x: Input tensor.

    Returns:
        A copy.

    Example:

    >>> copy([1, 2]).tolist()
    [1, 2]
    """
    return prim.identity(as_tensor(x))


def arange(start, stop=None, step=None, dtype=None):
    """Returns evenly spaced values within a given interval.

    Args:
        start: Start of the interval; with one argument its end, and 0 is the start.
        stop: End of the interval, not included.
        step: Spacing between values. Defaults to 1.
        dtype: Type of the result; promoted from the arguments by default.

    Returns:
        Tensor of evenly spaced values.

    Example:

    >>> arange(3).tolist(), arange(1.0, 2.0, 0.5).tolist()
    ([0, 1, 2], [1.0, 1.5])
    """
    given = [v for v in (start, stop, step) if v is not None]
    dtype = result_type(*map(dtype_of, map(operand, given))) if dtype is None else dtype_name(dtype)
    if stop is None:
        start, stop = 0, start
    step = 1 if step is None else step
    if any(isinstance(v, Dim) for v in (start, stop, step)):
        length = (stop - start + step - 1) // step if step != 1 else stop - start
        index = iota((length,), 0, "int32")
        return convert_to_tensor(index if step == 1 and start == 0 else index * step + start, dtype)
    start, stop, step = (v if isinstance(v, (int, float)) else _number(v) for v in (start, stop, step))
    if step == 0:
        raise ArgumentError("arange: the step is 0.", got=f"step={step}", expected="a step other than 0")
    if current_scope() is not None and start == 0 and step == 1 and isinstance(stop, int) and (stop > 64 or is_integer(dtype)):
        return iota((max(stop, 0),), 0, dtype)
    return Tensor(np.arange(start, stop, step).astype(numpy_dtype(dtype)))


def _number(x):
    return as_tensor(x).item() if not isinstance(x, SymbolicTensor) else operator.index(x)


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """Returns evenly spaced numbers over a specified interval.

    Args:
        start: The start of the sequence, a number or tensor.
        stop: The end of the sequence.
        num: Number of samples. Defaults to 50.
        endpoint: If `True`, `stop` is the last sample.
        retstep: If `True`, returns `(samples, step)`.
        dtype: The type of the result; a float by default.
        axis: The axis of the result along which the samples lie. Defaults to 0.

    Returns:
        `num` equally spaced samples; with `retstep` also the spacing.

    Example:

    >>> linspace(2.0, 3.0, num=5).tolist()
    [2.0, 2.25, 2.5, 2.75, 3.0]
    """
    if num < 0:
        raise ArgumentError("`num` must be a non-negative integer.", got=f"num={num}", expected="num >= 0")
    x1, x2 = promote(start, stop, at_least=float)
    result_dtype = x1.dtype if dtype is None else dtype_name(dtype)
    parts = num - 1 if endpoint else num
    step = (x2 - x1) / parts if parts > 0 else as_tensor(scalar_like(np.nan, x1))
    shape = (num,) + (1,) * max(x1.ndim, x2.ndim)
    index = iota(shape, 0, x1.dtype, like=step)
    samples = x1 + index * step if parts > 0 else broadcast_to(x1, (num, *x1.spec.shape))
    if endpoint and num > 1:
        samples = prim.select(prim.equal(index, scalar_like(num - 1, x1)), x2, samples)
    if is_integer(result_dtype):
        samples = prim.floor(samples)
    samples = moveaxis(convert_to_tensor(samples, result_dtype), 0, axis)
    return (samples, step) if retstep else samples


def logspace(start, stop, num=50, endpoint=True, base=10, dtype=None, axis=0):
    """Returns numbers spaced evenly on a log scale.

    Args:
        start: Exponent of the first sample.
        stop: Exponent of the last sample.
        num: Number of samples. Defaults to 50.
        endpoint: If `True`, `base ** stop` is the last sample.
        base: The base. Defaults to 10.
        dtype: The type of the result.
        axis: The axis of the result along which the samples lie.

    Returns:
        `num` samples.

    Example:

    >>> logspace(0.0, 2.0, num=3).tolist()
    [1.0, 10.0, 100.0]
    """
    powers = linspace(start, stop, num, endpoint, dtype=dtype, axis=axis)
    return power(as_tensor(scalar_like(base, powers)), powers)


def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """Returns numbers spaced evenly on a log scale: each is the one before times the same factor.

    Args:
        start: First number.
        stop: Last number, of the same sign.
        num: Number of samples. Defaults to 50.
        endpoint: If `True`, `stop` is the last sample.
        dtype: The type of the result.
        axis: The axis of the result along which the samples lie.

    Returns:
        `num` samples.

    Example:

    >>> [round(v) for v in geomspace(1.0, 1000.0, num=4).tolist()]
    [1, 10, 100, 1000]
    """
    start, stop = (convert_to_tensor(as_tensor(x), _dtype(dtype)) for x in (start, stop))
    powers = logspace(
        prim.log10(prim.absolute(start)), prim.log10(prim.absolute(stop)), num=num, endpoint=endpoint, dtype=dtype, axis=axis
    )
    sign = prim.sign(start)
    return powers * (expand_dims(sign, axis) if sign.ndim else sign)


def meshgrid(*x, indexing="xy"):
    """Creates grids of coordinates from coordinate vectors.

    Args:
        x: Tensors of rank 0 or 1.
        indexing: "xy" (the first two axes swapped) or "ij".

    Returns:
        A list of tensors of one shape.

    Example:

    >>> [g.tolist() for g in meshgrid([1, 2], [3, 4])]
    [[[1, 2], [1, 2]], [[3, 3], [4, 4]]]
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: unknown indexing {indexing!r}.", got=repr(indexing), expected="'xy' or 'ij'")
    tensors = [reshape(t, (-1,)) for t in x]
    order = list(range(len(tensors)))
    if indexing == "xy" and len(tensors) > 1:
        order[0], order[1] = 1, 0
    shape = [0] * len(tensors)
    for t, axis in zip(tensors, order):
        shape[axis] = t.spec.shape[0]
    grids = []
    for t, axis in zip(tensors, order):
        column = reshape(t, tuple(t.spec.shape[0] if i == axis else 1 for i in range(len(shape))))
        grids.append(broadcast_to(column, tuple(shape)))
    return grids


def vander(x, N=None, increasing=False):
    """Generates a Vandermonde matrix: powers of a vector.

    Args:
        x: Tensor of rank 1.
        N: Number of columns; the length of `x` by default.
        increasing: If `True`, powers rise from left to right.

    Returns:
        The matrix.

    Example:

    >>> vander([1, 2, 3], N=2).tolist()
    [[1, 1], [2, 1], [3, 1]]
    """
    x = as_tensor(x)
    count = operator.index(x.spec.shape[0] if N is None else N)
    powers = np.arange(count) if increasing else np.arange(count - 1, -1, -1)
    compute = result_type(x.dtype, "float32")
    wide = prim.power(convert_to_tensor(expand_dims(x, -1), compute), powers.astype(numpy_dtype(compute)))
    return convert_to_tensor(wide if not is_integer(x.dtype) else prim.round(wide), x.dtype)
