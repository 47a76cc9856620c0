"""MonitorCallback: the base of callbacks that watch one metric."""

import operator
import warnings

from graphkeras.callbacks.callback import Callback
from graphkeras.ir.errors import ArgumentError
from graphkeras.trace import tree


class MonitorCallback(Callback):
    """Base of callbacks that watch one metric.

    Args:
        monitor: name of the metric in the logs.
        mode: "min", "max", or "auto": as the metric says of itself.
        baseline: value that counts as the best so far.
        min_delta: least change that counts as an improvement.
    """

    def __init__(self, monitor="val_loss", mode="auto", baseline=None, min_delta=0):
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode.", stacklevel=3)
            mode = "auto"
        self.monitor, self.mode, self.best = monitor, mode, baseline
        self.min_delta = abs(min_delta)
        self.monitor_op = None

    def _set_monitor_op(self):
        self.monitor_op = {"min": operator.lt, "max": operator.gt}.get(self.mode) or self._direction_of_metric()
        if self.monitor_op is operator.lt:
            self.min_delta = -self.min_delta

    def _direction_of_metric(self):
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            return operator.lt
        for metric in _flat_metrics(getattr(self.model, "metrics", ())):
            if metric.name == name and hasattr(metric, "_direction"):
                return operator.gt if metric._direction == "up" else operator.lt
        raise ArgumentError(
            f"{type(self).__name__}: it is not known whether '{self.monitor}' should grow or fall.",
            got=f"monitor='{self.monitor}', mode='auto'",
            expected="a metric that knows its direction, or mode='min' or mode='max'",
            mend="pass mode='max' to look for the highest value, mode='min' for the lowest",
        )

    def _is_improvement(self, value, reference) -> bool:
        return reference is None or self.monitor_op(value - self.min_delta, reference)

    def get_monitor_value(self, logs):
        """The watched value, or None with a warning where the logs do not have it."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"{self._purpose} metric `{self.monitor}` which is not available. "
                f"Available metrics are: {','.join(logs or {})}",
                stacklevel=3,
            )
        return value

    _purpose = "A callback is conditioned on"


def _flat_metrics(metrics):
    for metric in tree.flatten(list(metrics)):
        yield metric
        yield from _flat_metrics(getattr(metric, "metrics", ()))
