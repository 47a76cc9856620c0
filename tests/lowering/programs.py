"""Helpers for tests of programs: graphs by hand, and one check of everything that must agree."""

import numpy as np

import graphkeras.ops  # noqa: F401 - registers the ops
from graphkeras.ir import ConstantArray, Graph, TensorSpec, Value, input_node, make_node
from graphkeras.ir.dtypes import dtype_name
from graphkeras.runtime.interpreter import interpret
from graphkeras.runtime.program import Program
from graphkeras.testing.compiled import check_scratch

TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 2e-5, "float64": 1e-12}


def op(name, *inputs, **attrs) -> Value:
    """A node's first output."""
    return Value(make_node(name, inputs, attrs))


def const(number, dtype="float32") -> Value:
    """A constant."""
    from graphkeras.ir.dtypes import numpy_dtype

    return op("constant", value=ConstantArray(np.array(number).astype(numpy_dtype(dtype))))


def arg(name, shape, dtype="float32") -> Value:
    """A graph input."""
    return Value(input_node(name, TensorSpec(tuple(shape), dtype)))


def args_like(*arrays) -> list[Value]:
    """Graph inputs with the specs of arrays."""
    return [arg(f"x{i}", a.shape, dtype_name(a.dtype)) for i, a in enumerate(arrays)]


def normal(*shape, seed=0, dtype="float32"):
    """Normal numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def kinds(program) -> list[str]:
    """Kinds of the groups in order."""
    return [group.kind for group in program.schedule.groups]


def check(graph: Graph, *calls, tolerance=None, threads=(2, 3, 8)) -> Program:
    """Runs a graph fused, strict and on NumPy for each call (a tuple of arrays): fused and strict bits must agree for any number of
    threads, both must be near NumPy, and kernels must get by with the scratch they ask for."""
    fused, strict = Program(graph), Program(graph, fuse=False)
    for arrays in calls:
        expected = interpret(graph, arrays)
        got = fused(*arrays, threads=1)
        runs = {"strict": strict(*arrays, threads=1)}
        runs.update({f"{n} threads": fused(*arrays, threads=n) for n in threads})
        for position, (value, wanted) in enumerate(zip(got, expected, strict=True)):
            assert value.dtype == wanted.dtype and value.shape == wanted.shape
            limit = tolerance or TOLERANCE.get(value.dtype.name, 0)
            np.testing.assert_allclose(
                value.astype("f8"), wanted.astype("f8"), rtol=limit, atol=limit, err_msg=f"output {position}"
            )
            for how, other in runs.items():
                assert other[position].tobytes() == value.tobytes(), f"output {position} differs: {how}"
        check_scratch(fused, arrays)
    return fused
