"""Convolutions and their input gradients: one kernel for all of them, which multiplies strips of places by panels of weights.

Two kernels run one after the other. The first copies the weights into panels as wide as a strip, in the order in which taps are
read. The second takes blocks of places; nothing is copied but what needs zeros around it (`conv_geometry`), so there is no im2col.

Numbers: every element of the result is one sequential chain of fma from 0 over taps and channels, of which those are left out that
lie outside for a whole strip (they add 0). The bits depend on the shapes of x and w alone: not on threads or fusion.
"""

from graphkeras.ir.dims import size
from graphkeras.ir.node import Node, Value
from graphkeras.lowering.cpu.contraction import tile_kernel
from graphkeras.lowering.cpu.conv_geometry import (
    BLOCKS,
    FINISH,
    GEOMETRY,
    ITEM,
    LOCATE,
    PHASES,
    PLACE_TABLE,
    RECORD,
    TAPS,
    UNIT,
    Walk,
    computed,
    finished,
    geometry,
    indented,
    piece_of,
    read_words,
)
from graphkeras.lowering.cpu.kernel import Address, BlockAddress, KernelAddress, LoweredKernel, Temporary
from graphkeras.lowering.cpu.source import short_dtype
from graphkeras.schedule.groups import Group

_PANEL_BYTES = 320 * 1024  # panels that a block of places is multiplied by: they stay in the second cache

_PANELS = (
    """\
def kernel(args, lo, hi, scratch):
    w = args[1]
    panels = args[2]
    w_tap = args[3]
    w_group = args[4]
    w_row = args[5]
    w_column = args[6]
"""
    + indented(read_words(7), 1)
    + """\
    per_group = max(1, (filters // groups + WIDTH - 1) // WIDTH)
    deep = channels // groups
    zero = const_T(0.0)
    for panel in range(lo, hi):
        group = panel // per_group
        j0 = (panel - group * per_group) * WIDTH
        columns = min(WIDTH, filters // groups - j0)
        to = ptr_T(panels + panel * k_d * k_h * k_w * deep * WIDTH * ITEM)
        at = 0
"""
    + indented(PHASES, 2)
    + indented(TAPS, 5)
    + indented(
        """\
tap = (kd * k_h + kh) * k_w + kw
source = ptr_T(w + (tap * w_tap + group * w_group + j0 * w_column) * ITEM)
c = 0
if w_row == 1 and columns == WIDTH:
    while c + LANES <= deep:
        for j in range(0, WIDTH, LANES):
            transpose_T(source, c + j * w_column, w_column, to, at + c * WIDTH + j, WIDTH)
        c += LANES
while c < deep:
    for j in range(0, WIDTH, LANES):
        n = min(LANES, columns - j)
        if n <= 0:
            v = zero
        elif w_column == 1:
            v = loadn_T(source, c * w_row + j, n)
        else:
            v = loads_T(source, c * w_row + j * w_column, w_column, n)
        store_T(to, at + c * WIDTH + j, v)
    c += 1
at += deep * WIDTH
""",
        11,
    )
)

ARGUMENTS = ("x", "panels", "y", "epilogue", "epilogue_args", "rows", "piece", "panels_per_block", "block_columns")

_RANGES = """\
number = 0
for g in range(g0, g1):
    oh = g % out_h
    od = g // out_h % out_d
    if (oh * mul_h + off_h) % div_h == phase_h and (od * mul_d + off_d) % div_d == phase_d:
        low = 0
        high = parts
        if inside == 0 and k_d == 1:
            line = (oh * mul_h + off_h) // div_h - back_h
            while low < parts and line + lines_of[low] < 0:
                low += 1
            while high > low and line + lines_of[high - 1] >= in_h:
                high -= 1
        places = (w1 - w0 - (phase_w - w0 * mul_w - off_w) % div_w + div_w - 1) // div_w
        for s in range(number // TALL, (number + places + TALL - 1) // TALL):
            if s * TALL >= number:
                ranges[2 * s] = low
                ranges[2 * s + 1] = high
            else:
                ranges[2 * s] = min(low, ranges[2 * s])
                ranges[2 * s + 1] = max(high, ranges[2 * s + 1])
        number += places
"""
"""For each strip the segments from the first to the last that meets the array; the others would only add zeros."""

_CONV = (
    "def kernel(args, lo, hi, scratch):\n"
    + "".join(f"    {name} = args[{i}]\n" for i, name in enumerate(ARGUMENTS, 1))
    + indented(read_words(1 + len(ARGUMENTS)) + BLOCKS, 1)
    + """\
    deep = channels // groups
    wide = filters // groups
    per_group = max(1, (wide + WIDTH - 1) // WIDTH)
    all_panels = groups * per_group
    depth = k_d * k_h * k_w * deep
    joined = dil_w == 1 and groups == 1
    direct = 1 if epilogue == 0 and wide % WIDTH == 0 else 0
    record = ptr_i64(scratch)
    segments = ptr_i64(scratch + RECORD)
    bases = ptr_i64(scratch + RECORD + k_d * k_h * k_w * 8)
    table_at = scratch + RECORD + (k_d * k_h * k_w + rows) * 8
    table = ptr_i64(table_at)
    lines_of = ptr_i64(table_at + (rows * piece + TALL) * 16)
    ranges = ptr_i64(table_at + (rows * piece + TALL) * 16 + k_d * k_h * k_w * 8)
    dump = table_at + (rows * piece + TALL) * 32 + k_d * k_h * k_w * 8
    sums = dump + block_columns * ITEM
    window = sums + rows * piece * block_columns * ITEM
    for unit in range(lo, hi):
"""
    + indented(UNIT, 2)
    + """\
        q0 = block * panels_per_block
        q1 = min(all_panels, q0 + panels_per_block)
        j0 = q0 // per_group * wide + (q0 - q0 // per_group * per_group) * WIDTH
        last = (q1 - 1) // per_group
        j1 = last * wide + min(wide, (q1 - last * per_group) * WIDTH)
        ld = block_columns
        target = sums
        if direct != 0:
            ld = filters
            target = y + ((g0 * out_w + w0) * filters + j0) * ITEM
"""
    + indented(LOCATE, 2)
    + "        done = 0\n"
    + indented(PHASES, 2)
    + indented(
        PLACE_TABLE
        + """\
parts = 0
taps = 0
row_taps = 0
for kw in range(k_w):
    if kw * dil_w % div_w == phase_w:
        row_taps += 1
"""
        + TAPS
        + indented(
            """\
if joined and taps % max(1, row_taps) != 0:
    segments[parts - 1] = min(segments[parts - 1], td * step_d + th * step_h + tw * channels)
else:
    segments[parts] = td * step_d + th * step_h + tw * channels
    lines_of[parts] = th
    parts += 1
taps += 1
""",
            6,
        )
        + """\
run = deep * (row_taps if joined else 1)
if run == 0:
    parts = 0
"""
        + _RANGES
        + """\
for q in range(q0, q1):
    group = q // per_group
    place = (group * wide + (q - group * per_group) * WIDTH - j0) * ITEM
    panel_at = panels + (q * depth + done) * WIDTH * ITEM
    for i in range(0, full, TALL):
        strip = ptr_i64(table_at + i * 16)
        low = ranges[2 * i // TALL]
        some = ptr_i64(scratch + RECORD + low * 8)
        panel = ptr_T(panel_at + low * run * WIDTH * ITEM)
        gather_strip_T(strip, some, ranges[2 * i // TALL + 1] - low, run, group * deep * ITEM, 1, panel, WIDTH, place, 0)
done += taps * deep
""",
        5,
    )
    + indented(FINISH, 2)
)


def _panels_per_block(walk: Walk) -> int:
    fitting = max(1, _PANEL_BYTES // max(1, walk.depth * walk.width * ITEM[walk.dtype]))
    blocks = max(1, -(-walk.panels // fitting))
    places = -(-walk.rows // walk.block_rows()) * -(-walk.out_w // walk.piece)
    blocks = max(blocks, min(walk.panels, -(-8 // max(1, places))))  # few places: share the columns
    return max(1, -(-walk.panels // blocks))


def _block_columns(walk: Walk) -> int:
    return (_panels_per_block(walk) + 1) * walk.width


def _units(walk: Walk) -> int:
    places = -(-walk.rows // walk.block_rows()) * -(-walk.out_w // walk.piece)
    return places * -(-walk.panels // _panels_per_block(walk))


def _scratch(walk: Walk) -> int:
    rows = walk.block_rows()
    words = 2 * walk.taps + rows + 4 * (rows * walk.piece + walk.tall)
    elements = _block_columns(walk) * (rows * walk.piece + 1) + walk.window_elements(rows)
    return RECORD + 8 * words + ITEM[walk.dtype] * elements


def lower_convolution(group: Group, name: str) -> list[LoweredKernel]:
    """The kernels of a group around a convolution or an input gradient."""
    node = group.space.tiled
    resolve = group.space.resolve
    dtype = short_dtype(node.specs[0].dtype)
    words = geometry(node)
    (x, x_at), (w, w_at) = map(resolve, node.inputs)
    *_, per_group, filters = node.inputs[1].shape
    groups = node.attrs["groups"]
    if node.op == "conv":
        strides = (per_group * filters, filters // groups, filters, 1)
    else:
        strides = (per_group * filters, filters // groups, 1, filters)
    panels = Temporary(name + "_weights", panels_bytes(dtype, node))
    pack = LoweredKernel(
        name + "_weights", group.kind, finished(_PANELS, dtype), (Address.of(w, w_at.offset), Address(panels), *strides, *words),
        computed(_all_panels, dtype, node), group, bytes=2 * node.inputs[1].spec.nbytes,
    )  # fmt: skip
    kernels, y, tile, tile_args = [pack], Address.of(Value(node)), 0, 0
    if len(group.nodes) > 1:
        epilogue = tile_kernel(group, name + "_tile")
        kernels.append(epilogue)
        y, tile, tile_args = 0, KernelAddress(epilogue), BlockAddress(epilogue)
    blocks = [computed(f, dtype, node) for f in (_rows, piece_of, _panels_per_block, _block_columns)]
    args = (Address.of(x, x_at.offset), Address(panels), y, tile, tile_args, *blocks, *words)
    main = LoweredKernel(
        name, group.kind, finished(_CONV, dtype), args, computed(_units, dtype, node), group,
        scratch=computed(_scratch, dtype, node), flops=group.flops, bytes=group.bytes,
    )  # fmt: skip
    return [*kernels, main]


def _rows(walk):
    return walk.block_rows()


def _all_panels(walk):
    return walk.panels


def panels_bytes(dtype, node: Node):
    """Bytes of all panels of weights (int or Dim)."""
    words = dict(zip(GEOMETRY, geometry(node)))
    width = Walk((), dtype).width
    columns = (words["filters"] // words["groups"] + width - 1) // width * width
    return size(node.inputs[1].shape[:-2]) * words["channels"] * columns * ITEM[dtype]
