"""The trace that is being recorded in this context, if any: which value each variable has, and what was written."""

import contextvars
from contextlib import contextmanager

from graphkeras.ir.dtypes import COMPLEX, is_float
from graphkeras.ir.node import Node, Value, VariableRef
from graphkeras.ir.registry import make_node

_scope: contextvars.ContextVar["TraceScope | None"] = contextvars.ContextVar("graphkeras_trace_scope", default=None)


class TraceScope:
    """Variables are read as they were before the program runs; a write changes what later reads of this trace see, and only
    the last value of each variable becomes an effect of the graph. No gradient flows through a write: what is read after it is
    a value of its own, as it is for eager tensors.

    Attributes:
        reads: for each variable (by id) the values that reads of it gave, oldest first.
    """

    def __init__(self):
        self._variables: dict[int, object] = {}
        self._current: dict[int, Value] = {}  # as last written, or first read
        self._visible: dict[int, Value] = {}  # what a read gives
        self._refs: dict[int, VariableRef] = {}
        self._names: set[str] = set()
        self.reads: dict[int, list[Value]] = {}

    def ref(self, variable) -> VariableRef:
        """The reference that nodes of this trace use for a variable, with a name that is unique in the trace."""
        key = id(variable)
        if key not in self._refs:
            name, number = variable.path, 0
            while name in self._names:
                number += 1
                name = f"{variable.path}:{number}"
            self._names.add(name)
            self._variables[key] = variable
            self._refs[key] = VariableRef(name, variable.spec, variable)
        return self._refs[key]

    def read(self, variable) -> Value:
        """The value a variable has at this point of the trace."""
        key = id(variable)
        value = self._visible.get(key)
        if value is None:
            written = self._current.get(key)
            if written is None:
                value = self._current[key] = Value(make_node("read_variable", (), {"variable": self.ref(variable)}))
            else:
                value = _barrier(written)
            self._visible[key] = value
            self.reads.setdefault(key, []).append(value)
        return value

    def assign(self, variable, value: Value) -> None:
        """From here on the variable has this value."""
        self.ref(variable)
        self._current[id(variable)] = value
        self._visible.pop(id(variable), None)

    def effects(self) -> list[Node]:
        """One write per variable that was changed, in the order of their first use."""
        nodes = []
        for key, ref in self._refs.items():
            value = self._current.get(key)
            if value is not None and not (value.node.op == "read_variable" and value.node.attrs["variable"] == ref):
                nodes.append(make_node("assign_variable", (value,), {"variable": ref}))
        return nodes


def _barrier(value: Value) -> Value:
    if is_float(value.dtype) or value.dtype in COMPLEX:
        return Value(make_node("stop_gradient", (value,)))
    return value


def current_scope() -> TraceScope | None:
    """The trace being recorded, or None."""
    return _scope.get()


@contextmanager
def tracing(scope: TraceScope | None):
    """Records into `scope`; with None, suspends tracing, so that variables are read and written at once."""
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)
