"""Rules: a pattern, a function that builds the replacement, and what may change numerically."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphkeras.ir.errors import GraphError
from graphkeras.ir.graph import Graph, with_inputs
from graphkeras.ir.node import Node, Value
from graphkeras.ir.origin import origin_scope
from graphkeras.passes.engine.context import NUMERIC_CLASSES, PassContext, RuleCount
from graphkeras.passes.engine.patterns import Match, Op
from graphkeras.passes.engine.walk import deep_rewrite

_MOST_SWEEPS = 200
_MOST_IN_A_ROW = 100  # rewrites of one node within a sweep


@dataclass(frozen=True)
class Rule:
    """One rewrite.

    Args:
        name: as reports, flags and origins show it.
        pattern: an `Op` pattern.
        replace: `match -> Value` (a tuple of them for a node with several outputs), or None to decline.
        numeric: one of `NUMERIC_CLASSES`: what may change.
        commutes: try the inputs of commuting ops in both orders.
    """

    name: str
    pattern: Op
    replace: Callable[[Match], "Value | tuple | None"]
    numeric: str
    commutes: bool = False

    @property
    def summary(self) -> str:
        """First line of the rule's docstring."""
        return (self.replace.__doc__ or "").strip().partition("\n")[0]


def rule(pattern: Op, *, numeric: str, commutes: bool = False) -> Callable[[Callable], Rule]:
    """Makes the decorated function a `Rule` of its name."""
    if numeric not in NUMERIC_CLASSES:
        raise GraphError(f"unknown numeric class '{numeric}'.", expected="one of " + ", ".join(NUMERIC_CLASSES))
    return lambda function: Rule(function.__name__, pattern, function, numeric, commutes)


def apply_rules(graph: Graph, rules: Sequence[Rule], context: PassContext | None = None) -> Graph:
    """Applies rules everywhere, again and again, until none applies; in sub-graphs too.

    A replacement must have the specs of what it replaces, else it is refused and counted as declined. New nodes get the origin
    of the replaced one, with the rule's name. The order of rules, nodes and rewrites is deterministic.

    Raises:
        GraphError: where the rules do not come to rest.
    """
    context = context or PassContext()
    table: dict[str, list[Rule]] = {}
    for each in rules:
        if context.allows(each.name, each.numeric):
            for op in each.pattern.names:
                table.setdefault(op, []).append(each)
    used: list[str] = []
    for _ in range(_MOST_SWEEPS):
        used.clear()
        graph = deep_rewrite(graph, lambda _: lambda node, inputs: _visit(node, inputs, table, context, used))
        if not used:
            return graph
    raise GraphError(
        f"graph '{graph.name}': the rules {', '.join(dict.fromkeys(used))} do not come to rest.",
        expected=f"no rewrite left after {_MOST_SWEEPS} sweeps",
        mend="leave one of them out with GRAPHKERAS_DISABLE_PASSES, and report it",
    )


def _visit(node, inputs, table, context, used):
    if node.op not in table or not node.is_pure:
        return None  # kept as it is
    current = node if inputs == node.inputs else with_inputs(node, inputs)
    values = current.outputs
    for _ in range(_MOST_IN_A_ROW):
        made = _first_that_applies(current, table.get(current.op, ()), context, used)
        if made is None:
            return values
        values = made
        if made[0].index or len(made) != len(made[0].node.specs) or len(made) != len(current.specs):
            return values  # not a whole node: the next sweep goes on
        current = made[0].node
    raise GraphError(
        f"the rules {', '.join(dict.fromkeys(used[-_MOST_IN_A_ROW:]))} do not come to rest at one node.",
        got=repr(node),
        where=str(node.origin),
        mend="leave one of them out with GRAPHKERAS_DISABLE_PASSES, and report it",
    )


def _first_that_applies(node: Node, rules, context, used):
    for each in rules:
        if not each.pattern.may_match(node, each.commutes) or not context.allows(each.name, each.numeric):
            continue
        count = context.report.rules.setdefault(each.name, RuleCount())
        start = time.perf_counter()
        values = _replacement(node, each, count)
        count.seconds += time.perf_counter() - start
        if values is not None:
            context.made_one(each.name, repr(node), repr(values[0].node))
            used.append(each.name)
            return values
    return None


def _replacement(node, each, count):
    """The values a rule gives for a node, or None."""
    for values, nodes in each.pattern.found(Value(node), {}, {}, each.commutes):
        with origin_scope(node.origin, rule=each.name):
            made = each.replace(Match(node, values, nodes))
        if made is not None:
            made = made if isinstance(made, tuple) else (made,)
            if tuple(v.spec for v in made) == node.specs and made != node.outputs:
                return made
        count.declined += 1
    return None
