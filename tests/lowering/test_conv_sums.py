"""Sums down the columns of a convolution, taken while its places are in the cache: the same bits as those of a kernel of their own."""

import numpy as np
import pytest

from graphkeras.ir import Graph
from graphkeras.ir.dims import symbol
from graphkeras.lowering.cpu import conv_plan
from graphkeras.lowering.cpu.conv_geometry import Walk, geometry, strips_of
from graphkeras.schedule.chunks import CHUNK_ROWS, can_be_chunked, whole_chunks
from tests.lowering.programs import arg, check, const, kinds, normal, op


@pytest.fixture(autouse=True)
def small_results_too(monkeypatch):
    monkeypatch.setattr("graphkeras.schedule.space.LEAST_SUMMED_BYTES", 0)
    monkeypatch.setattr("graphkeras.schedule.recompute.LEAST_BYTES", 0)


# x, filters, window, stride, groups, whether places can be blocks of whole chunks: rows of an image, images, several images
CASES = {
    "rows of an image": ((3, 64, 48, 8), 40, 3, 1, 1, True),
    "long rows": ((2, 8, 256, 4), 18, 3, 1, 1, True),
    "an image": ((5, 8, 8, 16), 20, 3, 1, 1, True),
    "several images": ((9, 4, 12, 6), 33, 3, 1, 1, True),
    "single places": ((130, 1, 1, 24), 24, 1, 1, 1, True),
    "strided": ((3, 32, 32, 8), 16, 3, 2, 1, True),
    "groups": ((3, 16, 16, 12), 24, 3, 1, 3, True),
    "groups of a vector": ((3, 16, 16, 48), 24, 3, 1, 3, True),
    "depthwise": ((3, 16, 16, 20), 20, 3, 1, 20, True),
    "more columns than a block has": ((2, 8, 8, 128), 320, 3, 1, 1, True),
    "a volume": ((2, 4, 8, 8, 6), 18, 3, 1, 1, True),
    "odd images": ((3, 7, 7, 8), 16, 3, 1, 1, False),
    "a line of no whole chunks": ((2, 1000, 4), 16, 3, 1, 1, False),
}


def parts(case, dtype="float32", batch=None):
    """Graphs of a convolution and its input gradient, with a bias and ReLU, and sums of both down the columns; and their arrays."""
    x_shape, filters, k, stride, groups, _ = CASES[case]
    count = len(x_shape) - 2
    attrs = {"strides": (stride,) * count, "padding": ((k // 2,) * 2,) * count, "dilation": (1,) * count, "groups": groups}
    w = normal(*(k,) * count, x_shape[-1] // groups, filters, seed=1, dtype=dtype) / 8
    x = normal(*x_shape, dtype=dtype)
    y_shape = op("conv", arg("x", x_shape, dtype), arg("w", w.shape, dtype), **attrs).shape
    ct = normal(*y_shape, seed=2, dtype=dtype)
    for name, a, more in (("conv", x, {}), ("conv_input_gradient", ct, {"shape": x_shape[1:-1]})):
        first, second = arg("a", (symbol(batch) if batch else a.shape[0], *a.shape[1:]), dtype), arg("w", w.shape, dtype)
        y = op(name, first, second, **more, **attrs)
        v = arg("v", y.shape[-1:], dtype)
        y = op("maximum", op("add", y, v), const(0.0, dtype))
        axes = tuple(range(count + 1))
        sums = [op(reduction, y, axes=axes, keepdims=False) for reduction in ("reduce_sum", "reduce_max", "reduce_deviations")]
        yield Graph(name, [first, second, v], [y, *sums]), (a, w, normal(*v.shape, seed=3, dtype=dtype))


@pytest.mark.parametrize("case", CASES)
def test_bits(case):
    for graph, arrays in parts(case):
        program = check(graph, arrays, tolerance=2e-2)
        (node,) = (n for n in graph.nodes if n.op == graph.name)
        assert can_be_chunked(node) == CASES[case][-1]
        assert kinds(program) == (["contraction"] if CASES[case][-1] else ["contraction", "column"])


@pytest.mark.parametrize("case", ["several images", "depthwise"])
def test_float64(case):
    for graph, arrays in parts(case, "float64"):
        assert kinds(check(graph, arrays, tolerance=1e-10)) == ["contraction"]


@pytest.mark.parametrize("case", ["rows of an image", "several images", "depthwise"])
def test_one_program_for_all_batches(case):
    for graph, (a, *others) in parts(case, batch="batch"):
        calls = [(normal(n, *a.shape[1:], seed=n), *others) for n in (1, 3, 40)]
        assert kinds(check(graph, *calls, tolerance=2e-2)) == ["contraction"]


def test_prologue_and_sums_at_once():
    x, w, v = arg("x", (4, 16, 16, 16)), arg("w", (3, 3, 16, 32)), arg("v", (16,))
    attrs = {"strides": (1, 1), "padding": ((1, 1),) * 2, "dilation": (1, 1), "groups": 1}
    y = op("conv", op("subtract", x, v), w, **attrs)
    data = tuple(normal(*a.shape, seed=i) for i, a in enumerate((x, w, v)))
    program = check(Graph("f", [x, w, v], [y, op("reduce_sum", y, axes=(0, 1, 2), keepdims=False)]), data, tolerance=1e-2)
    assert kinds(program) == ["contraction"] and program.schedule.groups[0].prologues


@pytest.mark.parametrize("case", [name for name, case in CASES.items() if case[-1] and name != "depthwise"])
def test_units_are_whole_chunks(case):
    for graph, _ in parts(case):
        (node,) = (n for n in graph.nodes if n.op == graph.name)
        strips = strips_of("f32", node.specs[0].shape[-1] // node.attrs["groups"])
        walk = Walk((*geometry(node), *strips.shape, 1, 0, 0, 1), "f32")
        plan = conv_plan.convolution_plan(walk, 1)
        cut = conv_plan.cut(walk)
        per_turn = cut.blocks(walk)
        firsts = plan[: per_turn * conv_plan.BLOCK].reshape(per_turn, -1)[:, 1]
        assert not (firsts % CHUNK_ROWS).any() and cut.images * walk.rows * walk.out_w % CHUNK_ROWS == 0


def test_smallest_block():
    assert whole_chunks(32, 32) == (1, 2) and whole_chunks(56, 56) == (1, 8) and whole_chunks(8, 8) == (1, 8)
    assert whole_chunks(4, 4) == (4, 4) and whole_chunks(1, 1) == (64, 1)
    assert whole_chunks(7, 7) is None and whole_chunks(28, 28) is None
    assert np.prod(whole_chunks(224, 224)) * 224 == 448
