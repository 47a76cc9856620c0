"""Kernel of scatter_reduce: like scatter_add, with another way of putting rows together."""

from graphkeras.ir.dims import size
from graphkeras.ir.dtypes import itemsize
from graphkeras.ir.node import Value
from graphkeras.lowering.cpu.indexing import COLUMNS, copy_kernel
from graphkeras.lowering.cpu.kernel import Address, ErrorSite, LoweredKernel
from graphkeras.lowering.cpu.source import Writer, short_dtype
from graphkeras.schedule.groups import Group
from graphkeras.schedule.layout import Layout


def lower_scatter_reduce(group: Group, name: str, resolve) -> list[LoweredKernel]:
    """x is copied, then updates come in, in the order of the indices; a unit is a block of columns, which one thread owns."""
    node = group.nodes[0]
    x, indices, updates = node.inputs
    how = node.attrs["how"]
    inner = size(x.shape[1:])
    copy = copy_kernel(group, name + "_copy", x, Value(node), Layout.contiguous(x.shape), resolve)
    dtype = f"u{8 * itemsize(x.dtype)}" if how == "set" else short_dtype(x.dtype)
    index_dtype = short_dtype(indices.dtype)
    w = Writer()
    pointers = []
    for value, kind in ((indices, index_dtype), (updates, dtype)):
        base, layout = resolve(value)
        pointers.append(w.pointer(Address.of(base, layout.offset), kind))
    index, source = pointers
    target = w.pointer(Address.of(Value(node)), dtype)
    limit, n, count = w.arg(x.shape[0], "n"), w.arg(inner, "n"), w.arg(indices.shape[0], "n")
    lowest = "0" if index_dtype.startswith("u") else f"-{limit}"  # the largest of uint64 are no negative numbers
    w.errors.append(ErrorSite(node, -x.shape[0], x.shape[0], "index"))
    w.line("u = lo")
    with w.block("while u < hi:"):
        w.line(f"b = u * {COLUMNS}")
        w.line(f"e = min(b + {COLUMNS}, {n})")
        w.line("q = 0")
        with w.block(f"while q < {count}:"):
            w.line(f"x = lane0_i64(cast_i64(splat_{index_dtype}({index}, q)))")
            with w.block(f"if x < {lowest} or x >= {limit}:"):
                w.line("report(args, 1, q, x)")
            with w.block("else:"):
                with w.block("if x < 0:"):
                    w.line(f"x += {limit}")
                w.line("j = b")
                with w.block("while j < e:"):
                    w.line("m = min(e - j, LANES)")
                    w.line(f"v = loadn_{dtype}({source}, q * {n} + j, m)")
                    if how != "set":
                        w.line(f"v = {how}(loadn_{dtype}({target}, x * {n} + j, m), v)")
                    w.line(f"storen_{dtype}({target}, x * {n} + j, v, m)")
                    w.line("j += LANES")
            w.line("q += 1")
        w.line("u += 1")
    units = (inner + (COLUMNS - 1)) // COLUMNS
    kernel = LoweredKernel(
        name, group.kind, w.text(), tuple(w.args), units, group, errors=tuple(w.errors), flops=group.flops, bytes=group.bytes
    )
    return [copy, kernel]


LOWERINGS = {"scatter_reduce": lower_scatter_reduce}
