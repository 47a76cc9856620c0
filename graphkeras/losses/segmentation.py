"""Losses on the overlap of sets, as used for segmentation."""

from graphkeras import ops
from graphkeras.losses.wrapper import BuiltInLoss
from graphkeras.trace import convert_to_tensor, settings


def dice(y_true, y_pred, axis=None):
    """1 - 2 sum(y_true * y_pred) / (sum(y_true) + sum(y_pred) + epsilon)."""
    y_pred = convert_to_tensor(y_pred)
    y_true = convert_to_tensor(y_true, y_pred.dtype)
    overlap = ops.sum(y_true * y_pred, axis=axis)
    return 1.0 - 2.0 * overlap / (ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis) + settings.epsilon())


def tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    """1 - overlap / (overlap + alpha * missed + beta * wrongly found + epsilon)."""
    y_pred = convert_to_tensor(y_pred)
    y_true = convert_to_tensor(y_true, y_pred.dtype)
    overlap = ops.sum(y_true * y_pred, axis=axis)
    # Keras weighs (1 - prediction) * target with alpha.
    missed = ops.sum((1.0 - y_pred) * y_true, axis=axis)
    wrong = ops.sum(y_pred * (1.0 - y_true), axis=axis)
    return 1.0 - overlap / (overlap + missed * alpha + wrong * beta + settings.epsilon())


class Dice(BuiltInLoss):
    """Dice loss.

    Args:
        reduction: see `Loss`.
        name: name of the loss.
        axis: axes that are summed over; None for all.
        dtype: see `Loss`.

    Example:

    >>> round(float(Dice()([[1.0, 0.0]], [[1.0, 0.0]])), 4)
    0.0
    """

    def __init__(self, reduction="sum_over_batch_size", name="dice", axis=None, dtype=None):
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(BuiltInLoss):
    """Tversky loss.

    Args:
        alpha: weight of what was missed.
        beta: weight of what was wrongly found.
        reduction, name, axis, dtype: as for `Dice`.

    Example:

    >>> round(float(Tversky()([[1.0, 0.0]], [[1.0, 0.0]])), 4)
    0.0
    """

    def __init__(self, alpha=0.5, beta=0.5, reduction="sum_over_batch_size", name="tversky", axis=None, dtype=None):
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)
