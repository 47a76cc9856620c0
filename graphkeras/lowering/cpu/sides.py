"""Sums down the columns of what a kernel walks row by row anyway: in rows of scratch, one chunk of rows after the other.

A kernel whose units are whole chunks writes each chunk's sums to memory; a second kernel adds the chunks up, in the order in which a
column kernel would have done it.
"""

from graphkeras.lowering.cpu.column import ColumnLowering
from graphkeras.lowering.cpu.combine import Combine
from graphkeras.lowering.cpu.kernel import Address, LoweredKernel
from graphkeras.lowering.cpu.source import Vec, Writer
from graphkeras.schedule.groups import Group
from graphkeras.schedule.space import SIDE, Space

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
    """

    def __init__(self, group: Group, w: Writer, name: str):
        self.w = w
        self.combines = {n.id: Combine(n) for n in group.space.sides}
        self._columns = ColumnLowering(_sums(group), name + "_sums")
        parts = self._columns.make_parts()
        self._parts = {key: w.pointer(Address(part), self.combines[key].vector) for key, part in parts.items()}
        self._running: dict = {}

    def totals_kernel(self) -> LoweredKernel:
        """Adds up the chunks."""
        return self._columns.totals_kernel()

    def lie_at(self, places: list[str]) -> None:
        """Gives the running vectors their addresses."""
        for (key, combine), place in zip(self.combines.items(), places, strict=True):
            self._running[key] = self.w.name("s"), combine.vector
            self.w.line(f"{self._running[key][0]} = ptr_{combine.vector}({place})")

    def begin(self, columns: str) -> None:
        """A chunk begins."""
        w = self.w
        w.line("j = 0")
        with w.block(f"while j < {columns}:"):
            for key, (pointer, dtype) in self._running.items():
                w.line(f"store_{dtype}({pointer}, j, {w.literal(self.combines[key].neutral()[0], dtype).name})")
            w.line("j += LANES")

    def take(self, key, x: Vec, place: str) -> None:
        """Takes in a vector of a row; lanes beyond the end add to what nobody stores."""
        w, (pointer, dtype) = self.w, self._running[key]
        held = w.assign(f"load_{dtype}({pointer}, {place})", dtype).name
        (new,) = self.combines[key].step(w, [held], x, None, None)
        w.line(f"store_{dtype}({pointer}, {place}, {new})")

    def end(self, columns: str, target: str) -> None:
        """A chunk ends: its sums go to memory, from element `target` on."""
        w = self.w
        w.line("j = 0")
        with w.block(f"while j < {columns}:"):
            w.line(f"m = min({columns} - j, LANES)")
            for key, (pointer, dtype) in self._running.items():
                w.line(f"storen_{dtype}({self._parts[key]}, {target} + j, load_{dtype}({pointer}, j), m)")
            w.line("j += LANES")


def _sums(group: Group) -> Group:
    """What a group sums on the side, as a group of columns."""
    space = Space(group.space.resolve)
    for node in group.space.sides:
        space = space.joined(node)
    outputs = [v for v in group.outputs if group.space.values[v.node.id] == SIDE]
    return Group(group.space.sides, space, group.index, outputs, group.phase)
