"""Every distribution of `keras.random` against SciPy's: Kolmogorov-Smirnov, and mean and variance within 4 standard errors.

Seeds are fixed, so there is no false alarm from run to run. SciPy comes with the extra `oracle`.
"""

import math

import numpy as np
import pytest

from graphkeras import random

stats = pytest.importorskip("scipy.stats")

COUNT = 50_000
# Kolmogorov's bound at 1 in 10,000, for continuous distributions; for discrete ones it is wider than it need be.
BOUND = math.sqrt(-math.log(1e-4 / 2) / (2 * COUNT))
CASES = {
    "normal": (lambda: random.normal((COUNT,), seed=1), stats.norm()),
    "normal, moved": (lambda: random.normal((COUNT,), mean=-3.0, stddev=0.2, seed=2), stats.norm(-3, 0.2)),
    "normal, float64": (lambda: random.normal((COUNT,), dtype="float64", seed=3), stats.norm()),
    "uniform": (lambda: random.uniform((COUNT,), seed=4), stats.uniform()),
    "uniform, moved": (lambda: random.uniform((COUNT,), -2.0, 6.0, seed=5), stats.uniform(-2, 8)),
    "truncated normal": (lambda: random.truncated_normal((COUNT,), seed=6), stats.truncnorm(-2, 2)),
    "truncated normal, moved": (
        lambda: random.truncated_normal((COUNT,), mean=1.0, stddev=0.5, seed=7),
        stats.truncnorm(-2, 2, 1, 0.5),
    ),
    "gamma, small": (lambda: random.gamma((COUNT,), 0.4, seed=8), stats.gamma(0.4)),
    "gamma": (lambda: random.gamma((COUNT,), 2.5, seed=9), stats.gamma(2.5)),
    "gamma, large": (lambda: random.gamma((COUNT,), 60.0, seed=10), stats.gamma(60)),
    "beta": (lambda: random.beta((COUNT,), 2.0, 5.0, seed=11), stats.beta(2, 5)),
    "beta, U-shaped": (lambda: random.beta((COUNT,), 0.5, 0.7, seed=12), stats.beta(0.5, 0.7)),
    "binomial, few": (lambda: random.binomial((COUNT,), 6, 0.3, seed=13), stats.binom(6, 0.3)),
    "binomial, many": (lambda: random.binomial((COUNT,), 60, 0.7, seed=14), stats.binom(60, 0.7)),
    "randint": (lambda: random.randint((COUNT,), -3, 8, seed=15), stats.randint(-3, 8)),
    "randint, wide": (lambda: random.randint((COUNT,), 0, 10**6, seed=16), stats.randint(0, 10**6)),
    "categorical": (
        lambda: random.categorical(np.log(np.float32([[0.1, 0.2, 0.3, 0.4]])), COUNT, seed=17)[0],
        stats.rv_discrete(values=([0, 1, 2, 3], [0.1, 0.2, 0.3, 0.4])),
    ),
    "dropout": (lambda: random.dropout(np.full(COUNT, 0.7, "float32"), 0.3, seed=18), stats.rv_discrete(values=([0, 1], [0.3, 0.7]))),
}


def _distance(x, distribution):
    """Largest distance of the two distribution functions; both steps of the sample's are looked at where it is continuous."""
    values, counts = np.unique(x, return_counts=True)
    after = np.cumsum(counts) / len(x)
    expected = distribution.cdf(values)
    gap = np.abs(after - expected).max()
    if len(values) > len(x) / 2 and hasattr(distribution.dist, "pdf"):
        gap = max(gap, np.abs(after - counts / len(x) - expected).max())
    return gap


@pytest.mark.parametrize("name", CASES)
def test_distribution(name):
    draw, distribution = CASES[name]
    x = draw().numpy().astype("float64")
    if name == "dropout":
        assert set(np.unique(x)) == {0.0, float(np.float32(0.7) / np.float32(0.7))}
    assert x.shape == (COUNT,)
    if not hasattr(distribution, "dist"):
        distribution.dist = distribution
    assert _distance(x, distribution) < BOUND
    mean, variance, kurtosis = (float(v) for v in distribution.stats(moments="mvk"))
    assert abs(x.mean() - mean) < 4 * math.sqrt(variance / COUNT)
    spread = math.sqrt((kurtosis + 2) * variance**2 / COUNT)  # of the sample's variance
    assert abs(x.var() - variance) < 4 * spread


def test_neighbours_do_not_depend_on_each_other():
    """The correlation of each number with the next one, in the row and in the column, within 4 standard errors of 0."""
    for draw in (random.uniform, random.normal):
        x = draw((250, 200), seed=19).numpy().astype("float64")
        x = (x - x.mean()) / x.std()
        for a, b in ((x[:, 1:], x[:, :-1]), (x[1:], x[:-1])):
            assert abs((a * b).mean()) < 4 / math.sqrt(a.size)


def test_streams_of_different_seeds_do_not_depend_on_each_other():
    a, b = (random.normal((COUNT,), seed=s).numpy().astype("float64") for s in (20, 21))
    assert abs((a * b).mean()) < 4 / math.sqrt(COUNT)


def test_every_order_of_a_shuffle_is_as_likely():
    orders = [random.shuffle(np.arange(4, dtype="int32"), seed=s) for s in range(720)]
    codes = [int("".join(map(str, order.tolist())), 4) for order in orders]
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == 24 and stats.chisquare(counts).pvalue > 1e-4


def test_dropout_keeps_the_mean_of_what_it_drops():
    x = np.linspace(0.5, 1.5, COUNT, dtype="float32")
    y = random.dropout(x, 0.4, seed=22).numpy().astype("float64")
    assert abs((y - x).mean()) < 4 * math.sqrt((x.astype("float64") ** 2).mean() * 0.4 / 0.6 / COUNT)
    kept = y != 0
    np.testing.assert_allclose(y[kept], (x / np.float32(0.6))[kept], rtol=1e-6)
