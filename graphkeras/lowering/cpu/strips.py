"""The inner product of matrix multiplication and convolution: a strip of few rows times a panel of few vectors.

All sums stay in registers, so the shape is fixed by their number: 6 x 2 vectors of 8 floats fill 12 of AVX2's 16. It is one
name of the SIMD language for each of three shapes (`simd_types.strip_shapes`), emitted as LLVM instructions, since a hundred
Python statements would cost Numba ten times what they cost LLVM.

    strip_tall_T(a, a_row, a_step, b, b_step, count, c, c_row, onto)        TALL rows
    strip_low_T(...)                                                        LOW rows
    strip_row_T(...)                                                        one row, and wider

    c[r, j] (+)= sum over q < count of a[r * a_row + q * a_step] * b[q * b_step + j]

Each sum is a sequential chain of fma from 0; with `onto` not zero it is added to c, else it replaces c.
"""

from llvmlite import ir

from graphkeras.lowering.cpu import memory
from graphkeras.lowering.cpu.target import LANES

I64 = ir.IntType(64)


def strip(e, dtype, shape, *args):
    """Call of the private function for a shape (rows, vectors); args as above."""
    name = f"gk.strip.{dtype}.{shape[0]}x{shape[1]}"
    e.helper(name, ir.VoidType(), args, lambda inner, inner_args: _write(inner, dtype, shape, *inner_args))


def _write(e, dtype, shape, a, a_row, a_step, b, b_step, count, c, c_row, onto):
    builder, (rows, vectors) = e.b, shape
    cells = [(r, v) for r in range(rows) for v in range(vectors)]
    zero = e.const(dtype, 0)
    for r in range(rows):
        memory.prefetch(e, builder.gep(c, [builder.mul(c_row, I64(r))]))
        memory.prefetch(e, builder.gep(a, [builder.mul(a_row, I64(rows + r))]))  # the strip below, most likely next
    entry = builder.block
    loop, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", count, I64(0)), loop, done)

    builder.position_at_end(loop)
    left, at_a, at_b = builder.phi(I64), builder.phi(a.type), builder.phi(b.type)
    sums = [builder.phi(zero.ir.type) for _ in cells]
    for phi, start in zip((left, at_a, at_b), (count, a, b)):
        phi.add_incoming(start, entry)
    line = [memory.load(e, dtype, at_b, I64(v * LANES)) for v in range(vectors)]
    new = []
    for r in range(rows):
        factor = memory.splat(e, dtype, at_a, builder.mul(a_row, I64(r)))
        new += [e.fma(factor, line[v], memory.Value(dtype, sums[r * vectors + v])) for v in range(vectors)]
    rest = builder.sub(left, I64(1))
    for phi, value in zip((left, at_a, at_b), (rest, builder.gep(at_a, [a_step]), builder.gep(at_b, [b_step]))):
        phi.add_incoming(value, loop)
    for phi, value in zip(sums, new):
        phi.add_incoming(zero.ir, entry)
        phi.add_incoming(value.ir, loop)
    builder.cbranch(builder.icmp_signed(">", rest, I64(0)), loop, done)

    builder.position_at_end(done)
    results = []
    for value in new:
        result = builder.phi(zero.ir.type)
        result.add_incoming(zero.ir, entry)
        result.add_incoming(value.ir, loop)
        results.append(memory.Value(dtype, result))
    places = [builder.add(builder.mul(c_row, I64(r)), I64(v * LANES)) for r, v in cells]
    with builder.if_else(builder.icmp_signed("!=", onto, I64(0))) as (then, otherwise):
        with then:
            for place, result in zip(places, results):
                memory.store(e, dtype, c, place, e.add(memory.load(e, dtype, c, place), result))
        with otherwise:
            for place, result in zip(places, results):
                memory.store(e, dtype, c, place, result)
