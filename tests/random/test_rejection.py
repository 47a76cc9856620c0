"""Gamma, beta and binomial numbers: distributions, parameters out of range, and equal numbers eagerly and compiled."""

import math

import numpy as np
import pytest

from graphkeras import random
from graphkeras.runtime.function import function

COUNT = 40_000
# The chance of a false alarm at this level, per test, is 1 in 10,000; the seeds are fixed, so there is none from run to run.
LEVEL = 1e-4


def _distance(sample, distribution):
    """Largest distance between the sample's distribution function and the given one, in units of Kolmogorov's bound."""
    x = np.sort(sample)
    f = distribution(x)
    steps = np.arange(len(x) + 1) / len(x)
    gap = max((steps[1:] - f).max(), (f - steps[:-1]).max())
    return gap / math.sqrt(-math.log(LEVEL / 2) / (2 * len(x)))


def _erlang(k):
    """Distribution function of a gamma number with whole shape parameter."""
    return lambda x: 1 - np.exp(-x) * sum(x**i / math.factorial(i) for i in range(k))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gamma_with_whole_parameters(dtype):
    for alpha in (1, 2, 7):
        x = random.gamma((COUNT,), alpha, dtype=dtype, seed=alpha)
        assert x.dtype == dtype
        assert _distance(x.numpy().astype(np.float64), _erlang(alpha)) < 1


def test_gamma_one_half_is_a_squared_normal():
    x = random.gamma((COUNT,), 0.5, seed=5).numpy().astype(np.float64)
    assert _distance(x, np.vectorize(lambda v: math.erf(math.sqrt(v)))) < 1


def test_gamma_with_one_parameter_per_element():
    alpha = np.array([0.02, 0.3, 50.0], "float32")
    x = random.gamma((COUNT, 3), alpha, seed=6).numpy().astype(np.float64)
    np.testing.assert_allclose(x.mean(0), alpha, atol=5 * np.sqrt(alpha.max() / COUNT), rtol=0.08)


def test_beta():
    uniform = random.beta((COUNT,), 1.0, 1.0, seed=7).numpy().astype(np.float64)
    assert _distance(uniform, lambda x: x) < 1
    arcsine = random.beta((COUNT,), 0.5, 0.5, seed=8).numpy().astype(np.float64)
    assert _distance(arcsine, lambda x: 2 / np.pi * np.arcsin(np.sqrt(x))) < 1
    assert not np.isnan(random.beta((1000,), 1e-4, 1e-4, seed=9).numpy()).any()  # both gamma numbers would be 0


@pytest.mark.parametrize(("n", "p"), [(5, 0.3), (16, 0.9), (40, 0.5), (1000, 0.01), (300_000, 0.3)])
def test_binomial(n, p):
    x = random.binomial((COUNT,), n, p, seed=10).numpy()
    assert x.dtype == np.float32 and (x == np.floor(x)).all() and x.min() >= 0 and x.max() <= n
    low, high = int(x.min()), int(x.max())
    counts = np.bincount(x.astype(int) - low, minlength=high - low + 1)
    k = np.arange(low, high + 1)
    choose = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k]
    expected = np.exp(np.array(choose) + k * math.log(p) + (n - k) * math.log1p(-p)) * COUNT
    likely = expected > 10
    square = ((counts - expected)[likely] ** 2 / expected[likely]).sum()
    freedom = likely.sum()
    assert square < freedom + 5 * math.sqrt(2 * freedom)


def test_parameters_out_of_range_give_nan():
    assert np.isnan(random.gamma((4,), [-1.0, 0.0, math.nan, math.inf], seed=1).numpy()).all()
    assert np.isnan(random.beta((2,), [1.0, -1.0], [0.0, 1.0], seed=1).numpy()).all()
    assert np.isnan(random.binomial((3,), [-1, 3, 3], [0.5, 1.5, math.nan], seed=1).numpy()).all()
    assert random.binomial((3,), [0, 9, 9], [0.5, 0.0, 1.0], seed=1).tolist() == [0.0, 0.0, 9.0]


def test_scalars_and_half_precision():
    assert random.gamma((), 2.0, seed=1).shape == ()
    assert random.binomial((), 30, 0.5, seed=1).shape == ()
    assert random.beta((3,), 1.0, 2.0, dtype="float16", seed=1).dtype == "float16"


@pytest.mark.parametrize(
    "draw",
    [
        lambda a: random.gamma((5, 7), a, seed=3),
        lambda a: random.beta((5, 7), a, 2.0, seed=3),
        lambda a: random.binomial((5, 7), 100, a / 8, seed=3),
    ],
    ids=["gamma", "beta", "binomial"],
)
def test_compiled_equals_eager(draw):
    alpha = np.linspace(0.5, 6, 7, dtype="float32")
    np.testing.assert_allclose(function(draw)(alpha).numpy(), draw(alpha).numpy(), rtol=2e-5)


def test_a_generator_moves_on():
    generator = random.SeedGenerator(4)
    assert random.gamma((3,), 1.0, seed=generator).tolist() != random.gamma((3,), 1.0, seed=generator).tolist()
