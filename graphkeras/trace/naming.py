"""Automatic names (dense, dense_1, ...) and the scopes that variable paths are made of."""

import collections
import contextvars
import re
from contextlib import contextmanager

_counts: collections.Counter = collections.Counter()
_scopes: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("graphkeras_name_scopes", default=())


def auto_name(prefix: str) -> str:
    """`prefix` in snake case, made unique in this process by a number behind it.

    >>> reset_names(); auto_name("Conv2D"), auto_name("conv2d"), auto_name("MyLayer")
    ('conv2d', 'conv2d_1', 'my_layer')
    """
    return uniquify(to_snake_case(prefix))


def uniquify(name: str) -> str:
    """`name`, with `_1`, `_2`, ... behind it where it was used before."""
    count = _counts[name]
    _counts[name] += 1
    return f"{name}_{count}" if count else name


def reset_names() -> None:
    """Starts the numbering of automatic names anew."""
    _counts.clear()


def to_snake_case(name: str) -> str:
    """Keras's snake case of a class name."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


@contextmanager
def name_scope(name: str):
    """Variables made inside have `name/` before their names in `path`."""
    token = _scopes.set((*_scopes.get(), name))
    try:
        yield
    finally:
        _scopes.reset(token)


def current_path() -> str:
    """The name scopes that are open, joined with '/'."""
    return "/".join(_scopes.get())
