"""Cheap values that a later kernel makes again, from what it reads anyway, rather than having them stored and read back.

The node then stands in both groups. That pays where the whole store falls away: a value that the graph returns stays as it is.
"""

from graphkeras.ir.dims import Dim, dim_symbols, size
from graphkeras.ir.dtypes import itemsize
from graphkeras.ir.node import Node, Value
from graphkeras.ir.registry import op_def
from graphkeras.schedule.space import FULL, REDUCTIONS, Refused
from graphkeras.schedule.views import is_literal

_MOST_NODES = 3
_MOST_FLOPS = 2
"""FLOP per element of one node."""
_GUESS = 64


def recompute(grouping) -> None:
    """Takes cheap values into the groups that read them, where fewer bytes move then."""
    written = {n.attrs["variable"] for n in grouping.graph.effects if n.op == "assign_variable"}
    returned = {grouping.resolve(v)[0] for v in grouping.graph.outputs}
    for key in list(grouping.groups):
        group = grouping.groups[key]
        if group.space is None:
            continue
        for node in sorted(group.nodes, key=lambda n: -n.id):
            if _is_cheap(node) and group.space.values.get(node.id) == FULL and Value(node) not in returned:
                _try(grouping, key, node, written)


def _try(grouping, key, node, written):
    made = grouping.groups[key]
    readers = [k for k, g in grouping.groups.items() if k != key and node not in g.nodes and _reads(grouping, g, Value(node))]
    again = _closure(grouping, made, node)
    if not readers or again is None:
        return
    reads = {base for n in again for base in _outside(grouping, n, made)}
    if any(base.node.op == "read_variable" and base.node.attrs["variable"] in written for base in reads):
        return
    saved, spaces = (1 + len(readers)) * _bytes(Value(node)), {}
    for reader in readers:
        group = grouping.groups[reader]
        if group.space is None:
            return
        nodes = sorted({*group.nodes, *again}, key=lambda n: n.id)
        read = {base for n in group.nodes for base, _ in map(grouping.resolve, n.inputs)}
        saved -= sum(_bytes(base) for base in reads - read)
        # What the first group reduces is few bytes, but has to be stored now.
        saved -= sum(2 * _bytes(base) for n in again for base in _inside(grouping, n, made, again))
        try:
            spaces[reader] = nodes, grouping.space_of(nodes, {n.id for n in group.space.sides})
        except Refused:
            return
    if saved <= 0:
        return
    for reader, (nodes, space) in spaces.items():
        grouping.groups[reader].nodes, grouping.groups[reader].space = nodes, space
    _drop_unused(grouping, key)


def _is_cheap(node: Node) -> bool:
    if op_def(node.op).kind != "elementwise" or node.op == "check_range":
        return False
    flops = op_def(node.op).flops([v.spec for v in node.inputs], node.specs, node.attrs)
    return _number(flops) <= _MOST_FLOPS * _number(node.specs[0].size)


def _closure(grouping, group, node) -> list[Node] | None:
    """The node and those of its group that it is made from point by point; None where they are many, or dear."""
    found, waiting = [], [node]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        if not _is_cheap(current) or len(found) == _MOST_NODES:
            return None
        found.append(current)
        waiting += [base.node for base in _inside(grouping, current, group, ()) if group.space.values[base.node.id] == FULL]
    return found


def _inside(grouping, node, group, without):
    """Operands of a node that its group makes, other than `without`."""
    bases = [grouping.resolve(v)[0] for v in node.inputs]
    return [b for b in bases if b.node in group.nodes and b.node not in without]


def _outside(grouping, node, group):
    bases = [grouping.resolve(v)[0] for v in node.inputs]
    return [b for b in bases if b.node not in group.nodes and not is_literal(b) and b.node.op not in ("iota", "dim")]


def _reads(grouping, group, value) -> bool:
    return any(grouping.resolve(v)[0] == value for n in group.nodes for v in n.inputs)


def _drop_unused(grouping, key):
    """Removes what a group made for nobody but its former readers."""
    group = grouping.groups[key]
    wanted = {grouping.resolve(v)[0].node.id for v in grouping.graph.outputs}
    for other, g in grouping.groups.items():
        if other != key:
            inside = {n.id for n in g.nodes}
            wanted |= {base.node.id for n in g.nodes for base, _ in map(grouping.resolve, n.inputs)} - inside
    kept = []
    for node in sorted(group.nodes, key=lambda n: -n.id):
        if node.id in wanted or node.effects:
            kept.append(node)
            wanted |= {grouping.resolve(v)[0].node.id for v in node.inputs}
    if not kept:
        grouping.drop(key)
    elif len(kept) < len(group.nodes) and (any(n.op in REDUCTIONS for n in kept) or not group.space.has_reduction):
        group.nodes = sorted(kept, key=lambda n: n.id)
        group.space = grouping.space_of(group.nodes, {n.id for n in group.space.sides})


def _bytes(value: Value):
    return _number(size(value.shape)) * itemsize(value.dtype)


def _number(dim):
    return dim.evaluate(dict.fromkeys(dim_symbols(dim), _GUESS)) if isinstance(dim, Dim) else dim
