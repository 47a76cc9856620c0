"""Trigonometric and hyperbolic functions, as in `keras.ops.numpy`."""

import numpy as np

from graphkeras.ops.inference import scalar_like
from graphkeras.ops.promotion import as_float, promote
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
    return prim.tan(as_float(x))


def arcsin(x):
    """Angle in [-pi/2, pi/2] whose sine is the element; NaN outside [-1, 1].

    Example:

    >>> arcsin([0.0]).tolist()
    [0.0]
    """
    return prim.arcsin(as_float(x))


def arccos(x):
    """Angle in [0, pi] whose cosine is the element; NaN outside [-1, 1].

    Example:

    >>> arccos([1.0]).tolist()
    [0.0]
    """
    return prim.arccos(as_float(x))


def arctan(x):
    """Angle in (-pi/2, pi/2) whose tangent is the element.

    Example:

    >>> arctan([0.0]).tolist()
    [0.0]
    """
    return prim.arctan(as_float(x))


def arctan2(x1, x2):
    """Angle in (-pi, pi] of the point with ordinate `x1` and abscissa `x2`, element-wise.

    Args:
        x1: Ordinates.
        x2: Abscissas; integers of both become floats.

    Returns:
        Float tensor of the broadcast shape; signed zeros and infinities as in C.

    Example:

    >>> [f"{v:.4f}" for v in arctan2([0.0, 1.0], [1.0, 0.0]).tolist()]
    ['0.0000', '1.5708']
    """
    return prim.arctan2(*promote(x1, x2, at_least=float))


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
    return prim.sinh(as_float(x))


def cosh(x):
    """Hyperbolic cosine of each element.

    Example:

    >>> cosh([0.0]).tolist()
    [1.0]
    """
    return prim.cosh(as_float(x))


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
    return prim.arcsinh(as_float(x))


def arccosh(x):
    """Inverse hyperbolic cosine of each element; NaN below 1.

    Example:

    >>> arccosh([1.0]).tolist()
    [0.0]
    """
    return prim.arccosh(as_float(x))


def arctanh(x):
    """Inverse hyperbolic tangent of each element; NaN outside [-1, 1].

    Example:

    >>> arctanh([0.0]).tolist()
    [0.0]
    """
    return prim.arctanh(as_float(x))


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
