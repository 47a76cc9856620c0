"""Nodes with sub-graphs: scans that are one, results and operands that nobody needs, and work that is the same in every step."""

from dataclasses import dataclass

from graphkeras.ir.graph import Graph, input_node, reachable
from graphkeras.ir.node import Attrs, Node, Value
from graphkeras.ir.origin import origin_scope
from graphkeras.ir.registry import make_node, op_def
from graphkeras.passes.engine import PassContext
from graphkeras.passes.engine.walk import at_every_level
from graphkeras.trace.subgraph import rebuilt

_SHARED = ("constant", "dim", "iota")
_HOISTED = ("elementwise", "reduction", "contraction", "composite")
_MAY_FAIL = ("check_range",)


# ---- merging --------------------------------------------------------------------------------------------------------


def merge_scans(graph: Graph, context: PassContext) -> Graph:
    """Scans of one body over the same operands become one node with the results of all.

    That is what gradients leave: the forward scan, and the same scan once more with what the backward one needs.
    """
    return at_every_level(graph, lambda g: _merged(g, context))


def _merged(graph, context):
    groups: dict[tuple, list[Node]] = {}
    for node in graph.nodes:
        if node.op == "scan":
            groups.setdefault(_scan_key(node), []).append(node)
    twins = {node.id: nodes for nodes in groups.values() if len(nodes) > 1 for node in nodes}
    if not twins or not context.allows("merge_scans"):
        return graph
    made: dict[int, tuple] = {}

    def transform(node, inputs):
        nodes = twins.get(node.id)
        if nodes is None:
            return None
        first = nodes[0]
        if first.id not in made:
            made[first.id] = _union(nodes, inputs)
            context.made_one("merge_scans", repr(first), repr(made[first.id][0]))
        return _results_in(node, *made[first.id])

    return graph.rewrite(transform)


def _scan_key(node):
    (body,) = node.subgraphs
    count, attrs = node.attrs["carries"], node.attrs
    return (node.inputs, body.inputs, body.outputs[:count], attrs["length"], attrs["reverse"], attrs["xs"])


def _union(nodes, inputs):
    body, count = nodes[0].subgraphs[0], nodes[0].attrs["carries"]
    history = tuple(sorted({k for n in nodes for k in n.attrs["history"]}))
    ys = list(dict.fromkeys(y for n in nodes for y in n.subgraphs[0].outputs[count:]))
    graph = Graph(body.name, body.inputs, [*body.outputs[:count], *ys])
    attrs = Attrs({**nodes[0].attrs, "history": history})
    return make_node("scan", inputs, attrs, origin=nodes[0].origin, subgraphs=(graph,)), ys


def _results_in(node, whole, ys):
    count, history = node.attrs["carries"], whole.attrs["history"]
    values = list(whole.outputs[:count])
    values += [whole.outputs[count + history.index(k)] for k in node.attrs["history"]]
    values += [whole.outputs[count + len(history) + ys.index(y)] for y in node.subgraphs[0].outputs[count:]]
    return values


# ---- pruning --------------------------------------------------------------------------------------------------------


def prune_control(graph: Graph, context: PassContext) -> Graph:
    """Takes away what control nodes do not need: results nobody reads with the work behind them, captures and scanned operands
    nobody uses or that come twice, carried values that never change, and constants among the captures."""
    return at_every_level(graph, lambda g: _pruned(g, context))


@dataclass
class _Plan:
    """What is left of a node: sub-graphs, attributes, positions of operands; and for each old output its new position, or the
    operand that it equals."""

    subgraphs: tuple
    attrs: dict
    operands: list[int]
    outputs: dict[int, tuple[str, int]]


def _pruned(graph, context):
    live = {*graph.outputs, *(v for n in graph.effects for v in n.inputs)}
    effects = {n.id for n in graph.effects}
    plans: dict[int, _Plan] = {}
    for node in reversed(graph.nodes):
        used = [i for i in range(len(node.specs)) if Value(node, i) in live]
        if node.subgraphs and used:
            plan = _plan(node, used)
            live.update(node.inputs[i] for i in plan.operands)
            live.update(node.inputs[i] for kind, i in plan.outputs.values() if kind == "operand")
            if len(plan.operands) < len(node.inputs) or len(plan.outputs) < len(node.specs) or plan.subgraphs != node.subgraphs:
                plans[node.id] = plan
        elif used or node.id in effects:
            live.update(node.inputs)
    if not plans or not context.allows("prune"):
        return graph

    def transform(node, inputs):
        plan = plans.get(node.id)
        if plan is None:
            return None
        outputs = ()
        if any(kind == "output" for kind, _ in plan.outputs.values()):
            kept = [inputs[i] for i in plan.operands]
            outputs = make_node(node.op, kept, Attrs(plan.attrs), origin=node.origin, subgraphs=plan.subgraphs).outputs
        values = []
        for i in range(len(node.specs)):
            kind, place = plan.outputs.get(i, ("dead", 0))
            values.append(Value(node, i) if kind == "dead" else outputs[place] if kind == "output" else inputs[place])
        context.made_one("prune", repr(node), repr(values))
        return values

    return graph.rewrite(transform)


def _plan(node, used) -> _Plan:
    if node.op in ("cond", "switch"):
        return _branches_plan(node, used)
    return _loop_plan(node, used)


def _needed(graph, outputs) -> set[int]:
    """Positions of a sub-graph's inputs that some of its outputs depend on."""
    found = {n.id for n in reachable(v.node for v in outputs)}
    return {i for i, v in enumerate(graph.inputs) if v.node.id in found}


def _branches_plan(node, used):
    graphs = [_inlined(g, g.inputs, node.inputs[1:], [g.outputs[i] for i in used]) for g in node.subgraphs]
    needed = sorted(set().union(*(_needed(g, g.outputs) for g in graphs)))
    if len(needed) < len(node.inputs) - 1:
        graphs = [Graph(g.name, [g.inputs[i] for i in needed], g.outputs) for g in graphs]
    same = len(used) == len(node.specs) and all(
        new.outputs == old.outputs and new.inputs == old.inputs for new, old in zip(graphs, node.subgraphs)
    )
    outputs = {old: ("output", new) for new, old in enumerate(used)}
    return _Plan(node.subgraphs if same else tuple(graphs), dict(node.attrs), [0, *(i + 1 for i in needed)], outputs)


def _inlined(graph, placeholders, operands, outputs) -> Graph:
    """Constants take the place of their placeholders; of equal operands one is read."""
    replaced, first = {}, {}
    for placeholder, operand in zip(placeholders, operands):
        if operand.node.op in _SHARED:
            replaced[placeholder] = operand
        elif operand in first:
            replaced[placeholder] = first[operand]
        else:
            first[operand] = placeholder
    return Graph(graph.name, graph.inputs, rebuilt(outputs, replaced) if replaced else outputs)


def _loop_plan(node, used):
    count, scanned = node.attrs["carries"], node.attrs.get("xs", 0)
    is_scan = node.op == "scan"
    history = node.attrs["history"] if is_scan else ()
    kept_history = [k for p, k in enumerate(history) if count + p in used]
    first_y = count + len(history)
    used_ys = [i for i in used if i >= first_y]
    body, others = node.subgraphs[-1], node.subgraphs[:-1]
    # A carried value that no step changes is an operand like any other.
    fixed = [k for k in range(count) if body.outputs[k] == body.inputs[k] and k not in kept_history]
    graphs = []
    for graph in (*others, body):
        last = [graph.outputs[count + i - first_y] for i in used_ys] if graph is body else []
        outputs = [*graph.outputs[:count], *last] if graph is body else list(graph.outputs)
        free = [*fixed, *range(count + scanned, len(node.inputs))]
        graph = _inlined(graph, [graph.inputs[i] for i in free], [node.inputs[i] for i in free], outputs) if free else Graph(
            graph.name, graph.inputs, outputs)  # fmt: skip
        rows = range(count, count + scanned)
        graphs.append(_without_twins(graph, [graph.inputs[i] for i in rows], [node.inputs[i] for i in rows]))
    body = graphs[-1]
    carries = {k for k in used if k < count} | set(kept_history)
    while True:
        needed = set().union(*(_needed(g, g.outputs) for g in graphs[:-1]), _needed(body, body.outputs[count:]))
        needed |= _needed(body, [body.outputs[k] for k in carries if k not in fixed])
        more = carries | {k for k in needed if k < count}
        if more == carries:
            break
        carries = more
    moved = [k for k in sorted(carries) if k in fixed and k in needed]
    carried = [k for k in sorted(carries) if k not in fixed]
    operands = [*carried, *(i for i in range(count, count + scanned) if i in needed), *moved]
    operands += [i for i in range(count + scanned, len(node.inputs)) if i in needed]
    new = []
    for graph in graphs:
        outputs = [*(graph.outputs[k] for k in carried), *graph.outputs[count:]] if graph is body else graph.outputs
        new.append(Graph(graph.name, [graph.inputs[i] for i in operands], outputs))
    attrs = {**node.attrs, "carries": len(carried)}
    if is_scan:
        attrs.update(xs=sum(count <= i < count + scanned for i in operands), history=tuple(carried.index(k) for k in kept_history))
    outputs: dict[int, tuple[str, int]] = {}
    for i in used:
        if i < count:
            outputs[i] = ("operand", i) if i in fixed else ("output", carried.index(i))
        elif i < first_y:
            outputs[i] = ("output", len(carried) + kept_history.index(history[i - count]))
        else:
            outputs[i] = ("output", len(carried) + len(kept_history) + used_ys.index(i))
    same = operands == list(range(len(node.inputs))) and attrs == dict(node.attrs) and len(used) == len(node.specs)
    same = same and all(a.outputs == b.outputs for a, b in zip(new, node.subgraphs))
    return _Plan(node.subgraphs if same else tuple(new), attrs, operands, outputs)


def _without_twins(graph, placeholders, operands) -> Graph:
    """Of equal scanned operands one is read."""
    replaced, first = {}, {}
    for placeholder, operand in zip(placeholders, operands):
        if operand in first:
            replaced[placeholder] = first[operand]
        first.setdefault(operand, placeholder)
    return Graph(graph.name, graph.inputs, rebuilt(graph.outputs, replaced)) if replaced else graph


# ---- hoisting -------------------------------------------------------------------------------------------------------


def hoist_invariants(graph: Graph, context: PassContext) -> Graph:
    """Takes out of loops what is the same in every step. What may fail stays, for a loop may have no step at all."""
    return at_every_level(graph, lambda g: _hoisted(g, context))


def _hoisted(graph, context):
    def transform(node, inputs):
        if node.op not in ("scan", "while_loop") or not context.allows("hoist"):
            return None
        start = node.attrs["carries"] + node.attrs.get("xs", 0)
        values = [_movable(sub, start) for sub in node.subgraphs]
        found = list(dict.fromkeys(v for group in values for v in group))
        if not found:
            return None
        # Placeholders differ between condition and body, so each value is made outside with those of its own sub-graph.
        placeholders, outside = {}, {}
        for sub, group in zip(node.subgraphs, values):
            with origin_scope(node.origin, rule="hoist_invariants"):
                outside.update(zip(group, rebuilt(group, dict(zip(sub.inputs[start:], inputs[start:])))))
        operands = [outside[v] for v in found]
        for number, value in enumerate(found):
            placeholders[value] = [Value(input_node(_free_name(node.subgraphs, number), value.spec)) for _ in node.subgraphs]
        subgraphs = []
        for place, sub in enumerate(node.subgraphs):
            own = {v: p[place] for v, p in placeholders.items()}
            subgraphs.append(Graph(sub.name, [*sub.inputs, *own.values()], rebuilt(sub.outputs, own)))
        new = make_node(node.op, [*inputs, *operands], node.attrs, origin=node.origin, subgraphs=subgraphs)
        context.made_one("hoist", repr(node), repr(new))
        return new.outputs

    rewritten = graph.rewrite(transform)
    return graph if rewritten.outputs == graph.outputs and rewritten.effects == graph.effects else rewritten


def _free_name(subgraphs, number):
    taken = {name for g in subgraphs for name in g.input_names}
    prefix = "i"
    while any(name.startswith(prefix) and name[len(prefix) :].isdigit() for name in taken):
        prefix += "i"
    return f"{prefix}{number}"


def _movable(graph, start) -> list[Value]:
    """Values that depend on captures and constants alone and are worth an array of their own."""
    captures = {v.node.id for v in graph.inputs[start:]}
    fixed = set(captures)
    reads = set()  # of a capture, directly or not: constants alone are folded, not carried around
    for node in graph.nodes:
        kind = op_def(node.op).kind
        if node.op in _SHARED:
            fixed.add(node.id)
        elif (kind in _HOISTED or kind == "view") and node.op not in _MAY_FAIL and all(v.node.id in fixed for v in node.inputs):
            fixed.add(node.id)
            if any(v.node.id in captures or v.node.id in reads for v in node.inputs):
                reads.add(node.id)
    users = [(n, v) for n in graph.nodes if n.id not in fixed for v in n.inputs] + [(None, v) for v in graph.outputs]
    found = []
    for _, value in users:
        base = value
        while op_def(base.node.op).kind == "view" and base.node.id in reads:  # views cost nothing inside
            base = base.node.inputs[0]
        if base.node.id in reads and base not in found:
            found.append(base)
    return sorted(found, key=lambda v: (v.node.id, v.index))
