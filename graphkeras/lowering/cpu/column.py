"""Column kernels: reductions that keep the innermost axis. A unit is a block of columns; its rows run in the order of memory."""

from graphkeras.ir.dims import Dim, dim_symbols, size
from graphkeras.ir.node import Value
from graphkeras.lowering.cpu.combine import CHUNK_ROWS, Combine
from graphkeras.lowering.cpu.kernel import Address, LoweredKernel, Temporary
from graphkeras.lowering.cpu.loops import (
    Body,
    Hoisted,
    Operand,
    Store,
    added,
    joined_axes,
    offset_source,
    outer_loop_index,
    product,
    read_everywhere,
    role_of,
    store,
)
from graphkeras.lowering.cpu.source import Vec, Writer
from graphkeras.schedule.groups import Group
from graphkeras.schedule.layout import contiguous_strides
from graphkeras.schedule.space import FULL, REDUCED, REDUCTIONS

BLOCK = 64
"""Columns of a unit: running vectors of a block stay in the first-level cache."""


MANY_ROWS = 2048
FEW_BLOCKS = 8
"""With at least this many rows for so few blocks of columns, chunks of rows are units of a kernel of their own."""
_GUESS = 64


class ColumnLowering:
    """Writes the column kernels of a group: a walk over rows that adds into scratch, then one over the block's results.

    Where there are many rows but few columns, the chunks of rows go to memory in one kernel and are added up in another; the
    additions and their order are the same.
    """

    def __init__(self, group: Group, name: str):
        self.group, self.name, self.space = group, name, group.space
        outer, reduced, inner = group.space.parts
        self.outer, self.columns, self.count = outer, size(inner), size(reduced)
        self.combines = {n.id: Combine(n) for n in self.space.nodes_in_order() if n.op in REDUCTIONS}
        combines = self.combines.values()
        many = isinstance(self.count, Dim) or self.count > CHUNK_ROWS
        self.chunks = any(c.chunked and (many or (c.shifts and self.count > 0)) for c in combines)

    def lower(self) -> list[LoweredKernel]:
        if self._splits():
            parts = self.make_parts()
            return [self._parts_kernel(parts), self.totals_kernel()]
        self._collect((FULL, REDUCED))
        w = self.w
        w.line("u = lo")
        with w.block("while u < hi:"):
            self._unit("u")
            self._start([*self.totals.values(), *(s for key, s in self.running.items() if key not in self.totals)])
            w.line("r = 0")
            if self.chunks:
                with w.block(f"while r < {self.rows}:"):
                    w.line("f = r")
                    w.line(f"s = min(r + {CHUNK_ROWS}, {self.rows})")
                    self._start([self.running[key] for key in self.totals])
                    self._rows("s")
                    self._add_chunk("f", "s - f")
            else:
                self._rows(self.rows)
            self._finish()
            w.line("u += 1")
        return [self._kernel(self.name, self._blocks, flops=self.group.flops, bytes=self.group.bytes)]

    # ---- many rows --------------------------------------------------------------------------------------------------

    def _splits(self) -> bool:
        if not self.chunks or any(c.is_position for c in self.combines.values()):
            return False
        guess = {symbol: _GUESS for dim in (*self.outer, self.columns, self.count) for symbol in dim_symbols(dim)}
        rows, blocks = (d.evaluate(guess) if isinstance(d, Dim) else d for d in (self.count, self._blocks))
        return rows >= MANY_ROWS and blocks < FEW_BLOCKS

    @property
    def _blocks(self):
        return size(self.outer) * ((self.columns + BLOCK - 1) // BLOCK)

    @property
    def _chunk_count(self):
        return (self.count + CHUNK_ROWS - 1) // CHUNK_ROWS

    def make_parts(self) -> dict:
        """For each reduction a place for each of its totals of all chunks, (outer, chunk, column)."""
        self.parts = {key: self._temporaries(key) for key in self.combines}
        return self.parts

    def _parts_kernel(self, parts):
        self._collect((FULL,))
        w = self.w
        pointers = self._pointers(parts)
        many = w.arg(self._chunk_count, "n")
        w.line("u = lo")
        with w.block("while u < hi:"):
            w.line(f"v = u // {self.blocks} // {many} * {self.blocks} + u % {self.blocks}")
            w.line(f"c = u // {self.blocks} % {many}")
            self._unit("v")
            self._start(list(self.running.values()))
            w.line(f"r = c * {CHUNK_ROWS}")
            w.line(f"s = min(r + {CHUNK_ROWS}, {self.rows})")
            self._rows("s")
            w.line(f"d = (o * {many} + c) * {self.n}")
            w.line("j = b")
            with w.block("while j < e:"):
                w.line("m = min(e - j, LANES)")
                for key, combine in self.combines.items():
                    kept = combine.part(w, self._loaded(self.running[key]), f"s - c * {CHUNK_ROWS}")
                    for pointer, part in zip(pointers[key], kept):
                        w.line(f"storen_{combine.vector}({pointer}, d + j, {part}, m)")
                w.line("j += LANES")
            w.line("u += 1")
        return self._kernel(self.name + "_parts", self._blocks * self._chunk_count, flops=self.group.flops, bytes=self.group.bytes)

    def totals_kernel(self) -> LoweredKernel:
        """Adds up the chunks, in order."""
        self._collect((REDUCED,))
        w = self.w
        pointers = self._pointers(self.parts)
        many, rows = w.arg(self._chunk_count, "n"), w.size(self.count)
        for key, combine in self.combines.items():
            self.totals[key] = [(*slot[:2], start) for slot, start in zip(self.running[key], combine.neutral_totals())]
        w.line("u = lo")
        with w.block("while u < hi:"):
            self._unit("u")
            self._start(list(self.totals.values()))
            w.line("c = 0")
            with w.block(f"while c < {many}:"):
                w.line(f"d = (o * {many} + c) * {self.n}")
                w.line(f"f = c * {CHUNK_ROWS}")
                w.line(f"s = min({CHUNK_ROWS}, {rows} - f)")
                w.line("j = b")
                with w.block("while j < e:"):
                    w.line("m = min(e - j, LANES)")
                    for key, combine in self.combines.items():
                        part = [w.assign(f"loadn_{combine.vector}({p}, d + j, m)", combine.vector).name for p in pointers[key]]
                        self._join(key, part, "f", "s")
                    w.line("j += LANES")
                w.line("c += 1")
            self._finish()
            w.line("u += 1")
        moved = sum((part.nbytes for kept in self.parts.values() for part in kept), 0)
        return self._kernel(self.name, self._blocks, flops=0, bytes=moved)

    def _temporaries(self, key) -> list[Temporary]:
        combine = self.combines[key]
        nbytes = size(self.outer) * self._chunk_count * self.columns * (8 if combine.vector.endswith("64") else 4)
        name = f"{self.name}_{combine.op}_{list(self.combines).index(key)}"
        return [Temporary(f"{name}_{number}", nbytes) for number in range(len(combine.totals))]

    def _pointers(self, parts) -> dict:
        return {key: [self.w.pointer(Address(p), self.combines[key].vector) for p in kept] for key, kept in parts.items()}

    # ---- parts of both ----------------------------------------------------------------------------------------------

    def _kernel(self, name, units, **cost):
        w = self.w
        return LoweredKernel(
            name, self.group.kind, w.text(), tuple(w.args), units, self.group, 1, scratch=self.scratch, notes=w.placed_notes(),
            errors=tuple(w.errors), **cost,
        )  # fmt: skip

    def _unit(self, unit):
        """Indices of a block: outer index o, columns b .. e."""
        w = self.w
        w.line(f"o = {unit} // {self.blocks}")
        w.line(f"b = {unit} % {self.blocks} * {BLOCK}")
        w.line(f"e = min(b + {BLOCK}, {self.n})")
        indices = outer_loop_index(w, "o", self.outer_sizes)
        self.outer_offsets = [offset_source(w, indices, operand[1]) for operand in self.operands]

    def _collect(self, levels):
        """Arguments of a kernel that works at these levels."""
        self.w = w = Writer()
        space = self.space
        outer, reduced, inner = space.parts
        self.n, self.rows = w.size(self.columns), w.size(self.count) if FULL in levels else "0"
        self.blocks = w.arg((self.columns + BLOCK - 1) // BLOCK, "n")
        reads = [read for read in space.reads() if space.levels[read.node.id] in levels]
        layouts = [space.aligned(read) for read in reads]
        full = [space.levels[read.node.id] == FULL for read in reads]
        first, second = len(outer), len(outer) + len(reduced)
        self.outer_sizes, outer_strides = joined_axes(outer, [layout.strides[:first] for layout in layouts])
        dense = contiguous_strides(reduced)
        _, along_rows = joined_axes(reduced, [lay.strides[first:second] if f else dense for lay, f in zip(layouts, full)])
        _, along = joined_axes(inner, [lay.strides[second:] if f else lay.strides[first:] for lay, f in zip(layouts, full)])
        self.hoisted = Hoisted(w, [n for n in space.nodes if space.levels[n.id] in levels], space.resolve)
        self.operands, self.places, known = [], {}, {}
        for i, (read, layout) in enumerate(zip(reads, layouts)):
            role = role_of(read.base, read.position)
            key = (read.base, role, layout.offset, layout.strides, full[i])
            if key not in known:
                known[key] = len(self.operands)
                row_step = w.size(along_rows[i][0]) if full[i] and along_rows[i] else "0"
                self.operands.append((Operand(w, read.base, layout.offset, role), outer_strides[i], row_step, w.size(along[i][0])))
            self.places[read.node.id, read.position] = known[key]
        self.everywhere = read_everywhere(reads, self.places)
        self.stores = {value: Store(w, value) for value in self.group.outputs if space.values[value.node.id] in levels}
        writes = self.group.writes if REDUCED in levels else ()
        self.writes = {n.id: Store(w, space.resolve(n.inputs[0])[0], n.attrs["variable"]) for n in writes}
        self._make_scratch()

    def _make_scratch(self):
        """Running vectors of a block in scratch, and totals of those that restart at chunks."""
        w, self.scratch, self.running, self.totals = self.w, 0, {}, {}

        def slot(dtype):
            name = w.name("s")
            w.head(f"{name} = ptr_{dtype}(scratch + {self.scratch})")
            self.scratch += BLOCK * 8
            return name, dtype

        for key, combine in self.combines.items():
            self.running[key] = [(*slot(dtype), number) for dtype, number in zip(combine.slots, combine.neutral())]
            if self.chunks and combine.chunked:
                self.totals[key] = [(*slot(dtype), start) for dtype, start in zip(combine.totals, combine.neutral_totals())]

    def _start(self, groups):
        """Fills running vectors with their start values."""
        w = self.w
        if not groups:
            return
        w.line("j = 0")
        with w.block(f"while j < {BLOCK}:"):
            for slots in groups:
                for pointer, dtype, number in slots:
                    w.line(f"store_{dtype}({pointer}, j, {w.literal(number, dtype).name})")
            w.line("j += LANES")

    def _rows(self, end):
        """Rows r .. end of the block."""
        w, space = self.w, self.space
        nodes = [n for n in space.nodes_in_order() if space.levels[n.id] == FULL]
        wanted = {self.places[key] for key in self.places if any(n.id == key[0] for n in nodes)}
        with w.block(f"while r < {end}:"):
            w.line(f"d = (o * {self.rows} + r) * {self.n}")
            offsets, splats = {}, {}
            for i in wanted:
                operand, _, row_step, step = self.operands[i]
                offsets[i] = added(self.outer_offsets[i], product("r", row_step))
                if step == "0" and i in self.everywhere:
                    splats[i] = operand.fetch(offsets[i], "0", "0", None)
            w.line("j = b")

            def point(lanes):
                cached = dict(splats)

                def fetched(node, position, base, shift=None):
                    i = self.places[node.id, position]
                    if shift is not None:
                        return self.operands[i][0].fetch(offsets[i], self.operands[i][3], "j", lanes, shift)
                    if i not in cached:
                        cached[i] = self.operands[i][0].fetch(offsets[i], self.operands[i][3], "j", lanes)
                    return cached[i]

                self._full_point(nodes, Body(w, space, fetched, self.hoisted, "d + j", lanes), lanes)

            with w.block("while j + LANES <= e:"):
                point(None)
                w.line("j += LANES")
            with w.block("if j < e:"):
                w.line("m = e - j")
                point("m")
            w.line("r += 1")

    def _full_point(self, nodes, body, lanes):
        w = self.w
        row = None
        for node in nodes:
            if node.id not in self.combines:
                body.compute(node)
                continue
            combine = self.combines[node.id]
            x = body.operand(node, 0)
            if combine.is_position and row is None:
                row = w.assign("splat_i64v(r)", "i64").name
            w.note(f"{node!r}    {node.origin}")
            # Lanes beyond the end add zeros to columns that nobody stores.
            take_row(w, combine, [slot[:2] for slot in self.running[node.id]], x, row, "j - b")
        for node in nodes:
            value = Value(node)
            if node.id not in self.combines and value in self.stores:
                target = self.stores[value]
                store(w, target.pointer, target.dtype, "d + j", body.values[value], lanes)

    def _add_chunk(self, before, rows):
        """Joins a chunk of so many rows to those before it."""
        w = self.w
        w.line("j = b")
        with w.block("while j < e:"):
            for key in self.totals:
                self._join(key, self.combines[key].part(w, self._loaded(self.running[key]), rows), before, rows)
            w.line("j += LANES")

    def _join(self, key, part, before, rows):
        w, combine, totals = self.w, self.combines[key], self.totals[key]
        if combine.shifts:
            with w.block(f"if {before} == 0:"):
                w.line(f"store_{combine.vector}({totals[0][0]}, j - b, {part[0]})")
        new = combine.join(w, self._loaded(totals), part, before, rows)
        for (pointer, dtype, _), value in [*zip(totals, new)][int(combine.shifts) :]:
            w.line(f"store_{dtype}({pointer}, j - b, {value})")

    def _loaded(self, slots) -> list[str]:
        return [self.w.assign(f"load_{dtype}({pointer}, j - b)", dtype).name for pointer, dtype, _ in slots]

    def _finish(self):
        """Results of the block, what is computed from them, and their stores. One masked loop: there are few results."""
        w, space, cached = self.w, self.space, {}
        w.line(f"d = o * {self.n}")
        w.line("j = b")

        def fetched(node, position, base):
            i = self.places[node.id, position]
            if i not in cached:
                operand, _, _, step = self.operands[i]
                cached[i] = operand.fetch(self.outer_offsets[i], step, "j", "m")
            return cached[i]

        with w.block("while j < e:"):
            w.line("m = min(e - j, LANES)")
            self._reduced_point(Body(w, space, fetched, self.hoisted, "d + j", "m"), "m")
            w.line("j += LANES")

    def _reduced_point(self, body, lanes):
        w, space = self.w, self.space
        assigned = []
        for node in space.nodes_in_order():
            if node.id in self.combines:
                combine = self.combines[node.id]
                pointer, dtype, _ = (self.totals.get(node.id) or self.running[node.id])[-1]
                body.values[Value(node)] = combine.result(w, w.assign(f"load_{dtype}({pointer}, j - b)", dtype))
            elif space.levels[node.id] == REDUCED:
                if node.op == "assign_variable":
                    assigned.append((node, body.operand(node, 0)))
                else:
                    body.compute(node)
        for value, target in self.stores.items():
            if space.values[value.node.id] == REDUCED:
                store(w, target.pointer, target.dtype, "d + j", body.values[value], lanes)
        for node, value in assigned:
            target = self.writes[node.id]
            store(w, target.pointer, target.dtype, "d + j", value, lanes)


def take_row(w: Writer, combine: Combine, slots, x: Vec, row: str | None, place: str) -> None:
    """Takes a vector of row r into running vectors, (pointer, dtype) each, at a place."""
    if combine.shifts:
        with w.block(f"if r % {CHUNK_ROWS} == 0:"):
            w.line(f"store_{combine.vector}({slots[0][0]}, {place}, {x.name})")
    held = [w.assign(f"load_{dtype}({pointer}, {place})", dtype).name for pointer, dtype in slots]
    for (pointer, dtype), new in [*zip(slots, combine.step(w, held, x, row, None))][int(combine.shifts) :]:
        w.line(f"store_{dtype}({pointer}, {place}, {new})")


def lower_column(group: Group, name: str) -> list[LoweredKernel]:
    """One column kernel, or one for the chunks of rows and one that adds them up."""
    return ColumnLowering(group, name).lower()
