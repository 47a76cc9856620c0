"""Structural comparison of graphs: equal up to names, numbers and the order of pure nodes."""

from collections import Counter

from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Node, Value, VariableRef, typed_key
from graphkeras.ir.text import ValueNames, node_text, scalar_text, spec_text

_MOST = 10


def structurally_equal(a: Graph, b: Graph) -> bool:
    """True where two graphs compute the same thing in the same way.

    Names of graphs, inputs and numbers of nodes do not count, nor do origins, the order of pure nodes, and how often a scalar
    constant stands in the graph. The number of equal nodes does: a graph that computes `x + y` twice differs from one that does
    it once. Variables are compared by name and spec.
    """
    return not diff(a, b)


def diff(a: Graph, b: Graph) -> str:
    """The differences in readable lines, empty where `structurally_equal`.

    Each difference shows the way from an output down to the first place where the graphs part, and the node there in both.
    """
    return "\n".join(_Comparison(a, b).lines())


class _Comparison:
    def __init__(self, a, b):
        self.a, self.b = a, b
        self.names = (ValueNames(a), ValueNames(b))
        self.keys: dict[tuple, int] = {}  # hash-consing: one number per distinct computation, shared by both graphs
        self.numbers = (self._number(a), self._number(b))
        self.found: list[str] = []
        self.seen: set = set()

    def _key(self, *parts) -> int:
        return self.keys.setdefault(parts, len(self.keys))

    def _number(self, graph) -> dict[int, int]:
        numbers: dict[int, int] = {}
        for position, value in enumerate(graph.inputs):
            numbers[value.node.id] = self._key("input", position, value.spec)
        effects = {node.id: position for position, node in enumerate(graph.effects)}
        for node in graph.nodes:
            numbers[node.id] = self._key(
                node.op,
                tuple((numbers.get(v.node.id), v.index) for v in node.inputs),
                attrs_key(node),
                node.specs,
                effects.get(node.id),
                tuple(self._graph_key(sub) for sub in node.subgraphs),
            )
        return numbers

    def _graph_key(self, graph):
        numbers = self._number(graph)
        return (
            tuple(v.spec for v in graph.inputs),
            tuple((numbers[v.node.id], v.index) for v in graph.outputs),
            tuple(numbers[n.id] for n in graph.effects),
            tuple(sorted(Counter(numbers[n.id] for n in graph.nodes if scalar_text(n) is None).items())),
        )

    def lines(self):
        specs = [[v.spec for v in g.inputs] for g in (self.a, self.b)]
        if specs[0] != specs[1]:
            self._report("inputs", *(", ".join(map(spec_text, s)) or "()" for s in specs))
        if len(self.a.outputs) != len(self.b.outputs):
            self._report("number of outputs", str(len(self.a.outputs)), str(len(self.b.outputs)))
        for i, (x, y) in enumerate(zip(self.a.outputs, self.b.outputs)):
            self._compare(x, y, f"output {i}")
        if len(self.a.effects) != len(self.b.effects):
            self._report("effects", *(", ".join(n.op for n in g.effects) or "none" for g in (self.a, self.b)))
        for i, (x, y) in enumerate(zip(self.a.effects, self.b.effects)):
            self._compare_nodes(x, y, f"effect {i}")
        if not self.found:
            self._compare_counts()
        if len(self.found) > _MOST:
            return [*self.found[:_MOST], f"... and {len(self.found) - _MOST} more differences"]
        return self.found

    def _report(self, place, left, right):
        self.found.append(f"{place}:\n- {left}\n+ {right}")

    def _text(self, side, node: Node):
        names = self.names[side]
        if node.id in names.numbers:
            return node_text(node, names)
        return f"{names(Value(node))}: {', '.join(map(spec_text, node.specs))}"

    def _compare(self, x: Value, y: Value, place):
        if x.index != y.index and self.numbers[0][x.node.id] == self.numbers[1][y.node.id]:
            self._report(place, self.names[0](x), self.names[1](y))
            return
        self._compare_nodes(x.node, y.node, place)

    def _compare_nodes(self, x: Node, y: Node, place):
        # Down to where the graphs part: a loop, for graphs are deeper than Python's stack.
        stack = [(x, y, place)]
        while stack:
            x, y, place = stack.pop()
            if (x.id, y.id) in self.seen or self.numbers[0][x.id] == self.numbers[1][y.id]:
                continue
            self.seen.add((x.id, y.id))
            pairs = list(zip(x.inputs, y.inputs))
            alike = x.op == y.op and x.op != "input" and len(x.inputs) == len(y.inputs)
            alike = alike and attrs_key(x) == attrs_key(y) and all(u.index == v.index for u, v in pairs)
            deeper = [(u.node, v.node, f"{place} > {x.op} input {i}") for i, (u, v) in enumerate(pairs)
                      if self.numbers[0][u.node.id] != self.numbers[1][v.node.id]]  # fmt: skip
            if alike and deeper:
                stack += reversed(deeper)
            else:
                self._report(place, self._text(0, x), self._text(1, y))

    def _compare_counts(self):
        counts, examples = [], {}
        for side, graph in enumerate((self.a, self.b)):
            nodes = [n for n in graph.nodes if scalar_text(n) is None]
            counts.append(Counter(self.numbers[side][n.id] for n in nodes))
            examples.update({self.numbers[side][n.id]: self._text(side, n) for n in reversed(nodes)})
        for key in sorted(counts[0].keys() | counts[1].keys()):
            if counts[0][key] != counts[1][key]:
                self._report(f"number of times of `{examples[key]}`", str(counts[0][key]), str(counts[1][key]))


def attrs_key(node: Node) -> tuple:
    """The attributes as a key in which variables count by name and spec."""
    return tuple((k, _named(v)) for k, v in node.attrs.items())


def _named(value):
    if isinstance(value, VariableRef):
        return ("variable", value.name, value.spec)
    if isinstance(value, tuple):
        return tuple(map(_named, value))
    return typed_key(value)
