"""The iteration space of a fused kernel and what may stand in it.

A space has three runs of axes: outer, reduced, inner. Without reductions everything is outer. Values are *full* (an element for
every point) or *reduced* (an element for every outer and inner point); where rows are reduced, sums down the columns may be taken
on the *side*, to be finished behind the kernel. A node joins a space when its own axes are a regrouping
of the space's axes and every value it reads inside the kernel is read at the same point; what it reads from memory may have any
strides.
"""

from dataclasses import dataclass, field, replace

from graphkeras.ir.dims import Dim, dim_symbols, size
from graphkeras.ir.node import Node, Value
from graphkeras.ir.registry import op_def
from graphkeras.schedule.chunks import CHUNK_ROWS, can_be_chunked
from graphkeras.schedule.host import runs_on_host
from graphkeras.schedule.layout import Layout, common_refinement, contiguous_strides, runs, squeezed
from graphkeras.schedule.views import is_literal, matmul_layouts

FULL, REDUCED, SIDE = "full", "reduced", "side"
REDUCTIONS = {
    "reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_any", "reduce_all", "argmax", "argmin", "reduce_deviations",
}  # fmt: skip
LEAST_RUN = 16
"""Elements side by side at each place of a lookup, or of a part of a concatenation: its kernel walks no farther at a time."""
LEAST_CHUNKS = 8
"""With fewer units than that, threads would stand idle or wait for each other."""
SUMMED_TILES = ("conv", "conv_input_gradient", "matmul")
"""Contractions whose tiles can sum columns on the side."""
LEAST_SUMMED_BYTES = 256 * 1024
"""Of a contraction's result, for its tiles to sum columns on the side: these must be whole chunks, which leaves fewer to share."""
_GUESS = 64
MAX_NODES = 48
"""Longer kernels gain nothing: their values no longer fit the registers, and they take long to compile."""


class Refused(Exception):
    """A node cannot join a space; the text is the reason in one line."""


@dataclass(frozen=True)
class Read:
    """A value that a node of a kernel reads from memory (or that is made in place: literal, iota, counter).

    Args:
        node: the reader.
        position: which of its inputs.
        base: the array it lies in.
        layout: the reader's iteration shape over that array.
    """

    node: Node
    position: int
    base: Value
    layout: Layout

    @property
    def is_table(self) -> bool:
        """Whether the node looks something up in it, at a place that it computes."""
        return self.node.op == "lookup" and self.position == 0


def lookup_layouts(node: Node, resolve) -> tuple[tuple[Value, Layout], tuple[Value, Layout]]:
    """Table and indices of a lookup, each an array with its layout over the result; the table's is that of the place 0."""
    (table, of_table), (indices, of_indices) = map(resolve, node.inputs)
    axis, rank = node.attrs["axis"], len(node.inputs[1].shape)
    strides = (*of_table.strides[:axis], *(0,) * rank, *of_table.strides[axis + 1 :])
    places = ((0,) * axis, of_indices.strides, (0,) * (len(of_table.shape) - axis - 1))
    shape = node.specs[0].shape
    return (table, Layout(shape, strides, of_table.offset)), (indices, Layout(shape, sum(places, ()), of_indices.offset))


def reduced_axes(node: Node) -> tuple[int, ...]:
    """Axes that a reduction removes."""
    return (node.attrs["axis"],) if node.op in ("argmax", "argmin") else node.attrs["axes"]


def iteration_shape(node: Node) -> tuple:
    """The points at which a node computes: its output, or the input of a reduction or an assignment."""
    if node.op in REDUCTIONS or node.op == "assign_variable":
        return tuple(node.inputs[0].shape)
    return tuple(node.specs[0].shape)


def can_be_looked_up(node: Node) -> bool:
    """Whether vectors can walk along what a node finds: at each place a single element, or a run that is long enough."""
    if node.op not in ("gather", "lookup") or node.specs[0].dtype in ("complex64", "complex128"):
        return False
    run = size(node.inputs[0].shape[node.attrs["axis"] + 1 :])
    return isinstance(run, int) and (run == 1 or run >= LEAST_RUN)


def can_be_mapped(node: Node) -> bool:
    """Whether a node can stand in a space at all."""
    if runs_on_host(node):
        return False
    if node.op == "lookup":
        return can_be_looked_up(node)
    return op_def(node.op).kind == "elementwise" or node.op in REDUCTIONS or node.op in ("assign_variable", "random_bits")


def boundaries(node: Node) -> tuple[tuple, tuple, tuple]:
    """(outer, reduced, inner) axes of a reduction whose axes are adjacent, without axes of size 1."""
    shape, axes = iteration_shape(node), reduced_axes(node)
    first, last = (axes[0], axes[-1]) if axes else (len(shape), len(shape) - 1)
    return squeezed(shape[:first]), squeezed(shape[first : last + 1]), squeezed(shape[last + 1 :])


def operand_matrix(node: Node, position: int, resolve) -> tuple[tuple, tuple, tuple]:
    """(batch, rows, columns) of the array behind an operand of a contraction, as it lies in memory. Raises Refused where the operand
    is not the whole of an array."""
    if node.op != "matmul":
        shape = node.inputs[position].shape
        return (), shape[:-1], shape[-1:]
    base, _ = resolve(node.inputs[position])
    layout = matmul_layouts(node, resolve)[position]
    if layout.size != size(base.shape) or not (layout.is_contiguous or is_turned(node, position, resolve)):
        raise Refused(f"{node.op} reads {base!r} in another order than it is made, or a part of it")
    batch, rows, columns = layout.shape if layout.is_contiguous else layout.transposed((0, 2, 1)).shape
    return (batch,), (rows,), (columns,)


def is_turned(node: Node, position: int, resolve) -> bool:
    """Whether the array behind an operand of a product holds the transposed matrix."""
    layout = matmul_layouts(node, resolve)[position]
    return not layout.is_contiguous and layout.transposed((0, 2, 1)).is_contiguous


def _check_sums_of_tiles(tiled: Node):
    """Raises Refused where columns cannot be summed chunk by chunk in the tiles of a contraction, or where that does not pay."""
    whole = tiled.op in SUMMED_TILES
    if whole:
        whole = not squeezed(tiled.specs[0].shape[:-2]) if tiled.op == "matmul" else can_be_chunked(tiled)
    if not whole:
        raise Refused(f"tiles of {tiled.op} do not begin and end with chunks of {CHUNK_ROWS} rows")
    if _guess(tiled.specs[0].nbytes) < LEAST_SUMMED_BYTES:
        raise Refused(f"the result of {tiled.op} is small enough to be read again from a core's cache")


def _guess(number):
    return number.evaluate(dict.fromkeys(dim_symbols(number), _GUESS)) if isinstance(number, Dim) else number


@dataclass(frozen=True)
class Space:
    """Nodes that are computed together, and over which axes.

    Args:
        resolve: finds the array behind a value.
        nodes: in the order in which they joined.
        parts: outer, reduced and inner axes.
        split: True once a reduction has fixed the parts, or from the start for the tiles of a contraction.
        levels: the level at which each node computes, by node id.
        values: the level of each node's outputs, by node id.
        tiled: the contraction whose tiles it walks, if any; `parts` are then (batch, rows, columns) of the result, which the space
            starts from, or of an operand, which it ends in.
    """

    resolve: object
    nodes: tuple = ()
    parts: tuple = ((), (), ())
    split: bool = False
    levels: dict = field(default_factory=dict)
    values: dict = field(default_factory=dict)
    tiled: Node | None = None
    _reads: tuple = ()

    @classmethod
    def of_contraction(cls, node: Node, resolve) -> "Space":
        shape = node.specs[0].shape
        batch = len(shape) - 2 if node.op == "matmul" else 0  # the rows of a convolution run through all axes but the last
        parts = (squeezed(shape[:batch]), squeezed(shape[batch:-1]), squeezed(shape[-1:]))
        return cls(resolve, (node,), parts, True, {node.id: FULL}, {node.id: FULL}, node)

    @classmethod
    def of_operand(cls, node: Node, position: int, resolve) -> "Space":
        """An empty space over an operand of a contraction, as `operand_matrix` sees it. Raises Refused."""
        batch, rows, columns = operand_matrix(node, position, resolve)
        return cls(resolve, (), (squeezed(batch), squeezed(rows), squeezed(columns)), True, tiled=node)

    @property
    def has_reduction(self) -> bool:
        return self.split and self.tiled is None

    @property
    def reduces_rows(self) -> bool:
        """The reduced axes are the innermost ones."""
        return self.has_reduction and not self.parts[2]

    def nodes_in_order(self) -> list[Node]:
        """Topologically."""
        return sorted(self.nodes, key=lambda n: n.id)

    def axes(self, level) -> tuple:
        outer, reduced, inner = self.parts
        return outer + reduced + inner if level == FULL else outer + inner

    def joined(self, node: Node) -> "Space":
        """The space with one more node. Raises Refused."""
        if len(self.nodes) >= MAX_NODES:
            raise Refused(f"the kernel would have more than {MAX_NODES} nodes")
        on_side = self._takes_on_side(node)
        if on_side:
            _, rows, columns = boundaries(node)
            above, across = self._rows_and_columns
            fine = common_refinement(above, rows), common_refinement(across, columns)
            space = replace(self, parts=((), *fine) if self.tiled is not None else (*fine, ()))
            level = FULL
        elif node.op in REDUCTIONS:
            space = self._with_reduction(node)
            level = FULL
        else:
            level = self._level_of(node)
            space = self._refined(iteration_shape(node), level)
        result = SIDE if on_side else REDUCED if node.op in REDUCTIONS else level
        reads = space._reads_of(node)
        space = replace(
            space,
            nodes=(*self.nodes, node),
            levels={**self.levels, node.id: level},
            values={**self.values, node.id: result},
            _reads=(*self._reads, *reads),
        )
        space._check_inside(node)
        space._check_outside(reads if space.parts == self.parts and space.split == self.split else space._reads)
        if node.op == "assign_variable" or any(n.op == "assign_variable" for n in self.nodes):
            space._check_in_place()
        return space

    @property
    def sides(self) -> list[Node]:
        """Reductions of columns that a kernel of rows or tiles takes on the side."""
        return [n for n in self.nodes if self.values[n.id] == SIDE]

    @property
    def _rows_and_columns(self) -> tuple[tuple, tuple]:
        """Axes of the rows that the kernel walks, and axes along a row."""
        outer, reduced, inner = self.parts
        return (outer + reduced, inner) if self.tiled is not None else (outer, reduced)

    def _takes_on_side(self, node):
        """Whether a node reduces the columns of what this kernel walks row by row. Raises Refused where that does not pay."""
        if node.op not in REDUCTIONS or node.op in ("argmax", "argmin") or not (self.reduces_rows or self.tiled in self.nodes):
            return False
        before, rows, columns = boundaries(node)
        above, across = self._rows_and_columns
        if before or not columns or common_refinement(above, rows) is None or common_refinement(across, columns) is None:
            return False
        if self.tiled is not None:
            _check_sums_of_tiles(self.tiled)
        elif _guess(size(above)) < LEAST_CHUNKS * CHUNK_ROWS:
            raise Refused(f"{node.op} over {rows} rows on the side would leave threads idle")
        return True

    def _level_of(self, node):
        if not self.split or self.tiled is not None:
            return FULL
        count = size(iteration_shape(node))
        full, reduced = count == size(self.axes(FULL)), count == size(self.axes(REDUCED))
        if full and reduced:
            inside = [self.values[base.node.id] for base, _ in map(self.resolve, node.inputs) if base.node.id in self.values]
            return REDUCED if inside and all(level == REDUCED for level in inside) else FULL
        if full or reduced:
            return FULL if full else REDUCED
        raise Refused(f"{node.op} has {count} elements, the kernel {size(self.axes(FULL))} points and {size(self.axes(REDUCED))} results")

    def _refined(self, shape, level):
        if not self.nodes and not self.split:
            return replace(self, parts=(squeezed(shape), (), ()))
        old = self.axes(level)
        fine = common_refinement(old, shape)
        if fine is None:
            raise Refused(f"shape {shape} is no regrouping of the kernel's axes {old}")
        found = runs(old, fine)
        if found is None:
            raise Refused(f"shape {shape} is no regrouping of the kernel's axes {old}")
        remaining = iter(found)
        parts = []
        for index, part in enumerate(self.parts):
            taken = part if level == REDUCED and index == 1 else tuple(d for _ in part for d in fine[next(remaining)])
            parts.append(taken)
        return replace(self, parts=tuple(parts))

    def _with_reduction(self, node):
        wanted = boundaries(node)
        if self.tiled is not None:
            raise Refused("a reduction does not run inside the tiles of a contraction")
        if not self.nodes:
            return replace(self, parts=wanted, split=True)
        if self.split:
            parts = tuple(common_refinement(a, b) for a, b in zip(self.parts, wanted))
            if None in parts:
                raise Refused(f"{node.op} reduces {wanted[1]} of {iteration_shape(node)}, the kernel reduces {self.parts[1]}")
            return replace(self, parts=parts)
        if any(n.op == "assign_variable" for n in self.nodes):
            raise Refused("a kernel that writes variables takes no reductions")
        fine = common_refinement(self.axes(FULL), iteration_shape(node))
        found = fine and [runs(part, fine) for part in [wanted[0] + wanted[1] + wanted[2]]][0]
        if fine is None or found is None:
            raise Refused(f"{node.op} over {iteration_shape(node)} is no regrouping of the kernel's axes {self.axes(FULL)}")
        remaining = iter(found)
        parts = tuple(tuple(d for _ in part for d in fine[next(remaining)]) for part in wanted)
        return replace(self, parts=parts, split=True)

    # ---- checks -----------------------------------------------------------------------------------------------------

    def _check_inside(self, node):
        level = self.levels[node.id]
        if node.op == "random_bits":
            if self.resolve(node.inputs[0])[0].node.id in self.values:
                raise Refused("random bits need their whole key before they start")
            return
        if node.op == "lookup" and level != FULL:
            raise Refused("a lookup for each row or column of a reduction stands alone")
        for base, layout in self._inputs(node):
            if base.node.id not in self.values:
                continue
            if node.op == "lookup":
                raise Refused("a lookup needs its whole table, and its indices, before it starts")
            produced = self.values[base.node.id]
            if produced == SIDE:
                raise Refused(f"{node.op} needs whole columns of {base!r}, which the kernel sums on the side")
            if produced == FULL and level == REDUCED:
                raise Refused(f"{node.op} needs all of {base!r}, which the kernel makes point by point")
            aligned = layout.split(self.axes(level))
            if aligned is None or aligned.offset != 0 or aligned.strides != self._inside_strides(produced, level):
                raise Refused(f"{node.op} reads {base!r} at other places than it is made")
            if produced == REDUCED and level == FULL and not self.reduces_rows:
                raise Refused(f"{node.op} needs whole columns of {base!r} before it can start")

    def _inside_strides(self, produced, level):
        if produced == level:
            return contiguous_strides(self.axes(level))
        outer, reduced, inner = self.parts
        strides = contiguous_strides(outer + inner)
        return strides[: len(outer)] + (0,) * len(reduced) + strides[len(outer) :]

    def _check_outside(self, reads):
        """Inside a reduction or tile, the axes of each run must be walked with one stride."""
        if not self.split:
            return
        for read in reads:
            level = self.levels[read.node.id]
            axes, strides, at = self.axes(level), self.aligned(read).strides, 0
            for index, part in enumerate(self.parts):
                if level == REDUCED and index == 1:
                    continue
                may_stay_apart = index == 0 and self.tiled is None
                if not may_stay_apart and any(strides[i] != axes[i + 1] * strides[i + 1] for i in range(at, at + len(part) - 1)):
                    raise Refused(f"an operand of {read.node.op} cannot be walked along {part} with one stride")
                at += len(part)

    def _check_in_place(self):
        for write in (n for n in self.nodes if n.op == "assign_variable"):
            level = self.levels[write.id]
            if self.has_reduction and level == FULL:
                raise Refused("a variable is written after all reductions of a kernel")
            whole = [self.resolve(v)[0] for v in self.tiled.inputs] if self.tiled else []
            if any(b.node.op == "read_variable" and b.node.attrs["variable"] == write.attrs["variable"] for b in whole):
                raise Refused(f"variable {write.attrs['variable']} is an operand of the contraction")
            for read in self.reads():
                if read.base.node.op == "read_variable" and read.base.node.attrs["variable"] == write.attrs["variable"]:
                    dense = read.layout.is_contiguous and read.layout.size == size(read.base.shape)
                    if not dense or self.levels[read.node.id] != level:
                        raise Refused(f"variable {write.attrs['variable']} is read elsewhere than it is written")

    # ---- what is read -----------------------------------------------------------------------------------------------

    def _inputs(self, node):
        shape = iteration_shape(node)
        if node.op == "lookup":
            yield from lookup_layouts(node, self.resolve)
            return
        for value in node.inputs:
            base, layout = self.resolve(value)
            yield base, layout.broadcast(shape)

    def reads(self) -> list[Read]:
        """Everything that comes from outside the kernel, literals left out; the key of random bits is not among it."""
        return list(self._reads)

    def _reads_of(self, node) -> list[Read]:
        if node.op == "random_bits":
            return [Read(node, -1, Value(node), Layout.contiguous(node.specs[0].shape))]
        return [
            Read(node, position, base, layout)
            for position, (base, layout) in enumerate(self._inputs(node))
            if base.node.id not in self.values and not is_literal(base)
        ]

    def aligned(self, read: Read) -> Layout:
        """The layout of a read over the space's axes at the reader's level."""
        return read.layout.split(self.axes(self.levels[read.node.id]))
