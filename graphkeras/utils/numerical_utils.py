"""Labels as one-hot vectors, and vectors of norm 1."""

import numpy as np

from graphkeras.ir.errors import DataError
from graphkeras.trace.base import TensorBase


def to_categorical(x, num_classes=None):
    """Class numbers as rows of a binary matrix.

    Args:
        x: integers in [0, num_classes), of any shape; a last axis of size 1 is dropped.
        num_classes: number of classes, by default the largest number plus 1.

    Returns:
        Array of floats of shape `x.shape + (num_classes,)`; a tensor for a tensor.

    Example:

    >>> to_categorical([0, 2]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if isinstance(x, TensorBase):
        from graphkeras import ops

        shape = tuple(x.shape)
        if len(shape) > 1 and shape[-1] == 1:
            x = ops.squeeze(x, axis=-1)
        return ops.one_hot(x, int(ops.max(x)) + 1 if num_classes is None else num_classes)
    x = np.asarray(x).astype("int64")
    shape = x.shape[:-1] if x.ndim > 1 and x.shape[-1] == 1 else x.shape
    x = x.reshape(-1)
    if num_classes is None:
        num_classes = int(x.max()) + 1 if x.size else 0
    if x.size and (x.min() < 0 or x.max() >= num_classes):
        raise DataError(
            "A class number is out of range.",
            got=f"numbers from {x.min()} to {x.max()}",
            expected=f"numbers in [0, {num_classes})",
            mend="pass a larger num_classes, or count classes from 0",
        )
    matrix = np.zeros((x.size, num_classes))
    matrix[np.arange(x.size), x] = 1
    return matrix.reshape((*shape, num_classes))


def normalize(x, axis=-1, order=2):
    """The array scaled so that its vectors along an axis have norm 1; zero vectors stay zero.

    Args:
        x: array or tensor.
        axis: the axis.
        order: order of the norm.
    """
    if isinstance(x, TensorBase):
        from graphkeras import ops

        return ops.normalize(x, axis=axis, order=order)
    x = np.asarray(x)
    norms = np.atleast_1d(np.linalg.norm(x, order, axis))
    norms[norms == 0] = 1
    return x / np.expand_dims(norms, axis)
