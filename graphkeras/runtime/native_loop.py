"""The native program loop: two kernels, compiled once into the same cache as all others.

The *leader* (the thread that runs a job) walks the table, row by row and step by step. A row marked as shared is cut into at
most as many shares as there are threads; the leader takes the first and publishes the rest in one cell, the claim. *Helpers*
wait for that cell to change and take shares by compare-exchange, and so does the leader when it has finished its own. A row is
done when all its shares are done, not when all threads have come by: a helper that the system has put aside, or that still
wakes up, holds nobody up. That one hand-over is the only barrier between rows; rows run by the leader alone cost none, and with
one thread there are no atomics at all.

Waiting goes in three stages: spin for some ten microseconds, then yield to other programs, then sleep in the kernel (futex).
"""

import textwrap
from enum import IntEnum
from typing import NamedTuple

from graphkeras.runtime.objects import KernelSource, prepare_compiler


class Row(NamedTuple):
    """One row of a program table: 8 int64 cells, one cache line.

    Args:
        kernel: Address of the kernel.
        args: Address of its argument block.
        units: Its range is [0, units).
        alignment: Shares begin at multiples of this (1 or more).
        shared: 1 if the team shares it, 0 if the leader runs it alone, JUMPS if the leader runs it and goes on as many rows further
            (or back) as the second cell of its argument block then says.
        phase: 1 compute, 2 commit. Rows of phase 2 come last and are skipped if a row of phase 1 reported an error.
        grain: Units below which a share is not worth cutting off (0: no limit).
        cycles: Grows by the cycles spent in the row while the job profiles.
    """

    kernel: int
    args: int
    units: int
    alignment: int = 1
    shared: int = 1
    phase: int = 1
    grain: int = 0
    cycles: int = 0


JUMPS = 2


class Frame:
    """Cells of a job's frame (int64, 64-byte aligned)."""

    ERROR_SLOT = 0  # address
    TABLE = 1  # address
    ROWS = 2
    STEPS = 3
    LAST_TABLE = 4  # address; one more step with this table follows the steps if it is not 0
    LAST_ROWS = 5
    OFFSET_CELL = 6  # address of the cell that gets the step's first sample; 0 if there is none
    OFFSET = 7  # first sample of the first step
    OFFSET_STEP = 8  # samples per step
    TEAM = 9  # address of the team's block; 0 runs on one thread
    SCRATCH_STRIDE = 10  # bytes between the scratch areas of two threads
    PROFILE = 11  # 1 counts cycles per row
    STATUS = 12
    PROGRESS = 16  # steps done; may be read at any time
    STOP = 24  # may be set at any time


FRAME_CELLS = 32


class Status(IntEnum):
    """How a job ended."""

    DONE = 0
    ERROR = 1  # a kernel reported; PROGRESS is the number of the step, which changed nothing
    STOPPED = 2  # between two steps, because STOP was set


class Block:
    """Cells of a team's block (int64, 64-byte aligned)."""

    CLAIM = 0  # shares << 48 | next share << 32 | generation
    ROW = 1  # address of the row in hand
    SCRATCH = 2  # scratch of share 0
    SCRATCH_STRIDE = 3
    EXIT = 4  # 1 sends the helpers home
    ACTIVE = 5  # 1 while a job runs: helpers wait longer before they sleep, for the next row to share is near
    FINISHED = 8  # shares of this row that helpers have done
    SLEEPERS = 16  # helpers asleep on CLAIM
    LEADER_SLEEPS = 24  # 1 while the leader sleeps on FINISHED
    THREADS = 32
    SPINS = 33  # rounds of waiting without giving way
    YIELDS = 34  # rounds that yield, before sleeping
    SCHED_YIELD = 35  # addresses of C functions; 0 if the system has none
    SYSCALL = 36
    FUTEX = 37  # number of the system call
    USLEEP = 38


BLOCK_CELLS = 48
_FUTEX_WAIT, _FUTEX_WAKE = 128, 129  # private to the process
_EVERYONE = 1 << 30
_PATIENCE = 15
_GENERATIONS = (1 << 32) - 1


def _at(depth, text):
    """`text` as the body of a block `depth` levels deep."""
    return textwrap.indent(textwrap.dedent(text), "    " * depth)


def _share(scratch, stride):
    """Run share `i` of `n` of the row at `row`."""
    return f"""
        blocks = (row[2] + row[3] - 1) // row[3]
        first = blocks * i // n * row[3]
        end = min(blocks * (i + 1) // n * row[3], row[2])
        call_kernel(row[0], row[1], first, end, {scratch} + i * {stride})
    """


def _wait(yields, sleep, nap):
    """One round of waiting: spin, later yield, at last `sleep` (or nap for some microseconds where there is no futex)."""
    return f"""
        rounds += 1
        if rounds <= team[{Block.SPINS:d}]:
            pause()
        elif rounds <= team[{Block.SPINS:d}] + {yields} and team[{Block.SCHED_YIELD:d}] != 0:
            call_c(team[{Block.SCHED_YIELD:d}], 0, 0, 0, 0, 0)
        elif team[{Block.SYSCALL:d}] != 0:
{_at(3, sleep)}
        elif team[{Block.USLEEP:d}] != 0:
            call_c(team[{Block.USLEEP:d}], {nap}, 0, 0, 0, 0)
    """


def _futex(cell, operation, value):
    return f"call_c(team[{Block.SYSCALL:d}], team[{Block.FUTEX:d}], {cell}, {operation}, {value}, 0)"


# The helper counts itself in before it looks at CLAIM again; the leader changes CLAIM before it looks at SLEEPERS.
# So no helper sleeps through a change.
_SLEEP_ON_CLAIM = f"""
    atomic_add(base + {8 * Block.SLEEPERS}, 1)
    if atomic_load(claim) & {_GENERATIONS} == generation:
        {_futex("claim", _FUTEX_WAIT, "generation")}
    atomic_add(base + {8 * Block.SLEEPERS}, -1)
    rounds = 0
"""

_SLEEP_ON_FINISHED = f"""
    atomic_swap(team_address + {8 * Block.LEADER_SLEEPS}, 1)
    if atomic_load(finished) == done:
        {_futex("finished", _FUTEX_WAIT, "done")}
    atomic_swap(team_address + {8 * Block.LEADER_SLEEPS}, 0)
"""

# The row is read after the compare-exchange: it succeeds only while the row in hand is the one the word belongs to, and from then
# on the leader cannot leave that row.
_HELPER = f"""
def kernel(team, lo, hi, scratch):
    base = lo
    claim = base + {8 * Block.CLAIM}
    finished = base + {8 * Block.FINISHED}
    rounds = 0
    while True:
        word = atomic_load(claim)
        generation = word & {_GENERATIONS}
        n = word >> 48
        i = (word >> 32) & 65535
        if i < n:
            if atomic_replace(claim, word, word + {1 << 32}) == 1:
                row = ptr_i64(team[{Block.ROW:d}])
{_at(4, _share(f"team[{Block.SCRATCH:d}]", f"team[{Block.SCRATCH_STRIDE:d}]"))}
                atomic_add(finished, 1)
                if atomic_load(base + {8 * Block.LEADER_SLEEPS}) != 0:
                    {_futex("finished", _FUTEX_WAKE, _EVERYONE)}
            rounds = 0
        elif atomic_load(base + {8 * Block.EXIT}) != 0:
            break
        else:
{_at(3, _wait(f"team[{Block.YIELDS:d}] * (1 + {_PATIENCE} * team[{Block.ACTIVE:d}])", _SLEEP_ON_CLAIM, 200))}
"""

_PUBLISH = f"""
    team[{Block.ROW:d}] = address
    team[{Block.FINISHED:d}] = 0
    generation = (atomic_load(claim) + 1) & {_GENERATIONS}
    atomic_swap(claim, n << 48 | {1 << 32} | generation)
    if atomic_load(team_address + {8 * Block.SLEEPERS}) != 0:
        {_futex("claim", _FUTEX_WAKE, _EVERYONE)}
"""

_COLLECT = f"""
    others = n - 1
    while True:
        word = atomic_load(claim)
        i = (word >> 32) & 65535
        if i >= n:
            break
        if atomic_replace(claim, word, word + {1 << 32}) == 1:
            others -= 1
{_at(3, _share("scratch", "stride"))}
    rounds = 0
    while True:
        done = atomic_load(finished)
        if done >= others:
            break
{_at(2, _wait(f"team[{Block.YIELDS:d}]", _SLEEP_ON_FINISHED, 50))}
"""

_LEADER = f"""
def kernel(frame, lo, hi, scratch):
    base = lo
    error = ptr_i64(frame[{Frame.ERROR_SLOT:d}])
    steps = frame[{Frame.STEPS:d}]
    total = steps
    if frame[{Frame.LAST_TABLE:d}] != 0:
        total += 1
    stride = frame[{Frame.SCRATCH_STRIDE:d}]
    profile = frame[{Frame.PROFILE:d}]
    team_address = frame[{Frame.TEAM:d}]
    threads = 1
    team = frame
    if team_address != 0:
        team = ptr_i64(team_address)
        threads = team[{Block.THREADS:d}]
        team[{Block.SCRATCH:d}] = scratch
        team[{Block.SCRATCH_STRIDE:d}] = stride
        team[{Block.ACTIVE:d}] = 1
    claim = team_address + {8 * Block.CLAIM}
    finished = team_address + {8 * Block.FINISHED}
    status = {Status.DONE:d}
    step = 0
    while step < total:
        if atomic_load(base + {8 * Frame.STOP}) != 0:
            status = {Status.STOPPED:d}
            break
        if frame[{Frame.OFFSET_CELL:d}] != 0:
            cell = ptr_i64(frame[{Frame.OFFSET_CELL:d}])
            cell[0] = frame[{Frame.OFFSET:d}] + step * frame[{Frame.OFFSET_STEP:d}]
        address = frame[{Frame.TABLE:d}]
        rows = frame[{Frame.ROWS:d}]
        if step == steps:
            address = frame[{Frame.LAST_TABLE:d}]
            rows = frame[{Frame.LAST_ROWS:d}]
        looked = False
        number = 0
        while number < rows:
            row = ptr_i64(address)
            if row[5] == 2 and not looked:
                looked = True
                if error[0] != 0:
                    status = {Status.ERROR:d}
                    break
            began = 0
            if profile != 0:
                began = cycles()
            n = 1
            if threads > 1 and row[4] == 1:
                smallest = max(row[3], row[6])
                n = max(min(threads, (row[2] + smallest - 1) // smallest), 1)
            if n == 1:
                call_kernel(row[0], row[1], 0, row[2], scratch)
            else:
{_at(4, _PUBLISH)}
                i = 0
{_at(4, _share("scratch", "stride"))}
{_at(4, _COLLECT)}
            if profile != 0:
                row[7] += cycles() - began
            onward = 1
            if row[4] == {JUMPS}:
                onward = ptr_i64(row[1])[1]
                if onward < 0 and not looked and atomic_load(base + {8 * Frame.STOP}) != 0:
                    status = {Status.STOPPED:d}
                    break
            number += onward
            address += 64 * onward
        if not looked and error[0] != 0:
            status = {Status.ERROR:d}
        if status != {Status.DONE:d}:
            break
        step += 1
        frame[{Frame.PROGRESS:d}] = step
    frame[{Frame.STATUS:d}] = status
    if team_address != 0:
        team[{Block.ACTIVE:d}] = 0
"""


def leader_source() -> KernelSource:
    """The loop that runs a job: `kernel(frame, address of frame, 0, scratch)`."""
    return KernelSource(_tidy(_LEADER), name="program_loop", namespace="atomics")


def helper_source() -> KernelSource:
    """What a helper thread runs until it is sent home: `kernel(block, address of block, 0, 0)`."""
    return KernelSource(_tidy(_HELPER), name="team_helper", namespace="atomics")


def sources() -> list[KernelSource]:
    """Both, to be loaded in one go with a program's kernels on a cold start."""
    return [leader_source(), helper_source()]


def prepare_cold_start() -> None:
    """Call before tracing: where the cache is cold, the loop and the matrix product, which takes longest, are begun with.

    Costs a look at one file where it is not.
    """
    from graphkeras.lowering.cpu import gemm

    prepare_compiler([*sources(), KernelSource(gemm.source("f32"), name="matmul")])


def _tidy(text):
    return "\n".join(line for line in text.splitlines() if line.strip()) + "\n"
