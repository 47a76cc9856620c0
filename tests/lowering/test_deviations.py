"""Squared deviations from the mean of columns, in one walk over the rows."""

import numpy as np
import pytest

from graphkeras.ir import Graph, symbol
from graphkeras.runtime.program import Program
from tests.lowering.programs import arg, args_like, check, kinds, normal, op

B = symbol("b")
SHAPES = [
    ((1, 3), (0,)), ((5, 3), (0,)), ((64, 10), (0,)), ((65, 10), (0,)), ((300, 130), (0,)), ((2100, 21), (0,)), ((4, 70, 12), (1,)),
    ((3, 9, 11, 20), (0, 1, 2)), ((0, 5), (0,)), ((5, 0), (0,)),
]  # fmt: skip


def deviations(v, axes=(0,), keepdims=False):
    return op("reduce_deviations", v, axes=axes, keepdims=keepdims)


def exact(x, axes=(0,)):
    wide = x.astype(np.float64)
    return np.square(wide - wide.sum(axes, keepdims=True) / np.prod([x.shape[a] for a in axes])).sum(axes)


@pytest.mark.parametrize("shape, axes", SHAPES)
def test_deviations(shape, axes):
    x = normal(*shape)
    (v,) = args_like(x)
    outputs = [deviations(v, axes), deviations(v, axes, True), op("reduce_sum", v, axes=axes, keepdims=False)]
    check(Graph("f", [v], outputs), (x,), tolerance=1e-4)


@pytest.mark.parametrize("center, spread", [(0, 1), (1e4, 1), (5, 1e-3), (-3e6, 100)])
def test_what_the_mean_is_does_not_show_in_the_last_digits(center, spread):
    """The two-pass form with a rounded mean is 1e-4 away where the mean is ten thousand deviations."""
    x = (center + spread * normal(5000, 40)).astype("float32")
    (v,) = args_like(x)
    (got,) = check(Graph("f", [v], [deviations(v)]), (x,), tolerance=1e8)(x)
    np.testing.assert_allclose(got, exact(x), rtol=3e-6)


def test_equal_numbers_deviate_by_nothing():
    x = np.full((200, 33), 1 / 3, np.float32)
    (v,) = args_like(x)
    (got,) = Program(Graph("f", [v], [deviations(v)]))(x)
    assert not got.any()


def test_a_drift_through_the_rows():
    """Chunks far from the first row and from each other."""
    x = (np.linspace(0, 1e6, 1000)[:, None] + normal(1000, 17)).astype("float32")
    (v,) = args_like(x)
    (got,) = check(Graph("f", [v], [deviations(v)]), (x,), tolerance=1e15)(x)
    np.testing.assert_allclose(got, exact(x), rtol=1e-6)


def test_what_is_not_finite():
    x = normal(130, 8)
    x[70, 0], x[0, 1], x[129, 2], x[3, 3], x[64, 4] = np.nan, np.nan, np.inf, -np.inf, np.inf
    x[:, 5] *= 1e25  # the squares are beyond all numbers
    (v,) = args_like(x)
    for rows in (130, 64, 1):
        (got,) = check(Graph("f", [v], [deviations(v)]), (x,), tolerance=1e-4)(x)
        assert np.isnan(got[:5]).all() and got[5] == np.inf and np.isfinite(got[6:]).all(), rows


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_floats(dtype):
    from graphkeras.ir.dtypes import numpy_dtype

    x = normal(100, 19).astype(numpy_dtype(dtype))
    (v,) = args_like(x)
    (got,) = check(Graph("f", [v], [deviations(v)]), (x,), tolerance=1e-2)(x)
    np.testing.assert_allclose(got.astype("f8"), exact(x), rtol=1e-12 if dtype == "float64" else 1e-2)


def test_one_program_for_all_numbers_of_rows():
    v = arg("x", (B, 21))
    calls = [(normal(rows, 21),) for rows in (1, 2, 63, 64, 65, 128, 1000, 3000)]
    check(Graph("f", [v], [deviations(op("multiply", v, v))]), *calls, tolerance=1e-4)


def test_no_rows_at_all():
    v = arg("x", (B, 21))
    check(Graph("f", [v], [deviations(v)]), (normal(0, 21),))


@pytest.mark.parametrize("rows", [512, 550, 1300])
def test_on_the_side_of_rows(rows):
    v = arg("x", (rows, 21))
    y = op("multiply", v, op("reduce_sum", v, axes=(1,), keepdims=True))
    outputs = [deviations(y), op("reduce_sum", y, axes=(0,), keepdims=False)]
    program = check(Graph("f", [v], [op("negative", y), *outputs]), (normal(rows, 21),), tolerance=1e-3)
    assert kinds(program) == ["row"] and len(program.schedule.groups[0].space.sides) == 2


@pytest.mark.parametrize("m, k, n", [(1, 5, 7), (64, 40, 33), (65, 40, 200), (500, 70, 300)])
def test_in_the_tiles_of_a_product(m, k, n, monkeypatch):
    monkeypatch.setattr("graphkeras.schedule.space.LEAST_SUMMED_BYTES", 0)
    a, b, v = arg("a", (m, k)), arg("b", (k, n)), arg("v", (n,))
    y = op("maximum", op("matmul", a, b, transpose_a=False, transpose_b=False), v)
    graph = Graph("f", [a, b, v], [y, deviations(y), op("reduce_sum", y, axes=(0,), keepdims=False)])
    program = check(graph, (normal(m, k), normal(k, n, seed=1), normal(n, seed=2)), tolerance=1e-3)
    assert kinds(program) == ["contraction"] and len(program.schedule.groups[0].space.sides) == 2
