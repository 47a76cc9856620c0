"""The thread team: runs jobs (whole programs, whole epochs) on as many cores as the process may use.

How to use it:

    table = make_table([Row(kernel.address, args.ctypes.data, units=n, alignment=8), ...])
    job = Job(table, error_slot, keep_alive=(kernels, args))
    result = run(job)                                        # one step, from any thread
    result = run_interruptible(job, steps=60, partial=True)  # an epoch; Ctrl-C stops it between two steps

The calling thread leads (see `native_loop`); helpers are daemon threads inside a native function that does not hold the
interpreter's lock. A second thread that calls while the team is busy runs its job alone: same bits, no waiting. After a fork
the child makes a team of its own.
"""

import ctypes
import os
import queue
import sys
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from graphkeras.debug import flags
from graphkeras.ir.errors import ArgumentError
from graphkeras.runtime import native_loop
from graphkeras.runtime.cores import available_cores
from graphkeras.runtime.errors import JobError
from graphkeras.runtime.native_loop import FRAME_CELLS, Block, Frame, Row, Status, block_cells
from graphkeras.runtime.objects import Kernel, load_kernels

MAX_THREADS = 1024
_SPINS = 1000  # about 20 us
_SPINS_CROWDED = 20  # more threads than cores: whoever waits is in the way
_YIELDS = 60  # about 30 us where nobody else wants the core
_FUTEX_NUMBERS = {"x86_64": 202, "amd64": 202, "aarch64": 98, "arm64": 98}
_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


def make_table(rows: Sequence[Row]) -> np.ndarray:
    """A program table: int64 `(rows, 8)`, each row on a cache line of its own."""
    table = _aligned_cells(8 * len(rows)).reshape(len(rows), 8)
    for number, row in enumerate(rows):
        row = Row(*row)
        if row.alignment < 1 or row.units < 0 or row.phase not in (1, 2):
            raise JobError(
                f"row {number} of a program table is wrong.", got=str(row), expected="alignment >= 1, units >= 0, phase 1 or 2"
            )
        if number and row.phase < table[number - 1, 5]:
            raise JobError(
                f"row {number} of a program table is out of order.",
                got=str(row),
                expected="all rows of phase 1 before those of phase 2",
            )
        table[number] = row
    return table


class Result(NamedTuple):
    """How a run ended: `status`; `steps` done (with an error, also the number of the failed step, from 0); the 8 cells of the error
    slot if `status` is `Status.ERROR`."""

    status: Status
    steps: int
    error: tuple[int, ...] | None


class Job:
    """A program with its tables, ready to run any number of times; not by two threads at once.

    Args:
        table: From `make_table`. Units may be changed between runs (symbolic sizes).
        error_slot: int64[8] that the argument blocks point to. Cleared before each run.
        last_table: Table of the partial batch that may end an epoch.
        offset_cell: Address of the int64 cell that gets each step's first sample; 0 if there is none.
        offset_step: Samples per step.
        scratch_bytes: Scratch that the hungriest kernel needs per thread.
        keep_alive: Whatever the addresses in the tables belong to.

    Attributes:
        shares: Whether any row is for the team; a job without one runs on the calling thread alone.
    """

    def __init__(
        self,
        table: np.ndarray,
        error_slot: np.ndarray,
        *,
        last_table: np.ndarray | None = None,
        offset_cell: int = 0,
        offset_step: int = 0,
        scratch_bytes: int = 0,
        keep_alive: Any = (),
    ):
        self.table, self.last_table, self.error_slot, self.keep_alive = table, last_table, error_slot, keep_alive
        self.shares = any(bool(t[:, _SHARED].any()) for t in (table, last_table) if t is not None)
        self._stride = -(-scratch_bytes // 64) * 64
        self._scratch_cells = self._scratch_address = 0
        self._running = threading.Lock()
        self._started: tuple | None = None  # what the frame says of the run: calls of a program repeat it
        self._cells = frame = memoryview(_aligned_cells(FRAME_CELLS))  # as an array, but quicker to write single cells
        frame[Frame.ERROR_SLOT] = error_slot.ctypes.data
        frame[Frame.TABLE], frame[Frame.ROWS] = table.ctypes.data, len(table)
        frame[Frame.OFFSET_CELL], frame[Frame.OFFSET_STEP] = offset_cell, offset_step
        frame[Frame.SCRATCH_STRIDE] = self._stride
        self.address = frame.obj.ctypes.data
        self._error_cells = memoryview(error_slot)

    @property
    def progress(self) -> int:
        """Steps done in this run so far; may be read from any thread while the job runs."""
        return self._cells[Frame.PROGRESS]

    def stop(self) -> None:
        """Ask the running job to stop before its next step; may be called from any thread."""
        self._cells[Frame.STOP] = 1

    @property
    def profile(self) -> bool:
        """Whether cycles are counted per row, into column 7 of the tables."""
        return bool(self._cells[Frame.PROFILE])

    @profile.setter
    def profile(self, on: bool) -> None:
        self._cells[Frame.PROFILE] = int(on)

    def scratch(self, threads: int) -> int:
        """Address of scratch for so many threads."""
        need = self._stride * threads // 8
        if self._scratch_cells < need:
            self._scratch = _aligned_cells(need)
            self._scratch_cells, self._scratch_address = need, self._scratch.ctypes.data
        return self._scratch_address

    def start(self, steps: int, offset: int, partial: bool, team: int) -> None:
        """Fill in the frame; `team` is the address of a team's block, or 0. Raises if the job is running already."""
        if partial and self.last_table is None:
            raise JobError("this job has no table for a partial batch.", mend="make it with last_table=, or run with partial=False")
        if not self._running.acquire(blocking=False):
            raise JobError("this job is running in another thread.", mend="give each thread a job of its own")
        cells = self._cells
        if self._started != (steps, offset, partial, team):
            cells[_STEPS], cells[Frame.OFFSET], cells[Frame.TEAM] = steps, offset, team
            cells[Frame.LAST_TABLE] = self.last_table.ctypes.data if partial else 0
            cells[Frame.LAST_ROWS] = len(self.last_table) if partial else 0
            self._started = (steps, offset, partial, team)
        cells[_PROGRESS] = cells[_STOP] = 0
        self._error_cells[0] = 0

    def finish(self) -> Result:
        """What came of it."""
        status, steps = self._cells[_STATUS], self._cells[_PROGRESS]
        error = tuple(self._error_cells) if status == _ERROR else None
        self._running.release()
        return Result(_STATUSES[status], steps, error)


_STATUSES = tuple(Status)
# A short program takes less time than looking these up in their classes does.
_ERROR, _STEPS, _STATUS, _PROGRESS, _STOP = int(Status.ERROR), Frame.STEPS, Frame.STATUS, Frame.PROGRESS, Frame.STOP
_SHARED = Row._fields.index("shared")


class Team:
    """A leader (whoever calls `run`) and `threads - 1` helpers.

    Args:
        threads: Threads altogether; more than cores is allowed, and slow.
    """

    def __init__(self, threads: int):
        if not 1 <= threads <= MAX_THREADS:
            raise _bad_count(threads)
        self.threads = threads
        self._busy = threading.Lock()
        self._leader = _loaded(native_loop.leader_source())
        self._lead = _ENTRY(self._leader.address)
        self._block = block = _aligned_cells(block_cells(threads))
        self._address = block.ctypes.data
        block[Block.THREADS] = threads
        block[Block.SPINS] = _SPINS if threads <= available_cores() else _SPINS_CROWDED
        block[Block.YIELDS] = _YIELDS
        _fill_system_calls(block)
        self._helpers: list[threading.Thread] = []

    def run(self, job: Job, steps: int = 1, offset: int = 0, partial: bool = False) -> Result:
        """Run `steps` steps, and one with `job.last_table` if `partial`. Holds no interpreter lock meanwhile.

        Args:
            job: What to run.
            steps: Full steps.
            offset: First sample of the first step.
            partial: Whether a step over the partial batch follows.
        """
        team = self.threads > 1 and job.shares and self._busy.acquire(blocking=False)
        try:
            if team and not self._helpers:
                self._muster()
            job.start(steps, offset, partial, self._address if team else 0)
            try:
                self._lead(job.address, job.address, 0, job.scratch(self.threads if team else 1))
            finally:
                result = job.finish()
            return result
        finally:
            if team:
                self._busy.release()

    def close(self) -> None:
        """Send the helpers home, after a job in hand. The team may be used again."""
        with self._busy:
            if self._helpers:
                self._block[Block.EXIT] = 1
                self._block[Block.CLAIM] = (int(self._block[Block.CLAIM]) + 1) & 0xFFFFFFFF
                _wake(self._block, Block.CLAIM)
                for helper in self._helpers:
                    helper.join()
                self._helpers.clear()
                self._block[Block.EXIT] = 0

    def _muster(self):
        helper = _loaded(native_loop.helper_source())
        address = self._address
        keep = (helper, self._block, _ENTRY(helper.address))
        for number in range(1, self.threads):
            thread = threading.Thread(target=_help, args=(keep, address, number), name=f"graphkeras-{number}", daemon=True)
            thread.start()
            self._helpers.append(thread)


def _help(keep, address, number):
    _, _, function = keep
    function(address, address, number, 0)


def _loaded(source) -> Kernel:
    (kernel,) = load_kernels([source])
    return kernel


def _aligned_cells(count):
    """`count` int64 zeros that begin at a cache line."""
    raw = np.zeros(count + 8, np.int64)
    skip = -(raw.ctypes.data // 8) % 8
    return raw[skip : skip + count]


# The system


def _c_address(name):
    try:
        return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value
    except (AttributeError, OSError, TypeError):
        return 0


def _fill_system_calls(block):
    block[Block.SCHED_YIELD] = _c_address("sched_yield")
    block[Block.USLEEP] = _c_address("usleep")
    number = _FUTEX_NUMBERS.get(os.uname().machine.lower()) if sys.platform == "linux" else None
    if sys.maxsize > 1 << 32 and number:
        block[Block.SYSCALL], block[Block.FUTEX] = _c_address("syscall"), number


def _wake(block, cell):
    if block[Block.SYSCALL]:
        call = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_int64] * 5)(int(block[Block.SYSCALL]))
        call(int(block[Block.FUTEX]), block.ctypes.data + 8 * cell, 129, 1 << 30, 0)


# The team of this process

_team: Team | None = None
_team_lock = threading.Lock()
_asked: int | None = None


def _bad_count(threads):
    return ArgumentError(
        "number of threads out of range.", got=str(threads), expected=f"1..{MAX_THREADS}", mend="give a number in that range"
    )


def get_num_threads() -> int:
    """Threads that run a program: as `set_num_threads` or `GRAPHKERAS_NUM_THREADS` asked, else the cores this process may use."""
    return _asked or flags.NUM_THREADS.value or available_cores()


def set_num_threads(threads: int | None) -> None:
    """Choose the number of threads; `None` goes back to the default. Results do not depend on it."""
    global _asked
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise _bad_count(threads)
    _asked = threads


def get_team() -> Team:
    """The team of this process, with `get_num_threads()` threads."""
    global _team
    team, threads = _team, get_num_threads()
    if team is None or team.threads != threads:
        with _team_lock:
            if _team is None or _team.threads != threads:
                if _team is not None:
                    _team.close()
                _team = Team(threads)
            team = _team
    return team


_teams: dict[int, Team] = {}


def team_of(threads: int) -> Team:
    """A team of this size, for calls that ask for another number of threads than the process."""
    if threads == get_num_threads():
        return get_team()
    with _team_lock:
        if threads not in _teams:
            _teams[threads] = Team(threads)
        return _teams[threads]


def run(job: Job, steps: int = 1, offset: int = 0, partial: bool = False) -> Result:
    """`Team.run` on the team of this process. For short jobs: Ctrl-C arrives when it is over."""
    team = _team
    if team is None or job.shares:
        team = get_team()
    return team.run(job, steps, offset, partial)


def run_interruptible(job: Job, steps: int = 1, offset: int = 0, partial: bool = False, threads: int | None = None) -> Result:
    """Like `run`, but Ctrl-C (or whatever a signal handler raises) stops the job between two steps, or two steps of a loop in it,
    and is raised then.

    The job runs in another thread while the main one waits. Called from another thread than the main one, where signals never
    arrive, this is `run`. `threads` asks for another team than that of the process.
    """
    go = run if threads is None else team_of(threads).run
    if threading.current_thread() is not threading.main_thread():
        return go(job, steps, offset, partial)
    return _get_runner().call(job, lambda: go(job, steps, offset, partial))


class _Runner:
    """A thread that runs jobs for the main thread."""

    def __init__(self):
        self._queue = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="graphkeras-leader", daemon=True).start()

    def _serve(self):
        while True:
            function, outcome, done = self._queue.get()
            try:
                outcome.append((function(), None))
            except BaseException as error:
                outcome.append((None, error))
            function = None
            done.release()

    def call(self, job, function):
        outcome, done = [], threading.Lock()
        done.acquire()
        self._queue.put((function, outcome, done))
        interrupt = None
        while True:
            try:
                if done.acquire(timeout=0.5 if interrupt is None else 0.01):
                    break
            except BaseException as error:
                interrupt = error
            if interrupt is not None:
                job.stop()  # again each time, in case it had not started yet
        if interrupt is not None:
            raise interrupt
        result, error = outcome[0]
        if error is not None:
            raise error
        return result


_runner: _Runner | None = None


def _get_runner():
    global _runner
    if _runner is None:
        _runner = _Runner()
    return _runner


def _forget_after_fork():
    # The helpers stayed behind in the parent; locks may have been held by threads that do not exist here.
    global _team, _team_lock, _runner
    _team, _runner, _team_lock = None, None, threading.Lock()
    _teams.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
