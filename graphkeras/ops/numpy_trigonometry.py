"""Trigonometric and hyperbolic functions, as in `keras.ops.numpy`."""

import math as _math

import numpy as np

from graphkeras.ops.inference import scalar_like
from graphkeras.ops.promotion import as_float
from graphkeras.trace import prim


def sin(x):
    """Sine of each element, in radians.

    Example:

    >>> sin([0.0]).tolist()
    [0.0]
    """
    return prim.sin(as_float(x))


def cos(x):
    """Cosine of each element, in radians.

    Example:

    >>> cos([0.0]).tolist()
    [1.0]
    """
    return prim.cos(as_float(x))


def tan(x):
    """Tangent of each element, in radians.

    Example:

    >>> tan([0.0]).tolist()
    [0.0]
    """
    x = as_float(x)
    return prim.divide(prim.sin(x), prim.cos(x))


def sinc(x):
    """`sin(pi x) / (pi x)` of each element, 1 at 0.

    Example:

    >>> sinc([0.0]).tolist()
    [1.0]
    """
    x = as_float(x)
    zero, one = scalar_like(0, x), scalar_like(1, x)
    at_zero = prim.equal(x, zero)
    turned = prim.multiply(prim.select(at_zero, one, x), scalar_like(np.pi, x))
    return prim.select(at_zero, one, prim.divide(prim.sin(turned), turned))


def sinh(x):
    """Hyperbolic sine of each element.

    Example:

    >>> sinh([0.0]).tolist()
    [0.0]
    """
    x = as_float(x)
    # (e^x - e^-x) / 2 with u = e^x - 1, which keeps small results exact.
    u = prim.expm1(prim.absolute(x))
    half = prim.select(prim.is_inf(u), u, 0.5 * (u + u / (u + 1)))
    return prim.select(prim.less(x, scalar_like(0, x)), -half, half)


def cosh(x):
    """Hyperbolic cosine of each element.

    Example:

    >>> cosh([0.0]).tolist()
    [1.0]
    """
    x = as_float(x)
    return 0.5 * (prim.exp(x) + prim.exp(-x))


def tanh(x):
    """Hyperbolic tangent of each element.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor of the same shape, between -1 and 1.

    Example:

    >>> tanh([0.0]).tolist()
    [0.0]
    """
    return prim.tanh(as_float(x))


def arcsinh(x):
    """Inverse hyperbolic sine of each element.

    Example:

    >>> arcsinh([0.0]).tolist()
    [0.0]
    """
    x = as_float(x)
    size = prim.absolute(x)
    # Beyond this size x^2 + 1 rounds to x^2, and x^2 may overflow.
    limit = scalar_like({"float16": 64.0, "bfloat16": 32.0, "float32": 4096.0}.get(x.dtype, 2.0**27), x)
    large = prim.greater(size, limit)
    square = prim.square(prim.minimum(size, limit))
    near = prim.log1p(size + square / (prim.sqrt(square + 1) + 1))
    y = prim.select(large, prim.log(prim.maximum(size, limit)) + _math.log(2), near)
    return prim.select(prim.less(x, scalar_like(0, x)), -y, y)


def arccosh(x):
    """Inverse hyperbolic cosine of each element; NaN below 1.

    Example:

    >>> arccosh([1.0]).tolist()
    [0.0]
    """
    x = as_float(x)
    return prim.log(x + prim.sqrt(x - 1) * prim.sqrt(x + 1))


def arctanh(x):
    """Inverse hyperbolic tangent of each element; NaN outside [-1, 1].

    Example:

    >>> arctanh([0.0]).tolist()
    [0.0]
    """
    x = as_float(x)
    return 0.5 * (prim.log1p(x) - prim.log1p(-x))


def deg2rad(x):
    """Degrees to radians.

    Example:

    >>> f"{deg2rad(180.0):.5f}"
    '3.14159'
    """
    x = as_float(x)
    return prim.multiply(x, scalar_like(np.pi / 180, x))


def rad2deg(x):
    """Radians to degrees.

    Example:

    >>> f"{rad2deg(np.pi):.3f}"
    '180.000'
    """
    x = as_float(x)
    return prim.multiply(x, scalar_like(180 / np.pi, x))
