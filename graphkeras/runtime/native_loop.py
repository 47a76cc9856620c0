"""The native program loop: two kernels, compiled once into the same cache as all others.

The *leader* (the thread that runs a job) walks the table, row by row and step by step. A row marked as shared is cut into slots,
and each thread is given a run of them, the same part of the row in every row, so that it finds in its caches what it wrote
before. *Helpers* wait for the claim, one cell, to change. Everyone takes the first half of what is left of its own run, by
compare-exchange, and at last the second half of what others have left: whoever is slowed down by another program loses work to
the rest. A row is done when all its slots are done, not when all threads have come by: a helper that the system has put aside,
or that still wakes up, holds nobody up. That one hand-over is the only barrier between rows; rows run by the leader alone cost
none, and with one thread there are no atomics at all.

Waiting goes in three stages: spin for some ten microseconds, then yield to other programs, then sleep in the kernel (futex).
"""

import textwrap
from collections.abc import Callable, Sequence
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
        grain: Units below which it is not worth to wake another thread (0: no limit).
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

    THREADS = 0
    SPINS = 1  # rounds of waiting without giving way
    YIELDS = 2  # rounds that yield, before sleeping
    SCHED_YIELD = 3  # addresses of C functions; 0 if the system has none
    SYSCALL = 4
    FUTEX = 5  # number of the system call
    USLEEP = 6
    SCRATCH = 8  # scratch of the leader; that of thread t lies t strides further
    SCRATCH_STRIDE = 9
    EXIT = 10  # 1 sends the helpers home
    ACTIVE = 11  # 1 while a job runs: helpers wait longer before they sleep, for the next row to share is near
    FINISHED = 16  # slots of this row that helpers have done
    SLEEPERS = 24  # helpers asleep on CLAIM
    LEADER_SLEEPS = 32  # 1 while the leader sleeps on FINISHED
    CLAIM = 40  # generation: changes with each row to share
    ROW = 41  # address of the row in hand
    SLOTS = 42  # that it is cut into
    RUNS = 43  # one cell per thread: generation << 32 | next slot << 16 | end of the thread's run


def block_cells(threads: int) -> int:
    """Cells of the block of a team of so many threads."""
    return -(-(Block.RUNS + threads) // 8) * 8


_FUTEX_WAIT, _FUTEX_WAKE = 128, 129  # private to the process
_EVERYONE = 1 << 30
_PATIENCE = 15
_SLOTS = 16  # per thread; at most 65535 altogether
_GENERATIONS = (1 << 32) - 1


def _at(depth, text):
    """`text` as the body of a block `depth` levels deep."""
    return textwrap.indent(textwrap.dedent(text), "    " * depth)


def _work(me, scratch, base, after):
    """Take parts of the row in hand, one's own run first, until no slot is left; `after` follows each part, of `part` slots."""
    return f"""
        turn = 0
        while turn < threads:
            whose = {me} + turn
            if whose >= threads:
                whose -= threads
            cell = {base} + {8 * Block.RUNS} + 8 * whose
            word = atomic_load(cell)
            i = (word >> 16) & 65535
            end = word & 65535
            if i >= end:
                turn += 1
                continue
            part = (end - i + 1) >> 1
            new = word + (part << 16)
            if turn != 0:
                new = word - part
                i = end - part
            if atomic_replace(cell, word, new) == 1:
                row = ptr_i64(team[{Block.ROW:d}])
                slots = team[{Block.SLOTS:d}]
                blocks = (row[2] + row[3] - 1) // row[3]
                first = blocks * i // slots * row[3]
                end = min(blocks * (i + part) // slots * row[3], row[2])
                call_kernel(row[0], row[1], first, end, {scratch})
{_at(4, after)}
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
_HELPER_DID = f"""
    atomic_add(finished, part)
    if atomic_load(base + {8 * Block.LEADER_SLEEPS}) != 0:
        {_futex("finished", _FUTEX_WAKE, _EVERYONE)}
"""

_HELPER = f"""
def kernel(team, lo, hi, scratch):
    base = lo
    threads = team[{Block.THREADS:d}]
    claim = base + {8 * Block.CLAIM}
    finished = base + {8 * Block.FINISHED}
    rounds = 0
    seen = -1
    while True:
        generation = atomic_load(claim)
        if generation != seen:
            seen = generation
            rounds = 0
{_at(3, _work("hi", f"team[{Block.SCRATCH:d}] + hi * team[{Block.SCRATCH_STRIDE:d}]", "base", _HELPER_DID))}
        elif atomic_load(base + {8 * Block.EXIT}) != 0:
            break
        else:
{_at(3, _wait(f"team[{Block.YIELDS:d}] * (1 + {_PATIENCE} * team[{Block.ACTIVE:d}])", _SLEEP_ON_CLAIM, 200))}
"""

# A helper that still looks around may begin as soon as it finds a run, so these are written after all the rest.
_PUBLISH = f"""
    slots = (row[2] + row[3] - 1) // row[3]
    if row[6] > 0:
        slots = min(slots, row[2] // (2 * row[6]))
    slots = max(n, min(n * {_SLOTS}, slots))
    team[{Block.ROW:d}] = address
    team[{Block.SLOTS:d}] = slots
    team[{Block.FINISHED:d}] = 0
    generation = (atomic_load(claim) + 1) & {_GENERATIONS}
    for k in range(n):
        run = generation << 32 | slots * k // n << 16 | slots * (k + 1) // n
        atomic_swap(team_address + {8 * Block.RUNS} + 8 * k, run)
    atomic_swap(claim, generation)
    if atomic_load(team_address + {8 * Block.SLEEPERS}) != 0:
        {_futex("claim", _FUTEX_WAKE, _EVERYONE)}
"""

_COLLECT = f"""
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
                others = slots
{_at(4, _work("0", "scratch", "team_address", "others -= part"))}
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


_BUNDLE = """def kernel(args, lo, hi, scratch):
    for part in range(lo, hi):
        place = 1 + 3 * part
        call_kernel(args[place], args[place + 1], 0, args[place + 2], scratch)
"""


def leader_source() -> KernelSource:
    """The loop that runs a job: `kernel(frame, address of frame, 0, scratch)`."""
    return KernelSource(_tidy(_LEADER), name="program_loop", namespace="atomics")


def helper_source() -> KernelSource:
    """What a helper thread runs until it is sent home: `kernel(block, address of block, number of the thread, 0)`."""
    return KernelSource(_tidy(_HELPER), name="team_helper", namespace="atomics")


def bundle_source() -> KernelSource:
    """Runs kernels that do not depend on each other; its units are these kernels: address, argument block and units of each."""
    return KernelSource(_BUNDLE, name="bundle")


def sources() -> list[KernelSource]:
    """Both, to be loaded in one go with a program's kernels on a cold start."""
    return [leader_source(), helper_source()]


def prepare_cold_start(more: Callable[[], Sequence[KernelSource]] = list) -> None:
    """Call before tracing: where the cache is cold, the loop and the matrix product, which takes longest, are begun with.

    Costs a look at one file where it is not.

    Args:
        more: gives other kernels that will be needed.
    """
    prepare_compiler(sources(), lambda: [*_matmul(), *more()])


def _matmul():
    from graphkeras.lowering.cpu import gemm

    return [KernelSource(gemm.source("f32"), name="matmul")]


def _tidy(text):
    return "\n".join(line for line in text.splitlines() if line.strip()) + "\n"
