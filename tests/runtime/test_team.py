import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from graphkeras.debug import flags
from graphkeras.runtime import cores, native_loop, team
from graphkeras.runtime.errors import JobError
from graphkeras.runtime.native_loop import Status
from graphkeras.runtime.objects import load_kernels
from graphkeras.runtime.team import Job, Team
from tests.runtime import kernels as k
from tests.runtime.kernels import Block, source, table


class Work:
    """A job that mixes shared and single rows over its own array, with a known answer."""

    def __init__(self, size=1000, depth=6, rounds=5):
        self.kernels = load_kernels(
            [source(k.WORK, "work"), source(k.REVERSE, "reverse"), source(k.COMMIT, "commit")] + native_loop.sources()
        )
        work, reverse, commit = (kernel.address for kernel in self.kernels[:3])
        self.error, self.x, self.y, self.state = (
            np.zeros(8, np.int64),
            np.arange(size),
            np.zeros(size, np.int64),
            np.zeros(1, np.int64),
        )
        self.blocks = [
            Block(self.error, self.x, rounds),
            Block(self.error, self.x, self.y, size),
            Block(self.error, self.y, self.x, size),
            Block(self.error, self.state),
        ]
        a, b, c, d = (block.address for block in self.blocks)
        rows = [(work, a, size), (reverse, b, size, 4), (reverse, c, size, 1, 0)] * depth + [(commit, d, 1, 1, 0, 2)]
        self.job = Job(table(*rows), self.error)

    def answer(self, steps, run):
        self.x[:] = np.arange(self.x.size)
        assert run(self.job, steps).status is Status.DONE
        return self.x.copy()


@pytest.fixture(scope="module")
def expected(kernel_cache):
    return Work().answer(50, Team(1).run)


def test_same_results_for_any_number_of_threads(threads, expected):
    assert np.array_equal(Work().answer(50, team.run), expected)


def test_teams_come_and_go(expected):
    before = threading.active_count()
    work = Work()
    for size in (2, 3, 1, 8, 2):
        own = Team(size)
        assert np.array_equal(work.answer(50, own.run), expected)
        assert threading.active_count() == before + size - 1
        own.close()
        assert threading.active_count() == before
        assert np.array_equal(work.answer(50, own.run), expected)  # a closed team musters again
        own.close()


def test_helpers_sleep_and_wake(two_threads, expected):
    work = Work()
    for pause in (0, 0.001, 0.05):
        for _ in range(5):
            assert np.array_equal(work.answer(50, team.run), expected)
            time.sleep(pause)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads CPU time of the process")
def test_idle_team_takes_no_cpu(two_threads):
    Work().answer(5, team.run)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.05


def test_without_futex(expected):
    own = Team(3)
    own._block[native_loop.Block.SYSCALL] = 0
    work = Work()
    assert np.array_equal(work.answer(50, own.run), expected)
    time.sleep(0.02)
    assert np.array_equal(work.answer(50, own.run), expected)
    own.close()


def test_many_python_threads_call_at_once(two_threads, expected):
    failures = []

    def caller():
        work = Work()
        for _ in range(30):
            if not np.array_equal(work.answer(50, team.run), expected):
                failures.append(1)

    callers = [threading.Thread(target=caller) for _ in range(4)]
    for caller_thread in callers:
        caller_thread.start()
    for caller_thread in callers:
        caller_thread.join(60)
    assert not failures and not any(caller_thread.is_alive() for caller_thread in callers)


def test_one_job_in_two_threads_is_refused(two_threads):
    work = Work()
    runner = threading.Thread(target=lambda: team.run(work.job, 10_000_000))
    runner.start()
    while work.job.progress == 0:
        time.sleep(0.001)
    with pytest.raises(JobError, match="running in another thread"):
        team.run(work.job)
    work.job.stop()
    runner.join(10)
    assert not runner.is_alive() and team.run(work.job).status is Status.DONE


def test_partial_batch_without_table_is_refused():
    with pytest.raises(JobError, match="partial"):
        team.run(Work().job, partial=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("busy", [False, True])
def test_fork(two_threads, expected, busy):
    work, other = Work(), Work()
    assert np.array_equal(work.answer(50, team.run), expected)
    runner = threading.Thread(target=lambda: team.run(other.job, 10_000_000))
    if busy:
        runner.start()
        while other.job.progress == 0:
            time.sleep(0.001)
    else:
        time.sleep(0.02)  # the helper sleeps by now
    child = os.fork()
    if child == 0:
        right = np.array_equal(work.answer(50, team.run), expected) and team.get_team()._helpers
        os._exit(0 if right else 1)
    if busy:
        other.job.stop()
        runner.join(10)
    deadline = time.monotonic() + 20
    done, status = os.waitpid(child, os.WNOHANG)
    while not done and time.monotonic() < deadline:
        time.sleep(0.01)
        done, status = os.waitpid(child, os.WNOHANG)
    if not done:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert done and os.waitstatus_to_exitcode(status) == 0
    assert np.array_equal(work.answer(50, team.run), expected)


_EXIT = """
from tests.runtime.test_team import Work
from graphkeras.runtime import team
import time, sys
team.set_num_threads(2)
Work().answer(5, team.run_interruptible)
time.sleep(float(sys.argv[1]))
print("end")
"""


@pytest.mark.parametrize("pause", ["0", "0.05"])
def test_interpreter_leaves_while_the_team_sleeps(pause):
    done = subprocess.run([sys.executable, "-c", _EXIT, pause], capture_output=True, text=True, timeout=30, cwd=os.getcwd())
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def _interrupt_when_running(job):
    while job.progress < 3:
        time.sleep(0.001)
    signal.raise_signal(signal.SIGINT) if os.name == "nt" else os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_stops_between_two_steps(threads):
    work = Work()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pester = threading.Thread(target=_interrupt_when_running, args=(work.job,))
    pester.start()
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            team.run_interruptible(work.job, steps=100_000_000)
    finally:
        signal.signal(signal.SIGINT, before)
    pester.join()
    assert time.monotonic() - start < 5
    assert work.state[0] == work.job.progress >= 3  # every step counted has committed
    assert team.run_interruptible(work.job, steps=2).status is Status.DONE


def test_run_interruptible_gives_results_and_errors(two_threads, expected):
    work = Work()
    assert np.array_equal(work.answer(50, team.run_interruptible), expected)
    with pytest.raises(JobError, match="partial"):
        team.run_interruptible(work.job, partial=True)
    results = []
    other = threading.Thread(target=lambda: results.append(work.answer(50, team.run_interruptible)))
    other.start()
    other.join(10)
    assert np.array_equal(results[0], expected)


def test_number_of_threads(monkeypatch):
    monkeypatch.delenv("GRAPHKERAS_NUM_THREADS", raising=False)
    assert team.get_num_threads() == cores.available_cores()
    with flags.NUM_THREADS(3):
        assert team.get_num_threads() == 3 and team.get_team().threads == 3
    team.set_num_threads(5)
    try:
        assert team.get_num_threads() == 5
    finally:
        team.set_num_threads(None)
    for wrong in (0, -2, team.MAX_THREADS + 1):
        with pytest.raises(ValueError):
            team.set_num_threads(wrong)


@pytest.mark.parametrize(
    "files, membership, cores_granted",
    [
        ({"cpu.max": "150000 100000"}, "", 1.5),
        ({"cpu.max": "max 100000"}, "", None),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "50000 100000"}, "0::/a/b", 0.5),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/", 3.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/", None),
        ({"cpu.max": "rubbish"}, "0::/", None),
        ({}, "", None),
    ],
)
def test_container_quota(tmp_path, files, membership, cores_granted):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert cores.quota(tmp_path, membership) == cores_granted


def test_quota_is_rounded_up(monkeypatch):
    monkeypatch.setattr(cores, "quota", lambda: 0.2)
    cores._granted.cache_clear()
    try:
        assert cores.available_cores() == 1
    finally:
        cores._granted.cache_clear()
