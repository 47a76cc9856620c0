"""Sums down the columns of a product, taken while its tiles are in the cache: the same bits as those of a kernel of their own."""

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.ir import Graph
from graphkeras.ir.dims import symbol
from graphkeras.lowering.cpu import gemm
from tests.lowering.programs import arg, check, const, kinds, normal, op
from tests.runtime.test_control import agree


@pytest.fixture(autouse=True)
def small_results_too(monkeypatch):
    monkeypatch.setattr("graphkeras.schedule.space.LEAST_SUMMED_BYTES", 0)


def product(a, b, **attrs):
    return op("matmul", a, b, **{"transpose_a": False, "transpose_b": False, **attrs})


def total(x, name="reduce_sum"):
    return op(name, x, axes=(0,), keepdims=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "k", "n"), [(1, 5, 7), (63, 40, 16), (64, 40, 33), (65, 40, 200), (192, 30, 130), (500, 70, 300)])
def test_bits(m, k, n, dtype):
    a, b, v = arg("a", (m, k), dtype), arg("b", (k, n), dtype), arg("v", (n,), dtype)
    y = op("maximum", op("add", product(a, b), v), const(0.0, dtype))
    data = tuple(normal(*x.shape, seed=i, dtype=dtype) for i, x in enumerate((a, b, v)))
    program = check(Graph("f", [a, b, v], [y, total(y), total(y, "reduce_max")]), data, tolerance=1e-3 if dtype == "float32" else 1e-10)
    assert kinds(program) == ["contraction"]
    assert len(program.schedule.groups[0].space.sides) == 2


def test_what_is_only_summed_is_not_stored():
    a, b = arg("a", (300, 50)), arg("b", (50, 70))
    program = check(Graph("f", [a, b], [total(op("square", product(a, b)))]), (normal(300, 50), normal(50, 70, seed=1)), tolerance=1e-3)
    assert kinds(program) == ["contraction"]
    assert [v.node.op for v in program.schedule.groups[0].outputs] == ["reduce_sum"]


def test_what_follows_from_sums_runs_behind():
    a, b = arg("a", (300, 50)), arg("b", (50, 70))
    y = product(a, b)
    mean = op("multiply", total(y), const(1 / 300))
    program = check(Graph("f", [a, b], [op("subtract", y, mean)]), (normal(300, 50), normal(50, 70, seed=1)), tolerance=1e-3)
    assert kinds(program) == ["contraction", "pointwise", "pointwise"]


def test_batches_of_products_and_sums_of_rows_stay_apart():
    a, b = arg("a", (3, 70, 50)), arg("b", (3, 50, 70))
    data = (normal(3, 70, 50), normal(3, 50, 70, seed=1))
    program = check(Graph("f", [a, b], [op("reduce_sum", product(a, b), axes=(0, 1), keepdims=False)]), data, tolerance=1e-3)
    assert kinds(program) == ["contraction", "column"]
    assert any("do not begin and end with chunks" in r.reason for r in program.schedule.refusals)
    rows = op("reduce_sum", product(a, b), axes=(2,), keepdims=False)
    program = check(Graph("f", [a, b], [rows]), data, tolerance=1e-3)
    assert any("does not run inside the tiles" in r.reason for r in program.schedule.refusals)


def test_small_results_are_read_again(monkeypatch):
    monkeypatch.undo()
    a, b = arg("a", (300, 50)), arg("b", (50, 70))
    program = check(Graph("f", [a, b], [total(product(a, b))]), (normal(300, 50), normal(50, 70, seed=1)), tolerance=1e-3)
    assert kinds(program) == ["contraction", "column"]


def test_one_program_for_all_batches():
    batch = symbol("batch")
    x, w = arg("x", (batch, 40)), arg("w", (40, 70))
    y = product(x, w)
    calls = [(normal(n, 40, seed=n), normal(40, 70, seed=1)) for n in (1, 64, 127, 193, 300)]
    program = check(Graph("f", [x, w], [y, total(y)]), *calls, tolerance=1e-3)
    assert kinds(program) == ["contraction"]


def test_no_rows():
    batch = symbol("batch")
    x, w = arg("x", (batch, 40)), arg("w", (40, 70))
    program = check(Graph("f", [x, w], [total(product(x, w))]), (normal(0, 40), normal(40, 70)))
    np.testing.assert_array_equal(program(normal(0, 40), normal(40, 70))[0], 0)


def test_prologue_and_sums_at_once(monkeypatch):
    monkeypatch.setattr("graphkeras.schedule.recompute.LEAST_BYTES", 0)
    a, b, v = arg("a", (300, 50)), arg("b", (50, 70)), arg("v", (50,))
    y = product(op("subtract", a, v), b)
    data = tuple(normal(*x.shape, seed=i) for i, x in enumerate((a, b, v)))
    program = check(Graph("f", [a, b, v], [y, total(y)]), data, tolerance=1e-3)
    assert kinds(program) == ["contraction"] and program.schedule.groups[0].prologues


@pytest.mark.parametrize("rows", [200, 1000])
def test_tiles_of_a_loop_are_whole_chunks_too(rows):
    """Where the matrix is packed before the loop, steps are cut anew by rows, but not into parts of chunks."""

    def summed(x, u):
        def step(h, row):
            y = (row + h) @ u
            return h * 0.5, (ops.sum(y, axis=0), ops.max(y, axis=0))

        return ops.scan(step, ops.zeros((96,), x.dtype), x)[1]

    program = agree(summed, normal(3, rows, 96), normal(96, 96, seed=1), rtol=1e-4)
    (product,) = [k for k in program.lowered if k.kind == "contraction" and k.region]
    words = dict(zip(gemm.ARGUMENTS[1:], product.args))
    assert words["b_ready"] == 1 and words["rise"] == gemm.CHUNKED_RISE
