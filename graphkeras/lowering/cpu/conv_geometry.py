"""How a window walks over an array, and at which of its places which taps meet the array.

Every convolution is seen with three spatial axes (leading ones of size 1) as a walk over *places*, each of which reads *taps* of an
array. Along an axis the tap k of place p lies at

    (p * mul + off) // div - back + t(k)        forward: mul = stride, div = 1, back = 0, off = -low, t(k) = k * dil
                                                input gradient: mul = 1, div = stride, off = low,
                                                t(k) = back - k * dil // div, back = reach

with t(k) in 0 .. reach; in an input gradient only taps with (k * dil) % div == (p * mul + off) % div, the place's *phase*, are
read. Places that read the same taps are of one class. Taps outside are never read: nothing is padded or copied, and an infinite
weight meets no zero that is not there.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from graphkeras.ir.node import Node
from graphkeras.lowering.cpu.kernel import Computed
from graphkeras.lowering.cpu.sides import slots_of
from graphkeras.lowering.cpu.simd_types import gather_shapes
from graphkeras.lowering.cpu.target import LANES
from graphkeras.schedule.groups import Group

AXES = "dhw"
GEOMETRY = (
    "batch", "in_d", "in_h", "in_w", "channels", "out_d", "out_h", "out_w", "filters", "groups", "k_d", "k_h", "k_w",
    "mul_d", "mul_h", "mul_w", "div_d", "div_h", "div_w", "off_d", "off_h", "off_w", "dil_d", "dil_h", "dil_w", "flip",
)  # fmt: skip
"""Words that describe a walk: `in` and `channels` of the array that is read, `out` of the places, `filters` of the result."""
_WORDS = (*GEOMETRY, "tall", "low", "width", "fused", "made", "made_ct", "sides")

ITEM = {"f32": 4, "f64": 8}
BLOCK, CLASS = 7, 6
"""Words of a block and of a class in a plan, see `conv_plan`."""
_ROW = 192  # a longer row is cut into pieces


def _three(values, fill):
    return [fill] * (3 - len(values)) + list(values)


def geometry(node: Node) -> list:
    """The values of GEOMETRY (ints and Dims) for a convolution or one of its gradients."""
    attrs = node.attrs
    strides, dilation = _three(attrs["strides"], 1), _three(attrs["dilation"], 1)
    low = [p[0] for p in _three(attrs["padding"], (0, 0))]
    if node.op == "conv_input_gradient":
        read, places, window = node.inputs[0].shape, node.specs[0].shape, node.inputs[1].shape[:-2]
        steps, offsets, flip = [1, 1, 1, *strides], low, 1
    else:
        read = node.inputs[0].shape
        forward = node.op == "conv"
        places = node.specs[0].shape if forward else node.inputs[1].shape
        window = node.inputs[1].shape[:-2] if forward else attrs["window"]
        steps, offsets, flip = [*strides, 1, 1, 1], [-p for p in low], 0
    return [
        places[0], *_three(read[1:-1], 1), read[-1], *_three(places[1:-1], 1), places[-1], attrs["groups"],
        *_three(window, 1), *steps, *offsets, *dilation, flip,
    ]  # fmt: skip


class Axis(NamedTuple):
    """The places of one axis.

    Attributes:
        of: class of each place.
        start: cell of the array that each place's first tap meets (0 where none does).
        phase, first, count: of each class: its phase, and which of the phase's taps meet the array.
        taps: of each phase: the taps k in the order in which they are read.
        step: cells from one tap to the next.
    """

    of: np.ndarray
    start: np.ndarray
    phase: list
    first: list
    count: list
    taps: list
    step: int

    @property
    def classes(self) -> int:
        return len(self.count)


@dataclass(frozen=True)
class Walk:
    """Concrete values of GEOMETRY, and the sizes that follow from them.

    Args:
        words: those of GEOMETRY; rows of a tall and of a low strip, and their columns; whether an epilogue follows, and whether
            prologues make the array and a kernel gradient's ct; how many sums down columns are taken on the side.
    """

    words: tuple
    dtype: str

    def __getattr__(self, name):
        try:
            return self.words[_WORDS.index(name)]
        except ValueError:
            raise AttributeError(name) from None

    @property
    def rows(self) -> int:
        """Rows of places of an image."""
        return self.out_d * self.out_h

    @property
    def taps(self) -> int:
        return self.k_d * self.k_h * self.k_w

    @property
    def deep(self) -> int:
        """Channels that a filter reads."""
        return self.channels // self.groups

    @property
    def wide(self) -> int:
        """Filters of a group."""
        return self.filters // self.groups

    @property
    def panels(self) -> int:
        return self.groups * max(1, -(-self.wide // self.width))

    @property
    def depth(self) -> int:
        """Products in a sum: rows of a panel."""
        return self.taps * self.deep

    @property
    def cells(self) -> int:
        """Cells of an image."""
        return self.in_d * self.in_h * self.in_w

    @property
    def cell_bytes(self) -> int:
        return self.channels * ITEM[self.dtype]

    @property
    def copied(self) -> bool:
        """Whether a convolution copies a group's channels of the cells that a block reads: in the array they lie far apart, in few sets
        of the first cache. Channels that fill no vector take longer to copy than that saves."""
        return self.groups > 1 and self.taps > 1 and self.deep % LANES == 0

    @property
    def piece(self) -> int:
        """Places of a row that a unit takes: all of them, where units are whole chunks."""
        count = 1 if self.sides else max(1, -(-self.out_w // _ROW))
        return max(1, -(-self.out_w // count))

    @functools.cached_property
    def axes(self) -> list[Axis]:
        return [self._axis(a) for a in AXES]

    def _axis(self, a) -> Axis:
        size, out, k, mul, div, off, dil = (getattr(self, f"{word}_{a}") for word in ("in", "out", "k", "mul", "div", "off", "dil"))
        back = (k - 1) * dil // div * self.flip
        order = range(k - 1, -1, -1) if self.flip else range(k)
        taps = [[i for i in order if i * dil % div == phase] for phase in range(div)]
        places = np.arange(out) * mul + off
        phase, base = places % div, places // div - back
        first, count, start = (np.zeros(out, np.int64) for _ in range(3))
        for number, of_phase in enumerate(taps):
            t = np.array([back - i * dil // div if self.flip else i * dil for i in of_phase], np.int64)
            here = np.flatnonzero(phase == number)
            below, inside = (np.searchsorted(t, limit - base[here]) for limit in (0, size))
            count[here] = np.maximum(0, inside - below)
            some = count[here] > 0
            first[here] = np.where(some, below, 0)
            start[here[some]] = base[here[some]] + t[below[some]]
        keys, of = np.unique(np.stack([phase, first, count]), axis=1, return_inverse=True)
        return Axis(of.reshape(-1), start, *keys.tolist(), taps, dil // int(np.gcd(dil, div)))


def heights(tall, low, rows) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of tall and of low strips for so many rows (an array): those that compute the fewest rows in vain."""
    lows = np.arange(3).reshape(3, *[1] * np.ndim(rows))
    talls = -(-np.maximum(0, rows - lows * low) // tall)
    best = np.expand_dims((talls * tall + lows * low).argmin(axis=0), 0)
    some = np.greater(rows, 0)
    return np.take_along_axis(talls, best, 0)[0] * some, best[0] * some


class Strips(NamedTuple):
    """The strips of a kernel: `tall` ones and, for what is left over, `low` ones, of as many columns.

    Attributes:
        name: of the tall ones in the SIMD language.
        low_name: of the low ones.
    """

    name: str
    low_name: str
    tall: int
    low: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.tall, self.low, self.width

    def computed(self, rows) -> int:
        """Rows that are computed for so many."""
        tall, low = heights(self.tall, self.low, rows)
        return int(tall) * self.tall + int(low) * self.low


def strips_of(dtype: str, filters, rows=None) -> Strips:
    """The usual strips, or some with more rows of one vector for few filters (of a group); for a known number of rows, those that
    compute the fewest in vain."""
    narrow = isinstance(filters, int) and filters <= LANES
    *tall, low = ("gather_narrow", "gather_narrow_low") if narrow else ("gather_strip", "gather_middle", "gather_low")
    shapes = gather_shapes(dtype, LANES)
    found = [Strips(f"{name}_{dtype}", f"{low}_{dtype}", shapes[name][0], shapes[low][0], shapes[low][1] * LANES) for name in tall]
    return min(found, key=lambda strips: strips.computed(rows)) if isinstance(rows, int) else found[0]


DEPTHWISE = Strips("", "", 1, 1, 1)
"""What stands for the strips of a depthwise convolution, which has places one by one."""


def computed(function, dtype, group: Group, strips: Strips) -> Computed:
    """A number, or an array of integers, that follows from the walk of a group's convolution once sizes are known."""
    flags = group.has_epilogue, 0 in group.prologues, 1 in group.prologues, slots_of(group)
    return Computed(OfWalk(function, dtype), (*geometry(group.space.tiled), *strips.shape, *map(int, flags)))


class OfWalk:
    """A function of a walk as a function of its numbers; an object of known parts, so that the program cache can name it."""

    def __init__(self, function, dtype):
        self.function, self.dtype = function, dtype
        self.__name__ = function.__name__.strip("_")

    def __call__(self, *values):
        return self.function(Walk(values, self.dtype))
