"""Losses between real numbers."""

from graphkeras import ops
from graphkeras.losses.loss import squeeze_or_expand_to_same_rank
from graphkeras.losses.wrapper import BuiltInLoss
from graphkeras.trace import convert_to_tensor, settings


def paired(y_true, y_pred):
    """Targets and predictions as tensors of one dtype and rank."""
    y_pred = convert_to_tensor(y_pred)
    y_true = convert_to_tensor(y_true, y_pred.dtype)
    return squeeze_or_expand_to_same_rank(y_true, y_pred)


def mean_squared_error(y_true, y_pred):
    """Mean over the last axis of (y_true - y_pred)^2."""
    y_true, y_pred = paired(y_true, y_pred)
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true, y_pred):
    """Mean over the last axis of |y_true - y_pred|."""
    y_true, y_pred = paired(y_true, y_pred)
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true, y_pred):
    """100 times the mean over the last axis of |y_true - y_pred| / max(|y_true|, epsilon)."""
    y_true, y_pred = paired(y_true, y_pred)
    difference = ops.abs((y_true - y_pred) / ops.maximum(ops.abs(y_true), settings.epsilon()))
    return 100.0 * ops.mean(difference, axis=-1)


def mean_squared_logarithmic_error(y_true, y_pred):
    """Mean over the last axis of (log(y_true + 1) - log(y_pred + 1))^2, with values below epsilon raised to it."""
    y_true, y_pred = paired(y_true, y_pred)
    logarithm = lambda x: ops.log(ops.maximum(x, settings.epsilon()) + 1.0)
    return ops.mean(ops.square(logarithm(y_pred) - logarithm(y_true)), axis=-1)


def cosine_similarity(y_true, y_pred, axis=-1):
    """Minus the cosine of the angle between targets and predictions along an axis: -1 for one direction; 0 at a zero vector."""
    y_true, y_pred = paired(y_true, y_pred)

    def unit(x):
        squared = ops.sum(ops.square(x), axis=axis, keepdims=True)
        # Keras's `normalize` keeps squared norms above 1e-12.
        return x * ops.rsqrt(ops.maximum(squared, 1e-12))

    return -ops.sum(unit(y_true) * unit(y_pred), axis=axis)


def huber(y_true, y_pred, delta=1.0):
    """Mean over the last axis of the error squared over 2 below `delta`, and linear above it."""
    y_true, y_pred = paired(y_true, y_pred)
    error = y_pred - y_true
    size = ops.abs(error)
    return ops.mean(ops.where(size <= delta, 0.5 * ops.square(error), delta * size - 0.5 * delta * delta), axis=-1)


def log_cosh(y_true, y_pred):
    """Mean over the last axis of log(cosh(y_pred - y_true)), without overflow for large errors."""
    y_true, y_pred = paired(y_true, y_pred)
    error = y_pred - y_true
    return ops.mean(error + ops.softplus(error * -2.0) - 0.6931471805599453, axis=-1)


class MeanSquaredError(BuiltInLoss):
    """Mean of squared errors.

    Args:
        reduction: see `Loss`.
        name: name of the loss.
        dtype: see `Loss`.

    Example:

    >>> float(MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]]))
    0.5
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_error", dtype=None):
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(BuiltInLoss):
    """Mean of absolute errors. Arguments as for `MeanSquaredError`.

    Example:

    >>> float(MeanAbsoluteError()([[0.0, 3.0]], [[1.0, 1.0]]))
    1.5
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_error", dtype=None):
        super().__init__(mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(BuiltInLoss):
    """Mean of absolute errors in percent of the targets. Arguments as for `MeanSquaredError`.

    Example:

    >>> float(MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 4.0]]))
    25.0
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_percentage_error", dtype=None):
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(BuiltInLoss):
    """Mean of squared differences of logarithms. Arguments as for `MeanSquaredError`.

    Example:

    >>> round(float(MeanSquaredLogarithmicError()([[0.0, 1.0]], [[1.0, 1.0]])), 4)
    0.2402
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


class CosineSimilarity(BuiltInLoss):
    """Minus the cosine similarity.

    Args:
        axis: axis of the vectors.
        reduction, name, dtype: see `Loss`.

    Example:

    >>> float(CosineSimilarity()([[0.0, 2.0]], [[0.0, 1.0]]))
    -1.0
    """

    def __init__(self, axis=-1, reduction="sum_over_batch_size", name="cosine_similarity", dtype=None):
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)


class Huber(BuiltInLoss):
    """Squared error for small errors, absolute error for large ones.

    Args:
        delta: where the one turns into the other.
        reduction, name, dtype: see `Loss`.

    Example:

    >>> float(Huber()([[0.0, 0.0]], [[1.0, 3.0]]))
    1.5
    """

    def __init__(self, delta=1.0, reduction="sum_over_batch_size", name="huber_loss", dtype=None):
        super().__init__(huber, reduction, name, dtype, delta=delta)


class LogCosh(BuiltInLoss):
    """Mean of the logarithms of the hyperbolic cosine of the errors. Arguments as for `MeanSquaredError`.

    Example:

    >>> round(float(LogCosh()([[0.0, 0.0]], [[1.0, 0.0]])), 4)
    0.2169
    """

    def __init__(self, reduction="sum_over_batch_size", name="log_cosh", dtype=None):
        super().__init__(log_cosh, reduction, name, dtype)
