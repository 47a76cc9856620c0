"""Sparsemax, as in `keras.ops.nn`."""

from graphkeras.ops.cumulative import cumsum
from graphkeras.ops.inference import normalize_axis, scalar_like
from graphkeras.ops.numpy_reduce import sum
from graphkeras.ops.numpy_shape import flip
from graphkeras.ops.promotion import as_float
from graphkeras.ops.sorting import sort
from graphkeras.ops.sources import iota
from graphkeras.trace import convert_to_tensor, prim


def sparsemax(x, axis=-1):
    """The distribution that is closest to the logits (Martins and Astudillo, From Softmax to Sparsemax, 2016): softmax with zeros.

    Args:
        x: Input tensor; integers become floatx.
        axis: Axis along which the results sum to 1. Defaults to -1.

    Returns:
        Float tensor of the same shape.

    Example:

    >>> sparsemax([-1.0, 0.0, 1.0]).tolist()
    [0.0, 0.0, 1.0]
    """
    x = as_float(x)
    axis = normalize_axis("sparsemax", axis, x.ndim)
    ordered = flip(sort(x, axis=axis), axis=axis)
    totals = cumsum(ordered, axis=axis)
    size = x.spec.shape[axis]
    place = iota(tuple(size if a == axis else 1 for a in range(x.ndim)), axis, "int32", like=x)
    count = convert_to_tensor(place, x.dtype) + 1
    zero = scalar_like(0, x)
    support = prim.greater(ordered - (totals - 1) / count, zero)
    chosen = prim.select(support, ordered, zero)
    number = sum(convert_to_tensor(support, x.dtype), axis=axis, keepdims=True)
    threshold = (sum(chosen, axis=axis, keepdims=True) - 1) / number
    return prim.maximum(x - threshold, zero)
