"""LearningRateSchedule: the base of learning rates that change with the step."""

from graphkeras.ir.errors import ArgumentError


class LearningRateSchedule:
    """Base class of learning rate schedules: `__call__(step)` gives the learning rate of a step.

    Example:

    >>> class Half(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 / (step + 1)
    >>> Half()(1)
    0.05
    """

    # Names of the constructor's arguments, each kept as an attribute.
    _arguments: tuple[str, ...] = ()

    def __call__(self, step):
        raise NotImplementedError(f"Learning rate schedule '{type(self).__name__}' must override `__call__(self, step)`.")

    def get_config(self):
        if not self._arguments:
            raise NotImplementedError(
                f"Learning rate schedule '{type(self).__name__}' must override `get_config()` in order to be serializable."
            )
        return {name: getattr(self, name) for name in self._arguments}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def positive(name, value):
    """The value, where it is above zero."""
    if value <= 0:
        raise ArgumentError(f"Argument `{name}` must be > 0.", got=f"{name}={value}", expected="a positive number of steps")
    return value
