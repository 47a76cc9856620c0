"""Contractions: the matrix-multiplication kernel, what goes before it as kernels that make blocks of its operands, and what follows it
as a kernel that finishes tiles still in the cache."""

from typing import NamedTuple

from graphkeras.ir.dims import size
from graphkeras.ir.node import Node, Value
from graphkeras.lowering.cpu import gemm
from graphkeras.lowering.cpu.kernel import Address, BlockAddress, Computed, KernelAddress, LoweredKernel
from graphkeras.lowering.cpu.loops import Body, Hoisted, Operand, Store, joined_axes, read_everywhere, role_of, store
from graphkeras.lowering.cpu.sides import SLOT_BYTES, Sides, slots_of
from graphkeras.lowering.cpu.source import Vec, Writer, short_dtype
from graphkeras.schedule.groups import Group
from graphkeras.schedule.space import CHUNK_ROWS, SIDE, Space, is_turned
from graphkeras.schedule.views import matmul_layouts


def lower_contraction(group: Group, name: str) -> list[LoweredKernel]:
    """The product kernel, preceded in the list by the kernels it calls on blocks of its operands and on its tiles."""
    node = group.space.tiled
    dtype = short_dtype(node.specs[0].dtype)
    a, b = matmul_layouts(node, group.space.resolve)
    batch, m, k = a.shape
    n = b.shape[2]
    words = dict.fromkeys(gemm.ARGUMENTS[1:], 0)
    words.update(m=m, n=n, k=k, batch=batch, c_batch=m * n, c_row=n)
    for letter, layout, value in (("a", a, node.inputs[0]), ("b", b, node.inputs[1])):
        base, _ = group.space.resolve(value)
        words[letter] = Address.of(base, layout.offset)
        words.update(
            {f"{letter}_batch": layout.strides[0], f"{letter}_row": layout.strides[1], f"{letter}_column": layout.strides[2]}
        )
    kernels = []
    for position, letter in enumerate("ab"):
        if position in group.prologues:
            block = prologue_kernel(group, position, f"{name}_{letter}")
            turned = int(is_turned(node, position, group.space.resolve))
            words.update({letter: 0, f"prologue_{letter}": KernelAddress(block), f"prologue_{letter}_args": BlockAddress(block)})
            words[f"{letter}_turned"] = turned
            kernels.append(block)
    after = []
    if group.has_epilogue:
        tile, *after = tile_kernels(group, name)
        words.update(epilogue=KernelAddress(tile), epilogue_args=BlockAddress(tile))
        kernels.append(tile)
    else:
        words["c"] = Address.of(Value(node))
    a_step = 0 if 0 in group.prologues else a.strides[2]  # blocks are made anew for each tile, so these are to be wide
    chunked = bool(group.space.sides)
    words["rise"] = gemm.CHUNKED_RISE if chunked else 0
    sizes = (m, n, k, batch, a_step, bool(group.writes), dtype == "f64", chunked)
    words.update(down=Computed(_down, sizes), across=Computed(_across, sizes))
    units = Computed(_units, sizes)
    scratch = Computed(_scratch[dtype], (k, bool(group.prologues), chunked, slots_of(group)))
    product = LoweredKernel(
        name, group.kind, gemm.source(dtype), tuple(words.values()), units, group, 1, scratch, flops=group.flops, bytes=group.bytes
    )
    return [*kernels, product, *after]


def _grid(m, n, k, batch, a_column, heavy, wide, chunked):
    return gemm.grid(m, n, k, batch, a_column, heavy, "f64" if wide else "f32", chunked)


def _down(*sizes):
    return _grid(*sizes)[0]


def _across(*sizes):
    return _grid(*sizes)[1]


def _units(m, n, k, batch, a_column, heavy, wide, chunked):
    return gemm.units(m, n, k, batch, a_column, heavy, "f64" if wide else "f32", chunked)


def _scratch_f32(*sizes):
    return gemm.scratch_bytes(sizes[0], "f32", *sizes[1:])


def _scratch_f64(*sizes):
    return gemm.scratch_bytes(sizes[0], "f64", *sizes[1:])


_scratch = {"f32": _scratch_f32, "f64": _scratch_f64}


def tile_kernels(group: Group, name: str) -> list[LoweredKernel]:
    """The kernel that finishes tiles, whose `lo` is the address of a tile record, see `gemm`; and where it sums columns on the side, the
    one that adds up the chunks, to be run when all tiles are done."""
    w, space = Writer(), group.space
    sides = Sides(group, w, name) if space.sides else None
    made = {n.id for n in space.nodes if space.values[n.id] != SIDE}
    stores = {value: Store(w, value) for value in group.outputs if value.node.id in made}
    writes = {n.id: Store(w, space.resolve(n.inputs[0])[0], n.attrs["variable"]) for n in group.writes}

    def point(body, tile, lanes):
        body.values[Value(space.tiled)] = w.assign(_moved("load", tile, lanes), tile.dtype)
        _tile_point(w, space, body, stores, writes, sides, lanes)

    tile = _block_kernel(w, group, space, name + "_tile", "tile", point, sides)
    return [tile, sides.totals_kernel()] if sides else [tile]


def prologue_kernel(group: Group, position: int, name: str) -> LoweredKernel:
    """The kernel that makes a block of an operand: `lo` is the address of a record, see `gemm`; rows and columns are those of the array
    behind the operand."""
    w, space = Writer(), group.prologues[position]
    operand, _ = space.resolve(space.tiled.inputs[position])

    def point(body, tile, lanes):
        for node in space.nodes_in_order():
            body.compute(node)
        w.line(_moved("store", tile, lanes, body.values[operand].name))

    return _block_kernel(w, group, space, name, "prologue", point)


class _Tile(NamedTuple):
    """Where a kernel finds the element at row r and column j of a block."""

    pointer: str
    place: str
    dtype: str


def _moved(verb, tile: _Tile, lanes, *value) -> str:
    """`load` or `store` of a vector of the block."""
    if lanes is None:
        return f"{verb}_{tile.dtype}({', '.join((tile.pointer, tile.place, *value))})"
    return f"{verb}n_{tile.dtype}({', '.join((tile.pointer, tile.place, *value, lanes))})"


def _block_kernel(w: Writer, group: Group, space: Space, name: str, kind: str, compute, sides: Sides | None = None) -> LoweredKernel:
    """A kernel that walks the block of a record, row by row; `compute(body, tile, lanes)` writes what is done at one place. What it sums
    on the side it stores chunk by chunk: a block begins with a chunk."""
    batch, rows, columns = space.parts
    tile = _Tile("x", "y + j", short_dtype(space.tiled.specs[0].dtype))
    reads = space.reads()
    layouts = [space.aligned(read) for read in reads]
    cuts = (0, len(batch), len(batch) + len(rows), len(batch) + len(rows) + len(columns))
    steps = [
        [(s or [0])[0] for s in joined_axes(part, [lay.strides[cuts[i] : cuts[i + 1]] for lay in layouts])[1]]
        for i, part in enumerate(space.parts)
    ]
    hoisted = Hoisted(w, space.nodes, space.resolve)
    m, n = w.size(size(rows)), w.size(size(columns))
    operands, places, known = [], {}, {}
    for i, (read, layout) in enumerate(zip(reads, layouts)):
        role = role_of(read.base, read.position)
        key = (read.base, role, layout.offset, layout.strides)
        if key not in known:
            known[key] = len(operands)
            operands.append((Operand(w, read.base, layout.offset, role), [w.size(step[i]) for step in steps]))
        places[read.node.id, read.position] = known[key]
    everywhere = read_everywhere(reads, places)
    w.line("t = ptr_i64(lo)")
    w.line(f"x = ptr_{tile.dtype}(t[0])")
    w.line("e = t[5]")
    w.line("r = t[2]")

    def row():
        w.line("y = (r - t[2]) * t[1] - t[4]")
        w.line(f"d = (t[6] * {m} + r) * {n}")
        offsets, splats = [], {}
        for i, (operand, (batch_step, row_step, step)) in enumerate(operands):
            terms = [f"{index} * {s}" for index, s in (("t[6]", batch_step), ("r", row_step)) if s != "0"]
            if not terms:
                offsets.append("0")
            else:
                offsets.append(w.name("o"))
                w.line(f"{offsets[-1]} = {' + '.join(terms)}")
            if step == "0" and i in everywhere:
                splats[i] = operand.fetch(offsets[i], "0", "0", None)
        w.line("j = t[4]")

        def point(lanes):
            cached = dict(splats)

            def fetched(node, position, base, shift=None):
                i = places[node.id, position]
                if shift is not None:
                    return operands[i][0].fetch(offsets[i], operands[i][1][2], "j", lanes, shift)
                if i not in cached:
                    cached[i] = operands[i][0].fetch(offsets[i], operands[i][1][2], "j", lanes)
                return cached[i]

            compute(Body(w, space, fetched, hoisted, "d + j", lanes), tile, lanes)

        with w.block("while j + LANES <= e:"):
            point(None)
            w.line("j += LANES")
        with w.block("if j < e:"):
            w.line("m = e - j")
            point("m")
        w.line("r += 1")

    if sides is None:
        with w.block("while r < t[3]:"):
            row()
    else:
        sides.lie_at([f"scratch + {i} * (t[1] + LANES) * {SLOT_BYTES}" for i in range(sides.slots)])
        w.line("c = e - t[4]")
        with w.block("while r < t[3]:"):
            sides.begin("c")
            w.line(f"z = min((r // {CHUNK_ROWS} + 1) * {CHUNK_ROWS}, t[3])")
            with w.block("while r < z:"):
                row()
            sides.end("c", f"(r - 1) // {CHUNK_ROWS} * {n} + t[4]")
    return LoweredKernel(
        name, kind, w.text(), tuple(w.args), 0, group, notes=w.placed_notes(), errors=tuple(w.errors), called=True
    )  # fmt: skip


def _tile_point(w, space, body, stores, writes, sides, lanes):
    assigned: list[tuple[Node, Vec]] = []
    for node in space.nodes_in_order():
        if node is space.tiled:
            continue
        if space.values[node.id] == SIDE:
            sides.take(node.id, body.operand(node, 0), "j - t[4]")
        elif node.op == "assign_variable":
            assigned.append((node, body.operand(node, 0)))
        else:
            body.compute(node)
    for value, target in stores.items():
        store(w, target.pointer, target.dtype, "d + j", body.values[value], lanes)
    for node, value in assigned:
        target = writes[node.id]
        store(w, target.pointer, target.dtype, "d + j", value, lanes)
