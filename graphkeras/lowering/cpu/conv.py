"""Convolutions and their input gradients: one kernel for all of them, which multiplies strips of places by panels of weights.

Two kernels run one after the other. The first copies the weights into panels as wide as a strip, in the order in which taps are
read. The second goes through lists that are made when sizes are known (`conv_plan`): the array is read in place, there is neither
im2col nor padding. A depthwise convolution (every channel a group of its own) needs no panels: its vectors run over channels.

Numbers: every element of the result is one sequential chain of fma from 0 over the taps that meet the array, and their channels.
The bits depend on the shapes of x and w alone: not on threads or fusion.
"""

import numpy as np

from graphkeras.ir.dims import size
from graphkeras.ir.node import Node
from graphkeras.lowering.cpu.conv_geometry import DEPTHWISE, GEOMETRY, ITEM, Walk, computed, geometry, strips_of
from graphkeras.lowering.cpu.conv_plan import block_cells, convolution_plan, cut, depthwise_plan, room, tap_order
from graphkeras.lowering.cpu.conv_text import (
    FETCH_CELLS,
    FINISH,
    MADE,
    RECORD,
    all_runs,
    all_strips,
    finished,
    indented,
    make_cells,
    operand,
    parameters,
    result,
)
from graphkeras.lowering.cpu.kernel import Address, LoweredKernel, Temporary
from graphkeras.lowering.cpu.sides import SLOT_BYTES
from graphkeras.lowering.cpu.source import short_dtype
from graphkeras.lowering.cpu.target import LANES
from graphkeras.schedule.groups import Group

_PANEL_BYTES = 320 * 1024  # panels that a block of places is multiplied by: they stay in the second cache

_PANELS = (
    "def kernel(args, lo, hi, scratch):\n"
    + parameters(1, ("w", "panels", "order", "taps", "deep", "wide", "per_group", "w_tap", "w_group", "w_row", "w_column"))
    + """\
    tap_of = ptr_i64(order)
    zero = const_T(0.0)
    for panel in range(lo, hi):
        group = panel // per_group
        j0 = (panel - group * per_group) * WIDTH
        columns = min(WIDTH, wide - j0)
        to = ptr_T(panels + panel * taps * deep * WIDTH * ITEM)
        for t in range(taps):
            source = ptr_T(w + (tap_of[t] * w_tap + group * w_group + j0 * w_column) * ITEM)
            at = t * deep * WIDTH
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
"""
)

ARGUMENTS = (
    "x", "panels", "y", "epilogue", "epilogue_args", "plan", "per_block", "per_turn", "whole", "x_turn", "places", "all_panels",
    "panels_per_block", "per_group", "deep", "wide", "filters", "depth", "ld", "sums_bytes", "copied_bytes", *MADE,
)  # fmt: skip
_CONV = (
    "def kernel(args, lo, hi, scratch):\n"
    + parameters(1, ARGUMENTS)
    + """\
    record = ptr_i64(scratch)
    sums = scratch + RECORD
    copied = sums + sums_bytes
    cells = copied + copied_bytes
    after = cells + room * channels * ITEM
    made = 0
    made_end = 0
    direct = 1 if epilogue == 0 and wide == per_group * WIDTH else 0
    for unit in range(lo, hi):
        columns = unit // per_block
        turn = (unit - columns * per_block) // per_turn
        block = ptr_i64(plan + (unit - columns * per_block - turn * per_turn + (per_turn if turn >= whole else 0)) * BLOCK)
"""
    + indented(make_cells("min(per_block, hi - columns * per_block) - 1"), 2)
    + """\
        origin = x + turn * x_turn + block[0]
        first = turn * places + block[1]
        count = block[2]
        q0 = columns * panels_per_block
        q1 = min(all_panels, q0 + panels_per_block)
        j0 = q0 // per_group * wide + (q0 - q0 // per_group * per_group) * WIDTH
        last = (q1 - 1) // per_group
        j1 = last * wide + min(wide, (q1 - last * per_group) * WIDTH)
        target = y + (first * filters + j0) * ITEM if direct != 0 else sums
        copied_group = -1
        for q in range(q0, q1):
            group = q // per_group
            shift = origin + group * deep * ITEM
            if copied_bytes != 0:
                shift = copied + block[0] - block[5] * deep * ITEM
                if group != copied_group:
                    copied_group = group
                    source = ptr_T(x + ((turn * turn_cells + block[5]) * channels + group * deep) * ITEM)
                    to = ptr_T(copied)
                    for c in range(block[6]):
                        for j in range(0, deep, LANES):
                            store_T(to, c * deep + j, load_T(source, c * channels + j))
            place = target + (group * wide + (q - group * per_group) * WIDTH - j0) * ITEM
            panel = ptr_T(panels + q * depth * WIDTH * ITEM)
STRIPS"""
    + indented(FINISH, 2)
)

_LANES_ARGUMENTS = (
    "x", "w", "y", "epilogue", "epilogue_args", "plan", "per_turn", "whole", "x_turn", "places", "filters", "ld", "sums_bytes",
    *MADE,
)  # fmt: skip
_DEPTHWISE = (
    "def kernel(args, lo, hi, scratch):\n"
    + parameters(1, _LANES_ARGUMENTS)
    + """\
    record = ptr_i64(scratch)
    sums = scratch + RECORD
    cells = sums + sums_bytes
    after = cells + room * channels * ITEM
    made = 0
    made_end = 0
    direct = 1 if epilogue == 0 else 0
    j0 = 0
    j1 = filters
    for unit in range(lo, hi):
        turn = unit // per_turn
        block = ptr_i64(plan + (unit - turn * per_turn + (per_turn if turn >= whole else 0)) * BLOCK)
"""
    + indented(make_cells("hi - 1"), 2)
    + """\
        origin = x + turn * x_turn + block[0]
        first = turn * places + block[1]
        count = block[2]
        target = y + first * filters * ITEM if direct != 0 else sums
"""
    + indented(FETCH_CELLS, 2)
    + "RUNS"
    + indented(FINISH, 2)
)


def is_depthwise(node: Node) -> bool:
    """Whether every group of a convolution, or of one of its gradients, has one channel and one filter."""
    per_group, filters = node.specs[0].shape[-2:] if node.op == "conv_kernel_gradient" else node.inputs[1].shape[-2:]
    return node.attrs["groups"] == filters and per_group == 1


def lower_convolution(group: Group, name: str) -> list[LoweredKernel]:
    """The kernels of a group around a convolution or an input gradient."""
    node = group.space.tiled
    dtype = short_dtype(node.specs[0].dtype)
    words = dict(zip(GEOMETRY, geometry(node)))
    groups = words["groups"]
    deep, wide = words["channels"] // groups, words["filters"] // groups
    strips = strips_of(dtype, wide)

    def number(function):
        return computed(function, dtype, group, strips)

    *_, per_group, filters = node.inputs[1].shape
    if node.op == "conv":
        strides = (per_group * filters, filters // groups, filters, 1)
    else:
        strides = (per_group * filters, filters // groups, 1, filters)
    taps = size(node.inputs[1].shape[:-2])
    panels_per_group = number(_panels_per_group)
    panels = Temporary(name + "_weights", number(_panels_bytes))
    w, _, _ = operand(group, 1, name)
    pack_args = w, Address(panels), number(tap_order), taps, deep, wide, panels_per_group, *strides
    pack = LoweredKernel(
        name + "_weights", group.kind, finished(_PANELS, dtype, WIDTH=strips.width), pack_args, number(_all_panels), group,
        bytes=2 * node.inputs[1].spec.nbytes,
    )  # fmt: skip
    x, prologue, prologue_args = operand(group, 0, name + "_x")
    y, tile, tile_args, after = result(group, name)
    args = (
        x, Address(panels), y, *tile_args, *map(number, (_plan, _per_block, _per_turn, _whole, _x_turn)),
        *map(number, (_turn_places, _all_panels, _panels_per_block)), panels_per_group, deep, wide, words["filters"],
        taps * deep, *map(number, (_ld, _sums_bytes, _copied_bytes)), *prologue_args, number(_room), words["channels"],
        number(_turn_cells),
    )  # fmt: skip
    calls = indented(all_strips(strips, "some[5], shift, 1, panel, WIDTH, place, 0"), 3)
    text = finished(_CONV, dtype, STRIPS=calls, WIDTH=strips.width)
    main = LoweredKernel(
        name, group.kind, text, args, number(_units), group, scratch=number(_scratch), flops=group.flops, bytes=group.bytes,
    )  # fmt: skip
    return [pack, *prologue, *tile, main, *after]


def lower_depthwise(group: Group, name: str) -> list[LoweredKernel]:
    """The kernels of a group around a depthwise convolution or its input gradient."""
    node = group.space.tiled
    dtype = short_dtype(node.specs[0].dtype)
    channels = node.specs[0].shape[-1]

    def number(function):
        return computed(function, dtype, group, DEPTHWISE)

    x, prologue, prologue_args = operand(group, 0, name + "_x")
    w, _, _ = operand(group, 1, name)
    y, tile, tile_args, after = result(group, name)
    args = (
        x, w, y, *tile_args, *map(number, (_lanes_plan, _per_turn, _whole, _x_turn, _turn_places)), channels,
        *map(number, (_lanes_ld, _lanes_sums_bytes)), *prologue_args, number(_room), channels, number(_turn_cells),
    )  # fmt: skip
    calls = indented(all_runs("gather_lanes", "ptr_T(origin), ptr_T(target), ptr_T(w), filters"), 2)
    main = LoweredKernel(
        name, group.kind, finished(_DEPTHWISE, dtype, RUNS=calls), args, number(_per_block), group,
        scratch=number(_lanes_scratch), flops=4 * group.flops, bytes=group.bytes,
    )  # fmt: skip
    return [*prologue, *tile, main, *after]


# ---- what follows from a walk ---------------------------------------------------------------------------------------


def _all_panels(walk: Walk) -> int:
    return walk.panels


def _panels_per_group(walk: Walk) -> int:
    return walk.panels // walk.groups


def _panels_bytes(walk: Walk) -> int:
    return walk.panels * walk.depth * walk.width * ITEM[walk.dtype]


def _panels_per_block(walk: Walk) -> int:
    fitting = max(1, _PANEL_BYTES // max(1, walk.depth * walk.width * ITEM[walk.dtype]))
    blocks = max(1, -(-walk.panels // fitting))
    blocks = max(blocks, min(walk.panels, -(-8 // max(1, _per_block(walk)))))  # few places: share the columns
    return max(1, -(-walk.panels // blocks))


def _per_turn(walk: Walk) -> int:
    return max(1, cut(walk).blocks(walk))


def _per_block(walk: Walk) -> int:
    """Units of a block of columns."""
    chosen = cut(walk)
    return chosen.blocks(walk) * chosen.turns(walk)


def _units(walk: Walk) -> int:
    return _per_block(walk) * -(-walk.panels // _panels_per_block(walk))


def _whole(walk: Walk) -> int:
    return walk.batch // cut(walk).images


def _x_turn(walk: Walk) -> int:
    """Bytes from one turn's first image to the next one's."""
    return _turn_cells(walk) * walk.cell_bytes


def _turn_cells(walk: Walk) -> int:
    return cut(walk).images * walk.cells


def _room(walk: Walk) -> int:
    return room(walk, cut(walk))


def _turn_places(walk: Walk) -> int:
    return cut(walk).images * walk.rows * walk.out_w


def _block_places(walk: Walk) -> int:
    chosen = cut(walk)
    return chosen.images * chosen.rows * chosen.piece


def _ld(walk: Walk) -> int:
    """Elements from one place's sums to the next one's: a line more where equal sets of the cache would be hit."""
    if not walk.fused and walk.wide % walk.width == 0:
        return walk.filters
    return (_panels_per_block(walk) + 1) * walk.width


def _plan(walk: Walk) -> np.ndarray:
    return convolution_plan(walk, _ld(walk))


def _sums_bytes(walk: Walk) -> int:
    return _block_places(walk) * (_panels_per_block(walk) + 1) * walk.width * ITEM[walk.dtype]


def _copied_bytes(walk: Walk) -> int:
    """Of a group's channels of the cells that a block reads, in whole lines of the cache."""
    return -(-walk.copied * block_cells(walk, cut(walk)) * walk.deep * ITEM[walk.dtype] // 64) * 64


def _scratch(walk: Walk) -> int:
    inner = _sums_bytes(walk) + _copied_bytes(walk) + _room(walk) * walk.cell_bytes
    return RECORD + inner + _sides_bytes(walk, _ld(walk))


def _lanes_ld(walk: Walk) -> int:
    return walk.filters + LANES if walk.fused else walk.filters


def _lanes_plan(walk: Walk) -> np.ndarray:
    return depthwise_plan(walk, _lanes_ld(walk))


def _lanes_sums_bytes(walk: Walk) -> int:
    return _block_places(walk) * (walk.filters + LANES) * ITEM[walk.dtype]


def _lanes_scratch(walk: Walk) -> int:
    return RECORD + _lanes_sums_bytes(walk) + _room(walk) * walk.cell_bytes + _sides_bytes(walk, _lanes_ld(walk))


def _sides_bytes(walk: Walk, ld) -> int:
    """What the epilogue takes for its sums down columns."""
    return walk.sides * (ld + LANES) * SLOT_BYTES
