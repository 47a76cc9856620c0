"""What the kernels of convolutions have in common: statements, and arguments of what they call.

A kernel goes through units; the places of a unit are a `block` of the plan (`conv_plan`). What it reads lies in memory, or a prologue
makes it: then cell c of the array is put at `cells + (c - made) * channels * ITEM`, for made <= c < made_end.
"""

from graphkeras.ir.node import Value
from graphkeras.lowering.cpu.contraction import prologue_kernel, tile_kernels
from graphkeras.lowering.cpu.conv_geometry import BLOCK, CLASS, ITEM, Strips
from graphkeras.lowering.cpu.kernel import Address, BlockAddress, KernelAddress, LoweredKernel
from graphkeras.schedule.groups import Group

RECORD = 64


def parameters(first: int, names) -> str:
    """Statements that read arguments from number `first` on."""
    return "".join(f"    {name} = args[{first + i}]\n" for i, name in enumerate(names))


def indented(text: str, depth: int) -> str:
    """The statements at a depth, in levels."""
    pad = "    " * depth
    return "".join(pad + line if line.strip() else line for line in text.splitlines(keepends=True))


def call(kernel: str, values: str, ld: str, first, end, first_column, end_column) -> str:
    """Statements that call a kernel on a block of rows and columns: its record as `gemm` describes it."""
    words = values, ld, first, end, first_column, end_column, 0, 0
    record = "".join(f"record[{i}] = {word}\n" for i, word in enumerate(words))
    return record + f"call_kernel({kernel}, {kernel}_args, scratch, 0, after)\n"


def make_cells(last: str) -> str:
    """Statements that have a prologue make what a `block` reads of the array, unless it lies in the scratch already; what blocks up to
    number `last` read is made on the way, while there is room."""
    return f"""\
if prologue != 0:
    c0 = turn * turn_cells + block[5]
    c1 = c0 + block[6]
    if c0 < made or c1 > made_end:
        far = ({last}) // per_turn
        end = ptr_i64(plan + ({last} - far * per_turn + (per_turn if far >= whole else 0)) * BLOCK)
        made = c0
        made_end = max(c1, min(c0 + room, far * turn_cells + end[5] + end[6]))
{indented(call("prologue", "cells", "channels", "made", "made_end", 0, "channels"), 2)}\
        x = cells - made * channels * ITEM
"""


FETCH_CELLS = """\
if prologue == 0:
    cell = x + (turn * turn_cells + block[5]) * channels * ITEM
    for at in range(0, block[6] * channels * ITEM, 64):
        prefetch(cell + at)
"""
"""Brings what a `block` reads of the array near in the order of memory, for what then follows goes channel by channel."""

MADE = ("prologue", "prologue_args", "room", "channels", "turn_cells")
"""Arguments of `make_cells`."""

FINISH = f"""\
if epilogue != 0:
{indented(call("epilogue", "sums", "ld", "first", "first + count", "j0", "j1"), 1)}\
elif direct == 0:
    for i in range(count):
        at = ptr_T(sums + i * ld * ITEM)
        to = ptr_T(y + ((first + i) * filters + j0) * ITEM)
        for j in range(0, j1 - j0, LANES):
            storen_T(to, j, load_T(at, j), min(LANES, j1 - j0 - j))
"""
"""Hands the sums of a unit to the epilogue, or copies them to the result."""


def finished(source: str, dtype: str, **values) -> str:
    """Canonical source: dtype and constants put in."""
    for name, value in {**values, "ITEM": ITEM[dtype], "RECORD": RECORD, "BLOCK": 8 * BLOCK, "CLASS": CLASS}.items():
        source = source.replace(name, str(value))
    return source.replace("_T(", f"_{dtype}(")


def all_strips(strips: Strips, arguments: str) -> str:
    """Statements that go through all strips of a `block`; `arguments` are those of a strip behind the number of its segments."""
    return f"""\
for c in range(block[3], block[4], CLASS):
    some = ptr_i64(plan + c * 8)
    taps = ptr_i64(plan + some[3])
    strip = plan + some[0]
    for s in range(some[1]):
        {strips.name}(ptr_i64(strip), taps, some[4], {arguments})
        strip += {16 * strips.tall}
    for s in range(some[2]):
        {strips.low_name}(ptr_i64(strip), taps, some[4], {arguments})
        strip += {16 * strips.low}
"""


def all_runs(name: str, arguments: str) -> str:
    """Statements that go through all runs of a `block` of a depthwise convolution; `arguments` are those behind the taps."""
    return f"""\
for c in range(block[3], block[4], CLASS):
    some = ptr_i64(plan + c * 8)
    {name}_T(ptr_i64(plan + some[0]), some[1], ptr_i64(plan + some[3]), some[4], {arguments})
"""


def operand(group: Group, position: int, name: str) -> tuple[object, list[LoweredKernel], tuple]:
    """The address of an operand (0 where it is made), the prologue's kernel if there is one, and its two arguments."""
    if position in group.prologues:
        kernel = prologue_kernel(group, position, name)
        return 0, [kernel], (KernelAddress(kernel), BlockAddress(kernel))
    base, layout = group.space.resolve(group.space.tiled.inputs[position])
    return Address.of(base, layout.offset), [], (0, 0)


def result(group: Group, name: str) -> tuple[object, list[LoweredKernel], tuple, list[LoweredKernel]]:
    """The same for the result, with the kernel of its tiles, and what runs when all of them are done."""
    if group.has_epilogue:
        tile, *after = tile_kernels(group, name)
        return 0, [tile], (KernelAddress(tile), BlockAddress(tile)), after
    return Address.of(Value(group.space.tiled)), [], (0, 0), []
