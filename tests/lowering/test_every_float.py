"""Elementary functions at every float32 there is, against their float64 forms: the bounds that `vector_math` promises."""

import numpy as np
import pytest

from tests.benchmarks import functions
from tests.benchmarks.functions import UNIT, worst_error

# Just above what `python -m tests.benchmarks.functions --errors` found over all 2**32 floats.
BOUND = {
    "exp": 1.02, "expm1": 1.6, "log": 0.85, "log1p": 1.44, "tanh": 1.34, "sigmoid": 2.41, "erf": 1.14,
    "sin": 1.58, "cos": 1.59, "rsqrt": 1.5, "softplus": 2.0,
}  # fmt: skip
UNITS = (1 << 32) // UNIT


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUND)
def test_worst_error(name):
    error, x, second = worst_error(name)
    assert error <= BOUND[name], (x, second)


def exponents():
    """Everyday numbers, numbers of all sizes, whole and half ones, and such that are nearly one."""
    rng = np.random.default_rng(0)
    sizes = rng.choice([-1, 1], 60) * np.exp(rng.uniform(-12, 6, 60))
    return [*rng.normal(size=60), *sizes, *range(-12, 13), *(np.arange(-9, 10) / 2), *(1 + rng.normal(size=20) * 1e-6)]


@pytest.mark.slow
def test_worst_error_of_powers():
    error, x, second = worst_error("pow", stride=67, seconds=exponents())
    assert error <= 0.501, (x, second)


def test_worst_error_of_powers_of_few_numbers():
    error, x, second = worst_error("pow", stride=100_003, seconds=exponents()[::9])
    assert 0.4 < error <= 0.501, (x, second)


@pytest.mark.parametrize("name", ["exp", "tanh"])
def test_worst_error_between_one_half_and_one(name):
    first = 0x3F000000 // UNIT
    error, x, _ = worst_error(name, first, 0x3F800000 // UNIT - first)
    assert 0.4 < error <= BOUND[name], x
    assert 0.5 <= x < 1


def test_the_measure_finds_an_error():
    found, at, given = np.zeros(1 << 12), np.zeros(1 << 12, np.int64), np.zeros(1, np.float32)
    source = functions.error_source("mul({x}, const_f32(1.0000003))", reference="{x}")
    functions.run(source, 1, 0x3F000000 // UNIT, found, at, given)
    assert 2 < found.max() < 4
