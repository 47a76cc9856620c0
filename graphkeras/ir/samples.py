"""Generators of sample inputs for op records: each returns a callable `rng -> ndarray`."""

import numpy as np

from graphkeras.ir.dtypes import numpy_dtype


def uniform(shape, low=-2.0, high=2.0, dtype="float32"):
    """Uniform floats in [low, high)."""
    return lambda rng: np.asarray(rng.uniform(low, high, shape)).astype(numpy_dtype(dtype))


def integers(shape, low=-5, high=6, dtype="int32"):
    """Uniform integers in [low, high)."""
    return lambda rng: np.asarray(rng.integers(low, high, shape)).astype(numpy_dtype(dtype))


def booleans(shape):
    """Fair coin flips."""
    return lambda rng: np.asarray(rng.integers(0, 2, shape)).astype(bool)


def exactly(array, dtype=None):
    """A fixed array."""
    return lambda rng: np.array(array, dtype=None if dtype is None else numpy_dtype(dtype))
