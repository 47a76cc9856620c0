"""What nested layer calls share: the training flag, and which layers' name scopes are open."""

import contextvars
from contextlib import contextmanager

from graphkeras.trace.naming import name_scope


class CallContext:
    """One outermost layer call and everything it calls.

    Attributes:
        training: value of the `training` argument that layers inside get by default.
    """

    __slots__ = ("training",)

    def __init__(self):
        self.training = None


_context: contextvars.ContextVar[CallContext | None] = contextvars.ContextVar("graphkeras_call_context", default=None)
_innermost: contextvars.ContextVar[object] = contextvars.ContextVar("graphkeras_innermost_layer", default=None)


@contextmanager
def call_context(layer):
    """The context of the outer call, or a new one; the losses of the last outermost call are cleared then."""
    context = _context.get()
    if context is not None:
        # A layer's own training value holds for the layers inside it, not for those called after it.
        outer = context.training
        try:
            yield context
        finally:
            context.training = outer
        return
    layer._clear_losses()
    token = _context.set(CallContext())
    try:
        yield _context.get()
    finally:
        _context.reset(token)


@contextmanager
def open_name_scope(layer):
    """Opens the layer's name scope, unless it is the innermost one already."""
    if _innermost.get() is layer:
        yield
        return
    token = _innermost.set(layer)
    try:
        with name_scope(layer.name):
            yield
    finally:
        _innermost.reset(token)
