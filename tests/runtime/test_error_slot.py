"""The error of a step is that of the first bad element of the first node that fails, whatever the threads and the fusion."""

import numpy as np
import pytest

from graphkeras.ir.dims import symbol
from graphkeras.ir.errors import DataError
from graphkeras.ir.spec import TensorSpec
from graphkeras.runtime.program import Program
from graphkeras.trace import prim, trace

B = symbol("b")


def _messages(function, specs, arrays):
    found = set()
    for fuse in (True, False):
        program = Program(trace(function, specs), fuse=fuse)
        for threads in (1, 2, 3, 8):
            for _ in range(10):
                with pytest.raises(DataError) as error:
                    program(*arrays, threads=threads)
                found.add(error.value.got)
    return found


def test_index_out_of_range():
    indices = np.zeros(200_000, np.int32)
    indices[[777, 60_000, 100_001, 199_999]] = [51, -52, 53, 54]
    specs = [TensorSpec((50, 64)), TensorSpec((B,), "int32")]
    found = _messages(lambda w, i: prim.gather(w, i, axis=0), specs, [np.ones((50, 64), np.float32), indices])
    assert found == {"51 at flat position 777 of i32[b]"}


def test_two_checks_in_one_kernel():
    x, y = np.zeros((2, 500_000), np.int32)
    x[[300_000, 450_000]], y[[100, 400_000]] = 11, 12

    def function(x, y):
        return prim.add(prim.check_range(x, low=0, high=10, what="first"), prim.check_range(y, low=0, high=10, what="second"))

    assert _messages(function, [TensorSpec((B,), "int32")] * 2, [x, y]) == {"11 at flat position 300000 of i32[b]"}


def test_big_endian_data_in_an_epoch():
    program = Program(trace(lambda x: prim.multiply(x, x), [TensorSpec((B, 3))]))
    data = np.arange(12, dtype=">f4").reshape(4, 3)
    outputs = program.epoch([data], batch_size=3, collect=True).run().outputs
    assert np.array_equal(outputs[0], (data * data).astype(np.float32))
