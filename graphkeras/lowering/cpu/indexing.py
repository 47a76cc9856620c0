"""Kernels of the ops that read or write at computed places."""

from graphkeras.ir.dims import size
from graphkeras.ir.dtypes import itemsize
from graphkeras.ir.node import Value
from graphkeras.lowering.cpu.kernel import Address, ErrorSite, LoweredKernel
from graphkeras.lowering.cpu.loops import clipped_place, joined_axes, offset_source, outer_loop_index
from graphkeras.lowering.cpu.source import Writer, short_dtype
from graphkeras.schedule.groups import Group
from graphkeras.schedule.layout import Layout

COLUMNS = 64
"""Columns of a unit of scatter_add: a thread owns them, so updates of one row are added in the order of the indices."""

_LEAST_ROWS = 16  # of a concatenation by rows


def _kernel(w: Writer, group: Group, name: str, units, **fields) -> LoweredKernel:
    fields = {"flops": group.flops, "bytes": group.bytes, **fields}
    return LoweredKernel(name, group.kind, w.text(), tuple(w.args), units, group, errors=tuple(w.errors), **fields)


def _copy_words(value: Value) -> str:
    """Unsigned dtype of an element's width: bits are moved, not numbers."""
    return f"u{8 * itemsize(value.dtype)}"


def _copy_run(w: Writer, dtype: str, target: str, to: str, source: str, at: str, n: str):
    w.line("j = 0")
    with w.block(f"while j + LANES <= {n}:"):
        w.line(f"store_{dtype}({target}, {to} + j, load_{dtype}({source}, {at} + j))")
        w.line("j += LANES")
    with w.block(f"if j < {n}:"):
        w.line(f"storen_{dtype}({target}, {to} + j, loadn_{dtype}({source}, {at} + j, {n} - j), {n} - j)")


def _index(w: Writer, group: Group, pointer: str, dtype: str, place: str, limit: str, node) -> None:
    """Reads the index `x` at `place`, counts negative ones from the end, and reports what is out of range."""
    w.errors.append(ErrorSite(node, -node.inputs[0].shape[node.attrs["axis"]], node.inputs[0].shape[node.attrs["axis"]], "index"))
    w.line(f"x = lane0_i64(cast_i64(splat_{dtype}({pointer}, {place})))")
    lowest = "0" if dtype.startswith("u") else f"-{limit}"  # the largest of uint64 are no negative numbers
    with w.block(f"if x < {lowest} or x >= {limit}:"):
        w.line(f"report(args, {len(w.errors)}, {place}, x)")
        w.line("x = 0")
    with w.block("if x < 0:"):
        w.line(f"x += {limit}")


def lower_gather(group: Group, name: str, resolve) -> list[LoweredKernel]:
    """A unit is one output run: (outer, index) -> inner elements copied. For lookups as well: those index nothing that is not there."""
    node = group.nodes[0]
    w = Writer()
    axis = node.attrs["axis"]
    x, indices = node.inputs
    outer, inner, count = size(x.shape[:axis]), size(x.shape[axis + 1 :]), size(indices.shape)
    dtype = _copy_words(x)
    source = w.pointer(Address.of(resolve(x)[0], resolve(x)[1].offset), dtype)
    index = w.pointer(Address.of(resolve(indices)[0], resolve(indices)[1].offset), short_dtype(indices.dtype))
    target = w.pointer(Address.of(Value(node)), dtype)
    limit, n = w.arg(x.shape[axis], "n"), w.arg(inner, "n")
    many = w.arg(count, "n") if outer != 1 else None  # a division costs as much as a short run
    w.line("u = lo")
    with w.block("while u < hi:"):
        place = f"u % {many}" if many else "u"
        w.line(f"q = {place}")
        if node.op == "gather":
            _index(w, group, index, short_dtype(indices.dtype), "q", limit, node)
        else:
            place = w.assign(f"splat_{short_dtype(indices.dtype)}({index}, q)", short_dtype(indices.dtype))
            w.line(f"x = {clipped_place(w, place, limit)}")
        with w.block(f"if {limit} > 0:"):
            w.line(f"s = (u // {many} * {limit} + x) * {n}" if many else f"s = x * {n}")
            w.line(f"t = u * {n}")
            _copy_run(w, dtype, target, "t", source, "s", n)
        w.line("u += 1")
    return [_kernel(w, group, name, outer * count)]


def lower_scatter_add(group: Group, name: str, resolve) -> list[LoweredKernel]:
    """x is copied, then updates are added: units are (outer, block of columns), indices run in order inside."""
    node = group.nodes[0]
    axis = node.attrs["axis"]
    x, indices, updates = node.inputs
    outer, inner, count = size(x.shape[:axis]), size(x.shape[axis + 1 :]), size(indices.shape)
    copy = copy_kernel(group, name + "_copy", x, Value(node), Layout.contiguous(x.shape), resolve)
    w = Writer()
    dtype = short_dtype(x.dtype)
    index_dtype = short_dtype(indices.dtype)
    index = w.pointer(Address.of(resolve(indices)[0], resolve(indices)[1].offset), index_dtype)
    source = w.pointer(Address.of(resolve(updates)[0], resolve(updates)[1].offset), dtype)
    target = w.pointer(Address.of(Value(node)), dtype)
    limit, n, many = w.arg(x.shape[axis], "n"), w.arg(inner, "n"), w.arg(count, "n")
    blocks = w.arg((inner + COLUMNS - 1) // COLUMNS, "n")
    w.line("u = lo")
    with w.block("while u < hi:"):
        w.line(f"o = u // {blocks}")
        w.line(f"b = u % {blocks} * {COLUMNS}")
        w.line(f"e = min(b + {COLUMNS}, {n})")
        w.line("q = 0")
        with w.block(f"while q < {many}:"):
            _index(w, group, index, index_dtype, "q", limit, node)
            with w.block(f"if {limit} > 0:"):
                w.line(f"t = (o * {limit} + x) * {n}")
                w.line(f"s = (o * {many} + q) * {n}")
                w.line("j = b")
                total = f"add(load_{dtype}({target}, t + j), load_{dtype}({source}, s + j))"
                with w.block("while j + LANES <= e:"):
                    w.line(f"store_{dtype}({target}, t + j, {total})")
                    w.line("j += LANES")
                with w.block("if j < e:"):
                    w.line("m = e - j")
                    total = f"add(loadn_{dtype}({target}, t + j, m), loadn_{dtype}({source}, s + j, m))"
                    w.line(f"storen_{dtype}({target}, t + j, {total}, m)")
            w.line("q += 1")
        w.line("u += 1")
    return [copy, _kernel(w, group, name, outer * ((inner + COLUMNS - 1) // COLUMNS))]


def copy_kernel(group: Group, name: str, source: Value, target: Value, place: Layout, resolve) -> LoweredKernel:
    """Copies all of `source` into the part of `target` that `place` describes (over the source's shape)."""
    w = Writer()
    base, layout = resolve(source)
    layout = layout.broadcast(source.shape)
    kept = [i for i, d in enumerate(source.shape) if d != 1]
    axes = [source.shape[i] for i in kept]
    sizes, strides = joined_axes(axes, [[lay.strides[i] for i in kept] for lay in (layout, place)])
    if not sizes:
        sizes, strides = [1], [[1], [1]]
    dtype = _copy_words(source)
    pointer = w.pointer(Address.of(base, layout.offset), dtype)
    to = w.pointer(Address.of(target, place.offset), dtype)
    cost = {"flops": 0, "bytes": 2 * source.spec.nbytes}
    if len(sizes) == 1 and strides[1] == [1] and strides[0][0] in (0, 1):
        _flat_copy(w, dtype, pointer, to, is_filling=strides[0][0] == 0)
        return _kernel(w, group, name, sizes[0], alignment=64, **cost)
    n = w.arg(sizes[-1], "n")
    steps = [w.size(s[-1]) for s in strides]
    w.line("r = lo")
    with w.block("while r < hi:"):
        indices = outer_loop_index(w, "r", sizes[:-1])
        at, there = (offset_source(w, indices, s[:-1]) for s in strides)
        if steps[0] == "1" and steps[1] == "1":
            _copy_run(w, dtype, to, there, pointer, at, n)
        else:
            w.line("j = 0")
            with w.block(f"while j < {n}:"):
                w.line(f"m = min({n} - j, LANES)")
                loaded = f"loads_{dtype}({pointer}, {at} + j * {steps[0]}, {steps[0]}, m)"
                w.line(f"stores_{dtype}({to}, {there} + j * {steps[1]}, {steps[1]}, {loaded}, m)")
                w.line("j += LANES")
        w.line("r += 1")
    return _kernel(w, group, name, size(sizes[:-1]), **cost)


def _flat_copy(w: Writer, dtype: str, source: str, target: str, is_filling: bool):
    """Elements lo .. hi copied, or filled with one element."""
    if is_filling:
        w.line(f"v = splat_{dtype}({source}, 0)")
    w.line("j = lo")
    with w.block("while j + LANES <= hi:"):
        w.line(f"store_{dtype}({target}, j, {'v' if is_filling else f'load_{dtype}({source}, j)'})")
        w.line("j += LANES")
    with w.block("if j < hi:"):
        w.line(f"storen_{dtype}({target}, j, {'v' if is_filling else f'loadn_{dtype}({source}, j, hi - j)'}, hi - j)")


def lower_concatenate(group: Group, name: str, resolve) -> list[LoweredKernel]:
    """One kernel that copies a run of each input per row, where there are rows enough for all threads; else one copy per input."""
    node = group.nodes[0]
    axis, start, kernels = node.attrs["axis"], 0, []
    rows = _rows_of_parts(node, resolve)
    if rows is not None:
        return [_concatenate_rows(group, name, rows)]
    whole = Layout.contiguous(node.specs[0].shape)
    for number, value in enumerate(node.inputs):
        starts = [start if i == axis else 0 for i in range(len(value.shape))]
        place = whole.sliced(starts, (1,) * len(value.shape), value.shape)
        kernels.append(copy_kernel(group, f"{name}_{number}", value, Value(node), place, resolve))
        start = value.shape[axis] + start
    return kernels


def _rows_of_parts(node, resolve):
    """For each input (array, layout of rows and runs), or None where rows are few or runs have strides."""
    axis, found = node.attrs["axis"], []
    outer = size(node.specs[0].shape[:axis])
    if isinstance(outer, int) and outer < _LEAST_ROWS:
        return None
    for value in node.inputs:
        base, layout = resolve(value)
        layout = layout.broadcast(value.shape).reshaped((outer, size(value.shape[axis:])))
        if layout is None or layout.strides[1] != 1:
            return None
        found.append((base, layout))
    return found


def _concatenate_rows(group, name, parts) -> LoweredKernel:
    node, w = group.nodes[0], Writer()
    dtype = _copy_words(Value(node))
    target = w.pointer(Address.of(Value(node)), dtype)
    sources = [w.pointer(Address.of(base, layout.offset), dtype) for base, layout in parts]
    steps = [w.arg(layout.strides[0], "n") for _, layout in parts]
    runs = [w.arg(layout.shape[1], "n") for _, layout in parts]
    w.line("u = lo")
    w.line(f"t = u * ({' + '.join(runs)})")
    with w.block("while u < hi:"):
        for source, step, run in zip(sources, steps, runs):
            _copy_run(w, dtype, target, "t", source, f"u * {step}", run)
            w.line(f"t += {run}")
        w.line("u += 1")
    return _kernel(w, group, name, parts[0][1].shape[0])


def lower_pad(group: Group, name: str, resolve) -> list[LoweredKernel]:
    """The whole result is filled, then the input copied into it."""
    node = group.nodes[0]
    x, value = node.inputs
    w = Writer()
    dtype = _copy_words(x)
    base, layout = resolve(value)
    number = w.pointer(Address.of(base, layout.offset), dtype)
    target = w.pointer(Address.of(Value(node)), dtype)
    _flat_copy(w, dtype, number, target, is_filling=True)
    fill = _kernel(w, group, name + "_fill", size(node.specs[0].shape), alignment=64, flops=0, bytes=node.specs[0].nbytes)
    place = Layout.contiguous(node.specs[0].shape).sliced(node.attrs["low"], (1,) * len(x.shape), x.shape)
    return [fill, copy_kernel(group, name, x, Value(node), place, resolve)]


LOWERINGS = {
    "gather": lower_gather, "lookup": lower_gather, "scatter_add": lower_scatter_add, "concatenate": lower_concatenate, "pad": lower_pad,
}  # fmt: skip
