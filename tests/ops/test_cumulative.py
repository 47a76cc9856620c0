import numpy as np
import pytest

from graphkeras import ops
from graphkeras.testing.gradients import check_gradients
from graphkeras.trace import apply
from tests.ops.families import check_function

X = np.random.default_rng(0).normal(size=(5, 7)).astype("float32")


@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_meaning(name, axis):
    got = check_function(lambda x: getattr(ops, name)(x, axis=axis), X, batch=True)
    np.testing.assert_allclose(got[0], getattr(np, name)(X.astype("f8"), axis=axis), rtol=1e-5, atol=1e-6)


def test_dtypes():
    assert ops.cumsum([True, True]).dtype == "int32"
    assert ops.cumsum([1, 2], dtype="float32").tolist() == [1.0, 3.0]
    assert ops.cumsum(np.array([200, 100], "uint8")).tolist() == [200, 44]


def test_nan_counts_as_nothing_but_infinity_stays():
    x = np.array([1.0, np.nan, np.inf, 2.0], "float32")
    assert ops.nancumsum(x).tolist() == [1.0, 1.0, np.inf, np.inf]
    assert ops.nancumprod(x[:2]).tolist() == [1.0, 1.0]
    assert ops.nancumsum([1, 2]).tolist() == [1, 3]


@pytest.mark.parametrize("zeros", [[], [2], [0], [1, 4], [0, 1]])
def test_gradient_of_products_with_zeros(zeros):
    x = np.array([0.7, -1.2, 1.5, 0.4, 2.0, -0.6])
    x[zeros] = 0
    check_gradients(lambda t: ops.cumprod(t) * np.arange(1.0, 7.0), [x], order=1)


def test_a_long_sum_keeps_its_digits():
    x = np.full(1_000_000, 0.1, "float32")
    assert abs(ops.cumsum(x)[-1].item() - 1e5) < 1e-2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("zeros", [[0, 1], [1, 3], [0, 1, 4, 5], range(6)])
def test_gradients_of_gradients_with_many_zeros(zeros, reverse, dtype):
    x = np.linspace(-1.3, 2, 6).astype(dtype)
    x[zeros] = 0
    check_gradients(lambda x: apply("cumprod", x, axis=0, reverse=reverse), [x], order=3)
