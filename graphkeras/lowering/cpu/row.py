"""Row kernels: rows are units; each is walked once per phase, with what a phase has reduced at hand in the next.

Full values of an earlier phase that are needed again are computed again if that is cheap, read back if they are stored anyway,
else kept in a row of scratch. Sums down the columns of what a kernel walks anyway are taken on the side: chunks of rows are its units
then, and a second kernel adds the chunks up, in the order in which a column kernel would have done it.
"""

from graphkeras.ir.dims import Dim, size
from graphkeras.ir.dtypes import itemsize
from graphkeras.ir.node import Value
from graphkeras.lowering.cpu.combine import CHUNK, CHUNK_ROWS, Combine
from graphkeras.lowering.cpu.kernel import LoweredKernel
from graphkeras.lowering.cpu.loops import (
    Body,
    Hoisted,
    Operand,
    Store,
    joined_axes,
    offset_source,
    outer_loop_index,
    read_everywhere,
    role_of,
    store,
)
from graphkeras.lowering.cpu.sides import SLOT_BYTES, Sides
from graphkeras.lowering.cpu.source import HALF, Vec, Writer, short_dtype
from graphkeras.lowering.cpu.target import LANES
from graphkeras.lowering.cpu.walks import Walks, is_cheap
from graphkeras.schedule.groups import Group
from graphkeras.schedule.layout import contiguous_strides
from graphkeras.schedule.space import FULL, REDUCED, REDUCTIONS, SIDE

NEAR_ROW = 1 << 14
"""Elements of a row that the second-level cache keeps from one walk to the next, several arrays at a time."""
WRITES_AHEAD = LANES == 16
"""What a walk asks for while memory is idle: the lines that a later one writes, so that no store waits for them (the CPU itself asks
for those that will be read in good time), or those that the first walk over the next row reads. Measured for either width; beside
reads from memory neither helps: gradients of layer normalisation lose a quarter of their speed."""


class RowLowering:
    """Writes one row kernel."""

    def __init__(self, group: Group, name: str):
        self.group, self.name, self.space = group, name, group.space
        self.w = Writer()
        self.walks = Walks(group)
        self.saved: dict[Value, tuple[str, str]] = {}  # value -> (scratch pointer, dtype)
        self.sides = Sides(group, self.w, name) if self.space.sides else None
        self.scratch = 0

    def lower(self) -> list[LoweredKernel]:
        w, rows = self.w, size(self.space.parts[0])
        self._collect()
        if self.sides:
            self._chunks_of_rows(w.size(rows))
            return [self._kernel((rows + CHUNK_ROWS - 1) // CHUNK_ROWS), self.sides.totals_kernel()]
        self._rows("lo", "hi")
        return [self._kernel(rows)]

    def _kernel(self, units):
        w, group = self.w, self.group
        return LoweredKernel(
            self.name, group.kind, w.text(), tuple(w.args), units, group, 1, scratch=self.scratch,
            notes=w.placed_notes(), errors=tuple(w.errors), flops=group.flops, bytes=group.bytes,
        )  # fmt: skip

    def _rows(self, first, end):
        w = self.w
        w.line(f"r = {first}")
        with w.block(f"while r < {end}:"):
            self._row_start()
            self.reduced: dict[Value, Vec] = {}
            self._after(-1)
            for phase in range(self.walks.count):
                self._walk(phase)
                self._after(phase)
            self._write_variables()
            w.line("r += 1")

    def _chunks_of_rows(self, rows):
        """A unit is a chunk of rows; what it sums on the side goes to memory at its end."""
        w, places = self.w, []
        for _ in range(self.sides.slots):
            places.append(f"scratch + {w.size(self.scratch)}")
            self.scratch = (self.columns * SLOT_BYTES + 127) // 64 * 64 + self.scratch
        self.sides.lie_at(places)
        w.line("u = lo")
        with w.block("while u < hi:"):
            self.sides.begin(self.n)
            w.line(f"z = min(u * {CHUNK_ROWS} + {CHUNK_ROWS}, {rows})")
            self._rows(f"u * {CHUNK_ROWS}", "z")
            self.sides.end(self.n, f"u * {self.n}")
            w.line("u += 1")

    # ---- what is read and written -----------------------------------------------------------------------------------

    def _collect(self):
        w, space = self.w, self.space
        outer, reduced, _ = space.parts
        reads = space.reads()
        layouts = [space.aligned(read) for read in reads]
        cut = len(outer)
        self.outer_sizes, outer_strides = joined_axes(outer, [layout.strides[:cut] for layout in layouts])
        full = [space.levels[read.node.id] == FULL for read in reads]
        _, inner = joined_axes(reduced, [lay.strides[cut:] if f else contiguous_strides(reduced) for lay, f in zip(layouts, full)])
        self.hoisted = Hoisted(w, space.nodes, space.resolve)
        self.columns = size(reduced)
        self.n = w.size(self.columns)
        self.operands, self.places, known = [], {}, {}
        for i, (read, layout) in enumerate(zip(reads, layouts)):
            role = role_of(read.base, read.position)
            key = (read.base, role, layout.offset, layout.strides, full[i])
            if key not in known:
                known[key] = len(self.operands)
                step = w.size(inner[i][0]) if full[i] and inner[i] else "0"
                dense = outer_strides[i] == list(contiguous_strides(self.outer_sizes))
                is_row = full[i] and len(outer_strides[i]) > 0 and _rows(outer_strides[i], self.outer_sizes, self.columns)
                self.operands.append(
                    (
                        Operand(w, read.base, layout.offset, role),
                        outer_strides[i],
                        step,
                        "row" if is_row else "index" if dense else "",
                    )
                )
            self.places[read.node.id, read.position] = known[key]
        self.everywhere = read_everywhere(reads, self.places)
        self.stores = {value: Store(w, value) for value in self.group.outputs if self.space.values[value.node.id] != SIDE}
        self.writes = {n.id: Store(w, space.resolve(n.inputs[0])[0], n.attrs["variable"]) for n in self.group.writes}
        self.chunks = isinstance(self.columns, Dim) or self.columns > CHUNK

    def _row_start(self):
        w = self.w
        w.line(f"d = r * {self.n}")
        indices = outer_loop_index(w, "r", self.outer_sizes)
        self.offsets = []
        for _, strides, _, shape in self.operands:
            self.offsets.append("d" if shape == "row" else "r" if shape == "index" else offset_source(w, indices, strides))
        self.splats = {}
        self.assigned: list[tuple] = []

    # ---- values -----------------------------------------------------------------------------------------------------

    def _fetch(self, i, lanes, shift=None):
        operand, _, step, _ = self.operands[i]
        if step == "0" and shift is None:
            return self.splats[i]
        return operand.fetch(self.offsets[i], step, "j", lanes, shift)

    def _splats_of(self, nodes):
        """Reads, before a walk, what is the same for the whole row."""
        for node in nodes:
            for position in (*range(len(node.inputs)), -1):
                i = self.places.get((node.id, position))
                if i in self.everywhere and self.operands[i][2] == "0" and i not in self.splats:
                    self.splats[i] = self.operands[i][0].fetch(self.offsets[i], "0", "0", None)

    def _wanted(self, phase) -> list:
        """Nodes of one walk: what it reduces, stores and keeps, and all that those need here."""
        space, found = self.space, {}

        def need(node):
            if node.id in found or space.levels[node.id] == REDUCED:
                return
            if self.walks.loop[node.id] < phase and node.op not in REDUCTIONS and self._is_kept(node):
                return
            found[node.id] = node
            for value in node.inputs:
                base, _ = space.resolve(value)
                if base.node.id in space.values and space.values[base.node.id] == FULL:
                    need(base.node)

        for node in space.nodes_in_order():
            if self.walks.loop.get(node.id) == phase and (node.op in REDUCTIONS or self._is_kept(node)):
                need(node)
        return [found[i] for i in sorted(found)]

    def _is_kept(self, node) -> bool:
        """Whether a full value outlives its walk: it is an output, or dear and needed later."""
        value = Value(node)
        if value in self.stores or value in self.saved:
            return True
        if not self._needed_after(node):
            return False
        if is_cheap(node):
            return False
        dtype = short_dtype(node.specs[0].dtype)
        dtype = "f32" if dtype in HALF else dtype
        pointer = self.w.name("s")
        self.w.head(f"{pointer} = ptr_{dtype}(scratch + {self.w.size(self.scratch)})")
        self.saved[value] = (pointer, dtype)
        self.scratch = (self.columns * 8 + 127) // 64 * 64 + self.scratch
        return True

    def _needed_after(self, node) -> bool:
        phase = self.walks.loop[node.id]
        frontier, seen = [node], set()
        while frontier:
            current = frontier.pop()
            for user in self.space.nodes:
                if user.id in seen or self.space.levels[user.id] == REDUCED:
                    continue
                if any(self.space.resolve(v)[0].node is current for v in user.inputs):
                    if self.walks.loop[user.id] > phase:
                        return True
                    seen.add(user.id)
                    if user.op not in REDUCTIONS:
                        frontier.append(user)
        return False

    # ---- loops ------------------------------------------------------------------------------------------------------

    def _walk(self, phase):
        w = self.w
        nodes = self._wanted(phase)
        combines = [Combine(n) for n in nodes if n.op in REDUCTIONS and self.space.values[n.id] != SIDE]
        if not nodes:
            return
        self._splats_of(nodes)
        running = {c.node.id: c.start(w) for c in combines}
        totals = {c.node.id: w.name("t") for c in combines if c.chunked and self.chunks}
        for combine in combines:
            if combine.node.id in totals:
                w.line(f"{totals[combine.node.id]} = {w.literal(combine.neutral_totals()[0], combine.vector).name}")
            else:
                combine.set_neutral(w, running[combine.node.id])
        w.line("j = 0")
        if totals:
            with w.block(f"while j < {self.n}:"):
                w.line(f"e = min(j + {CHUNK}, {self.n})")
                for combine in combines:
                    if combine.node.id in totals:
                        combine.set_neutral(w, running[combine.node.id])
                self._loop(phase, nodes, combines, running, "e")
                w.line("j = e")
                for combine in combines:
                    if combine.node.id in totals:
                        part = combine.across(w, running[combine.node.id])
                        name = totals[combine.node.id]
                        w.line(f"{name} = {'add' if combine.op == 'reduce_sum' else 'mul'}({name}, {part.name})")
        else:
            self._loop(phase, nodes, combines, running, self.n)
        for combine in combines:
            w.note(f"{combine.node!r}    {combine.node.origin}")
            if combine.node.id in totals:
                value = Vec(totals[combine.node.id], combine.vector)
            else:
                value = combine.across(w, running[combine.node.id])
            self.reduced[Value(combine.node)] = combine.result(w, value)

    def _loop(self, phase, nodes, combines, running, end):
        w = self.w
        ahead = self._lines_ahead(phase) if phase == self.walks.idle else ()
        with w.block(f"while j + LANES <= {end}:"):
            for line in ahead:
                w.line(line)
            self._point(phase, nodes, combines, running, None)
            w.line("j += LANES")
        with w.block(f"if j < {end}:"):
            w.line(f"m = {end} - j")
            self._point(phase, nodes, combines, running, "m")

    def _lines_ahead(self, phase):
        """Statements that ask for lines in good time, in a walk in which memory is idle."""
        if not WRITES_AHEAD:
            rows = [o for o, _, step, shape in self.operands if o.role == "memory" and shape == "row" and step == "1"]
            return [self._ask("prefetch", o.pointer, f"d + {self.n} + j", o.base) for o in rows]
        later = [v for v in self.stores if self.space.values[v.node.id] == FULL and self.walks.loop[v.node.id] > phase]
        return [self._ask("prefetch_write", self.stores[v].pointer, "d + j", v) for v in later]

    def _ask(self, how, pointer, place, value):
        address, width = self.w.name("q"), self.w.name("q")
        self.w.head(f"{address} = args[{pointer[1:]}]")
        # Of a longer row nothing would be left in the caches: the same line is then asked for time and again.
        self.w.head(f"{width} = min({NEAR_ROW} // max({self.n}, 1), 1) * {itemsize(value.dtype)}")
        return f"{how}({address} + ({place}) * {width})"

    def _point(self, phase, nodes, combines, running, lanes):
        w = self.w
        cached = {}

        def fetched(node, position, base, shift=None):
            is_counter = position == -1  # of random bits: a number for each place, not the bits themselves
            if not is_counter and (base in self.saved or base in self.stores):
                if base not in cached:
                    cached[base] = self._reload(base, lanes)
                return cached[base]
            i = self.places[node.id, position]
            if shift is not None:
                return self._fetch(i, lanes, shift)
            if i not in cached:
                cached[i] = self._fetch(i, lanes)
            return cached[i]

        body = Body(w, self.space, fetched, self.hoisted, "d + j", lanes)
        body.values.update(self.reduced)
        by_node = {c.node.id: c for c in combines}
        index = None
        for node in nodes:
            if self.space.values[node.id] == SIDE:
                self.sides.take(node.id, body.operand(node, 0), "j")
                continue
            if node.id not in by_node:
                body.compute(node)
                continue
            combine = by_node[node.id]
            if combine.is_position and index is None:
                index = w.assign("iota(j)", "i64").name
            combine.take(w, running[node.id], body.operand(node, 0), index, lanes)
        for node in nodes:
            value = Value(node)
            if node.op in REDUCTIONS or self.walks.loop[node.id] != phase:
                continue
            if value in self.stores:
                target = self.stores[value]
                store(w, target.pointer, target.dtype, "d + j", body.values[value], lanes)
            if value in self.saved:
                pointer, dtype = self.saved[value]
                store(w, pointer, dtype, "j", body.values[value], None)

    def _reload(self, base, lanes):
        dtype = short_dtype(base.dtype)
        if base in self.saved:
            pointer, kept = self.saved[base]
            return Vec(self.w.assign(f"load_{kept}({pointer}, j)", dtype).name, dtype)
        pointer = self.stores[base].pointer
        return self.w.assign(f"load_{dtype}({pointer}, d + j)" if lanes is None else f"loadn_{dtype}({pointer}, d + j, {lanes})", dtype)

    def _after(self, phase):
        """Values that exist once per row, after a walk."""
        w, space = self.w, self.space
        nodes = [n for n in space.nodes_in_order() if self.walks.ready.get(n.id) == phase]
        plain = [n for n in nodes if space.levels[n.id] == REDUCED]
        self._splats_of(plain)
        body = Body(w, space, lambda node, position, base: self.splats[self.places[node.id, position]], self.hoisted, "r", "1")
        body.values.update(self.reduced)
        for node in plain:
            if node.op == "assign_variable":
                self.assigned.append((node, body.operand(node, 0)))
            else:
                self.reduced[Value(node)] = body.compute(node)
        for node in nodes:
            if Value(node) in self.stores:
                target = self.stores[Value(node)]
                w.line(f"storen_{target.dtype}({target.pointer}, r, {self.reduced[Value(node)].name}, 1)")

    def _write_variables(self):
        """Last of a row: other nodes may read the old values until then."""
        for node, value in self.assigned:
            target = self.writes[node.id]
            self.w.line(f"storen_{target.dtype}({target.pointer}, r, {value.name}, 1)")


def _rows(strides, sizes, columns) -> bool:
    """The outer axes are walked row by row of `columns` elements."""
    return list(strides) == [columns * s for s in contiguous_strides(sizes)]


def lower_row(group: Group, name: str) -> list[LoweredKernel]:
    """A row kernel."""
    return RowLowering(group, name).lower()
