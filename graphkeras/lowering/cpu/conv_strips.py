"""The inner products of convolutions, with rows at addresses of their own.

    gather_strip_T(rows, segments, many, count, shift, step, b, b_step, c_shift, onto)          TALL rows times a panel
    gather_middle_T(...)  gather_low_T(...)                                                     fewer rows
    gather_narrow_T(...)  gather_narrow_low_T(...)                                              more rows of one vector

    c_r[j] (+)= sum over s < many, q < count of a_r[segments[2 * s] + q * step] * b[segments[2 * s + 1] + q * b_step + j]

`rows` points to the int64 addresses of a_0, a_1, ... followed by those of c_0, c_1, ...; `shift` and `c_shift` are bytes added to
them. As in `strips`, all sums stay in registers and each is a sequential chain of fma from 0; with `onto` not zero it is added
to c, else it replaces c. Rows may be repeated: every c is read before any is written.
"""

from llvmlite import ir

from graphkeras.lowering.cpu import memory
from graphkeras.lowering.cpu.simd_types import gather_shapes
from graphkeras.lowering.cpu.target import LANES

I64 = ir.IntType(64)
PARAMETERS = "rows segments many count shift step b b_step c_shift onto"


def emit(e, name, dtype, *args):
    """Call of the private function for one of the names above."""
    shape = gather_shapes(dtype, LANES)[name]
    symbol = f"gk.strip_of_rows.{dtype}.{shape[0]}x{shape[1]}"
    e.helper(symbol, ir.VoidType(), args, lambda inner, inner_args: _write(inner, dtype, shape, *inner_args), inline=False)


def _write(e, dtype, shape, table, offsets, segments, count, shift, step, b, b_step, c_shift, onto):
    builder, (rows, vectors) = e.b, shape
    pointer, zero = b.type, e.const(dtype, 0)

    def address(place, by):
        word = builder.load(builder.gep(table, [I64(place)]), align=8)
        return builder.inttoptr(builder.add(word, by), pointer)

    bases = [address(r, shift) for r in range(rows)]
    for r in range(rows):
        memory.prefetch(e, address(rows + r, c_shift))
    entry = builder.block
    outer, inner, after, done = (builder.append_basic_block(n) for n in ("segment", "loop", "next", "done"))
    builder.cbranch(builder.icmp_signed(">", segments, I64(0)), outer, done)

    def phis(types):
        return [builder.phi(t) for t in types]

    vector_types = [zero.ir.type] * (rows * vectors)
    builder.position_at_end(outer)
    segment, *held = phis([I64, *vector_types])
    pair = builder.gep(offsets, [builder.shl(segment, I64(1))])
    first = builder.load(pair, align=8)
    b_outer = builder.gep(b, [builder.load(builder.gep(pair, [I64(1)]), align=8)])
    builder.branch(inner)

    builder.position_at_end(inner)
    left, at, b_inner, *sums = phis([I64, I64, pointer, *vector_types])
    line = [memory.load(e, dtype, b_inner, I64(v * LANES)) for v in range(vectors)]
    new = []
    for r in range(rows):
        factor = memory.splat(e, dtype, bases[r], at)
        new += [e.fma(factor, line[v], memory.Value(dtype, sums[r * vectors + v])).ir for v in range(vectors)]
    # Opaque, for LLVM would make each row's pointer a counter of its own, and keep most of these in memory.
    rest, ahead, b_next = builder.sub(left, I64(1)), e.opaque(builder.add(at, step)), builder.gep(b_inner, [b_step])
    for phi, start, value in zip((left, at, b_inner, *sums), (count, first, b_outer, *held), (rest, ahead, b_next, *new)):
        phi.add_incoming(start, outer)
        phi.add_incoming(value, inner)
    builder.cbranch(builder.icmp_signed(">", rest, I64(0)), inner, after)

    builder.position_at_end(after)
    following = builder.add(segment, I64(1))
    for phi, start, value in zip((segment, *held), (I64(0), *[zero.ir] * len(new)), (following, *new)):
        phi.add_incoming(start, entry)
        phi.add_incoming(value, after)
    builder.cbranch(builder.icmp_signed("<", following, segments), outer, done)

    builder.position_at_end(done)
    results = phis(vector_types)
    for phi, value in zip(results, new):
        phi.add_incoming(zero.ir, entry)
        phi.add_incoming(value, after)
    targets = [address(rows + r, c_shift) for r in range(rows)]
    cells = [(targets[r], I64(v * LANES)) for r in range(rows) for v in range(vectors)]
    with builder.if_else(builder.icmp_signed("!=", onto, I64(0))) as (then, otherwise):
        with then:
            before = [memory.load(e, dtype, c, place) for c, place in cells]
            for (c, place), old, result in zip(cells, before, results):
                memory.store(e, dtype, c, place, e.add(old, memory.Value(dtype, result)))
        with otherwise:
            for (c, place), result in zip(cells, results):
                memory.store(e, dtype, c, place, memory.Value(dtype, result))
