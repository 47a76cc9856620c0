"""The functions of `keras.random`."""

from graphkeras.random.random import categorical, dropout, normal, randint, shuffle, truncated_normal, uniform
from graphkeras.random.seed import SeedGenerator

__all__ = ["SeedGenerator", "categorical", "dropout", "normal", "randint", "shuffle", "truncated_normal", "uniform"]
