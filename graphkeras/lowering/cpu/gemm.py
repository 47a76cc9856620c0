"""Matrix multiplication: one kernel per dtype for every product C[b] = A[b] @ B[b], whatever its sizes, strides and fusion.

The kernel is compiled once per machine. Sizes and element strides are arguments, so every transpose is served; fused
neighbours are separate kernels reached by address:

    epilogue     called for each finished tile of C, whose sums lie in scratch (bias, activation, residual, store);
                 address 0: sums go to C, row-major with leading dimension LDC
    prologue A   called to fill a row-major block of the (M, K) operand, or where `a_turned` is 1 of the (K, M) array that holds it
                 transposed; address 0: A is read from memory
    prologue B   the same for the (K, N) operand

All three have the kernel signature; `args` is their own block and `lo` the address of an int64[8] tile record
[values address, leading dimension, first row, end row, first column, end column, batch, 0].

Numbers: K is cut into as few equal blocks of at most K_BLOCK[dtype] as possible (`k_blocks`). Within a block every element
of C is the sequential fma chain 0 + a0 b0 + a1 b1 ..., and the blocks' sums are added in order. That holds on every path
below, so the bits depend on K alone: not on tiles, packing, threads or fusion.

Plan (Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008, with the roles of the caches as there):
a unit is one tile of C of at most ROWS x COLUMNS, see `grid`. Units run down the columns, so that consecutive ones share the
packed B.
B is packed in panels as wide as the micro-kernel; A is read in place where k is contiguous and, with 16 lanes, where the array that
holds it transposed stays in the second cache or has short rows; it is packed in strips otherwise.
A B that fits the first cache whole, or meets few rows only, is read in place, too; a single row takes a wider strip.
Ragged rows are computed by letting the last strip overlap the one before, ragged columns on a zero-padded panel; both then
pass through a small buffer.
"""

from graphkeras.lowering.cpu.simd_types import STRIP_DTYPES, strip_shapes
from graphkeras.lowering.cpu.target import LANES
from graphkeras.schedule.space import CHUNK_ROWS

ARGUMENTS = (
    "error", "a", "b", "c", "m", "n", "k", "batch",
    "a_batch", "a_row", "a_column", "b_batch", "b_row", "b_column", "c_batch", "c_row",
    "epilogue", "epilogue_args", "prologue_a", "prologue_a_args", "prologue_b", "prologue_b_args",
    "down", "across", "b_ready", "a_turned", "b_turned", "rise",
)  # fmt: skip
"""Names of the words of the argument block: addresses, sizes, element strides (A is (M, K), B is (K, N)), callbacks, the
`grid` of tiles, 1 where `b` is the address of panels that `pack_source` has made, 1 where a prologue fills transposed blocks,
and the number of rows that heights of tiles are multiples of (0: those of a strip)."""

INDEX = {name: index for index, name in enumerate(ARGUMENTS)}
"""From an argument's name to its place in the block."""

CHUNKED_RISE = 3 * CHUNK_ROWS
"""`rise` where the epilogue sums chunks of rows: each lies in one tile."""

K_BLOCK = {"f32": 512, "f64": 256}
ROWS, COLUMNS = 144, 256
_MANY_ROWS = 2 * ROWS  # fewer rows give few tiles, so these are made narrower to leave work for all threads
_UNITS, _UNIT_MACS = 8, 1 << 17  # narrow results are cut into so many low tiles, if these have so many products to add
_ITEM = {"f32": 4, "f64": 8}
_SHAPES = {dtype: strip_shapes(dtype, LANES) for dtype in STRIP_DTYPES}
_TALL, _LOW = (_SHAPES["f32"][kind][0] for kind in ("tall", "low"))
_VECTORS = {dtype: shapes["tall"][1] for dtype, shapes in _SHAPES.items()}
_ROW_COLUMNS = COLUMNS if LANES == 16 else COLUMNS // 4  # of a single row: at least the width of its strip, and long runs of B
_KEPT_K = 2048  # up to this K the packed B of a column of tiles is kept for the tiles below
IN_PLACE_BYTES = 24 * 1024  # a B of this size stays in the first cache and is read in place
_IN_PLACE_ROWS = 2 * _TALL  # packing B does not pay for so few rows
# Of an array that holds A transposed: read as it lies if it stays in the second cache, or if the lines of one k after the other lie near
# enough to be fetched in time. Measured with 16 lanes; with 8, all are packed.
_KEPT_A_BYTES, _SHORT_ROW_BYTES = (512 * 1024, 1024) if LANES == 16 else (0, 0)
_RECORD = 64


def grid(m, n, k, batch=1, a_column=1, heavy=False, dtype="f32", chunked=False):
    """How many tiles (down, across) an (m, n) result is cut into: whole strips and panels, as equal as can be.

    Args:
        a_column: as in ARGUMENTS. Where A must be packed first, tiles are wider.
        heavy: whether the epilogue goes through several arrays of the size of C: a tile of each is to fit the second cache.
        chunked: whether heights are to be multiples of CHUNKED_RISE.
    """
    strips, panels = max(1, -(-m // _TALL)), max(1, -(-n // (_VECTORS[dtype] * LANES)))
    long = k > _KEPT_K  # each tile packs its part of B anew
    columns = COLUMNS if m > _MANY_ROWS else COLUMNS // 4 if m <= ROWS and (long or a_column == 1) else COLUMNS // 2
    if chunked:
        return -(-m // CHUNKED_RISE), -(-panels * _VECTORS[dtype] * LANES // (COLUMNS // 2))
    if m == 1:
        columns = max(columns, _ROW_COLUMNS)
    across = -(-panels * _VECTORS[dtype] * LANES // columns)
    down = -(-strips * _TALL // (ROWS // 2 if heavy else ROWS))
    while not long and batch * across * down < _UNITS and strips >= 4 * down and batch * m * n * k >= 2 * down * across * _UNIT_MACS:
        down *= 2
    return down, across


def grid_of_rows(m, n, dtype="f32"):
    """(down, across, rise) of one step of a loop, with a B that is packed already: rows are halved, so that each of two threads finds in
    its own cache what it has made in the step before."""
    panels = max(1, -(-n // (_VECTORS[dtype] * LANES)))
    across = -(-panels * _VECTORS[dtype] * LANES // COLUMNS)
    if m < 2 * _TALL:
        return 1, across, 0
    rise = _round_up(-(-m // 2), _LOW)
    parts = -(-rise // ROWS)
    return -(-m // _round_up(-(-rise // parts), _LOW)), across, _round_up(-(-rise // parts), _LOW)


def k_blocks(k, dtype="f32"):
    """Borders 0 .. k of the K-blocks: as few as K_BLOCK allows, of equal length rounded up to LANES."""
    step = _k_step(k, dtype)
    return [*range(0, max(k, 1), max(step, 1)), k]


def _k_step(k, dtype):
    blocks = max(1, -(-k // K_BLOCK[dtype]))
    return _round_up(-(-k // blocks), LANES)


def units(m, n, k, batch=1, a_column=1, heavy=False, dtype="f32", chunked=False):
    """Number of units of the kernel: its range is [0, units)."""
    down, across = grid(m, n, k, batch, a_column, heavy, dtype, chunked)
    return batch * down * across if m and n else 0


def scratch_bytes(k, dtype="f32", prologues=False, chunked=False, callbacks=0):
    """Scratch a thread needs, for any M, N and batch, with or without prologues and chunks; `callbacks` is the number of elements of
    eight bytes, per column of a tile, that the callbacks themselves use."""
    width, block = _VECTORS[dtype] * LANES, K_BLOCK[dtype]
    rows, columns = max(_rows_top(), CHUNKED_RISE if chunked else 0) + _TALL, _columns_top(width)
    blocks = max(1, -(-k // block))
    step = _k_step(k, dtype)
    panels = blocks if k <= _KEPT_K else 1
    elements = (_TALL + LANES) * width + rows * columns + rows * (block + LANES) + panels * step * columns
    if prologues:
        elements += (step + LANES) * (rows + columns)
    return _RECORD + _ITEM[dtype] * elements + 8 * callbacks * (columns + LANES)


def _round_up(number, step):
    return -(-number // step) * step


def _rows_top():
    return _round_up(ROWS, _TALL)


def _columns_top(width):
    return _round_up(COLUMNS, width)


_SOURCE = """
def kernel(args, lo, hi, scratch):
    m = args[{m}]; n = args[{n}]; kk = args[{k}]
    a_row = args[{a_row}]; a_column = args[{a_column}]; b_row = args[{b_row}]; b_column = args[{b_column}]
    epilogue = args[{epilogue}]; prologue_a = args[{prologue_a}]; prologue_b = args[{prologue_b}]
    down = args[{down}]; across = args[{across}]
    rise = args[{rise}] if args[{rise}] > 0 else {TALL}
    rows = max(rise, {ROWS_TOP}) + {TALL}
    steps = (m + rise - 1) // rise
    panels = (n + {WIDTH} - 1) // {WIDTH}
    columns = (panels + across - 1) // across * {WIDTH}
    per_batch = down * across
    kept = kk <= {KEPT_K} and down > 1
    a_turned = args[{a_turned}]; b_turned = args[{b_turned}]
    a_rows = a_turned == 0 and (prologue_a != 0 or (a_column == 1 and m < {TALL} and m != {LOW}))
    as_it_lies = a_row == 1 and m >= {TALL} and (kk * a_column * {ITEM} <= {KEPT_A_BYTES} or a_column * {ITEM} <= {SHORT_ROW_BYTES})
    a_in_place = prologue_a == 0 and not a_rows and (a_column == 1 or as_it_lies)
    a_packed = not a_rows and not a_in_place
    b_ready = args[{b_ready}]
    b_in_place = b_ready == 0 and prologue_b == 0 and b_column == 1 and (m <= {IN_PLACE_ROWS} or kk * b_row * {ITEM} <= {IN_PLACE_BYTES})
    record = ptr_i64(scratch)
    corner = scratch + {RECORD}
    sums = corner + {CORNER}
    a_pack = sums + rows * {COLUMNS_TOP} * {ITEM}
    b_pack = a_pack + rows * {A_TOP} * {ITEM}
    blocks = max(1, (kk + {BLOCK} - 1) // {BLOCK})
    step = ((kk + blocks - 1) // blocks + {LANES} - 1) // {LANES} * {LANES}
    b_raw = b_pack + (blocks if kept else 1) * step * columns * {ITEM}
    a_raw = b_raw + ((step + {LANES}) * columns * {ITEM} if prologue_b != 0 else 0)
    after = a_raw + ((step + {LANES}) * rows * {ITEM} if prologue_a != 0 else 0)
    a_ld = step + {LANES}
    packed = -1
    for unit in range(lo, hi):
        batch = unit // per_batch
        rest = unit - batch * per_batch
        tile_j = rest // down
        tile_i = rest - tile_j * down
        i0 = steps * tile_i // down * rise
        j0 = panels * tile_j // across * {WIDTH}
        i1 = min(m, steps * (tile_i + 1) // down * rise)
        j1 = min(n, panels * (tile_j + 1) // across * {WIDTH})
        mc = i1 - i0
        nc = j1 - j0
        fresh = batch * n + j0 != packed
        packed = batch * n + j0
        target = args[{c}] + (batch * args[{c_batch}] + i0 * args[{c_row}] + j0) * {ITEM}
        ld = args[{c_row}]
        if epilogue != 0:
            target = sums
            ld = columns
        k0 = 0
        while True:
            kc = min(step, kk - k0)
            b_block = b_pack
            if kept:
                b_block = b_pack + k0 * columns * {ITEM}
            sb = args[{b}] + (batch * args[{b_batch}] + k0 * b_row + j0 * b_column) * {ITEM}
            sbk = b_row
            sbn = b_column
            if b_ready != 0:
                b_block = args[{b}] + (k0 * panels * {WIDTH} + j0 * kc) * {ITEM}
            elif fresh or not kept or b_in_place:
                if prologue_b != 0:
                    record[0] = b_raw; record[6] = batch; record[7] = 0
                    sb = b_raw
                    if b_turned != 0:
                        record[1] = a_ld; record[2] = j0; record[3] = j1; record[4] = k0; record[5] = k0 + kc
                        sbk = 1
                        sbn = a_ld
                    else:
                        record[1] = columns; record[2] = k0; record[3] = k0 + kc; record[4] = j0; record[5] = j1
                        sbk = columns
                        sbn = 1
                    call_kernel(prologue_b, args[{prologue_b_args}], scratch, 0, after)
                first = nc // {WIDTH} * {WIDTH} if b_in_place else 0
                pack_panels_T(ptr_T(sb), sbk, sbn, ptr_T(b_block), kc, nc, first)
            sa = args[{a}] + (batch * args[{a_batch}] + i0 * a_row + k0 * a_column) * {ITEM}
            am = a_row
            ak = a_column
            if a_rows:
                if prologue_a != 0:
                    record[0] = a_pack; record[1] = a_ld; record[2] = i0; record[3] = i1
                    record[4] = k0; record[5] = k0 + kc; record[6] = batch; record[7] = 0
                    call_kernel(prologue_a, args[{prologue_a_args}], scratch, 0, after)
                pack_rows_T(ptr_T(sa), a_row, ptr_T(a_pack), a_ld, kc, mc, mc if prologue_a != 0 else 0)
                sa = a_pack
                am = a_ld
                ak = 1
            elif not a_in_place:
                if prologue_a != 0:
                    record[0] = a_raw; record[1] = rows; record[2] = k0; record[3] = k0 + kc
                    record[4] = i0; record[5] = i1; record[6] = batch; record[7] = 0
                    call_kernel(prologue_a, args[{prologue_a_args}], scratch, 0, after)
                    sa = a_raw
                    am = 1
                    ak = rows
                pack_strips_T(ptr_T(sa), am, ak, ptr_T(a_pack), kc, mc)
            jp = 0
            done = 0
            while jp < nc:
                if m == 1 and b_in_place and jp + {ROW_WIDTH} <= nc:
                    pb = ptr_T(sb + jp * {ITEM})
                    pd = ptr_T(target + jp * {ITEM})
                    strip_row_T(ptr_T(a_pack), 1, 1 if a_rows else {LOW}, pb, b_row, kc, pd, ld, k0)
                    jp += {ROW_WIDTH}
                    continue
                pb = ptr_T(b_block + jp * kc * {ITEM})
                bk = {WIDTH}
                if b_in_place and jp + {WIDTH} <= nc:
                    pb = ptr_T(sb + jp * {ITEM})
                    bk = b_row
{WIDE}                i = mc // {TALL} * {TALL} if jp < done else 0
                while i < mc:
                    left = mc - i
                    height = {LOW} if {LOWER} else {TALL}
                    edge = left < height or (epilogue == 0 and jp + {WIDTH} > nc)
                    shift = 0
                    if a_packed:
                        pa = ptr_T(a_pack + i * (kc + {LANES}) * {ITEM})
                        am = 1
                        ak = height
                    else:
                        if a_in_place:
                            shift = max(0, height - left)
                        pa = ptr_T(sa + (i - shift) * am * {ITEM})
                    pd = ptr_T(target + (i * ld + jp) * {ITEM})
                    dl = ld
                    if edge:
                        pd = ptr_T(corner)
                        dl = {WIDTH}
                    onto = 1 if k0 > 0 and not edge else 0
                    {HALF}if height == {TALL}:
                        strip_tall_T(pa, am, ak, pb, bk, kc, pd, dl, onto)
                    else:
                        strip_low_T(pa, am, ak, pb, bk, kc, pd, dl, onto)
                    if edge:
                        pe = ptr_T(target + (i * ld + jp) * {ITEM})
                        pc = ptr_T(corner + shift * {WIDTH} * {ITEM})
                        merge_corner_T(pc, pe, ld, min(left, height), min({WIDTH}, nc - jp), k0)
                    i += height
                jp += {WIDTH}
            k0 += step
            if k0 >= kk:
                break
        if epilogue != 0:
            record[0] = sums; record[1] = columns; record[2] = i0; record[3] = i1
            record[4] = j0; record[5] = j1; record[6] = batch; record[7] = 0
            call_kernel(epilogue, args[{epilogue_args}], scratch, 0, after)
"""


_WIDE = """
                if jp >= done and jp + 2 * {WIDTH} <= nc:
                    done = jp + 2 * {WIDTH}
                    for i in range(0, mc // {TALL} * {TALL}, {WIDE_ROWS}):
                        pa = ptr_T(sa + i * am * {ITEM})
                        wm = am
                        wk = ak
                        if a_packed:
                            pa = ptr_T(a_pack + (i // {TALL} * {TALL} * (kc + {LANES}) + i % {TALL}) * {ITEM})
                            wm = 1
                            wk = {TALL}
                        pd = ptr_T(target + (i * ld + jp) * {ITEM})
                        strip_wide_T(pa, wm, wk, pb, bk, kc, pd, ld, k0, {WIDTH} if b_in_place else kc * {WIDTH})
"""
# What a kernel does first with two panels at a time: all whole tall strips of rows.

_HALF = """if height == {TALL} and nc - jp <= {LANES}:
                        strip_half_T(pa, am, ak, pb, bk, kc, pd, dl, onto)
                    el"""
# What it does with the last columns, if they are few.


_PACK = """
def kernel(args, lo, hi, scratch):
    k = args[3]; n = args[4]; k_step = args[5]; n_step = args[6]
    blocks = max(1, (k + {BLOCK} - 1) // {BLOCK})
    step = ((k + blocks - 1) // blocks + {LANES} - 1) // {LANES} * {LANES}
    padded = (n + {WIDTH} - 1) // {WIDTH} * {WIDTH}
    first = lo * {WIDTH}
    count = min(n, hi * {WIDTH}) - first
    k0 = 0
    while k0 < k:
        kc = min(step, k - k0)
        b = args[1] + (k0 * k_step + first * n_step) * {ITEM}
        pack_panels_T(ptr_T(b), k_step, n_step, ptr_T(args[2] + (k0 * padded + first * kc) * {ITEM}), kc, count, 0)
        k0 += step
"""


def pack_source(dtype="f32"):
    """Canonical source of the kernel that packs a whole B for products with `b_ready`: a unit is a panel. Arguments: addresses of B and
    of the panels, K, N, and B's strides along them."""
    sizes = {"BLOCK": K_BLOCK[dtype], "LANES": LANES, "WIDTH": _VECTORS[dtype] * LANES, "ITEM": _ITEM[dtype]}
    return _PACK.format(**sizes).replace("_T(", f"_{dtype}(")


def panels_of(n, dtype="f32"):
    """Number of panels of a B with N columns, and their width."""
    width = _VECTORS[dtype] * LANES
    return (n + width - 1) // width, width


def source(dtype="f32"):
    """Canonical source of the kernel for one dtype."""
    item, vectors, block = _ITEM[dtype], _VECTORS[dtype], K_BLOCK[dtype]
    width = vectors * LANES
    columns = _columns_top(width)
    lower = f"left <= {2 * _LOW}" if _TALL > 2 * _LOW else f"left <= {_LOW} or left == {2 * _LOW}"
    sizes = {
        "KEPT_A_BYTES": _KEPT_A_BYTES, "SHORT_ROW_BYTES": _SHORT_ROW_BYTES,
        "TALL": _TALL, "LOW": _LOW, "LOWER": lower, "WIDTH": width,
        "ROW_WIDTH": _SHAPES[dtype]["row"][1] * LANES,
        "LANES": LANES, "ITEM": item, "BLOCK": block, "KEPT_K": _KEPT_K, "IN_PLACE_ROWS": _IN_PLACE_ROWS,
        "IN_PLACE_BYTES": IN_PLACE_BYTES, "RECORD": _RECORD, "CORNER": (_TALL + LANES) * width * item,
        "ROWS_TOP": _rows_top(), "COLUMNS_TOP": columns, "A_TOP": block + LANES,
    }  # fmt: skip
    shapes = _SHAPES[dtype]
    wide = _WIDE.lstrip("\n").format(WIDE_ROWS=shapes["wide"][0], **sizes) if "wide" in shapes else ""
    half = _HALF.format(**sizes) if "half" in shapes else ""
    return _SOURCE.format(WIDE=wide, HALF=half, **sizes, **INDEX).replace("_T(", f"_{dtype}(")
