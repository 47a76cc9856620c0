"""What runs in place of the sources: a digest of the functions, classes and constants that loaded modules of this package hold.

Modules are open to everyone: a patch, a test or a user may put a function of their own in the place of one of ours, or one of ours in
the place of another. Nobody who trusts the digest of the files alone would notice. Code from elsewhere has no digest at all; nor has
an object that may hide some, as a bound method or a `functools.partial` does.
"""

import contextvars
import hashlib
import itertools
import re
import sys
from collections import Counter
from functools import cached_property, lru_cache
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)

import numpy as np

from graphkeras.runtime.program_cache import NoKey

_PACKAGE = "graphkeras"
# Folders that take no part in a trace. What is loaded of them differs from process to process.
_APART = {"callbacks", "datasets", "debug", "passes", "schedule", "lowering", "runtime", "saving", "testing", "utils", "visualization"}
_TRUSTED = {_PACKAGE, "numpy", "ml_dtypes"} | sys.stdlib_module_names - {"unittest"}  # whose mocks stand for anything
_MADE_BY_NAMEDTUPLE = "namedtuple_"
_PLAIN = {bool, int, float, str, type(None)}
_HOLDERS = {  # objects around functions
    property: ("fget", "fset", "fdel"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    cached_property: ("func",),
    type(lru_cache(lambda: None)): ("__wrapped__",),
}
_INERT = {  # neither code nor constants
    contextvars.ContextVar, Counter, itertools.count, re.Pattern, GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType,
}  # fmt: skip
_INERT_NAMES = {"_abc_data", "_tuplegetter", "PyCapsule", "lock"}  # types that have no public name
_OF_NUMPY = (np.ufunc, type(np.sum))
_SAMPLES = "graphkeras.ir.samples"  # whose callable objects are for tests of ops
_CONTAINERS = {tuple, list, dict, set, frozenset}


def loaded_digest() -> str:
    """Digest of what the modules that take part in traces hold now.

    Raises:
        NoKey: one of them holds code from elsewhere.
    """
    reader = _Reader()
    for name in sorted(name for name in list(sys.modules) if name.startswith(_PACKAGE + ".")):
        if name.split(".", 2)[1] not in _APART:
            reader.read(vars(sys.modules[name]), name)
    digest = hashlib.sha256("\n".join(reader.words).encode())
    digest.update(repr(reader.lines).encode())
    return digest.hexdigest()


class _Reader:
    """Walks some ten thousand names in a few milliseconds, so it makes no text of its own."""

    def __init__(self):
        self.words: list[str] = []
        self.lines: list = []
        self.known: set[str] = set()  # modules that have been found to be trusted

    def read(self, names, home, in_class=False):
        """What a module, or a class that is defined in module `home`, holds."""
        words, lines, known = self.words, self.lines, self.known
        for name, value in names.copy().items():
            kind = type(value)
            if kind is FunctionType:
                if hasattr(value, "__wrapped__"):
                    value = self.unwrapped(value, home, name)
                    if type(value) is not FunctionType:
                        continue
                module = value.__globals__.get("__name__")  # `__module__` may say anything
                if module not in known:
                    self.check(module, home, name)
                words += name, module, value.__qualname__
                lines.append(value.__code__.co_firstlineno)
                if value.__closure__ is not None:
                    self.read_cells(value, home, name)
            elif kind in _PLAIN:
                # Others in modules count, or remember.
                if name.lstrip("_").isupper() or (in_class and name[:2] != "__"):
                    words += name, repr(value)
            elif kind is type or isinstance(value, type):
                module = value.__module__
                if module not in known:
                    self.check(module, home, name)
                words += name, module, value.__qualname__
                if module == home and name == value.__name__:
                    self.read(vars(value), home, in_class=True)
            elif kind in _HOLDERS:
                parts = {f"{name}.{part}": getattr(value, part) for part in _HOLDERS[kind]}
                self.read({part: held for part, held in parts.items() if held is not None}, home)
            elif name[:2] != "__" or callable(value) or hasattr(kind, "__get__"):
                self.object(name, value, kind, home)

    def object(self, name, value, kind, home):
        if kind is ModuleType:
            if sys.modules.get(value.__name__) is not value:
                raise NoKey(f"{home} holds a module that is not the loaded {value.__name__} as '{name}'")
            self.check(value.__name__, home, name)
            self.words += name, value.__name__
        elif kind is MethodType and isinstance(value.__self__, type):
            self.read({f"{name}.self": value.__self__, f"{name}.function": value.__func__}, home)
        elif kind is BuiltinFunctionType and isinstance(value.__self__, (ModuleType, type)):
            self.words += name, str(value.__module__), value.__qualname__
        elif isinstance(value, _OF_NUMPY):
            self.words += name, value.__name__
        elif isinstance(value, np.generic):
            self.words += name, repr(value)
        elif kind not in _INERT and kind.__name__ not in _INERT_NAMES and kind not in _CONTAINERS:
            self.check(kind.__module__, home, name)
            if kind.__module__.partition(".")[0] != _PACKAGE or (callable(value) and kind.__module__ != _SAMPLES):
                raise NoKey(f"{home} holds a {kind.__module__}.{kind.__qualname__}, which may be code from anywhere, as '{name}'")
            if kind.__module__ == home and hasattr(value, "__dict__"):
                for part, held in vars(value).copy().items():
                    if type(held) is FunctionType:
                        self.check(held.__globals__.get("__name__"), home, f"{name}.{part}")

    def read_cells(self, function, home, name):
        """The functions that a function of a factory was made with."""
        for number, cell in enumerate(function.__closure__):
            try:
                held = cell.cell_contents
            except ValueError:  # an empty one
                continue
            if type(held) is FunctionType and held is not function:
                self.read({f"{name}.{number}": held}, home)

    def unwrapped(self, function, home, name):
        while hasattr(function, "__wrapped__"):
            self.check(function.__globals__["__name__"] if type(function) is FunctionType else type(function).__module__, home, name)
            function = function.__wrapped__
        if type(function) is not FunctionType:
            self.check(type(function).__module__, home, name)
        return function

    def check(self, module, home, name):
        if module in self.known:
            return
        root = str(module).partition(".")[0]
        if root not in _TRUSTED and not root.startswith(_MADE_BY_NAMEDTUPLE):
            raise NoKey(f"{home} holds code from {module} as '{name}'")
        self.known.add(module)
