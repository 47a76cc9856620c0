"""Every switch of the package: one environment variable `GRAPHKERAS_<NAME>` and one context manager each.

A flag's value is, in this order: the innermost `with flags.NAME(value):` of this thread (or task), what `flag.set` stored for the
process, the environment variable, the default. Flags marked `in_key` change what code is generated for the same kernel source, so
they enter the key of the kernel cache; all others never do.
"""

import contextlib
import contextvars
import os
import time
from collections.abc import Callable
from typing import Any

PREFIX = "GRAPHKERAS_"
_UNSET = object()
EXECUTIONS = ("compiled", "strict", "eager")
_EXECUTIONS = " or ".join(EXECUTIONS)
TARGETS = ("auto", "avx512", "avx2", "baseline")
_TARGETS = " or ".join(TARGETS)
_WATCHES = ("DEBUG", "VALIDATE", "CHECK_NAN")
imported_at = time.time()
"""When the first module of the package was imported: sources that are newer may not be what runs here."""
watching = False
"""True once a flag that watches runs has been set in any way: until then programs need not look at them on each call."""
_chosen = False  # whether a flag that decides what a graph becomes has been set in any way
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False, "": False}


class FlagError(ValueError):
    """A flag was given a value that it does not understand."""


class Flag:
    """One switch.

    Args:
        name: Name without the prefix, upper case.
        parse: From the text of the environment variable (or a value given in code) to the flag's value; raises `ValueError`.
        default: Value when nothing is set.
        help: One line that says what it does.
        in_key: Whether it enters the key of the kernel cache.
        expects: What `parse` accepts, in words, for error messages.

    Attributes:
        variable: Name of the environment variable.

    Example:

    >>> from graphkeras.debug import flags
    >>> with flags.DEBUG(2):
    ...     flags.DEBUG.value
    2
    """

    def __init__(self, name: str, parse: Callable[[Any], Any], default: Any, help: str, expects: str, in_key: bool = False):
        self.name, self.default, self.help, self.expects, self.in_key = name, default, help, expects, in_key
        self.variable = PREFIX + name
        self._parse = parse
        self._stored = self._fixed = _UNSET
        self._scoped = contextvars.ContextVar(self.variable, default=_UNSET)
        self._last = (None, default)  # text of the environment variable when last read, and its value

    @property
    def value(self) -> Any:
        """The value in force here and now."""
        if self._fixed is not _UNSET:
            return self._fixed
        scoped = self._scoped.get()
        if scoped is not _UNSET:
            return scoped
        if self._stored is not _UNSET:
            return self._stored
        text = os.environ.get(self.variable)
        if text is None:
            return self.default
        seen, value = self._last
        if seen != text:
            value = self._checked(text, f"environment variable {self.variable}")
            self._last = (text, value)
        return value

    def set(self, value: Any) -> None:
        """Store a value for the whole process."""
        self._stored = self._checked(value, f"flags.{self.name}.set")

    def fix(self) -> Any:
        """Keep the value in force for the rest of the process, and give it; another one is an error from now on."""
        self._fixed = self.value
        return self._fixed

    def reset(self) -> None:
        """Forget what `set` stored; the environment variable or the default counts again."""
        self._stored = _UNSET

    @contextlib.contextmanager
    def __call__(self, value: Any):
        """A context in which the flag has `value`, for this thread or task only."""
        token = self._scoped.set(self._checked(value, f"flags.{self.name}(...)"))
        try:
            yield self
        finally:
            self._scoped.reset(token)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __repr__(self) -> str:
        return f"<flag {self.variable}={self.value!r}>"

    def _checked(self, value, where):
        global watching, _chosen
        try:
            parsed = self._parse(value)
        except (TypeError, ValueError):
            raise FlagError(
                f"{self.variable}: value not understood.\n  got:      {value!r}\n  expected: {self.expects}\n"
                f"  where:    {where}\n  mend:     give such a value, or unset it (default {self.default!r})"
            ) from None
        if self._fixed not in (_UNSET, parsed):
            raise FlagError(
                f"{self.variable}: it was read when the process began to use it, and stays as it was.\n  got:      {value!r}\n"
                f"  expected: {self._fixed!r}\n  where:    {where}\n  mend:     set the environment variable before Python starts"
            )
        watching = watching or (self.name in _WATCHES and bool(parsed))
        _chosen = _chosen or self.in_key or self.name == "DISABLE_PASSES"
        return parsed


def _truth(value):
    if isinstance(value, str):
        try:
            return _WORDS[value.strip().lower()]
        except KeyError:
            raise ValueError(value) from None
    return bool(value)


def _whole(low, high=None):
    def parse(value):
        number = int(value)
        if number < low or (high is not None and number > high) or (not isinstance(value, str) and number != value):
            raise ValueError(value)
        return number

    return parse


def _folder(value):
    return None if value is None or value == "" else os.path.expanduser(os.fspath(value))


def _names(value):
    parts = value.split(",") if isinstance(value, str) else list(value)
    return tuple(part.strip() for part in parts if part.strip())


def _one_of(*words):
    def parse(value):
        word = str(value).strip().lower()
        if word not in words:
            raise ValueError(value)
        return word

    return parse


def _flag_table(*flags):
    return {flag.name: flag for flag in flags}


FLAGS: dict[str, Flag] = _flag_table(
    Flag("DEBUG", _whole(0, 6), 0, "1 compiles; 2 kernel times; 3 passes, fusion; 4 source; 5 graphs; 6 rewrites.", "0..6"),
    Flag("DUMP", _folder, None, "Folder that gets one numbered file per stage of each compilation.", "path of a folder"),
    Flag("CACHE", _folder, None, "Folder of the kernel cache; 'off' keeps kernels in memory.", "path of a folder, or 'off'"),
    Flag("CACHE_SIZE", _whole(0), 512 << 20, "Bytes of the kernel cache on disk; the least recently used go first.", "0 or more"),
    Flag("PROGRAM_CACHE", _truth, True, "Keep programs beside kernels, so that a fresh process skips passes and lowering.", "0 or 1"),
    Flag("VERIFY", _truth, False, "Verify the graph after every pass.", "0 or 1"),
    Flag("VALIDATE", _truth, False, "Run every kernel beside the NumPy interpreter and compare.", "0 or 1"),
    Flag("CHECK_NAN", _truth, False, "After a step with NaN or inf, run it again eagerly to name the node.", "0 or 1"),
    Flag("NUM_THREADS", _whole(0), 0, "Threads that run a program; 0 takes the cores this process may use.", "0 or more"),
    Flag("EXECUTION", _one_of(*EXECUTIONS), "compiled", "compiled; strict (node by node, same bits); eager (NumPy).", _EXECUTIONS),
    Flag("EXPLAIN_RECOMPILE", _truth, False, "Say why a function is traced or compiled again.", "0 or 1"),
    Flag("DISABLE_PASSES", _names, (), "Names of passes or rules to leave out.", "names separated by commas"),
    Flag("REWRITE_LIMIT", _whole(-1), -1, "Stop after so many rewrites, to bisect a wrong one; -1 is no limit.", "-1 or more"),
    Flag("COMPILE_WORKERS", _whole(-1), -1, "Processes that compile kernels; -1 one per core, 0 none: compile here.", "-1 or more"),
    Flag("OPT_LEVEL", _whole(0, 3), 2, "Optimisation level of LLVM for kernels.", "0..3", in_key=True),
    Flag("TARGET", _one_of(*TARGETS), "auto", "Instructions of kernels; baseline calls fma, so it is exact but slow. Read once.", _TARGETS),
)  # fmt: skip

DEBUG = FLAGS["DEBUG"]
DUMP = FLAGS["DUMP"]
CACHE = FLAGS["CACHE"]
CACHE_SIZE = FLAGS["CACHE_SIZE"]
PROGRAM_CACHE = FLAGS["PROGRAM_CACHE"]
VERIFY = FLAGS["VERIFY"]
VALIDATE = FLAGS["VALIDATE"]
CHECK_NAN = FLAGS["CHECK_NAN"]
NUM_THREADS = FLAGS["NUM_THREADS"]
EXECUTION = FLAGS["EXECUTION"]
EXPLAIN_RECOMPILE = FLAGS["EXPLAIN_RECOMPILE"]
DISABLE_PASSES = FLAGS["DISABLE_PASSES"]
REWRITE_LIMIT = FLAGS["REWRITE_LIMIT"]
COMPILE_WORKERS = FLAGS["COMPILE_WORKERS"]
OPT_LEVEL = FLAGS["OPT_LEVEL"]
TARGET = FLAGS["TARGET"]


def key_text() -> str:
    """The flags that enter the kernel cache key, as text."""
    return ",".join(f"{name}={flag.value!r}" for name, flag in sorted(FLAGS.items()) if flag.in_key)


_DECIDING = (*(flag for flag in FLAGS.values() if flag.in_key), DISABLE_PASSES)
_DEFAULTS = tuple(flag.default for flag in _DECIDING)
_chosen = any(flag.variable in os.environ for flag in _DECIDING)


def deciding() -> list[tuple[Flag, Any]]:
    """The flags that decide what a graph becomes, with the values in force."""
    return [(flag, flag.value) for flag in _DECIDING]


def choice() -> tuple:
    """The values of these flags, as part of the keys of what was made under them. Costs nothing until one of them is set."""
    return tuple(flag.value for flag in _DECIDING) if _chosen else _DEFAULTS


@contextlib.contextmanager
def under(values: list[tuple[Flag, Any]]):
    """A context in which flags have the values that `deciding` gave before."""
    with contextlib.ExitStack() as stack:
        for flag, value in values:
            stack.enter_context(flag(value))
        yield


def describe() -> str:
    """One line per flag: variable, value in force, help."""
    width = max(len(flag.variable) for flag in FLAGS.values())
    return "\n".join(
        f"{flag.variable:<{width}}  {flag.value!r:<10}  {flag.help}{' (in the cache key)' if flag.in_key else ''}"
        for flag in FLAGS.values()
    )
