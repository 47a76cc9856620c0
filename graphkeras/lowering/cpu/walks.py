"""In which walk over a row each node of a row kernel stands.

A walk is as early as what it needs allows. A reduction that nobody waits for is put off to the first walk that reads its operands
anyway: an array is then read in fewer walks, and memory works in several of them instead of in the first alone. Gradients of a layer
normalisation, say, read x in the first walk, the cotangent from the second on, and write in the third.
"""

from graphkeras.ir.dims import divide_exactly
from graphkeras.ir.node import Node, Value
from graphkeras.ir.registry import op_def
from graphkeras.lowering.cpu.loops import role_of
from graphkeras.schedule.groups import Group
from graphkeras.schedule.space import FULL, REDUCED, REDUCTIONS

_CHEAP = 2
"""FLOP per element up to which a value is computed again rather than kept."""


def is_cheap(node: Node) -> bool:
    """Whether a full value is computed again in a later walk, rather than kept from an earlier one."""
    cost = op_def(node.op).flops([v.spec for v in node.inputs], node.specs, node.attrs)
    each = divide_exactly(cost, node.specs[0].size)
    return node.op != "random_bits" and each is not None and each <= _CHEAP


class Walks:
    """The walks of a row kernel.

    Args:
        group: what the kernel computes.

    Attributes:
        loop: the walk of each full node and each reduction, by node id.
        ready: the walk after which a reduced value exists, -1 before the first, by node id.
        count: number of walks.
        idle: the first walk that reads no array but those of earlier walks, which the caches have; None if there is none.
    """

    def __init__(self, group: Group):
        self._space, self._outputs = group.space, set(group.outputs)
        self._nodes = self._space.nodes_in_order()
        self._bases = {n.id: [self._space.resolve(v)[0] for v in n.inputs] for n in self._nodes}
        self._users: dict[int, list[Node]] = {n.id: [] for n in self._nodes}
        for node in self._nodes:
            for key in {base.node.id for base in self._bases[node.id]} & self._users.keys():
                self._users[key].append(node)
        self.loop, self.ready = {}, {}
        self._place({})
        self.count = max(self.loop.values(), default=0) + 1
        walked = self._walked()
        self._place(self._put_off(walked))
        self.idle = self._first_idle(walked)

    def _place(self, chosen: dict[int, int]) -> None:
        """Every node in its earliest walk, or in the chosen one."""
        space = self._space
        for node in self._nodes:
            loop, ready = 0, -1
            for base in self._bases[node.id]:
                if base.node.id in self.ready:
                    ready = max(ready, self.ready[base.node.id])
                    loop = max(loop, self.ready[base.node.id] + 1)
                elif base.node.id in self.loop:
                    loop = max(loop, self.loop[base.node.id])
            if space.levels[node.id] == REDUCED:
                self.ready[node.id] = ready
                continue
            self.loop[node.id] = chosen.get(node.id, loop)
            if node.op in REDUCTIONS and space.values[node.id] == REDUCED:
                self.ready[node.id] = self.loop[node.id]
        for node in reversed(self._nodes):  # a value that only later walks use is first computed there
            users = [n for n in self._users[node.id] if n.id in self.loop]
            if users and node.id in self.loop and node.op not in REDUCTIONS and not self._is_output(node):
                self.loop[node.id] = min(self.loop[n.id] for n in users)

    def _put_off(self, walked) -> dict[int, int]:
        """The walks of reductions that need not stand in the earliest."""
        latest, chosen = self._latest(), {}
        full = [n for n in self._nodes if n.id in self.loop]
        fixed = [n for n in full if (latest[n.id] == self.loop[n.id] if n.op in REDUCTIONS else self._is_output(n))]
        present: list[set] = [set() for _ in range(self.count)]
        for node in fixed:
            present[self.loop[node.id]] |= self._needed(node, walked, through=True)
        for node in full:
            if node.op not in REDUCTIONS or node in fixed:
                continue
            first, needed = self.loop[node.id], self._needed(node, walked, through=False)
            chosen[node.id] = next((walk for walk in range(first, latest[node.id] + 1) if needed <= present[walk]), first)
            present[chosen[node.id]] |= self._needed(node, walked, through=True)
        return chosen

    def _latest(self) -> dict[int, int]:
        """The last walk in which a node may stand while those that use it stay where they are."""
        space, latest = self._space, {}
        for node in reversed(self._nodes):
            waits = int(space.values[node.id] == REDUCED)  # for the end of the walk
            bounds = [latest[n.id] if space.levels[n.id] == REDUCED else self.loop[n.id] - waits for n in self._users[node.id]]
            latest[node.id] = min(bounds, default=self.count - 1)
        return latest

    def _walked(self) -> dict[int, set[Value]]:
        """The arrays that each full node reads along the row."""
        space, found = self._space, {key: set() for key in self.loop}
        inside = len(space.parts[0])
        for read in space.reads():
            if read.node.id in found and role_of(read.base, read.position) == "memory":
                if any(stride != 0 for stride in space.aligned(read).strides[inside:]):
                    found[read.node.id].add(read.base)
        return found

    def _needed(self, node: Node, walked, through: bool) -> set:
        """What a walk must have at hand for a node: arrays, and full values that are kept; `through` adds what those are made from."""
        found, seen, waiting = set(), set(), [node]
        while waiting:
            current = waiting.pop()
            if current.id in seen:
                continue
            seen.add(current.id)
            if current.op not in REDUCTIONS and (self._is_output(current) or not is_cheap(current)):
                found.add(Value(current))
                if not through:
                    continue
            found |= walked[current.id]
            waiting += [b.node for b in self._bases[current.id] if self._space.values.get(b.node.id) == FULL]
        return found

    def _first_idle(self, walked) -> int | None:
        new: list[set] = [set() for _ in range(self.count)]
        for key, walk in self.loop.items():
            new[walk] |= walked[key]
        return next((walk for walk in range(1, self.count) if new[walk] <= set().union(*new[:walk])), None)

    def _is_output(self, node: Node) -> bool:
        return Value(node) in self._outputs
