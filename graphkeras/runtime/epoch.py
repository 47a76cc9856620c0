"""Whole epochs in one native call: batches are gathered, the program runs, state changes in place, step after step."""

from typing import NamedTuple

import numpy as np

from graphkeras.ir.dtypes import SHORT, dtype_name, numpy_dtype
from graphkeras.ir.errors import ArgumentError, DataError, ShapeError
from graphkeras.runtime import team
from graphkeras.runtime.frame import Frame
from graphkeras.runtime.memory import aligned_bytes
from graphkeras.runtime.native_loop import Row, Status
from graphkeras.runtime.objects import KernelSource, load_kernels
from graphkeras.runtime.team import Job, make_table

_GATHER = """def kernel(args, lo, hi, scratch):
    source = ptr_{source}(args[1])
    target = ptr_{target}(args[2])
    n = args[3]
    start = ptr_i64(args[4])[0]
    r = lo
    while r < hi:
        s = start + r
        if args[5] != 0:
            s = ptr_i64(args[5])[s]
        j = 0
        while j + LANES <= n:
            store_{target}(target, r * n + j, {cast}(load_{source}(source, s * n + j)))
            j += LANES
        if j < n:
            storen_{target}(target, r * n + j, {cast}(loadn_{source}(source, s * n + j, n - j)), n - j)
        r += 1
"""
_COLLECT = """def kernel(args, lo, hi, scratch):
    source = ptr_{dtype}(args[1])
    target = ptr_{dtype}(args[2])
    n = args[3]
    start = ptr_i64(args[4])[0] * n
    j = lo
    while j + LANES <= hi:
        store_{dtype}(target, start + j, load_{dtype}(source, j))
        j += LANES
    if j < hi:
        storen_{dtype}(target, start + j, loadn_{dtype}(source, j, hi - j), hi - j)
"""
_SHARED_BYTES = 1 << 16


class EpochResult(NamedTuple):
    """How a run over batches ended.

    Args:
        steps: steps done by this call.
        stopped: True if `stop` was called before the end.
        outputs: the graph's outputs: of all samples where they were collected, else of the last step.
    """

    steps: int
    stopped: bool
    outputs: list[np.ndarray]


class Epoch:
    """A program over a data set in memory, ready to run any number of epochs.

    Args:
        program: its inputs are batches; the first axis counts samples.
        data: one array per input, all of one length. Other dtypes are cast while batches are gathered.
        batch_size: samples per step; the last step of an epoch takes what is left.
        drop_remainder: leave out the last step if it is not full.
        collect: join each output over all steps; outputs must then have the batch as their first axis.
    """

    def __init__(self, program, data, batch_size: int, *, drop_remainder: bool = False, collect: bool = False):
        self.program = program
        self.data = [np.ascontiguousarray(a) for a in data]
        self.batch_size, self.collects = int(batch_size), collect
        self._check()
        self.samples = len(self.data[0])
        self.full_steps, rest = divmod(self.samples, self.batch_size)
        self.rest = 0 if drop_remainder else rest
        self._cell = aligned_bytes(64).view(np.int64)
        self._index = aligned_bytes(8 * self.samples).view(np.int64)
        self._error = aligned_bytes(64).view(np.int64)
        self._build()

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return self.full_steps + (self.rest > 0)

    @property
    def progress(self) -> int:
        """Steps done by the run in hand; any thread may look."""
        return self.job.progress

    def stop(self) -> None:
        """Ask the run in hand to stop after its step; any thread may ask."""
        self.job.stop()

    def run(self, index=None, *, first: int = 0, steps: int | None = None) -> EpochResult:
        """Runs steps `first` .. `first + steps` of an epoch.

        Args:
            index: order of the samples (int64 permutation), or None for the order in which they lie.
            first: first step.
            steps: how many; None for all that are left.

        Raises:
            DataError: a kernel found bad data in some step; that step changed nothing, the ones before it stand.
        """
        left = self.steps - first
        steps = left if steps is None else steps
        if not 0 <= steps <= left:
            raise ArgumentError(f"{steps} steps from step {first} on are more than the {self.steps} of an epoch.", got=str(steps))
        self._take_index(index)
        for reference in self.program.written:
            reference.variable.writable_buffer()
        variables = [v.variable.address for v in self.program.variables]
        for frame in self._frames:
            addresses = [a.ctypes.data for a in (*self._inputs, *self._outputs)]
            frame.patch([*addresses, *variables])
        partial = self.rest > 0 and first + steps == self.steps and steps > 0
        full = steps - partial
        if steps == 0:
            return EpochResult(0, False, self._results(False))
        result = team.run_interruptible(self.job, full, first * self.batch_size, partial)
        if result.status == Status.ERROR:
            raise self._data_error(result, first)
        return EpochResult(result.steps, result.status == Status.STOPPED, self._results(partial))

    # ---- preparation ------------------------------------------------------------------------------------------------

    def _check(self):
        count = len(self.program.graph.inputs)
        if len(self.data) != count or not count:
            raise ArgumentError(
                f"{self.program.graph.name} takes {count} arrays, not {len(self.data)}.", got=f"{len(self.data)} arrays"
            )
        lengths = [len(a) if a.ndim else -1 for a in self.data]
        if len(set(lengths)) > 1 or lengths[0] < 0:
            raise DataError(
                "data arrays differ in length.", got=f"lengths {lengths}", expected="one length", mend="cut them to one length"
            )
        if self.batch_size < 1:
            raise ArgumentError(
                f"batch_size must be positive, not {self.batch_size}.", got=str(self.batch_size), expected="1 or more"
            )

    def _take_index(self, index):
        used = self.full_steps * self.batch_size + self.rest
        if index is None:
            self._index_cells(0)
            return
        index = np.asarray(index)
        if index.ndim != 1 or len(index) < used or index.dtype.kind not in "iu":
            raise DataError(
                "the index does not cover the data.",
                got=f"{index.dtype} array of shape {index.shape}",
                expected=f"at least {used} integers",
            )
        index = index[: self.samples]
        if len(index) and (index.min() < 0 or index.max() >= self.samples):
            raise DataError(
                "the index points outside the data.", got=f"{index.min()} .. {index.max()}", expected=f"[0, {self.samples})"
            )
        self._index[: len(index)] = index
        self._index_cells(self._index.ctypes.data)

    def _index_cells(self, address):
        for block in self._gather_blocks:
            block[5] = address

    def _build(self):
        program = self.program
        sizes = [self.batch_size] * (self.full_steps > 0) + [self.rest] * (self.rest > 0) or [0]
        bindings = [program.bind([(size, *a.shape[1:]) for a in self.data]) for size in sizes]
        arena = aligned_bytes(max(b.arena_bytes for b in bindings))
        self._frames = [Frame(b, arena, self._error) for b in bindings]
        dtypes = [numpy_dtype(v.dtype) for v in program.graph.inputs]
        self._inputs = [_array((sizes[0], *a.shape[1:]), dtype) for a, dtype in zip(self.data, dtypes)]
        out_dtypes = [numpy_dtype(v.dtype) for v in program.graph.outputs]
        self._outputs = [_array(shape, dtype) for shape, dtype in zip(bindings[0].output_shapes, out_dtypes)]
        self._collected = self._make_collected(bindings, sizes) if self.collects else []
        sources = [_gather_source(a.dtype, dtype) for a, dtype in zip(self.data, dtypes)]
        collects = [KernelSource(_COLLECT.format(dtype=f"u{8 * a.itemsize}"), name="collect") for a in self._collected]
        self._kernels = load_kernels([*sources, *collects])
        self._gather_blocks: list[np.ndarray] = []
        self._keep: list = []
        tables = [make_table(self._rows(frame, size)) for frame, size in zip(self._frames, sizes)]
        self._tables = tables
        scratch = max(b.scratch_bytes for b in bindings)
        self.job = Job(
            tables[0], self._error, last_table=tables[-1] if self.rest else None, offset_cell=self._cell.ctypes.data,
            offset_step=self.batch_size, scratch_bytes=scratch, keep_alive=(self._kernels, program.compiled),
        )  # fmt: skip

    def _make_collected(self, bindings, sizes):
        used = self.full_steps * self.batch_size + self.rest
        collected = []
        for binding, size in zip(bindings, sizes):
            for shape in binding.output_shapes:
                if not shape or shape[0] != size:
                    raise ShapeError(
                        "an output cannot be collected over batches.",
                        got=f"shape {shape}",
                        expected=f"first axis {size}, the batch",
                    )
        for array in self._outputs:
            collected.append(np.empty((used, *array.shape[1:]), array.dtype))
        return collected

    def _rows(self, frame, size):
        rows = []
        for kernel, source, target in zip(self._kernels, self.data, self._inputs):
            n = int(np.prod(source.shape[1:], dtype=np.int64))
            block = self._block([self._error, source, target, n, self._cell, 0])
            self._gather_blocks.append(block)
            shared = int(size * n * target.itemsize > _SHARED_BYTES)
            rows.append(Row(kernel.address, block.ctypes.data, size, 1, shared))
        rows += frame.rows
        for kernel, source, target in zip(self._kernels[len(self.data) :], self._outputs, self._collected):
            n = int(np.prod(source.shape[1:], dtype=np.int64))
            block = self._block([self._error, source, target, n, self._cell])
            rows.append(Row(kernel.address, block.ctypes.data, size * n, 64, 0, 2))
        return rows

    def _block(self, words):
        cells = aligned_bytes(64).view(np.int64)
        cells[: len(words)] = [w.ctypes.data if isinstance(w, np.ndarray) else w for w in words]
        self._keep.append((cells, words))
        return cells

    # ---- results ----------------------------------------------------------------------------------------------------

    def _results(self, partial):
        if self.collects:
            return self._collected
        results = []
        for array, shape in zip(self._outputs, self._frames[-1 if partial else 0].binding.output_shapes):
            results.append(array.reshape(-1)[: int(np.prod(shape, dtype=np.int64))].reshape(shape).copy())
        return results

    def _data_error(self, result, first):
        for frame in self._frames:
            if frame.kernel_of(result.error[1]) is not None:
                error = self.program.error(frame, result.error)
                error.add_note(f"in step {first + result.steps} of the epoch; the steps before it stand")
                return error
        raise AssertionError("an error slot names no kernel of this program")


def _array(shape, dtype):
    return (
        aligned_bytes(max(int(np.prod(shape, dtype=np.int64)), 1) * np.dtype(dtype).itemsize)
        .view(dtype)[: int(np.prod(shape))]
        .reshape(shape)
    )


def _gather_source(source, target) -> KernelSource:
    if source == target:
        word = f"u{8 * np.dtype(source).itemsize}"
        return KernelSource(_GATHER.format(source=word, target=word, cast=""), name="gather_batch")
    names = [SHORT[dtype_name(d)] for d in (source, target)]
    return KernelSource(_GATHER.format(source=names[0], target=names[1], cast=f"cast_{names[1]}"), name="gather_batch")
