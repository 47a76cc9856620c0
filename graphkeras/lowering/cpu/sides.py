"""Sums down the columns of what a kernel walks row by row anyway: in rows of scratch, one chunk of rows after the other.

A kernel whose units are whole chunks writes each chunk's sums to memory; a second kernel adds the chunks up, in the order in which a
column kernel would have done it.
"""

from graphkeras.lowering.cpu.column import ColumnLowering, take_row
from graphkeras.lowering.cpu.combine import Combine
from graphkeras.lowering.cpu.kernel import Address, LoweredKernel
from graphkeras.lowering.cpu.source import Vec, Writer
from graphkeras.schedule.groups import Group
from graphkeras.schedule.space import CHUNK_ROWS, SIDE, Space

SLOT_BYTES = 8
"""Room for an element of a running vector, whatever its dtype."""


class Sides:
    """What a group sums on the side.

    Args:
        group: its space has such sums.
        w: writer of the group's kernel.
        name: of that kernel.

    Attributes:
        combines: by node id.
        slots: number of running vectors.
    """

    def __init__(self, group: Group, w: Writer, name: str):
        self.w = w
        self.combines = {n.id: Combine(n) for n in group.space.sides}
        self._columns = ColumnLowering(_sums(group), name + "_sums")
        parts = self._columns.make_parts()
        self._parts = {key: [w.pointer(Address(p), self.combines[key].vector) for p in kept] for key, kept in parts.items()}
        self._running: dict = {}
        self.slots = slots_of(group)

    def totals_kernel(self) -> LoweredKernel:
        """Adds up the chunks."""
        return self._columns.totals_kernel()

    def lie_at(self, places: list[str]) -> None:
        """Gives the running vectors their addresses."""
        remaining = iter(places)
        for key, combine in self.combines.items():
            self._running[key] = [(self.w.name("s"), dtype) for dtype in combine.slots]
            for pointer, dtype in self._running[key]:
                self.w.line(f"{pointer} = ptr_{dtype}({next(remaining)})")

    def begin(self, columns: str) -> None:
        """A chunk begins."""
        w = self.w
        w.line("j = 0")
        with w.block(f"while j < {columns}:"):
            for key, slots in self._running.items():
                for (pointer, dtype), number in zip(slots, self.combines[key].neutral()):
                    w.line(f"store_{dtype}({pointer}, j, {w.literal(number, dtype).name})")
            w.line("j += LANES")

    def take(self, key, x: Vec, place: str) -> None:
        """Takes in a vector of row r; lanes beyond the end add to what nobody stores."""
        take_row(self.w, self.combines[key], self._running[key], x, None, place)

    def end(self, columns: str, target: str) -> None:
        """A chunk ends before row r: its sums go to memory, from element `target` on."""
        w = self.w
        w.line("j = 0")
        with w.block(f"while j < {columns}:"):
            w.line(f"m = min({columns} - j, LANES)")
            for key, combine in self.combines.items():
                held = [w.assign(f"load_{dtype}({pointer}, j)", dtype).name for pointer, dtype in self._running[key]]
                for pointer, part in zip(self._parts[key], combine.part(w, held, f"(r - 1) % {CHUNK_ROWS} + 1")):
                    w.line(f"storen_{combine.vector}({pointer}, {target} + j, {part}, m)")
            w.line("j += LANES")


def slots_of(group: Group) -> int:
    """How many running vectors the sums of a group have."""
    return sum(len(Combine(node).slots) for node in group.space.sides)


def _sums(group: Group) -> Group:
    """What a group sums on the side, as a group of columns."""
    space = Space(group.space.resolve)
    for node in group.space.sides:
        space = space.joined(node)
    outputs = [v for v in group.outputs if group.space.values[v.node.id] == SIDE]
    return Group(group.space.sides, space, group.index, outputs, group.phase)
