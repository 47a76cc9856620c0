"""StatelessScope: variables take given values, and writes go into the scope instead of into the variables."""

import contextvars
from contextlib import contextmanager

from graphkeras.ir.errors import ArgumentError

_scope: contextvars.ContextVar["StatelessScope | None"] = contextvars.ContextVar("graphkeras_stateless_scope", default=None)


class StatelessScope:
    """A context in which reading and writing variables is a pure function of `state_mapping`.

    Args:
        state_mapping: pairs (variable, value); the value is what reads return.
        collect_losses: whether layers put their losses into `losses` instead of keeping them.
        initialize_variables: kept for compatibility with Keras.

    Example:

    >>> from graphkeras.trace import Tensor, Variable
    >>> v = Variable(1.0)
    >>> with StatelessScope([(v, Tensor(5.0))]) as scope:
    ...     _ = v.assign(v.value)
    >>> float(scope.get_current_value(v)), float(v.numpy())
    (5.0, 1.0)
    """

    def __init__(self, state_mapping=None, collect_losses=False, initialize_variables=True):
        self.collect_losses = collect_losses
        self.initialize_variables = initialize_variables
        self.losses: list = []
        self.state_mapping: dict[int, object] = {}
        self._variables: dict[int, object] = {}  # keeps the variables, and so their ids, alive
        for variable, value in state_mapping or ():
            if not hasattr(variable, "assign"):
                raise ArgumentError(
                    "Invalid reference variable in StatelessScope.",
                    got=repr(variable),
                    expected="pairs (variable, value) in `state_mapping`",
                )
            if value is not None:
                value = value.value if hasattr(value, "assign") else value  # a variable stands for its value now
                self.add_update((variable, value if hasattr(value, "spec") else variable.as_value_of(value)))

    def add_loss(self, loss) -> None:
        """Keeps a loss."""
        self.losses.append(loss)

    def add_update(self, update) -> None:
        """Sets what a variable reads as from here on: `update` is a pair (variable, tensor)."""
        variable, value = update
        self._variables[id(variable)] = variable
        self.state_mapping[id(variable)] = value

    def get_current_value(self, variable):
        """What a variable reads as here, or None where the scope does not say."""
        return self.state_mapping.get(id(variable))

    def __enter__(self):
        self._token = _scope.set(self)
        return self

    def __exit__(self, *exc):
        _scope.reset(self._token)


def get_stateless_scope() -> StatelessScope | None:
    """The innermost stateless scope, or None."""
    return _scope.get()


def in_stateless_scope() -> bool:
    """True inside a `StatelessScope`."""
    return _scope.get() is not None


@contextmanager
def suspended():
    """Leaves all stateless scopes for a while."""
    token = _scope.set(None)
    try:
        yield
    finally:
        _scope.reset(token)
