"""Dead code. What no output and no effect reaches is no part of a graph already; this pass takes away effects that do nothing."""

from graphkeras.ir.graph import Graph
from graphkeras.ir.verify import ORDERED_EFFECTS
from graphkeras.passes.engine import PassContext


def _does_nothing(node) -> str:
    if not node.effects & ORDERED_EFFECTS:
        return "effect without effect"
    if node.op == "assign_variable":
        source = node.inputs[0].node
        if source.op == "read_variable" and source.attrs["variable"] == node.attrs["variable"]:
            return "assign own value"
    return ""


def dce(graph: Graph, context: PassContext) -> Graph:
    """Drops nodes from the effects that neither write nor print, and writes of a variable's own value.

    Everything that only they reached goes with them. All other effects stay, in their order.
    """
    kept = []
    for node in graph.effects:
        why = _does_nothing(node)
        if why and context.allows(why):
            context.made_one(why, repr(node))
        else:
            kept.append(node)
    return graph if len(kept) == len(graph.effects) else Graph(graph.name, graph.inputs, graph.outputs, kept)
