"""ReduceLROnPlateau: lowers the learning rate when a metric has stopped getting better."""

from graphkeras.callbacks.monitor import MonitorCallback
from graphkeras.callbacks.progress_bar import write
from graphkeras.ir.errors import ArgumentError


class ReduceLROnPlateau(MonitorCallback):
    """Lowers the learning rate when a metric has stopped getting better.

    Args:
        monitor: name of the metric.
        factor: what the learning rate is multiplied by, below 1.
        patience: number of epochs without improvement that are allowed.
        verbose: 0 or 1: whether it says so.
        mode: "min", "max" or "auto".
        min_delta: least change that counts as an improvement.
        cooldown: number of epochs that are not looked at after a change.
        min_lr: least learning rate.

    Example:

    >>> ReduceLROnPlateau(factor=0.2).factor
    0.2
    """

    _purpose = "Learning rate reduction is conditioned on"

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        verbose=0,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
        **kwargs,
    ):
        super().__init__(monitor, mode, min_delta=min_delta)
        if factor >= 1.0:
            raise ArgumentError(
                "ReduceLROnPlateau does not support a factor >= 1.0.", got=f"factor={factor}", expected="a float below 1"
            )
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def in_cooldown(self) -> bool:
        """Whether epochs are not looked at just now."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor_op is None:
            self._set_monitor_op()
        logs = {} if logs is None else logs
        rate = logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = self.get_monitor_value(logs)
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                rate = max(rate * self.factor, self.min_lr)
                self.model.optimizer.learning_rate = rate
                if self.verbose > 0:
                    write(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}.\n")
                self.cooldown_counter = self.cooldown
                self.wait = 0
