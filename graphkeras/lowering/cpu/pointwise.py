"""Pointwise kernels: every point of the space on its own."""

from graphkeras.ir.dims import size
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
from graphkeras.lowering.cpu.source import Writer
from graphkeras.schedule.groups import Group
from graphkeras.schedule.space import FULL


def lower_pointwise(group: Group, name: str) -> LoweredKernel:
    """One loop over all points where everything lies contiguously; else one over the innermost axis inside one over the others."""
    w, space = Writer(), group.space
    axes = space.axes(FULL)
    reads = space.reads()
    layouts = [space.aligned(read) for read in reads]
    parts = [place.split(axes) for _, place in group.placed.values()]
    sizes, strides = joined_axes(axes, [layout.strides for layout in (*layouts, *parts)])
    hoisted = Hoisted(w, space.nodes, space.resolve)
    operands, places = _operands(w, reads, layouts, strides)
    everywhere = read_everywhere(reads, places)
    stores = [Store(w, value) for value in group.outputs]
    stores += [Store(w, space.resolve(n.inputs[0])[0], n.attrs["variable"]) for n in group.writes]
    stores += [Store(w, value, place=place) for value, place in group.placed.items()]
    if len(sizes) <= 1:
        flat = [(operand, s[0] if s else 0) for operand, s in operands]
        _flat_loop(w, group, flat, places, everywhere, stores, hoisted)
        units, alignment = size(axes), 64
    else:
        _row_loop(w, group, sizes, operands, places, everywhere, stores, strides[len(reads) :], hoisted)
        units, alignment = size(sizes[:-1]), 1
    return LoweredKernel(
        name, group.kind, w.text(), tuple(w.args), units, group, alignment, notes=w.placed_notes(), errors=tuple(w.errors),
        flops=group.flops, bytes=group.bytes,
    )  # fmt: skip


def _operands(w, reads, layouts, strides):
    """Distinct operands with their strides, and for each read the operand's place in the list."""
    found, places, known = [], {}, {}
    for read, layout, steps in zip(reads, layouts, strides):
        role = role_of(read.base, read.position)
        key = (read.base, role, layout.offset, layout.strides)
        if key not in known:
            known[key] = len(found)
            found.append((Operand(w, read.base, layout.offset, role), steps))
        places[read.node.id, read.position] = known[key]
    return found, places


def _point(w, group, stores, fetched, hoisted, position, where, lanes):
    """All nodes at one vector of points, then all stores, each at its place: a variable that is read is read before it is written."""
    body = Body(w, group.space, fetched, hoisted, position, lanes)
    assigned = {}
    for node in group.nodes:
        if node.op == "assign_variable":
            assigned[node.attrs["variable"]] = body.operand(node, 0)
        else:
            body.compute(node)
    values = [body.values[value] for value in group.outputs] + [assigned[n.attrs["variable"]] for n in group.writes]
    values += [body.values[value] for value in group.placed]
    for target, value, place in zip(stores, values, where, strict=True):
        store(w, target.pointer, target.dtype, place, value, lanes)


def _flat_loop(w, group, operands, places, everywhere, stores, hoisted):
    steps = [w.size(stride) for _, stride in operands]
    splats = {}
    for i, ((operand, _), step) in enumerate(zip(operands, steps)):
        if step == "0" and i in everywhere:
            splats[i] = operand.fetch("0", "0", "0", None)
    w.line("j = lo")

    def point(lanes):
        cached = dict(splats)

        def fetched(node, position, base, shift=None):
            i = places[node.id, position]
            if shift is not None:
                return operands[i][0].fetch("0", steps[i], "j", lanes, shift)
            if i not in cached:
                cached[i] = operands[i][0].fetch("0", steps[i], "j", lanes)
            return cached[i]

        _point(w, group, stores, fetched, hoisted, "j", ["j"] * len(stores), lanes)

    with w.block("while j + LANES <= hi:"):
        point(None)
        w.line("j += LANES")
    with w.block("if j < hi:"):
        w.line("m = hi - j")
        point("m")


def _row_loop(w, group, sizes, operands, places, everywhere, stores, parts, hoisted):
    n = w.size(sizes[-1])
    steps = [w.size(s[-1]) for _, s in operands]
    w.line("r = lo")
    with w.block("while r < hi:"):
        indices = outer_loop_index(w, "r", sizes[:-1])
        w.line(f"d = r * {n}")
        offsets, splats = [], {}
        dense = [_dense_outer(s, sizes) for _, s in operands]
        for (_, s), is_row in zip(operands, dense):
            offsets.append("d" if is_row else offset_source(w, indices, s[:-1]))
        for i, (operand, _) in enumerate(operands):
            if steps[i] == "0" and i in everywhere:
                splats[i] = operand.fetch(offsets[i], "0", "0", None)
        where = ["d + j"] * (len(stores) - len(parts))
        where += [f"{'d' if _dense_outer(s, sizes) else offset_source(w, indices, s[:-1])} + j" for s in parts]
        w.line("j = 0")

        def point(lanes):
            cached = dict(splats)

            def fetched(node, position, base, shift=None):
                i = places[node.id, position]
                if shift is not None:
                    return operands[i][0].fetch(offsets[i], steps[i], "j", lanes, shift)
                if i not in cached:
                    cached[i] = operands[i][0].fetch(offsets[i], steps[i], "j", lanes)
                return cached[i]

            _point(w, group, stores, fetched, hoisted, "d + j", where, lanes)

        with w.block(f"while j + LANES <= {n}:"):
            point(None)
            w.line("j += LANES")
        with w.block(f"if j < {n}:"):
            w.line(f"m = {n} - j")
            point("m")
        w.line("r += 1")


def _dense_outer(strides, sizes) -> bool:
    """The outer axes are walked row by row: they start at multiples of the innermost size."""
    step = sizes[-1]
    for dim, stride in zip(reversed(sizes[:-1]), reversed(strides[:-1])):
        if stride != step:
            return False
        step = dim * step
    return True
