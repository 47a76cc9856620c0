"""Control flow in the program's table: loops and branches are rows like all others, plus a few rows that move on elsewhere.

A row that jumps is an ordinary kernel of the leader which leaves in its first cell how many rows further the program goes on.
The kernels of a body are lowered as everywhere; only the addresses of what moves with the step (slices of scanned operands, rows
of stacked results, carried values) are cells that the loop's own kernels set before each step:

    enter        step = 0; set the addresses of step 0; on to the exit where there is no step to do
    body ...
    next         step += 1; set the addresses of that step; back to the body until all steps are done
    copies       of carried values that somebody wants

    enter        as above
    condition ...
    test         on to the exit where the condition is false
    body ...
    next         back to the condition
    copies

    choose       on to one of the branches
    branch 0 ... leave
    branch 1 ...

A scan whose rows never meet is one row: blocks of rows run through all its steps on their own (`scan_rows`).

Nothing is copied or allocated per step, and matrices that are the same in every step (the weights) are packed before the loop. The
address of step i is `first` for i = 0, else that of the odd or the even steps plus
i // 2 times a stride: scanned operands and stacked results move evenly; a carried value alternates between two places (or walks
along its history, where that is kept) and starts at the initial value. Every jump looks at the error slot first, so an error ends
all loops.
"""

from dataclasses import dataclass, replace

from graphkeras.ir.dims import size
from graphkeras.ir.node import Value
from graphkeras.lowering.cpu import gemm, scan_rows
from graphkeras.lowering.cpu.indexing import copy_kernel
from graphkeras.lowering.cpu.kernel import Address, BlockAddress, Computed, LoweredKernel, Moving, Temporary
from graphkeras.lowering.cpu.source import short_dtype
from graphkeras.schedule.control import operand_counts
from graphkeras.schedule.groups import Group
from graphkeras.schedule.layout import Layout, contiguous_strides

_FOREVER = 1 << 62
_FLOATS = ("f32", "f64")
_KEPT_BYTES = 128 * 1024  # of a packed matrix that each thread's second cache holds from step to step
_HEAD, _RECORD = 6, scan_rows.RECORD  # cells of the opening kernel before its records, and of each record
_SET_ADDRESSES = """    k = 0
    while k < {loop}[5]:
        r = {head} + {record} * k
        x = {loop}[r + 1]
        if i > 0:
            x = {loop}[r + 2 + (i & 1 ^ 1)] + (i >> 1) * {loop}[r + 4]
        ptr_i64({loop}[r])[0] = x
        k += 1
"""
_ENTER = (
    """def kernel(args, lo, hi, scratch):
    args[2] = 0
    i = 0
"""
    + _SET_ADDRESSES.format(loop="args", head=_HEAD, record=_RECORD)
    + """    args[1] = args[4]
    if args[3] > 0 and ptr_i64(args[0])[0] == 0:
        args[1] = 1
"""
)
_NEXT = (
    """def kernel(args, lo, hi, scratch):
    p = ptr_i64(args[2])
    i = p[2] + 1
    p[2] = i
"""
    + _SET_ADDRESSES.format(loop="p", head=_HEAD, record=_RECORD)
    + """    args[1] = 1
    if i < p[3] and ptr_i64(args[0])[0] == 0:
        args[1] = args[3]
"""
)
_TEST = """def kernel(args, lo, hi, scratch):
    args[1] = args[3]
    if ptr_u8(args[2])[0] != 0 and ptr_i64(args[0])[0] == 0:
        args[1] = 1
"""
_CHOOSE = """def kernel(args, lo, hi, scratch):
    i = lane0_i64(cast_i64(splat_{dtype}(ptr_{dtype}(args[2]), 0)))
    i = min(max(i, 0), args[3] - 1)
    args[1] = args[4 + i]
"""
_LEAVE = """def kernel(args, lo, hi, scratch):
    pass
"""


class Region:
    """A loop or branch: a stretch of rows."""


@dataclass(frozen=True)
class _Path:
    """Where a value lies in each step: (array, element) of step 0, of the odd and of the even ones, and how far two steps go."""

    first: tuple
    odd: tuple
    even: tuple
    stride: object = 0

    @classmethod
    def along(cls, source, start, step) -> "_Path":
        return cls((source, start), (source, start + step), (source, start), 2 * step)


def lower_control(group: Group, name: str, resolve, lower) -> list[LoweredKernel]:
    """The kernels of a control node, those of its bodies included.

    Args:
        group: of one node with sub-graphs.
        name: of the group.
        resolve: finds the array behind a value around the node.
        lower: `(group, resolve, prefix) -> kernels` for the groups inside.
    """
    bodies = []
    for number, schedule in enumerate(group.bodies):
        region = Region()
        kernels = [k for g in schedule.groups for k in lower(g, schedule.resolve, f"{name}_{number}_")]
        if group.rows is None:
            for kernel in kernels:
                kernel.region = (region, *kernel.region)
        bodies.append(kernels)
    if group.kind in ("cond", "switch"):
        return _branches(group, name, resolve, bodies)
    return _Loop(group, name, resolve, bodies).kernels()


def _rows(kernels) -> int:
    return sum(not k.called for k in kernels)


def _jump(group, name, body, args, region=()) -> LoweredKernel:
    return LoweredKernel(name, group.kind, body, args, 1, group, serial=True, jumps=True, region=region)


def _results(schedule) -> list[Value]:
    """The arrays that hold a body's outputs."""
    return [schedule.resolve(value)[0] for value in schedule.graph.outputs]


def _branches(group, name, resolve, bodies):
    node = group.nodes[0]
    for schedule, kernels in zip(group.bodies, bodies):
        renamed = dict(zip(_results(schedule), node.outputs))
        for kernel in kernels:
            kernel.args = tuple(
                replace(arg, source=renamed.get(arg.source, arg.source)) if isinstance(arg, Address) else arg for arg in kernel.args
            )
    counts = [_rows(kernels) + 1 for kernels in bodies]  # with the row that leaves
    counts[-1] -= 1
    starts = [1 + sum(counts[:i]) for i in range(len(counts))]
    base, layout = resolve(node.inputs[0])
    places = starts[::-1] if node.op == "cond" else starts  # the first branch of a cond is that of true, which is 1
    chooser = Address.of(base, layout.offset)
    source = _CHOOSE.format(dtype=short_dtype(base.dtype))
    result = [_jump(group, f"{name}_choose", source, (0, chooser, len(bodies), *places))]
    for number, kernels in enumerate(bodies):
        result += kernels
        if number + 1 < len(bodies):
            result.append(_jump(group, f"{name}_leave{number}", _LEAVE, (sum(counts[number + 1 :]) + 1,)))
    return result


def _ids(schedules) -> set[int]:
    """Ids of all nodes inside, at every level."""
    found = set()
    for schedule in schedules:
        found.update(v.node.id for v in schedule.graph.inputs)
        found.update(node.id for node in schedule.graph.nodes)
        for group in schedule.groups:
            found |= _ids(group.bodies)
    return found


def _grid(m, n, wide):
    return gemm.grid_of_rows(m, n, "f64" if wide else "f32")


def _down(*sizes):
    return _grid(*sizes)[0]


def _across(*sizes):
    return _grid(*sizes)[1]


def _rise(*sizes):
    return _grid(*sizes)[2]


def _tiles(m, n, wide):
    down, across, _ = _grid(m, n, wide)
    return down * across if m and n else 0


class _Loop:
    def __init__(self, group, name, resolve, bodies):
        self.group, self.name, self.resolve, self.bodies = group, name, resolve, bodies
        self.node = group.nodes[0]
        self.schedule = group.bodies[-1]
        self.carries, self.scanned, _ = operand_counts(self.node)
        self.is_scan = self.node.op == "scan"
        self.moving: dict[Value, _Path] = {}
        self.made = _ids(group.bodies)
        self.before: list[LoweredKernel] = []
        self._place_carries()
        if self.is_scan:
            self._place_rows()

    # ---- places -----------------------------------------------------------------------------------------------------

    def _place_carries(self):
        results = _results(self.schedule)
        history = self.node.attrs["history"] if self.is_scan else ()
        for k in range(self.carries):
            placeholders = [schedule.graph.inputs[k] for schedule in self.group.bodies]
            if k in history:
                before, after = self._along_history(k, self.carries + history.index(k))
            else:
                base, layout = self.resolve(self.node.inputs[k])
                a, b = ((Temporary(f"{self.name}_carry{k}{x}", self.node.specs[k].nbytes), 0) for x in "ab")
                before, after = _Path((base, layout.offset), a, b), _Path(a, b, a)
            self.moving.update(dict.fromkeys(placeholders, before))
            self.moving[results[k]] = after

    def _along_history(self, k, output):
        value = Value(self.node, output)
        shape = value.shape[1:]
        n = size(shape)
        backward = self.node.attrs["reverse"]
        start = self.node.attrs["length"] * n if backward else 0
        place = Layout(tuple(shape), contiguous_strides(shape), start)
        self.before.append(copy_kernel(self.group, f"{self.name}_start{k}", self.node.inputs[k], value, place, self.resolve))
        step = -n if backward else n
        return _Path.along(value, start, step), _Path.along(value, start + step, step)

    def _place_rows(self):
        attrs = self.node.attrs
        last = attrs["length"] - 1
        for placeholder, value in zip(self.schedule.graph.inputs[self.carries :], self.node.inputs[self.carries :][: self.scanned]):
            base, layout = self.resolve(value)
            self._place(placeholder, base, layout.offset, layout.strides[0], last)
        outputs = self.node.outputs[self.carries + len(attrs["history"]) :]
        for inside, value in zip(_results(self.schedule)[self.carries :], outputs, strict=True):
            self._place(inside, value, 0, size(value.shape[1:]), last)

    def _place(self, inside, source, offset, stride, last):
        backward = self.node.attrs["reverse"]
        self.moving[inside] = _Path.along(source, offset + last * stride if backward else offset, -stride if backward else stride)

    # ---- rows -------------------------------------------------------------------------------------------------------

    def kernels(self) -> list[LoweredKernel]:
        """All rows of the loop, and the kernels they call."""
        if self.group.rows is not None:
            return self._by_rows()
        group, name, attrs = self.group, self.name, self.node.attrs
        region = next((k.region[:1] for k in self.bodies[-1]), (Region(),))
        steps = attrs["length"] if self.is_scan else _FOREVER if attrs["limit"] is None else attrs["limit"]
        enter = _jump(group, f"{name}_enter", _ENTER, ())
        inside = list(self.bodies[0])
        if not self.is_scan:
            for kernel in inside:
                kernel.region = (*region, *kernel.region[1:])
            pred, _ = group.bodies[0].resolve(group.bodies[0].graph.outputs[0])
            onward = _rows(self.bodies[1]) + 2
            inside.append(_jump(group, f"{name}_test", _TEST, (0, Address.of(pred), onward), region))
            inside += self.bodies[1]
        back = _rows(inside)
        leave = _jump(group, f"{name}_next", _NEXT, (0, BlockAddress(enter), -back), region)
        copies = [self._copy(value) for value in group.outputs if value.index < self.carries]
        everything = [*inside, leave, *copies]
        for kernel in inside:
            self._pack_before(kernel)
        records = self._take_addresses(everything)
        enter.args = (0, 0, steps, back + 2, len(records) // _RECORD, *records)
        enter.until = everything[-1]
        return [*self.before, enter, *everything]

    def _by_rows(self) -> list[LoweredKernel]:
        """The same for a loop whose blocks of rows take all steps on their own."""
        group, name, inside = self.group, self.name, self.bodies[0]
        for kernel in inside:
            self._pack_before(kernel)
        scan_rows.cut_into_blocks(inside, group.rows)
        loop = scan_rows.driver(group, f"{name}_blocks", inside, self._take_addresses(inside))
        copies = [self._copy(value) for value in group.outputs if value.index < self.carries]
        for kernel in copies:
            kernel.args = tuple(self._after_last_step(arg) for arg in kernel.args)
        return [*self.before, *inside, loop, *copies]

    def _after_last_step(self, arg):
        path = self.moving.get(arg.source) if isinstance(arg, Address) else None
        return arg if path is None else scan_rows.address_after(path, self.node.attrs["length"], arg)

    def _pack_before(self, kernel):
        """Gives a product whose B is the same in every step that B in panels, which are made before the loop."""
        dtype = next((d for d in _FLOATS if kernel.body == gemm.source(d)), None)
        if dtype is None or kernel.called:
            return
        words = dict(zip(gemm.ARGUMENTS[1:], kernel.args, strict=True))
        b, m, n, k, row, column = (words[name] for name in ("b", "m", "n", "k", "b_row", "b_column"))
        fixed = isinstance(b, Address) and isinstance(b.source, Value) and b.source.node.id not in self.made
        if not fixed or words["prologue_b"] != 0 or (words["batch"] != 1 and words["b_batch"] != 0):
            return
        if column == 1 and isinstance(row, int) and isinstance(k, int) and k * row * b.itemsize <= gemm.IN_PLACE_BYTES:
            return  # read in place, and in the first cache already
        panels, width = gemm.panels_of(n, dtype)
        name = f"{kernel.name}_panels"
        packed = Address(Temporary(name, k * panels * width * b.itemsize), 0, b.itemsize)
        args = (b, packed, k, n, row, column)
        cost = {"flops": 0, "bytes": 2 * k * n * b.itemsize}
        self.before.append(LoweredKernel(name, self.group.kind, gemm.pack_source(dtype), args, panels, self.group, **cost))
        words.update(b=packed, b_ready=1)
        chunked = words["rise"] != 0  # its tiles are chunks of rows, and stay so
        if not chunked and all(isinstance(d, int) for d in (n, k)) and k * n * b.itemsize <= _KEPT_BYTES and words["batch"] == 1:
            cut = {"down": _down, "across": _across, "rise": _rise}
            words.update({name: Computed(function, (m, n, dtype == "f64")) for name, function in cut.items()})
            kernel.units = Computed(_tiles, (m, n, dtype == "f64"))
        kernel.args = tuple(words.values())

    def _copy(self, value) -> LoweredKernel:
        source = self.schedule.graph.inputs[value.index]
        place = Layout.contiguous(value.shape)
        return copy_kernel(self.group, f"{self.name}_last{value.index}", source, value, place, self.schedule.resolve)

    def _take_addresses(self, kernels) -> list:
        """The records of all cells that move, which then stand empty in the kernels' own blocks."""
        records = []
        for kernel in kernels:
            args = list(kernel.args)
            for i, arg in enumerate(args):
                path = self.moving.get(arg.source) if isinstance(arg, Address) else None
                if path is None:
                    continue
                places = [Address(s, offset + arg.offset, arg.itemsize) for s, offset in (path.first, path.odd, path.even)]
                records += [BlockAddress(kernel, i + 1), *places, path.stride * arg.itemsize]
                args[i] = Moving(arg)
            kernel.args = tuple(args)
        return records


__all__ = ["Region", "lower_control"]
