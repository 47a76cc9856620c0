"""Fusion: which nodes become one kernel.

Nodes are taken in topological order; each joins the group of a producer if the iteration space allows it and no cycle arises,
and then draws the groups of its other producers in. Assignments come last, so that what they drag into the commit phase is known.
"""

from graphkeras.ir.dims import size
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Node, Value
from graphkeras.ir.registry import op_def
from graphkeras.schedule.groups import Group, Refusal
from graphkeras.schedule.host import runs_on_host
from graphkeras.schedule.recompute import recompute
from graphkeras.schedule.space import FULL, REDUCTIONS, Refused, Space, boundaries, can_be_mapped, iteration_shape

RAISING = {"check_range", "gather", "scatter_add", "scatter_reduce"}
"""Ops whose kernels can report an error: they run before anything is written."""
FEW_ROWS = 4
LONG_ROW = 16384
"""A kernel with fewer rows than threads leaves cores idle, so it takes no second pass over rows longer than this."""


def is_computed(node: Node, resolve) -> bool:
    """Whether a node needs a kernel."""
    return (
        op_def(node.op).kind not in ("source", "view")
        and node.op != "read_variable"
        and not resolve.is_view(node)
        or node.op == "random_bits"
    )


class Grouping:
    """Groups under construction, and who must run before whom.

    Args:
        graph: a prepared graph.
        resolve: finds the array behind a value.
    """

    def __init__(self, graph: Graph, resolve):
        self.graph, self.resolve = graph, resolve
        self.groups: dict[int, Group] = {}
        self.before: dict[int, int] = {}  # key of a group -> bit set of the groups it depends on, directly or not
        self.member: dict[int, int] = {}  # node id -> key of its group
        self.readers: dict[object, list[int]] = {}  # variable -> ids of nodes that read it
        self.refusals: list[Refusal] = []
        self._next = 0

    # ---- order ------------------------------------------------------------------------------------------------------

    def needs(self, node: Node) -> int:
        """Bit set of the groups that must have run before a node."""
        found, stack = 0, list(node.inputs)
        while stack:
            value = stack.pop()
            base, _ = self.resolve(value)
            if base.node.id in self.member:
                found |= self._with_before(self.member[base.node.id])
            stack += self.resolve.awaited(value)
        if node.op == "assign_variable":
            for reader in self.readers.get(node.attrs["variable"], ()):
                found |= self._with_before(self.member[reader])
        return found

    def _with_before(self, key):
        return self.before[key] | 1 << key

    def _would_cycle(self, key, needs):
        """Whether something that must come before the newcomer comes after group `key`."""
        others = needs & ~(1 << key)
        return any(self.before[k] >> key & 1 for k in _bits(others))

    def _add_needs(self, key, needs):
        needs &= ~(1 << key)
        self.before[key] |= needs
        for other, before in self.before.items():
            if before >> key & 1:
                self.before[other] = before | needs

    def writer_of(self, variable) -> int | None:
        """The group that writes a variable."""
        return next((k for k, g in self.groups.items() if any(n.attrs["variable"] == variable for n in g.writes)), None)

    def comes_after(self, key: int, other: int) -> bool:
        """Whether group `key` is group `other`, or runs after it in any case."""
        return key == other or bool(self.before[key] >> other & 1)

    def put_after(self, key: int, other: int) -> None:
        """From now on group `key` runs after group `other`, which must not come after it."""
        self._add_needs(key, self._with_before(other))

    def _raises_after(self, key):
        return any(
            n.op in RAISING or n.subgraphs or runs_on_host(n)
            for k, g in self.groups.items()
            if k == key or self.before[k] >> key & 1
            for n in g.nodes
        )

    # ---- placing ----------------------------------------------------------------------------------------------------

    def alone(self, node: Node) -> int:
        """A new group for a node."""
        space = None
        if can_be_mapped(node):
            space = Space(self.resolve).joined(node)
        elif op_def(node.op).kind == "contraction":
            space = Space.of_contraction(node, self.resolve)
        key = self._next
        self._next += 1
        self.groups[key] = Group([node], space)
        self.before[key] = self.needs(node)
        self._note(node, key)
        return key

    def _note(self, node, key):
        self.member[node.id] = key
        for value in node.inputs:
            base, _ = self.resolve(value)
            if base.node.op == "read_variable":
                self.readers.setdefault(base.node.attrs["variable"], []).append(node.id)

    def join(self, node: Node, key: int) -> bool:
        """Puts a node into a group if that is legal and pays; notes the reason if not."""
        group = self.groups[key]
        try:
            self._check_join(node, key)
            space = group.space.joined(node)
            _check_profit(space, node)
        except Refused as refused:
            self.refusals.append(Refusal(node, group.nodes[-1], str(refused)))
            return False
        group.space = space
        group.nodes.append(node)
        self._add_needs(key, self.needs(node))
        self._note(node, key)
        return True

    def _check_join(self, node, key):
        group = self.groups[key]
        if group.space is None:
            raise Refused(f"{group.kind} kernels take no other nodes")
        if self._would_cycle(key, self.needs(node)):
            raise Refused("something between them runs elsewhere")
        if node.op == "assign_variable" and self._raises_after(key):
            raise Refused("a kernel that may report an error runs before anything is written")

    def merge(self, key: int, other: int) -> bool:
        """Draws group `other` into group `key` if that is legal."""
        group, drawn = self.groups[key], self.groups[other]
        try:
            if group.space is None or drawn.space is None:
                raise Refused(f"{drawn.kind} and {group.kind} kernels stay apart")
            if group.space.tiled is not None and drawn.space.tiled is not None:
                raise Refused("two contractions stay apart")
            if self._between(key, other) or self._between(other, key):
                raise Refused("something between them runs elsewhere")
            nodes = sorted([*group.nodes, *drawn.nodes], key=lambda n: n.id)
            space = self.space_of(nodes, {n.id for n in (*group.space.sides, *drawn.space.sides)})
        except Refused as refused:
            self.refusals.append(Refusal(group.nodes[-1], drawn.nodes[-1], str(refused)))
            return False
        group.nodes, group.space = nodes, space
        for node in drawn.nodes:
            self.member[node.id] = key
        needs = self.before[other]
        del self.groups[other], self.before[other]
        bit = 1 << other
        for k, before in self.before.items():
            if before & bit:
                self.before[k] = before & ~bit | (1 << key if k != key else 0)
        self._add_needs(key, needs)
        for k, before in list(self.before.items()):
            if before >> key & 1:
                self.before[k] = before | self.before[key]
        return True

    def drop(self, key: int) -> None:
        """Forgets a group that nobody needs."""
        del self.groups[key], self.before[key]
        for k, before in self.before.items():
            self.before[k] = before & ~(1 << key)

    def _between(self, first, last):
        """Whether a third group must run after `first` and before `last`."""
        return any(self.before[k] >> first & 1 for k in _bits(self.before[last] & ~(1 << first)))

    def space_of(self, nodes, sides=frozenset(), made=()) -> Space:
        """The space of nodes in topological order; those in `sides` join last. Operands of a contraction at the positions `made` are
        made as it reads them, so the nodes may make them, too. Raises Refused."""
        tiled = [n for n in nodes if op_def(n.op).kind == "contraction"]
        operands = {self.resolve(v)[0].node.id for n in tiled for i, v in enumerate(n.inputs) if i not in made}
        if any(n.id in operands for n in nodes):
            raise Refused("a contraction needs its whole operands before it starts")
        space = Space.of_contraction(tiled[0], self.resolve) if tiled else Space(self.resolve)
        for node in sorted(nodes, key=lambda n: n.id in sides):
            if node not in tiled:
                space = space.joined(node)
        for node in nodes:
            _check_profit(space, node)
        return space


def _bits(mask: int):
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _check_profit(space: Space, node: Node):
    """Refuses what would leave cores idle: a second pass over a few long rows."""
    if not space.has_reduction or not space.reduces_rows or node.op in REDUCTIONS:
        return
    if space.levels[node.id] != FULL:
        return
    rows, columns = size(space.parts[0]), size(space.parts[1])
    if isinstance(rows, int) and rows < FEW_ROWS and (not isinstance(columns, int) or columns > LONG_ROW):
        late = any(space.values.get(base.node.id) != FULL and base.node.id in space.values for base, _ in map(space.resolve, node.inputs))
        if late:
            raise Refused(f"{rows} rows of {columns} elements would be walked again by one thread")


def group_nodes(graph: Graph, resolve, fuse: bool) -> Grouping:
    """All computed nodes of a prepared graph in groups."""
    grouping = Grouping(graph, resolve)
    computed = [n for n in graph.nodes if is_computed(n, resolve)]
    ordered = [n for n in computed if n.op != "assign_variable"] + [n for n in computed if n.op == "assign_variable"]
    scalars: int | None = None
    for node in _sums_late(grouping, ordered) if fuse else ordered:
        if not fuse or not can_be_mapped(node):
            grouping.alone(node)
            continue
        key = _place(grouping, node)
        if key is None:
            key = grouping.alone(node)
        if node.op not in REDUCTIONS and size(iteration_shape(node)) == 1 and node.op != "assign_variable":
            # Single elements belong together whoever needs them: each kernel of its own costs more than they do.
            if scalars is not None and scalars in grouping.groups and scalars != key and grouping.groups[key].kind == "pointwise":
                grouping.merge(scalars, key)
            elif scalars not in grouping.groups and grouping.groups[key].kind == "pointwise":
                scalars = key
    if fuse:
        recompute(grouping)
    return grouping


def _sums_late(grouping: Grouping, ordered):
    """The nodes with reductions of columns put off until somebody needs them: a kernel that walks the rows of the same array may have
    come up until then, and takes them on the side."""
    late: dict[int, Node] = {}
    for node in ordered:
        for value in node.inputs:
            waiting = late.pop(grouping.resolve(value)[0].node.id, None)
            if waiting is not None:
                yield waiting
        if node.op in REDUCTIONS and boundaries(node)[2] and grouping.resolve(node.inputs[0])[0].node.id not in grouping.member:
            late[node.id] = node
        else:
            yield node
    yield from late.values()


def _place(grouping: Grouping, node: Node) -> int | None:
    """Joins a node to the best of its producers' groups, then draws the other producers' groups in."""
    keys = []
    for value in node.inputs:
        base, _ = grouping.resolve(value)
        key = grouping.member.get(base.node.id)
        if key is not None and key not in keys:
            keys.append(key)
    # The latest producer first: it is the likeliest to depend on the others.
    keys.sort(key=lambda k: (grouping.groups[k].kind != "contraction", -max(n.id for n in grouping.groups[k].nodes)))
    candidates = keys + [k for k in _siblings(grouping, node) if k not in keys]
    for key in candidates:
        if grouping.join(node, key):
            for other in keys:
                if other != key and other in grouping.groups:
                    grouping.merge(key, other)
            return key
    return None


def _siblings(grouping: Grouping, node: Node) -> list[int]:
    """Groups that reduce the same array as a reduction: together they read it once."""
    if node.op not in REDUCTIONS:
        return []
    base, _ = grouping.resolve(node.inputs[0])
    found = []
    for key, group in grouping.groups.items():
        if group.space is not None and group.space.has_reduction and any(_reads(grouping, n, base) for n in group.nodes):
            found.append(key)
    return found


def _reads(grouping, node: Node, base: Value) -> bool:
    return any(grouping.resolve(v)[0] == base for v in node.inputs)
