import numpy as np
import pytest

from graphkeras.ir import Graph, symbol
from graphkeras.ir.errors import DataError
from graphkeras.runtime.program import Program
from tests.lowering.programs import arg, args_like, check, const, normal, op

B = symbol("b")


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("indices", [(), (4,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype", ["float32", "int8", "float64", "bool"])
def test_gather(axis, indices, dtype):
    x = normal(5, 6, 7).astype(dtype)
    at = np.random.default_rng(0).integers(-5, 5, indices).astype("int32")
    inputs = args_like(x, at)
    check(Graph("f", inputs, [op("gather", *inputs, axis=axis)]), (x, at))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("width", [1, 3, 70])
def test_scatter_add_is_in_the_order_of_the_indices(axis, width):
    x = normal(4, 5, width)
    at = np.random.default_rng(0).integers(-4, 4, 50).astype("int64")
    shape = (50, 5, width) if axis == 0 else (4, 50, width)
    updates = (normal(*shape) * 10 ** normal(*shape, seed=1)).astype("float32")
    inputs = args_like(x, at, updates)
    check(Graph("f", inputs, [op("scatter_add", *inputs, axis=axis)]), (x, at, updates), tolerance=1e-4)


def test_parts_of_many_rows_are_joined_in_one_pass():
    x, y, z = normal(70, 3, 5), normal(70, 4, 3, seed=1), normal(1, 2, 3, seed=2)
    inputs = args_like(x, y, z)
    turned = op("transpose", inputs[0], perm=(0, 2, 1))
    parts = [inputs[1], op("broadcast_to", inputs[2], shape=(70, 2, 3)), inputs[1]]
    made = check(Graph("f", inputs, [op("concatenate", *parts, axis=1)]), (x, y, z))
    assert len(made.kernels) == 1
    made = check(Graph("f", inputs, [op("concatenate", turned, inputs[1], axis=1)]), (x, y, z))
    assert len(made.kernels) == 2  # runs with strides are copied one by one


def test_concatenate_and_pad():
    x, y = normal(3, 4), normal(3, 9, seed=1)
    inputs = args_like(x, y)
    joined = op("concatenate", inputs[0], op("exp", inputs[1]), inputs[0], axis=1)
    padded = op("pad", op("transpose", inputs[1], perm=(1, 0)), const(7.0), low=(1, 0), high=(0, 2))
    check(Graph("f", inputs, [joined, padded, op("concatenate", *inputs[:1] * 2, axis=0)]), (x, y))


def test_sizes_known_at_run_time():
    table, at = arg("table", (9, 6)), arg("at", (B, 3), "int32")
    rows = op("gather", table, at, axis=0)
    back = op("scatter_add", op("broadcast_to", const(0.0), shape=(9, 6)), at, rows, axis=0)
    padded = op("pad", rows, const(0.0), low=(1, 0, 0), high=(0, 0, 1))
    for b in (1, 4, 0):
        check(
            Graph("f", [table, at], [back, padded]), (normal(9, 6), np.random.default_rng(b).integers(0, 9, (b, 3)).astype("int32"))
        )


def test_an_index_out_of_range_names_itself():
    table, at = arg("table", (9, 6)), arg("at", (B,), "int32")
    program = Program(Graph("f", [table, at], [op("gather", table, at, axis=0)]))
    with pytest.raises(DataError, match=r"gather: index 9 is out of range") as caught:
        program(normal(9, 6), np.array([0, 9, 3], "int32"))
    assert "flat position 1" in str(caught.value) and "integers in [-9, 9)" in str(caught.value)
    assert len(program(normal(9, 6), np.array([0, -9, 3], "int32"))) == 1


@pytest.mark.parametrize("width", [6, 16])
@pytest.mark.parametrize("dtype, bad", [("uint64", 2**64 - 1), ("uint64", 2**63), ("int64", -(2**63)), ("uint32", 2**32 - 1)])
@pytest.mark.parametrize("name", ["gather", "scatter_add", "scatter_reduce"])
def test_the_farthest_indices_are_out_of_range_and_named_as_they_are(name, dtype, bad, width):
    table, at, rows = arg("table", (9, width)), arg("at", (B,), dtype), arg("rows", (B, width))
    attrs = {"how": "max"} if name == "scatter_reduce" else {"axis": 0}
    operands = [table, at] if name == "gather" else [table, at, rows]
    graph = Graph("f", operands, [op("add", op(name, *operands, **attrs), const(1.0))])
    places = np.array([0, bad, 3], dtype)
    for fuse in (True, False):
        with pytest.raises(DataError, match=rf"^{name}: index {bad} is out of range"):
            Program(graph, fuse)(normal(9, width), places, *[normal(3, width)] * (name != "gather"))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64"])
def test_check_range_reports_the_label(dtype):
    labels = arg("labels", (B,), dtype)
    checked = op("check_range", labels, low=0, high=10, what="label")
    program = check(Graph("f", [labels], [op("add", checked, const(1, dtype))]), (np.arange(10).astype(dtype),))
    with pytest.raises(DataError, match=r"label 12 is out of range"):
        program(np.array([1] * 30 + [12], dtype))


def test_a_gradient_of_rows_starts_from_a_fill_not_a_copy():
    at, updates = arg("at", (B,), "int32"), arg("updates", (B, 40))
    zeros = op("broadcast_to", const(0.0), shape=(1000, 40))
    turned = op("transpose", arg("turned", (40, 1000)), perm=(1, 0))
    graph = Graph("f", [at, updates, turned.node.inputs[0]], [op("scatter_add", x, at, updates, axis=0) for x in (zeros, turned)])
    program = check(graph, (np.random.default_rng(0).integers(0, 1000, 300).astype("int32"), normal(300, 40), normal(40, 1000)))
    assert [group.kind for group in program.schedule.groups] == ["scatter_add"] * 2


def test_numbers_that_have_no_memory_get_some_where_a_kernel_needs_it():
    x, size = arg("x", (B,)), op("cast", op("dim", size=B), dtype="float32")
    count = op("iota", shape=(B,), axis=0, dtype="float32")
    at = op("iota", shape=(B,), axis=0, dtype="int32")
    column = op("reshape", count, shape=(B, 1))
    outputs = [
        op("concatenate", count, x, axis=0),
        op("pad", count, const(1.0), low=(2,), high=(0,)),
        op("gather", count, at, axis=0),
        op("scatter_add", count, at, x, axis=0),
        op("matmul", op("reshape", count, shape=(1, B)), column, transpose_a=False, transpose_b=False),
        op("multiply", count, size),
        op("concatenate", op("reshape", op("dim", size=B), shape=(1,)), at, axis=0),
        op("reduce_sum", op("transpose", column, perm=(1, 0)), axes=(0, 1), keepdims=False),
    ]
    check(Graph("f", [x], outputs), *[(normal(b),) for b in (1, 6, 40)], tolerance=1e-4)
