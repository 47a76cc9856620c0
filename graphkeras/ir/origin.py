"""Where a node comes from: layer path, the user's own line, and the rule that made it."""

import contextvars
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

_NOT_THE_USERS = (str(Path(__file__).resolve().parent.parent), str(Path(np.__file__).resolve().parent), "<frozen", "<__array_function__")


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of a node.

    Args:
        layer: path of the layer, e.g. `"model/head"`, with its class behind it in parentheses where known.
        file: the user's file, empty where unknown.
        line: line in that file.
        rule: name of the rewrite rule or gradient that made the node, empty for traced code.
    """

    layer: str = ""
    file: str = ""
    line: int = 0
    rule: str = ""

    def __str__(self):
        parts = [f"layer '{self.layer}'"] if self.layer else []
        if self.file:
            parts.append(f"called at {self.file}:{self.line}")
        if self.rule:
            parts.append(f"made by {self.rule}")
        return ", ".join(parts)


_layers: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("graphkeras_layers", default=())
_call_site: contextvars.ContextVar[tuple[str, int]] = contextvars.ContextVar("graphkeras_call_site", default=("", 0))
_replaying: set = set()  # code objects of functions that run a recorded model
_override: contextvars.ContextVar[Origin | None] = contextvars.ContextVar("graphkeras_origin", default=None)


def _user_line() -> tuple[str, int]:
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code in _replaying and _call_site.get()[0]:
            return _call_site.get()
        filename = frame.f_code.co_filename
        if not filename.startswith(_NOT_THE_USERS):
            return filename, frame.f_lineno
        frame = frame.f_back
    return "", 0


def current_origin() -> Origin:
    """The origin a node made now would get: the layers being called and the nearest line outside this package and NumPy."""
    override = _override.get()
    if override is not None:
        return override
    file, line = _user_line()
    return Origin("/".join(_layers.get()), file, line)


def replays(function):
    """Decorator for what runs a recorded model: below it, nodes belong to the `call_site` where a layer was called, not to the line
    that runs the model; code of the user's own that lies deeper still comes first."""
    _replaying.add(function.__code__)
    return function


@contextmanager
def call_site(origin: Origin):
    """Inside a function that `replays` a model: the line where the layer that runs now was called when the model was built."""
    token = _call_site.set((origin.file, origin.line))
    try:
        yield
    finally:
        _call_site.reset(token)


@contextmanager
def layer_scope(label: str):
    """Nodes made inside belong to this layer (nested scopes join with '/')."""
    token = _layers.set((*_layers.get(), label))
    try:
        yield
    finally:
        _layers.reset(token)


@contextmanager
def origin_scope(origin: Origin, rule: str = ""):
    """Nodes made inside get this origin; `rule` names what made them."""
    token = _override.set(replace(origin, rule=rule) if rule else origin)
    try:
        yield
    finally:
        _override.reset(token)
