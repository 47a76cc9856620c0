"""Scans whose rows never meet: what a step makes of a row of its carried values depends on that row alone.

A recurrent layer is such a loop: its products multiply rows with the same weights in every step, and all else is done element by
element. A block of rows can then run through all steps on its own, with its state in a core's first cache and the weights in the second
one, and threads share blocks instead of each step's kernels: they meet once, behind the last step.

What is asked of a step: its arrays all have the rows along their first axis, and whatever the loop itself has written is read in the row
that is being made.
"""

from graphkeras.ir.dims import size
from graphkeras.ir.dtypes import itemsize
from graphkeras.ir.node import Node, Value
from graphkeras.schedule.control import operand_counts
from graphkeras.schedule.fusion import RAISING
from graphkeras.schedule.groups import Group, Schedule
from graphkeras.schedule.layout import Layout
from graphkeras.schedule.space import FULL, Refused
from graphkeras.schedule.views import matmul_layouts

MOST_STEPS = 1 << 12
"""A longer loop must let itself be stopped between two steps of all rows."""
LEAST_ROWS = 8
"""With fewer rows there is one block at most, and no other thread could help."""
WEIGHT_BYTES = 256 * 1024
"""Of all matrices of a step: each block reads them in each step, so they are to stay in a core's second cache."""


def independent_rows(node: Node, body: Schedule):
    """The number of rows (int or Dim) of a scan whose rows never meet. Raises Refused with the reason where they do."""
    if node.op != "scan":
        raise Refused("how many steps it takes is not known before it runs")
    steps = node.attrs["length"]
    if not isinstance(steps, int) or steps > MOST_STEPS:
        raise Refused(f"it may take more than {MOST_STEPS} steps, between which it can be stopped")
    return _Body(node, body).rows


class _Body:
    def __init__(self, node: Node, schedule: Schedule):
        count, scanned, _ = operand_counts(node)
        inputs = schedule.graph.inputs
        carries = inputs[:count]
        self.resolve = schedule.resolve
        self.rows = carries[0].shape[0] if carries and carries[0].shape else None
        self.made = {value for group in schedule.groups for value in group.outputs}
        self.changing = {*inputs[: count + scanned], *self.made}
        self.written = {*carries, *self.made}
        if isinstance(self.rows, int) and self.rows < LEAST_ROWS:
            raise Refused(f"{self.rows} rows are too few to be shared")
        for value in (*carries, *self.made):
            if self.rows is None or not value.shape or value.shape[0] != self.rows:
                raise Refused(f"{value!r} has no axis of {self.rows} rows" if self.rows is not None else "nothing it carries has rows")
        weights = sum(self._weights_of(group) for group in schedule.groups)
        if weights > WEIGHT_BYTES:
            raise Refused(f"{weights} bytes of matrices are more than a core's second cache holds")

    def _weights_of(self, group: Group) -> int:
        """Bytes of the matrices that a group multiplies rows with. Raises Refused where its rows are not independent."""
        if any(node.op in RAISING for node in group.nodes):
            raise Refused(f"{group.nodes[0].op} may report an error, which ends the loop")
        if group.kind == "concatenate":
            return self._concatenation(group.nodes[0])
        space = group.space
        if space is None or group.kind == "column" or (space.tiled is not None and space.tiled.op != "matmul"):
            raise Refused(f"a {group.kind} kernel has no order of rows that could be cut")
        if space.sides:
            raise Refused("its columns are summed over all rows")
        for read in space.reads():
            axes = space.axes(space.levels[read.node.id])
            if not axes or axes[0] != self.rows:
                raise Refused(f"{read.node.op} does not run along the rows")
            self._check(read.base, space.aligned(read), read.node)
            if read.is_table:  # which is read at other places of the axis, too
                self._check(read.base, self.resolve(read.node.inputs[0])[1], read.node)
        if any(not space.axes(level) or space.axes(level)[0] != self.rows for level in {FULL, *space.levels.values()}):
            raise Refused(f"a {group.kind} kernel does not run along the rows")
        return self._product(group) if space.tiled is not None else 0

    def _product(self, group: Group) -> int:
        node = group.space.tiled
        a, b = matmul_layouts(node, self.resolve)
        left, right = (self.resolve(value)[0] for value in node.inputs)
        if group.prologues or a.shape[0] != 1 or a.shape[1] != self.rows:
            raise Refused(f"{node!r} multiplies other rows, or makes them on the way")
        self._check(left, Layout(a.shape[1:], a.strides[1:], a.offset), node)
        if right in self.changing:
            raise Refused(f"{node!r} multiplies with another matrix in each step")
        if not all(isinstance(d, int) for d in b.shape):
            raise Refused(f"the size of a matrix of {node!r} is not known")
        return size(b.shape) * itemsize(right.dtype)

    def _concatenation(self, node: Node) -> int:
        last = len(node.specs[0].shape) - 1
        for value in node.inputs:
            base, layout = self.resolve(value)
            layout = layout.broadcast(value.shape)
            if node.attrs["axis"] != last or last == 0 or value.shape[last] == 1 or layout.strides[last] != 1:
                raise Refused(f"{node!r} joins more than runs of its rows")
            self._check(base, layout, node)
        return 0

    def _check(self, base: Value, layout: Layout, reader: Node):
        """Raises Refused where a reader that runs along the rows looks into another row than its own of what the loop has written."""
        if base not in self.written:
            return
        row, dims, steps = size(base.shape[1:]), layout.shape[1:], layout.strides[1:]
        if all(isinstance(n, int) for n in (row, layout.offset, *dims, *steps)) and layout.strides[0] == row:
            ends = [(dim - 1) * step for dim, step in zip(dims, steps)]
            lowest, highest = (layout.offset + sum(pick(end, 0) for end in ends) for pick in (min, max))
            if row == 0 or (lowest >= 0 and highest < row):
                return
        raise Refused(f"{reader!r} reads other rows of {base!r} than its own")
