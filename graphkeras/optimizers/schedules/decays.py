"""Schedules that fall steadily: exponential, piecewise constant, polynomial, inverse in time."""

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError
from graphkeras.optimizers.schedules.schedule import LearningRateSchedule, positive
from graphkeras.trace import convert_to_tensor, settings


def steps_as_float(step):
    """The step as a tensor of floatx."""
    return convert_to_tensor(step, settings.floatx())


class ExponentialDecay(LearningRateSchedule):
    """initial_learning_rate * decay_rate^(step / decay_steps).

    Args:
        initial_learning_rate: learning rate of step 0.
        decay_steps: after how many steps it is multiplied by `decay_rate`.
        decay_rate: see above.
        staircase: whether the exponent is rounded down.
        name: name of the schedule.

    Example:

    >>> round(float(ExponentialDecay(0.1, 10, 0.5)(20)), 4)
    0.025
    """

    _arguments = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name")

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="ExponentialDecay"):
        self.initial_learning_rate, self.decay_steps, self.decay_rate = initial_learning_rate, decay_steps, decay_rate
        self.staircase, self.name = staircase, name
        positive("decay_steps", decay_steps)

    def __call__(self, step):
        passed = steps_as_float(step) / float(self.decay_steps)
        if self.staircase:
            passed = ops.floor(passed)
        return float(self.initial_learning_rate) * ops.power(convert_to_tensor(self.decay_rate, passed.dtype), passed)


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and with step boundaries[0], then values[1] up to boundaries[1], and so on.

    Args:
        boundaries: increasing steps.
        values: learning rates, one more than boundaries.
        name: name of the schedule.

    Example:

    >>> round(float(PiecewiseConstantDecay([10, 20], [0.1, 0.05, 0.01])(11)), 4)
    0.05
    """

    _arguments = ("boundaries", "values", "name")

    def __init__(self, boundaries, values, name="PiecewiseConstant"):
        if len(boundaries) != len(values) - 1:
            raise ArgumentError(
                "The length of boundaries should be 1 less than the length of values.",
                got=f"boundaries={boundaries} of length {len(boundaries)}, and values={values} of length {len(values)}",
            )
        self.boundaries, self.values, self.name = boundaries, values, name

    def __call__(self, step):
        step = convert_to_tensor(step)
        rate = convert_to_tensor(float(self.values[-1]))
        for boundary, value in zip(reversed(self.boundaries), reversed(self.values[:-1])):
            before = step <= convert_to_tensor(boundary, step.dtype)
            rate = ops.where(before, convert_to_tensor(float(value)), rate)
        return rate


class PolynomialDecay(LearningRateSchedule):
    """From initial_learning_rate to end_learning_rate in decay_steps, along (1 - step / decay_steps)^power.

    Args:
        initial_learning_rate: learning rate of step 0.
        decay_steps: number of steps to the end.
        end_learning_rate: learning rate at the end and after it.
        power: exponent.
        cycle: whether it starts anew, over a multiple of decay_steps, when the end is passed.
        name: name of the schedule.

    Example:

    >>> round(float(PolynomialDecay(0.1, 10, 0.0)(5)), 4)
    0.05
    """

    _arguments = ("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle", "name")

    def __init__(
        self, initial_learning_rate, decay_steps, end_learning_rate=0.0001, power=1.0, cycle=False, name="PolynomialDecay"
    ):
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.end_learning_rate, self.power, self.cycle, self.name = end_learning_rate, power, cycle, name
        positive("decay_steps", decay_steps)

    def __call__(self, step):
        step = steps_as_float(step)
        total = convert_to_tensor(float(self.decay_steps), step.dtype)
        if self.cycle:
            rounds = ops.ceil(step / float(self.decay_steps))
            total = total * ops.where(step == 0.0, ops.ones_like(rounds), rounds)
        else:
            step = ops.minimum(step, total)
        left = ops.power(1.0 - step / total, convert_to_tensor(self.power, step.dtype))
        return (self.initial_learning_rate - self.end_learning_rate) * left + self.end_learning_rate


class InverseTimeDecay(LearningRateSchedule):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps).

    Args:
        initial_learning_rate: learning rate of step 0.
        decay_steps, decay_rate: see above.
        staircase: whether step / decay_steps is rounded down.
        name: name of the schedule.

    Example:

    >>> round(float(InverseTimeDecay(0.1, 10, 1.0)(10)), 4)
    0.05
    """

    _arguments = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name")

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="InverseTimeDecay"):
        self.initial_learning_rate, self.decay_steps, self.decay_rate = initial_learning_rate, decay_steps, decay_rate
        self.staircase, self.name = staircase, name
        positive("decay_steps", decay_steps)

    def __call__(self, step):
        passed = steps_as_float(step) / float(self.decay_steps)
        if self.staircase:
            passed = ops.floor(passed)
        return float(self.initial_learning_rate) / (1.0 + self.decay_rate * passed)
