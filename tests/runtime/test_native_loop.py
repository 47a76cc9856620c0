import threading
import time

import numpy as np
import pytest

from graphkeras.runtime import native_loop, team
from graphkeras.runtime.errors import JobError
from graphkeras.runtime.native_loop import Status
from graphkeras.runtime.objects import load_kernels
from graphkeras.runtime.team import Job, make_table
from tests.runtime import kernels as k
from tests.runtime.kernels import Block, source, table


@pytest.fixture(scope="module")
def code(kernel_cache):
    bodies = {name: getattr(k, name) for name in ("SCALE_ADD", "REVERSE", "LOG_OFFSET", "COMMIT", "WORK", "SCRATCH")}
    loaded = load_kernels([source(body, name) for name, body in bodies.items()] + native_loop.sources())
    return dict(zip([*bodies, "leader", "helper"], loaded, strict=True))


@pytest.mark.parametrize("units, alignment", [(1000, 8), (1000, 1), (7, 8), (1, 1), (0, 4), (17, 16), (129, 64)])
def test_every_unit_is_done_once(code, threads, units, alignment):
    error = np.zeros(8, np.int64)
    y = np.arange(units + 5)
    expected = y.copy()
    block = Block(error, y, 4)
    job = Job(
        table(
            (code["SCALE_ADD"].address, block.address, units, alignment), (code["SCALE_ADD"].address, block.address, units, 1, 0)
        ),
        error,
    )
    result = team.run(job, steps=3)
    for _ in range(6):
        expected[:units] = expected[:units] * 3 + np.arange(units) + 4
    assert result == (Status.DONE, 3, None) and np.array_equal(y, expected)


def test_rows_wait_for_each_other(code, threads):
    """Each row reads at the other end what the row before wrote, so a missing barrier shows."""
    n, error = 997, np.zeros(8, np.int64)
    x, y = np.zeros(n, np.int64), np.zeros(n, np.int64)
    there, back = Block(error, x, y, n), Block(error, y, x, n)
    address = code["REVERSE"].address
    rows = [(address, (there if number % 2 == 0 else back).address, n, 1, int(number % 5 != 3)) for number in range(40)]
    job = Job(table(*rows), error)
    assert team.run(job, steps=300).status is Status.DONE
    assert np.all(x == 12000) and np.all(y == 11999)


def test_shares_respect_alignment_and_grain(code, threads):
    body = (
        "def kernel(args, lo, hi, scratch):\n    y = ptr_i64(args[1])\n    for i in range(lo, hi):\n        y[i] = lo * 1000 + hi\n"
    )
    (kernel,) = load_kernels([source(body)])
    error, y = np.zeros(8, np.int64), np.zeros(100, np.int64)
    block = Block(error, y)
    team.run(Job(table((kernel.address, block.address, 100, 16)), error))
    starts = {int(value) // 1000 for value in y}
    assert all(start % 16 == 0 for start in starts) and min(threads, 7) <= len(starts) <= (7 if threads > 1 else 1)
    team.run(Job(table((kernel.address, block.address, 100, 16, 1, 1, 60)), error))
    assert len(set(y.tolist())) == min(threads, 2)


def test_scratch_is_private_and_aligned(code, threads):
    error, y = np.zeros(8, np.int64), np.zeros(2000, np.int64)
    job = Job(table(*[(code["SCRATCH"].address, Block(error, y).address, 0)]), error)
    block = Block(error, y)
    job = Job(table((code["SCRATCH"].address, block.address, 2000)), error, scratch_bytes=100)
    for _ in range(50):
        y[:] = 0
        team.run(job)
        assert np.array_equal(y, np.arange(2000) + 4950)


def epoch_job(code, fail_at=-1):
    error, log, state, offset = (np.zeros(size, np.int64) for size in (8, 400, 1, 1))
    blocks = [Block(error, offset, log, fail_at), Block(error, state)]
    rows = [(code["LOG_OFFSET"].address, blocks[0].address, 1, 1, 0, 1), (code["COMMIT"].address, blocks[1].address, 1, 1, 0, 2)]
    last = [*rows[:1], rows[1], rows[1]]
    job = Job(
        table(*rows), error, last_table=table(*last), offset_cell=offset.ctypes.data, offset_step=32, keep_alive=(blocks, offset)
    )
    return job, log, state


def test_epoch_gives_offsets_and_ends_with_the_partial_batch(code, threads):
    job, log, state = epoch_job(code)
    assert team.run(job, steps=5, offset=64, partial=True) == (Status.DONE, 6, None)
    assert log[:8].tolist() == [6, 64, 96, 128, 160, 192, 224, 0]
    assert state[0] == 7  # the table of the partial batch commits twice
    assert team.run(job, steps=0, partial=True).steps == 1
    assert team.run(job, steps=0).steps == 0


def test_error_stops_before_commit(code, threads):
    job, log, state = epoch_job(code, fail_at=4)
    status, steps, error = team.run(job, steps=10)
    assert (status, steps) == (Status.ERROR, 3) and error[:3] == (7, 0, 96)
    assert state[0] == 3 and log[0] == 4 and job.progress == 3
    assert team.run(job, steps=2) == (Status.DONE, 2, None)  # the slot is cleared


def test_error_without_commit_phase(code):
    job, _, _ = epoch_job(code, fail_at=2)
    job = Job(job.table[:1], job.error_slot, keep_alive=job)
    assert team.run(job, steps=10)[:2] == (Status.ERROR, 1)


def test_stop_flag_stops_between_steps(code, threads):
    error, y, state = np.zeros(8, np.int64), np.arange(512), np.zeros(1, np.int64)
    work, commit = Block(error, y, 20), Block(error, state)
    job = Job(table((code["WORK"].address, work.address, 512), (code["COMMIT"].address, commit.address, 1, 1, 0, 2)), error)
    results = []
    runner = threading.Thread(target=lambda: results.append(team.run(job, steps=10_000_000)))
    runner.start()
    while job.progress < 5:
        time.sleep(0.001)
    job.stop()
    runner.join(10)
    (result,) = results
    assert result.status is Status.STOPPED and 5 <= result.steps < 10_000_000
    assert state[0] == result.steps == job.progress


def test_profile_counts_cycles_of_each_row(code, two_threads):
    error, y = np.zeros(8, np.int64), np.arange(2000)
    light, heavy = Block(error, y, 1), Block(error, y, 50)
    rows = table((code["WORK"].address, light.address, 2000), (code["WORK"].address, heavy.address, 2000))
    job = Job(rows, error)
    team.run(job)
    assert rows[:, 7].tolist() == [0, 0]
    job.profile = True
    team.run(job, steps=3)
    assert 0 < rows[0, 7] < rows[1, 7]


@pytest.mark.parametrize(
    "bad, match",
    [
        ([(1, 1, 8, 0)], "alignment"),
        ([(1, 1, -1)], "units"),
        ([(1, 1, 1, 1, 1, 3)], "phase"),
        ([(1, 1, 1, 1, 1, 2), (1, 1, 1, 1, 1, 1)], "before"),
    ],
)
def test_bad_tables_are_refused(bad, match):
    with pytest.raises(JobError, match=match):
        make_table([native_loop.Row(*row) for row in bad])


def test_table_rows_are_cache_lines():
    rows = table((1, 2, 3), (4, 5, 6))
    assert rows.ctypes.data % 64 == 0 and rows.strides == (64, 8)


WAITING = """
def kernel(args, lo, hi, scratch):
    y = ptr_i64(args[1])
    for i in range(lo, hi):
        if i == 0:
            for _ in range(4000000000):
                if atomic_load(args[1] + 8 * 31) != 0:
                    break
        y[i] = scratch
"""


def test_others_take_over_what_a_slow_thread_has_left(two_threads):
    """Unit 0 waits for unit 31, which lies at the end of the same thread's run."""
    (kernel,) = load_kernels([source(WAITING)])
    error, y = np.zeros(8, np.int64), np.zeros(64, np.int64)
    block = Block(error, y)
    job = Job(table((kernel.address, block.address, 64)), error, scratch_bytes=64)
    taken_over = 0
    for _ in range(20):
        y[:] = 0
        assert team.run(job).status is Status.DONE
        assert y.all()
        taken_over += y[31] != y[0]
    assert taken_over
