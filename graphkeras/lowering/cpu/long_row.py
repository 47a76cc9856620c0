"""Few long rows: chunks of a row are units of one kernel, and a second one adds them up in order, as one thread would have done."""

from graphkeras.ir.dims import Dim, dim_symbols, size
from graphkeras.ir.node import Value
from graphkeras.lowering.cpu.combine import CHUNK, Combine
from graphkeras.lowering.cpu.kernel import Address, LoweredKernel, Temporary
from graphkeras.lowering.cpu.row import RowLowering
from graphkeras.lowering.cpu.source import Vec, Writer
from graphkeras.lowering.cpu.walks import Walks
from graphkeras.schedule.groups import Group
from graphkeras.schedule.space import REDUCED, REDUCTIONS

FEW_ROWS = 8
LONG = 16 * CHUNK
"""Rows of at least this length, and fewer than that many, are worth two kernels."""
_GUESS = 64


def is_long_row(group: Group) -> bool:
    """Whether the rows of a group are few and long, as far as one can tell before sizes are known, and walked once."""
    space = group.space
    walks = Walks(group)
    if walks.count > 1 or any(n.op in ("argmax", "argmin") for n in space.nodes):
        return False
    if any(space.levels[n.id] == REDUCED and walks.ready[n.id] < 0 for n in space.nodes):
        return False
    rows, columns = (_guess(size(part)) for part in space.parts[:2])
    return rows < FEW_ROWS and columns >= LONG


def _guess(dim) -> int:
    return dim.evaluate(dict.fromkeys(dim_symbols(dim), _GUESS)) if isinstance(dim, Dim) else dim


class LongRowLowering(RowLowering):
    """Writes the two kernels of a group of long rows."""

    def lower(self) -> list[LoweredKernel]:
        outer, reduced, _ = self.space.parts
        self.rows, self.many = size(outer), (size(reduced) + CHUNK - 1) // CHUNK
        self.combines = [Combine(n) for n in self.space.nodes_in_order() if n.op in REDUCTIONS]
        self.parts = [Temporary(f"{self.name}_part{i}", 8 * self.rows * self.many) for i in range(len(self.combines))]
        return [self._parts_kernel(), self._totals_kernel()]

    def _parts_kernel(self):
        w, pointers, many = self._begin()
        w.line("u = lo")
        with w.block("while u < hi:"):
            w.line(f"r = u // {many}")
            w.line(f"j = u % {many} * {CHUNK}")
            w.line(f"e = min(j + {CHUNK}, {self.n})")
            self._row_start()
            nodes = self._wanted(0)
            self._splats_of(nodes)
            running = {c.node.id: c.start(w) for c in self.combines}
            for combine in self.combines:
                combine.set_neutral(w, running[combine.node.id])
            self._loop(0, nodes, self.combines, running, "e")
            for combine, pointer in zip(self.combines, pointers):
                part = combine.across(w, running[combine.node.id])
                w.line(f"storen_{combine.vector}({pointer}, u, {part.name}, 1)")
            w.line("u += 1")
        return self._made("_parts", self.rows * self.many, flops=self.group.flops, bytes=self.group.bytes)

    def _totals_kernel(self):
        w, pointers, many = self._begin()
        w.line("r = lo")
        with w.block("while r < hi:"):
            self._row_start()
            for combine, pointer in zip(self.combines, pointers):
                total = w.name("t")
                w.line(f"{total} = {w.literal(combine.neutral_totals()[0], combine.vector).name}")
                w.line("c = 0")
                with w.block(f"while c < {many}:"):
                    part = Vec(f"splat_{combine.vector}({pointer}, r * {many} + c)", combine.vector)
                    w.line(f"{total} = {combine.step(w, [total], part, None, None)[0]}")
                    w.line("c += 1")
                self.reduced[Value(combine.node)] = combine.result(w, Vec(total, combine.vector))
            self._after(0)
            self._write_variables()
            w.line("r += 1")
        return self._made("", self.rows, flops=0, bytes=sum((part.nbytes for part in self.parts), 0))

    def _begin(self):
        self.w = w = Writer()
        self._collect()
        self.reduced = {}
        pointers = [w.pointer(Address(part), combine.vector) for part, combine in zip(self.parts, self.combines)]
        return w, pointers, w.arg(self.many, "n")

    def _made(self, suffix, units, **cost):
        w = self.w
        return LoweredKernel(
            self.name + suffix, self.group.kind, w.text(), tuple(w.args), units, self.group, 1,
            notes=w.placed_notes(), errors=tuple(w.errors), **cost,
        )  # fmt: skip


def lower_long_row(group: Group, name: str) -> list[LoweredKernel]:
    """The kernel of the chunks, and the one that adds them up."""
    return LongRowLowering(group, name).lower()
