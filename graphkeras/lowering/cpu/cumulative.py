"""Kernel of cumulative sums and products: LANES lines of the axis side by side, each walked from its beginning (or its end).

Running values are kept in the next wider type and rounded once per element, as the meaning of the ops says; so the bits are the
same however lines are shared among lanes and threads.
"""

from graphkeras.ir.dims import size
from graphkeras.ir.node import Value
from graphkeras.lowering.cpu.kernel import Address, LoweredKernel
from graphkeras.lowering.cpu.source import FLOATING, Writer, literal_text, short_dtype
from graphkeras.lowering.cpu.target import LANES
from graphkeras.schedule.groups import Group

_WIDER = {"f16": "f32", "bf16": "f32", "f32": "f64"}


def lower_cumulative(group: Group, name: str, resolve) -> list[LoweredKernel]:
    """A unit is a block of LANES lines: neighbours in memory if the axis is not the last, else at the distance of a row."""
    node = group.nodes[0]
    x, axis = node.inputs[0], node.attrs["axis"]
    outer, inner = size(x.shape[:axis]), size(x.shape[axis + 1 :])
    dtype = short_dtype(x.dtype)
    running = _WIDER.get(dtype, dtype)
    w = Writer()
    base, layout = resolve(x)
    source = w.pointer(Address.of(base, layout.offset), dtype)
    target = w.pointer(Address.of(Value(node)), dtype)
    n, last = w.arg(x.shape[axis], "n"), inner == 1
    lines = w.arg(outer if last else inner, "n")
    units = (outer + (LANES - 1)) // LANES if last else outer * ((inner + (LANES - 1)) // LANES)
    sums = node.op == "cumsum"
    start = (-0.0 if dtype in FLOATING else 0) if sums else 1  # -0.0 + x is x, even for x = -0.0
    w.line("u = lo")
    with w.block("while u < hi:"):
        if last:
            w.line("l = u * LANES")
            w.line(f"o = l * {n}")
        else:
            w.line(f"q = ({lines} + LANES - 1) // LANES")
            w.line("l = u % q * LANES")
            w.line(f"o = u // q * {n} * {lines} + l")
        single = last and outer == 1
        if not single:
            w.line(f"m = min({lines} - l, LANES)")
        w.line(f"v = {literal_text(start, running)}")
        w.line("j = 0")
        with w.block(f"while j < {n}:"):
            place = f"{n} - 1 - j" if node.attrs["reverse"] else "j"
            w.line(f"i = o + ({place})" if last else f"i = o + ({place}) * {lines}")
            if single:
                load, store = f"splat_{dtype}({source}, i)", "storen_{0}({1}, i, {2}, 1)"
            elif last:
                load, store = f"loads_{dtype}({source}, i, {n}, m)", f"stores_{{0}}({{1}}, i, {n}, {{2}}, m)"
            else:
                load, store = f"loadn_{dtype}({source}, i, m)", "storen_{0}({1}, i, {2}, m)"
            w.line(f"x = {load}")
            w.line(f"v = {'add' if sums else 'mul'}(v, cast_{running}(x))")
            w.line(store.format(dtype, target, f"cast_{dtype}(v)" if running != dtype else "v"))
            w.line("j += 1")
        w.line("u += 1")
    return [LoweredKernel(name, group.kind, w.text(), tuple(w.args), units, group, flops=group.flops, bytes=group.bytes)]


LOWERINGS = {"cumsum": lower_cumulative, "cumprod": lower_cumulative}
