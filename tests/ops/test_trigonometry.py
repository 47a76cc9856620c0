"""Properties of trigonometric functions and their like that the generic sweep does not look at."""

import math

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.autodiff import grad
from graphkeras.runtime.function import function


@pytest.mark.parametrize("name", ["arcsin", "arccos", "arctan", "tan", "sinh", "cosh", "log2", "log10", "exp2", "cbrt", "i0"])
def test_integers_become_floats(name):
    y = getattr(ops, name)(np.array([0, 1], "int32"))
    assert y.dtype == "float32"
    if name != "i0":
        with np.errstate(divide="ignore"):
            expected = getattr(np, name)(np.array([0.0, 1.0]))
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)


def test_exact_values():
    compiled = function(lambda x: (ops.log2(x), ops.exp2(ops.log2(x)), ops.cbrt(x * x * x)))
    powers = np.ldexp(1.0, np.arange(-40, 41)).astype("float32")
    logarithm, back, root = (y.numpy() for y in compiled(powers))
    assert (logarithm == np.arange(-40, 41)).all()
    assert (back == powers).all()
    assert (root == powers).all()
    tens = np.array([1, 10, 100, 1000], "float32")
    assert function(ops.log10)(tens).numpy().tolist() == [0, 1, 2, 3]
    np.testing.assert_array_max_ulp(ops.log10(tens).numpy(), np.arange(4, dtype="float32"), maxulp=1)  # NumPy's depends on the CPU


def test_arctan2_at_the_edges():
    points = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf], "float32")
    y, x = np.repeat(points, 6), np.tile(points, 6)
    got, expected = function(ops.arctan2)(y, x).numpy(), np.arctan2(y, x)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert (np.signbit(got) == np.signbit(expected)).all()


def test_hyperbolic_functions_near_the_overflow():
    x = np.array([89.0, 89.4, 89.5, -89.4], "float32")
    for name in ("sinh", "cosh"):
        with np.errstate(over="ignore"):
            expected = getattr(np, name)(x.astype(np.float64)).astype(np.float32)
        got = function(getattr(ops, name))(x).numpy()
        assert np.isfinite(got).tolist() == [True, True, False, True]
        np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nextafter_moves_by_one_bit(dtype):
    x = np.array([1.0, -1.0, 0.0, -0.0, np.finfo(dtype).max, np.finfo(dtype).tiny], dtype)
    up = function(lambda x: ops.nextafter(x, np.inf))(x).numpy()
    with np.errstate(over="ignore"):
        assert (up == np.nextafter(x, np.array(np.inf, dtype))).all()
    assert up.dtype == dtype


def test_nextafter_of_half_precision_is_that_of_float64_rounded_as_in_keras():
    got = ops.nextafter(np.float16(1.5), np.float16(2))
    assert got.dtype == "float16" and got.item() == 1.5


def test_slopes_where_a_composition_would_fail():
    assert float(grad(ops.arcsinh)(np.float32(1e30))) == 0.0
    assert float(grad(ops.arctan)(np.float32(1e30))) == 0.0
    slope = grad(lambda y: ops.arctan2(y, np.float32(1e30)))(np.float32(1e30))
    assert math.isclose(float(slope), 0.5e-30, rel_tol=1e-5)
    # Near 1 the slope is large, but known to full precision.
    x = np.float32(1 - 2**-20)
    assert math.isclose(float(grad(ops.arcsin)(x)), 1 / math.sqrt((1 - float(x)) * (1 + float(x))), rel_tol=1e-6)


def test_i0_far_out():
    x = np.array([0.0, 8.0, 50.0, 89.0], "float64")
    expected = [1.0, 427.56411572180474, 2.9325537838493363e20, 1.9012419299064898e37]
    np.testing.assert_allclose(function(ops.i0)(x).numpy(), expected, rtol=1e-13)
