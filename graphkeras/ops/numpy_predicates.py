"""Tests of single elements, and functions of bits and special values, as in `keras.ops.numpy`."""

import numpy as np

from graphkeras.ir.dtypes import is_float, is_integer, numpy_dtype
from graphkeras.ops.inference import scalar_like
from graphkeras.trace import apply, as_tensor, prim


def _like_bool(x, value):
    return apply("equal" if value else "not_equal", x, x)


def isnan(x):
    """True where an element is NaN.

    Example:

    >>> isnan([1.0, float("nan")]).tolist()
    [False, True]
    """
    x = as_tensor(x)
    return prim.is_nan(x) if is_float(x.dtype) else _like_bool(x, False)


def isinf(x):
    """True where an element is infinite.

    Example:

    >>> isinf([1.0, float("-inf")]).tolist()
    [False, True]
    """
    x = as_tensor(x)
    return prim.is_inf(x) if is_float(x.dtype) else _like_bool(x, False)


def isfinite(x):
    """True where an element is neither infinite nor NaN.

    Example:

    >>> isfinite([1.0, float("inf"), float("nan")]).tolist()
    [True, False, False]
    """
    x = as_tensor(x)
    return prim.is_finite(x) if is_float(x.dtype) else _like_bool(x, True)


def isposinf(x):
    """True where an element is positive infinity.

    Example:

    >>> isposinf([float("inf"), float("-inf")]).tolist()
    [True, False]
    """
    x = as_tensor(x)
    return prim.equal(x, scalar_like(np.inf, x)) if is_float(x.dtype) else _like_bool(x, False)


def isneginf(x):
    """True where an element is negative infinity.

    Example:

    >>> isneginf([float("inf"), float("-inf")]).tolist()
    [False, True]
    """
    x = as_tensor(x)
    return prim.equal(x, scalar_like(-np.inf, x)) if is_float(x.dtype) else _like_bool(x, False)


def isreal(x):
    """True everywhere, for tensors are real.

    Example:

    >>> isreal([1, 2]).tolist()
    [True, True]
    """
    x = as_tensor(x)
    return prim.logical_or(prim.equal(x, x), prim.not_equal(x, x))


def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    """Replaces NaN with zero and infinity with large finite numbers.

    Args:
        x: Input tensor.
        nan: Number in place of NaN. Defaults to 0.0.
        posinf: Number in place of positive infinity; the largest finite one by default.
        neginf: Number in place of negative infinity; the smallest finite one by default.

    Returns:
        Tensor of the same shape and dtype.

    Example:

    >>> nan_to_num([float("nan"), float("inf"), 1.0], posinf=9.0).tolist()
    [0.0, 9.0, 1.0]
    """
    x = as_tensor(x)
    if not is_float(x.dtype):
        return x
    largest = np.finfo(numpy_dtype(x.dtype)).max if x.dtype != "bfloat16" else 3.3895313892515355e38
    x = prim.select(prim.is_nan(x), scalar_like(nan, x), x)
    x = prim.select(isposinf(x), scalar_like(largest if posinf is None else posinf, x), x)
    return prim.select(isneginf(x), scalar_like(-largest if neginf is None else neginf, x), x)


def logical_not(x):
    """Logical negation, element-wise; numbers other than zero are true.

    Example:

    >>> logical_not([True, False]).tolist()
    [False, True]
    """
    x = as_tensor(x)
    return prim.logical_not(x if x.dtype == "bool" else prim.cast(x, dtype="bool"))


def bitwise_not(x):
    """Inverts all bits of integers, element-wise.

    Example:

    >>> bitwise_not([0, 5]).tolist()
    [-1, -6]
    """
    return prim.bitwise_not(as_tensor(x))


def bitwise_invert(x):
    """Inverts all bits of integers, element-wise.

    Example:

    >>> bitwise_invert([0, 5]).tolist()
    [-1, -6]
    """
    return bitwise_not(x)


def signbit(x):
    """True where the sign bit is set: below zero, and for -0.0.

    Example:

    >>> signbit([-0.0, 0.0, -2.0]).tolist()
    [True, False, True]
    """
    x = as_tensor(x)
    if not is_float(x.dtype):
        return prim.less(x, scalar_like(0, x)) if is_integer(x.dtype) else _like_bool(x, False)
    zero = scalar_like(0, x)
    # Only the sign of its reciprocal tells -0.0 from 0.0.
    negative_zero = prim.logical_and(prim.equal(x, zero), prim.less(prim.divide(scalar_like(1, x), x), zero))
    return prim.logical_or(prim.less(x, zero), negative_zero)
