"""Elementary functions at every float32 there is, against their float64 forms: the bounds that `vector_math` promises."""

import numpy as np
import pytest

from tests.benchmarks import functions
from tests.benchmarks.functions import UNIT, worst_error

# Just above what `python -m tests.benchmarks.functions --errors` found over all 2**32 floats.
BOUND = {
    "exp": 1.02, "expm1": 1.6, "log": 0.85, "log1p": 1.44, "tanh": 1.34, "sigmoid": 2.41, "erf": 1.14,
    "sin": 1.58, "cos": 1.59, "rsqrt": 1.5,
}  # fmt: skip
UNITS = (1 << 32) // UNIT


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUND)
def test_worst_error(name):
    error, x, second = worst_error(name)
    assert error <= BOUND[name], (x, second)


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
