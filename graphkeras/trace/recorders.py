"""Who listens while ops are called: gradient tapes; and which eager tensors became constants of a trace.

A recorder offers `record(op, attrs, inputs, outputs)` for eager ops and `saw_variable(variable, tensor)` for reads of variables.
"""

import contextvars
from contextlib import contextmanager

_recorders: contextvars.ContextVar[tuple] = contextvars.ContextVar("graphkeras_recorders", default=())
_constants: contextvars.ContextVar[dict | None] = contextvars.ContextVar("graphkeras_constants", default=None)


def recorders() -> tuple:
    """The recorders of this context, outermost first."""
    return _recorders.get()


def start_recording(recorder) -> None:
    """Adds a recorder to this context."""
    _recorders.set((*_recorders.get(), recorder))


def stop_recording(recorder) -> None:
    """Removes a recorder from this context."""
    _recorders.set(tuple(r for r in _recorders.get() if r is not recorder))


@contextmanager
def not_recording(recorder=None):
    """Suspends one recorder, or all of them."""
    kept = () if recorder is None else tuple(r for r in _recorders.get() if r is not recorder)
    token = _recorders.set(kept)
    try:
        yield
    finally:
        _recorders.reset(token)


def became_constant(node, tensor) -> None:
    """Says that a node holds the value of an eager tensor."""
    found = _constants.get()
    if found is not None:
        found[node.id] = tensor


@contextmanager
def eager_constants():
    """The eager tensors that become constants inside, by the id of the node: whoever runs the nodes eagerly can let tapes see them."""
    found = _constants.get()
    found = {} if found is None else found
    token = _constants.set(found)
    try:
        yield found
    finally:
        _constants.reset(token)
