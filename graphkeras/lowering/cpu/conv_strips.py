"""The inner products of convolutions, with rows at addresses of their own.

    gather_strip_T(rows, segments, many, count, shift, step, b, b_step, c_shift, onto)          TALL rows times a panel
    gather_middle_T(...)  gather_low_T(...)                                                     fewer rows
    gather_narrow_T(...)  gather_narrow_low_T(...)                                              more rows of one vector
    gather_lanes_T(rows, segments, many, count, shift, step, b, b_step, c_shift, onto, lanes)   TALL rows, each times vectors
    gather_taps_T(...)                                                                          TAPS rows, likewise

    strip    c_r[j] (+)= sum over s < many, q < count of a_r[segments[2 * s] + q * step] * b[segments[2 * s + 1] + q * b_step + j]
    lanes    the same with a_r[... + j] in place of a_r[...], for all j < lanes

`rows` points to the int64 addresses of a_0, a_1, ... followed by those of c_0, c_1, ...; `shift` and `c_shift` are bytes added to
them. As in `strips`, all sums stay in registers and each is a sequential chain of fma from 0; with `onto` not zero it is added
to c, else it replaces c. Rows may be repeated: every c is read before any is written.
"""

from llvmlite import ir

from graphkeras.lowering.cpu import memory
from graphkeras.lowering.cpu.packing import loop
from graphkeras.lowering.cpu.simd_types import gather_shapes
from graphkeras.lowering.cpu.target import LANES

I64 = ir.IntType(64)
PARAMETERS = "rows segments many count shift step b b_step c_shift onto"


def takes_lanes(name) -> bool:
    """Whether rows are multiplied by vectors, not by panels."""
    return name in ("gather_lanes", "gather_taps")


def emit(e, name, dtype, *args):
    """Call of the private function for one of the names above."""
    shape = gather_shapes(dtype, LANES)[name]
    write = _write_lanes if takes_lanes(name) else _write
    symbol = f"gk.{'lanes' if takes_lanes(name) else 'strip'}_of_rows.{dtype}.{shape[0]}x{shape[1]}"
    e.helper(symbol, ir.VoidType(), args, lambda inner, inner_args: write(inner, dtype, shape, *inner_args), inline=False)


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


def _write_lanes(e, dtype, shape, table, offsets, segments, count, shift, step, b, b_step, c_shift, onto, lanes):
    b_, (rows, vectors) = e.b, shape
    pointer = b.type

    def address(place, by):
        word = b_.load(b_.gep(table, [I64(place)]), align=8)
        return b_.inttoptr(b_.add(word, by), pointer)

    sources, targets = [address(r, shift) for r in range(rows)], [address(rows + r, c_shift) for r in range(rows)]
    adds = b_.icmp_signed("!=", onto, I64(0))
    wide = b_.mul(b_.udiv(lanes, I64(vectors * LANES)), I64(vectors * LANES))
    for start, end, many in ((I64(0), wide, vectors), (wide, lanes, 1)):
        with loop(e, start, end, many * LANES) as j:
            full = many > 1
            n = None if full else _least(b_, b_.sub(end, j.value), I64(LANES))
            _lane_sums(e, dtype, many, n, j.value, sources, targets, offsets, segments, count, step, b, b_step, adds)


def _least(b, x, y):
    return b.select(b.icmp_signed("<", x, y), x, y)


def _lane_sums(e, dtype, many, n, j, sources, targets, offsets, segments, count, step, b, b_step, adds):
    """The sums of all rows for `many` vectors from lane j on, or the first n lanes of one."""
    b_, zero = e.b, e.const(dtype, 0)

    def load(p, place, v):
        at = b_.add(place, I64(v * LANES))
        return memory.load(e, dtype, p, at) if n is None else memory.loadn(e, dtype, p, at, n)

    cells = [(r, v) for r in range(len(sources)) for v in range(many)]
    with b_.goto_entry_block():
        sums = [b_.alloca(zero.ir.type) for _ in cells]
    for cell in sums:
        b_.store(zero.ir, cell)
    with loop(e, I64(0), segments) as s:
        pair = b_.gep(offsets, [b_.shl(s.value, I64(1))])
        at_a = b_.add(b_.load(pair, align=8), j)
        at_b = b_.add(b_.load(b_.gep(pair, [I64(1)]), align=8), j)
        with loop(e, I64(0), count) as q:
            a_place, b_place = b_.add(at_a, b_.mul(q.value, step)), b_.add(at_b, b_.mul(q.value, b_step))
            line = [load(b, b_place, v) for v in range(many)]
            for (r, v), cell in zip(cells, sums):
                total = e.fma(load(sources[r], a_place, v), line[v], memory.Value(dtype, b_.load(cell)))
                b_.store(total.ir, cell)
    with b_.if_then(adds):
        for (r, v), cell in zip(cells, sums):
            b_.store(e.add(load(targets[r], j, v), memory.Value(dtype, b_.load(cell))).ir, cell)
    for (r, v), cell in zip(cells, sums):
        value, place = memory.Value(dtype, b_.load(cell)), b_.add(j, I64(v * LANES))
        if n is None:
            memory.store(e, dtype, targets[r], place, value)
        else:
            memory.storen(e, dtype, targets[r], place, value, n)
