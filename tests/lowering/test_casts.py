"""Casts of casts: LLVM may fold what it takes for undefined; fused and single kernels agree all the same."""

import numpy as np
import pytest

from graphkeras.ir.spec import TensorSpec
from graphkeras.runtime.program import Program
from graphkeras.trace import prim, trace

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def _extremes(dtype):
    info = np.iinfo(dtype)
    return np.array([info.min, info.min + 1, info.max, info.max // 2 + 1, 0, 1, 100, info.max // 3], dtype)


@pytest.mark.parametrize("source", INTEGERS)
@pytest.mark.parametrize("between", ["float32", "float64", "float16"])
def test_integers_through_floats(source, between):
    def function(x):
        return tuple(prim.cast(prim.cast(x, dtype=between), dtype=target) for target in INTEGERS)

    graph = trace(function, [TensorSpec((8,), source)])
    x = _extremes(source)
    fused, strict = Program(graph)(x), Program(graph, fuse=False)(x)
    python = Program(graph).python(x)
    for target, a, b, c in zip(INTEGERS, fused, strict, python, strict=True):
        assert a.tobytes() == b.tobytes() == c.tobytes(), (target, a, b, c)


@pytest.mark.parametrize("source", ["float32", "float64"])
def test_what_does_not_fit(source):
    edges = [2.0**63, 2.0**31, -(2.0**31), 3.99, -128.0, 1.8e19, 0, -0.0, 1]
    x = np.array([np.nan, np.inf, -np.inf, 1e10, -1e10, 1e30, -1.5, *edges], source)
    targets = ("int32", "int64", "uint32", "uint64", "int8")
    program = Program(trace(lambda x: tuple(prim.cast(x, dtype=t) for t in targets), [TensorSpec((16,), source)]))
    i32, i64, u32, u64, i8 = program(x)
    least = -(2**31)
    assert i32.tolist() == [least] * 6 + [-1, least, least, least, 3, -128, least, 0, 0, 1]
    assert i64[:3].tolist() == [-(2**63)] * 3 and i64[4] == np.int64(x[4]) and i64[7] == -(2**63) and i64[8] == 2**31
    assert u32[11] == 2**32 - 128 and u32[8] == 2**31 and u32[10] == 3
    assert u64[7] == 2**63 and u64[12] == int(x[12]) and u64[11] == 2**64 - 128 and u64[3] == 10**10
    assert i8[11] == -128 and i8[10] == 3 and i8[6] == -1
