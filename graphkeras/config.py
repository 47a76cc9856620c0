"""Settings of the process."""

from graphkeras.debug import flags
from graphkeras.dtype_policies import dtype_policy, set_dtype_policy
from graphkeras.saving.serialization_lib import enable_unsafe_deserialization
from graphkeras.trace.settings import (
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)

_interactive_logging = [True]
_limits: dict = {"epochs": None, "steps": None}


def backend():
    """Name of the engine: "graphkeras"."""
    return "graphkeras"


def enable_interactive_logging():
    """Progress and messages go to standard output (the default)."""
    _interactive_logging[0] = True


def disable_interactive_logging():
    """Progress and messages go to the logging module."""
    _interactive_logging[0] = False


def is_interactive_logging_enabled():
    """Whether progress and messages go to standard output."""
    return _interactive_logging[0]


def max_epochs():
    """The number of epochs that `fit` runs at most; None for no limit."""
    return _limits["epochs"]


def set_max_epochs(max_epochs):
    """Limits all calls of `fit`, to try a script out quickly; None for no limit."""
    _limits["epochs"] = max_epochs


def max_steps_per_epoch():
    """The number of steps that an epoch has at most; None for no limit."""
    return _limits["steps"]


def set_max_steps_per_epoch(max_steps_per_epoch):
    """Limits the epochs of `fit`, `evaluate` and `predict`, to try a script out quickly; None for no limit."""
    _limits["steps"] = max_steps_per_epoch


def execution():
    """How models and functions run: "compiled", "strict" or "eager".

    >>> execution()
    'compiled'
    """
    return flags.EXECUTION.value


def set_execution(mode):
    """Chooses how models and functions run from now on.

    Args:
        mode: "compiled" (fused kernels), "strict" (the same graph node by node, with the same bits) or "eager" (NumPy, op by op).
    """
    flags.EXECUTION.set(mode)


def num_threads():
    """Threads that programs run on: by default the cores this process may use, a container's CPU quota included."""
    from graphkeras.runtime import team

    return team.get_num_threads()


def set_num_threads(count):
    """Sets the number of threads programs run on; None for the default. Results do not depend on it.

    Args:
        count: 1 or more, or None.
    """
    from graphkeras.runtime import team

    team.set_num_threads(count)


__all__ = [
    "backend", "disable_interactive_logging", "dtype_policy", "enable_interactive_logging", "enable_unsafe_deserialization",
    "epsilon", "execution", "floatx", "image_data_format", "is_interactive_logging_enabled", "max_epochs", "max_steps_per_epoch",
    "num_threads", "set_dtype_policy", "set_epsilon", "set_execution", "set_floatx", "set_image_data_format", "set_max_epochs",
    "set_max_steps_per_epoch", "set_num_threads",
]  # fmt: skip
