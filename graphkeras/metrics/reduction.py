"""Metrics that add up or average values."""

from graphkeras import losses, ops
from graphkeras.losses.loss import divide_or_zero, mask_of, mask_weights, squeeze_or_expand_to_same_rank
from graphkeras.metrics.metric import Metric
from graphkeras.trace import convert_to_tensor


def reduce_to_samplewise_values(values, sample_weight, reduce_fn, dtype):
    """One value per sample, weighted, and the weights (None where there are none)."""
    mask = mask_of(values)
    values = convert_to_tensor(values, dtype)
    if sample_weight is not None:
        sample_weight = convert_to_tensor(sample_weight, dtype)
        if mask is not None:
            sample_weight = mask_weights(sample_weight, mask, dtype, "sum")
        values, sample_weight = squeeze_or_expand_to_same_rank(values, sample_weight)
        rank = sample_weight.ndim
        if values.ndim > rank:
            values = reduce_fn(values, axis=list(range(rank, values.ndim)))
        sample_weight = ops.broadcast_to(sample_weight, ops.shape(values))
        values = ops.multiply(values, sample_weight)
        if sample_weight.ndim > 1:
            sample_weight = reduce_fn(sample_weight, axis=list(range(1, sample_weight.ndim)))
    if values.ndim > 1:
        values = reduce_fn(values, axis=list(range(1, values.ndim)))
    return values, sample_weight


class Sum(Metric):
    """Sum of all values.

    Args:
        name: name of the metric.
        dtype: see `Metric`.

    Example:

    >>> m = Sum()
    >>> m.update_state([1, 3, 5, 7])
    >>> float(m.result())
    16.0
    """

    def __init__(self, name="sum", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", dtype=self.dtype, name="total")

    def update_state(self, values, sample_weight=None):
        values, _ = reduce_to_samplewise_values(values, sample_weight, ops.sum, self.dtype)
        self.total.assign_add(ops.sum(values))

    def reset_state(self):
        self.total.assign_zeros()

    def result(self):
        return convert_to_tensor(self.total, self.dtype)


class Mean(Metric):
    """Weighted mean of all values.

    Args:
        name: name of the metric.
        dtype: see `Metric`.

    Example:

    >>> m = Mean()
    >>> m.update_state([1, 3, 5, 7])
    >>> float(m.result())
    4.0
    """

    def __init__(self, name="mean", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", dtype=self.dtype, name="total")
        self.count = self.add_variable((), "zeros", dtype=self.dtype, name="count")

    def update_state(self, values, sample_weight=None):
        values, sample_weight = reduce_to_samplewise_values(values, sample_weight, ops.mean, self.dtype)
        self.total.assign_add(ops.sum(values))
        if sample_weight is not None:
            count = ops.sum(sample_weight)
        else:
            count = values.spec.shape[0] if values.ndim else 1.0
        self.count.assign_add(convert_to_tensor(count, self.dtype))

    def reset_state(self):
        self.total.assign_zeros()
        self.count.assign_zeros()

    def result(self):
        return divide_or_zero(convert_to_tensor(self.total), convert_to_tensor(self.count, self.dtype))


class MeanMetricWrapper(Mean):
    """Mean of a function of targets and predictions.

    Args:
        fn: `fn(y_true, y_pred, **kwargs)` that returns one value per sample (or more).
        name: name of the metric.
        dtype: see `Metric`.
        **kwargs: passed to `fn` at each call.
    """

    def __init__(self, fn, name=None, dtype=None, **kwargs):
        super().__init__(name=name, dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs
        if isinstance(fn, losses.Loss) or fn in losses.ALL_OBJECTS.values():
            self._direction = "down"

    def update_state(self, y_true, y_pred, sample_weight=None):
        mask = mask_of(y_pred)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        return super().update_state(values, mask_weights(sample_weight, mask, self.dtype, "sum"))

    def get_config(self):
        from graphkeras.saving import serialize_keras_object

        config = {**super().get_config(), "fn": serialize_keras_object(self._fn)}
        config.update(serialize_keras_object(self._fn_kwargs))
        return config

    @classmethod
    def from_config(cls, config):
        if "fn" in config:
            from graphkeras.saving import deserialize_keras_object

            config = deserialize_keras_object(config)
        return cls(**config)


class BuiltInMean(MeanMetricWrapper):
    """A mean of this package: its config names the arguments of its class, not the function."""

    def __init__(self, fn, name=None, dtype=None, direction=None, **kwargs):
        super().__init__(fn, name, dtype, **kwargs)
        if direction:
            self._direction = direction

    def get_config(self):
        return {**Metric.get_config(self), **self._fn_kwargs}


