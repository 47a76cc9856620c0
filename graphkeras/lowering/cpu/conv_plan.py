"""The lists that convolution kernels follow: which strips a unit computes, and where their rows lie. Made when sizes are known.

Places are cut into blocks: some whole images, or some rows of one, or a piece of one row. All places of a strip are of one class,
so that they read the same taps; strips are listed per block, but blocks that look alike (the inner ones of a large image) share
their list, for offsets count from the block's own first cell and place.

A plan is one array of 64-bit words, all offsets in it in bytes from its start unless said:

    blocks      BLOCK words each: offset of the array's first cell (bytes), first place, places, first class, end of classes, first
                cell that is read, and how many from there on. Blocks of one turn (`Cut.images` images) first, then those of the last
                turn, where fewer images remain.
    classes     CLASS words each: strips, number of tall and of low ones, segments, number of segments, length of a segment
    segments    element offsets in the array and in the panel
    strips      the rows' offsets in the array and in the sums, as `gather_strip` wants them; tall ones first

In depthwise plans a class has runs in place of strips, and taps in place of segments, as `conv_lanes` wants them:

    classes     CLASS words each: runs, number of runs, 0, taps, number of taps, 1
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np

from graphkeras.lowering.cpu.conv_geometry import BLOCK, CLASS, ITEM, Walk, heights
from graphkeras.lowering.cpu.target import LANES
from graphkeras.schedule.chunks import whole_chunks

_PLACES, _FEW_PLACES = 800, 150  # of a block at most; and where a place has many channels
_BLOCK_BYTES = 400 * 1024  # of a block's cells and results: they stay in the second cache, more or less
_STEP, _STRIP = (24.5, 85.0) if LANES == 16 else (6.2, 30.0)  # cycles of a step of a tall strip, and besides of the strip
_MADE_BYTES = 128 * 1024  # of cells that a prologue makes at once, where a block reads less
_UNIT = 600.0  # cycles of a unit besides its strips
_SETS, _LINE, _WAYS = 64, 64, 6  # of a first cache: sets, bytes of a line, and lines of a set that rows may fill
_GRADIENT_PLACES = 144  # of a block of a kernel gradient: its cells and its part of ct stay in the first caches
_SHALLOW, _SHALLOW_PLACES = 48, 1024  # with so few rows (taps and channels) ct is read too seldom for that to matter
_SEGMENT = 15.0  # cycles of a segment of a strip, besides its steps


class Cut(NamedTuple):
    """How places are cut into blocks: `images` whole images, or `rows` of one in pieces of `piece` places."""

    images: int
    rows: int
    piece: int

    def blocks(self, walk: Walk) -> int:
        """Blocks of a turn."""
        return -(-walk.rows // max(1, self.rows)) * -(-walk.out_w // self.piece)

    def turns(self, walk: Walk) -> int:
        return -(-walk.batch // self.images)


def _row_classes(walk: Walk) -> np.ndarray:
    d, h, _ = walk.axes
    return (d.of[:, None] * h.classes + h.of[None, :]).reshape(-1)


def _tap_counts(walk: Walk) -> tuple[np.ndarray, np.ndarray]:
    """Taps that classes of rows, and of places in a row, read."""
    d, h, w = (np.array(axis.count, np.int64) for axis in walk.axes)
    return np.outer(d, h).reshape(-1), w


@functools.lru_cache(64)
def cut(walk: Walk) -> Cut:
    """The cut of a convolution in which the fewest sums are thrown away, of whole chunks of places where columns are summed on the side;
    the bits do not depend on it."""
    if not walk.rows * walk.out_w:
        return Cut(1, walk.rows, walk.piece)
    if walk.piece < walk.out_w:
        return Cut(1, 1, walk.piece)
    row_classes, (row_taps, w_taps) = _row_classes(walk), _tap_counts(walk)
    columns = np.bincount(walk.axes[2].of, minlength=len(w_taps))
    row = (np.outer(row_taps, w_taps) * walk.deep * _STEP + _STRIP) / walk.tall

    def cost(images, rows):
        """Cycles of an image."""
        blocks = np.arange(walk.rows) // rows
        counts = np.zeros((blocks[-1] + 1, len(row_taps)), np.int64)
        np.add.at(counts, (blocks, row_classes), images)
        tall, low = heights(walk.tall, walk.low, counts[:, :, None] * columns)
        total = (((tall * walk.tall + low * walk.low) * row).sum() * walk.panels + len(counts) * _UNIT) / images
        return total * (1 + 0.5 / (len(counts) * -(-max(1, walk.batch) // images)))  # few units: threads wait for each other

    images, rows = whole_chunks(walk.rows, walk.out_w) if walk.sides else (1, 1)
    whole = walk.rows * walk.out_w
    fitting = _BLOCK_BYTES // (ITEM[walk.dtype] * max(1, walk.channels + walk.filters))
    limit = max(_FEW_PLACES, min(_PLACES, fitting))
    if whole > limit and images == 1:
        most = max(rows, min(walk.rows, limit // walk.out_w) // rows * rows)
        least = -(-max(1, most // 3) // rows) * rows
        return Cut(1, min(range(least, most + 1, rows), key=lambda rows: cost(1, rows)), walk.piece)
    most = max(images, min(walk.batch // 8, limit // whole) // images * images)
    return Cut(min(range(images, most + 1, images), key=lambda images: cost(images, walk.rows)), walk.rows, walk.piece)


def gradient_cut(walk: Walk) -> Cut:
    """The cut of a kernel gradient; the order of its sums follows from it, so it depends on sizes of an image alone."""
    whole = walk.rows * walk.out_w
    places = _SHALLOW_PLACES if walk.depth <= _SHALLOW else _GRADIENT_PLACES
    if walk.piece < walk.out_w or not whole:
        return Cut(1, 1, walk.piece)
    if whole <= 1.5 * places:
        return Cut(max(1, _GRADIENT_PLACES // whole), walk.rows, walk.piece)
    blocks = -(-whole // places)
    return Cut(1, max(1, -(-walk.rows // blocks)), walk.piece)


def cells_read(walk: Walk, chosen: Cut) -> tuple[np.ndarray, np.ndarray]:
    """First cell that each block of an image reads, and the end of its cells."""

    def ends(axis, places):
        count = np.array(axis.count, np.int64)[axis.of[places]]
        return count > 0, axis.start[places], axis.start[places] + (count - 1) * axis.step

    rows, columns = np.arange(walk.rows), np.arange(walk.out_w)
    (in_d, d0, d1), (in_h, h0, h1), (in_w, w0, w1) = map(ends, walk.axes, (rows // walk.out_h, rows % walk.out_h, columns))
    lines0, lines1 = ((d * walk.in_h + h) * walk.in_w for d, h in ((d0, h0), (d1, h1)))
    first, end = [], []
    for r, w in itertools.product(range(0, walk.rows, chosen.rows), range(0, walk.out_w, chosen.piece)):
        some = r + np.flatnonzero((in_d & in_h)[r : r + chosen.rows])
        cells = w + np.flatnonzero(in_w[w : w + chosen.piece])
        reads = len(some) > 0 and len(cells) > 0
        first.append(lines0[some].min() + w0[cells].min() if reads else 0)
        end.append(lines1[some].max() + w1[cells].max() + 1 if reads else 0)
    return np.array(first, np.int64), np.array(end, np.int64)


def block_cells(walk: Walk, chosen: Cut) -> int:
    """Cells that a block reads, at most."""
    if not walk.batch * walk.rows * walk.out_w:
        return 0
    first, end = cells_read(walk, chosen)
    return int((end - first).max()) + (chosen.images - 1) * walk.cells


def room(walk: Walk, chosen: Cut) -> int:
    """Cells that a prologue makes at once, at most: those of a block, or more."""
    if not walk.made:
        return 0
    return min(max(block_cells(walk, chosen), _MADE_BYTES // max(1, walk.cell_bytes)), walk.batch * walk.cells)


class _Words:
    """A plan in the making."""

    def __init__(self, head):
        self.size = head
        self.parts = []

    def add(self, values) -> int:
        """Puts words at the end; their offset in bytes."""
        place = 8 * self.size
        self.parts.append(np.asarray(values, np.int64).reshape(-1))
        self.size += len(self.parts[-1])
        return place

    def joined(self, head) -> np.ndarray:
        return np.concatenate([np.asarray(head, np.int64).reshape(-1), *self.parts])


def _strips(walk: Walk, cells, places) -> tuple[np.ndarray, int, int]:
    """Offsets of the rows of strips, and how many tall and low ones there are. The last one is filled up with its own first row, which
    is then stored several times. Rows that share few sets of the first cache would drive each other out of it: low strips, then."""
    pairs = np.stack([cells, places])
    if walk.low < walk.tall and len(np.unique(cells // _LINE % _SETS)) * _WAYS < min(walk.tall, len(cells)):
        tall, low = 0, -(-len(cells) // walk.low)
    else:
        tall, low = (int(n) for n in heights(walk.tall, walk.low, len(cells)))
    missing = tall * walk.tall + low * walk.low - len(cells)
    begin = len(cells) + missing - (walk.low if low else walk.tall)
    pairs = np.concatenate([pairs, np.repeat(pairs[:, begin : begin + 1], missing, axis=1)], axis=1)
    parts = np.split(pairs, [tall * walk.tall], axis=1)
    listed = [part.reshape(2, -1, rows).transpose(1, 0, 2).reshape(-1) for part, rows in zip(parts, (walk.tall, walk.low))]
    return np.concatenate(listed), tall, low


def _runs(cells, places) -> np.ndarray:
    """First cell, first place, steps of both, and number of places of runs: along rows, or down the only column of a class."""
    steps = np.stack([np.diff(cells, append=0), np.diff(places, append=0)], axis=1)
    found, begin = [], 0
    for i in range(1, len(cells) + 1):
        if i == len(cells) or (i > begin + 1 and (steps[i - 1] != steps[begin]).any()):
            found.append([cells[begin], places[begin], *steps[begin], i - begin])
            begin = i
    return np.array(found, np.int64)


class _Planner:
    """Lists blocks; a subclass says what the classes of a block are."""

    def __init__(self, walk: Walk, chosen: Cut):
        self.walk, self.cut = walk, chosen
        self.rest = walk.batch % chosen.images
        self.per_turn = chosen.blocks(walk)
        self.words = _Words(2 * self.per_turn * BLOCK)
        self.row_classes = _row_classes(walk)
        self.cell = walk.channels  # elements from one cell to the next
        self.made: dict = {}

    def plan(self) -> np.ndarray:
        """The finished plan."""
        if not self.walk.batch * self.walk.rows * self.walk.out_w:
            return np.zeros(1, np.int64)  # never read
        self.reads = cells_read(self.walk, self.cut)
        head = [self._block(images, b) for images in (self.cut.images, self.rest or self.cut.images) for b in range(self.per_turn)]
        return self.words.joined(head)

    def _block(self, images, number):
        walk, chosen = self.walk, self.cut
        pieces = -(-walk.out_w // chosen.piece)
        r0, w0 = number // pieces * chosen.rows, number % pieces * chosen.piece
        r1, w1 = min(walk.rows, r0 + chosen.rows), min(walk.out_w, w0 + chosen.piece)
        rows, columns = np.arange(r0, r1), np.arange(w0, w1)
        lines, cells = self.lines(rows), self.cells(columns)
        origin = int(lines[0] + cells[0])
        lines, cells = lines - lines[0], cells - cells[0]
        key = (images, self.row_classes[rows].tobytes(), lines.tobytes(), walk.axes[2].of[columns].tobytes(), cells.tobytes())
        if key not in self.made:
            images_at = np.arange(images) * walk.cells
            lines = (images_at[:, None] + lines[None, :]).reshape(-1)
            classes = list(self.classes(np.tile(rows, images), columns, lines, cells))
            place = self.words.add(classes)
            self.made[key] = place // 8, place // 8 + len(classes) * CLASS
        span = (r1 - r0) * (w1 - w0) * images
        first, end = self.made[key]
        low, high = (int(of_blocks[number]) for of_blocks in self.reads)
        if high > low:
            high += (images - 1) * walk.cells
        return [origin * self.cell * ITEM[walk.dtype], r0 * walk.out_w + w0, span, first, end, low, high - low]


class _Convolution(_Planner):
    """Classes are places that read the same taps."""

    joins = True  # taps of a row into one segment, where their cells and weights follow each other

    def __init__(self, walk: Walk, chosen: Cut, ld: int):
        super().__init__(walk, chosen)
        if self.joins and walk.copied:
            self.cell = walk.deep
        self.ld = ld
        self.segments: dict = {}
        self.order = tap_order(walk)
        d, h, w = walk.axes
        self.panel_rows = {}
        done = 0
        for phase in np.ndindex(len(d.taps), len(h.taps), len(w.taps)):
            self.panel_rows[phase] = done
            done += len(d.taps[phase[0]]) * len(h.taps[phase[1]]) * len(w.taps[phase[2]])

    def lines(self, rows):
        d, h, _ = self.walk.axes
        return (d.start[rows // self.walk.out_h] * self.walk.in_h + h.start[rows % self.walk.out_h]) * self.walk.in_w

    def cells(self, columns):
        return self.walk.axes[2].start[columns]

    def classes(self, rows, columns, lines, cells):
        w = self.walk.axes[2]
        of = (self.row_classes[rows][:, None] * w.classes + w.of[columns][None, :]).reshape(-1)
        cells = (lines[:, None] + cells[None, :]).reshape(-1)
        order = np.argsort(of, kind="stable")
        borders = [*np.flatnonzero(np.diff(of[order], prepend=-1)), len(of)]
        for begin, end in zip(borders, borders[1:]):
            members = order[begin:end]
            yield [*self._rows(cells[members], members), *self._segments(int(of[members[0]]))]

    def _rows(self, cells, places):
        strips, tall, low = _strips(self.walk, cells * (self.cell * ITEM[self.walk.dtype]), places * (self.ld * ITEM[self.walk.dtype]))
        return self.words.add(strips), tall, low

    def _segments(self, number):
        if number not in self.segments:
            walk, (d, h, w) = self.walk, self.walk.axes
            of_d, of_h, of_w = number // (h.classes * w.classes), number // w.classes % h.classes, number % w.classes
            phase = d.phase[of_d], h.phase[of_h], w.phase[of_w]
            tap_h, tap_w = (len(axis.taps[p]) for axis, p in zip((h, w), phase[1:]))
            joined = self.joins and w.step == 1 and self.cell == walk.deep
            counts = d.count[of_d], h.count[of_h], w.count[of_w]
            found = []
            for i, j, k in np.ndindex(counts[0], counts[1], min(1, counts[2]) if joined else counts[2]):
                cell = (i * d.step * walk.in_h + j * h.step) * walk.in_w + k * w.step
                tap = ((d.first[of_d] + i) * tap_h + h.first[of_h] + j) * tap_w + w.first[of_w] + k
                row = self.panel_rows[phase] + tap
                found.append((cell * self.cell, self._weights(row)))
            length = walk.deep * counts[2] if joined else walk.deep
            if length == 0:
                found = []
            self.segments[number] = self.words.add(found), len(found), length
        return self.segments[number]

    def _weights(self, row):
        """Where the weights of the tap in a row of panels begin."""
        return row * self.walk.deep * self.walk.width


class _Depthwise(_Convolution):
    """Of a class whole runs are listed; weights are read where they are."""

    joins = False

    def _rows(self, cells, places):
        runs = _runs(cells * self.walk.channels, places * self.ld)
        return self.words.add(runs), len(runs), 0

    def _weights(self, row):
        return self.order[row] * self.walk.channels


def tap_order(walk: Walk) -> np.ndarray:
    """Numbers of all taps in the order of the panels' rows: phase after phase."""
    d, h, w = (axis.taps for axis in walk.axes)
    found = []
    for a, b, c in np.ndindex(len(d), len(h), len(w)):
        found += [(i * walk.k_h + j) * walk.k_w + k for i in d[a] for j in h[b] for k in w[c]]
    return np.array(found, np.int64)


def convolution_plan(walk: Walk, ld: int) -> np.ndarray:
    """The plan of a convolution or an input gradient whose sums lie `ld` elements apart."""
    return _Convolution(walk, cut(walk), ld).plan()


def depthwise_plan(walk: Walk, ld: int) -> np.ndarray:
    """The same, where every channel is a group of its own."""
    return _Depthwise(walk, cut(walk), ld).plan()


class _Gradient(_Planner):
    """The rows of a strip are taps and channels. Classes are taps that meet the array at the same places, as many as there are."""

    def __init__(self, walk: Walk, chosen: Cut, row: int, b_step: int, deep: int):
        super().__init__(walk, chosen)
        self.row, self.b_step, self.deep = row, b_step, deep

    def lines(self, rows):
        walk = self.walk
        d, h = rows // walk.out_h * walk.mul_d + walk.off_d, rows % walk.out_h * walk.mul_h + walk.off_h
        return (d * walk.in_h + h) * walk.in_w

    def cells(self, columns):
        return columns * self.walk.mul_w + self.walk.off_w

    def classes(self, rows, columns, lines, cells):
        walk, (d, h, w) = self.walk, self.walk.axes
        groups: dict = {}
        places_d, places_h = d.of[rows // walk.out_h], h.of[rows % walk.out_h]

        def meets(axis, of, tap):
            first = np.array(axis.first)[of]
            return (tap >= first) & (tap < first + np.array(axis.count)[of])

        in_row = [np.flatnonzero(meets(w, w.of[columns], k)) for k in range(walk.k_w)]
        in_rows = {
            (i, j): np.flatnonzero(meets(d, places_d, i) & meets(h, places_h, j))
            for i, j in np.ndindex(walk.k_d, walk.k_h)
        }  # fmt: skip
        for i, j, k in np.ndindex(walk.k_d, walk.k_h, walk.k_w):
            some, span = in_rows[i, j], in_row[k]
            begin, count = (int(span[0]), len(span)) if len(span) else (0, 0)
            groups.setdefault((some.tobytes(), begin, count), (some, []))[1].append((i, j, k))
        for (_, begin, count), (some, taps) in groups.items():
            segments = np.stack([(lines[some] + cells[begin]) * walk.channels, (some * len(columns) + begin) * self.b_step], axis=1)
            if count == 0:
                segments = segments[:0]
            yield [*self._strips(taps), self.words.add(segments), len(segments), count]

    def _taps(self, taps):
        """Elements of the array that taps meet, and their numbers."""
        walk = self.walk
        i, j, k = np.array(taps, np.int64).T
        cells = ((i * walk.dil_d * walk.in_h + j * walk.dil_h) * walk.in_w + k * walk.dil_w) * walk.channels
        return cells, (i * walk.k_h + j) * walk.k_w + k

    def _strips(self, taps):
        walk, item = self.walk, ITEM[self.walk.dtype]
        cells, numbers = self._taps(taps)
        channel = np.arange(self.deep)
        at = (cells[:, None] + channel).reshape(-1) * item
        to = (numbers[:, None] * self.deep + channel).reshape(-1) * (self.row * item)
        strips, tall, low = _strips(walk, at, to)
        return self.words.add(strips), tall, low


class _GradientByPlaces(_Gradient):
    """Classes are places that meet the array with the same taps: where taps have few channels, strips need several taps."""

    def classes(self, rows, columns, lines, cells):
        walk, (d, h, w) = self.walk, self.walk.axes
        of_rows, of_columns = self.row_classes[rows], w.of[columns]
        for row_class, of_w in itertools.product(np.unique(of_rows), np.unique(of_columns)):
            some, span = np.flatnonzero(of_rows == row_class), np.flatnonzero(of_columns == of_w)
            numbers = (row_class // h.classes, row_class % h.classes, of_w)
            ranges = [range(axis.first[c], axis.first[c] + axis.count[c]) for axis, c in zip((d, h, w), numbers)]
            taps = list(itertools.product(*ranges))
            if taps:
                places = some * len(columns) + span[0]
                segments = np.stack([(lines[some] + cells[span[0]]) * walk.channels, places * self.b_step], axis=1)
                yield self._class(taps, segments, len(span))

    def _class(self, taps, segments, count):
        return [*self._strips(taps), self.words.add(segments), len(segments), count]


class _DepthwiseGradient(_GradientByPlaces):
    """A segment is a run, for all taps of a class at once."""

    def _class(self, taps, segments, count):
        step = np.array([self.walk.mul_w * self.walk.channels, self.b_step])
        at = segments[:, None] + np.arange(count)[:, None] * step
        runs = _runs(*at.reshape(-1, 2).T)
        cells, numbers = self._taps(taps)
        pairs = np.stack([cells, numbers * self.row], axis=1)
        return [self.words.add(runs), len(runs), 0, self.words.add(pairs), len(pairs), 1]


def gradient_plan(walk: Walk, row: int, b_step: int, deep: int) -> np.ndarray:
    """The plan of a kernel gradient: results `row` elements apart per tap and channel, ct in steps of `b_step` per place. Strips add to
    results, for several classes may meet the same tap."""
    plans = [kind(walk, gradient_cut(walk), row, b_step, deep).plan() for kind in (_Gradient, _GradientByPlaces)]
    return min(plans, key=functools.partial(_cycles, walk))


def depthwise_gradient_plan(walk: Walk) -> np.ndarray:
    """The same, where every channel is a group of its own."""
    return _DepthwiseGradient(walk, gradient_cut(walk), walk.channels, walk.channels, 1).plan()


def _cycles(walk: Walk, plan) -> float:
    """About what the strips of a turn's blocks take."""
    if len(plan) == 1:  # of an empty array
        return 0.0
    blocks = plan[: gradient_cut(walk).blocks(walk) * BLOCK].reshape(-1, BLOCK)
    rows = np.concatenate([plan[first:end] for first, end in blocks[:, 3:5]]).reshape(-1, CLASS)
    _, tall, low, _, segments, count = rows.T
    height = (tall * walk.tall + low * walk.low) / walk.tall
    return float((height * (segments * count * _STEP + _STRIP) + (tall + low) * segments * _SEGMENT).sum())
