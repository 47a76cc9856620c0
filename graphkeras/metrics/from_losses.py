"""Means of the functions that also serve as losses."""

from graphkeras import losses, ops
from graphkeras.losses.loss import squeeze_or_expand_to_same_rank
from graphkeras.metrics.reduction import BuiltInMean, Mean
from graphkeras.trace import convert_to_tensor, settings


class MeanSquaredError(BuiltInMean):
    """Mean of squared errors.

    Args:
        name: name of the metric.
        dtype: see `Metric`.

    Example:

    >>> m = MeanSquaredError()
    >>> m.update_state([[0, 1], [0, 0]], [[1, 1], [0, 0]])
    >>> float(m.result())
    0.25
    """

    def __init__(self, name="mean_squared_error", dtype=None):
        super().__init__(_in_floats(losses.mean_squared_error), name, dtype, direction="down")


class MeanAbsoluteError(BuiltInMean):
    """Mean of absolute errors. Arguments as for `MeanSquaredError`."""

    def __init__(self, name="mean_absolute_error", dtype=None):
        super().__init__(_in_floats(losses.mean_absolute_error), name, dtype, direction="down")


class MeanAbsolutePercentageError(BuiltInMean):
    """Mean of absolute errors in percent of the targets. Arguments as for `MeanSquaredError`."""

    def __init__(self, name="mean_absolute_percentage_error", dtype=None):
        super().__init__(_in_floats(losses.mean_absolute_percentage_error), name, dtype, direction="down")


class MeanSquaredLogarithmicError(BuiltInMean):
    """Mean of squared differences of logarithms. Arguments as for `MeanSquaredError`."""

    def __init__(self, name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(_in_floats(losses.mean_squared_logarithmic_error), name, dtype, direction="down")


class RootMeanSquaredError(Mean):
    """Root of the mean of squared errors. Arguments as for `MeanSquaredError`.

    Example:

    >>> m = RootMeanSquaredError()
    >>> m.update_state([[0, 1], [0, 0]], [[1, 1], [0, 0]])
    >>> float(m.result())
    0.5
    """

    def __init__(self, name="root_mean_squared_error", dtype=None):
        super().__init__(name, dtype=dtype)
        self._direction = "down"

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = convert_to_tensor(y_true, self.dtype), convert_to_tensor(y_pred, self.dtype)
        y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        return super().update_state(ops.square(y_pred - y_true), sample_weight=sample_weight)

    def result(self):
        return ops.sqrt(super().result())


def _cosine(y_true, y_pred, axis=-1):
    return -losses.cosine_similarity(y_true, y_pred, axis=axis)


class CosineSimilarity(BuiltInMean):
    """Mean cosine of the angle between targets and predictions.

    Args:
        name: name of the metric.
        dtype: see `Metric`.
        axis: axis of the vectors.

    Example:

    >>> m = CosineSimilarity()
    >>> m.update_state([[0.0, 2.0]], [[0.0, 1.0]])
    >>> float(m.result())
    1.0
    """

    def __init__(self, name="cosine_similarity", dtype=None, axis=-1):
        super().__init__(_in_floats(_cosine), name, dtype, direction="up", axis=axis)


class LogCoshError(BuiltInMean):
    """Mean logarithm of the hyperbolic cosine of the errors. Arguments as for `MeanSquaredError`."""

    def __init__(self, name="logcosh", dtype=None):
        super().__init__(_in_floats(losses.log_cosh), name, dtype, direction="down")


class Hinge(BuiltInMean):
    """Mean hinge loss. Arguments as for `MeanSquaredError`."""

    def __init__(self, name="hinge", dtype=None):
        super().__init__(_in_floats(losses.hinge), name, dtype, direction="down")


class SquaredHinge(BuiltInMean):
    """Mean squared hinge loss. Arguments as for `MeanSquaredError`."""

    def __init__(self, name="squared_hinge", dtype=None):
        super().__init__(_in_floats(losses.squared_hinge), name, dtype, direction="down")


class CategoricalHinge(BuiltInMean):
    """Mean categorical hinge loss. Arguments as for `MeanSquaredError`."""

    def __init__(self, name="categorical_hinge", dtype=None):
        super().__init__(_in_floats(losses.categorical_hinge), name, dtype, direction="down")


class KLDivergence(BuiltInMean):
    """Mean Kullback-Leibler divergence. Arguments as for `MeanSquaredError`."""

    def __init__(self, name="kl_divergence", dtype=None):
        super().__init__(_in_floats(losses.kl_divergence), name, dtype, direction="down")


class Poisson(BuiltInMean):
    """Mean Poisson loss. Arguments as for `MeanSquaredError`."""

    def __init__(self, name="poisson", dtype=None):
        super().__init__(_in_floats(losses.poisson), name, dtype, direction="down")


class BinaryCrossentropy(BuiltInMean):
    """Mean binary cross-entropy.

    Args:
        name: name of the metric.
        dtype: see `Metric`.
        from_logits, label_smoothing: as for `losses.BinaryCrossentropy`.

    Example:

    >>> m = BinaryCrossentropy()
    >>> m.update_state([[0.0], [1.0]], [[0.5], [0.5]])
    >>> round(float(m.result()), 4)
    0.6931
    """

    def __init__(self, name="binary_crossentropy", dtype=None, from_logits=False, label_smoothing=0):
        self.from_logits, self.label_smoothing = from_logits, label_smoothing
        arguments = {"from_logits": from_logits, "label_smoothing": label_smoothing}
        super().__init__(_in_floats(losses.binary_crossentropy), name, dtype, direction="down", **arguments)


class CategoricalCrossentropy(BuiltInMean):
    """Mean categorical cross-entropy.

    Args:
        name: name of the metric.
        dtype: see `Metric`.
        from_logits, label_smoothing, axis: as for `losses.CategoricalCrossentropy`.
    """

    def __init__(self, name="categorical_crossentropy", dtype=None, from_logits=False, label_smoothing=0, axis=-1):
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis
        arguments = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(_in_floats(losses.categorical_crossentropy), name, dtype, direction="down", **arguments)


class SparseCategoricalCrossentropy(BuiltInMean):
    """Mean cross-entropy of class numbers.

    Args:
        name: name of the metric.
        dtype: see `Metric`.
        from_logits: whether predictions are logits.
        ignore_class: label of samples that are left out, or None. As in Keras, their weights count as 0; where no sample weights
            are given, they stay in the mean with a cross-entropy of 0.
        axis: axis of the classes.
    """

    def __init__(
        self, name="sparse_categorical_crossentropy", dtype=None, from_logits=False, ignore_class=None, axis=-1
    ):
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis
        arguments = {"from_logits": from_logits, "ignore_class": ignore_class, "axis": axis}
        super().__init__(losses.sparse_categorical_crossentropy, name, dtype, direction="down", **arguments)

    def update_state(self, y_true, y_pred, sample_weight=None):
        if self.ignore_class is not None and sample_weight is not None:
            y_true = convert_to_tensor(y_true)
            valid = ops.not_equal(y_true, convert_to_tensor(self.ignore_class, y_true.dtype))
            if valid.ndim == len(y_pred.shape) and valid.shape[self.axis] == 1:
                valid = ops.squeeze(valid, axis=self.axis)
            valid, sample_weight = squeeze_or_expand_to_same_rank(
                ops.cast(valid, self.dtype), convert_to_tensor(sample_weight, self.dtype)
            )
            sample_weight = ops.multiply(valid, sample_weight)
        return super().update_state(y_true, y_pred, sample_weight)


def _in_floats(function):
    """The function with predictions that came as integers (lists of them, say) taken as floats."""

    def called(y_true, y_pred, **kwargs):
        y_pred = convert_to_tensor(y_pred)
        if "float" not in y_pred.dtype:
            y_pred = convert_to_tensor(y_pred, settings.floatx())
        return function(y_true, y_pred, **kwargs)

    called.__name__ = function.__name__
    return called
