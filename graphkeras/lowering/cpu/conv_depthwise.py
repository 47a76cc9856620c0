"""Depthwise convolutions (every channel a group of its own) and their gradients: vectors run over channels, nothing is packed.

Numbers: as for other convolutions, a sequential chain of fma from 0 over taps; kernel gradients add places within a block, blocks
within a chunk and chunks in order (`conv_kernel_gradient`).
"""

from graphkeras.ir.node import Node, Value
from graphkeras.lowering.cpu.contraction import tile_kernel
from graphkeras.lowering.cpu.conv_geometry import (
    BLOCKS,
    FINISH,
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
from graphkeras.lowering.cpu.conv_kernel_gradient import BLOCK, CHUNKS, block_rows, blocks_per_chunk, chunk_count, join
from graphkeras.lowering.cpu.kernel import Address, BlockAddress, KernelAddress, LoweredKernel, Temporary
from graphkeras.lowering.cpu.simd_types import strip_shapes
from graphkeras.lowering.cpu.source import short_dtype
from graphkeras.lowering.cpu.target import LANES
from graphkeras.schedule.groups import Group

_TAP_GROUP = 5  # taps whose sums are held at once, in two vectors of channels


def is_depthwise(node: Node) -> bool:
    """Whether every group of a convolution, or of one of its gradients, has one channel and one filter."""
    per_group, filters = node.specs[0].shape[-2:] if node.op == "conv_kernel_gradient" else node.inputs[1].shape[-2:]
    return node.attrs["groups"] == filters and per_group == 1


def _channels(body) -> str:
    """`body(vectors, lanes)` for pairs of vectors of channels, then for what remains, one masked vector after the other."""
    return (
        "c = 0\nwhile c + 2 * LANES <= channels:\n"
        + indented(body(2, None), 1)
        + "    c += 2 * LANES\nwhile c < channels:\n    n = min(LANES, channels - c)\n"
        + indented(body(1, "n"), 1)
        + "    c += LANES\n"
    )


def _load(pointer, place, lanes):
    return f"load_T({pointer}, {place})" if lanes is None else f"loadn_T({pointer}, {place}, {lanes})"


def _store(pointer, place, value, lanes):
    return f"store_T({pointer}, {place}, {value})" if lanes is None else f"storen_T({pointer}, {place}, {value}, {lanes})"


def _places(dtype) -> str:
    """The channels of a strip of places."""
    rows = range(strip_shapes(dtype, LANES)["tall"][0])

    def body(vectors, lanes):
        cells = [(r, v) for r in rows for v in range(vectors)]
        text = "".join(f"s{r}_{v} = zero\n" for r, v in cells)
        text += "for s in range(parts):\n    o = segments[s] + c\n    k = weights[s] + c\n"
        text += "".join(f"    f{v} = {_load('pw', f'k + {v} * LANES', lanes)}\n" for v in range(vectors))
        text += "".join(f"    s{r}_{v} = fma({_load(f'p{r}', f'o + {v} * LANES', lanes)}, f{v}, s{r}_{v})\n" for r, v in cells)
        return text + "".join(_store(f"y{r}", f"c + {v} * LANES", f"s{r}_{v}", lanes) + "\n" for r, v in cells)

    text = "".join(f"p{r} = ptr_T(table[2 * i + {r}])\ny{r} = ptr_T(table[2 * i + TALL + {r}])\n" for r in rows)
    return text + _channels(body)


ARGUMENTS = ("x", "w", "y", "epilogue", "epilogue_args", "rows", "piece")


def _conv(dtype) -> str:
    return (
        "def kernel(args, lo, hi, scratch):\n"
        + "".join(f"    {name} = args[{i}]\n" for i, name in enumerate(ARGUMENTS, 1))
        + indented(read_words(1 + len(ARGUMENTS)) + BLOCKS, 1)
        + """\
    pw = ptr_T(w)
    record = ptr_i64(scratch)
    segments = ptr_i64(scratch + RECORD)
    weights = ptr_i64(scratch + RECORD + k_d * k_h * k_w * 8)
    bases = ptr_i64(scratch + RECORD + k_d * k_h * k_w * 16)
    table = ptr_i64(scratch + RECORD + (2 * k_d * k_h * k_w + rows) * 8)
    dump = scratch + RECORD + (2 * k_d * k_h * k_w + rows + (rows * piece + TALL) * 2) * 8
    sums = dump + (channels + LANES) * ITEM
    window = sums + rows * piece * (channels + LANES) * ITEM
    j0 = 0
    j1 = channels
    for unit in range(lo, hi):
"""
        + indented(UNIT, 2)
        + """\
        direct = 1
        ld = filters
        target = y + (g0 * out_w + w0) * filters * ITEM
        if epilogue != 0:
            ld = channels + LANES
            target = sums
"""
        + indented(LOCATE, 2)
        + indented(PHASES, 2)
        + indented(PLACE_TABLE + "parts = 0\n" + TAPS, 5)
        + indented(
            """\
segments[parts] = td * step_d + th * step_h + tw * channels
weights[parts] = ((kd * k_h + kh) * k_w + kw) * channels
parts += 1
""",
            11,
        )
        + indented("for i in range(0, full, TALL):\n" + indented(_places(dtype), 1), 5)
        + indented(FINISH, 2)
    )


def _block_rows(walk: Walk) -> int:
    return walk.block_rows()


def _units(walk: Walk) -> int:
    return -(-walk.rows // walk.block_rows()) * -(-walk.out_w // walk.piece)


def _scratch(walk: Walk) -> int:
    rows = walk.block_rows()
    words = 2 * walk.taps + rows + 2 * (rows * walk.piece + 4 * walk.tall)
    elements = (rows * walk.piece + 1) * (walk.channels + LANES) + walk.window_elements(rows)
    return RECORD + 8 * words + ITEM[walk.dtype] * elements


def lower_depthwise(group: Group, name: str) -> list[LoweredKernel]:
    """The kernels of a group around a depthwise convolution or its input gradient."""
    node, resolve = group.space.tiled, group.space.resolve
    dtype = short_dtype(node.specs[0].dtype)
    (x, x_at), (w, w_at) = map(resolve, node.inputs)
    kernels, y, tile, tile_args = [], Address.of(Value(node)), 0, 0
    if len(group.nodes) > 1:
        epilogue = tile_kernel(group, name + "_tile")
        kernels.append(epilogue)
        y, tile, tile_args = 0, KernelAddress(epilogue), BlockAddress(epilogue)
    blocks = [computed(f, dtype, node) for f in (_block_rows, piece_of)]
    args = (Address.of(x, x_at.offset), Address.of(w, w_at.offset), y, tile, tile_args, *blocks, *geometry(node))
    main = LoweredKernel(
        name, group.kind, finished(_conv(dtype), dtype), args, computed(_units, dtype, node), group,
        scratch=computed(_scratch, dtype, node), flops=4 * group.flops, bytes=group.bytes,
    )  # fmt: skip
    return [*kernels, main]


def _tap_sums(dtype) -> str:
    """Sums over a block for some taps and all channels; taps beyond the last repeat it and are not stored."""
    taps = range(_TAP_GROUP)

    def body(vectors, lanes):
        cells = [(t, v) for t in taps for v in range(vectors)]
        text = "".join(f"s{t}_{v} = zero\n" for t, v in cells)
        text += "for g in range(g1 - g0):\n    py = ptr_T(ct + ((g0 + g) * out_w + w0) * channels * ITEM)\n"
        text += "".join(f"    p{t} = ptr_T(bases[g] + column + segments[min(tap + {t}, all_taps - 1)] * ITEM)\n" for t in taps)
        text += "    o = c\n    e = c\n    for p in range(w1 - w0):\n"
        text += "".join(f"        y{v} = {_load('py', f'e + {v} * LANES', lanes)}\n" for v in range(vectors))
        text += "".join(f"        s{t}_{v} = fma({_load(f'p{t}', f'o + {v} * LANES', lanes)}, y{v}, s{t}_{v})\n" for t, v in cells)
        text += "        o += mul_w * channels\n        e += channels\n"
        for t in taps:
            text += f"if tap + {t} < all_taps:\n"
            for v in range(vectors):
                place = f"(tap + {t}) * channels + c + {v} * LANES"
                text += f"    if block > first_block:\n        s{t}_{v} = add({_load('total', place, lanes)}, s{t}_{v})\n"
                text += "    " + _store("total", place, f"s{t}_{v}", lanes) + "\n"
        return text

    return _channels(body)


GRADIENT_ARGUMENTS = ("x", "ct", "partial", "rows", "piece", "blocks_per_chunk")


def _gradient(dtype) -> str:
    return (
        "def kernel(args, lo, hi, scratch):\n"
        + "".join(f"    {name} = args[{i}]\n" for i, name in enumerate(GRADIENT_ARGUMENTS, 1))
        + indented(read_words(1 + len(GRADIENT_ARGUMENTS)) + BLOCKS + CHUNKS, 1)
        + """\
    all_taps = k_d * k_h * k_w
    segments = ptr_i64(scratch)
    bases = ptr_i64(scratch + all_taps * 8)
    window = scratch + (all_taps + rows) * 8
    for chunk in range(lo, hi):
        total = ptr_T(partial + chunk * all_taps * channels * ITEM)
        first_block = chunk * blocks_per_chunk
        end_block = min(blocks, first_block + blocks_per_chunk)
        if first_block >= end_block:
            for e in range(0, all_taps * channels, LANES):
                storen_T(total, e, zero, min(LANES, all_taps * channels - e))
        for block in range(first_block, end_block):
"""
        + indented(BLOCK + LOCATE, 3)
        + "            column = (w0 * mul_w + off_w) // div_w * channels * ITEM\n            parts = 0\n"
        + indented(PHASES, 3)
        + indented(TAPS, 6)
        + indented("segments[parts] = td * step_d + th * step_h + tw * channels\nparts += 1\n", 12)
        + f"            for tap in range(0, all_taps, {_TAP_GROUP}):\n"
        + indented(_tap_sums(dtype), 4)
    )


def _partial_bytes(walk: Walk) -> int:
    return chunk_count(walk) * walk.taps * walk.channels * ITEM[walk.dtype]


def _gradient_scratch(walk: Walk) -> int:
    rows = block_rows(walk)
    return 8 * (walk.taps + rows) + ITEM[walk.dtype] * walk.window_elements(rows)


def lower_depthwise_kernel_gradient(group: Group, name: str) -> list[LoweredKernel]:
    """The kernel that adds up chunks, and the one that joins them."""
    node, resolve = group.space.tiled, group.space.resolve
    dtype = short_dtype(node.specs[0].dtype)
    (x, x_at), (ct, ct_at) = map(resolve, node.inputs)
    partial = Temporary(name + "_chunks", computed(_partial_bytes, dtype, node))
    blocks = [computed(f, dtype, node) for f in (block_rows, piece_of, blocks_per_chunk)]
    chunks = computed(chunk_count, dtype, node)
    main = LoweredKernel(
        name, group.kind, finished(_gradient(dtype), dtype),
        (Address.of(x, x_at.offset), Address.of(ct, ct_at.offset), Address(partial), *blocks, *geometry(node)),
        chunks, group, scratch=computed(_gradient_scratch, dtype, node), flops=4 * group.flops, bytes=group.bytes,
    )  # fmt: skip
    return [main, *join(group, name, partial, node.specs[0].shape[-1], chunks)]
