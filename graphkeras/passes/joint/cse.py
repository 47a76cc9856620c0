"""Common subexpressions: equal pure nodes become one node."""

from graphkeras.ir.graph import Graph, with_inputs
from graphkeras.ir.registry import op_def
from graphkeras.passes.engine import PassContext, deep_rewrite

# Their result does not depend on the order in every bit and every gradient: -0.0 against 0.0, and who gets the cotangent of a tie.
_ORDERED = ("maximum", "minimum")
_REPEATABLE = frozenset({"read", "random"})  # reads see the state before the program runs; random bits are a function of their key


def _structure(graph: Graph) -> tuple:
    """A key that graphs share when they do the same, node by node, whoever traced them."""
    places: dict = {value.node.id: -1 - i for i, value in enumerate(graph.inputs)}
    places.update((node.id, i) for i, node in enumerate(graph.nodes))

    def found(values):
        return tuple((places[v.node.id], v.index) for v in values)

    nodes = tuple((n.op, found(n.inputs), n.attrs.key(), n.specs, tuple(map(_structure, n.subgraphs))) for n in graph.nodes)
    return tuple(v.spec for v in graph.inputs), nodes, found(graph.outputs)


def cse(graph: Graph, context: PassContext) -> Graph:
    """Merges nodes with equal ops, inputs, attributes (0.0 and -0.0, 1 and 1.0 and True are different) and sub-graphs.

    Inputs of commuting ops may stand in any order. Nodes that write or print are kept, each of them.
    """

    def make_transform(_):
        known: dict = {}

        def transform(node, inputs):
            if node.effects - _REPEATABLE:
                return None
            keys = [(v.node.id, v.index) for v in inputs]
            if len(keys) == 2 and node.op not in _ORDERED and op_def(node.op).commutes:
                keys.sort()
            key = (node.op, tuple(keys), node.attrs.key(), tuple(map(_structure, node.subgraphs)), node.specs)
            first = known.get(key)
            if first is None or not context.allows("merge"):
                if inputs != node.inputs:
                    node = with_inputs(node, inputs)
                known.setdefault(key, node.outputs)
                return node.outputs
            context.made_one("merge", repr(node), repr(first[0]))
            return first

        return transform

    return deep_rewrite(graph, make_transform)
