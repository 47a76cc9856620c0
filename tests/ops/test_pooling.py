"""Pooling as Keras on TensorFlow computes it (golden file made by make_golden_conv.py), ties, NaN, and what it refuses."""

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ir.spec import TensorSpec
from graphkeras.runtime.program import Program
from graphkeras.trace import SymbolicTensor, apply, prim, trace
from tests.ops import conv_cases
from tests.ops.test_conv import check_golden, check_symbolic

CASES = [(number, case) for number, case in enumerate(conv_cases.CASES) if "pool" in case[0]]
IDS = [conv_cases.label(*pair) for pair in CASES]


@pytest.mark.parametrize(("number", "case"), CASES, ids=IDS)
def test_as_keras(number, case):
    check_golden(number, case)


@pytest.mark.parametrize(("number", "case"), CASES, ids=IDS)
def test_symbolic_sizes(number, case):
    rank = len(case[1][0])
    check_symbolic(number, case, keep=range(1, rank) if case[0].startswith("adaptive") else ())


def _compiled(op, arrays, **attrs):
    specs = [TensorSpec(a.shape, "float32") for a in arrays]
    return Program(trace(lambda *tensors: apply(op, *tensors, **attrs), specs))(*arrays)[0]


_WALK = {"window": (2, 2), "strides": (1, 1), "padding": ((0, 1), (0, 1))}


def test_gradient_goes_to_the_first_maximum():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (2, 5, 6, 9)).astype("float32")
    ct = rng.normal(size=x.shape).astype("float32")
    expected = np.zeros_like(x)
    for n, i, j, c in np.ndindex(*x.shape):
        window = x[n, i : i + 2, j : j + 2, c]
        a, b = np.unravel_index(window.argmax(), window.shape)
        expected[n, i + a, j + b, c] += ct[n, i, j, c]
    np.testing.assert_allclose(prim.max_pool_gradient(ct, x, **_WALK).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(_compiled("max_pool_gradient", [ct, x], **_WALK), expected, atol=1e-6)


def test_nan_is_the_maximum_and_gets_the_gradient():
    x = np.zeros((1, 3, 3, 2), "float32")
    x[0, 1, 1, 0] = np.nan
    y, eager = _compiled("max_pool", [x], **_WALK), prim.max_pool(x, **_WALK).numpy()
    assert np.array_equal(y, eager, equal_nan=True) and np.isnan(y[0, :2, :2, 0]).all() and not np.isnan(y[..., 1]).any()
    ct = np.ones_like(y)
    dx, eager = _compiled("max_pool_gradient", [ct, x], **_WALK), prim.max_pool_gradient(ct, x, **_WALK).numpy()
    assert np.array_equal(dx, eager) and dx[0, 1, 1, 0] == 4


def test_mean_counts_only_what_is_inside():
    x = np.ones((1, 3, 3, 1), "float32")
    assert np.array_equal(ops.average_pool(x, 2, padding="same"), np.ones((1, 2, 2, 1)))


def test_symbolic_shape():
    assert ops.max_pool(SymbolicTensor((None, 28, None, 3)), 2).shape == (None, 14, None, 3)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.max_pool(np.zeros((2, 3)), 2), ShapeError, "must have rank 3, 4, 5, not 2"),
        (lambda: ops.max_pool(np.zeros((2, 3, 1)), 4), ShapeError, "larger than the padded input"),
        (lambda: ops.average_pool(np.zeros((2, 3, 1)), (2, 2)), ArgumentError, "pool_size must be a positive integer, or 1"),
        (lambda: ops.average_pool(np.zeros((2, 3, 1)), 2, padding="full"), ArgumentError, "must be 'valid' or 'same'"),
        (lambda: ops.adaptive_max_pool(SymbolicTensor((2, None, 1)), 2), ShapeError, "must be known when the graph is built"),
    ],
)
def test_refusals(call, error, match):
    with pytest.raises(error, match=match):
        call()
