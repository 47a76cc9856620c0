"""Sums of padded parts: what gradients of several slices of one value leave, such as those of the gates of a recurrent layer."""

from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Node, Value
from graphkeras.ir.origin import origin_scope
from graphkeras.ir.registry import make_node
from graphkeras.passes.engine import PassContext
from graphkeras.passes.engine.patterns import uniform_value
from graphkeras.passes.engine.walk import at_every_level

NAME = "pads_to_concatenate"


def join_pads(graph: Graph, context: PassContext) -> Graph:
    """pad(a) + pad(b) + ... -> concatenate(a, b, ...) where zeros were padded and the parts fill the whole without a gap.

    A sum with a zero is the other number but for the sign of a zero.
    """
    return at_every_level(graph, lambda g: _joined(g, context))


def _joined(graph, context):
    found = {n.id: parts for n in graph.nodes if n.op == "add" and (parts := _parts(graph, n)) is not None}
    if not found or not context.allows(NAME, "sign_of_zero"):
        return graph
    mapping: dict[Value, Value] = {}

    def transform(node, inputs):
        mapping.update(zip(node.inputs, inputs))
        parts = found.get(node.id)
        if parts is None:
            return None
        axis, pieces = parts
        with origin_scope(node.origin, rule=NAME):
            made = Value(make_node("concatenate", [mapping.get(p, p) for p in pieces], {"axis": axis}))
        context.made_one(NAME, repr(node), repr(made.node))
        return [made]

    return graph.rewrite(transform)


def _parts(graph: Graph, root: Node):
    """(axis, pieces in their order) of a sum that consists of nothing but zero-padded pieces."""
    pieces, stack = [], [Value(root)]
    while stack:
        value = stack.pop()
        node = value.node
        if node.op == "add" and all(v.spec == value.spec for v in node.inputs):
            stack.extend(node.inputs)
        elif node.op == "pad" and uniform_value(node.inputs[1]) == 0:
            pieces.append(node)
        else:
            return None
    axes = {axis for n in pieces for axis, (a, b) in enumerate(zip(n.attrs["low"], n.attrs["high"])) if a != 0 or b != 0}
    if len(axes) != 1:
        return None
    (axis,) = axes
    if any(not isinstance(n.attrs["low"][axis], int) for n in pieces):
        return None
    pieces.sort(key=lambda n: n.attrs["low"][axis])
    at = 0
    for node in pieces:
        if node.attrs["low"][axis] != at:
            return None
        at = at + node.inputs[0].shape[axis]
        if not isinstance(at, int):
            return None
    return (axis, [n.inputs[0] for n in pieces]) if at == root.specs[0].shape[axis] else None
