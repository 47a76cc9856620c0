import numpy as np
import pytest

from graphkeras.ir import Graph, symbol
from graphkeras.ir.dtypes import numpy_dtype
from tests.lowering.programs import arg, args_like, check, const, kinds, normal, op

B = symbol("b")


def matmul(a, b, ta=False, tb=False):
    return op("matmul", a, b, transpose_a=ta, transpose_b=tb)


@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (3, 5, 2), (33, 17, 29), (128, 70, 10), (4, 0, 3), (0, 4, 3), (100, 300, 33)])
@pytest.mark.parametrize(("ta", "tb"), [(False, False), (True, False), (False, True), (True, True)])
def test_products(m, k, n, ta, tb):
    a, b = normal(*((k, m) if ta else (m, k))), normal(*((n, k) if tb else (k, n)), seed=1)
    inputs = args_like(a, b)
    check(Graph("f", inputs, [matmul(*inputs, ta, tb)]), (a, b), tolerance=1e-3)


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (3, 4, 2)), ((1, 3, 4), (5, 4, 2)), ((2, 3, 2, 4), (2, 3, 4, 5))],
)
def test_batches(a, b):
    x, y = normal(*a), normal(*b, seed=1)
    inputs = args_like(x, y)
    program = check(Graph("f", inputs, [op("tanh", op("add", matmul(*inputs), const(0.5)))]), (x, y), tolerance=1e-3)
    assert kinds(program)[-1] == "contraction"


def test_attention_heads_are_read_where_they_lie():
    q, k = normal(2, 7, 24), normal(2, 7, 24, seed=1)
    inputs = args_like(q, k)
    heads = [op("transpose", op("reshape", v, shape=(2, 7, 3, 8)), perm=(0, 2, 1, 3)) for v in inputs]
    check(Graph("f", inputs, [matmul(*heads, tb=True)]), (q, k), tolerance=1e-4)


def test_dense_layer_forward_and_backward():
    x, w, bias, ct = arg("x", (B, 20)), arg("w", (20, 12)), arg("bias", (12,)), arg("ct", (B, 12))
    y = op("add", matmul(x, w), bias)
    h = op("relu", y)
    dy = op("select", op("greater", h, const(0.0)), ct, const(0.0))
    outputs = [h, dy, op("reduce_sum", dy, axes=(0,), keepdims=False), matmul(x, dy, ta=True), matmul(dy, w, tb=True)]
    calls = [(normal(b, 20), normal(20, 12), normal(12), normal(b, 12, seed=3)) for b in (1, 5, 32, 300)]
    program = check(Graph("f", [x, w, bias, ct], outputs), *calls, tolerance=1e-3)
    assert kinds(program).count("pointwise") == 0  # bias, relu and its gradient are epilogues


def test_epilogue_reads_through_views_and_keeps_several_results():
    x, w, r = normal(9, 6), normal(6, 10, seed=1), normal(10, 9, seed=2)
    inputs = args_like(x, w, r)
    y = matmul(*inputs[:2])
    z = op("add", y, op("transpose", inputs[2], perm=(1, 0)))
    program = check(Graph("f", inputs, [y, z, op("reshape", op("exp", z), shape=(90,))]), (x, w, r), tolerance=1e-4)
    assert kinds(program) == ["contraction"]


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int32", "uint8"])
def test_other_dtypes(dtype):
    a, b = (
        np.random.default_rng(s).integers(-3 * (dtype[0] != "u"), 4, shape).astype(numpy_dtype(dtype))
        for s, shape in enumerate([(2, 5, 7), (7, 3)])
    )
    inputs = args_like(a, b)
    check(Graph("f", inputs, [matmul(*inputs), op("add", matmul(*inputs), const(1, dtype))]), (a, b))


def test_a_product_of_itself():
    x = normal(17, 17)
    (v,) = args_like(x)
    check(Graph("f", [v], [matmul(v, v), matmul(v, v, ta=True)]), (x,), tolerance=1e-4)
