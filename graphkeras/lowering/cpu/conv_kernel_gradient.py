"""Kernel gradients of convolutions: dw[tap, c, o] = sum over places p of x[p at tap, c] * ct[p, o].

The rows of the product are (tap, channel), its columns the filters, and the sum runs over those places at which the tap meets the
array: in `gather_strip` the segments are rows of the image. Places are cut into blocks and blocks into chunks. A unit adds its chunk
up, block after block, for some panels of filters; a second kernel adds the chunks and hands the result to what is fused behind. For a
depthwise convolution vectors run over channels, and each tap's sum goes over places of one class, class after class.

Numbers: within a block every element is a sequential chain of fma from 0 over places (of one class, where taps have few channels:
then classes are added in order), blocks are added in order within a chunk, and chunks in order. Blocks and chunks depend on the
shapes of x and ct alone.
"""

import numpy as np

from graphkeras.ir.dims import size
from graphkeras.lowering.cpu.conv_geometry import DEPTHWISE, GEOMETRY, ITEM, Walk, computed, geometry, strips_of
from graphkeras.lowering.cpu.conv_plan import depthwise_gradient_plan, gradient_cut, gradient_plan, room
from graphkeras.lowering.cpu.conv_text import (
    FETCH_CELLS,
    MADE,
    RECORD,
    all_runs,
    all_strips,
    call,
    finished,
    indented,
    make_cells,
    operand,
    parameters,
    result,
)
from graphkeras.lowering.cpu.kernel import Address, Computed, LoweredKernel, Temporary
from graphkeras.lowering.cpu.source import short_dtype
from graphkeras.schedule.groups import Group

_CHUNKS = 16
_CHUNK_BYTES = 4 * 1024 * 1024  # partial results of all chunks
_PANELS = 4  # of a unit
_JOIN_ROWS = 8

ARGUMENTS = (
    "x", "ct", "partial", "plan", "per_turn", "blocks", "whole", "x_turn", "places", "blocks_per_chunk", "chunks", "all_panels",
    "panels_per_unit", "per_group", "deep", "wide", "filters", "depth", "b_step", "step", "ct_bytes", "ct_prologue",
    "ct_prologue_args", *MADE,
)  # fmt: skip
_GRADIENT = (
    "def kernel(args, lo, hi, scratch):\n"
    + parameters(1, ARGUMENTS)
    + """\
    record = ptr_i64(scratch)
    packed = scratch + RECORD
    cells = packed + ct_bytes
    after = cells + room * channels * ITEM
    zero = const_T(0.0)
    for unit in range(lo, hi):
        chunk = unit % chunks
        q0 = unit // chunks * panels_per_unit
        q1 = min(all_panels, q0 + panels_per_unit)
        goal = partial + (chunk * all_panels + q0) * depth * WIDTH * ITEM
        made = 0
        made_end = 0
        first_block = chunk * blocks_per_chunk
        end_block = min(blocks, first_block + blocks_per_chunk)
        to = ptr_T(goal)
        for e in range(0, (q1 - q0) * depth * WIDTH, LANES):
            store_T(to, e, zero)
        for number in range(first_block, end_block):
            turn = number // per_turn
            block = ptr_i64(plan + (number - turn * per_turn + (per_turn if turn >= whole else 0)) * BLOCK)
"""
    + indented(make_cells("end_block - 1"), 3)
    + """\
            origin = x + turn * x_turn + block[0]
            first = turn * places + block[1]
            for q in range(q0, q1):
                group = q // per_group
                j0 = (q - group * per_group) * WIDTH
                j1 = min(wide, j0 + WIDTH)
                b_at = ct + (first * filters + group * wide + j0) * ITEM
                if ct_prologue != 0:
"""
    + indented(call("ct_prologue", "packed", "WIDTH", "first", "first + block[2]", "group * wide + j0", "group * wide + j1"), 5)
    + """\
                    b_at = packed
                elif b_step != filters:
                    source = ptr_T(b_at)
                    to = ptr_T(packed)
                    for p in range(block[2]):
                        for j in range(0, WIDTH, LANES):
                            n = min(LANES, wide - j0 - j)
                            store_T(to, p * WIDTH + j, loadn_T(source, p * filters + j, n) if n > 0 else zero)
                    b_at = packed
                panel = ptr_T(b_at)
                shift = origin + group * deep * ITEM
                place = goal + (q - q0) * depth * WIDTH * ITEM
STRIPS"""
)

_TAP_ARGUMENTS = (
    "x", "ct", "partial", "plan", "per_turn", "blocks", "whole", "x_turn", "places", "blocks_per_chunk", "filters", "depth",
    "ct_bytes", "ct_prologue", "ct_prologue_args", *MADE,
)  # fmt: skip
_TAPS = (
    "def kernel(args, lo, hi, scratch):\n"
    + parameters(1, _TAP_ARGUMENTS)
    + """\
    record = ptr_i64(scratch)
    packed = scratch + RECORD
    cells = packed + ct_bytes
    after = cells + room * channels * ITEM
    zero = const_T(0.0)
    for chunk in range(lo, hi):
        goal = partial + chunk * depth * filters * ITEM
        made = 0
        made_end = 0
        first_block = chunk * blocks_per_chunk
        end_block = min(blocks, first_block + blocks_per_chunk)
        to = ptr_T(goal)
        for e in range(0, depth * filters, LANES):
            storen_T(to, e, zero, min(LANES, depth * filters - e))
        for number in range(first_block, end_block):
            turn = number // per_turn
            block = ptr_i64(plan + (number - turn * per_turn + (per_turn if turn >= whole else 0)) * BLOCK)
"""
    + indented(make_cells("end_block - 1"), 3)
    + """\
            origin = x + turn * x_turn + block[0]
            first = turn * places + block[1]
            b_at = ct + first * filters * ITEM
            if ct_prologue != 0:
"""
    + indented(call("ct_prologue", "packed", "filters", "first", "first + block[2]", 0, "filters"), 4)
    + """\
                b_at = packed
            else:
                for at in range(0, block[2] * filters * ITEM, 64):
                    prefetch(b_at + at)
"""
    + indented(FETCH_CELLS, 3)
    + "RUNS"
)

JOIN_ARGUMENTS = ("partial", "y", "epilogue", "epilogue_args", "lines", "filters", "groups", "width", "chunks")
_JOIN = (
    "def kernel(args, lo, hi, scratch):\n"
    + parameters(1, JOIN_ARGUMENTS)
    + """\
    wide = filters // groups
    per_group = max(1, (wide + width - 1) // width)
    all_panels = groups * per_group
    record = ptr_i64(scratch)
    p = ptr_T(partial)
    ld = filters + LANES
    after = scratch + RECORD + ROWS * ld * ITEM
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
"""
    + indented(call("epilogue", "scratch + RECORD", "ld", "i0", "i1", 0, "filters"), 3)
)


def lower_kernel_gradient(group: Group, name: str) -> list[LoweredKernel]:
    """The kernel that adds up chunks, and the one that joins them."""
    node = group.space.tiled
    dtype = short_dtype(node.specs[0].dtype)
    words = dict(zip(GEOMETRY, geometry(node)))
    deep, wide = words["channels"] // words["groups"], words["filters"] // words["groups"]
    strips = strips_of(dtype, wide, size(node.specs[0].shape[:-1]))

    def number(function):
        return computed(function, dtype, group, strips)

    partial = Temporary(name + "_chunks", number(_partial_bytes))
    x, x_prologue, x_prologue_args = operand(group, 0, name + "_x")
    ct, ct_prologue, ct_prologue_args = operand(group, 1, name + "_ct")
    args = (
        x, ct, Address(partial),
        *map(number, (_plan, _per_turn, _blocks, _whole, _x_turn, _turn_places, _blocks_per_chunk, _chunks, _all_panels)),
        *map(number, (_panels_per_unit, _panels_per_group)), deep, wide, words["filters"],
        *map(number, (_depth, _b_step, _step, _ct_bytes)), *ct_prologue_args, *x_prologue_args, number(_room), words["channels"],
        number(_turn_cells),
    )  # fmt: skip
    calls = indented(all_strips(strips, "some[5], shift, step, panel, b_step, place, 1"), 4)
    text = finished(_GRADIENT, dtype, STRIPS=calls, WIDTH=strips.width)
    main = LoweredKernel(
        name, group.kind, text, args, number(_units), group, scratch=number(_scratch), flops=group.flops, bytes=group.bytes
    )  # fmt: skip
    return [*x_prologue, *ct_prologue, main, *_join(group, name, partial, words["groups"], strips.width, number(_chunks))]


def lower_depthwise_kernel_gradient(group: Group, name: str) -> list[LoweredKernel]:
    """The kernel that adds up chunks, and the one that joins them."""
    node = group.space.tiled
    dtype = short_dtype(node.specs[0].dtype)
    filters = node.specs[0].shape[-1]

    def number(function):
        return computed(function, dtype, group, DEPTHWISE)

    partial = Temporary(name + "_chunks", number(_tap_partial_bytes))
    x, x_prologue, x_prologue_args = operand(group, 0, name + "_x")
    ct, ct_prologue, ct_prologue_args = operand(group, 1, name + "_ct")
    args = (
        x, ct, Address(partial),
        *map(number, (_tap_plan, _per_turn, _blocks, _whole, _x_turn, _turn_places, _tap_blocks_per_chunk)), filters,
        *map(number, (_taps, _tap_ct_bytes)), *ct_prologue_args, *x_prologue_args, number(_room), filters, number(_turn_cells),
    )  # fmt: skip
    calls = indented(all_runs("gather_taps", "ptr_T(origin), ptr_T(b_at), to, filters"), 3)
    main = LoweredKernel(
        name, group.kind, finished(_TAPS, dtype, RUNS=calls), args, number(_tap_chunks), group, scratch=number(_tap_scratch),
        flops=4 * group.flops, bytes=group.bytes,
    )  # fmt: skip
    return [*x_prologue, *ct_prologue, main, *_join(group, name, partial, 1, filters, number(_tap_chunks))]


def _join(group: Group, name: str, partial: Temporary, groups, width, chunks: Computed) -> list[LoweredKernel]:
    """The kernel that adds chunks, which lie in panels of `width` filters of one of the `groups`, in order; after the one it hands its
    rows to."""
    node = group.space.tiled
    dtype = short_dtype(node.specs[0].dtype)
    *window, per_group, filters = node.specs[0].shape
    lines = size(window) * per_group
    y, tile, tile_args, _ = result(group, name)
    args = (Address(partial), y, *tile_args, lines, filters, groups, width, chunks)
    scratch = RECORD + ITEM[dtype] * _JOIN_ROWS * (filters + 64)
    kernel = LoweredKernel(
        name + "_join", group.kind, finished(_JOIN, dtype, ROWS=_JOIN_ROWS), args, (lines + _JOIN_ROWS - 1) // _JOIN_ROWS, group,
        scratch=scratch, bytes=4 * node.specs[0].nbytes,
    )  # fmt: skip
    return [*tile, kernel]


# ---- what follows from a walk ---------------------------------------------------------------------------------------


def _per_turn(walk: Walk) -> int:
    return max(1, gradient_cut(walk).blocks(walk))


def _blocks(walk: Walk) -> int:
    chosen = gradient_cut(walk)
    return chosen.blocks(walk) * chosen.turns(walk)


def _whole(walk: Walk) -> int:
    return walk.batch // gradient_cut(walk).images


def _x_turn(walk: Walk) -> int:
    """Bytes from one turn's first image to the next one's."""
    return _turn_cells(walk) * walk.cell_bytes


def _turn_cells(walk: Walk) -> int:
    return gradient_cut(walk).images * walk.cells


def _room(walk: Walk) -> int:
    return room(walk, gradient_cut(walk))


def _turn_places(walk: Walk) -> int:
    return gradient_cut(walk).images * walk.rows * walk.out_w


def _depth(walk: Walk) -> int:
    return walk.depth


def _taps(walk: Walk) -> int:
    return walk.taps


def _step(walk: Walk) -> int:
    """Elements from a place's cell to the next place's."""
    return walk.mul_w * walk.channels


def _all_panels(walk: Walk) -> int:
    return walk.panels


def _panels_per_group(walk: Walk) -> int:
    return walk.panels // walk.groups


def _panels_per_unit(walk: Walk) -> int:
    return min(walk.panels, _PANELS)


def _b_step(walk: Walk) -> int:
    """ct is copied where panels are ragged, and where its rows would fall on the same sets of the cache for many strips."""
    packed = walk.made_ct or walk.wide % walk.width or (walk.depth > 64 and walk.filters * ITEM[walk.dtype] % 256 == 0)
    return walk.width if packed else walk.filters


def _plan(walk: Walk) -> np.ndarray:
    return gradient_plan(walk, walk.width, _b_step(walk), walk.deep)


def _tap_plan(walk: Walk) -> np.ndarray:
    return depthwise_gradient_plan(walk)


def _chunked(walk: Walk, result_bytes) -> int:
    """Blocks of a chunk: as few as memory for their partial results allows."""
    chunks = max(1, min(_CHUNKS, _CHUNK_BYTES // max(1, result_bytes), _blocks(walk)))
    return max(1, -(-_blocks(walk) // chunks))


def _result_bytes(walk: Walk) -> int:
    return walk.panels * walk.depth * walk.width * ITEM[walk.dtype]


def _tap_result_bytes(walk: Walk) -> int:
    return walk.taps * walk.channels * ITEM[walk.dtype]


def _blocks_per_chunk(walk: Walk) -> int:
    return _chunked(walk, _result_bytes(walk))


def _tap_blocks_per_chunk(walk: Walk) -> int:
    return _chunked(walk, _tap_result_bytes(walk))


def _chunks(walk: Walk) -> int:
    return max(1, -(-_blocks(walk) // _blocks_per_chunk(walk)))


def _tap_chunks(walk: Walk) -> int:
    return max(1, -(-_blocks(walk) // _tap_blocks_per_chunk(walk)))


def _units(walk: Walk) -> int:
    return _chunks(walk) * -(-walk.panels // _panels_per_unit(walk))


def _block_places(walk: Walk) -> int:
    chosen = gradient_cut(walk)
    return chosen.images * chosen.rows * chosen.piece


def _ct_bytes(walk: Walk) -> int:
    return _block_places(walk) * walk.width * ITEM[walk.dtype]


def _tap_ct_bytes(walk: Walk) -> int:
    return _block_places(walk) * walk.filters * ITEM[walk.dtype] * walk.made_ct


def _scratch(walk: Walk) -> int:
    return RECORD + _ct_bytes(walk) + _room(walk) * walk.cell_bytes


def _tap_scratch(walk: Walk) -> int:
    return RECORD + _tap_ct_bytes(walk) + _room(walk) * walk.cell_bytes


def _partial_bytes(walk: Walk) -> int:
    return _chunks(walk) * _result_bytes(walk)


def _tap_partial_bytes(walk: Walk) -> int:
    return _tap_chunks(walk) * _tap_result_bytes(walk)
