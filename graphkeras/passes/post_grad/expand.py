"""Composites become primitives."""

from graphkeras.ir.errors import GraphError
from graphkeras.ir.graph import Graph
from graphkeras.ir.origin import origin_scope
from graphkeras.ir.registry import op_def
from graphkeras.passes.engine import PassContext, deep_rewrite
from graphkeras.trace import SymbolicTensor, TraceScope, as_value, tracing

_MOST_LEVELS = 20


def expand_composites(graph: Graph, context: PassContext) -> Graph:
    """Replaces each composite by its `expand`, until none is left.

    Raises:
        GraphError: where an op expands to other specs than it infers, or into itself.
    """
    for _ in range(_MOST_LEVELS):
        expanded = deep_rewrite(graph, lambda _: lambda node, inputs: _expand(node, inputs, context))
        if expanded is graph:
            return graph
        graph = expanded
    left = sorted({n.op for n in graph.nodes if op_def(n.op).kind == "composite"})
    raise GraphError(f"graph '{graph.name}': {', '.join(left)} expand without end.", expected="composites that end in primitives")


def _expand(node, inputs, context):
    record = op_def(node.op)
    if record.kind != "composite":
        return None
    rule = f"expand {node.op}"
    with origin_scope(node.origin, rule=f"{rule} ({node.origin.rule})" if node.origin.rule else rule), tracing(TraceScope()):
        result = record.expand(*map(SymbolicTensor.wrap, inputs), **node.attrs)
        values = tuple(map(as_value, result if isinstance(result, tuple) else (result,)))
    if tuple(v.spec for v in values) != node.specs:
        raise GraphError(
            f"{node.op} expands to other specs than it infers.",
            got=", ".join(str(v.spec) for v in values),
            expected=", ".join(map(str, node.specs)),
            where=str(node.origin),
        )
    context.report.count(node.op)  # no rewrite that a limit may leave out: the lowering knows no composites
    return values
