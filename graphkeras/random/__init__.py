"""The functions of `keras.random`."""

from graphkeras.random.random import categorical, dropout, normal, randint, shuffle, truncated_normal, uniform
from graphkeras.random.rejection import beta, binomial, gamma
from graphkeras.random.seed import SeedGenerator

__all__ = [
    "SeedGenerator", "beta", "binomial", "categorical", "dropout", "gamma", "normal", "randint", "shuffle", "truncated_normal",
    "uniform",
]  # fmt: skip
