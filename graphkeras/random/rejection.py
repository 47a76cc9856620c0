"""Gamma, beta and binomial numbers: loops over rounds in which every element that has been refused so far tries again.

The rounds draw from keys that are themselves random bits of the key of the round before, so the numbers depend on the first
key and the position of the element alone.
"""

import numpy as np

from graphkeras.ops.core_control import while_loop
from graphkeras.ops.inference import scalar_like
from graphkeras.ops.numpy_shape import broadcast_to, resolve_shape
from graphkeras.ops.promotion import converted, operand
from graphkeras.ops.sources import filled
from graphkeras.random.random import _float_dtype, _symmetric
from graphkeras.random.seed import draw_seed
from graphkeras.trace import convert_to_tensor, prim

_FEW = 16  # so many trials of a binomial number are looked at one by one


def _keys(key, count):
    """New keys out of one."""
    bits = prim.random_bits(key, shape=(count, 2))
    return [bits[i] for i in range(count)]


def _open_unit(key, shape, dtype):
    """Uniform floats inside (0, 1)."""
    return (_symmetric(key, shape, dtype) + 1) * 0.5


def _log_gamma_draws(key, shape, alpha):
    """Logarithms of gamma numbers with the shape parameters `alpha`, a float tensor of this shape.

    Marsaglia and Tsang, A simple method for generating gamma variables, 2000; for alpha below 1 a number for alpha + 1 times
    u**(1/alpha), of which only the logarithm is formed. NaN where alpha is not positive and finite.
    """
    dtype = alpha.dtype
    zero, one = scalar_like(0, alpha), scalar_like(1, alpha)
    valid = prim.logical_and(prim.greater(alpha, zero), prim.is_finite(alpha))
    safe = prim.select(valid, alpha, one)
    small = prim.less(safe, one)
    d = prim.select(small, safe + one, safe) - scalar_like(1 / 3, alpha)
    c = prim.rsqrt(d * 9)
    key, boost_key = _keys(key, 2)

    def step(key, waiting, value):
        key, normal_key, unit_key = _keys(key, 3)
        x = prim.erfinv(_symmetric(normal_key, shape, dtype)) * float(np.sqrt(2))
        root = c * x + 1
        positive = prim.greater(root, zero)
        v = prim.select(positive, root * root * root, one)
        log_v = prim.log(v)
        bound = x * x * 0.5 + d * (1 - v + log_v)
        taken = prim.logical_and(positive, prim.less(prim.log(_open_unit(unit_key, shape, dtype)), bound))
        taken = prim.logical_and(taken, waiting)
        return key, prim.logical_and(waiting, prim.logical_not(taken)), prim.select(taken, prim.log(d) + log_v, value)

    _, _, found = while_loop(
        lambda key, waiting, value: prim.reduce_any(waiting, axes=tuple(range(len(shape))), keepdims=False),
        step,
        (key, valid, filled(float("nan"), shape, dtype, like=alpha)),
    )
    boost = prim.log(_open_unit(boost_key, shape, dtype)) / safe
    return found + prim.select(small, boost, zero)


def _parameter(value, shape, dtype):
    return broadcast_to(converted(operand(value), dtype), shape)


def _computed_in(dtype):
    return "float64" if dtype == "float64" else "float32"


def gamma(shape, alpha, dtype=None, seed=None):
    """Draw random samples from the Gamma distribution.

    Args:
        shape: The shape of the random values to generate.
        alpha: Shape parameter of the distribution, positive; a number or a tensor that broadcasts to `shape`.
        dtype: Float dtype; floatx by default.
        seed: An int (the same values at every call), a `SeedGenerator`, or `None` for the generator of the process.

    Returns:
        A tensor of random values; NaN where `alpha` is not positive and finite.

    Example:

    >>> x = gamma((100,), 2.0, seed=1)
    >>> bool((x > 0).numpy().all())
    True
    """
    dtype, shape = _float_dtype("random.gamma", dtype), resolve_shape(shape)
    wide = _computed_in(dtype)
    return convert_to_tensor(prim.exp(_log_gamma_draws(draw_seed(seed), shape, _parameter(alpha, shape, wide))), dtype)


def _beta_draws(key, shape, alpha, beta):
    """The share of the first of two gamma numbers in their sum, from their logarithms, so that tiny ones do no harm."""
    first, second = _keys(key, 2)
    return prim.sigmoid(_log_gamma_draws(first, shape, alpha) - _log_gamma_draws(second, shape, beta))


def beta(shape, alpha, beta, dtype=None, seed=None):
    """Draw samples from a Beta distribution.

    Args:
        shape: The shape of the random values to generate.
        alpha: First parameter, positive; a number or a tensor that broadcasts to `shape`.
        beta: Second parameter, positive; a number or a tensor that broadcasts to `shape`.
        dtype: Float dtype; floatx by default.
        seed: An int (the same values at every call), a `SeedGenerator`, or `None` for the generator of the process.

    Returns:
        A tensor of random values in [0, 1]; NaN where a parameter is not positive and finite.

    Example:

    >>> x = beta((100,), 2.0, 3.0, seed=1)
    >>> bool(((x > 0) & (x < 1)).numpy().all())
    True
    """
    dtype, shape = _float_dtype("random.beta", dtype), resolve_shape(shape)
    wide = _computed_in(dtype)
    alpha, beta = (_parameter(p, shape, wide) for p in (alpha, beta))
    return convert_to_tensor(_beta_draws(draw_seed(seed), shape, alpha, beta), dtype)


def binomial(shape, counts, probabilities, dtype=None, seed=None):
    """Draw samples from a Binomial distribution.

    The middle one of n sorted uniform numbers has a Beta distribution. Whether it lies below the probability decides about one
    half of the trials at once (Relles, A simple algorithm for generating binomial random variables when N is large, 1972); the
    last few trials are looked at one by one.

    Args:
        shape: The shape of the random values to generate.
        counts: Number of trials, at least 0; a number or a tensor that broadcasts to `shape`.
        probabilities: Probability of success, in [0, 1]; a number or a tensor that broadcasts to `shape`.
        dtype: Float dtype; floatx by default.
        seed: An int (the same values at every call), a `SeedGenerator`, or `None` for the generator of the process.

    Returns:
        A tensor of whole numbers as floats; NaN where a parameter is out of range.

    Example:

    >>> x = binomial((100,), 5, 0.5, seed=1)
    >>> sorted(set(x.tolist())) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    True
    """
    dtype, shape = _float_dtype("random.binomial", dtype), resolve_shape(shape)
    wide = "float64"
    n, p = (_parameter(v, shape, wide) for v in (counts, probabilities))
    zero, one, few = (scalar_like(v, n) for v in (0, 1, _FEW))
    inside = prim.logical_and(prim.greater_equal(p, zero), prim.less_equal(p, one))
    valid = prim.logical_and(inside, prim.logical_and(prim.greater_equal(n, zero), prim.is_finite(n)))
    n, p = prim.select(valid, prim.floor(n), zero), prim.select(valid, p, zero)
    everything = tuple(range(len(shape)))
    any_of = lambda mask: prim.reduce_any(mask, axes=everything, keepdims=False)

    def halve(key, n, p, found):
        key, own = _keys(key, 2)
        many = prim.greater(n, few)
        middle = prim.floor((prim.select(many, n, one) + 1) * 0.5)
        border = _beta_draws(own, shape, middle, prim.maximum(prim.select(many, n, one) + 1 - middle, one))
        below = prim.less_equal(border, p)
        left, rest = prim.select(below, n - middle, middle - 1), prim.select(below, (p - border) / (1 - border), p / border)
        rest = prim.minimum(prim.maximum(rest, zero), one)
        found = prim.select(prim.logical_and(many, below), found + middle, found)
        return key, prim.select(many, left, n), prim.select(many, rest, p), found

    def one_by_one(key, n, p, found):
        key, own = _keys(key, 2)
        success = prim.logical_and(prim.less(_open_unit(own, shape, wide), p), prim.greater(n, zero))
        return key, n - 1, p, prim.select(success, found + 1, found)

    state = (draw_seed(seed), n, p, filled(0, shape, wide, like=n))
    state = while_loop(lambda key, n, p, found: any_of(prim.greater(n, few)), halve, state)
    found = while_loop(lambda key, n, p, found: any_of(prim.greater(n, zero)), one_by_one, state)[3]
    return convert_to_tensor(prim.select(valid, found, scalar_like(np.nan, n)), dtype)
