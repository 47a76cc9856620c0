"""Kernels of pooling: vectors run over channels, windows are cut at the borders, so nothing is padded.

Forward kernels and the gradient of the mean compute each cell of their result on its own, in the order of the cells they read; the
gradient of the maximum adds each window's share to its first maximum, window after window, within one image and some channels.
Small windows that lie inside (most of them, in practice) are written out.
"""

import numpy as np

from graphkeras.ir.dims import Dim, size
from graphkeras.ir.node import Node, Value
from graphkeras.lowering.cpu.conv_geometry import AXES
from graphkeras.lowering.cpu.conv_text import indented
from graphkeras.lowering.cpu.kernel import Address, LoweredKernel
from graphkeras.lowering.cpu.source import HALF, short_dtype
from graphkeras.schedule.groups import Group

WORDS = (
    "batch", "in_d", "in_h", "in_w", "channels", "out_d", "out_h", "out_w", "k_d", "k_h", "k_w", "s_d", "s_h", "s_w",
    "low_d", "low_h", "low_w",
)  # fmt: skip
CHANNELS = 64
"""Channels of a unit of the maximum's gradient."""
_HELD = 9  # cells of a window that are held in registers


def _three(values, fill=1):
    return [fill] * (3 - len(values)) + list(values)


def _words(node: Node, full, pooled) -> list:
    attrs = node.attrs
    lows = [p[0] for p in _three(attrs["padding"], (0, 0))]
    sizes = (*_three(full[1:-1]), full[-1], *_three(pooled[1:-1]))
    return [full[0], *sizes, *_three(attrs["window"]), *_three(attrs["strides"]), *lows]


def _window(axis) -> str:
    """Cells b .. e of the window at o along an axis."""
    first = f"o_{axis} * s_{axis} - low_{axis}"
    return f"b_{axis} = max(0, {first})\ne_{axis} = min(in_{axis}, {first} + k_{axis})\n"


def _over(body: str, low="b_{}", high="e_{}", index="i_{}", limit="in_{}") -> str:
    """`body` for all cells of a box; `at` is the place of the cell's channel 0."""
    loops = [f"for {index.format(a)} in range({low.format(a)}, {high.format(a)}):\n" for a in AXES]
    d, h, w = (index.format(a) for a in AXES)
    planes, lines, cells = map(limit.format, AXES)
    text = f"at = (((image * {planes} + {d}) * {lines} + {h}) * {cells} + {w}) * channels\n" + body
    for loop in reversed(loops):
        text = loop + indented(text, 1)
    return text


def _vectors(body, end="channels") -> str:
    """`body(lanes)` for vectors of channels c .. end, the last one masked."""
    full = f"while c + LANES <= {end}:\n" + indented(body(None), 1) + "    c += LANES\n"
    return full + f"if c < {end}:\n    n = {end} - c\n" + indented(body("n"), 1)


def _load(pointer, place, lanes):
    return f"load_T({pointer}, {place})" if lanes is None else f"loadn_T({pointer}, {place}, {lanes})"


def _store(pointer, place, value, lanes):
    return f"store_T({pointer}, {place}, {value})\n" if lanes is None else f"storen_T({pointer}, {place}, {value}, {lanes})\n"


def _maximum(lanes) -> str:
    first = "(((image * in_d + b_d) * in_h + b_h) * in_w + b_w) * channels + c"
    return f"m = {_load('x', first, lanes)}\n" + _over(f"m = max(m, {_load('x', 'at + c', lanes)})\n")


_FIRST = "hit = and_(or_(eq(v, m), ne(v, v)), fresh)\nfresh = and_(fresh, not_(hit))\n"
"""Whether a cell is the first maximum: where a NaN is the maximum, the first NaN."""


def _max_pool(lanes):
    return _maximum(lanes) + _store("y", "to + c", "m", lanes)


def _max_pick(lanes):
    cell = f"v = {_load('x', 'at + c', lanes)}\n{_FIRST}t = select(hit, {_load('z', 'at + c', lanes)}, t)\n"
    return _maximum(lanes) + "fresh = yes\nt = zero\n" + _over(cell) + _store("y", "to + c", "t", lanes)


def _average_pool(lanes):
    total = "t = zero\n" + _over(f"t = add(t, {_load('x', 'at + c', lanes)})\n")
    return total + _store("y", "to + c", "div(t, const_C((e_d - b_d) * (e_h - b_h) * (e_w - b_w)))", lanes)


def _max_gradient(lanes):
    # What a cell has received is gone, so later maxima of the window get nothing.
    share = f"add({_load('y', 'at + c', lanes)}, select(hit, g, zero))"
    cell = f"v = {_load('x', 'at + c', lanes)}\nhit = or_(eq(v, m), ne(v, v))\n" + _store("y", "at + c", share, lanes)
    return _maximum(lanes) + f"g = {_load('z', 'to + c', lanes)}\n" + _over(cell + "g = select(hit, zero, g)\n")


def _average_gradient(lanes):
    count = " * ".join(f"(min(in_{a}, o_{a} * s_{a} - low_{a} + k_{a}) - max(0, o_{a} * s_{a} - low_{a}))" for a in AXES)
    cell = f"t = add(t, div({_load('x', 'at + c', lanes)}, const_C({count})))\n"
    return "t = zero\n" + _over(cell, index="o_{}", limit="out_{}") + _store("y", "to + c", "t", lanes)


def _places(window) -> str:
    """Places at0, at1, ... of the cells of a window that lies inside."""
    text = "line = in_w * channels\nat = ((image * in_d + o_d * s_d) * in_h + o_h * s_h) * line + o_w * s_w * channels\n"
    for number, (d, h, w) in enumerate(np.ndindex(*window)):
        text += f"at{number} = at + ({d} * in_h + {h}) * line + {w} * channels\n"
    return text


def _cells(window, lanes) -> str:
    """All cells of a window in vectors v0, v1, ..."""
    return "".join(f"v{k} = {_load('x', f'at{k} + c', lanes)}\n" for k in range(int(np.prod(window))))


def _held(window, lanes) -> str:
    """All cells of a window, and their maximum."""
    maxima = "".join(f"m = max(m, v{k})\n" for k in range(1, int(np.prod(window))))
    return _cells(window, lanes) + "m = v0\n" + maxima


def _inside_average_pool(window) -> str:
    count = int(np.prod(window))

    def body(lanes):
        total = "t = zero\n" + "".join(f"t = add(t, v{k})\n" for k in range(count))
        return _cells(window, lanes) + total + _store("y", "to + c", f"div(t, const_C({count}))", lanes)

    return _rows("out", lambda axis: _places(window) if axis == "w" else "", body)


def _tiled_average_gradient(window) -> str:
    """For windows that do not overlap: each gives its share to all its cells."""
    count = int(np.prod(window))

    def body(lanes):
        share = f"g = div({_load('x', 'to + c', lanes)}, const_C({count}))\n"
        return share + "".join(_store("y", f"at{k} + c", "g", lanes) for k in range(count))

    return _images(body, lambda axis: _places(window) if axis == "w" else "", _TILED)


def _inside_max_pool(window) -> str:
    def body(lanes):
        return _held(window, lanes) + _store("y", "to + c", "m", lanes)

    return _rows("out", lambda axis: _places(window) if axis == "w" else "", body)


_TILED = " and ".join(f"k_{a} == s_{a} and out_{a} * s_{a} == in_{a}" for a in AXES)
"""Windows that tile the image write every cell, so it need not be cleared."""


def _inside_max_gradient(window, overlapping) -> str:
    """Cell after cell meets the first maximum of those before it; the last one that beat it gets the share."""
    count = int(np.prod(window))

    def body(lanes):
        text = _cells(window, lanes) + f"g = {_load('z', 'to + c', lanes)}\nm = v0\n"
        for k in range(1, count):
            # A NaN beats all numbers, and nothing beats a NaN.
            text += f"beats{k} = and_(not_(le(v{k}, m)), eq(m, m))\n"
            text += f"m = select(beats{k}, v{k}, m)\n" if k + 1 < count else ""
        text += "left = yes\n"
        for k in range(count - 1, -1, -1):
            text += f"hit = and_(beats{k}, left)\nleft = and_(left, not_(beats{k}))\n" if k else "hit = left\n"
            share = "select(hit, g, zero)"
            share = f"add({_load('y', f'at{k} + c', lanes)}, {share})" if overlapping else share
            text += _store("y", f"at{k} + c", share, lanes)
        return text

    return _images(body, lambda axis: _places(window) if axis == "w" else "", "" if overlapping else _TILED)


def _rows(target, ranges, body) -> str:
    """A unit is a row of the `target` grid ("out" or "in"); `ranges(axis)` finds what each of its cells reads."""
    o = "o" if target == "out" else "i"
    return (
        f"""\
for unit in range(lo, hi):
    {o}_h = unit % {target}_h
    plane = unit // {target}_h
    {o}_d = plane % {target}_d
    image = plane // {target}_d
"""
        + indented(ranges("d") + ranges("h"), 1)
        + f"    for {o}_w in range({target}_w):\n"
        + indented(ranges("w") + f"to = (unit * {target}_w + {o}_w) * channels\nc = 0\n" + _vectors(body), 2)
    )


def _containing(axis) -> str:
    """Windows b .. e that contain cell i along an axis."""
    return (
        f"b_{axis} = max(0, (i_{axis} + low_{axis} - k_{axis} + s_{axis}) // s_{axis})\n"
        f"e_{axis} = min(out_{axis}, (i_{axis} + low_{axis}) // s_{axis} + 1)\n"
    )


def _images(body, ranges=_window, clean="") -> str:
    """A unit is an image and some of its channels: cleared (unless `clean` holds), then every window in turn."""
    windows = ranges("w")
    windows += "to = (((image * out_d + o_d) * out_h + o_h) * out_w + o_w) * channels\nc = first\n" + _vectors(body, "end")
    return (
        f"""\
blocks = (channels + {CHANNELS} - 1) // {CHANNELS}
for unit in range(lo, hi):
    image = unit // blocks
    first = (unit - image * blocks) * {CHANNELS}
    end = min(channels, first + {CHANNELS})
    cells = in_d * in_h * in_w
    if {clean or "False"}:
        cells = 0
    for cell in range(image * cells, (image + 1) * cells):
        c = first
        while c + LANES <= end:
            store_T(y, cell * channels + c, zero)
            c += LANES
        if c < end:
            storen_T(y, cell * channels + c, zero, end - c)
    for o_d in range(out_d):
"""
        + indented(ranges("d") + "for o_h in range(out_h):\n", 2)
        + indented(ranges("h") + "for o_w in range(out_w):\n", 3)
        + indented(windows, 4)
    )


_BODIES = {
    "max_pool": _rows("out", _window, _max_pool),
    "max_pool_pick": _rows("out", _window, _max_pick),
    "max_pool_gradient": _images(_max_gradient),
    "average_pool": _rows("out", _window, _average_pool),
    "average_pool_gradient": _rows("in", _containing, _average_gradient),
}


def source(op: str, dtype: str, window: tuple | None = None, overlapping: bool = True) -> str:
    """Canonical source of a pooling kernel; with `window`, of one for small windows that all lie inside."""
    compute = "f32" if dtype in HALF else dtype
    pointers = ("x", "z", "y") if op in ("max_pool_pick", "max_pool_gradient") else ("x", "y")
    lines = [f"{name} = ptr_T(args[{i}])" for i, name in enumerate(pointers, 1)]
    lines += [f"{name} = args[{i}]" for i, name in enumerate(WORDS, 1 + len(pointers))]
    lines += ["zero = const_C(0)", "yes = eq(zero, zero)"]
    body = _BODIES[op]
    if window is not None and op == "max_pool":
        body = _inside_max_pool(window)
    elif window is not None and op == "max_pool_gradient":
        body = _inside_max_gradient(window, overlapping)
    elif window is not None and op == "average_pool":
        body = _inside_average_pool(window)
    elif window is not None and op == "average_pool_gradient" and not overlapping:
        body = _tiled_average_gradient(window)
    text = "def kernel(args, lo, hi, scratch):\n" + indented("\n".join(lines) + "\n" + body, 1)
    return text.replace("_T(", f"_{dtype}(").replace("_C(", f"_{compute}(")


def _small_window(attrs) -> tuple:
    """(window, whether windows overlap) where it is small and needs no padding, as most are; else nothing."""
    window = tuple(_three(attrs["window"]))
    if any(isinstance(d, Dim) for d in window) or np.prod(window) > _HELD or any(p != (0, 0) for p in attrs["padding"]):
        return ()
    return window, any(k > s for k, s in zip(window, _three(attrs["strides"])))


def lower_pooling(group: Group, name: str, resolve) -> list[LoweredKernel]:
    """The kernel of a pooling op or of one of its gradients."""
    node = group.nodes[0]
    shapes = [v.shape for v in node.inputs]
    result = node.specs[0].shape
    if node.op == "max_pool_gradient":
        pooled, full = shapes
        units = full[0] * ((full[-1] + CHANNELS - 1) // CHANNELS)
        inputs = node.inputs[::-1]
    elif node.op == "average_pool_gradient":
        pooled, full, inputs = shapes[0], result, node.inputs
        small = _small_window(node.attrs)
        units = size(full[:-2]) if not small or small[1] else full[0] * ((full[-1] + CHANNELS - 1) // CHANNELS)
    else:
        pooled, full, inputs = result, shapes[-1], node.inputs[::-1]
        units = size(pooled[:-2])
    arrays = [Address.of(base, layout.offset) for base, layout in map(resolve, inputs)]
    args = (*arrays, Address.of(Value(node)), *_words(node, full, pooled))
    text = source(node.op, short_dtype(node.specs[0].dtype), *_small_window(node.attrs))
    return [LoweredKernel(name, group.kind, text, args, units, group, flops=group.flops, bytes=group.bytes)]


LOWERINGS = dict.fromkeys(_BODIES, lower_pooling)
