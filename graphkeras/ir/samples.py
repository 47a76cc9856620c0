"""Generators of sample inputs for op records (each returns a callable `rng -> ndarray`), and random shapes and dtypes for rules that
vary samples."""

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from graphkeras.ir.dtypes import COMPLEX, FLOATS, INTEGERS, SIGNED, is_float, is_integer, numpy_dtype

# Nothing, one, and sizes around whole vectors of 8 or 16 lanes.
SIZES = (0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33)
_MOST = 400


@dataclass(frozen=True)
class Draw:
    """A random array: uniform in [low, high), or fair coin flips.

    Args:
        shape: of the array.
        low, high: limits; integers have both within reach of their dtype.
        dtype: name of the dtype.
        kind: "float", "integer" or "boolean".
    """

    shape: tuple
    low: float
    high: float
    dtype: str
    kind: str

    def __call__(self, rng) -> np.ndarray:
        if self.kind == "float":
            array = rng.uniform(self.low, self.high, self.shape)
            if self.dtype in COMPLEX:
                array = array + 1j * rng.uniform(self.low, self.high, self.shape)
            return np.asarray(array).astype(numpy_dtype(self.dtype))
        if self.kind == "boolean":
            return np.asarray(rng.integers(0, 2, self.shape)).astype(bool)
        wide = np.uint64 if self.high > 2**63 else np.int64
        return np.asarray(rng.integers(self.low, self.high, self.shape, wide)).astype(numpy_dtype(self.dtype))

    def like(self, shape=None, dtype=None) -> "Draw":
        """The same numbers in another shape and dtype."""
        return replace(self, shape=self.shape if shape is None else tuple(shape), dtype=dtype or self.dtype)

    def fits(self, dtype: str) -> bool:
        """Whether the numbers can be had in a dtype."""
        if self.kind == "integer" and is_integer(dtype):
            limits = np.iinfo(numpy_dtype(dtype))
            return limits.min <= self.low and self.high - 1 <= limits.max
        return {"float": is_float(dtype) or dtype in COMPLEX, "boolean": dtype == "bool"}.get(self.kind, False)


def uniform(shape, low=-2.0, high=2.0, dtype="float32"):
    """Uniform floats in [low, high)."""
    return Draw(shape, low, high, dtype, "float")


def integers(shape, low=-5, high=6, dtype="int32"):
    """Uniform integers in [low, high)."""
    return Draw(shape, low, high, dtype, "integer")


def booleans(shape):
    """Fair coin flips."""
    return Draw(shape, 0, 2, "bool", "boolean")


def exactly(array, dtype=None):
    """A fixed array."""
    return lambda rng: np.array(array, dtype=None if dtype is None else numpy_dtype(dtype))


def drawn(shape, dtype, low=-2.0, high=2.0):
    """Numbers of any dtype: floats in [low, high), small integers, coin flips."""
    if dtype == "bool":
        return booleans(shape)
    if dtype in INTEGERS:
        return integers(shape, -5 if dtype in SIGNED else 0, 6, dtype)
    return uniform(shape, low, high, dtype)


# ---- random shapes, axes and dtypes ---------------------------------------------------------------------------------


def any_size(rng, least=0, most=40) -> int:
    """One of `SIZES` within limits."""
    return int(rng.choice([s for s in SIZES if least <= s <= most]))


def any_shape(rng, low_rank=0, high_rank=4, least=0, most=_MOST) -> tuple[int, ...]:
    """A random shape of at most so many elements, no size below `least`."""
    while True:
        shape = tuple(any_size(rng, least) for _ in range(rng.integers(low_rank, high_rank + 1)))
        if prod(shape) <= most:
            return shape


def shapes_that_broadcast(rng, count, low_rank=0, high_rank=4, most=_MOST) -> list[tuple[int, ...]]:
    """Random shapes that broadcast against each other: half of the time equal ones, else with axes of size 1 or left out."""
    whole = any_shape(rng, low_rank, high_rank, most=most)
    if rng.random() < 0.5:
        return [whole] * count
    shapes = []
    for _ in range(count):
        shape = [1 if rng.random() < 0.3 else d for d in whole]
        cut = rng.integers(0, len(shape) + 1) if rng.random() < 0.4 else 0
        shapes.append(tuple(shape[cut:]))
    return shapes


def any_axes(rng, rank) -> tuple[int, ...]:
    """A random sorted choice of axes, possibly none."""
    return tuple(a for a in range(rank) if rng.random() < 0.6)


def any_axis(rng, rank) -> int:
    """A random axis."""
    return int(rng.integers(0, rank))


def any_dtype(rng, allowed=FLOATS) -> str:
    """One of the allowed dtypes, float32 more often than others."""
    if "float32" in allowed and rng.random() < 0.35:
        return "float32"
    return str(rng.choice(list(allowed)))


def flip(rng) -> bool:
    """A fair coin."""
    return bool(rng.random() < 0.5)


# ---- matrices ---------------------------------------------------------------------------------------------------------


def definite(shape, dtype="float32"):
    """Symmetric positive definite matrices."""

    def make(rng):
        a = rng.uniform(-1, 1, shape)
        return (a @ a.swapaxes(-1, -2) + shape[-1] * np.eye(shape[-1])).astype(dtype)

    return make


def regular(shape, dtype="float32"):
    """Matrices far from singular, with well separated singular values and eigenvalues."""

    def make(rng):
        ramp = np.zeros(shape)
        k = min(shape[-2:])
        ramp[..., np.arange(k), np.arange(k)] = np.arange(2, k + 2)
        return (rng.uniform(-0.5, 0.5, shape) + ramp).astype(dtype)

    return make


def any_stack(rng) -> tuple[int, ...]:
    """The leading axes of a random stack of matrices, often none."""
    return any_shape(rng, 0, 2, most=6)
