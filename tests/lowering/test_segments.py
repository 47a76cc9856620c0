import numpy as np
import pytest

from graphkeras.ir import Graph, symbol
from graphkeras.ir.errors import DataError, ShapeError
from graphkeras.runtime.program import Program
from tests.lowering.programs import arg, args_like, check, const, normal, op

B = symbol("b")
HOW = ("set", "max", "min", "mul")


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("width", [(), (1,), (3,), (2, 100)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int8", "float16"])
def test_rows_come_in_the_order_of_the_indices(how, width, dtype):
    x = normal(6, *width).astype(dtype)
    at = np.random.default_rng(0).integers(-6, 6, 40).astype("int64")
    updates = np.clip(normal(40, *width, seed=1), -2, 2).astype(dtype)
    inputs = args_like(x, at, updates)
    check(Graph("f", inputs, [op("scatter_reduce", *inputs, how=how)]), (x, at, updates))


def test_strided_operands_and_sizes_known_at_run_time():
    x, at, updates = arg("x", (4, 7)), arg("at", (B,), "uint8"), arg("updates", (4, B))
    result = op("scatter_reduce", op("transpose", x, perm=(1, 0)), at, op("transpose", updates, perm=(1, 0)), how="max")
    graph = Graph("f", [x, at, updates], [op("add", result, const(1.0))])
    rng = np.random.default_rng(0)
    check(graph, *((normal(4, 7), rng.integers(0, 7, b).astype("uint8"), normal(4, b)) for b in (1, 30, 0)))


@pytest.mark.parametrize("index", [6, -7])
def test_bad_indices(index):
    arrays = normal(6, 2), np.array([0, index], "int32"), normal(2, 2)
    inputs = args_like(*arrays)
    program = Program(Graph("f", inputs, [op("scatter_reduce", *inputs, how="set")]))
    with pytest.raises(DataError, match=rf"index {index} is out of range"):
        program(*arrays)


@pytest.mark.parametrize(("name", "attrs"), [("scatter_reduce", {"how": "max"}), ("scatter_add", {"axis": 0})])
def test_sizes_that_differ_at_run_time_are_refused(name, attrs):
    x, at, updates = arg("x", (4,)), arg("at", (B,), "int32"), arg("updates", (symbol("c"),))
    program = Program(Graph("f", [x, at, updates], [op(name, x, at, updates, **attrs)]))
    program(normal(4), np.zeros(3, "int32"), normal(3))
    with pytest.raises(ShapeError, match="differ"):
        program(normal(4), np.zeros(3, "int32"), normal(2))
