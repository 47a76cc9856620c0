"""Bindings and frames: a program for concrete sizes, and the memory of one run of it."""

from dataclasses import dataclass

import numpy as np

from graphkeras.ir.node import Value, VariableRef
from graphkeras.lowering.cpu.kernel import Address, BlockAddress, Computed, KernelAddress
from graphkeras.runtime.memory import Buffer, aligned_bytes, plan, rounded
from graphkeras.runtime.native_loop import Row
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
        blocks: (cells, kernel number): addresses of other blocks.
        rows: the table, with zeros for addresses of blocks.
        output_shapes: shapes of the outputs.
        arena_bytes, scratch_bytes: memory of one run, and of one thread.
    """

    sizes: dict
    template: np.ndarray
    starts: list
    fixed: np.ndarray
    patches: np.ndarray
    sources: np.ndarray
    blocks: list
    rows: list
    row_kernels: list
    output_shapes: list
    arena_bytes: int
    scratch_bytes: int


class Frame:
    """Memory of one run: arena, argument blocks, error slot, table.

    Args:
        binding: what to run.
        arena: memory to use, at least as large as the binding's arena; new if None.
        error: error slot to use; new if None.
    """

    def __init__(self, binding: Binding, arena: np.ndarray | None = None, error: np.ndarray | None = None):
        self.binding = binding
        self.arena = aligned_bytes(binding.arena_bytes) if arena is None else arena
        self.error = aligned_bytes(64).view(np.int64) if error is None else error
        self.error[:] = 0
        self.cells = aligned_bytes(8 * len(binding.template)).view(np.int64)
        self.cells[:] = binding.template
        self.cells[binding.fixed] += self.arena.ctypes.data
        base = self.cells.ctypes.data
        for cell, kernel in binding.blocks:
            self.cells[cell] = base + 8 * binding.starts[kernel]
        self.cells[binding.starts] = self.error.ctypes.data
        self.rows = [row._replace(args=base + 8 * binding.starts[kernel]) for row, kernel in zip(binding.rows, binding.row_kernels)]
        self.offsets = binding.template[binding.patches]
        self.job: Job | None = None

    def patch(self, addresses) -> None:
        """Puts the addresses of this call's arrays into the argument blocks."""
        binding = self.binding
        self.cells[binding.patches] = self.offsets + np.array(addresses, np.int64)[binding.sources]

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
    offsets, arena = plan(_buffers(program, sizes))
    template, starts, fixed, patches, sources, blocks = [], [], [], [], [], []
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
                blocks.append((cell, numbers[id(arg.kernel)]))
                template.append(0)
            else:
                template.append(number(arg, sizes))
        template.extend([0] * (-len(template) % 8))  # each block on cache lines of its own
    rows, row_kernels, scratch = [], [], 0
    for i, kernel in enumerate(program.lowered):
        if kernel.called:
            continue
        units = number(kernel.units, sizes)
        scratch = max(scratch, rounded(number(kernel.scratch, sizes)))
        rows.append(_row(kernel, program.compiled[i].address, units, sizes))
        row_kernels.append(i)
    cells = [np.array(c, np.int64) for c in (fixed, patches, sources)]
    return Binding(
        sizes, np.array(template, np.int64), starts, *cells, blocks, rows, row_kernels,
        [tuple(evaluated(d, sizes) for d in v.shape) for v in program.graph.outputs], arena, scratch,
    )  # fmt: skip


def _row(kernel, address, units, sizes) -> Row:
    flops, nbytes = number(kernel.flops, sizes), number(kernel.bytes, sizes)
    estimate = max(flops / _FLOPS_PER_NS.get(kernel.kind, _OTHER_FLOPS_PER_NS), nbytes / _BYTES_PER_NS)
    shared = int(estimate > SHARE_NS and not kernel.serial and units > kernel.alignment)
    grain = int(units * _GRAIN_NS / estimate) if shared else 0
    return Row(address, 0, units, kernel.alignment, shared, kernel.phase, grain)


def _buffers(program, sizes):
    """Intermediate arrays with their lifetimes in rows of the table."""
    rows = [k for k in program.lowered if not k.called]
    first: dict = {}
    last: dict = {}
    called: list = []
    step = 0
    for kernel in program.lowered:
        called.append(kernel)
        if kernel.called:
            continue
        for part in called:
            for arg in part.args:
                if isinstance(arg, Address) and arg.source not in program.sources and arg.source not in program.constants:
                    first.setdefault(arg.source, step)
                    last[arg.source] = step
        called = []
        step += 1
    over = {}
    for step, kernel in enumerate(rows):
        for new, old in program.in_place.get(kernel, ()):
            if first.get(new) == step and last.get(old) == step:
                over[new] = old
    found = []
    for source in first:
        nbytes = source.spec.nbytes if isinstance(source, (Value, VariableRef)) else source.nbytes
        found.append(Buffer(source, number(nbytes, sizes), first[source], last[source], over.get(source)))
    return found
