"""Patterns over the values of a graph."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.node import ConstantArray, Node, Value
from graphkeras.ir.registry import make_node, op_def

_LARGEST_SEARCHED = 1 << 14  # elements; a larger constant is not looked through for being uniform


def uniform_value(value: Value):
    """The NumPy scalar that every element of a constant equals bit for bit, looking through `broadcast_to`; None for all others."""
    node = value.node
    while node.op == "broadcast_to":
        node = node.inputs[0].node
    if node.op != "constant":
        return None
    array = node.attrs["value"].array
    if not 0 < array.size <= _LARGEST_SEARCHED or array.dtype == object:
        return None
    first = array.reshape(-1)[0]
    if array.size == 1 or array.tobytes() == first.tobytes() * array.size:
        return first
    return None


def constant_value(array) -> Value:
    """A constant with the current origin."""
    return Value(make_node("constant", (), {"value": ConstantArray(array)}))


class Match:
    """What a pattern found.

    Attributes:
        node: the node that may be replaced.
        nodes: nodes matched by `Op(..., name=...)`, by that name.
    """

    def __init__(self, node: Node, values: Mapping[str, Value], nodes: Mapping[str, Node]):
        self.node, self.values, self.nodes = node, values, nodes

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def number(self, name: str):
        """The NumPy scalar of a uniform constant."""
        return uniform_value(self.values[name])

    def make(self, op: str, *inputs, **attrs) -> Value:
        """The first output of a new node. Python numbers among the inputs become constants of the dtype of the replaced node."""
        dtype = numpy_dtype(self.node.specs[0].dtype)
        values = [v if isinstance(v, Value) else constant_value(np.asarray(v, dtype)) for v in inputs]
        return Value(make_node(op, values, attrs))


class Pattern:
    """Something a value can be matched with; `found` yields every way to do so as (values, nodes).

    Attributes:
        producers: names of the ops that can have made a value that matches; None for any.
    """

    producers: frozenset[str] | None = None

    def found(self, value: Value, values: dict, nodes: dict, commutes: bool) -> Iterator[tuple[dict, dict]]:
        raise NotImplementedError


class Var(Pattern):
    """Any value; the same name twice stands for the same value.

    Args:
        name: what `match[name]` returns.
        where: a condition on the value.
    """

    def __init__(self, name: str, where: Callable[[Value], bool] | None = None):
        self.name, self.where = name, where

    def found(self, value, values, nodes, commutes):
        known = values.get(self.name)
        if (known is None or known == value) and (self.where is None or self.where(value)):
            yield {**values, self.name: value}, nodes


class Const(Pattern):
    """A constant with one value everywhere.

    Args:
        number: the value it must equal (0 equals -0.0), any if None.
        name: what `match[name]` returns (the value of the graph; `match.number(name)` gives the number).
        where: a condition on the number.
    """

    producers = frozenset({"constant", "broadcast_to"})

    def __init__(self, number=None, name: str = "", where: Callable | None = None):
        self.number, self.name, self.where = number, name, where

    def found(self, value, values, nodes, commutes):
        number = uniform_value(value)
        if number is None or (self.number is not None and not number == self.number) or (self.where and not self.where(number)):
            return
        yield ({**values, self.name: value} if self.name else values), nodes


class OneOf(Pattern):
    """Any of several patterns, tried in order."""

    def __init__(self, *patterns: Pattern):
        self.patterns = patterns
        known = [p.producers for p in patterns]
        self.producers = None if None in known else frozenset().union(*known)

    def found(self, value, values, nodes, commutes):
        for pattern in self.patterns:
            yield from pattern.found(value, values, nodes, commutes)


class Op(Pattern):
    """An output of an op of the given names: `Op("add")(Var("x"), Const(0))`; without the call any inputs match.

    Args:
        *names: of ops.
        name: what `match.nodes[name]` returns.
        where: a condition on the node.
    """

    def __init__(self, *names: str, name: str = "", where: Callable[[Node], bool] | None = None):
        self.names, self.name, self.where = names, name, where
        self.producers = frozenset(names)
        self.inputs: tuple[Pattern, ...] | None = None

    def __call__(self, *inputs: Pattern) -> "Op":
        made = Op(*self.names, name=self.name, where=self.where)
        made.inputs = inputs
        return made

    def may_match(self, node: Node, commutes: bool) -> bool:
        """False where the ops that made a node's inputs already rule the pattern out: most often, and at little cost."""
        if self.inputs is None:
            return True
        if len(self.inputs) != len(node.inputs):
            return False
        ops = [v.node.op for v in node.inputs]
        return _made_by(self.inputs, ops) or (commutes and _made_by(self.inputs, ops[::-1]))

    def found(self, value, values, nodes, commutes):
        node = value.node
        if node.op not in self.producers or value.index or (self.where is not None and not self.where(node)):
            return
        if self.name:
            nodes = {**nodes, self.name: node}
        if self.inputs is None:
            yield values, nodes
            return
        if len(self.inputs) != len(node.inputs):
            return
        yield from _in_order(self.inputs, node.inputs, values, nodes, commutes)
        if commutes and len(node.inputs) == 2 and op_def(node.op).commutes:
            yield from _in_order(self.inputs, node.inputs[::-1], values, nodes, commutes)


def _made_by(patterns, ops) -> bool:
    return all(p.producers is None or op in p.producers for p, op in zip(patterns, ops))


def _in_order(patterns, inputs, values, nodes, commutes):
    if not patterns:
        yield values, nodes
        return
    for found in patterns[0].found(inputs[0], values, nodes, commutes):
        yield from _in_order(patterns[1:], inputs[1:], *found, commutes)
