"""Checkpoints have done their work when all gradients have been formed: what they hold runs like everything else."""

from graphkeras.ir.graph import Graph
from graphkeras.passes.engine import PassContext
from graphkeras.passes.engine.walk import at_every_level
from graphkeras.trace.subgraph import rebuilt


def inline_checkpoints(graph: Graph, context: PassContext) -> Graph:
    """Puts the nodes of each checkpoint in its place. What gradients run again stands behind barriers, so that no pass takes it for
    the same as what ran before."""
    return at_every_level(graph, lambda g: _inlined(g, context))


def _inlined(graph, context):
    def transform(node, inputs):
        if node.op != "checkpoint":
            return None
        (body,) = node.subgraphs
        context.report.count("inline checkpoint")
        return rebuilt(body.outputs, dict(zip(body.inputs, inputs)))

    while any(node.op == "checkpoint" for node in graph.nodes):  # they may stand in each other
        graph = graph.rewrite(transform)
    return graph
