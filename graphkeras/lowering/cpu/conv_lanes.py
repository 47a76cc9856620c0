"""The inner loops of depthwise convolutions: vectors run over channels, and the taps of a place meet *runs* of places.

    gather_lanes_T(runs, many, taps, count, a, by_run, by_tap, lanes)
    gather_taps_T(...)

    lanes    by_run[r + p * r_step + j]  = sum over taps of a[s + p * s_step + u + j] * by_tap[t + j]
    taps     by_tap[t + j]              += sum over runs and p < n of a[s + p * s_step + u + j] * by_run[r + p * r_step + j]

for all j < lanes, the `many` runs (s, r, s_step, r_step, n) and the `count` taps (u, t), all in elements. Every sum is a
sequential chain of fma from 0. Channels are the outermost loop, so that what belongs to a tap, a weight or a sum, stays in a register
while places pass by: RESIDENT taps at a time, which are as many as AVX2 has room for. Further taps of a place go on with the chain
where the earlier ones have stored it, which changes no bit.
"""

from llvmlite import ir

from graphkeras.lowering.cpu import memory
from graphkeras.lowering.cpu.packing import loop
from graphkeras.lowering.cpu.target import LANES

I64 = ir.IntType(64)
PARAMETERS = "runs many taps count a by_run by_tap lanes"
NAMES = ("gather_lanes", "gather_taps")
RESIDENT = 9
_RAGGED = 3  # of the last channels, which fill no vector


def emit(e, name, dtype, *args):
    """Call of the private function for one of NAMES."""
    chunk = {"gather_lanes": _sums_of_places, "gather_taps": _sums_of_taps}[name]
    e.helper(f"gk.{name}.{dtype}", ir.VoidType(), args, lambda inner, given: _write(inner, dtype, chunk, *given), inline=False)


class _Lanes:
    """Access to LANES elements, or to the first n of them."""

    def __init__(self, e, dtype, n):
        self.e, self.dtype, self.n = e, dtype, n

    def load(self, p, i):
        return memory.load(self.e, self.dtype, p, i) if self.n is None else memory.loadn(self.e, self.dtype, p, i, self.n)

    def store(self, p, i, value):
        if self.n is None:
            memory.store(self.e, self.dtype, p, i, value)
        else:
            memory.storen(self.e, self.dtype, p, i, value, self.n)


class _Runs:
    """All runs of a call, for the lanes from the one on at which the arrays now begin."""

    def __init__(self, e, runs, many, a, by_run):
        self.e, self.runs, self.many, self.a, self.by_run = e, runs, many, a, by_run

    def places(self, visit):
        """Emits `visit(at, place)` for all places: elements of `a` and of `by_run` at which each begins."""
        b = self.e.b
        with b.goto_entry_block():
            at, place = b.alloca(I64), b.alloca(I64)
        with loop(self.e, I64(0), self.many) as run:
            first = b.mul(run.value, I64(5))
            *starts, at_step, place_step, count = (b.load(b.gep(self.runs, [b.add(first, I64(i))]), align=8) for i in range(5))
            b.store(starts[0], at)
            b.store(starts[1], place)
            with loop(self.e, I64(0), count):
                here = b.load(at), b.load(place)
                visit(*here)
                # Opaque, for LLVM would make each tap's pointer a counter of its own, and run out of registers.
                b.store(self.e.opaque(b.add(here[0], at_step)), at)
                b.store(b.add(here[1], place_step), place)


def _write(e, dtype, chunk, runs, many, taps, count, a, by_run, by_tap, lanes):
    b = e.b
    whole = b.mul(b.udiv(lanes, I64(LANES)), I64(LANES))
    for start, end, most in ((I64(0), whole, RESIDENT), (whole, lanes, _RAGGED)):
        with loop(e, start, end, LANES) as j:
            access = _Lanes(e, dtype, None if most == RESIDENT else b.sub(end, j.value))
            a_here, run_here, tap_here = (b.gep(p, [j.value]) for p in (a, by_run, by_tap))
            of_runs = _Runs(e, runs, many, a_here, run_here)
            _all_taps(e, chunk, access, most, taps, count, of_runs, tap_here)


def _all_taps(e, chunk, access, most, taps, count, runs, by_tap):
    """Emits chunks of `most` taps after a first one of what is left over, which may be none at all."""
    b = e.b
    some = b.icmp_signed(">", count, I64(0))
    rest = b.add(b.srem(b.sub(count, I64(1)), I64(most)), I64(1))
    end = b.select(some, count, I64(1))
    with loop(e, I64(0), end) as t:
        is_first = b.icmp_signed("==", t.value, I64(0))
        size = b.select(is_first, b.select(some, rest, I64(0)), I64(most))
        t.step = b.select(some, size, I64(1))
        pairs = b.gep(taps, [b.shl(t.value, I64(1))])
        done = b.append_basic_block("done")
        switch = b.switch(b.select(is_first, size, I64(most + 1)), done)
        for number in range(most + 2):
            block = b.append_basic_block(f"taps{number}")
            switch.add_case(I64(number), block)
            b.position_at_end(block)
            words = [b.load(b.gep(pairs, [I64(i)]), align=8) for i in range(2 * min(number, most))]
            sources = [b.gep(runs.a, [word]) for word in words[::2]]
            chunk(e, access, runs, sources, words[1::2], by_tap, number > most)
            b.branch(done)
        b.position_at_end(done)


def _sums_of_places(e, access, runs, sources, places_of_taps, by_tap, onto):
    lines = [access.load(by_tap, place) for place in places_of_taps]

    def visit(at, place):
        total = access.load(runs.by_run, place) if onto else e.const(access.dtype, 0)
        for source, line in zip(sources, lines):
            total = e.fma(access.load(source, at), line, total)
        access.store(runs.by_run, place, total)

    runs.places(visit)


def _sums_of_taps(e, access, runs, sources, places_of_taps, by_tap, onto):
    b, zero = e.b, e.const(access.dtype, 0)
    with b.goto_entry_block():
        sums = [b.alloca(zero.ir.type) for _ in sources]
    for cell in sums:
        b.store(zero.ir, cell)

    def visit(at, place):
        line = access.load(runs.by_run, place)
        for source, cell in zip(sources, sums):
            total = e.fma(access.load(source, at), line, memory.Value(access.dtype, b.load(cell)))
            b.store(total.ir, cell)

    runs.places(visit)
    for cell, place in zip(sums, places_of_taps):
        access.store(by_tap, place, e.add(access.load(by_tap, place), memory.Value(access.dtype, b.load(cell))))
