"""Nodes and values: frozen records that hold their inputs, so that a graph is simply what its outputs reach."""

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.origin import Origin
from graphkeras.ir.spec import TensorSpec

_ids = itertools.count()


def next_id() -> int:
    """A number that no node has: nodes made before have smaller ids, nodes made later larger ones."""
    return next(_ids)


class ConstantArray:
    """A read-only array that can be an attribute: hashable and comparable by dtype, shape and bytes."""

    __slots__ = ("_digest", "array")

    def __init__(self, array):
        own = isinstance(array, np.ndarray) and not array.flags.writeable and array.base is None and array.flags.c_contiguous
        if not own:  # the caller may still write to its array, or to what it is a view of
            array = np.array(array, order="C", subok=False)
            array.flags.writeable = False
        self.array = array
        self._digest = None

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(self.array.shape, dtype_name(self.array.dtype))

    @property
    def digest(self) -> str:
        if self._digest is None:
            self._digest = hashlib.sha256(self.array.tobytes()).hexdigest()[:16]
        return self._digest

    def key(self):
        return (str(self.array.dtype), self.array.shape, self.digest)

    def __eq__(self, other):
        return isinstance(other, ConstantArray) and self.key() == other.key()

    def __hash__(self):
        return hash(self.key())

    def __repr__(self):
        return f"<{self.spec} {self.digest}>"


class VariableRef:
    """How a node names a variable: a unique path, and the variable itself where the graph is alive.

    Two references are equal when they mean the same variable (or, both read from text, the same name).
    """

    __slots__ = ("name", "spec", "variable")

    def __init__(self, name: str, spec: TensorSpec, variable: Any = None):
        self.name, self.spec, self.variable = name, spec, variable

    def key(self):
        return (self.name, id(self.variable)) if self.variable is not None else (self.name, 0)

    def __eq__(self, other):
        return isinstance(other, VariableRef) and self.key() == other.key()

    def __hash__(self):
        return hash(self.key())

    def __repr__(self):
        return "@" + self.name


def typed_key(value):
    """A hashable key that tells 1, 1.0, True, 0.0, -0.0 and NaN apart, as attributes must be told apart."""
    if isinstance(value, (tuple, list)):
        return tuple(map(typed_key, value))
    if isinstance(value, float):
        return ("float", value.hex())
    if isinstance(value, (ConstantArray, VariableRef)):
        return (type(value).__name__, *value.key())
    return (type(value).__name__, value)


class Attrs(Mapping):
    """Immutable, hashable attributes of a node. Values: None, bool, int, float, str, Dim, ConstantArray, VariableRef, other
    hashables, and tuples of these (lists become tuples)."""

    __slots__ = ("_dict", "_hash", "_key")

    def __init__(self, items: Mapping):
        self._dict = {k: self._freeze(items[k]) for k in sorted(items)}
        self._key = None
        self._hash = None

    @staticmethod
    def _freeze(value):
        if isinstance(value, (list, tuple)):
            return tuple(map(Attrs._freeze, value))
        if isinstance(value, np.ndarray):
            return ConstantArray(value)
        if isinstance(value, np.generic):
            return value.item()
        return value

    def key(self):
        if self._key is None:
            self._key = tuple((k, typed_key(v)) for k, v in self._dict.items())
        return self._key

    def __getitem__(self, name):
        return self._dict[name]

    def __iter__(self):
        return iter(self._dict)

    def __len__(self):
        return len(self._dict)

    def __eq__(self, other):
        return isinstance(other, Attrs) and self.key() == other.key()

    def __hash__(self):
        if self._hash is None:
            self._hash = hash(self.key())
        return self._hash

    def __repr__(self):
        return ", ".join(f"{k}={v!r}" for k, v in self._dict.items())


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One operation of a graph.

    Args:
        op: name of a registered op.
        inputs: ordered values it reads.
        attrs: static arguments.
        specs: spec of each output.
        origin: where it comes from.
        effects: names of effects ("random", "read", "write", "print"); empty for a pure node.
        subgraphs: graphs of a control-flow node.
        id: grows with creation, so sorting by id is a topological order.
    """

    op: str
    inputs: tuple["Value", ...]
    attrs: Attrs
    specs: tuple[TensorSpec, ...]
    origin: Origin = Origin()
    effects: frozenset = frozenset()
    subgraphs: tuple = ()
    id: int = field(default_factory=lambda: next(_ids))

    @property
    def outputs(self) -> tuple["Value", ...]:
        return tuple(Value(self, i) for i in range(len(self.specs)))

    @property
    def is_pure(self) -> bool:
        """True where equal inputs give equal outputs and nothing else happens (random ops take their key as an input)."""
        return not self.effects & {"read", "write", "print"}

    def __repr__(self):
        inputs = ", ".join(map(repr, self.inputs))
        specs, comma = ", ".join(map(str, self.specs)), ", " if inputs and self.attrs else ""
        return f"%{self.id}: {specs} = {self.op}({inputs}{comma}{self.attrs})"


@dataclass(frozen=True, slots=True)
class Value:
    """Output `index` of `node`."""

    node: Node
    index: int = 0

    @property
    def spec(self) -> TensorSpec:
        return self.node.specs[self.index]

    @property
    def shape(self) -> tuple:
        return self.spec.shape

    @property
    def dtype(self) -> str:
        return self.spec.dtype

    def __repr__(self):
        return f"%{self.node.id}" + (f".{self.index}" if len(self.node.specs) > 1 else "")


def attrs_symbols(node: Node) -> frozenset[str]:
    """Symbols of dimensions that stand in a node's attributes."""
    from graphkeras.ir.dims import dim_symbols

    return frozenset().union(*(dim_symbols(v) for v in node.attrs.values())) if node.attrs else frozenset()


__all__ = ["Attrs", "ConstantArray", "Dim", "Node", "Value", "VariableRef", "attrs_symbols", "typed_key"]
