"""Processes that compile kernels, so that the process that trains neither imports Numba nor dies of a fault inside LLVM.

A worker is this Python with `serve()`; it reads requests from its standard input and writes object code to its standard output,
and leaves when it has nothing to do for a while or its parent is gone. Several workers start and compile side by side. Where no
process can be started, kernels are compiled in this one.
"""

import atexit
import contextlib
import json
import os
import struct
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from graphkeras.debug import flags
from graphkeras.runtime.cores import available_cores
from graphkeras.runtime.errors import CompileError

_LENGTH = struct.Struct("<qQ")  # status, bytes that follow
_IDLE_SECONDS = 8.0
_BOOT = """
import os, sys
sys.path[:] = os.environ.pop("GRAPHKERAS_WORKER_PATH").split(os.pathsep)
from graphkeras.runtime.compile_pool import serve
serve()
"""


@dataclass(frozen=True)
class CompileJob:
    """One kernel to compile; see `compiler.compile_source`."""

    body: str
    symbol: str
    namespace: str = "simd"
    opt_level: int = 2
    assembly: bool = False


class _WorkerDied(Exception):
    pass


class _Worker:
    def __init__(self):
        import subprocess

        from graphkeras.lowering.cpu import target

        path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
        environment = {**os.environ, flags.TARGET.variable: target.NAME, "GRAPHKERAS_WORKER_PATH": path}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )  # a session of its own: Ctrl-C in the terminal reaches the parent alone
        self.output = self._process.stdout

    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, job: CompileJob) -> None:
        text = json.dumps(vars(job)).encode()
        try:
            self._process.stdin.write(_LENGTH.pack(0, len(text)) + text)
            self._process.stdin.flush()
        except OSError as error:
            raise _WorkerDied from error

    def receive(self) -> tuple[int, bytes]:
        header = self.output.read(_LENGTH.size)
        if len(header) < _LENGTH.size:
            raise _WorkerDied
        status, length = _LENGTH.unpack(header)
        data = self.output.read(length)
        if len(data) < length:
            raise _WorkerDied
        return status, data

    def close(self) -> None:
        # First the process ends, so that no thread still waits for its answer while the pipe is closed.
        self._process.terminate()
        for pipe in (self._process.stdin, self.output):
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.wait()

    def abandon(self) -> None:
        """Lets go of another process's child: its pipes end here, but their objects, which a thread of the parent may have locked,
        stay as they are."""
        self._process.returncode = 0
        nothing = os.open(os.devnull, os.O_RDWR)
        for pipe in (self._process.stdin, self.output):
            os.dup2(nothing, pipe.fileno(), inheritable=False)
        os.close(nothing)


class _Task:
    """A job on its way: in the end it has `code` or `error`."""

    def __init__(self, job):
        self.job, self.done = job, threading.Event()
        self.code: bytes | None = None
        self.error: BaseException | None = None


class CompilePool:
    """A few worker processes, started when first needed and again when they have left.

    Each is attended to by a thread while there is work, so that several threads of the program can ask at the same time, and one
    that is interrupted leaves no answer behind that the next one would take for its own.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._waiting: list[_Task] = []
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._threads = 0

    def compile(self, jobs: Sequence[CompileJob]) -> list[bytes]:
        """Object code of each job, in order.

        Raises:
            CompileError: The first kernel that does not compile.
        """
        allowed = wanted_workers()
        if not allowed or not jobs:
            return _compile_here(jobs)
        tasks = [_Task(job) for job in jobs]
        with self._lock:
            self._waiting += tasks
            self._waiting.sort(key=lambda task: len(task.job.body))  # longest last, and taken first
            for _ in range(min(len(tasks), allowed - self._threads)):
                self._threads += 1
                threading.Thread(target=self._attend, name="graphkeras-compile", daemon=True).start()
        try:
            for task in tasks:
                task.done.wait()
                if isinstance(task.error, OSError):  # no process can be started
                    (task.code,) = _compile_here([task.job])
                elif task.error is not None:
                    raise task.error
        except BaseException:
            with self._lock:
                self._waiting = [task for task in self._waiting if task not in tasks]
            raise
        return [task.code for task in tasks]

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            self._waiting.clear()
            workers, self._workers, self._idle = self._workers, [], []
        for worker in workers:
            worker.close()

    def abandon(self) -> None:
        """Forget the workers of the process that this one was forked from."""
        for worker in self._workers:
            worker.abandon()
        _abandoned.extend(self._workers)

    def _attend(self):
        """The life of a thread: gives tasks to a worker until none is left."""
        worker = None
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    if worker in self._workers:
                        self._idle.append(worker)
                    return
                task = self._waiting.pop()
            try:
                worker = self._served(worker, task)
            except BaseException as error:
                task.error, worker = error, None
            task.done.set()

    def _served(self, worker, task):
        """Has a worker do a task, a second one if the first dies; returns the worker for the next task."""
        for _ in range(2):
            worker = worker or self._worker()
            try:
                worker.send(task.job)
                status, data = worker.receive()
            except BaseException as error:
                self._drop(worker)
                if not isinstance(error, _WorkerDied):
                    raise
                worker = None
                continue
            if status == 0:
                task.code = data
            else:
                task.error = CompileError(task.job.symbol, data.decode(), task.job.body)
            return worker
        raise CompileError(task.job.symbol, "the compiling process died over it", task.job.body)

    def _worker(self):
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                worker = _Worker()
                with self._lock:
                    self._workers.append(worker)
                return worker
            if worker.alive():
                return worker
            self._drop(worker)

    def _drop(self, worker):
        with self._lock:
            if worker in self._workers:
                self._workers.remove(worker)
        worker.close()


_abandoned: list[_Worker] = []


def wanted_workers() -> int:
    """Workers that the flag `COMPILE_WORKERS` and the cores allow; 0 compiles in this process."""
    asked = flags.COMPILE_WORKERS.value
    if asked >= 0:
        return asked
    if not sys.executable:
        return 0
    return min(available_cores(), 4)


def _compile_here(jobs):
    from graphkeras.runtime.compiler import compile_source

    return [compile_source(**vars(job)) for job in jobs]


def serve() -> None:
    """The life of a worker."""
    import selectors

    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not end up in the protocol
    from graphkeras.runtime import compiler

    compiler.dedicate_process()
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while selector.select(_IDLE_SECONDS):
            header = source.read(_LENGTH.size)
            if len(header) < _LENGTH.size:
                return
            job = CompileJob(**json.loads(source.read(_LENGTH.unpack(header)[1])))
            try:
                status = 0
                data = compiler.compile_source(**vars(job))
            except CompileError as error:
                status, data = 1, error.reason.encode()
            try:
                sink.write(_LENGTH.pack(status, len(data)) + data)
                sink.flush()
            except BrokenPipeError:
                return


pool = CompilePool()
"""The workers of this process."""


def _forget_after_fork():
    global pool
    pool.abandon()
    pool = CompilePool()


atexit.register(lambda: pool.close())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
