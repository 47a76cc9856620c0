"""Graph: inputs, outputs and effects; everything between them is what they reach."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

from graphkeras.ir.errors import GraphError
from graphkeras.ir.node import Attrs, Node, Value
from graphkeras.ir.registry import make_node
from graphkeras.ir.spec import TensorSpec


def input_node(name: str, spec: TensorSpec) -> Node:
    """A placeholder for an argument of a graph."""
    return make_node("input", (), {"name": name, "shape": spec.shape, "dtype": spec.dtype})


def reachable(roots: Iterable[Node]) -> tuple[Node, ...]:
    """All nodes that the roots depend on, themselves included, in the order of their creation (a topological order)."""
    seen: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.id not in seen:
            seen[node.id] = node
            stack.extend(v.node for v in node.inputs)
    return tuple(seen[i] for i in sorted(seen))


class Graph:
    """A function of its inputs and of the variables it reads.

    Args:
        name: a Python identifier.
        inputs: values of `input` nodes, in the order of the arguments.
        outputs: values that are returned.
        effects: nodes that write variables or print, in order.

    Attributes:
        nodes: all nodes but the inputs, in topological order.
        nx: the graph as a `networkx.MultiDiGraph`: one node per IR node, keyed by `Node.id`, with the attributes `node` (the
            record), `op`, `label`, `layer`; one edge per use of a value, with the attributes `output` (index at the producer),
            `input` (position at the user) and `spec`. Graph attributes: `name`, `inputs`, `outputs`, `effects` (ids).
    """

    def __init__(self, name: str, inputs: Sequence[Value], outputs: Sequence[Value], effects: Sequence[Node] = ()):
        self.name = name
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.effects = tuple(effects)
        for value in self.inputs:
            if value.node.op != "input":
                raise GraphError(f"graph '{name}': an input must be a placeholder.", got=f"{value.node}", expected="an input node")

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        placeholders = {v.node.id for v in self.inputs}
        return tuple(n for n in reachable([*(v.node for v in self.outputs), *self.effects]) if n.id not in placeholders)

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(v.node.attrs["name"] for v in self.inputs)

    @cached_property
    def _users(self) -> dict:
        users: dict[tuple[int, int], list] = {}
        for node in self.nodes:
            for position, value in enumerate(node.inputs):
                users.setdefault((value.node.id, value.index), []).append((node, position))
        return users

    def users(self, value: Value) -> list[tuple[Node, int]]:
        """The (node, input position) pairs that read a value, in topological order."""
        return list(self._users.get((value.node.id, value.index), ()))

    @cached_property
    def variables(self) -> tuple:
        """References to all variables the graph reads or writes, in order of first appearance."""
        return tuple(dict.fromkeys(n.attrs["variable"] for n in self.nodes if "variable" in n.attrs))

    @cached_property
    def nx(self):
        import networkx

        index = networkx.MultiDiGraph(
            name=self.name,
            inputs=[v.node.id for v in self.inputs],
            outputs=[v.node.id for v in self.outputs],
            effects=[n.id for n in self.effects],
        )
        for node in (*(v.node for v in self.inputs), *self.nodes):
            index.add_node(node.id, node=node, op=node.op, label=repr(node), layer=node.origin.layer)
        for node in self.nodes:
            for position, value in enumerate(node.inputs):
                index.add_edge(value.node.id, node.id, output=value.index, input=position, spec=value.spec)
        return index

    def rewrite(
        self, transform: Callable[[Node, tuple[Value, ...]], Sequence[Value] | None], replaced: Mapping[Value, Value] | None = None
    ) -> "Graph":
        """A new graph in which each node is replaced by what `transform(node, new_inputs)` returns.

        `replaced` holds values that others stand for from the start, of inputs as well; the graph's `inputs` stay as they are.

        `transform` sees nodes in topological order with their inputs already replaced and returns the values that stand for the
        node's outputs, or None to keep the node. Nodes whose inputs did not change are kept as they are.
        """
        mapping: dict[tuple[int, int], Value] = {(old.node.id, old.index): new for old, new in (replaced or {}).items()}

        def mapped(value: Value) -> Value:
            return mapping.get((value.node.id, value.index), value)

        kept_effects = {n.id: n for n in self.effects}
        for node in self.nodes:
            inputs = tuple(map(mapped, node.inputs))
            values = transform(node, inputs)
            if values is None:
                if inputs != node.inputs:
                    new = with_inputs(node, inputs)
                    mapping.update({(node.id, i): Value(new, i) for i in range(len(node.specs))})
                    if node.id in kept_effects:
                        kept_effects[node.id] = new
                continue
            mapping.update({(node.id, i): v for i, v in enumerate(values)})
            if node.id in kept_effects:
                if not values or values[0].node.effects != node.effects:
                    raise GraphError("a rewrite may not drop an effect.", got=repr(node), expected="a node with the same effects")
                kept_effects[node.id] = values[0].node
        return Graph(self.name, self.inputs, [mapped(v) for v in self.outputs], [kept_effects[n.id] for n in self.effects])

    def __str__(self):
        from graphkeras.ir.text import print_graph

        return print_graph(self)

    __repr__ = __str__


def with_inputs(node: Node, inputs: Sequence[Value]) -> Node:
    """The same operation on other inputs; specs are inferred anew where those of the inputs differ, the origin stays."""
    if len(inputs) == len(node.inputs) and all(new.spec == old.spec for new, old in zip(inputs, node.inputs)):
        return Node(node.op, tuple(inputs), node.attrs, node.specs, node.origin, node.effects, node.subgraphs)
    return make_node(node.op, inputs, node.attrs, origin=node.origin, subgraphs=node.subgraphs)


def with_attrs(node: Node, **changes) -> Node:
    """The same operation with some attributes changed."""
    return make_node(node.op, node.inputs, Attrs({**node.attrs, **changes}), origin=node.origin, subgraphs=node.subgraphs)
