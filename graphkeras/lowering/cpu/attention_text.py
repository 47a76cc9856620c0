"""The text of the attention kernels; what they do is said in `attention`."""

import math

from graphkeras.lowering.cpu import coefficients as co
from graphkeras.lowering.cpu.attention_pieces import (
    ROWS,
    ahead,
    clear,
    each_key,
    give,
    head,
    indented,
    key_blocks,
    keys_and_values,
    product,
    queries,
    scores,
    stage,
    turned,
    whole,
)

__all__ = ["backward", "forward"]


def _share(dtype) -> str:
    """e = exp(x) for an x that is not positive, by the method of `vector_math.exp`, which looks for numbers of all sizes. What is below
    the normal numbers gives the least of them; a NaN stays one. ln(2) is one number here: what its rounding adds to the error grows with
    -x, to two units of the last place of a share of 1e-37, and is nothing in a sum of shares."""
    first, *others = co.EXP[dtype]
    steps = "".join(f"e = fma(e, x, const_T({c!r}))\n" for c in others)
    number = co.INT[dtype]
    return f"""\
x = select(lt(x, faint), faint, x)
near = fma(x, const_T({co.LOG2_E!r}), const_T({co.MAGIC[dtype]!r}))
power = bitcast_T(add(shl(bitcast_{number}(near), const_{number}({co.MANTISSA[dtype]})), bitcast_{number}(one)))
near = neg(sub(near, const_T({co.MAGIC[dtype]!r})))
x = fma(near, const_T({math.log(2)!r}), x)
e = const_T({first!r})
{steps}e = mul(add(fma(mul(x, x), e, x), one), power)
"""


def forward(dtype, names, causal, forms) -> str:
    """Canonical source of the forward kernel.

    Args:
        dtype: "f32" or "f64".
        names: arrays that are read, in the order of their arguments.
        causal: whether keys behind a query's own place are hidden.
        forms: for "bias" and "mask", where there is one, how it goes along queries and keys: "same" for all queries; or "dense" (keys
            side by side), "rows" (the same for all keys), "apart".
    """
    hides = causal or "mask" in forms

    def peak(causal):
        text = scores(forms, causal) + ("x = select(seen, x, hidden)\n" if causal or "mask" in forms else "")
        text += "store_T(s_p, j * line + v, x)\n" if causal or forms else ""
        return text + "t = select(lt(t, x), x, t)\n"  # a NaN shows in the sum

    def share(_):
        text = "x = sub(load_T(s_p, j * line + v), base)\n"
        text += f"far = lt(x, faint)\n{_share(dtype)}e = select(far, zero, e)\n" if hides or forms else _share(dtype)
        return text + "store_T(s_p, j * line + v, e)\ntotal = add(total, e)\n"

    column = f"""\
t = nothing
{each_key(peak, causal)}
old = nothing
if c0 > 0:
    old = load_T(top_p, v)
    t = select(lt(t, old), old, t)
base = select(eq(t, nothing), zero, t)
total = zero
{each_key(share, False)}
if c0 > 0:
    a = exp(sub(old, base))
    total = add(mul(load_T(sum_p, v), a), total)
    j = 0
    while j < depth:
        store_T(o_p, j * line + v, mul(load_T(o_p, j * line + v), a))
        j += 1
store_T(top_p, v, t)
store_T(sum_p, v, total)
v += LANES
"""
    block = (
        stage(forms)
        + product(dtype, "n", "line", "width", "(k + c0 * wide * ITEM)", "wide", 1, "qt", "line", "s", "line", 0, "kvqy")
        + f"v = 0\nwhile v < line:\n{indented(column)}"
        + product(dtype, "depth", "line", "n", "(values + c0 * deep * ITEM)", 1, "deep", "s", "line", "o", "line", "c0")
    )
    unit = f"""\
pair = unit // blocks
block = unit - pair * blocks
b = pair // heads
h = pair - b * heads
{ahead("kvq", [("y", "rows", "depth")])}
if pair != copied:
{indented(keys_and_values())}
    copied = pair
{ROWS}
{queries("q", "wide", "line", "width", "mul(v, scale)")}
{key_blocks(block, causal and not forms)}
if keys == 0:
{indented(clear("o_p", "deep * line"))}
v = 0
while v < line:
    total = one
    t = nothing
    if keys > 0:
        total = load_T(sum_p, v)
        t = load_T(top_p, v)
    stores_T(ptr_T(lse), (b * rows + r0 + v) * heads + h, heads, add(t, log(total)), min(LANES, count - v))
    a = div(one, total)
    j = 0
    while j < depth:
        store_T(o_p, j * line + v, mul(load_T(o_p, j * line + v), a))
        j += 1
    v += LANES
{turned("o_p", "line", "deep", "ys_p", "deep", "line")}
target = ptr_T(y + ((b * rows + r0) * heads + h) * depth * ITEM)
{give("target", "ys_p", "deep", "heads * depth", "count", "depth")}
"""
    text = head(dtype, names, "attention", forms) + "nothing = const_T(float('-inf'))\ncopied = -1\n"
    return whole(text + "for unit in range(lo, hi):\n" + indented(unit), dtype)


def backward(dtype, names, causal, forms) -> str:
    """Canonical source of the backward kernel; arguments as those of `forward`."""

    def share(causal):
        hides = causal or "mask" in forms
        text = scores(forms, causal) + "x = sub(x, base)\n"
        text += f"far = lt(x, faint)\n{_share(dtype)}e = select(far, zero, e)\n" if hides or forms else _share(dtype)
        if hides:
            text += "e = select(seen, e, zero)\n"
        if forms:
            text += "e = select(flat, even, e)\n"
        text += "store_T(s_p, j * line + v, e)\nx = mul(e, sub(load_T(z_p, j * line + v), delta))\n"
        if hides:
            text += "x = select(seen, x, zero)\n"
        return text + "store_T(z_p, j * line + v, x)\n"

    column = f"""\
m = min(LANES, count - v)
base = loads_T(l_p, b * l_batch + h * l_head + (r0 + v) * l_row, l_row, m)
delta = loads_T(d_p, b * d_batch + h * d_head + (r0 + v) * d_row, d_row, m)
{"flat = le(base, mul(hidden, const_T(0.5)))" if forms else ""}
{each_key(share, causal)}
v += LANES
"""
    to_keys = ("k + c0 * wide * ITEM", "values + c0 * deep * ITEM")
    block = (
        stage(forms)
        + product(dtype, "n", "line", "width", f"({to_keys[0]})", "wide", 1, "qt", "line", "s", "line", 0, "kq")
        + product(dtype, "n", "line", "depth", f"({to_keys[1]})", "deep", 1, "gt", "line", "z", "line", 0, "vg")
        + f"v = 0\nwhile v < line:\n{indented(column)}"
        + product(dtype, "n", "depth", "count", "s", "line", 1, "gs", "deep", "(dv + c0 * deep * ITEM)", "deep", 1, ["dv_to"])
        + product(dtype, "n", "width", "count", "z", "line", 1, "qs", "wide", "(dk + c0 * wide * ITEM)", "wide", 1, ["dk_to", "dq"])
        + product(dtype, "width", "line", "n", f"({to_keys[0]})", 1, "wide", "z", "line", "o", "line", "c0")
    )
    rows = f"""\
{ROWS}
{queries("q", "wide", "line", "width", "mul(v, scale)")}
{queries("g", "deep", "line", "depth", "v")}
{key_blocks(block, causal and not forms)}
if keys == 0:
{indented(clear("o_p", "wide * line"))}
{turned("o_p", "line", "wide", "ys_p", "wide", "line")}
target = ptr_T(dq + ((b * rows + r0) * heads + h) * width * ITEM)
{give("target", "ys_p", "wide", "heads * width", "count", "width", "mul(v, scale)")}
"""
    unit = f"""\
b = pair // heads
h = pair - b * heads
{keys_and_values()}
{ahead("kvqg", [("dq", "rows", "width"), ("dk_to", "keys", "width"), ("dv_to", "keys", "depth")])}
{clear("dk_p", "keys * wide")}
{clear("dv_p", "keys * deep")}
for block in range(blocks):
{indented(rows)}
target = ptr_T(dk_to + (b * keys * heads + h) * width * ITEM)
{give("target", "dk_p", "wide", "heads * width", "keys", "width")}
target = ptr_T(dv_to + (b * keys * heads + h) * depth * ITEM)
{give("target", "dv_p", "deep", "heads * depth", "keys", "depth")}
"""
    text = head(dtype, names, "attention_gradient", forms)
    text += "l_p = ptr_T(l_at)\nd_p = ptr_T(d_at)\n"
    if forms:  # a row that sees nothing has equal shares, which its logarithm cannot tell
        text += "even = div(one, const_T(keys))\n"
    return whole(text + "for pair in range(lo, hi):\n" + indented(unit), dtype)
