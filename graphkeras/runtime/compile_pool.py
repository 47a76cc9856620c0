"""Processes that compile kernels, so that the process that trains neither imports Numba nor dies of a fault inside LLVM.

A worker is this Python with `serve()`; it reads requests from its standard input and writes object code to its standard output,
and leaves when it has nothing to do for a while or its parent is gone. Several workers start and compile side by side. Where no
process can be started, kernels are compiled in this one.
"""

import atexit
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

        environment = {**os.environ, "GRAPHKERAS_WORKER_PATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
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

    def close(self, wait=True) -> None:
        try:
            self._process.stdin.close()
        except OSError:
            pass  # it has left already
        self.output.close()
        if wait:
            self._process.terminate()
            self._process.wait()
        else:
            self._process.returncode = 0  # another process's child: not ours to wait for


class CompilePool:
    """A few worker processes, started when first needed and again when they have left."""

    def __init__(self):
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []

    def compile(self, jobs: Sequence[CompileJob]) -> list[bytes]:
        """Object code of each job, in order.

        Raises:
            CompileError: The first kernel that does not compile.
        """
        count = min(wanted_workers(), len(jobs))
        if count == 0:
            return _compile_here(jobs)
        with self._lock:
            try:
                self._start(count)
            except OSError:
                return _compile_here(jobs)
            return self._distribute(jobs)

    def close(self, wait=True) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.close(wait)
        self._workers.clear()

    def _start(self, count):
        for worker in [worker for worker in self._workers if not worker.alive()]:
            self._drop(worker)
        while len(self._workers) < count:
            self._workers.append(_Worker())

    def _drop(self, worker):
        self._workers.remove(worker)
        worker.close()

    def _distribute(self, jobs):
        import selectors

        waiting = sorted(range(len(jobs)), key=lambda i: len(jobs[i].body))  # longest last, and taken first
        results: list[bytes | None] = [None] * len(jobs)
        attempts = [0] * len(jobs)
        running: dict[_Worker, int] = {}
        failure = None
        with selectors.DefaultSelector() as selector:

            def give(worker):
                while waiting and failure is None:
                    index = waiting.pop()
                    try:
                        worker.send(jobs[index])
                    except _WorkerDied:
                        return died(worker, index)
                    running[worker] = index
                    selector.register(worker.output, selectors.EVENT_READ, worker)
                    return

            def died(worker, index):
                nonlocal failure
                self._drop(worker)
                attempts[index] += 1
                if attempts[index] > 1:
                    failure = (index, "the compiling process died over it")
                    return
                waiting.append(index)
                replacement = _Worker()
                self._workers.append(replacement)
                give(replacement)

            try:
                for worker in list(self._workers):
                    give(worker)
                while running:
                    for event, _ in selector.select():
                        worker = event.data
                        selector.unregister(worker.output)
                        index = running.pop(worker)
                        try:
                            status, data = worker.receive()
                        except _WorkerDied:
                            died(worker, index)
                            continue
                        if status == 0:
                            results[index] = data
                        elif failure is None:
                            failure = (index, data.decode())
                        give(worker)
            except BaseException:  # Ctrl-C: answers still on their way must not be taken for those of the next round
                for worker in list(self._workers):
                    self._drop(worker)
                raise
        if failure is not None:
            index, reason = failure
            raise CompileError(jobs[index].symbol, reason, jobs[index].body)
        return results


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
    pool.close(wait=False)
    pool = CompilePool()


atexit.register(lambda: pool.close())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
