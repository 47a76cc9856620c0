import threading

import numpy as np
import pytest

from graphkeras import function, ops
from graphkeras.lowering.cpu import blas

needs_openblas = pytest.mark.skipif(blas.threads() is None, reason="NumPy uses another BLAS")


@pytest.fixture
def two_threads():
    set_threads, get_threads = blas._functions()
    before = get_threads()
    set_threads(2)
    yield
    set_threads(before)


@needs_openblas
def test_one_thread_inside_and_as_before_outside(two_threads):
    with blas.one_thread():
        with blas.one_thread():
            assert blas.threads() == 1
        assert blas.threads() == 1
    assert blas.threads() == 2


@needs_openblas
def test_contexts_of_several_threads_that_overlap(two_threads):
    entered, leave = threading.Event(), threading.Event()

    def stay():
        with blas.one_thread():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    entered.wait()
    with blas.one_thread():
        leave.set()
        thread.join()
        assert blas.threads() == 1
    assert blas.threads() == 2


@needs_openblas
def test_host_calls_of_programs_use_one_thread(two_threads, monkeypatch):
    from graphkeras.ir.registry import op_def

    seen, record = [], op_def("inv")
    honest = record.eager

    def watched(x, **attrs):
        seen.append(blas.threads())
        return honest(x, **attrs)

    object.__setattr__(record, "eager", watched)
    try:
        function(lambda x: ops.inv(x))(np.eye(3, dtype="float32"))
    finally:
        object.__setattr__(record, "eager", honest)
    assert seen and seen[-1] == 1 and blas.threads() == 2
