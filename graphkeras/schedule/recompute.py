"""Cheap values that a later kernel makes again, from what it reads anyway, rather than having them stored and read back.

The node then stands in both groups. That pays where the whole store falls away: a value that the graph returns stays as it is.

A reader that walks a space makes the value at each of its points. A contraction that reads it as an operand makes it block by block,
on the way into the packed panels or a thread's scratch: the nodes become a *prologue* of the contraction.
"""

from typing import NamedTuple

from graphkeras.ir.dims import Dim, dim_symbols, size
from graphkeras.ir.dtypes import itemsize
from graphkeras.ir.node import Node, Value
from graphkeras.ir.registry import op_def
from graphkeras.schedule.groups import Group, Refusal
from graphkeras.schedule.space import FULL, REDUCTIONS, Refused, Space
from graphkeras.schedule.views import is_literal

PROLOGUES = {"matmul": (0, 1), "conv": (0,), "conv_input_gradient": (0,), "conv_kernel_gradient": (0, 1)}
"""Operands of contractions whose kernels can make them block by block."""


class Limits(NamedTuple):
    """How much may be made again.

    Args:
        nodes: the most nodes.
        flops: FLOP per element of each.
    """

    nodes: int
    flops: int


_AT_POINTS = Limits(3, 2)
_BESIDE_PRODUCTS = Limits(12, 4)
USES = 8
"""Products per element of an operand and FLOP of its prologue: with fewer, making it more than once would show."""
LEAST_BYTES = 256 * 1024
"""A smaller operand stays in a core's cache: to store it costs less than to make it anew for each tile that reads it."""
LEAST_LOOKED_UP_BYTES = 16 << 20
"""Rows of a table are as far away as their copy unless that is too large for the last cache: of less than this, products looked up in
blocks took 0.88 to 1.02 of the speed of products of the copy, of more 0.97 to 1.3."""
_GUESS = 64


def recompute(grouping) -> None:
    """Takes cheap values into the groups that read them, where fewer bytes move then."""
    _Recompute(grouping).run()


class _Recompute:
    def __init__(self, grouping):
        self.grouping = grouping
        assigned = [n.attrs["variable"] for n in grouping.graph.effects if n.op == "assign_variable"]
        self.writers = {variable: grouping.writer_of(variable) for variable in assigned}
        self.returned = {grouping.resolve(v)[0] for v in grouping.graph.outputs}
        self.readers: dict[Value, set[int]] = {}  # groups that read a value, or did so
        for key in grouping.groups:
            self._note_reads(key)

    def run(self):
        relieved = True
        while relieved:  # a group that makes one value again may then read all that others of its operands are made from
            relieved, tried = False, len(self.grouping.refusals)
            for key in list(self.grouping.groups):
                relieved = self._relieved(key) or relieved
            if relieved:  # they are tried again
                del self.grouping.refusals[tried:]

    def _note_reads(self, key):
        for node in self.grouping.groups[key].nodes:
            for value in node.inputs:
                self.readers.setdefault(self.grouping.resolve(value)[0], set()).add(key)

    def _readers(self, key, value) -> dict[int, Group]:
        """The groups other than `key` that read a value from memory."""
        groups = self.grouping.groups
        found = {k: groups[k] for k in sorted(self.readers.get(value, ())) if k in groups and k != key}
        return {k: g for k, g in found.items() if value in _from_memory(self.grouping, g)}

    def _relieved(self, key) -> bool:
        """Whether some value of a group is now made by its readers."""
        group, found = self.grouping.groups[key], False
        for node in sorted(group.space.nodes if group.space else (), key=lambda n: -n.id):
            if key not in self.grouping.groups:  # nobody needs the group any more
                break
            is_full = node in group.nodes and group.space.values.get(node.id) == FULL
            if is_full and Value(node) not in self.returned and _is_cheap(node, _BESIDE_PRODUCTS):
                found = self._try(key, node) or found
        return found

    def _try(self, key, node) -> bool:
        grouping, made, value = self.grouping, self.grouping.groups[key], Value(node)
        readers = self._readers(key, value)
        if not readers or any(reader.space is None for reader in readers.values()):
            return False
        again = _closure(grouping, made, node, _BESIDE_PRODUCTS if any(g.space.tiled for g in readers.values()) else _AT_POINTS)
        if again is None:
            return False
        reads = {base: nbytes for n in again for base, nbytes in _outside(grouping, n, made)}
        overwritten = {base.node.attrs["variable"] for base in reads if base.node.op == "read_variable"} & self.writers.keys()
        saved, changed = (1 + len(readers)) * _bytes(value), []
        for number, reader in readers.items():
            saved -= sum(reads[base] for base in reads.keys() - _from_memory(grouping, reader))
            # What the first group reduces is few bytes, but has to be stored now.
            saved -= sum(2 * _bytes(base) for n in again for base in _inside(grouping, n, made, again))
            try:
                for variable in overwritten:
                    if grouping.comes_after(number, self.writers[variable]):
                        raise Refused(f"variable {variable} has a new value by then")
                changed.append((reader, *_remade(grouping, reader, again, value)))
            except Refused as refused:
                grouping.refusals.append(Refusal(node, reader.nodes[-1], str(refused)))
                return False
        if saved <= 0:
            return False
        for reader, space, prologues in changed:
            reader.space, reader.prologues = space, prologues
            reader.nodes = sorted({*space.nodes, *(n for s in prologues.values() for n in s.nodes)}, key=lambda n: n.id)
        for number in readers:
            self._note_reads(number)
            for variable in overwritten:
                grouping.put_after(self.writers[variable], number)
        _drop_unused(grouping, key)
        return True


def _remade(grouping, group: Group, again, value: Value) -> tuple[Space, dict[int, Space]]:
    """Space and prologues of a group that makes a value from the nodes `again`. Raises Refused."""
    prologues = {p: _joined(s, again) if _reads(grouping, s.nodes, value) else s for p, s in group.prologues.items()}
    for position in _operands(grouping, group, value):
        _check_uses(group.space.tiled, position, again)
        prologues[position] = _joined(Space.of_operand(group.space.tiled, position, grouping.resolve), again)
    space = group.space
    if _reads(grouping, [n for n in space.nodes if n is not space.tiled], value):
        nodes = sorted({*space.nodes, *again}, key=lambda n: n.id)
        space = grouping.space_of(nodes, {n.id for n in space.sides}, prologues)
    return space, prologues


def _joined(space: Space, nodes) -> Space:
    """A space of the same kind that holds more nodes. Raises Refused."""
    everything = sorted({*space.nodes, *nodes}, key=lambda n: n.id)
    space = Space(space.resolve, parts=space.parts, split=space.split, tiled=space.tiled)
    for node in everything:
        space = space.joined(node)
    return space


def _operands(grouping, group: Group, value: Value) -> list[int]:
    """The places of a value among the operands of a group's contraction."""
    tiled = group.space.tiled
    return [i for i, v in enumerate(tiled.inputs) if grouping.resolve(v)[0] == value] if tiled else []


def _check_uses(tiled: Node, position: int, again):
    if position not in PROLOGUES.get(tiled.op, ()):
        raise Refused(f"the kernel of {tiled.op} reads operand {position} from memory")
    if _bytes(tiled.inputs[position]) < LEAST_BYTES:
        raise Refused(f"operand {position} of {tiled.op} is small enough to stay in a core's cache")
    if _bytes(tiled.inputs[position]) < LEAST_LOOKED_UP_BYTES and any(n.op == "lookup" for n in again):
        raise Refused(f"what operand {position} of {tiled.op} is looked up from is no nearer than a copy of it")
    products = _number(op_def(tiled.op).flops([v.spec for v in tiled.inputs], tiled.specs, tiled.attrs)) / 2
    uses = products / max(1, _number(size(tiled.inputs[position].shape)))
    flops = sum(_flops_each(n) for n in again)
    if uses < USES * flops:
        raise Refused(f"an operand of {tiled.op} is used {uses:.0f} times, which does not pay for {flops:.0f} FLOP to make it again")


def _is_cheap(node: Node, limits: Limits) -> bool:
    if node.op == "lookup":
        return True
    return op_def(node.op).kind == "elementwise" and node.op != "check_range" and _flops_each(node) <= limits.flops


def _flops_each(node: Node) -> float:
    """FLOP per element."""
    flops = op_def(node.op).flops([v.spec for v in node.inputs], node.specs, node.attrs)
    return _number(flops) / max(1, _number(node.specs[0].size))


def _closure(grouping, group, node, limits) -> list[Node] | None:
    """The node and those of its group that it is made from point by point; None where they are many, or dear."""
    found, waiting = [], [node]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        if not _is_cheap(current, limits) or len(found) == limits.nodes:
            return None
        found.append(current)
        waiting += [base.node for base in _inside(grouping, current, group, ()) if group.space.values.get(base.node.id) == FULL]
    return found


def _inside(grouping, node, group, without):
    """Operands of a node that its group makes, other than `without`."""
    bases = [grouping.resolve(v)[0] for v in node.inputs]
    return [b for b in bases if b.node in group.nodes and b.node not in without]


def _outside(grouping, node, group):
    """The arrays that a node reads besides what its group makes, each with the bytes that are read of it."""
    found = []
    for position, value in enumerate(node.inputs):
        base = grouping.resolve(value)[0]
        if base.node not in group.nodes and not is_literal(base) and base.node.op not in ("iota", "dim"):
            found.append((base, _bytes(Value(node)) if node.op == "lookup" and position == 0 else _bytes(base)))
    return found


def _from_memory(grouping, group: Group) -> set[Value]:
    """Arrays that a group reads."""
    return {base for _, base, _ in group.reads(grouping.resolve)}


def _reads(grouping, nodes, value) -> bool:
    return any(grouping.resolve(v)[0] == value for n in nodes for v in n.inputs)


def _drop_unused(grouping, key):
    """Removes what a group made for nobody but its former readers."""
    group = grouping.groups[key]
    wanted = {grouping.resolve(v)[0].node.id for v in grouping.graph.outputs}
    for other, g in grouping.groups.items():
        if other != key:
            wanted |= {base.node.id for base in _from_memory(grouping, g)}
    kept = []
    for node in sorted(group.nodes, key=lambda n: -n.id):
        if node.id in wanted or node.effects:
            kept.append(node)
            wanted |= {grouping.resolve(v)[0].node.id for v in node.inputs}
    if not kept:
        grouping.drop(key)
    elif len(kept) < len(group.nodes) and (any(n.op in REDUCTIONS for n in kept) or not group.space.has_reduction):
        group.nodes = sorted(kept, key=lambda n: n.id)
        of_space = [n for n in group.nodes if n in group.space.nodes]
        group.space = grouping.space_of(of_space, {n.id for n in group.space.sides}, group.prologues)


def _bytes(value: Value):
    return _number(size(value.shape)) * itemsize(value.dtype)


def _number(dim):
    return dim.evaluate(dict.fromkeys(dim_symbols(dim), _GUESS)) if isinstance(dim, Dim) else dim
