"""Schedules along a cosine (Loshchilov and Hutter, 2016)."""

import math

from graphkeras import ops
from graphkeras.optimizers.schedules.decays import steps_as_float
from graphkeras.optimizers.schedules.schedule import LearningRateSchedule, positive
from graphkeras.trace import convert_to_tensor


class CosineDecay(LearningRateSchedule):
    """Half a cosine from the learning rate to its `alpha`-fold, after a linear warm-up where wanted.

    Args:
        initial_learning_rate: learning rate of step 0.
        decay_steps: number of steps of the decay.
        alpha: the least learning rate, as a share of the one the decay starts at.
        name: name of the schedule.
        warmup_target: learning rate at the end of the warm-up; None for no warm-up.
        warmup_steps: number of steps of the warm-up.

    Example:

    >>> round(float(CosineDecay(0.1, 10)(5)), 4)
    0.05
    """

    _arguments = ("initial_learning_rate", "decay_steps", "alpha", "name", "warmup_target", "warmup_steps")

    def __init__(
        self, initial_learning_rate, decay_steps, alpha=0.0, name="CosineDecay", warmup_target=None, warmup_steps=0
    ):
        self.initial_learning_rate, self.decay_steps, self.alpha, self.name = initial_learning_rate, decay_steps, alpha, name
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps
        positive("decay_steps", decay_steps)

    def _decayed(self, step, start):
        cosine = 0.5 * (1.0 + ops.cos(step / float(self.decay_steps) * math.pi))
        return float(start) * ((1.0 - self.alpha) * cosine + self.alpha)

    def __call__(self, step):
        step = steps_as_float(step)
        if self.warmup_target is None:
            return self._decayed(ops.minimum(step, float(self.decay_steps)), self.initial_learning_rate)
        step = ops.minimum(step, float(self.decay_steps + self.warmup_steps))
        decayed = self._decayed(step - float(self.warmup_steps), self.warmup_target)
        if not self.warmup_steps:
            return decayed
        rise = float(self.warmup_target - self.initial_learning_rate)
        warm = rise * (step / float(self.warmup_steps)) + float(self.initial_learning_rate)
        return ops.where(step < float(self.warmup_steps), warm, decayed)


class CosineDecayRestarts(LearningRateSchedule):
    """Half a cosine again and again, each time over `t_mul` times as many steps and from `m_mul` times the learning rate.

    Args:
        initial_learning_rate: learning rate of step 0.
        first_decay_steps: number of steps of the first decay.
        t_mul: growth of the number of steps.
        m_mul: growth of the learning rate at restarts.
        alpha: the least learning rate, as a share of `initial_learning_rate`.
        name: name of the schedule.

    Example:

    >>> round(float(CosineDecayRestarts(0.1, 10)(20)), 4)
    0.05
    """

    _arguments = ("initial_learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha", "name")

    def __init__(self, initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0, name="SGDRDecay"):
        self.initial_learning_rate, self.first_decay_steps = initial_learning_rate, first_decay_steps
        self.t_mul, self.m_mul, self.alpha, self.name = t_mul, m_mul, alpha, name
        positive("first_decay_steps", first_decay_steps)

    def __call__(self, step):
        passed = steps_as_float(step) / float(self.first_decay_steps)
        if self.t_mul == 1.0:
            restarts = ops.floor(passed)
            passed = passed - restarts
        else:
            restarts = ops.floor(ops.log(1.0 - passed * (1.0 - self.t_mul)) / math.log(self.t_mul))
            growth = ops.power(convert_to_tensor(self.t_mul, passed.dtype), restarts)
            passed = (passed - (1.0 - growth) / (1.0 - self.t_mul)) / growth
        height = ops.power(convert_to_tensor(self.m_mul, passed.dtype), restarts)
        cosine = 0.5 * height * (1.0 + ops.cos(passed * math.pi))
        return float(self.initial_learning_rate) * ((1.0 - self.alpha) * cosine + self.alpha)
