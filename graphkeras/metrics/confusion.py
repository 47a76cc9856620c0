"""Metrics made of counts of true and false positives and negatives at thresholds."""

import numpy as np

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError
from graphkeras.losses.loss import divide_or_zero, squeeze_or_expand_to_same_rank
from graphkeras.metrics.metric import Metric
from graphkeras.trace import convert_to_tensor, settings

LOWEST = -1e10


def checked_thresholds(thresholds, default=0.5) -> list[float]:
    """Thresholds as a list of numbers in [0, 1]."""
    if thresholds is None:
        return [default]
    listed = [float(t) for t in (thresholds if isinstance(thresholds, (list, tuple, np.ndarray)) else [thresholds])]
    wrong = [t for t in listed if not 0 <= t <= 1]
    if wrong:
        raise ArgumentError("Threshold values must be in [0, 1].", got=f"{wrong}", expected="floats from 0 to 1")
    return listed


class ThresholdMetric(Metric):
    """Base of metrics that count, for each threshold, how predictions above and below it meet the targets.

    Args:
        counts: names of the counts that are kept: some of true_positives, false_positives, true_negatives, false_negatives.
        thresholds: thresholds; a prediction counts as positive when it is greater.
        top_k: where given, only the k largest predictions of a sample can be positive.
        class_id: where given, only this column counts.
        name, dtype: see `Metric`.
    """

    def __init__(self, counts, thresholds, top_k=None, class_id=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.thresholds = thresholds
        self.top_k, self.class_id = top_k, class_id
        self._counts = tuple(counts)
        for count in self._counts:
            name = count if len(self._counts) > 1 else "accumulator"
            setattr(self, count, self.add_variable((len(thresholds),), "zeros", name=name))

    def update_state(self, y_true, y_pred, sample_weight=None):
        dtype = getattr(self, self._counts[0]).dtype
        y_true, y_pred = convert_to_tensor(y_true, dtype), convert_to_tensor(y_pred, dtype)
        y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        if self.top_k is not None:
            _, best = ops.top_k(y_pred, self.top_k)  # of equal predictions those of the first classes
            among = ops.sum(ops.one_hot(best, y_pred.shape[-1], dtype=dtype), axis=-2)
            y_pred = ops.where(ops.greater(among, convert_to_tensor(0.0, dtype)), y_pred, convert_to_tensor(LOWEST, dtype))
        if self.class_id is not None:
            if y_pred.ndim == 1:
                raise ArgumentError(
                    "When class_id is given, predictions need an axis of classes.",
                    got=f"y_pred of shape {y_pred.shape}",
                    expected="shape (samples, classes)",
                )
            y_true, y_pred = y_true[..., self.class_id : self.class_id + 1], y_pred[..., self.class_id : self.class_id + 1]
        weights = None
        if sample_weight is not None:
            weights = convert_to_tensor(sample_weight, dtype)
            while weights.ndim < y_pred.ndim:
                weights = ops.expand_dims(weights, -1)
            weights = ops.reshape(ops.broadcast_to(weights, ops.shape(y_pred)), (1, -1))
        label = ops.reshape(ops.not_equal(y_true, convert_to_tensor(0.0, dtype)), (1, -1))
        positive = ops.greater(
            ops.reshape(y_pred, (1, -1)), convert_to_tensor(np.array(self.thresholds, "float64").reshape(-1, 1), dtype)
        )
        for count in self._counts:
            true, found = count.split("_")
            is_found = positive if found == "positives" else ops.logical_not(positive)
            is_label = label if (true == "true") == (found == "positives") else ops.logical_not(label)
            hits = ops.cast(ops.logical_and(is_label, is_found), dtype)
            hits = hits if weights is None else ops.multiply(hits, weights)
            getattr(self, count).assign_add(ops.sum(hits, axis=1))

    def _one_or_all(self, values):
        return values[0] if len(self.thresholds) == 1 else values

    def _ratio(self, part, rest):
        part, rest = convert_to_tensor(getattr(self, part)), convert_to_tensor(getattr(self, rest))
        return divide_or_zero(part, part + rest)


class _Count(ThresholdMetric):
    _count = ""

    def __init__(self, thresholds=None, name=None, dtype=None):
        self.init_thresholds = thresholds
        super().__init__((self._count,), checked_thresholds(thresholds), name=name, dtype=dtype)

    def result(self):
        return self._one_or_all(convert_to_tensor(getattr(self, self._count)))

    def get_config(self):
        return {"thresholds": self.init_thresholds, **super().get_config()}


class TruePositives(_Count):
    """Number of true positives.

    Args:
        thresholds: a threshold or list of them in [0, 1]; 0.5 where None.
        name, dtype: see `Metric`.

    Example:

    >>> m = TruePositives()
    >>> m.update_state([0, 1, 1, 1], [1, 0, 1, 1])
    >>> float(m.result())
    2.0
    """

    _count = "true_positives"


class FalsePositives(_Count):
    """Number of false positives. Arguments as for `TruePositives`."""

    _count = "false_positives"


class TrueNegatives(_Count):
    """Number of true negatives. Arguments as for `TruePositives`."""

    _count = "true_negatives"


class FalseNegatives(_Count):
    """Number of false negatives. Arguments as for `TruePositives`."""

    _count = "false_negatives"


class _Ratio(ThresholdMetric):
    _missed = ""

    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None, dtype=None):
        self.init_thresholds = thresholds
        checked = checked_thresholds(thresholds, 0.5 if top_k is None else LOWEST)
        super().__init__(("true_positives", self._missed), checked, top_k, class_id, name, dtype)
        self._direction = "up"

    def result(self):
        return self._one_or_all(self._ratio("true_positives", self._missed))

    def get_config(self):
        own = {"thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return {**super().get_config(), **own}


class Precision(_Ratio):
    """Share of true positives among predicted positives.

    Args:
        thresholds: a threshold or list of them in [0, 1]; 0.5 where None.
        top_k: where given, only the k largest predictions of a sample can be positive.
        class_id: where given, only this class counts.
        name, dtype: see `Metric`.

    Example:

    >>> m = Precision()
    >>> m.update_state([0, 1, 1, 1], [1, 0, 1, 1])
    >>> round(float(m.result()), 4)
    0.6667
    """

    _missed = "false_positives"


class Recall(_Ratio):
    """Share of true positives among actual positives. Arguments as for `Precision`.

    Example:

    >>> m = Recall()
    >>> m.update_state([0, 1, 1, 1], [1, 0, 1, 1])
    >>> round(float(m.result()), 4)
    0.6667
    """

    _missed = "false_negatives"


class AUC(ThresholdMetric):
    """Area under a curve, approximated by a sum over thresholds.

    Args:
        num_thresholds: number of thresholds, evenly spaced.
        curve: "ROC" or "PR".
        summation_method: "interpolation", "minoring" or "majoring".
        name, dtype: see `Metric`.
        thresholds: own thresholds in place of the even ones.
        from_logits: whether predictions are logits.

    Example:

    >>> m = AUC(num_thresholds=3)
    >>> m.update_state([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    >>> float(m.result())
    0.75
    """

    def __init__(
        self,
        num_thresholds=200,
        curve="ROC",
        summation_method="interpolation",
        name=None,
        dtype=None,
        thresholds=None,
        multi_label=False,
        num_labels=None,
        label_weights=None,
        from_logits=False,
    ):
        if multi_label or num_labels is not None or label_weights is not None:
            raise ArgumentError(
                "AUC: multi_label, num_labels and label_weights are not supported.",
                got=f"multi_label={multi_label}, num_labels={num_labels}, label_weights={label_weights}",
                mend="use one AUC per label",
            )
        if curve not in ("ROC", "PR"):
            raise ArgumentError("AUC: unknown curve.", got=repr(curve), expected="'ROC' or 'PR'")
        if summation_method not in ("interpolation", "minoring", "majoring"):
            raise ArgumentError(
                "AUC: unknown summation_method.",
                got=repr(summation_method),
                expected="'interpolation', 'minoring' or 'majoring'",
            )
        self.init_thresholds = thresholds
        if thresholds is not None:
            inner = sorted(checked_thresholds(thresholds))
        elif num_thresholds <= 1:
            raise ArgumentError("AUC: too few thresholds.", got=f"num_thresholds={num_thresholds}", expected="an int above 1")
        else:
            inner = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
        self.num_thresholds = len(inner) + 2
        self.curve, self.summation_method, self._from_logits = curve, summation_method, from_logits
        # The outermost thresholds lie outside [0, 1], so that rounding cannot lose a prediction of exactly 0 or 1.
        even = [-settings.epsilon(), *inner, 1 + settings.epsilon()]
        counts = ("true_positives", "false_positives", "true_negatives", "false_negatives")
        super().__init__(counts, even, name=name, dtype=dtype)
        self._direction = "up"

    def update_state(self, y_true, y_pred, sample_weight=None):
        if self._from_logits:
            y_pred = ops.sigmoid(convert_to_tensor(y_pred))
        super().update_state(y_true, y_pred, sample_weight)

    def result(self):
        recall = self._ratio("true_positives", "false_negatives")
        if self.curve == "ROC":
            x, y = self._ratio("false_positives", "true_negatives"), recall
        elif self.summation_method == "interpolation":
            return self._interpolated_precision_recall()
        else:
            x, y = recall, self._ratio("true_positives", "false_positives")
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2.0
        else:
            heights = (ops.minimum if self.summation_method == "minoring" else ops.maximum)(y[:-1], y[1:])
        return ops.sum((x[:-1] - x[1:]) * heights)

    def _interpolated_precision_recall(self):
        # Davis and Goadrich, "The relationship between precision-recall and ROC curves", 2006: between two thresholds the
        # false positives grow linearly with the true ones.
        true, false = convert_to_tensor(self.true_positives), convert_to_tensor(self.false_positives)
        missed = convert_to_tensor(self.false_negatives)
        positive = true + false
        true_step, step = true[:-1] - true[1:], positive[:-1] - positive[1:]
        slope = divide_or_zero(true_step, ops.maximum(step, 0.0))
        intercept = true[1:] - slope * positive[1:]
        both = ops.logical_and(positive[:-1] > 0.0, positive[1:] > 0.0)
        ratio = ops.where(both, divide_or_zero(positive[:-1], positive[1:]), ops.ones_like(positive[1:]))
        areas = slope * (true_step + intercept * ops.log(ratio))
        return ops.sum(divide_or_zero(areas, true[1:] + missed[1:]))

    def get_config(self):
        return {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "thresholds": self.init_thresholds,
            "from_logits": self._from_logits,
        }
