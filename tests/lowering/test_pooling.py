"""Kernels of pooling: strict, fused and threaded runs give the same bits, near NumPy; several channels blocks and borders."""

import numpy as np
import pytest

from graphkeras.ir import Graph
from graphkeras.ir.dims import symbol
from graphkeras.lowering.cpu import pooling
from tests.lowering.programs import arg, args_like, check, kinds, normal, op

CASES = {
    "plain": ((6, 26, 26, 32), (2, 2), (2, 2), ((0, 0), (0, 0))),
    "inside and overlapping": ((3, 11, 9, 21), (3, 2), (2, 1), ((0, 0), (0, 0))),
    "overlapping": ((3, 13, 12, 70), (3, 3), (2, 2), ((0, 1), (1, 1))),
    "step of one": ((2, 9, 9, 5), (3, 2), (1, 1), ((1, 1), (0, 1))),
    "gaps": ((2, 11, 10, 17), (2, 2), (3, 4), ((0, 0), (0, 0))),
    "line": ((4, 50, 24), (3,), (2,), ((1, 1),)),
    "volume": ((2, 6, 7, 8, 19), (2, 3, 2), (2, 2, 1), ((0, 0), (1, 1), (0, 1))),
}


def walk(case):
    return dict(zip(("window", "strides", "padding"), CASES[case][1:]))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("case", CASES)
def test_pooling_and_gradients(case, dtype):
    attrs, shape = walk(case), CASES[case][0]
    x = normal(*shape, dtype="float32").astype(dtype)
    ct = normal(*op("max_pool", *args_like(x), **attrs).shape, seed=1, dtype="float32").astype(dtype)
    spatial = {"shape": shape[1:-1], **attrs}
    for name, arrays, used in (
        ("max_pool", (x,), attrs),
        ("average_pool", (x,), attrs),
        ("max_pool_gradient", (ct, x), attrs),
        ("max_pool_pick", (x[::-1].copy(), x), attrs),
        ("average_pool_gradient", (ct,), spatial),
    ):
        inputs = args_like(*arrays)
        program = check(Graph(name, inputs, [op(name, *inputs, **used)]), arrays)
        assert kinds(program) == [name]


@pytest.mark.parametrize("case", ["plain", "inside and overlapping", "overlapping"])
def test_gradient_goes_to_the_first_maximum_and_a_nan_is_one(case):
    attrs, shape = walk(case), CASES[case][0]
    rng = np.random.default_rng(2)
    x = rng.integers(0, 3, shape).astype("float32")
    x[rng.random(shape) < 0.2] = np.nan
    ct = rng.integers(1, 9, op("max_pool", *args_like(x), **attrs).shape).astype("float32")
    expected = np.zeros_like(x)
    for n, i, j, c in np.ndindex(*ct.shape):
        begin = [o * step - low for o, step, (low, _) in zip((i, j), attrs["strides"], attrs["padding"])]
        (h0, h1), (w0, w1) = ((max(0, b), b + k) for b, k in zip(begin, attrs["window"]))
        window = x[n, h0:h1, w0:w1, c]
        h, w = np.unravel_index(window.argmax(), window.shape)  # the first NaN, where there is one
        expected[n, h0 + h, w0 + w, c] += ct[n, i, j, c]
    inputs = args_like(ct, x)
    program = check(Graph("g", inputs, [op("max_pool_gradient", *inputs, **attrs)]), (ct, x))
    np.testing.assert_array_equal(program(ct, x, threads=1)[0], expected)


def test_integers():
    x = np.random.default_rng(0).integers(-100, 100, (2, 9, 9, 11)).astype("int8")
    inputs = args_like(x)
    check(Graph("g", inputs, [op("max_pool", *inputs, **walk("step of one"))]), (x,))


def test_one_program_serves_all_batch_sizes():
    shape = CASES["plain"][0]
    x = arg("x", (symbol("batch"), *shape[1:]))
    graph = Graph("g", [x], [op("max_pool", x, **walk("plain"))])
    check(graph, *[(normal(n, *shape[1:]),) for n in (1, 5, 0)])


def test_source_is_canonical():
    assert pooling.source("max_pool", "f32") == pooling.source("max_pool", "f32")
    assert "_T(" not in pooling.source("average_pool", "f16") and "const_f32(" in pooling.source("average_pool", "f16")
