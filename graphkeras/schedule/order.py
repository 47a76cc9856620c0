"""From groups to a schedule: who stores what, who runs when."""

from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Value
from graphkeras.schedule.bundles import bundled
from graphkeras.schedule.control import bound_inputs
from graphkeras.schedule.cost import group_bytes, group_flops
from graphkeras.schedule.fusion import Grouping, group_nodes
from graphkeras.schedule.groups import Refusal, Schedule
from graphkeras.schedule.placing import place_parts
from graphkeras.schedule.prepare import prepare
from graphkeras.schedule.rows import independent_rows
from graphkeras.schedule.space import Refused


def schedule(graph: Graph, fuse: bool = True, bound=None) -> Schedule:
    """Cuts a graph of primitives into groups and puts them in order.

    Args:
        graph: composites must have been expanded.
        fuse: False gives every node a group of its own; the results are the same, bit for bit.
        bound: for a sub-graph, where its inputs lie (see `schedule.control`).

    Returns:
        The schedule. Phase 2 holds the groups that write variables and what depends on them; nothing in it can fail.
    """
    prepared, resolve = prepare(graph, bound)
    grouping = group_nodes(prepared, resolve, fuse)
    _find_outputs(grouping)
    ordered = _in_order(grouping)
    for group in ordered:
        group.nodes.sort(key=lambda n: n.id)
        group.flops, group.bytes = group_flops(group), group_bytes(group, resolve)
    if fuse:
        place_parts(ordered, resolve, {resolve(value)[0] for value in prepared.outputs})
        ordered = bundled(ordered, _waited_for(grouping), grouping.refusals)
    for index, group in enumerate(ordered):
        group.index = index
        node = group.nodes[0]
        group.bodies = tuple(schedule(sub, fuse, bound_inputs(node, sub, resolve)) for sub in node.subgraphs)
        if fuse and "carries" in node.attrs:
            try:
                group.rows = independent_rows(node, group.bodies[-1])
            except Refused as refused:
                grouping.refusals.append(Refusal(node, node, str(refused)))
    return Schedule(prepared, ordered, grouping.refusals, resolve)


def _find_outputs(grouping: Grouping):
    wanted: dict[int, set[Value]] = {}
    for group in grouping.groups.values():
        for _, base, _ in group.reads(grouping.resolve):
            owner = grouping.member.get(base.node.id)
            if owner is not None:
                wanted.setdefault(owner, set()).add(base)
    for value in grouping.graph.outputs:
        base, _ = grouping.resolve(value)
        owner = grouping.member.get(base.node.id)
        if owner is not None:
            wanted.setdefault(owner, set()).add(base)
    for key, values in wanted.items():
        grouping.groups[key].outputs = sorted(values, key=lambda v: (v.node.id, v.index))


def _waited_for(grouping: Grouping) -> set[int]:
    """Ids of the groups that others depend on."""
    mask = 0
    for before in grouping.before.values():
        mask |= before
    return {id(group) for key, group in grouping.groups.items() if mask >> key & 1}


def _in_order(grouping: Grouping):
    """Topological, phase 1 first, otherwise by the place of a group's last node in the graph."""
    writing = {k for k, g in grouping.groups.items() if g.writes}
    for key, group in grouping.groups.items():
        mask = grouping.before[key] | 1 << key
        group.phase = 2 if any(mask >> w & 1 for w in writing) else 1
    waiting = dict(sorted(grouping.groups.items(), key=lambda item: (item[1].phase, max(n.id for n in item[1].nodes))))
    placed, ordered = 0, []
    while waiting:
        key = next(k for k in waiting if not grouping.before[k] & ~placed)
        ordered.append(waiting.pop(key))
        placed |= 1 << key
    return ordered
