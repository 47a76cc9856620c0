"""What runs in place of the sources: a digest of the functions, classes and constants that loaded modules of this package hold.

Modules are open to everyone: a patch, a test or a user may put a function of their own in the place of one of ours, or one of ours in
the place of another. Nobody who trusts the digest of the files alone would notice. Code from elsewhere has no digest at all.
"""

import hashlib
import sys
from types import FunctionType

from graphkeras.runtime.program_cache import NoKey

_PACKAGE = "graphkeras"
# Folders that take no part in a trace. What is loaded of them differs from process to process.
_APART = {"callbacks", "datasets", "debug", "passes", "schedule", "lowering", "runtime", "saving", "testing", "utils", "visualization"}
_TRUSTED = {_PACKAGE, "numpy", "ml_dtypes"} | sys.stdlib_module_names - {"unittest"}  # whose mocks stand for anything
_PLAIN = {bool, int, float, str, type(None)}
_MADE_BY_NAMEDTUPLE = "namedtuple_"


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
        self.lines: list[int] = []
        self.known: set[str] = set()  # modules that have been found to be trusted

    def read(self, names, home):
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
            elif kind in _PLAIN:
                if name.lstrip("_").isupper():  # others count, or remember
                    words += name, repr(value)
            elif kind is type or isinstance(value, type):
                module = value.__module__
                if module not in known:
                    self.check(module, home, name)
                words += name, module, value.__qualname__
                if module == home and name == value.__name__:
                    self.read(vars(value), home)
            elif kind is property:
                self.read({f"{name}.{part}": getattr(value, part) for part in ("fget", "fset", "fdel")}, home)
            elif kind is staticmethod or kind is classmethod:
                self.read({f"{name}.{kind.__name__}": value.__func__}, home)
            elif kind.__module__ not in known:
                self.check(kind.__module__, home, name)

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
