"""Accuracies."""

from graphkeras import ops
from graphkeras.losses.loss import squeeze_or_expand_to_same_rank
from graphkeras.metrics.reduction import BuiltInMean
from graphkeras.trace import convert_to_tensor, settings


def _matches(a, b):
    return ops.cast(ops.equal(a, b), settings.floatx())


def accuracy(y_true, y_pred):
    """1 where target and prediction are equal, else 0."""
    y_pred = convert_to_tensor(y_pred)
    y_true, y_pred = squeeze_or_expand_to_same_rank(convert_to_tensor(y_true, y_pred.dtype), y_pred)
    return _matches(y_true, y_pred)


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1 where the prediction lies on the target's side of the threshold, else 0."""
    y_true, y_pred = squeeze_or_expand_to_same_rank(convert_to_tensor(y_true), convert_to_tensor(y_pred))
    if "float" not in y_pred.dtype:
        y_pred = ops.cast(y_pred, settings.floatx())  # a threshold between 0 and 1 is no integer and no boolean
    positive = ops.greater(y_pred, convert_to_tensor(threshold, y_pred.dtype))
    return _matches(y_true, ops.cast(positive, y_true.dtype))


def categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction is at the place of the largest target, else 0."""
    return _matches(ops.argmax(convert_to_tensor(y_true), axis=-1), ops.argmax(convert_to_tensor(y_pred), axis=-1))


def sparse_categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction is at the place the class number says, else 0."""
    y_pred = convert_to_tensor(y_pred)
    y_true = convert_to_tensor(y_true)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    found = ops.argmax(y_pred, axis=-1)
    # Class numbers are compared as integers; labels that came as floats are compared as such, so that 1.5 equals no class.
    common = y_true.dtype if "float" in y_true.dtype else "int32"
    return _matches(convert_to_tensor(y_true, common), convert_to_tensor(found, common))


def _rows(y_true, y_pred):
    if y_pred.ndim > 2:
        y_pred = ops.reshape(y_pred, (-1, y_pred.shape[-1]))
    if y_true.ndim > 1:
        return ops.reshape(y_true, (-1,)), y_pred, ops.shape(y_true)
    return y_true, y_pred, None


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where the class of the largest target is among the k largest predictions, else 0."""
    return sparse_top_k_categorical_accuracy(ops.argmax(convert_to_tensor(y_true), axis=-1), y_pred, k=k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """1 where the class number is among the k largest predictions, else 0.

    With `from_sorted_ids` the predictions are class numbers, best first.
    """
    y_pred = convert_to_tensor(y_pred)
    y_true = convert_to_tensor(y_true, y_pred.dtype if from_sorted_ids else "int32")
    y_true, y_pred, shape = _rows(y_true, y_pred)
    if from_sorted_ids:
        found = ops.any(ops.equal(ops.expand_dims(y_true, 1), y_pred[:, :k]), axis=1)
    else:
        own = ops.take_along_axis(y_pred, ops.expand_dims(y_true, 1), axis=1)
        better = ops.sum(ops.cast(ops.greater(y_pred, own), "int32"), axis=1)
        finite = ops.equal(ops.squeeze(own - own, 1), convert_to_tensor(0.0, y_pred.dtype))
        found = ops.logical_and(ops.less(better, convert_to_tensor(k, "int32")), finite)
    matches = ops.cast(found, settings.floatx())
    return matches if shape is None else ops.reshape(matches, shape)


class Accuracy(BuiltInMean):
    """How often predictions equal targets.

    Args:
        name: name of the metric.
        dtype: see `Metric`.

    Example:

    >>> m = Accuracy()
    >>> m.update_state([[1], [2], [3], [4]], [[0], [2], [3], [4]])
    >>> float(m.result())
    0.75
    """

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(accuracy, name, dtype, direction="up")


class BinaryAccuracy(BuiltInMean):
    """How often predictions match binary targets.

    Args:
        name: name of the metric.
        dtype: see `Metric`.
        threshold: predictions above it count as 1.

    Example:

    >>> m = BinaryAccuracy()
    >>> m.update_state([[1], [1], [0], [0]], [[0.98], [1.0], [0.0], [0.6]])
    >>> float(m.result())
    0.75
    """

    def __init__(self, name="binary_accuracy", dtype=None, threshold=0.5):
        self.threshold = threshold
        super().__init__(binary_accuracy, name, dtype, direction="up", threshold=threshold)


class CategoricalAccuracy(BuiltInMean):
    """How often the largest prediction is at the place of a one-hot target. Arguments as for `Accuracy`.

    Example:

    >>> m = CategoricalAccuracy()
    >>> m.update_state([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0.0]])
    >>> float(m.result())
    0.5
    """

    def __init__(self, name="categorical_accuracy", dtype=None):
        super().__init__(categorical_accuracy, name, dtype, direction="up")


class SparseCategoricalAccuracy(BuiltInMean):
    """How often the largest prediction is that of the class. Arguments as for `Accuracy`.

    Example:

    >>> m = SparseCategoricalAccuracy()
    >>> m.update_state([[2], [1]], [[0.1, 0.6, 0.3], [0.05, 0.95, 0.0]])
    >>> float(m.result())
    0.5
    """

    def __init__(self, name="sparse_categorical_accuracy", dtype=None):
        super().__init__(sparse_categorical_accuracy, name, dtype, direction="up")


class TopKCategoricalAccuracy(BuiltInMean):
    """How often the class of a one-hot target is among the k largest predictions.

    Args:
        k: how many predictions count.
        name: name of the metric.
        dtype: see `Metric`.

    Example:

    >>> m = TopKCategoricalAccuracy(k=1)
    >>> m.update_state([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0.0]])
    >>> float(m.result())
    0.5
    """

    def __init__(self, k=5, name="top_k_categorical_accuracy", dtype=None):
        self.k = k
        super().__init__(top_k_categorical_accuracy, name, dtype, direction="up", k=k)


class SparseTopKCategoricalAccuracy(BuiltInMean):
    """How often the class is among the k largest predictions.

    Args:
        k: how many predictions count.
        name: name of the metric.
        dtype: see `Metric`.
        from_sorted_ids: whether predictions are class numbers, best first.

    Example:

    >>> m = SparseTopKCategoricalAccuracy(k=1)
    >>> m.update_state([2, 1], [[0.1, 0.9, 0.8], [0.05, 0.95, 0.0]])
    >>> float(m.result())
    0.5
    """

    def __init__(self, k=5, name="sparse_top_k_categorical_accuracy", dtype=None, from_sorted_ids=False):
        self.k, self.from_sorted_ids = k, from_sorted_ids
        arguments = {"k": k, "from_sorted_ids": from_sorted_ids}
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, direction="up", **arguments)

    def get_config(self):
        config = super().get_config()
        if not self.from_sorted_ids:
            del config["from_sorted_ids"]
        return config
