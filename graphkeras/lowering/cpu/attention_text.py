"""The text of the attention kernels; what they do is said in `attention`."""

import functools
from math import prod
from typing import NamedTuple

from graphkeras.lowering.cpu.simd_types import strip_shapes
from graphkeras.lowering.cpu.target import LANES
from graphkeras.ops.nn_attention_records import MASKED

ROWS = {"attention": 24, "attention_gradient": 48}
"""Query rows of a block, before rounding to strips."""
KEYS = 256
"""Most keys of a block."""
_BYTES = {"f32": 4, "f64": 8}
_NAMES = {"f32": "float32", "f64": "float64"}
_FAINT = {"f32": -87.0, "f64": -708.0}  # exponentials below are taken as 0; they are shares of less than 1e-37
_SIZES = ("batch", "heads", "rows", "keys", "width", "depth")


class Numbers(NamedTuple):
    """What a kernel's loops are cut by.

    Args:
        op, dtype: of the kernel.
        rows: query rows of a block.
        keys: keys of a block: whole strips and whole panels.
        tall, low: heights of strips.
        panel: width of a panel.
        line: distance of two rows of scores.
    """

    op: str
    dtype: str
    rows: int
    keys: int
    tall: int
    low: int
    panel: int
    line: int

    def row_blocks(self, rows) -> int:
        return -(-rows // self.rows)

    def areas(self) -> dict[str, tuple]:
        """Areas of the scratch: the factors of their sizes in elements."""
        high = self.rows + self.tall
        if self.op == "attention":
            return {
                "qs": (high, "wide"), "s": (high, self.line), "o": (high, "deep"), "top": (high, LANES), "sum": (high, LANES),
                "kt": ("width", "long"), "vp": ("keys", "deep"),
            }  # fmt: skip
        return {
            "qs": (high, "wide"), "qp": (high, "wide"), "gs": (high, "deep"), "gp": (high, "deep"), "s": (high, self.line),
            "z": (high, self.line), "o": (high, "wide"), "kt": ("width", "long"), "vt": ("depth", "long"), "kp": ("keys", "wide"),
            "dk": ("long", "wide"), "dv": ("long", "deep"),
        }  # fmt: skip

    def scratch_bytes(self, keys, width, depth) -> int:
        whole = lambda size: -(-size // self.panel) * self.panel
        named = {"keys": keys, "width": width, "depth": depth, "wide": whole(width), "deep": whole(depth), "long": self.long(keys)}
        return _BYTES[self.dtype] * sum(prod(named.get(f, f) for f in factors) for factors in self.areas().values())

    def long(self, keys) -> int:
        """Keys in whole panels, with room for a strip that begins before the last one."""
        return -(-(keys + self.tall) // self.panel) * self.panel


@functools.cache
def numbers(op, dtype) -> Numbers:
    """The numbers of an op's kernel."""
    shapes = strip_shapes(dtype, LANES)
    tall, panel = shapes["tall"][0], shapes["tall"][1] * LANES
    step = next(s for s in range(tall, tall * panel + 1, tall) if s % panel == 0)
    keys = max(step, KEYS // step * step)
    line = -(-(keys + tall) // panel) * panel
    return Numbers(op, dtype, -(-ROWS[op] // tall) * tall, keys, tall, shapes["low"][0], panel, line)


def _indented(text, depth=1):
    return "".join("    " * depth + line + "\n" for line in text.splitlines())


def _product(rows, columns, k, a, a_row, a_step, b, panel, c, c_row, onto) -> str:
    """c (+)= a @ b in strips; panels of `b` lie `panel` elements apart per column."""
    strips = f"pa, {a_row}, {a_step}, pb, PANEL, {k}, pc, {c_row}, {onto}"
    return f"""\
jp = 0
while jp < {columns}:
    pb = ptr_T({b} + jp * {panel} * ITEM)
    i = 0
    while i < {rows}:
        pa = ptr_T({a} + i * {a_row} * ITEM)
        pc = ptr_T({c} + (i * {c_row} + jp) * ITEM)
        if {rows} - i <= LOW:
            strip_low_T({strips})
            i += LOW
        else:
            strip_tall_T({strips})
            i += TALL
    jp += PANEL
"""


def _vectors(body, end, start="0") -> str:
    """`body(lanes)` for vectors j .. `end`, the last of them with fewer lanes; two at a time, for they do not wait for each other."""
    one = body(None) + "j += LANES\n"
    text = f"j = {start}\nwhile j + 2 * LANES <= {end}:\n{_indented(one + one)}if j + LANES <= {end}:\n{_indented(one)}"
    return text + f"if j < {end}:\n    m = {end} - j\n" + _indented(body("m"))


def _load(pointer, place, lanes, dtype="T") -> str:
    return f"load_{dtype}({pointer}, {place})" if lanes is None else f"loadn_{dtype}({pointer}, {place}, {lanes})"


def _store(pointer, place, value, lanes) -> str:
    return f"store_T({pointer}, {place}, {value})\n" if lanes is None else f"storen_T({pointer}, {place}, {value}, {lanes})\n"


def _fill(target, source, row, source_row, columns, value="v") -> str:
    """Rows of a block into scratch, each filled up with zeros to whole vectors, and a strip of zeros behind them."""
    copied = lambda lanes: f"v = {_load(source, f'i * {source_row} + j', lanes)}\nstore_T({target}, i * {row} + j, {value})\n"
    return f"""\
for i in range(count):
{_indented(_vectors(copied, columns))}
j = count * {row}
while j < (count + TALL) * {row}:
    store_T({target}, j, zero)
    j += LANES
"""


def _give(target, source, row, target_row, count, columns, value="v") -> str:
    """Rows from scratch into an array."""
    copied = lambda lanes: f"v = load_T({source}, i * {row} + j)\n" + _store(target, f"i * {target_row} + j", value, lanes)
    return f"for i in range({count}):\n" + _indented(_vectors(copied, columns))


def _head(dtype, names, op, forms) -> str:
    """Arguments, numbers and areas of the scratch."""
    found = numbers(op, dtype)
    lines, at = [], 1
    for name in names:
        kind = "b1" if name == "mask" else "T"
        lines.append(f"{name} = ptr_{kind}(args[{at}])" if kind == "b1" else f"{name}_at = args[{at}]")
        lines += [f"{name}_{axis} = args[{at + i}]" for i, axis in enumerate(("batch", "row", "head"), 1)]
        at += 4
        if name in forms:
            lines.append(f"{name}_key = args[{at}]")
            at += 1
    for name in ("y", "lse") if op == "attention" else ("dq", "dk_to", "dv_to"):
        lines.append(f"{name} = args[{at}]")
        at += 1
    for name in _SIZES:
        lines.append(f"{name} = args[{at}]")
        at += 1
    lines += [f"scale = bits_T(args[{at}])", "zero = const_T(0)", f"hidden = const_T({MASKED[_NAMES[dtype]]!r})"]
    lines += [f"{word} = {value}" for word, value in (
        ("ITEM", _BYTES[dtype]), ("TALL", found.tall), ("LOW", found.low), ("PANEL", found.panel), ("LINE", found.line),
        ("STEP", found.rows), ("BLOCK", found.keys),
    )]  # fmt: skip
    lines += ["wide = (width + PANEL - 1) // PANEL * PANEL", "deep = (depth + PANEL - 1) // PANEL * PANEL"]
    lines += ["long = (keys + TALL + PANEL - 1) // PANEL * PANEL", "blocks = (rows + STEP - 1) // STEP"]
    place = "scratch"
    for name, factors in found.areas().items():
        lines.append(f"{name} = {place}")
        place = f"{name} + {' * '.join(map(str, factors))} * ITEM"
    lines += [f"{name}_p = ptr_T({name})" for name in found.areas()]
    lines += [f"{name}_p = ptr_T({name}_at)" for name in ("bias", "l", "d") if name in names]
    return "\n".join(lines) + "\n"


def _row_start(name) -> str:
    return f"{name}_row0 = b * {name}_batch + h * {name}_head + (r0 + i) * {name}_row\n"


def _scores(forms, causal, lanes) -> str:
    """The scores `x` at columns j .., as far as seen, and `seen` where something may hide them."""
    text = "x = load_T(s_p, w + j)\n"

    def fetched(name, kind, pointer):
        at = f"{name}_row0 + (c0 + j) * {name}_key"
        if forms[name] == "same":
            return f"splat_{kind}({pointer}, {name}_row0)"
        if forms[name] == "apart":
            return f"loads_{kind}({pointer}, {at}, {name}_key, {lanes or 'LANES'})"
        return _load(pointer, f"{name}_row0 + c0 + j", lanes, kind)

    if "bias" in forms:
        text += f"x = add(x, {fetched('bias', 'T', 'bias_p')})\n"
    seen = []
    if "mask" in forms:
        seen.append(fetched("mask", "b1", "mask"))
    if causal:
        seen.append("firstn(min(max(last - j, 0), LANES))")
    if seen:
        text += f"seen = {seen[0] if len(seen) == 1 else f'and_({seen[0]}, {seen[1]})'}\n"
    return text


def _row_of(body, causal) -> str:
    """`body(causal, lanes)` for all columns of a row; those in front of the query's own place are seen by order, at least."""
    if not causal:
        return _vectors(lambda lanes: body(False, lanes), "n")
    plain = "j = 0\nwhile j + LANES <= min(n, last):\n" + _indented(body(False, None) + "j += LANES\n")
    return plain + _vectors(lambda lanes: body(True, lanes), "n", "j")


def _key_blocks(body, skips) -> str:
    """`body` for each block of keys c0 .. c0 + n that some query of the row block sees."""
    end = "min(keys, (r1 + TALL - 1) // TALL * TALL)" if skips else "keys"  # whole strips, or they would reach into seen keys
    return f"c0 = 0\nwhile c0 < {end}:\n    n = min(BLOCK, {end} - c0)\n" + _indented(body + "c0 += BLOCK\n")


def _without_keys(row, body="") -> str:
    """Zeros for the sums that no block of keys begins with, and `body` for each row."""
    rows = f"    for i in range(count):\n{_indented(body, 2)}" if body else ""
    return f"if keys == 0:\n    j = 0\n    while j < count * {row}:\n        store_T(o_p, j, zero)\n        j += LANES\n{rows}"


def forward(dtype, names, causal, forms) -> str:
    """Canonical source of the forward kernel.

    Args:
        dtype: "f32" or "f64".
        names: arrays that are read, in the order of their arguments.
        causal: whether keys behind a query's own place are hidden.
        forms: for "bias" and "mask", where there is one, how it goes along the keys: "same", "dense" or "apart".
    """

    def peak(causal, lanes):
        text = _scores(forms, causal, lanes) + ("x = select(seen, x, hidden)\n" if causal or "mask" in forms else "")
        if lanes is not None:
            text += f"x = select(firstn({lanes}), x, nothing)\n"
        changed = lanes is not None or causal or forms
        return text + ("store_T(s_p, w + j, x)\n" if changed else "") + "t = max(t, x)\n"

    def share(j, total):
        # A hidden score would run through exp's smallest numbers, which take the CPU ten times as long.
        value = "select(lt(x, faint), zero, exp(max(x, faint)))" if forms else "exp(x)"
        return f"x = sub(load_T(s_p, w + {j}), base)\nx = {value}\nstore_T(s_p, w + {j}, x)\n{total} = add({total}, x)\n"

    def result(lanes):
        return _store("target", "j", "div(load_T(o_p, i * deep + j), total)", lanes)

    row = f"""\
w = i * LINE
{"last = r0 + i + 1 - c0" if causal else ""}
{"".join(_row_start(n) for n in ("bias", "mask") if n in forms)}
t = nothing
{_row_of(peak, causal)}
t = hmax(t)
old = nothing
if c0 > 0:
    old = load_T(top_p, i * LANES)
    t = max(t, old)
base = select(eq(t, nothing), zero, t)
total = zero
more = zero
j = 0
while j + LANES < n:
{_indented(share("j", "total"))}
{_indented(share("j + LANES", "more"))}
    j += 2 * LANES
if j < n:
{_indented(share("j", "total"))}
total = hsum(add(total, more))
if c0 > 0:
    a = exp(sub(old, base))
    total = add(mul(load_T(sum_p, i * LANES), a), total)
    j = 0
    while j < deep:
        store_T(o_p, i * deep + j, mul(load_T(o_p, i * deep + j), a))
        j += LANES
store_T(top_p, i * LANES, t)
store_T(sum_p, i * LANES, total)
"""
    block = (
        _product("count", "n", "width", "qs", "wide", 1, "kt + c0 * width * ITEM", "width", "s", "LINE", 0)
        + f"for i in range(count):\n{_indented(row)}"
        + _product("count", "depth", "n", "s", "LINE", 1, "vp + c0 * PANEL * ITEM", "keys", "o", "deep", "c0")
    )
    no_share = "store_T(top_p, i * LANES, nothing)\nstore_T(sum_p, i * LANES, const_T(1))"
    unit = f"""\
pair = unit // blocks
block = unit - pair * blocks
b = pair // heads
h = pair - b * heads
if pair != packed:
    pack_panels_T(ptr_T(k_at + (b * k_batch + h * k_head) * ITEM), 1, k_row, kt_p, width, keys, 0)
    pack_panels_T(ptr_T(v_at + (b * v_batch + h * v_head) * ITEM), v_row, 1, vp_p, keys, depth, 0)
    packed = pair
r0 = block * STEP
r1 = min(rows, r0 + STEP)
count = r1 - r0
source = ptr_T(q_at + (b * q_batch + r0 * q_row + h * q_head) * ITEM)
{_fill("qs_p", "source", "wide", "q_row", "width", "mul(v, scale)")}
{_without_keys("deep", no_share)}
{_key_blocks(block, causal and not forms)}
for i in range(count):
    total = load_T(sum_p, i * LANES)
    at = (b * rows + r0 + i) * heads + h
    storen_T(ptr_T(lse), at, add(load_T(top_p, i * LANES), log(total)), 1)
    target = ptr_T(y + at * depth * ITEM)
{_indented(_vectors(result, "depth"))}
"""
    head = _head(dtype, names, "attention", forms) + "nothing = const_T(float('-inf'))\npacked = -1\n"
    head += f"faint = const_T({_FAINT[dtype]})\n" if forms else ""
    return _whole(head + "for unit in range(lo, hi):\n" + _indented(unit), dtype)


def backward(dtype, names, causal, forms) -> str:
    """Canonical source of the backward kernel; arguments as those of `forward`."""
    def shares(causal, lanes):
        hides = causal or "mask" in forms
        text = _scores(forms, causal, lanes) + "e = exp(sub(x, base))\n"
        if hides:
            text += "e = select(seen, e, zero)\n"
        if forms:
            text += "e = select(flat, even, e)\n"
        if lanes is not None:
            text += f"e = select(firstn({lanes}), e, zero)\n"
        text += "store_T(s_p, w + j, e)\nx = mul(e, sub(load_T(z_p, w + j), delta))\n"
        if hides:
            text += "x = select(seen, x, zero)\n"
        if lanes is not None:
            text += f"x = select(firstn({lanes}), x, zero)\n"
        return text + "store_T(z_p, w + j, x)\n"

    row = f"""\
w = i * LINE
{"last = r0 + i + 1 - c0" if causal else ""}
{"".join(_row_start(n) for n in ("bias", "mask") if n in forms)}
{"".join(_row_start(n) for n in ("l", "d"))}
base = splat_T(l_p, l_row0)
delta = splat_T(d_p, d_row0)
{"flat = le(base, mul(hidden, half))" if forms else ""}
{_row_of(shares, causal)}
"""
    block = (
        _product("count", "n", "width", "qs", "wide", 1, "kt + c0 * width * ITEM", "width", "s", "LINE", 0)
        + _product("count", "n", "depth", "gs", "deep", 1, "vt + c0 * depth * ITEM", "depth", "z", "LINE", 0)
        + f"for i in range(count):\n{_indented(row)}"
        + _product("n", "depth", "count", "s", 1, "LINE", "gp", "count", "(dv + c0 * deep * ITEM)", "deep", 1)
        + _product("n", "width", "count", "z", 1, "LINE", "qp", "count", "(dk + c0 * wide * ITEM)", "wide", 1)
        + _product("count", "width", "n", "z", "LINE", 1, "kp + c0 * PANEL * ITEM", "keys", "o", "wide", "c0")
    )
    rows = f"""\
r0 = block * STEP
r1 = min(rows, r0 + STEP)
count = r1 - r0
source = ptr_T(q_at + (b * q_batch + r0 * q_row + h * q_head) * ITEM)
{_fill("qs_p", "source", "wide", "q_row", "width", "mul(v, scale)")}
source = ptr_T(g_at + (b * g_batch + r0 * g_row + h * g_head) * ITEM)
{_fill("gs_p", "source", "deep", "g_row", "depth")}
pack_panels_T(qs_p, wide, 1, qp_p, count, width, 0)
pack_panels_T(gs_p, deep, 1, gp_p, count, depth, 0)
{_without_keys("wide")}
{_key_blocks(block, causal and not forms)}
target = ptr_T(dq + ((b * rows + r0) * heads + h) * width * ITEM)
{_give("target", "o_p", "wide", "heads * width", "count", "width", "mul(v, scale)")}
"""
    unit = f"""\
b = pair // heads
h = pair - b * heads
pack_panels_T(ptr_T(k_at + (b * k_batch + h * k_head) * ITEM), 1, k_row, kt_p, width, keys, 0)
pack_panels_T(ptr_T(v_at + (b * v_batch + h * v_head) * ITEM), 1, v_row, vt_p, depth, keys, 0)
pack_panels_T(ptr_T(k_at + (b * k_batch + h * k_head) * ITEM), k_row, 1, kp_p, keys, width, 0)
j = 0
while j < keys * wide:
    store_T(dk_p, j, zero)
    j += LANES
j = 0
while j < keys * deep:
    store_T(dv_p, j, zero)
    j += LANES
for block in range(blocks):
{_indented(rows)}
target = ptr_T(dk_to + (b * keys * heads + h) * width * ITEM)
{_give("target", "dk_p", "wide", "heads * width", "keys", "width")}
target = ptr_T(dv_to + (b * keys * heads + h) * depth * ITEM)
{_give("target", "dv_p", "deep", "heads * depth", "keys", "depth")}
"""
    head = _head(dtype, names, "attention_gradient", forms)
    if forms:  # a row that sees nothing has equal shares, which its logarithm cannot tell
        head += "half = const_T(0.5)\neven = div(const_T(1), const_T(keys))\n"
    return _whole(head + "for pair in range(lo, hi):\n" + _indented(unit), dtype)


def _whole(body, dtype) -> str:
    text = "def kernel(args, lo, hi, scratch):\n" + _indented(body)
    return "".join(line + "\n" for line in text.replace("_T(", f"_{dtype}(").splitlines() if line.strip())
