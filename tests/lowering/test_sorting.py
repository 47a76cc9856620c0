import numpy as np
import pytest

from graphkeras.ir import Graph, Value, make_node, symbol
from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.errors import ShapeError
from graphkeras.lowering.cpu.sorting import FEW, SMALL_K
from graphkeras.runtime.interpreter import interpret
from graphkeras.runtime.program import Program
from tests.lowering.programs import arg, args_like, check, normal, op

B = symbol("b")
DTYPES = (
    "float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
)  # fmt: skip


def numbers(dtype, shape, seed=0):
    """Random elements of all sizes, with the extremes, repetitions and, for floats, NaN, infinities and both zeros."""
    rng = np.random.default_rng(seed)
    kind = numpy_dtype(dtype)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if kind.kind in "iu":
        info = np.iinfo(kind)
        array = rng.integers(info.min, info.max, shape, kind, endpoint=True)
        special = np.array([info.min, info.max, 0, 1], kind)
    else:
        array = (rng.normal(size=shape) * 10.0 ** rng.uniform(-4, 4, shape)).astype(kind)
        special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], kind)
    return np.where(rng.random(shape) < 0.3, rng.choice(special, shape), array)


def same_bits(graph, *arrays):
    """Compiled, strict and NumPy results are equal to the bit for any number of threads."""
    expected = interpret(graph, arrays)
    programs = (Program(graph), Program(graph, fuse=False))
    for program in programs:
        for threads in (1, 2, 3):
            for got, want in zip(program(*arrays, threads=threads), expected, strict=True):
                assert got.dtype == want.dtype and got.tobytes() == want.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sort", "argsort"])
def test_lines_of_all_lengths(dtype, name):
    for n in (0, 1, 7, FEW, FEW + 1, 700):
        x = numbers(dtype, (5, n), seed=n)
        inputs = args_like(x)
        same_bits(Graph("f", inputs, [op(name, *inputs, axis=1)]), x)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis_and_strided_operands(axis):
    x = numbers("float32", (60, 3, 70))
    inputs = args_like(x)
    turned = op("transpose", *inputs, perm=(2, 0, 1))
    same_bits(Graph("f", inputs, [op("sort", *inputs, axis=axis), op("argsort", turned, axis=axis)]), x)


def test_a_long_line():
    x = numbers("float32", (100_000,))
    inputs = args_like(x)
    same_bits(Graph("f", inputs, [op("sort", *inputs, axis=0), op("argsort", *inputs, axis=0)]), x)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "bool"])
def test_top_k(dtype):
    for n, k in ((1, 1), (9, 3), (40, 40), (600, SMALL_K), (600, SMALL_K + 1), (600, 0)):
        x = numbers(dtype, (4, n), seed=n)
        inputs = args_like(x)
        node = make_node("top_k", inputs, {"k": k})
        same_bits(Graph("f", inputs, node.outputs), x)


@pytest.mark.parametrize("order", [1, -1])
def test_top_k_of_ordered_lines(order):
    x = np.arange(500, dtype="float32")[::order].copy()[None]
    inputs = args_like(x)
    same_bits(Graph("f", inputs, make_node("top_k", inputs, {"k": 20}).outputs), x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted(dtype, side):
    for n in (0, 1, 2, 31, 64, 1000):
        edges = numbers(dtype, (n,), seed=n)
        order = np.argsort(edges.astype("float32") if dtype in ("float16", "bfloat16") else edges, kind="stable")
        edges, values = edges[order], numbers(dtype, (7, 9), seed=1)
        values.reshape(-1)[: min(n, 20)] = edges[: min(n, 20)]
        inputs = args_like(edges, values)
        same_bits(Graph("f", inputs, [op("searchsorted", *inputs, side=side)]), edges, values)


def test_sizes_known_at_run_time():
    x = arg("x", (B, 50))
    node = make_node("top_k", [x], {"k": 3})
    graph = Graph("f", [x], [op("sort", x, axis=0), op("argsort", x, axis=1), Value(node), Value(node, 1)])
    check(graph, *((normal(b, 50, seed=b),) for b in (1, 80, 0)))


def test_lines_shorter_than_k_are_refused():
    x = arg("x", (2, B))
    program = Program(Graph("f", [x], make_node("top_k", [x], {"k": 3}).outputs))
    program(normal(2, 3))
    with pytest.raises(ShapeError, match="least possible"):
        program(normal(2, 2))
