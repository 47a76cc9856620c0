"""Kernel gradients of convolutions: dw[tap, c, o] = sum over places p of x[p at tap, c] * ct[p, o].

The rows of the product are (tap, channel), its columns the filters, and the sum runs over places: in `gather_strip` the segments
are rows of the image. Places are cut into blocks and blocks into chunks. A unit adds its chunk up, block after block, for some
panels of filters; a second kernel adds the chunks and hands the result to what is fused behind.

Numbers: within a block every element is a sequential chain of fma from 0 over places, blocks are added in order within a chunk, and
chunks in order. Blocks and chunks depend on the shapes of x and ct alone.
"""

from graphkeras.ir.dims import size
from graphkeras.ir.node import Node, Value
from graphkeras.lowering.cpu.contraction import tile_kernel
from graphkeras.lowering.cpu.conv_geometry import (
    BLOCKS,
    ITEM,
    LOCATE,
    PHASES,
    RECORD,
    TAPS,
    Walk,
    computed,
    finished,
    geometry,
    indented,
    piece_of,
    read_words,
)
from graphkeras.lowering.cpu.kernel import Address, BlockAddress, Computed, KernelAddress, LoweredKernel, Temporary
from graphkeras.lowering.cpu.source import short_dtype
from graphkeras.schedule.groups import Group

_CHUNKS = 16
_CHUNK_BYTES = 4 * 1024 * 1024  # partial results of all chunks
_PANELS = 4  # of a unit: so often a block is found (and copied, where it needs zeros) for 4 panels of filters
_JOIN_ROWS = 8

ARGUMENTS = ("x", "ct", "partial", "rows", "piece", "blocks_per_chunk", "panels_per_unit", "spread")

CHUNKS = """\
blocks = (total_rows + rows - 1) // rows * pieces
chunks = max(1, (blocks + blocks_per_chunk - 1) // blocks_per_chunk)
"""
BLOCK = """\
g0 = block // pieces * rows
w0 = (block - block // pieces * pieces) * piece
g1 = min(total_rows, g0 + rows)
w1 = min(out_w, w0 + piece)
"""

_GRADIENT = (
    "def kernel(args, lo, hi, scratch):\n"
    + "".join(f"    {name} = args[{i}]\n" for i, name in enumerate(ARGUMENTS, 1))
    + indented(read_words(1 + len(ARGUMENTS)) + BLOCKS + CHUNKS, 1)
    + """\
    if spread != channels:
        pitch = spread
        inside = 0
    deep = channels // groups
    wide = filters // groups
    per_group = max(1, (wide + WIDTH - 1) // WIDTH)
    all_panels = groups * per_group
    depth = k_d * k_h * k_w * deep
    full = (depth + TALL - 1) // TALL * TALL
    offsets = ptr_i64(scratch + RECORD)
    bases = ptr_i64(scratch + RECORD + rows * 8)
    table_at = scratch + RECORD + rows * 16
    table = ptr_i64(table_at)
    dump = table_at + full * 16
    packed_at = dump + WIDTH * ITEM
    window = packed_at + rows * piece * WIDTH * ITEM
    for unit in range(lo, hi):
        chunk = unit % chunks
        q0 = unit // chunks * panels_per_unit
        q1 = min(all_panels, q0 + panels_per_unit)
        goal = partial + (chunk * all_panels + q0) * depth * WIDTH * ITEM
        first_block = chunk * blocks_per_chunk
        end_block = min(blocks, first_block + blocks_per_chunk)
        if first_block >= end_block:
            to = ptr_T(goal)
            for e in range(0, (q1 - q0) * depth * WIDTH, LANES):
                store_T(to, e, zero)
        for block in range(first_block, end_block):
"""
    + indented(BLOCK + LOCATE, 3)
    + """\
            origin = bases[0]
            for g in range(g1 - g0):
                offsets[g] = (bases[g] - origin) // ITEM
            origin += ((w0 * mul_w + off_w) // div_w) * pitch * ITEM
            count = 0
"""
    + indented(PHASES, 3)
    + indented(TAPS, 6)
    + indented(
        """\
cell = origin + (td * step_d + th * step_h + tw * pitch) * ITEM
for c in range(deep):
    slot = count // TALL * (2 * TALL) + count % TALL
    table[slot] = cell + c * ITEM
    table[slot + TALL] = goal + count * WIDTH * ITEM
    count += 1
""",
        12,
    )
    + """\
            for more in range(count, full):
                table[more // TALL * (2 * TALL) + more % TALL] = origin
            onto = 1 if block > first_block else 0
            places = (g1 - g0) * (w1 - w0)
            for q in range(q0, q1):
                group = q // per_group
                j0 = (q - group * per_group) * WIDTH
                n = min(WIDTH, wide - j0)
                b_at = ct + ((g0 * out_w + w0) * filters + group * wide + j0) * ITEM
                b_step = filters
                if n < WIDTH or (depth > 64 and filters * ITEM % 256 == 0):
                    source = ptr_T(b_at)
                    to = ptr_T(packed_at)
                    for p in range(places):
                        for j in range(0, WIDTH, LANES):
                            v = zero
                            if j + LANES <= n:
                                v = load_T(source, p * filters + j)
                            elif j < n:
                                v = loadn_T(source, p * filters + j, n - j)
                            store_T(to, p * WIDTH + j, v)
                    b_at = packed_at
                    b_step = WIDTH
                panel = ptr_T(b_at)
                place = (q - q0) * depth * WIDTH * ITEM
                for more in range(count, full):
                    table[more // TALL * (2 * TALL) + more % TALL + TALL] = dump - place
                for i in range(0, full, TALL):
                    strip = ptr_i64(table_at + i * 16)
                    gather_strip_T(strip, offsets, g1 - g0, w1 - w0, group * deep * ITEM, mul_w * pitch, panel, b_step, place, onto)
"""
)

JOIN_ARGUMENTS = ("partial", "y", "epilogue", "epilogue_args", "lines", "filters", "groups", "width", "chunks")
_JOIN = (
    "def kernel(args, lo, hi, scratch):\n"
    + "".join(f"    {name} = args[{i}]\n" for i, name in enumerate(JOIN_ARGUMENTS, 1))
    + """\
    wide = filters // groups
    per_group = max(1, (wide + width - 1) // width)
    all_panels = groups * per_group
    record = ptr_i64(scratch)
    p = ptr_T(partial)
    ld = filters + LANES
    for unit in range(lo, hi):
        i0 = unit * ROWS
        i1 = min(lines, i0 + ROWS)
        for i in range(i0, i1):
            for q in range(all_panels):
                group = q // per_group
                j0 = (q - group * per_group) * width
                columns = min(width, wide - j0)
                to = ptr_T(y + (i * filters + group * wide + j0) * ITEM)
                if epilogue != 0:
                    to = ptr_T(scratch + RECORD + ((i - i0) * ld + group * wide + j0) * ITEM)
                for j in range(0, columns, LANES):
                    n = min(LANES, columns - j)
                    total = loadn_T(p, (q * lines + i) * width + j, n)
                    for chunk in range(1, chunks):
                        total = add(total, loadn_T(p, ((chunk * all_panels + q) * lines + i) * width + j, n))
                    storen_T(to, j, total, n)
        if epilogue != 0:
            record[0] = scratch + RECORD
            record[1] = ld
            record[2] = i0
            record[3] = i1
            record[4] = 0
            record[5] = filters
            record[6] = 0
            record[7] = 0
            call_kernel(epilogue, epilogue_args, scratch, 0, scratch + RECORD + ROWS * ld * ITEM)
"""
)


def block_rows(walk: Walk) -> int:
    """Rows of a block."""
    return walk.block_rows(wanted_units=1)


def _blocks(walk: Walk) -> int:
    return -(-walk.rows // block_rows(walk)) * -(-walk.out_w // walk.piece)


def blocks_per_chunk(walk: Walk) -> int:
    """Blocks of a chunk: as few as memory for their partial results allows."""
    size_of_one = walk.panels * walk.depth * walk.width * ITEM[walk.dtype]
    chunks = max(1, min(_CHUNKS, _CHUNK_BYTES // max(1, size_of_one), _blocks(walk)))
    return max(1, -(-_blocks(walk) // chunks))


def chunk_count(walk: Walk) -> int:
    """Into how many sums the places are cut."""
    return max(1, -(-_blocks(walk) // blocks_per_chunk(walk)))


def _panels_per_unit(walk: Walk) -> int:
    return min(walk.panels, _PANELS)


def _units(walk: Walk) -> int:
    return chunk_count(walk) * -(-walk.panels // _panels_per_unit(walk))


def _spread(walk: Walk) -> int:
    return walk.spread


def _scratch(walk: Walk) -> int:
    rows = block_rows(walk)
    words = 2 * rows + 2 * (walk.depth + walk.tall)
    return RECORD + 8 * words + ITEM[walk.dtype] * ((rows * walk.piece + 1) * walk.width + walk.window_elements(rows, walk.spread))


def _partial_bytes(walk: Walk) -> int:
    return chunk_count(walk) * walk.panels * walk.depth * walk.width * ITEM[walk.dtype]


def lower_kernel_gradient(group: Group, name: str) -> list[LoweredKernel]:
    """The kernel that adds up chunks, and the one that joins them."""
    node, resolve = group.space.tiled, group.space.resolve
    dtype = short_dtype(node.specs[0].dtype)
    (x, x_at), (ct, ct_at) = map(resolve, node.inputs)
    partial = Temporary(name + "_chunks", computed(_partial_bytes, dtype, node))
    blocks = [computed(f, dtype, node) for f in (block_rows, piece_of, blocks_per_chunk, _panels_per_unit, _spread)]
    main = LoweredKernel(
        name, group.kind, finished(_GRADIENT, dtype),
        (Address.of(x, x_at.offset), Address.of(ct, ct_at.offset), Address(partial), *blocks, *geometry(node)),
        computed(_units, dtype, node), group, scratch=computed(_scratch, dtype, node), flops=group.flops, bytes=group.bytes,
    )  # fmt: skip
    return [main, *join(group, name, partial, Walk((), dtype).width, computed(chunk_count, dtype, node))]


def join(group: Group, name: str, partial: Temporary, width, chunks: Computed) -> list[LoweredKernel]:
    """The kernel that adds chunks in order, after the one it hands its rows to."""
    node: Node = group.space.tiled
    dtype = short_dtype(node.specs[0].dtype)
    *window, per_group, filters = node.specs[0].shape
    lines = size(window) * per_group
    kernels, y, tile, tile_args = [], Address.of(Value(node)), 0, 0
    if len(group.nodes) > 1:
        epilogue = tile_kernel(group, name + "_tile")
        kernels.append(epilogue)
        y, tile, tile_args = 0, KernelAddress(epilogue), BlockAddress(epilogue)
    groups = node.attrs["groups"] if width != filters else 1
    args = (Address(partial), y, tile, tile_args, lines, filters, groups, width, chunks)
    scratch = RECORD + ITEM[dtype] * _JOIN_ROWS * (filters + 64)
    kernel = LoweredKernel(
        name + "_join", group.kind, finished(_JOIN, dtype, ROWS=_JOIN_ROWS), args, (lines + _JOIN_ROWS - 1) // _JOIN_ROWS, group,
        scratch=scratch, bytes=4 * node.specs[0].nbytes,
    )  # fmt: skip
    return [*kernels, kernel]
