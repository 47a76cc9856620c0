"""Elementwise functions of one tensor, as in `keras.ops.numpy`."""

from graphkeras.ir.dtypes import is_float
from graphkeras.ops.inference import scalar_like
from graphkeras.ops.promotion import as_float
from graphkeras.trace import as_tensor, prim
from graphkeras.trace.settings import floatx


def _not_bool(x):
    x = as_tensor(x)
    return prim.cast(x, dtype="int32") if x.dtype == "bool" else x


def absolute(x):
    """Computes the absolute value element-wise.

    Args:
        x: Input tensor.

    Returns:
        Tensor of the same shape and dtype; unsigned integers and booleans as they are.

    Example:

    >>> absolute([-1.2, 0.0]).tolist()
    [1.2000000476837158, 0.0]
    """
    x = as_tensor(x)
    return x if x.dtype == "bool" or x.dtype.startswith("uint") else prim.absolute(x)


def abs(x):
    """Shorthand for `absolute`.

    Example:

    >>> abs([-2, 3]).tolist()
    [2, 3]
    """
    return absolute(x)


def fabs(x):
    """Computes the absolute value element-wise, in floats.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor of the same shape.

    Example:

    >>> fabs([-2, 3]).tolist()
    [2.0, 3.0]
    """
    return prim.absolute(as_float(x))


def negative(x):
    """Numerical negative, element-wise.

    Args:
        x: Input tensor.

    Returns:
        `-x`.

    Example:

    >>> negative([1, -2]).tolist()
    [-1, 2]
    """
    return prim.negative(_not_bool(x))


def sign(x):
    """Sign of each element: -1, 0 or 1; NaN where the element is NaN.

    Args:
        x: Input tensor.

    Returns:
        Tensor of the same shape and dtype.

    Example:

    >>> sign([-3.0, 0.0, 7.0]).tolist()
    [-1.0, 0.0, 1.0]
    """
    return prim.sign(_not_bool(x))


def square(x):
    """Square of each element.

    Args:
        x: Input tensor; booleans become int32.

    Returns:
        Tensor of the same shape.

    Example:

    >>> square([1, -3]).tolist()
    [1, 9]
    """
    return prim.square(_not_bool(x))


def sqrt(x):
    """Non-negative square root of each element; NaN for negative ones.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor of the same shape.

    Example:

    >>> sqrt([4, 9]).tolist()
    [2.0, 3.0]
    """
    return prim.sqrt(as_float(x))


def cbrt(x):
    """Real cube root of each element.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor of the same shape.

    Example:

    >>> [f"{v:.4f}" for v in cbrt([-8.0, 27.0])]
    ['-2.0000', '3.0000']
    """
    return prim.cbrt(as_float(x))


def reciprocal(x):
    """Reciprocal of each element.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        `1 / x`.

    Example:

    >>> reciprocal([2.0, 4.0]).tolist()
    [0.5, 0.25]
    """
    x = as_float(x)
    return prim.divide(scalar_like(1, x), x)


def exp(x):
    """Exponential of each element.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor of the same shape.

    Example:

    >>> exp([0.0]).tolist()
    [1.0]
    """
    return prim.exp(as_float(x))


def exp2(x):
    """Two to the power of each element.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor of the same shape.

    Example:

    >>> exp2([3, -1]).tolist()
    [8.0, 0.5]
    """
    return prim.exp2(as_float(x))


def expm1(x):
    """`exp(x) - 1` of each element, precise for small ones.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor of the same shape.

    Example:

    >>> expm1([0.0]).tolist()
    [0.0]
    """
    return prim.expm1(as_float(x))


def log(x):
    """Natural logarithm of each element: -inf at 0, NaN below.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor of the same shape.

    Example:

    >>> log([1.0, 0.0]).tolist()
    [0.0, -inf]
    """
    return prim.log(as_float(x))


def log10(x):
    """Logarithm to the base 10 of each element.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor of the same shape.

    Example:

    >>> log10([1.0, 10.0]).tolist()
    [0.0, 1.0]
    """
    return prim.log10(as_float(x))


def log2(x):
    """Logarithm to the base 2 of each element.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor of the same shape.

    Example:

    >>> log2([1.0, 2.0]).tolist()
    [0.0, 1.0]
    """
    return prim.log2(as_float(x))


def log1p(x):
    """`log(1 + x)` of each element, precise for small ones.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor of the same shape.

    Example:

    >>> log1p([0.0]).tolist()
    [0.0]
    """
    return prim.log1p(as_float(x))


def floor(x):
    """The largest integer not above each element, as a float.

    Example:

    >>> floor([1.7, -1.2]).tolist()
    [1.0, -2.0]
    """
    return prim.floor(as_float(x))


def ceil(x):
    """The smallest integer not below each element, as a float.

    Example:

    >>> ceil([1.2, -1.7]).tolist()
    [2.0, -1.0]
    """
    return prim.ceil(as_float(x))


def trunc(x):
    """The integer part of each element.

    Example:

    >>> trunc([1.7, -1.7]).tolist()
    [1.0, -1.0]
    """
    x = as_tensor(x)
    return prim.trunc(x) if is_float(x.dtype) else x


def round(x, decimals=0):
    """Rounds each element to a number of decimals; halves go to the even neighbour.

    Args:
        x: Input tensor.
        decimals: Number of decimal places, negative ones left of the point. Defaults to 0.

    Returns:
        Tensor of the same shape and dtype.

    Example:

    >>> round([0.5, 1.5, 2.4]).tolist()
    [0.0, 2.0, 2.0]
    """
    x = as_tensor(x)
    if not is_float(x.dtype):
        if decimals >= 0:
            return x
        factor = 10.0**decimals
        wide = prim.cast(x, dtype=floatx())
        rounded = prim.divide(prim.round(prim.multiply(wide, scalar_like(factor, wide))), scalar_like(factor, wide))
        return prim.cast(rounded, dtype=x.dtype)
    if decimals == 0:
        return prim.round(x)
    factor = scalar_like(10.0**decimals, x)
    return prim.divide(prim.round(prim.multiply(x, factor)), factor)


def i0(x):
    """Modified Bessel function of the first kind, order 0, of each element.

    Args:
        x: Input tensor; integers become floatx, int64 becomes float64.

    Returns:
        Float tensor of the same shape.

    Example:

    >>> [f"{v:.4f}" for v in i0([0.0, 1.0]).tolist()]
    ['1.0000', '1.2661']
    """
    x = as_tensor(x)
    return prim.bessel_i0(prim.cast(x, dtype="float64") if x.dtype == "int64" else as_float(x))
