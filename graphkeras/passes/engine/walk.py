"""Walking a graph together with the graphs inside its nodes."""

from collections.abc import Callable

from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Value
from graphkeras.ir.registry import make_node


def deep_rewrite(graph: Graph, make_transform: Callable[[Graph], Callable]) -> Graph:
    """`Graph.rewrite` for a graph and all its sub-graphs.

    Args:
        graph: the graph.
        make_transform: called once per graph; returns the transform `(node, new inputs) -> values or None` of that graph.
    """
    transform = make_transform(graph)

    def visit(node, inputs):
        if node.subgraphs:
            subgraphs = tuple(deep_rewrite(sub, make_transform) for sub in node.subgraphs)
            if any(new is not old for new, old in zip(subgraphs, node.subgraphs)):
                new = make_node(node.op, inputs, node.attrs, origin=node.origin, subgraphs=subgraphs)
                return tuple(Value(new, i) for i in range(len(new.specs)))
        return transform(node, inputs)

    rewritten = graph.rewrite(visit)
    same = rewritten.outputs == graph.outputs and rewritten.effects == graph.effects
    return graph if same else rewritten


def at_every_level(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """`change` applied to a graph, then to the graphs inside its nodes. What it leaves as it is stays the same object."""
    graph = change(graph)

    def visit(node, inputs):
        if not node.subgraphs:
            return None
        subgraphs = tuple(at_every_level(sub, change) for sub in node.subgraphs)
        if all(new is old for new, old in zip(subgraphs, node.subgraphs)):
            return None
        return make_node(node.op, inputs, node.attrs, origin=node.origin, subgraphs=subgraphs).outputs

    rewritten = graph.rewrite(visit)
    same = rewritten.outputs == graph.outputs and rewritten.effects == graph.effects
    return graph if same else rewritten
