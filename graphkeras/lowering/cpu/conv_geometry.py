"""What all convolution kernels share: how a window walks over an array, and how the part of the array that a unit reads is found.

Every convolution is seen with three spatial axes (leading ones of size 1) as a walk over *places*, each of which reads *taps* of an
array. Along an axis the tap k of place p lies at

    (p * mul + off) // div - back + t(k)        forward: mul = stride, div = 1, back = 0, off = -low, t(k) = k * dil
                                                input gradient: mul = 1, div = stride, off = low,
                                                t(k) = back - k * dil // div, back = reach

with t(k) in 0 .. reach; in an input gradient only taps with (k * dil) % div == (p * mul + off) % div, the place's *phase*, are
read.

A unit takes some rows of places (a row is all places along the last axis, or a piece of it), through row ends and images. Where no
tap can fall outside, the array is read in place; otherwise the rows that a unit needs are copied to scratch with zeros around them.
"""

from dataclasses import dataclass

from graphkeras.ir.node import Node
from graphkeras.lowering.cpu.kernel import Computed
from graphkeras.lowering.cpu.simd_types import strip_shapes
from graphkeras.lowering.cpu.target import LANES

AXES = "dhw"
GEOMETRY = (
    "batch", "in_d", "in_h", "in_w", "channels", "out_d", "out_h", "out_w", "filters", "groups", "k_d", "k_h", "k_w",
    "mul_d", "mul_h", "mul_w", "div_d", "div_h", "div_w", "off_d", "off_h", "off_w", "dil_d", "dil_h", "dil_w", "flip",
)  # fmt: skip
"""Words that describe a walk: `in` and `channels` of the array that is read, `out` of the places, `filters` of the result."""

ITEM = {"f32": 4, "f64": 8}
RECORD = 64
_PLACES = 144  # of a unit, about: its taps and its sums stay in the second cache
_ROW = 192  # a longer row is cut into pieces
_UNITS = 24  # enough for all threads to get a fair share


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


@dataclass(frozen=True)
class Walk:
    """Concrete values of GEOMETRY, and the sizes that follow from them."""

    words: tuple
    dtype: str

    def __getattr__(self, name):
        try:
            return self.words[GEOMETRY.index(name)]
        except ValueError:
            raise AttributeError(name) from None

    @property
    def rows(self) -> int:
        """Rows of places, over all images."""
        return self.batch * self.out_d * self.out_h

    @property
    def taps(self) -> int:
        return self.k_d * self.k_h * self.k_w

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return strip_shapes(self.dtype, LANES)["tall"][1] * LANES

    @property
    def tall(self) -> int:
        return strip_shapes(self.dtype, LANES)["tall"][0]

    @property
    def panels_per_group(self) -> int:
        return max(1, -(-(self.filters // self.groups) // self.width))

    @property
    def panels(self) -> int:
        return self.groups * self.panels_per_group

    @property
    def depth(self) -> int:
        """Products in a sum: rows of a panel."""
        return self.taps * (self.channels // self.groups)

    @property
    def piece(self) -> int:
        """Places of a row that a unit takes."""
        count = max(1, -(-self.out_w // _ROW))
        return max(1, -(-self.out_w // count))

    def block_rows(self, wanted_units=_UNITS) -> int:
        """Rows that a unit takes: so many that few sums of its strips are thrown away."""
        most = max(1, min(_ROW // self.piece, self.rows if self.piece == self.out_w else 1))
        most = min(most, max(1, self.rows // wanted_units, -(-2 * self.tall // self.piece)))

        def waste(rows):
            places = rows * self.piece
            phase = max(1, places // (self.div_d * self.div_h * self.div_w))  # strips are made of places of one phase
            return -(-phase // self.tall) * self.tall / phase + 6 / places + abs(places - _PLACES) / 2000

        return min(range(1, most + 1), key=waste)

    def reach(self, axis) -> int:
        return (getattr(self, "k_" + axis) - 1) * getattr(self, "dil_" + axis) // getattr(self, "div_" + axis)

    def is_inside(self) -> bool:
        """Whether no tap of any place falls outside."""
        for a in AXES:
            mul, div, off, out = (getattr(self, f"{word}_{a}") for word in ("mul", "div", "off", "out"))
            reach, back = self.reach(a), self.reach(a) * self.flip
            if off // div - back < 0 or ((out - 1) * mul + off) // div - back + reach >= getattr(self, "in_" + a):
                return False
        return True

    @property
    def spread(self) -> int:
        """Distance of cells for kernels that read few channels of many cells: powers of two fall on the same cache lines."""
        item = ITEM[self.dtype]
        return self.channels + 64 // item if self.channels * item % 256 == 0 else self.channels

    def window_elements(self, rows, pitch=None) -> int:
        """Scratch that the copied part of the array needs at most."""
        pitch = pitch or self.channels
        if self.is_inside() and pitch == self.channels:
            return 0
        parts = (rows - 1) // max(1, self.out_h) + 2
        lines = rows * self.mul_h // self.div_h + parts * (self.reach("h") + 2)
        wide = (self.piece - 1) * self.mul_w // self.div_w + self.reach("w") + 2
        return (self.reach("d") + 1) * lines * wide * pitch + LANES


def read_words(first: int) -> str:
    """Statements that read the words of GEOMETRY from argument `first` on, and what follows from them alone."""
    lines = [f"{name} = args[{first + i}]" for i, name in enumerate(GEOMETRY)]
    lines.append("inside = 1")
    for a in AXES:
        lines += [
            f"reach_{a} = (k_{a} - 1) * dil_{a} // div_{a}",
            f"back_{a} = reach_{a} * flip",
            f"first_{a} = off_{a} // div_{a} - back_{a}",
            f"last_{a} = ((out_{a} - 1) * mul_{a} + off_{a}) // div_{a} - back_{a} + reach_{a}",
            f"if first_{a} < 0 or last_{a} >= in_{a}:",
            "    inside = 0",
        ]
    return "\n".join(lines) + "\n"


LOCATE = """\
shift_w = 0
source = x
step_h = in_w * channels
step_d = in_h * step_h
runs = 1
if inside == 0:
    shift_w = (w0 * mul_w + off_w) // div_w - back_w
    cells = ((w1 - 1) * mul_w + off_w) // div_w - back_w + reach_w + 1 - shift_w
    step_h = cells * pitch
    runs = 1 if pitch == channels else cells
    length = cells // runs * channels
    source = window
    lines = 0
    g = g0
    while g < g1:
        oh = g % out_h
        oe = min(out_h, oh + g1 - g)
        lines += ((oe - 1) * mul_h + off_h) // div_h - (oh * mul_h + off_h) // div_h + reach_h + 1
        g += oe - oh
    step_d = lines * step_h
line = 0
g = g0
while g < g1:
    oh = g % out_h
    oe = min(out_h, oh + g1 - g)
    plane = g // out_h
    od = plane % out_d
    image = plane // out_d
    ih = (oh * mul_h + off_h) // div_h - back_h
    iz = (od * mul_d + off_d) // div_d - back_d
    start = ((image * in_d + iz) * in_h + ih) * step_h
    if inside == 0:
        start = line * step_h
        end_h = ((oe - 1) * mul_h + off_h) // div_h - back_h + reach_h + 1
        for slab in range(reach_d + 1):
            for r in range(ih, end_h):
                there = r >= 0 and r < in_h and iz + slab >= 0 and iz + slab < in_d
                for run in range(runs):
                    low = length
                    high = length
                    if there:
                        low = min(length, max(0, -shift_w - run) * channels)
                        high = max(low, min(length, (in_w - shift_w - run) * channels))
                    to = ptr_T(window + (slab * step_d + (line + r - ih) * step_h + run * pitch) * ITEM)
                    at = ptr_T(x + (((image * in_d + iz + slab) * in_h + r) * in_w + shift_w + run) * channels * ITEM)
                    e = 0
                    while e < low:
                        storen_T(to, e, zero, min(LANES, low - e))
                        e += LANES
                    e = low
                    while e + LANES <= high:
                        store_T(to, e, load_T(at, e))
                        e += LANES
                    if e < high:
                        storen_T(to, e, loadn_T(at, e, high - e), high - e)
                    e = high
                    while e < length:
                        storen_T(to, e, zero, min(LANES, length - e))
                        e += LANES
        line += end_h - ih
    for o in range(oh, oe):
        first = (o * mul_h + off_h) // div_h - back_h - ih
        bases[g - g0 + o - oh] = source + (start + first * step_h - shift_w * pitch) * ITEM
    g += oe - oh
"""
"""Finds, for rows g0 .. g1 and places w0 .. w1 of them, the address of column 0 of the array for each row (into `bases`), and the
steps in elements between lines and planes of the array or its copy; cells lie `pitch` apart."""

PHASES = """\
for phase_d in range(div_d):
    for phase_h in range(div_h):
        for phase_w in range(div_w):
"""
"""Loops over phases; the body stands three levels deeper."""

TAPS = """\
for tap_d in range(k_d):
    kd = k_d - 1 - tap_d if flip != 0 else tap_d
    if kd * dil_d % div_d == phase_d:
        td = back_d - kd * dil_d // div_d if flip != 0 else kd * dil_d
        for tap_h in range(k_h):
            kh = k_h - 1 - tap_h if flip != 0 else tap_h
            if kh * dil_h % div_h == phase_h:
                th = back_h - kh * dil_h // div_h if flip != 0 else kh * dil_h
                for tap_w in range(k_w):
                    kw = k_w - 1 - tap_w if flip != 0 else tap_w
                    if kw * dil_w % div_w == phase_w:
                        tw = back_w - kw * dil_w // div_w if flip != 0 else kw * dil_w
"""
"""Loops over the taps of a phase: their numbers kd, kh, kw and places td, th, tw. The body stands six levels deeper."""

PLACE_TABLE = """\
count = 0
for g in range(g0, g1):
    oh = g % out_h
    od = g // out_h % out_d
    if (oh * mul_h + off_h) % div_h == phase_h and (od * mul_d + off_d) % div_d == phase_d:
        base = bases[g - g0]
        col = w0 + (phase_w - w0 * mul_w - off_w) % div_w
        while col < w1:
            slot = count // TALL * (2 * TALL) + count % TALL
            table[slot] = base + ((col * mul_w + off_w) // div_w - back_w) * channels * ITEM
            table[slot + TALL] = target + ((g - g0) * (w1 - w0) + col - w0) * ld * ITEM
            count += 1
            col += div_w
full = (count + TALL - 1) // TALL * TALL
for more in range(count, full):
    slot = more // TALL * (2 * TALL) + more % TALL
    table[slot] = table[(more // TALL) * (2 * TALL)]
    table[slot + TALL] = dump
"""
"""Addresses of all places of a phase and of their sums, as `gather_strip` wants them; places missing in the last strip are
copies of its first, whose sums go to `dump`."""


BLOCKS = """\
zero = const_T(0.0)
pitch = channels
total_rows = batch * out_d * out_h
pieces = (out_w + piece - 1) // piece
per_block = (total_rows + rows - 1) // rows * pieces
"""
UNIT = """\
block = unit // per_block
rest = unit - block * per_block
g0 = rest // pieces * rows
w0 = (rest - rest // pieces * pieces) * piece
g1 = min(total_rows, g0 + rows)
w1 = min(out_w, w0 + piece)
"""
"""A unit's block of columns, rows and places: `per_block` and `pieces` are known."""

FINISH = """\
if epilogue != 0:
    record[0] = sums
    record[1] = ld
    record[2] = g0 * out_w + w0
    record[3] = g0 * out_w + w0 + (g1 - g0) * (w1 - w0)
    record[4] = j0
    record[5] = j1
    record[6] = 0
    record[7] = 0
    call_kernel(epilogue, epilogue_args, scratch, 0, window)
elif direct == 0:
    for i in range((g1 - g0) * (w1 - w0)):
        at = ptr_T(sums + i * ld * ITEM)
        to = ptr_T(y + ((g0 * out_w + w0 + i) * filters + j0) * ITEM)
        j = 0
        while j < j1 - j0:
            storen_T(to, j, load_T(at, j), min(LANES, j1 - j0 - j))
            j += LANES
"""
"""Hands the sums of a unit to the epilogue, or copies them to the result."""


def indented(text: str, depth: int) -> str:
    """The statements at a depth, in levels."""
    pad = "    " * depth
    return "".join(pad + line if line.strip() else line for line in text.splitlines(keepends=True))


def finished(source: str, dtype: str, **values) -> str:
    """Canonical source: dtype and constants put in."""
    tall, vectors = strip_shapes(dtype, LANES)["tall"]
    source = source.replace("_T(", f"_{dtype}(")
    for name, value in {"ITEM": ITEM[dtype], "TALL": tall, "WIDTH": vectors * LANES, "RECORD": RECORD, **values}.items():
        source = source.replace(name, str(value))
    return source


def computed(function, dtype, node: Node) -> Computed:
    """A number that follows from a node's walk once sizes are known."""

    def number(*values):
        return function(Walk(values, dtype))

    number.__name__ = function.__name__.strip("_")
    return Computed(number, tuple(geometry(node)))


def piece_of(walk: Walk) -> int:
    """Places of a row that a unit takes."""
    return walk.piece
