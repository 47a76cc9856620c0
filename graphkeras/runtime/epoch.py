"""Whole epochs in one native call: the program looks batches up and runs, state changes in place, step after step."""

import time
from typing import NamedTuple

import numpy as np

from graphkeras.debug import flags
from graphkeras.ir.errors import ArgumentError, DataError, ShapeError
from graphkeras.runtime import inspection, team
from graphkeras.runtime.frame import Frame
from graphkeras.runtime.memory import aligned_bytes
from graphkeras.runtime.native_loop import Row, Status
from graphkeras.runtime.objects import KernelSource, load_kernels
from graphkeras.runtime.team import Job, make_table
from graphkeras.trace.variable import aligned_empty

_PLACES = """def kernel(args, lo, hi, scratch):
    target = ptr_i64(args[1])
    start = ptr_i64(args[2])[0]
    j = lo
    while j < hi:
        m = min(hi - j, LANES)
        if args[3] != 0:
            storen_i64(target, j, loadn_i64(ptr_i64(args[3]), start + j, m), m)
        else:
            storen_i64(target, j, iota(start + j), m)
        j += LANES
"""
# Samples of a large data set lie anywhere in memory: those of the next batch are fetched into the caches at the end of a step. In the
# order in which they lie, the CPU does so by itself.
_FETCH = """def kernel(args, lo, hi, scratch):
    start = ptr_i64(args[2])[0] + args[4]
    r = lo
    while r < hi and args[3] != 0:
        s = ptr_i64(args[3])[min(start + r, args[5] - 1)] * args[6]
        j = 0
        while j < args[6]:
            prefetch(args[1] + s + j)
            j += 64
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
_SHORT_SECONDS = 5e-3
"""Runs that should end sooner stay on the calling thread; Ctrl-C arrives when they are over."""


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
        program: of a graph that is `over_samples`.
        data: one `native` array per input, all of one length.
        batch_size: samples per step; the last step of an epoch takes what is left.
        drop_remainder: leave out the last step if it is not full.
        collect: join each output over all steps; outputs must then have the batch as their first axis.

    Attributes:
        order: the order of samples that was taken last; None for that in which they lie.
        stopping: whether `stop` was called, for runs that a flag watches.
        watched_progress: steps done by such a run; None for native ones.
    """

    def __init__(self, program, data, batch_size: int, *, drop_remainder: bool = False, collect: bool = False):
        self.program = program
        self.data = list(data)
        self.batch_size, self.drops_remainder, self.collects = int(batch_size), drop_remainder, collect
        self._check()
        self.samples = len(self.data[0])
        self.full_steps, rest = divmod(self.samples, self.batch_size)
        self.rest = 0 if drop_remainder else rest
        self._cell = aligned_bytes(64).view(np.int64)
        self._index = aligned_bytes(8 * self.samples).view(np.int64)
        self._error = aligned_bytes(64).view(np.int64)
        self._step_seconds = float("inf")  # of the last run
        self.order: np.ndarray | None = None
        self.stopping = False
        self.watched_progress: int | None = None
        self._variables: list = []  # their addresses, as the frames have them
        self._build()

    def load(self, data) -> None:
        """Other data of the same shapes and dtypes."""
        self.data = list(data)
        for frame in self._frames:
            for place, array in enumerate(self.data):
                frame.place(place, array.ctypes.data)
        for block, array in zip(self._fetch_blocks, self.data * len(self._frames)):
            block[1] = array.ctypes.data
        if self.collects:
            self._collected = self._make_collected()
            for block, array in zip(self._collect_blocks, self._collected * len(self._frames)):
                block[2] = array.ctypes.data

    def unload(self) -> None:
        """Lets go of the data and of collected outputs."""
        self.data, self._collected = [], []

    @property
    def nbytes(self) -> int:
        """Bytes of its own memory, the data and collected outputs not counted."""
        return self._index.nbytes + sum(a.nbytes for a in (self._arena, self._places, *self._outputs))

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return self.full_steps + (self.rest > 0)

    @property
    def _used(self) -> int:
        """Samples of one epoch."""
        return self.full_steps * self.batch_size + self.rest

    @property
    def progress(self) -> int:
        """Steps done by the run in hand; any thread may look."""
        return self.job.progress if self.watched_progress is None else self.watched_progress

    def stop(self) -> None:
        """Ask the run in hand to stop after its step; any thread may ask."""
        self.stopping = True
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
        self.take_order(index)
        return self.run_steps(first, steps)

    def run_steps(self, first: int = 0, steps: int | None = None) -> EpochResult:
        """`run` in the order that was taken last."""
        left = self.steps - first
        steps = left if steps is None else steps
        if not 0 <= steps <= left:
            raise ArgumentError(f"{steps} steps from step {first} on are more than the {self.steps} of an epoch.", got=str(steps))
        if steps == 0:
            return EpochResult(0, False, self._results(False))
        self.watched_progress = None
        if flags.watching and inspection.asked():
            self.stopping, self.watched_progress = False, 0
            done, stopped, outputs = inspection.run_steps(self, first, steps, self._collected)
            return EpochResult(done, stopped, self._collected if self.collects else outputs or self._results(False))
        self._find_variables()
        partial = self.rest > 0 and first + steps == self.steps
        run = team.run if steps * self._step_seconds < _SHORT_SECONDS else team.run_interruptible
        start = time.perf_counter()
        result = run(self.job, steps - partial, first * self.batch_size, partial)
        if result.status is Status.ERROR:
            raise self._data_error(result, first)
        if result.steps:
            self._step_seconds = (time.perf_counter() - start) / result.steps
        return EpochResult(result.steps, result.status is Status.STOPPED, self._results(partial))

    # ---- preparation ------------------------------------------------------------------------------------------------

    def _check(self):
        lengths = [len(a) for a in self.data]
        if len(set(lengths)) > 1:
            raise DataError(
                "data arrays differ in length.", got=f"lengths {lengths}", expected="one length", mend="cut them to one length"
            )
        if self.batch_size < 1:
            raise ArgumentError(
                f"batch_size must be positive, not {self.batch_size}.", got=str(self.batch_size), expected="1 or more"
            )

    def take_order(self, index=None) -> None:
        """Takes a copy of the order in which `run_steps` goes through the samples; see `run`."""
        used = self._used
        self.order = None
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
        self.order = self._index

    def _index_cells(self, address):
        for block in (*self._place_blocks, *self._fetch_blocks):
            block[3] = address

    def _find_variables(self):
        for reference in self.program.written:
            reference.variable.writable_buffer()
        addresses = [v.variable.address for v in self.program.variables]
        if addresses != self._variables:
            first = len(self.data) + 1 + len(self._outputs)
            for frame in self._frames:
                for number, address in enumerate(addresses):
                    frame.place(first + number, address)
            self._variables = addresses

    def _build(self):
        program = self.program
        sizes = [self.batch_size] * (self.full_steps > 0) + [self.rest] * (self.rest > 0) or [0]
        bindings = [program.bind([*(a.shape for a in self.data), (size,)]) for size in sizes]
        self._arena = aligned_bytes(max(b.arena_bytes for b in bindings))
        self._frames = [Frame(b, self._arena, self._error) for b in bindings]
        self._places = aligned_bytes(8 * sizes[0]).view(np.int64)
        self._outputs = [aligned_empty(shape, dtype) for shape, dtype in zip(bindings[0].output_shapes, program.output_dtypes)]
        for frame in self._frames:
            for place, array in enumerate((*self.data, self._places, *self._outputs)):
                frame.place(place, array.ctypes.data)
        self._shown = [[_beginning(a, s) for a, s in zip(self._outputs, b.output_shapes)] for b in bindings]
        if self.collects:
            self._check_collected(bindings, sizes)
        self._collected = self._make_collected() if self.collects else []
        collects = [KernelSource(_COLLECT.format(dtype=f"u{8 * a.itemsize}"), name="collect") for a in self._collected]
        self._kernels = load_kernels([*batch_sources(), *collects])
        program.keep_kernels(self._kernels)
        self._place_blocks: list[np.ndarray] = []
        self._fetch_blocks: list[np.ndarray] = []
        self._collect_blocks: list[np.ndarray] = []
        tables = [make_table(self._rows(frame, size)) for frame, size in zip(self._frames, sizes)]
        self._tables = tables
        scratch = max(b.scratch_bytes for b in bindings)
        self.job = Job(
            tables[0], self._error, last_table=tables[-1] if self.rest else None, offset_cell=self._cell.ctypes.data,
            offset_step=self.batch_size, scratch_bytes=scratch, keep_alive=(self._kernels, program.compiled),
        )  # fmt: skip

    def _check_collected(self, bindings, sizes):
        for binding, size in zip(bindings, sizes):
            for shape in binding.output_shapes:
                if not shape or shape[0] != size:
                    raise ShapeError(
                        "an output cannot be collected over batches.",
                        got=f"shape {shape}",
                        expected=f"first axis {size}, the batch",
                    )

    def _make_collected(self):
        return [np.empty((self._used, *array.shape[1:]), array.dtype) for array in self._outputs]

    def _rows(self, frame, size):
        places, fetch, *collects = self._kernels
        block = self._block([self._error, self._places, self._cell, 0])
        self._place_blocks.append(block)
        rows = [Row(places.address, block.ctypes.data, size, 64, 0), *frame.rows]
        for array in self.data:
            nbytes = array.nbytes // max(1, self.samples)
            block = self._block([self._error, array, self._cell, 0, self.batch_size, self._used, nbytes])
            self._fetch_blocks.append(block)
            rows.append(Row(fetch.address, block.ctypes.data, size, 1, int(size * nbytes > _SHARED_BYTES), 2))
        for kernel, source, target in zip(collects, self._outputs, self._collected):
            n = int(np.prod(source.shape[1:], dtype=np.int64))
            block = self._block([self._error, source, target, n, self._cell])
            self._collect_blocks.append(block)
            rows.append(Row(kernel.address, block.ctypes.data, size * n, 64, 0, 2))
        return rows

    def _block(self, words):
        cells = aligned_bytes(64).view(np.int64)
        cells[: len(words)] = [w.ctypes.data if isinstance(w, np.ndarray) else w for w in words]
        return cells

    # ---- results ----------------------------------------------------------------------------------------------------

    def _results(self, partial):
        if self.collects:
            return self._collected
        return [array.copy() for array in self._shown[-1 if partial else 0]]

    def _data_error(self, result, first):
        for frame in self._frames:
            if frame.kernel_of(result.error[1]) is not None:
                error = self.program.error(frame, result.error)
                error.add_note(f"in step {first + result.steps} of the epoch; the steps before it stand")
                return error
        raise AssertionError("an error slot names no kernel of this program")


def epoch_key(data, batch_size, drop_remainder, collect) -> tuple:
    """What an epoch is made for: equal keys can be served by one and the same object."""
    return (int(batch_size), drop_remainder, collect, *((a.shape, a.dtype.str) for a in data))


def native(array) -> np.ndarray:
    """The array as kernels read it: C-contiguous, in the machine's byte order, with an axis at least."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _beginning(array, shape):
    return array.reshape(-1)[: int(np.prod(shape, dtype=np.int64))].reshape(shape)


def batch_sources() -> list[KernelSource]:
    """The kernels that say which samples make up a batch, and that fetch those of the next one."""
    return [KernelSource(_PLACES, name="batch_places"), KernelSource(_FETCH, name="fetch_batch")]
