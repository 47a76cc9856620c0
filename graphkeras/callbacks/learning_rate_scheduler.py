"""LearningRateScheduler: a learning rate for each epoch."""

import inspect

import numpy as np

from graphkeras.callbacks.callback import Callback
from graphkeras.callbacks.progress_bar import write
from graphkeras.ir.errors import ArgumentError


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch.

    Args:
        schedule: function of the epoch's number and the learning rate so far (or of the number alone) that returns a float.
        verbose: 0 or 1: whether it says so.

    Example:

    >>> LearningRateScheduler(lambda epoch, lr: lr * 0.5).schedule(0, 0.2)
    0.1
    """

    def __init__(self, schedule, verbose=0):
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch, logs=None):
        optimizer = self.model.optimizer
        if not hasattr(optimizer, "learning_rate"):
            raise ArgumentError('Optimizer must have a "learning_rate" attribute.', got=repr(optimizer))
        if _takes_two(self.schedule):
            rate = self.schedule(epoch, float(optimizer.learning_rate))
        else:
            rate = self.schedule(epoch)
        if not isinstance(rate, (float, np.float32, np.float64)):
            raise ArgumentError("The output of the `schedule` function should be a float.", got=f"{rate!r} in epoch {epoch}")
        optimizer.learning_rate = rate
        if self.verbose > 0:
            write(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.\n")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


def _takes_two(schedule) -> bool:
    try:
        inspect.signature(schedule).bind(0, 0.0)
    except TypeError:
        return False
    return True
