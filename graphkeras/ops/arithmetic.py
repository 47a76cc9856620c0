"""Binary arithmetic with Keras's promotion, shared by the Python operators and the public functions."""

import numpy as np

from graphkeras.ir.dtypes import is_float
from graphkeras.ops.promotion import converted, dtype_of, operand, result_type
from graphkeras.trace import SymbolicTensor, Tensor, apply, as_tensor


def _ready(x1, x2):
    """The operands as they go into an op, in the common cases where they need no rules: two float tensors of one dtype, or one
    eager float tensor and a Python number. None otherwise."""
    if type(x1) is Tensor:
        dtype = x1._array.dtype
        if dtype.kind == "f":
            if type(x2) is Tensor:
                return (x1, x2) if x2._array.dtype == dtype else None
            if type(x2) is float or type(x2) is int:
                return x1, Tensor.wrap(np.asarray(x2, dtype))
    elif type(x1) is SymbolicTensor:
        if type(x2) is SymbolicTensor and x1.dtype == x2.dtype and is_float(x1.dtype):
            return x1, x2
    elif (type(x1) is float or type(x1) is int) and type(x2) is Tensor and x2._array.dtype.kind == "f":
        return Tensor.wrap(np.asarray(x1, x2._array.dtype)), x2
    return None


def promoted(op: str, x1, x2, at_least=None, bools: str | None = None):
    """Applies a binary op to operands brought to their common dtype.

    Args:
        op: name of the op.
        x1, x2: tensors, arrays, nested lists, Python numbers or sizes.
        at_least: a dtype that takes part in the promotion, e.g. `float` where integers become floats.
        bools: the dtype in which two booleans meet, where the op does not take booleans.
    """
    ready = _ready(x1, x2)
    if ready is not None:
        return apply(op, *ready)
    x1, x2 = operand(x1), operand(x2)
    extra = () if at_least is None else (at_least,)
    dtype = result_type(dtype_of(x1), dtype_of(x2), *extra)
    if dtype == "bool" and bools is not None:
        dtype = bools
    return apply(op, converted(x1, dtype), converted(x2, dtype))


def compared(op: str, x1, x2):
    """Compares operands in their common dtype. A Python integer is an int32 here, for `uint8_tensor == 300` has an answer."""
    ready = _ready(x1, x2)
    if ready is not None:
        return apply(op, *ready)
    x1, x2 = (as_tensor(x) if type(x) is int else x for x in (x1, x2))
    return promoted(op, x1, x2)


def logical(op: str, x1, x2):
    """Applies a logical op to operands of any dtype: whatever is not zero is true."""
    return apply(op, as_bool(x1), as_bool(x2))


def as_bool(x):
    """`x` as a boolean tensor: whatever is not zero is true."""
    x = as_tensor(x)
    return x if x.dtype == "bool" else apply("cast", x, dtype="bool")


def add(x1, x2):
    """x1 + x2; two booleans are joined by or."""
    return _joined("add", "logical_or", x1, x2)


def subtract(x1, x2):
    """x1 - x2; booleans become int32."""
    return promoted("subtract", x1, x2, bools="int32")


def multiply(x1, x2):
    """x1 * x2; two booleans are joined by and."""
    return _joined("multiply", "logical_and", x1, x2)


def divide(x1, x2):
    """x1 / x2 in floats."""
    return promoted("divide", x1, x2, at_least=float)


def floor_divide(x1, x2):
    """The largest integer not above x1 / x2."""
    return promoted("floor_divide", x1, x2, bools="int32")


def mod(x1, x2):
    """x1 - floor(x1 / x2) * x2."""
    return promoted("remainder", x1, x2, bools="int32")


def power(x1, x2):
    """x1 ** x2. Integer powers are formed in float64 and cut to the integer dtype, exact below 2**53."""
    x1, x2 = operand(x1), operand(x2)
    dtype = result_type(dtype_of(x1), dtype_of(x2))
    if is_float(dtype):
        return apply("power", converted(x1, dtype), converted(x2, dtype))
    dtype = "int32" if dtype == "bool" else dtype
    wide = apply("power", converted(x1, "float64"), converted(x2, "float64"))
    return apply("cast", apply("round", wide), dtype=dtype)


def _joined(op, logical_op, x1, x2):
    ready = _ready(x1, x2)
    if ready is not None:
        return apply(op, *ready)
    return promoted(logical_op if _both_bool(x1, x2) else op, x1, x2)


def _both_bool(x1, x2):
    def is_bool(x):
        dtype = getattr(x, "dtype", None)
        return type(x) is bool if dtype is None else dtype in ("bool", np.bool_)

    return is_bool(x1) and is_bool(x2)
