"""The inner product of matrix multiplication and convolution: a strip of few rows times a panel of few vectors.

All sums stay in registers, so the shape is fixed by their number: 6 x 2 vectors of 8 floats fill 12 of AVX2's 16. It is one
name of the SIMD language for each shape (`simd_types.strip_shapes`), emitted as LLVM instructions, since a hundred Python
statements would cost Numba ten times what they cost LLVM.

    strip_tall_T(a, a_row, a_step, b, b_step, count, c, c_row, onto)        TALL rows
    strip_low_T(...)                                                        LOW rows
    strip_row_T(...)                                                        one row, and wider
    strip_wide_T(..., onto, b_next)                                         fewer rows and two panels, 16 lanes only
    strip_half_T(...)                                                       TALL rows and the first half of a panel, likewise

    c[r, j] (+)= sum over q < count of a[r * a_row + q * a_step] * b[q * b_step + j]

The second panel begins at b[b_next]. Each sum is a sequential chain of fma from 0; with `onto` not zero it is added to c, else
it replaces c.
"""

import functools

from llvmlite import ir

from graphkeras.lowering.cpu import memory
from graphkeras.lowering.cpu.simd_types import strip_shapes
from graphkeras.lowering.cpu.target import LANES

PARAMETERS = "a a_row a_step b b_step count c c_row onto"

I64 = ir.IntType(64)
_UNROLL = 4
_GROUP = 6  # rows that share a pointer: more offsets than these would not stay in registers


def strip(e, kind, dtype, *args):
    """Call of the private function for one of the names above."""
    e.helper(f"gk.strip.{kind}.{dtype}", ir.VoidType(), args, lambda inner, inner_args: _write(inner, dtype, kind, *inner_args))


class _Sums:
    """The loops of a strip, one after the other: each goes on with what the ones before it have left.

    What is made opaque: LLVM would find row r from row r - 1, an addition each; and it would unroll a loop it can count, until the
    registers do not suffice.

    A CPU whose core serves two threads has few instructions to spare beside the multiplications, so the usual steps are written
    out, with constants for addresses.
    """

    def __init__(self, e, dtype, shape, b_next):
        self.e, self.dtype, (self.rows, self.vectors) = e, dtype, shape
        self.b_next = b_next

    def loop(self, name, unroll, enters, a_step, b_step, a_row, state):
        """Emits `while left >= unroll`, entered if `enters`; returns the state (left, b, pointers to rows of a, sums) behind it.

        Steps and a_row are constants or values; a_row None takes the rows' offsets from registers.
        """
        b, entry = self.e.b, self.e.b.block
        body, done = b.append_basic_block(name), b.append_basic_block(name + ".done")
        left, at_b, at_a, sums = state
        can = b.icmp_signed(">=", left, I64(unroll))
        b.cbranch(can if enters is None else b.and_(can, enters), body, done)
        b.position_at_end(body)
        start = [left, at_b, *at_a, *sums]
        held = [b.phi(value.type) for value in start]
        for phi, value in zip(held, start):
            phi.add_incoming(value, entry)
        left, at_b, at_a, sums = held[0], held[1], held[2 : 2 + len(at_a)], held[2 + len(at_a) :]
        for u in range(unroll):
            line = [memory.load(self.e, self.dtype, at_b, place) for place in self._line(b_step, u)]
            new = []
            for r in range(self.rows):
                group, offset = divmod(r, _GROUP)
                if a_row is None:
                    place = self._place(a_step, u, 0)
                    pointer = b.gep(at_a[group], [self.offsets[offset]]) if offset else at_a[group]
                else:
                    pointer, place = at_a[0], self._place(a_step, u, r * a_row)
                factor = memory.splat(self.e, self.dtype, pointer, place)
                for v in range(self.vectors):
                    total = memory.Value(self.dtype, sums[r * self.vectors + v])
                    new.append(self.e.fma(factor, line[v], total).ir)
            sums = new
        rest = self.e.opaque(b.sub(left, I64(unroll)))
        ahead = [b.gep(pointer, [self._place(step, unroll, 0)]) for pointer, step in [(at_b, b_step), *((p, a_step) for p in at_a)]]
        end = [rest, *ahead, *sums]
        for phi, value in zip(held, end):
            phi.add_incoming(value, body)
        b.cbranch(b.icmp_signed(">=", rest, I64(unroll)), body, done)
        b.position_at_end(done)
        results = [b.phi(value.type) for value in start]
        for phi, before, value in zip(results, start, end):
            phi.add_incoming(before, entry)
            phi.add_incoming(value, body)
        return results[0], results[1], results[2 : 2 + len(at_a)], results[2 + len(at_a) :]

    def _line(self, step, count):
        """Places of a row's vectors: all in one panel, or one half in each of two."""
        if self.b_next is None:
            return [self._place(step, count, v * LANES) for v in range(self.vectors)]
        half = [self._place(step, count, v * LANES) for v in range(self.vectors // 2)]
        return half + [self.e.b.add(self.b_next, place) for place in half]

    def _place(self, step, count, more):
        if isinstance(step, int):
            return I64(step * count + more)
        return self.e.b.add(self.e.b.mul(step, I64(count)), I64(more))


def _write(e, dtype, kind, a, a_row, a_step, b, b_step, count, c, c_row, onto, b_next=None):
    shapes = strip_shapes(dtype, LANES)
    builder, (rows, vectors), (tall, panel) = e.b, shapes[kind], shapes["tall"]
    cells = [(r, v) for r in range(rows) for v in range(vectors)]
    for r in range(rows):
        memory.prefetch(e, builder.gep(c, [builder.mul(c_row, I64(r))]))
        memory.prefetch(e, builder.gep(a, [builder.mul(a_row, I64(rows + r))]))  # the strip below, most likely next
    loops = _Sums(e, dtype, shapes[kind], b_next)
    bases = [a, *(e.opaque(builder.gep(a, [builder.mul(a_row, I64(r))])) for r in range(_GROUP, rows, _GROUP))]
    loops.offsets = [I64(0), *(e.opaque(builder.mul(a_row, I64(r))) for r in range(1, min(rows, _GROUP)))]
    state = (count, b, bases, [e.const(dtype, 0).ir for _ in cells])
    # Wide strips and halves are parts of what was packed for tall ones.
    width, packed = (panel * LANES, tall) if kind in ("wide", "half") else (vectors * LANES, rows)

    def are(*pairs):
        conditions = [builder.icmp_signed("==", value, I64(number)) for value, number in pairs]
        return functools.reduce(builder.and_, conditions)

    if rows > 1:
        state = loops.loop("packed", _UNROLL, are((b_step, width), (a_row, 1), (a_step, packed)), packed, width, 1, state)
        state = loops.loop("in_place", _UNROLL, are((b_step, width), (a_step, 1)), 1, width, None, state)
    *_, results = loops.loop("any", 1, None, a_step, b_step, None, state)
    results = [memory.Value(dtype, result) for result in results]
    places = [builder.add(builder.mul(c_row, I64(r)), I64(v * LANES)) for r, v in cells]
    with builder.if_else(builder.icmp_signed("!=", onto, I64(0))) as (then, otherwise):
        with then:
            for place, result in zip(places, results):
                memory.store(e, dtype, c, place, e.add(memory.load(e, dtype, c, place), result))
        with otherwise:
            for place, result in zip(places, results):
                memory.store(e, dtype, c, place, result)
