"""Comparisons, logical and bit-wise functions and choices, as in `keras.ops.numpy`."""

from graphkeras.ir.dtypes import is_float
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.arithmetic import compared, logical, promoted
from graphkeras.ops.promotion import promote
from graphkeras.trace import as_tensor, convert_to_tensor, prim


def equal(x1, x2):
    """Returns `(x1 == x2)` element-wise.

    Args:
        x1: Tensor to compare.
        x2: Tensor to compare.

    Returns:
        Boolean tensor.

    Example:

    >>> equal([1, 2], [1, 3]).tolist()
    [True, False]
    """
    return compared("equal", x1, x2)


def not_equal(x1, x2):
    """Returns `(x1 != x2)` element-wise.

    Example:

    >>> not_equal([1, 2], [1, 3]).tolist()
    [False, True]
    """
    return compared("not_equal", x1, x2)


def less(x1, x2):
    """Returns the truth value of `x1 < x2` element-wise.

    Example:

    >>> less([1, 2], 2).tolist()
    [True, False]
    """
    return compared("less", x1, x2)


def less_equal(x1, x2):
    """Returns the truth value of `x1 <= x2` element-wise.

    Example:

    >>> less_equal([1, 2, 3], 2).tolist()
    [True, True, False]
    """
    return compared("less_equal", x1, x2)


def greater(x1, x2):
    """Returns the truth value of `x1 > x2` element-wise.

    Example:

    >>> greater([1, 2, 3], 2).tolist()
    [False, False, True]
    """
    return compared("greater", x1, x2)


def greater_equal(x1, x2):
    """Returns the truth value of `x1 >= x2` element-wise.

    Example:

    >>> greater_equal([1, 2, 3], 2).tolist()
    [False, True, True]
    """
    return compared("greater_equal", x1, x2)


def isclose(x1, x2, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether two tensors are element-wise almost equal.

    Args:
        x1: First input tensor.
        x2: Second input tensor.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        equal_nan: If `True`, NaN counts as equal to NaN.

    Returns:
        Boolean tensor.

    Example:

    >>> isclose([1.0, 2.0], [1.0, 2.1]).tolist()
    [True, False]
    """
    x1, x2 = promote(as_tensor(x1), as_tensor(x2))
    same = prim.equal(x1, x2)
    if not is_float(x1.dtype):
        return same
    near = prim.absolute(x1 - x2) <= atol + rtol * prim.absolute(x2)
    # A finite element lies within no tolerance of an infinite one.
    near = prim.logical_or(prim.logical_and(near, prim.is_finite(x2)), same)
    return prim.logical_or(near, prim.logical_and(prim.is_nan(x1), prim.is_nan(x2))) if equal_nan else near


def allclose(x1, x2, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether all elements of two tensors are almost equal.

    Args:
        x1: First input tensor.
        x2: Second input tensor.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        equal_nan: If `True`, NaN counts as equal to NaN.

    Returns:
        Boolean scalar.

    Example:

    >>> allclose([1.0, 2.0], [1.0, 2.0 + 1e-7]).item()
    True
    """
    near = isclose(x1, x2, rtol, atol, equal_nan)
    return prim.reduce_all(near, axes=tuple(range(near.ndim)), keepdims=False)


def logical_and(x1, x2):
    """Computes the element-wise logical AND; numbers other than zero are true.

    Example:

    >>> logical_and([True, False], [True, True]).tolist()
    [True, False]
    """
    return logical("logical_and", x1, x2)


def logical_or(x1, x2):
    """Computes the element-wise logical OR; numbers other than zero are true.

    Example:

    >>> logical_or([True, False], [False, False]).tolist()
    [True, False]
    """
    return logical("logical_or", x1, x2)


def logical_xor(x1, x2):
    """Computes the element-wise logical XOR; numbers other than zero are true.

    Example:

    >>> logical_xor([True, False], [True, True]).tolist()
    [False, True]
    """
    return logical("logical_xor", x1, x2)


def bitwise_and(x, y):
    """Bit-wise AND of integers, element-wise.

    Example:

    >>> bitwise_and([6, 5], 3).tolist()
    [2, 1]
    """
    return promoted("bitwise_and", x, y)


def bitwise_or(x, y):
    """Bit-wise OR of integers, element-wise.

    Example:

    >>> bitwise_or([6, 5], 3).tolist()
    [7, 7]
    """
    return promoted("bitwise_or", x, y)


def bitwise_xor(x, y):
    """Bit-wise XOR of integers, element-wise.

    Example:

    >>> bitwise_xor([6, 5], 3).tolist()
    [5, 6]
    """
    return promoted("bitwise_xor", x, y)


def bitwise_left_shift(x, y):
    """Shifts the bits of integers to the left, element-wise.

    Example:

    >>> bitwise_left_shift([1, 3], 2).tolist()
    [4, 12]
    """
    return promoted("shift_left", x, y)


def left_shift(x, y):
    """Shifts the bits of integers to the left, element-wise.

    Example:

    >>> left_shift([1, 3], 2).tolist()
    [4, 12]
    """
    return bitwise_left_shift(x, y)


def bitwise_right_shift(x, y):
    """Shifts the bits of integers to the right, element-wise; the sign stays.

    Example:

    >>> bitwise_right_shift([4, -8], 2).tolist()
    [1, -2]
    """
    return promoted("shift_right", x, y)


def right_shift(x, y):
    """Shifts the bits of integers to the right, element-wise; the sign stays.

    Example:

    >>> right_shift([4, -8], 2).tolist()
    [1, -2]
    """
    return bitwise_right_shift(x, y)


def where(condition, x1=None, x2=None):
    """Returns elements chosen from `x1` or `x2` depending on `condition`.

    Args:
        condition: Where `True`, yield `x1`, otherwise yield `x2`.
        x1: Values where `condition` is `True`.
        x2: Values where `condition` is `False`.

    Returns:
        Tensor of the broadcast shape; without `x1` and `x2` the indices of true elements, as `nonzero` gives them.

    Example:

    >>> where([True, False], [1, 2], 0).tolist()
    [1, 0]
    """
    if (x1 is None) != (x2 is None):
        raise ArgumentError(
            "`x1` and `x2` either both should be `None` or both should have non-None value.",
            got=f"x1={x1!r}, x2={x2!r}",
            expected="both, or none of them",
            mend="pass both values, or the condition alone for the places where it holds",
        )
    condition = convert_to_tensor(condition, "bool")
    if x1 is None:
        from graphkeras.ops.numpy_index import nonzero

        return nonzero(condition)
    x1, x2 = promote(x1, x2)
    return prim.select(condition, x1, x2)


def select(condlist, choicelist, default=0):
    """Returns elements from `choicelist`, based on conditions in `condlist`; the first true condition decides.

    Args:
        condlist: List of boolean tensors.
        choicelist: List of tensors, one per condition.
        default: Element where no condition is true. Defaults to 0.

    Returns:
        Tensor of the broadcast shape.

    Example:

    >>> x = as_tensor([0, 1, 2, 3, 4])
    >>> select([x < 2, x > 3], [x, x * 10], -1).tolist()
    [0, 1, -1, -1, 40]
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ArgumentError(
            "condlist and choicelist must be non-empty and of the same length.",
            got=f"lengths {len(condlist)} and {len(choicelist)}",
            expected="equal lengths above 0",
        )
    *choices, result = promote(*choicelist, default)
    for condition, choice in zip(reversed(condlist), reversed(choices)):
        result = prim.select(convert_to_tensor(condition, "bool"), choice, result)
    return result
