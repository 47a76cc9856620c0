import numpy as np
import pytest

from graphkeras.ir import Graph, symbol
from graphkeras.ir.dtypes import numpy_dtype
from tests.lowering.programs import arg, args_like, check, const, kinds, normal, op

B = symbol("b")


@pytest.mark.parametrize(
    "shape", [(), (1,), (7,), (8,), (9,), (1000,), (0,), (3, 5), (4, 1, 6), (2, 3, 4, 5), (1, 1, 17, 1), (2, 0, 3)]
)
def test_contiguous_arrays_are_one_loop(shape):
    x, y = normal(*shape), normal(*shape, seed=1)
    inputs = args_like(x, y)
    program = check(Graph("f", inputs, [op("tanh", op("add", *inputs))]), (x, y))
    assert kinds(program) == ["pointwise"]
    assert program.kernels[0].canonical.count("while") == 1


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((5, 9), (9,)),
        ((5, 9), (5, 1)),
        ((5, 9), ()),
        ((4, 3, 8), (3, 1)),
        ((4, 1, 8), (3, 1)),
        ((2, 3, 4, 5), (2, 1, 4, 1)),
        ((3, 1), (1, 11)),
    ],
)
def test_broadcasting(left, right):
    x, y = normal(*left), normal(*right, seed=1)
    inputs = args_like(x, y)
    check(Graph("f", inputs, [op("subtract", *inputs), op("multiply", inputs[1], inputs[0])]), (x, y))


def test_views_are_strides_not_copies():
    x = normal(6, 10, 4)
    (v,) = args_like(x)
    turned = op("transpose", v, perm=(2, 0, 1))
    cut = op("slice", turned, starts=(0, 1, 9), stops=(4, 6, -1), strides=(1, 2, -1))
    flat = op("reshape", op("slice", v, starts=(0, 2, 0), stops=(6, 8, 4), strides=(1, 1, 1)), shape=(6, 24))
    wide = op("broadcast_to", op("reshape", v, shape=(6, 1, 40)), shape=(6, 3, 40))
    graph = Graph("f", [v], [op("exp", cut), op("negative", flat), op("relu", wide)])
    program = check(graph, (x,))
    assert kinds(program) == ["pointwise"] * 3


def test_a_reshape_that_strides_cannot_express_is_a_copy():
    x = normal(4, 6)
    (v,) = args_like(x)
    flat = op("reshape", op("transpose", v, perm=(1, 0)), shape=(24,))
    program = check(Graph("f", [v], [op("exp", flat), flat]), (x,))
    assert any(node.op == "identity" for group in program.schedule.groups for node in group.nodes)


def test_symbolic_sizes_never_recompile():
    v, w = arg("v", (B, 3)), arg("w", (B, 1))
    graph = Graph("f", [v, w], [op("sigmoid", op("multiply", v, w))])
    program = check(graph, *[(normal(b, 3), normal(b, 1, seed=2)) for b in (1, 2, 7, 64, 0, 301)])
    assert len(program.kernels) == 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_float_dtypes_round_at_every_node(dtype):
    x, y = (normal(5, 13, seed=s).astype(numpy_dtype(dtype)) for s in (0, 1))
    inputs = args_like(x, y)
    z = op("multiply", op("add", *inputs), op("tanh", inputs[0]))
    # Without rounding between the nodes the small difference below would be the unrounded one.
    check(Graph("f", inputs, [op("subtract", z, inputs[1]), op("add", z, const(1.0, dtype))]), (x, y))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_integer_dtypes(dtype):
    x, y = (np.random.default_rng(s).integers(1, 100, (3, 11)).astype(dtype) for s in (0, 1))
    inputs = args_like(x, y)
    total = op("add", op("multiply", *inputs), const(3, dtype))
    outputs = [
        total,
        op("floor_divide", total, inputs[1]),
        op("less", *inputs),
        op("cast", total, dtype="float32"),
        op("bitwise_xor", *inputs),
    ]
    check(Graph("f", inputs, outputs), (x, y))


def test_bool_and_select():
    x, y = normal(4, 9), normal(4, 9, seed=1)
    inputs = args_like(x, y)
    both = op("logical_and", op("greater", inputs[0], const(0.0)), op("logical_not", op("less", *inputs)))
    program = check(Graph("f", inputs, [op("select", both, *inputs), both]), (x, y))
    assert kinds(program) == ["pointwise"]


def test_literals_that_have_no_digits():
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0], np.float32)
    (v,) = args_like(x)
    check(Graph("f", [v], [op("minimum", v, const(np.inf)), op("maximum", v, const(-np.inf)), op("add", v, const(-0.0))]), (x,))


def test_iota_dims_and_random_bits_take_no_memory():
    x = normal(5, 7)
    v, key = arg("v", (B, 7)), arg("key", (2,), "uint32")
    numbers = op("iota", shape=(B, 7), axis=0, dtype="float32")
    size = op("cast", op("dim", size=B * 7), dtype="float32")
    bits = op("cast", op("random_bits", key, shape=(B, 7)), dtype="float32")
    program = check(
        Graph("f", [v, key], [op("add", op("multiply", v, numbers), op("divide", bits, size))]), (x, np.array([3, 4], np.uint32))
    )
    assert kinds(program) == ["pointwise"] * 2  # the size is cast once, not at every point
    assert program.peak_bytes({"b": 1000}) == 64


def test_random_bits_do_not_depend_on_fusion_through_views():
    key = arg("key", (2,), "uint32")
    bits = op("random_bits", key, shape=(6, 5))
    turned = op("transpose", bits, perm=(1, 0))
    check(Graph("f", [key], [op("bitwise_not", turned), op("bitwise_not", bits)]), (np.array([9, 8], np.uint32),))


def test_in_place_reuse_keeps_operands_that_are_read_elsewhere():
    x = normal(33, 8)
    (v,) = args_like(x)
    a = op("matmul", v, op("transpose", v, perm=(1, 0)), transpose_a=False, transpose_b=False)
    mirrored = op("add", a, op("transpose", a, perm=(1, 0)))
    check(Graph("f", [v], [op("matmul", mirrored, v, transpose_a=False, transpose_b=False)]), (x,), tolerance=1e-3)


def test_outputs_that_are_inputs_constants_or_twice_the_same():
    x = normal(3, 4)
    (v,) = args_like(x)
    y = op("exp", v)
    constant = const(np.arange(6.0).reshape(2, 3))
    program = check(
        Graph("f", [v], [v, y, y, constant, op("transpose", v, perm=(1, 0)), op("iota", shape=(5,), axis=0, dtype="int32")]), (x,)
    )
    first, *_ = program(x)
    first += 1
    np.testing.assert_array_equal(program(x)[0], x)
