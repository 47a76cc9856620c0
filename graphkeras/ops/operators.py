"""Installs Python's operators on tensors, symbolic tensors and variables."""

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import is_integer
from graphkeras.ops import arithmetic
from graphkeras.ops.arithmetic import compared, logical, promoted
from graphkeras.ops.calls import class_name_of, one_operation
from graphkeras.ops.getitem import getitem
from graphkeras.ops.numpy_linear import matmul
from graphkeras.trace import SymbolicTensor, Tensor, apply, as_tensor, current_scope, is_tensor
from graphkeras.trace.base import TensorBase

_SINGLE = (int, float, Dim, np.ndarray, np.generic)


def _takes(other) -> bool:
    kind = type(other)
    if kind is Tensor or kind is float or kind is int:
        return True
    return is_tensor(other) or isinstance(other, (*_SINGLE, list, tuple))


def _plain(other):
    """NumPy float scalars count as Python numbers beside an operator: `x * np.sqrt(d)` keeps the dtype of x."""
    return float(other) if isinstance(other, float) and type(other) is not float else other


def _install(name, function, class_name):
    def forward(self, other):
        if type(other) is SymbolicTensor and current_scope() is None:  # it knows what to make of it
            return NotImplemented
        return function(self, _plain(other)) if _takes(other) else NotImplemented

    def backward(self, other):
        return function(_plain(other), self) if _takes(other) else NotImplemented

    _define(f"__{name}__", forward, class_name, function)
    _define(f"__r{name}__", backward, class_name, function, swapped=True)


def _define(name, method, class_name, binary=None, swapped=False):
    """Installs a method. On symbolic tensors it is one operation of the model that is being built, named as in Keras.

    Args:
        name: of the method.
        method: as eager tensors and variables have it.
        class_name: of the operation, or a function of its operands that tells it.
        binary: for an operator the function of its two operands, which may be `swapped`.
    """
    method.__name__ = name
    method.__qualname__ = f"TensorBase.{name}"
    setattr(TensorBase, name, method)

    def of_symbolic(self, *args, **kwargs):
        if current_scope() is not None:
            return method(self, *args, **kwargs)
        if binary is None:
            return one_operation(method, class_name if isinstance(class_name, str) else class_name(self), (self, *args), kwargs)
        (other,) = args
        if not _takes(other):
            return NotImplemented
        operands = (_plain(other), self) if swapped else (self, _plain(other))
        return one_operation(binary, class_name if isinstance(class_name, str) else class_name(*operands), operands, {})

    of_symbolic.__name__ = name
    of_symbolic.__qualname__ = f"SymbolicTensor.{name}"
    of_symbolic.__doc__ = method.__doc__
    setattr(SymbolicTensor, name, of_symbolic)


def _install_comparison(name, op):
    def compare(self, other):
        if type(other) is SymbolicTensor and current_scope() is None:
            return NotImplemented
        return compared(op, self, _plain(other)) if _takes(other) else NotImplemented

    _define(f"__{name}__", compare, class_name_of(op), lambda x1, x2: compared(op, x1, x2))


def _kind(*operands):
    """What `&`, `|`, `^` and `~` do: bit by bit for integers, logical otherwise."""
    return "bitwise" if all(is_integer(as_tensor(x).dtype) for x in operands) else "logical"


def _bits(name):
    def call(x1, x2):
        x1, x2 = as_tensor(x1), as_tensor(x2)
        kind = _kind(x1, x2)
        return (promoted if kind == "bitwise" else logical)(f"{kind}_{name}", x1, x2)

    return call


def _bits_class(name):
    return lambda *operands: class_name_of(f"{_kind(*operands)}_{name}")


for _name, _function, _class in (
    ("add", arithmetic.add, "Add"),
    ("sub", arithmetic.subtract, "Subtract"),
    ("mul", arithmetic.multiply, "Multiply"),
    ("truediv", arithmetic.divide, "TrueDivide"),
    ("floordiv", arithmetic.floor_divide, "FloorDivide"),
    ("mod", arithmetic.mod, "Mod"),
    ("pow", arithmetic.power, "Power"),
    ("matmul", matmul, "Matmul"),
    ("and", _bits("and"), _bits_class("and")),
    ("or", _bits("or"), _bits_class("or")),
    ("xor", _bits("xor"), _bits_class("xor")),
):
    _install(_name, _function, _class)
for _name, _op in (
    ("eq", "equal"),
    ("ne", "not_equal"),
    ("lt", "less"),
    ("le", "less_equal"),
    ("gt", "greater"),
    ("ge", "greater_equal"),
):
    _install_comparison(_name, _op)


def _negative(self):
    x = as_tensor(self)
    return apply("negative", x if x.dtype != "bool" else apply("cast", x, dtype="int32"))


def _absolute(self):
    x = as_tensor(self)
    return x if x.dtype == "bool" else apply("absolute", x)


def _invert(self):
    x = as_tensor(self)
    if _kind(x) == "bitwise":
        return apply("bitwise_not", x)
    return apply("logical_not", x if x.dtype == "bool" else apply("cast", x, dtype="bool"))


def _round(self, decimals=None):
    from graphkeras.ops.numpy_unary import round

    return round(self, decimals=decimals or 0)


def _divmod(self, other):
    """Two operations, as Keras knows none that does both."""
    return self // other, self % other


def _rdivmod(self, other):
    return other // self, other % self


def _reshape(self, newshape):
    """The elements in another shape; one size may be -1."""
    from graphkeras.ops.numpy_shape import reshape

    return reshape(self, newshape)


def _squeeze(self, axis=None):
    """Without axes of size 1."""
    from graphkeras.ops.numpy_shape import squeeze

    return squeeze(self, axis)


_define("__neg__", _negative, "Negative")
_define("__pos__", lambda self: as_tensor(self), "Identity")
_define("__abs__", _absolute, "Absolute")
_define("__invert__", _invert, _bits_class("not"))
_define("__round__", _round, "Round")
_define("__getitem__", getitem, "GetItem")
_define("reshape", _reshape, "Reshape")
_define("squeeze", _squeeze, "Squeeze")
TensorBase.__divmod__, TensorBase.__rdivmod__ = _divmod, _rdivmod
