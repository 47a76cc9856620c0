"""Batches as tuples (x, y, sample_weight), some of them left out."""

from graphkeras.ir.errors import ArgumentError


def unpack_x_y_sample_weight(data):
    """The three parts of a batch; None for those it does not have.

    >>> unpack_x_y_sample_weight((1, 2))
    (1, 2, None)
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ArgumentError(
            "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`.",
            got=f"a tuple of {len(data)} elements",
            mend="put several inputs into a list, tuple or dict of their own: ((x1, x2), y)",
        )
    return (*data, *(None,) * (3 - len(data)))


def pack_x_y_sample_weight(x, y=None, sample_weight=None):
    """A batch of these parts; a single x that is not a list or tuple stands for itself.

    >>> pack_x_y_sample_weight(1, 2)
    (1, 2)
    """
    if y is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)
