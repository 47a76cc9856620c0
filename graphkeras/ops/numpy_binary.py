"""Elementwise functions of two and more tensors, as in `keras.ops.numpy`."""

import math as _math

from graphkeras.ir.dtypes import is_float, is_integer
from graphkeras.ir.errors import DTypeError
from graphkeras.ops import arithmetic
from graphkeras.ops.inference import scalar_like
from graphkeras.ops.promotion import converted, operand, promote, result_type
from graphkeras.trace import as_tensor, convert_to_tensor, prim


def add(x1, x2):
    """Adds arguments element-wise.

    Args:
        x1: First input tensor.
        x2: Second input tensor.

    Returns:
        The tensor containing the element-wise sum of `x1` and `x2`.

    Example:

    >>> add([1, 4], [5, 6]).tolist()
    [6, 10]
    """
    return arithmetic.add(x1, x2)


def subtract(x1, x2):
    """Subtracts arguments element-wise.

    Args:
        x1: First input tensor.
        x2: Second input tensor.

    Returns:
        `x1 - x2`.

    Example:

    >>> subtract([1, 4], 1).tolist()
    [0, 3]
    """
    return arithmetic.subtract(x1, x2)


def multiply(x1, x2):
    """Multiplies arguments element-wise.

    Args:
        x1: First input tensor.
        x2: Second input tensor.

    Returns:
        `x1 * x2`.

    Example:

    >>> multiply([1.0, 4.0], 0.5).tolist()
    [0.5, 2.0]
    """
    return arithmetic.multiply(x1, x2)


def divide(x1, x2):
    """Divides arguments element-wise, in floats.

    Args:
        x1: First input tensor.
        x2: Second input tensor.

    Returns:
        `x1 / x2`; division by zero gives infinity or NaN.

    Example:

    >>> divide([1, 4], 2).tolist()
    [0.5, 2.0]
    """
    return arithmetic.divide(x1, x2)


def true_divide(x1, x2):
    """Alias for `divide`.

    Example:

    >>> true_divide([1, 4], 2).tolist()
    [0.5, 2.0]
    """
    return divide(x1, x2)


def divide_no_nan(x1, x2):
    """Safe element-wise division which returns 0 where the denominator is 0.

    Args:
        x1: First input tensor.
        x2: Second input tensor.

    Returns:
        The quotient `x1 / x2`, 0 where `x2` is 0.

    Example:

    >>> divide_no_nan([1.0, 4.0], [0.0, 2.0]).tolist()
    [0.0, 2.0]
    """
    x1, x2 = promote(x1, x2, at_least=float)
    zero = scalar_like(0, x2)
    empty = prim.equal(x2, zero)
    # The denominator is mended too, so that the gradient stays finite where the quotient is left out.
    return prim.select(empty, zero, prim.divide(x1, prim.select(empty, scalar_like(1, x2), x2)))


def floor_divide(x1, x2):
    """Returns the largest integer smaller or equal to the division of inputs.

    Args:
        x1: Numerator.
        x2: Denominator.

    Returns:
        `x1 // x2`; integers divided by zero give 0.

    Example:

    >>> floor_divide([7, -7], 2).tolist()
    [3, -4]
    """
    return arithmetic.floor_divide(x1, x2)


def mod(x1, x2):
    """Remainder of the floor division, with the sign of the divisor.

    Args:
        x1: Dividend.
        x2: Divisor.

    Returns:
        `x1 - floor(x1 / x2) * x2`.

    Example:

    >>> mod([7, -7], 3).tolist()
    [1, 2]
    """
    return arithmetic.mod(x1, x2)


def fmod(x1, x2):
    """Remainder of the division towards zero, with the sign of the dividend.

    Args:
        x1: Dividend.
        x2: Divisor.

    Returns:
        `sign(x1) * (abs(x1) mod abs(x2))`.

    Example:

    >>> fmod([7, -7], 3).tolist()
    [1, -1]
    """
    x1, x2 = promote(x1, x2)
    if x1.dtype == "bool":
        x1, x2 = prim.cast(x1, dtype="int32"), prim.cast(x2, dtype="int32")
    return prim.sign(x1) * prim.remainder(prim.absolute(x1), prim.absolute(x2))


def power(x1, x2):
    """First tensor elements raised to powers from second tensor, element-wise.

    Args:
        x1: The bases.
        x2: The exponents.

    Returns:
        `x1 ** x2`; integers stay integers (exact below 2**53).

    Example:

    >>> power([2.0, 3.0], 2).tolist()
    [4.0, 9.0]
    """
    return arithmetic.power(x1, x2)


def maximum(x1, x2):
    """Element-wise maximum; NaN where either element is NaN.

    Args:
        x1: First tensor.
        x2: Second tensor.

    Returns:
        The larger element of each pair.

    Example:

    >>> maximum([1, 5], 3).tolist()
    [3, 5]
    """
    return _extreme("maximum", "logical_or", x1, x2)


def minimum(x1, x2):
    """Element-wise minimum; NaN where either element is NaN.

    Args:
        x1: First tensor.
        x2: Second tensor.

    Returns:
        The smaller element of each pair.

    Example:

    >>> minimum([1, 5], 3).tolist()
    [1, 3]
    """
    return _extreme("minimum", "logical_and", x1, x2)


def _extreme(op, of_bools, x1, x2):
    x1, x2 = promote(x1, x2)
    return getattr(prim, of_bools if x1.dtype == "bool" else op)(x1, x2)


def fmax(x1, x2):
    """Element-wise maximum that leaves NaN out where the other element is a number.

    Args:
        x1: First tensor.
        x2: Second tensor.

    Returns:
        The larger element of each pair.

    Example:

    >>> fmax([1.0, float("nan")], 3.0).tolist()
    [3.0, 3.0]
    """
    return _skipping_nan(maximum, x1, x2)


def fmin(x1, x2):
    """Element-wise minimum that leaves NaN out where the other element is a number.

    Args:
        x1: First tensor.
        x2: Second tensor.

    Returns:
        The smaller element of each pair.

    Example:

    >>> fmin([1.0, float("nan")], 3.0).tolist()
    [1.0, 3.0]
    """
    return _skipping_nan(minimum, x1, x2)


def _skipping_nan(extreme, x1, x2):
    x1, x2 = promote(x1, x2)
    if not is_float(x1.dtype):
        return extreme(x1, x2)
    return prim.select(prim.is_nan(x1), x2, prim.select(prim.is_nan(x2), x1, extreme(x1, x2)))


def clip(x, x_min, x_max):
    """Limits the values of a tensor.

    Args:
        x: Input tensor; booleans become int32.
        x_min: Minimum value, a number or tensor.
        x_max: Maximum value, a number or tensor.

    Returns:
        The clipped tensor, in the dtype of `x`; NaN stays NaN.

    Example:

    >>> clip([-2.0, 0.5, 7.0], 0.0, 1.0).tolist()
    [0.0, 0.5, 1.0]
    """
    x = as_tensor(x)
    if x.dtype == "bool":
        x = prim.cast(x, dtype="int32")
    low, high = (converted(operand(limit), x.dtype) for limit in (x_min, x_max))
    return prim.minimum(prim.maximum(x, low), high)


def hypot(x1, x2):
    """Length of the hypotenuse, element-wise, without overflow.

    Example:

    >>> hypot(3.0, 4.0).item()
    5.0
    """
    x1, x2 = promote(x1, x2, at_least=float)
    x1, x2 = prim.absolute(x1), prim.absolute(x2)
    longest = prim.maximum(x1, x2)
    ratio = divide_no_nan(prim.minimum(x1, x2), longest)
    return longest * prim.sqrt(ratio * ratio + 1)


def logaddexp(x1, x2):
    """Logarithm of the sum of exponentials, element-wise, without overflow.

    Example:

    >>> round(logaddexp(0.0, 0.0).item(), 5)
    0.69315
    """
    x1, x2 = promote(x1, x2, at_least=float)
    delta = x1 - x2
    smooth = prim.maximum(x1, x2) + prim.log1p(prim.exp(-prim.absolute(delta)))
    return prim.select(prim.is_nan(delta), x1 + x2, smooth)


def logaddexp2(x1, x2):
    """Logarithm to the base 2 of the sum of powers of 2, element-wise.

    Example:

    >>> logaddexp2(1.0, 1.0).item()
    2.0
    """
    x1, x2 = promote(x1, x2, at_least=float)
    delta = x1 - x2
    log2 = _math.log(2.0)
    smooth = prim.maximum(x1, x2) + prim.log1p(prim.exp(-prim.absolute(delta) * log2)) / log2
    return prim.select(prim.is_nan(delta), x1 + x2, smooth)


def heaviside(x1, x2):
    """The step function: 0 below zero, 1 above, `x2` at zero.

    Example:

    >>> heaviside([-1.0, 0.0, 2.0], 0.5).tolist()
    [0.0, 0.5, 1.0]
    """
    x1, x2 = promote(as_tensor(x1), as_tensor(x2))
    if not is_float(x1.dtype):
        dtype = "float64" if x1.dtype == "int64" else result_type(x1.dtype, float)
        x1, x2 = prim.cast(x1, dtype=dtype), prim.cast(x2, dtype=dtype)
    zero, one = scalar_like(0, x1), scalar_like(1, x1)
    return prim.select(prim.less(x1, zero), zero, prim.select(prim.greater(x1, zero), one, x2))


def ldexp(x1, x2):
    """`x1 * 2**x2`, element-wise.

    Args:
        x1: Float tensor.
        x2: Integer tensor of exponents.

    Returns:
        Float tensor.

    Example:

    >>> ldexp([0.75, 1.5], [1, 2]).tolist()
    [1.5, 6.0]
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if not is_integer(x2.dtype):
        raise DTypeError(
            "ldexp exponent must be an integer type.", got=f"x2 {x2.spec}", expected="an integer dtype", mend="cast it with ops.cast"
        )
    dtype = result_type(x1.dtype, x2.dtype, float)
    x1, x2 = convert_to_tensor(x1, dtype), convert_to_tensor(x2, dtype)
    scaled = x1 * prim.power(scalar_like(2, x1), x2)
    kept = prim.logical_or(prim.is_inf(x1), prim.equal(x1, scalar_like(0, x1)))
    return prim.select(kept, x1, scaled)


def nextafter(x1, x2):
    """The next floating-point number after `x1` towards `x2`, element-wise.

    Args:
        x1: Where to start; integers become floats. 16-bit floats step in float64 and are rounded back, as in Keras.
        x2: Where to go.

    Returns:
        Float tensor of the broadcast shape and common dtype.

    Example:

    >>> nextafter(0.0, 1.0).item() > 0
    True
    """
    x1, x2 = promote(x1, x2, at_least=float)
    if x1.dtype in ("float16", "bfloat16"):
        wide = prim.nextafter(prim.cast(x1, dtype="float64"), prim.cast(x2, dtype="float64"))
        return prim.cast(wide, dtype=x1.dtype)
    return prim.nextafter(x1, x2)
