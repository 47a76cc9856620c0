"""Bindings and frames: a program for concrete sizes, and the memory of one run of it."""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from graphkeras.ir.node import Value, VariableRef
from graphkeras.lowering.cpu.kernel import Address, BlockAddress, Computed, KernelAddress, LoweredKernel, Moving
from graphkeras.runtime.memory import Buffer, aligned_bytes, plan, rounded
from graphkeras.runtime.native_loop import JUMPS, Row
from graphkeras.runtime.sizes import evaluated
from graphkeras.runtime.team import Job, make_table

SHARE_NS = 6000.0
"""Estimated time of a kernel from which on it pays to share it among threads."""
_GRAIN_NS = 2500.0
_BYTES_PER_NS = 12.0
_FLOPS_PER_NS = {"contraction": 70.0}
_OTHER_FLOPS_PER_NS = 10.0


def number(description, sizes) -> int:
    """Value of a size, unit count or scratch description."""
    if isinstance(description, Computed):
        return int(description.function(*(evaluated(d, sizes) for d in description.dims)))
    return int(evaluated(description, sizes))


@dataclass
class Binding:
    """A program for concrete sizes: everything that does not depend on where arrays lie.

    Attributes:
        sizes: symbol -> size.
        template: all argument blocks, one after the other, with offsets in bytes where addresses belong.
        starts: first cell of each kernel's block.
        fixed: (cells, arena offsets): addresses inside the arena.
        constants: (cells, addresses).
        patches: (cells, index into the addresses of a call, offset in bytes).
        blocks: (cell, kernel number, cell of its block): addresses of other blocks.
        rows: the table, with zeros for addresses of blocks; a bundle of kernels that are too small to be shared is one row of it.
        row_blocks: for each row the place of its block in `starts`.
        apart: the table with a row for each kernel, and their blocks, for those who look at kernels one by one.
        output_shapes: shapes of the outputs.
        arena_bytes, scratch_bytes: memory of one run, and of one thread.
        tables: arrays of integers that kernels read besides.
    """

    sizes: dict
    template: np.ndarray
    starts: list
    fixed: np.ndarray
    patches: np.ndarray
    sources: np.ndarray
    blocks: list
    rows: list
    row_blocks: list
    apart: tuple[list, list]
    output_shapes: list
    arena_bytes: int
    scratch_bytes: int
    tables: list

    @cached_property
    def uses(self) -> dict[int, list[tuple[int, int]]]:
        """Number of an array of a call -> (cell, offset in bytes) of each place that wants its address."""
        found: dict[int, list[tuple[int, int]]] = {}
        for cell, source in zip(self.patches.tolist(), self.sources.tolist()):
            found.setdefault(source, []).append((cell, int(self.template[cell])))
        return found


class Frame:
    """Memory of one run: arena, argument blocks, error slot, table.

    Args:
        binding: what to run.
        arena: memory to use, at least as large as the binding's arena; new if None.
        error: error slot to use; new if None.
        apart: whether each kernel has a row of its own.
    """

    def __init__(self, binding: Binding, arena: np.ndarray | None = None, error: np.ndarray | None = None, apart: bool = False):
        self.binding = binding
        self.arena = aligned_bytes(binding.arena_bytes) if arena is None else arena
        self.error = aligned_bytes(64).view(np.int64) if error is None else error
        self.error[:] = 0
        self.cells = aligned_bytes(8 * len(binding.template)).view(np.int64)
        self.cells[:] = binding.template
        self._words = memoryview(self.cells)
        self.cells[binding.fixed] += self.arena.ctypes.data
        base = self.cells.ctypes.data
        for cell, kernel, place in binding.blocks:
            self.cells[cell] = base + 8 * (binding.starts[kernel] + place)
        self.cells[binding.starts] = self.error.ctypes.data
        rows = zip(*binding.apart) if apart else zip(binding.rows, binding.row_blocks)
        self.rows = [row._replace(args=base + 8 * binding.starts[block]) for row, block in rows]
        self.job: Job | None = None

    def place(self, index: int, address: int) -> None:
        """Puts the address of one of the call's arrays, by its number, into the argument blocks."""
        words = self._words
        for cell, offset in self.binding.uses.get(index, ()):
            words[cell] = address + offset

    def ready(self, keep_alive) -> Job:
        """The job that runs this frame."""
        if self.job is None:
            self.job = Job(make_table(self.rows), self.error, scratch_bytes=self.binding.scratch_bytes, keep_alive=keep_alive)
        return self.job

    def kernel_of(self, address: int) -> int | None:
        """Number of the kernel whose argument block lies at `address`, None if it is not one of this frame's."""
        cell = (address - self.cells.ctypes.data) // 8
        return self.binding.starts.index(cell) if cell in self.binding.starts else None


def make_binding(program, sizes) -> Binding:
    """Evaluates everything about a program that depends on sizes only.

    Args:
        program: has `lowered`, `compiled`, `sources` (source key -> place in a call's addresses), `constants`, `outputs`.
        sizes: symbol -> size.
    """
    offsets, arena = plan(buffers(program, sizes))
    template, starts, fixed, patches, sources, blocks, tables = [], [], [], [], [], [], []
    numbers = {id(kernel): i for i, kernel in enumerate(program.lowered)}
    for kernel in program.lowered:
        starts.append(len(template))
        template.append(0)
        for arg in kernel.args:
            cell = len(template)
            if isinstance(arg, Address):
                offset = evaluated(arg.offset, sizes) * arg.itemsize
                place = program.sources.get(arg.source)
                if place is not None:
                    patches.append(cell)
                    sources.append(place)
                elif arg.source in offsets:
                    fixed.append(cell)
                    offset += offsets[arg.source]
                else:
                    offset += program.constants[arg.source].ctypes.data
                template.append(offset)
            elif isinstance(arg, KernelAddress):
                template.append(program.compiled[numbers[id(arg.kernel)]].address)
            elif isinstance(arg, BlockAddress):
                blocks.append((cell, numbers[id(arg.kernel)], arg.cell))
                template.append(0)
            elif isinstance(arg, Moving):
                template.append(0)
            elif isinstance(arg, Computed):
                found = arg.function(*(evaluated(d, sizes) for d in arg.dims))
                if isinstance(found, np.ndarray):
                    tables.append(found)
                    found = found.ctypes.data
                template.append(int(found))
            else:
                template.append(number(arg, sizes))
        template.extend([0] * (-len(template) % 8))  # each block on cache lines of its own
    rows, row_blocks, scratch = [], [], 0
    for i, kernel in enumerate(program.lowered):
        if kernel.called:
            continue
        units = number(kernel.units, sizes)
        scratch = max(scratch, rounded(number(kernel.scratch, sizes)))
        rows.append(_row(kernel, program.compiled[i].address, units, sizes))
        row_blocks.append(i)
    apart = rows, row_blocks
    rows, row_blocks = _bundled(program, rows, row_blocks, sizes, template, starts, blocks)
    cells = [np.array(c, np.int64) for c in (fixed, patches, sources)]
    return Binding(
        sizes, np.array(template, np.int64), starts, *cells, blocks, rows, row_blocks, apart,
        [tuple(evaluated(d, sizes) for d in s.shape) for s in program.output_specs], arena, scratch, tables,
    )  # fmt: skip


def _bundled(program, rows, row_blocks, sizes, template, starts, blocks):
    """The table with one row for all unshared kernels of a bundle, whose units are these kernels.

    Args:
        program: the program.
        rows, row_blocks: the table with a row for each kernel.
        sizes: symbol -> size.
        template, starts, blocks: as of the binding; the blocks of the new rows are added.
    """
    result, result_blocks = [], []
    for bundle, stretch in itertools.groupby(zip(rows, row_blocks), key=lambda pair: program.lowered[pair[1]].bundle):
        stretch = list(stretch)
        parts = [(row, block) for row, block in stretch if bundle and not row.shared]
        whole = [pair for pair in stretch if pair not in parts] if len(parts) > 1 else stretch
        result += [row for row, _ in whole]
        result_blocks += [block for _, block in whole]
        if whole is stretch:
            continue
        result_blocks.append(len(starts))
        starts.append(len(template))
        template.append(0)
        for row, block in parts:
            blocks.append((len(template) + 1, block, 0))
            template += [row.kernel, 0, row.units]
        template.extend([0] * (-len(template) % 8))
        estimate = sum(_estimate(program.lowered[block], sizes) for _, block in parts)
        shared = int(estimate > SHARE_NS)
        grain = int(len(parts) * _GRAIN_NS / estimate) if shared else 0
        result.append(Row(program.bundler.address, 0, len(parts), 1, shared, parts[0][0].phase, grain))
    return result, result_blocks


def _estimate(kernel, sizes) -> float:
    """About how many nanoseconds a kernel takes on one thread."""
    flops, nbytes = number(kernel.flops, sizes), number(kernel.bytes, sizes)
    return max(flops / _FLOPS_PER_NS.get(kernel.kind, _OTHER_FLOPS_PER_NS), nbytes / _BYTES_PER_NS)


def _row(kernel, address, units, sizes) -> Row:
    if kernel.jumps:
        return Row(address, 0, units, 1, JUMPS, kernel.phase)
    estimate = _estimate(kernel, sizes)
    shared = int(estimate > SHARE_NS and not kernel.serial and units > kernel.alignment)
    grain = int(units * _GRAIN_NS / estimate) if shared else 0
    return Row(address, 0, units, kernel.alignment, shared, kernel.phase, grain)


def buffers(program, sizes):
    """Intermediate arrays with their lifetimes in rows of the table."""
    touches, steps, extents = _touches(program)
    first: dict = {}
    last: dict = {}
    for source, places in touches.items():
        home = _common([region for _, _, region in places])
        for begin, end, region in places:
            # What comes from outside a loop, or leaves it, is there from its first row to its last one: rows run again.
            if len(region) > home:
                begin, end = min(begin, extents[region[home]][0]), max(end, extents[region[home]][1])
            first[source] = min(first.get(source, begin), begin)
            last[source] = max(last.get(source, end), end)
    over = {}
    for kernel, step in steps.items():
        for new, old in program.in_place.get(kernel, ()):
            if first.get(new) == step and last.get(old) == step:
                over[new] = old
    found = []
    for source in first:
        nbytes = source.spec.nbytes if isinstance(source, (Value, VariableRef)) else source.nbytes
        found.append(Buffer(source, number(nbytes, sizes), first[source], last[source], over.get(source)))
    return found


def stretches(program) -> list[list[LoweredKernel]]:
    """The kernels of each step of the memory plan: those of a row of the table, or of a bundle, which may run at the same time. Those of a
    bundle make nothing but values of variables, so none of them is written over what another one reads."""
    found: list[list[LoweredKernel]] = []
    called: list[LoweredKernel] = []
    last = 0
    for kernel in program.lowered:
        called.append(kernel)  # a kernel that is called runs in the row of its caller, which comes next
        if not kernel.called:
            if kernel.bundle and kernel.bundle == last:
                found[-1] += called
            else:
                found.append(called)
            called, last = [], kernel.bundle
    return found


def _touches(program):
    """For each intermediate array the (first row, last row, regions) of each kernel that uses it; the row of each kernel; the first
    and last row of each region."""
    touches: dict = {}
    steps: dict = {}
    extents: dict = {}
    for step, kernels in enumerate(stretches(program)):
        for kernel in kernels:
            steps[kernel] = step
            for region in kernel.region:
                extents.setdefault(region, [step, step])[1] = step
    for kernel, step in steps.items():
        until = steps[kernel.until] if kernel.until is not None else step
        for arg in kernel.args:
            if isinstance(arg, Address) and arg.source not in program.sources and arg.source not in program.constants:
                touches.setdefault(arg.source, []).append((step, until, kernel.region))
    return touches, steps, extents


def _common(regions) -> int:
    """How many regions, the outermost first, several places have in common."""
    count = 0
    for level in zip(*regions):
        if any(region is not level[0] for region in level):
            break
        count += 1
    return count
