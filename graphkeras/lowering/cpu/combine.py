"""How a reduction accumulates: start values, one step, and the end of a row.

The order of a sum is part of its meaning here: along a row TURNS vectors of running sums take turns, so that no addition waits for
the one before; they are restarted every CHUNK elements, added up and folded across lanes by a fixed tree, and chunks are added in
order. Down columns there is one running sum each, restarted every CHUNK_ROWS rows. It depends on the reduced shape alone.

Squared deviations from the mean of a column are found in one walk: within a chunk they are sums of deviations from the chunk's first
row, which is one of the numbers, so that little cancels; chunks are joined by the formula of Chan, Golub and LeVeque (Algorithms for
computing the sample variance, The American Statistician 37, 1983), with their means as distances from the column's first number.
"""

import functools
import math

from graphkeras.ir.node import Node
from graphkeras.lowering.cpu.source import FLOATING, HALF, Vec, Writer, short_dtype
from graphkeras.schedule.space import CHUNK_ROWS

CHUNK = 4096
TURNS = 2
_STEP = {
    "reduce_sum": "add", "reduce_prod": "mul", "reduce_max": "max", "reduce_min": "min", "reduce_any": "or_", "reduce_all": "and_",
}  # fmt: skip
_ACROSS = {
    "reduce_sum": "hsum", "reduce_prod": "hprod", "reduce_max": "hmax", "reduce_min": "hmin",
    "reduce_any": "hany", "reduce_all": "hall",
}  # fmt: skip
_UNSIGNED = ("u8", "u16", "u32", "u64")
_BIG = 1 << 62


def extreme(dtype: str, lowest: bool):
    """The least or greatest number of a dtype."""
    if dtype in FLOATING:
        return -math.inf if lowest else math.inf
    if dtype == "b1":
        return 0 if lowest else 1
    bits = int(dtype[1:])
    if dtype in _UNSIGNED:
        return 0 if lowest else 2**bits - 1
    return -(2 ** (bits - 1)) if lowest else 2 ** (bits - 1) - 1


__all__ = ["CHUNK", "CHUNK_ROWS", "TURNS", "Combine", "extreme"]


class Combine:
    """One reduction inside a loop.

    Attributes:
        node: the reduction.
        dtype: dtype of the elements (and of the running value).
        chunked: whether the running value restarts at chunks, because the order of its additions shows in the result.
        shifts: whether the first running vector is the first row of a chunk, and the first total the first row of all, from which the
            others deviate; who walks the rows sets it.
        marks: whether a NaN in a row is noted in a running vector of its own: extremes that need not look for one are single instructions.
    """

    def __init__(self, node: Node):
        self.node = node
        self.op = node.op
        self.dtype = short_dtype(node.inputs[0].dtype)
        self.shifts = node.op == "reduce_deviations"
        self.marks = node.op in ("reduce_max", "reduce_min") and self.dtype in FLOATING
        self.chunked = self.shifts or (node.op in ("reduce_sum", "reduce_prod") and self.dtype in FLOATING)

    @property
    def vector(self) -> str:
        """dtype of the running vector."""
        return "f32" if self.dtype in HALF else self.dtype

    @property
    def slots(self) -> list[str]:
        """dtypes of the running vectors."""
        if self.shifts:
            return [self.vector] * 3  # first row, sum of deviations from it, sum of their squares
        return [self.vector, "i64"] if self.is_position else [self.vector]

    @property
    def totals(self) -> list[str]:
        """dtypes of what a chunk leaves behind, and of what chunks are joined to; the result is the last of them."""
        # First row, distance of the mean from it, sum of squared deviations from the mean.
        return [self.vector] * 3 if self.shifts else [self.vector]

    @property
    def is_position(self) -> bool:
        return self.op in ("argmax", "argmin")

    @property
    def _lowest(self):
        return self.op in ("reduce_max", "argmax")

    def neutral(self) -> list:
        """Start values, one per slot."""
        if self.is_position:
            return [extreme(self.dtype, self._lowest), 0]
        if self.op in ("reduce_max", "reduce_min"):
            return [extreme(self.dtype, self._lowest)]
        return [0] * 3 if self.shifts else [1 if self.op in ("reduce_prod", "reduce_all") else 0]

    def neutral_totals(self) -> list:
        """What the first chunk is joined to, which changes no bit of it, not even the sign of a zero."""
        if self.shifts:
            return [0.0] * 3
        return [-0.0 if self.op == "reduce_sum" else 1.0] if self.chunked else self.neutral()[:1]

    def step(self, w: Writer, running: list[str], x: Vec, index: str | None, lanes: str | None) -> list[str]:
        """Sources of the new running vectors after taking in x; lanes from `lanes` on keep theirs."""
        if self.shifts:
            first, total, squares = running
            away = w.assign(f"sub({x.name}, {first})", self.vector).name
            return [first, f"add({total}, {away})", f"fma({away}, {away}, {squares})"]
        if self.is_position:
            best, at = running
            compare = "gt" if self._lowest else "lt"
            better = w.assign(f"{compare}({x.name}, {best})", "b1")
            if self.dtype in FLOATING:
                better = w.assign(f"or_({better.name}, and_(ne({x.name}, {x.name}), eq({best}, {best})))", "b1")
            if lanes is not None:
                better = w.assign(f"and_({better.name}, firstn({lanes}))", "b1")
            return [f"select({better.name}, {x.name}, {best})", f"select({better.name}, {index}, {at})"]
        combined = f"{_STEP[self.op]}({running[0]}, {x.name})"
        return [combined if lanes is None else f"select(firstn({lanes}), {combined}, {running[0]})"]

    def part(self, w: Writer, running: list[str], rows: str) -> list[str]:
        """Sources of what a chunk of so many rows leaves behind."""
        if not self.shifts:
            return running[:1]
        first, total, squares = running
        gap = w.assign(f"div({total}, {self._number(rows)})", self.vector).name
        spread = w.assign(f"sub({squares}, mul({total}, {gap}))", self.vector).name
        # Squares beyond all numbers stay so, unless there is no mean either.
        infinite = w.literal(math.inf, self.vector).name
        spread = f"select(and_(eq({squares}, {infinite}), lt(abs({total}), {infinite})), {squares}, {spread})"
        return [first, gap, f"max({spread}, {w.literal(0, self.vector).name})"]

    def join(self, w: Writer, totals: list[str], part: list[str], before: str, rows: str) -> list[str]:
        """Sources of the totals after a chunk of so many rows, with `before` rows before it."""
        if not self.shifts:
            return self.step(w, totals, Vec(part[0], self.vector), None, None)
        first, mean, spread = totals
        share = w.assign(f"div({self._number(rows)}, {self._number(f'{before} + {rows}')})", self.vector).name
        gap = w.assign(f"sub(add(sub({part[0]}, {first}), {part[1]}), {mean})", self.vector).name
        between = f"mul(mul({gap}, mul({self._number(before)}, {share})), {gap})"
        return [first, f"add({mean}, mul({gap}, {share}))", f"add(add({spread}, {part[2]}), {between})"]

    def _number(self, count: str) -> str:
        return f"cast_{self.vector}(splat_i64v({count}))"

    def start(self, w: Writer) -> list[str]:
        """Fresh names of the running vectors of a row, in turns where the order of taking things in does not matter otherwise; the
        mark of NaN is the last."""
        return [w.name("a") for _ in (self.slots if self.is_position else range(TURNS + self.marks))]

    def set_neutral(self, w: Writer, running: list[str]) -> None:
        """Gives the running vectors of a row their start values."""
        numbers = zip(self.neutral(), self.slots) if self.is_position else [(self.neutral()[0], self.vector)] * TURNS
        numbers = [*numbers, (0, self.vector)] if self.marks else numbers
        for name, (number, dtype) in zip(running, numbers):
            w.line(f"{name} = {w.literal(number, dtype).name}")

    def take(self, w: Writer, running: list[str], x: Vec, index: str | None, lanes: str | None) -> None:
        """Takes in the next vector of a row; the vector whose turn it was goes to the end."""
        if self.marks:
            *turns, mark = running
            best = self._beyond(turns[0], x.name)
            best = best if lanes is None else f"select(firstn({lanes}), {best}, {turns[0]})"
            w.line(f"{', '.join(running)} = {', '.join((*turns[1:], best, f'select(ne({x.name}, {x.name}), {x.name}, {mark})'))}")
            return
        new = self.step(w, running, x, index, lanes)
        new = new if self.is_position else [*running[1:], *new]
        w.line(f"{', '.join(running)} = {', '.join(new)}")

    def _beyond(self, running: str, x: str) -> str:
        """The extreme of two vectors as `step` would choose it, where neither holds a NaN."""
        return f"select({'gt' if self._lowest else 'lt'}({running}, {x}), {running}, {x})"

    def across(self, w: Writer, running: list[str]) -> Vec:
        """The result of a row in every lane."""
        if self.marks:
            *turns, mark = running
            total = w.assign(functools.reduce(self._beyond, turns), self.vector).name
            return w.assign(f"{_ACROSS[self.op]}(select(ne({mark}, {mark}), {mark}, {total}))", self.vector)
        if not self.is_position:
            total = running[0]
            for other in running[1:]:
                total = f"{_STEP[self.op]}({total}, {other})"
            return w.assign(f"{_ACROSS[self.op]}({total})", self.vector)
        best, at = running
        top = w.assign(f"{'hmax' if self._lowest else 'hmin'}({best})", self.vector)
        found = w.assign(f"eq({best}, {top.name})", "b1")
        if self.dtype in FLOATING:
            found = w.assign(f"or_({found.name}, and_(ne({best}, {best}), ne({top.name}, {top.name})))", "b1")
        return w.assign(f"hmin(select({found.name}, {at}, const_i64({_BIG})))", "i64")

    def result(self, w: Writer, value: Vec) -> Vec:
        """The result as the output's dtype."""
        dtype = short_dtype(self.node.specs[0].dtype)
        if dtype == value.dtype:
            return value
        return w.assign(f"cast_{dtype}({value.name})", dtype)
