"""What matrix multiplication copies: operands into panels and strips, and ragged tiles out of their corner.

Plain loops, but emitted as LLVM instructions, for typing them as Python would take Numba longer than all the rest of the kernel.
WIDTH is the width of a panel, TALL and LOW are the heights of strips (`simd_types.strip_shapes`).

    pack_panels_T(b, k_step, n_step, panels, k, n, first)
        b[q * k_step + j * n_step] to panels[j // WIDTH * WIDTH * k + q * WIDTH + j % WIDTH], for first <= j < n, q < k; the rest
        of the last panel is filled with zeros
    pack_strips_T(a, m_step, k_step, strips, k, m)
        a[i * m_step + q * k_step] to strips of TALL or LOW rows; the strip that begins with row i lies at i * (k + LANES), in it
        column q at q * height
    pack_rows_T(a, m_step, rows, row, k, m, first)
        a[i * m_step + q] to rows[i * row + q], for first <= i < m, and TALL rows of zeros behind them
    merge_corner_T(corner, c, c_row, m, n, onto)
        corner[i * WIDTH + j] to c[i * c_row + j], or onto it
"""

from contextlib import contextmanager

from llvmlite import ir

from graphkeras.lowering.cpu import memory
from graphkeras.lowering.cpu.simd_types import DTYPES, strip_shapes
from graphkeras.lowering.cpu.target import LANES

I64 = ir.IntType(64)
PARAMETERS = {
    "pack_panels": "b k_step n_step panels k n first",
    "pack_strips": "a m_step k_step strips k m",
    "pack_rows": "a m_step rows row k m first",
    "merge_corner": "corner c c_row m n onto",
}
POINTERS = ("a", "b", "c", "panels", "strips", "rows", "corner")
"""The parameters that are pointers; all others are integers."""

_AHEAD = 6  # rows fetched ahead: the CPU's own prefetcher stops at the end of a page
_LINE = 64


def emit(e, name, dtype, *args):
    """Call of the private function for one of the names above."""
    body = globals()[f"_{name}"]
    # Kept apart, for inside the kernel's loops they would take LLVM three times as long.
    e.helper(f"gk.{name}.{dtype}", ir.VoidType(), args, lambda inner, given: body(inner, dtype, *given), inline=False)


def is_low(left, low, tall):
    """Whether the next strip is a low one, with `left` rows to go (a number, for Python and for the kernel's text)."""
    return left <= 2 * low if tall > 2 * low else left <= low or left == 2 * low


def _heights(dtype):
    shapes = strip_shapes(dtype, LANES)
    return shapes["low"][0], shapes["tall"][0]


def _width(dtype):
    return strip_shapes(dtype, LANES)["tall"][1] * LANES


class _Counter:
    """A loop's counter; `step` may be set by its body."""

    def __init__(self, value, step):
        self.value, self.step = value, step


@contextmanager
def loop(e, start, end, step=1):
    """`while counter < end`, from `start`; yields the counter. Afterwards `counter.value` is where it stopped."""
    b = e.b
    with b.goto_entry_block():
        place = b.alloca(I64)
    b.store(start, place)
    head, body, done = (b.append_basic_block(name) for name in ("head", "body", "done"))
    b.branch(head)
    b.position_at_end(head)
    counter = _Counter(b.load(place), I64(step))
    b.cbranch(b.icmp_signed("<", counter.value, end), body, done)
    b.position_at_end(body)
    yield counter
    b.store(b.add(counter.value, counter.step), place)
    b.branch(head)
    b.position_at_end(done)


def _min(b, x, y):
    return b.select(b.icmp_signed("<", x, y), x, y)


def _down(b, x, step):
    """x, rounded down to a multiple of `step`; x is not negative."""
    return b.mul(b.udiv(x, I64(step)), I64(step))


def _fetch(e, dtype, row, count):
    """The lines of a row of `count` elements."""
    with loop(e, I64(0), count, _LINE * 8 // DTYPES[dtype].bits) as at:
        memory.prefetch(e, e.b.gep(row, [at.value]))


def _pack_panels(e, dtype, source, k_step, n_step, panels, k, n, first):
    b, width = e.b, _width(dtype)
    dense = b.icmp_signed("==", n_step, I64(1))
    last = b.select(dense, _down(b, n, width), first)
    with b.if_then(b.icmp_signed(">", last, first)), loop(e, I64(0), k) as q:
        row = b.gep(source, [b.mul(q.value, k_step)])
        panel = b.gep(panels, [b.mul(q.value, I64(width))])
        _fetch(e, dtype, b.gep(row, [b.mul(k_step, I64(_AHEAD))]), last)
        with loop(e, first, last, width) as j:
            target = b.mul(j.value, k)
            for v in range(0, width, LANES):
                line = memory.load(e, dtype, row, b.add(j.value, I64(v)))
                memory.store(e, dtype, panel, b.add(target, I64(v)), line)
    with loop(e, last, n, LANES) as j:
        count = _min(b, b.sub(n, j.value), I64(LANES))
        part = _down(b, j.value, width)
        column = b.gep(source, [b.mul(j.value, n_step)])
        panel = b.gep(panels, [b.add(b.mul(part, k), b.sub(j.value, part))])
        whole = b.and_(b.icmp_signed("==", k_step, I64(1)), b.icmp_signed("==", count, I64(LANES)))
        blocks = b.select(whole, _down(b, k, LANES), I64(0))
        with loop(e, I64(0), blocks, LANES) as q:
            memory.transpose(e, dtype, column, q.value, n_step, panel, b.mul(q.value, I64(width)), I64(width))
        with b.if_else(dense) as (then, otherwise):
            with then, loop(e, blocks, k) as q:
                line = memory.loadn(e, dtype, column, b.mul(q.value, k_step), count)
                memory.store(e, dtype, panel, b.mul(q.value, I64(width)), line)
            with otherwise, loop(e, blocks, k) as q:
                line = memory.loads(e, dtype, column, b.mul(q.value, k_step), n_step, count)
                memory.store(e, dtype, panel, b.mul(q.value, I64(width)), line)
    if width > LANES:
        rest = b.sub(n, _down(b, n, width))
        half = b.and_(b.icmp_signed(">", rest, I64(0)), b.icmp_signed("<=", rest, I64(LANES)))
        with b.if_then(half):
            panel = b.gep(panels, [b.add(b.mul(_down(b, n, width), k), I64(LANES))])
            with loop(e, I64(0), k) as q:
                memory.store(e, dtype, panel, b.mul(q.value, I64(width)), e.const(dtype, 0))


def _height(b, dtype, left):
    low, tall = _heights(dtype)
    lower = b.icmp_signed("<=", left, I64(2 * low if tall > 2 * low else low))
    if tall <= 2 * low:
        lower = b.or_(lower, b.icmp_signed("==", left, I64(2 * low)))
    return b.select(lower, I64(low), I64(tall))


def _pack_strips(e, dtype, source, m_step, k_step, strips, k, m):
    b, (_, tall) = e.b, _heights(dtype)
    distance = b.add(k, I64(LANES))
    dense = b.icmp_signed("==", m_step, I64(1))
    with b.goto_entry_block():
        tall_place = b.alloca(I64)
    b.store(I64(0), tall_place)
    with loop(e, I64(0), m) as i:  # the tall strips come first
        i.step = _height(b, dtype, b.sub(m, i.value))
        with b.if_then(b.icmp_signed("==", i.step, I64(tall))):
            b.store(b.add(i.value, I64(tall)), tall_place)
    whole = _min(b, b.load(tall_place), b.sub(m, I64(LANES - 1)))  # rows from which LANES may be loaded begin before this
    whole = b.select(dense, whole, I64(0))
    with loop(e, I64(0), k) as q:
        column = b.gep(source, [b.mul(q.value, k_step)])
        strip = b.gep(strips, [b.mul(q.value, I64(tall))])
        with b.if_then(dense):
            _fetch(e, dtype, b.gep(column, [b.mul(k_step, I64(_AHEAD))]), m)
        with loop(e, I64(0), whole, tall) as i:
            memory.store(e, dtype, strip, b.mul(i.value, distance), memory.load(e, dtype, column, i.value))
        with loop(e, i.value, m) as i:
            left = b.sub(m, i.value)
            i.step = _height(b, dtype, left)
            count = _min(b, left, i.step)
            place = b.add(b.mul(i.value, distance), b.mul(q.value, i.step))
            with b.if_else(dense) as (then, otherwise):
                with then:
                    memory.store(e, dtype, strips, place, memory.loadn(e, dtype, column, i.value, count))
                with otherwise:
                    line = memory.loads(e, dtype, column, b.mul(i.value, m_step), m_step, count)
                    memory.store(e, dtype, strips, place, line)


def _pack_rows(e, dtype, source, m_step, rows, row, k, m, first):
    b, (_, tall) = e.b, _heights(dtype)
    with loop(e, first, m) as i:
        line, target = b.gep(source, [b.mul(i.value, m_step)]), b.gep(rows, [b.mul(i.value, row)])
        with loop(e, I64(0), k, LANES) as q:
            count = _min(b, b.sub(k, q.value), I64(LANES))
            memory.store(e, dtype, target, q.value, memory.loadn(e, dtype, line, q.value, count))
    with loop(e, m, b.add(m, I64(tall))) as i:
        target = b.gep(rows, [b.mul(i.value, row)])
        with loop(e, I64(0), k, LANES) as q:
            memory.store(e, dtype, target, q.value, e.const(dtype, 0))


def _merge_corner(e, dtype, corner, c, c_row, m, n, onto):
    b, width = e.b, _width(dtype)
    adds = b.icmp_signed("!=", onto, I64(0))
    with loop(e, I64(0), m) as i, loop(e, I64(0), n, LANES) as j:
        count = _min(b, b.sub(n, j.value), I64(LANES))
        value = memory.load(e, dtype, corner, b.add(b.mul(i.value, I64(width)), j.value))
        place = b.add(b.mul(i.value, c_row), j.value)
        with b.if_else(adds) as (then, otherwise):
            with then:
                memory.storen(e, dtype, c, place, e.add(memory.loadn(e, dtype, c, place, count), value), count)
            with otherwise:
                memory.storen(e, dtype, c, place, value, count)
