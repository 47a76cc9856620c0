"""Constant folding: what depends on constants alone is computed now, with the reference meaning of its op."""

import numpy as np

from graphkeras.ir.dims import dim_symbols
from graphkeras.ir.errors import GraphKerasError
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import ConstantArray, Value
from graphkeras.ir.origin import origin_scope
from graphkeras.ir.registry import make_node, op_def
from graphkeras.passes.engine import PassContext, deep_rewrite

LARGEST_RESULT = 64 << 10  # bytes: a folded constant is kept in the program and in its cache entry
LARGEST_INPUT = 1 << 20  # bytes: folding must not take longer than the program
_KINDS = ("elementwise", "reduction", "view", "contraction", "index", "composite")
_FREE = ("broadcast_to",)  # repeats elements: the lowering reads the original for nothing


def _can_fold(node, inputs) -> bool:
    if not inputs or any(v.node.op != "constant" for v in inputs):
        return False
    record = op_def(node.op)
    return (
        record.kind in _KINDS
        and record.eager is not None
        and not node.effects
        and node.op not in _FREE
        and not any(dim_symbols(v) for v in node.attrs.values())
        and all(s.is_static and s.dtype != "string" for s in node.specs)
        and sum(s.nbytes for s in node.specs) <= LARGEST_RESULT
        and sum(v.spec.nbytes for v in inputs) <= LARGEST_INPUT
    )


def fold_constants(graph: Graph, context: PassContext) -> Graph:
    """Replaces nodes that depend on constants alone. Random ops, variables and results above 64 KiB stay."""

    def transform(node, inputs):
        if not _can_fold(node, inputs) or not context.allows(node.op):
            return None
        try:
            with np.errstate(all="ignore"):
                results = op_def(node.op).eager(*(v.node.attrs["value"].array for v in inputs), **node.attrs)
        except GraphKerasError as error:
            context.report.notes.append(f"{node.op} was left for run time, where it will fail: {error.summary}")
            return None
        results = results if isinstance(results, tuple) else (results,)
        constants = [ConstantArray(np.asarray(r)) for r in results]
        if tuple(c.spec for c in constants) != node.specs:
            return None
        with origin_scope(node.origin, rule="fold_constants"):
            values = tuple(Value(make_node("constant", (), {"value": c})) for c in constants)
        context.made_one(node.op, repr(node), ", ".join(map(repr, values)))
        return values

    return deep_rewrite(graph, lambda _: transform)
