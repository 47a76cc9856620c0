"""Installs Python's operators on tensors, symbolic tensors and variables."""

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import is_integer
from graphkeras.ops import arithmetic
from graphkeras.ops.arithmetic import compared, logical, promoted
from graphkeras.ops.getitem import getitem
from graphkeras.ops.numpy_linear import matmul
from graphkeras.trace import Tensor, apply, as_tensor, is_tensor
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


def _install(name, function):
    def forward(self, other):
        return function(self, _plain(other)) if _takes(other) else NotImplemented

    def backward(self, other):
        return function(_plain(other), self) if _takes(other) else NotImplemented

    _define(f"__{name}__", forward)
    _define(f"__r{name}__", backward)


def _define(name, function):
    function.__name__ = name
    function.__qualname__ = f"TensorBase.{name}"
    setattr(TensorBase, name, function)


def _install_comparison(name, op):
    def compare(self, other):
        return compared(op, self, _plain(other)) if _takes(other) else NotImplemented

    _define(f"__{name}__", compare)


def _bits(name):
    """`&`, `|`, `^`: bit by bit for two integers, logical otherwise."""

    def call(x1, x2):
        x1, x2 = as_tensor(x1), as_tensor(x2)
        return (
            promoted(f"bitwise_{name}", x1, x2)
            if is_integer(x1.dtype) and is_integer(x2.dtype)
            else logical(f"logical_{name}", x1, x2)
        )

    return call


for _name, _function in (
    ("add", arithmetic.add),
    ("sub", arithmetic.subtract),
    ("mul", arithmetic.multiply),
    ("truediv", arithmetic.divide),
    ("floordiv", arithmetic.floor_divide),
    ("mod", arithmetic.mod),
    ("pow", arithmetic.power),
    ("matmul", matmul),
    ("and", _bits("and")),
    ("or", _bits("or")),
    ("xor", _bits("xor")),
    ("divmod", lambda x, y: (arithmetic.floor_divide(x, y), arithmetic.mod(x, y))),
):
    _install(_name, _function)
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
    return (
        apply("bitwise_not", x)
        if is_integer(x.dtype)
        else apply("logical_not", x if x.dtype == "bool" else apply("cast", x, dtype="bool"))
    )


def _round(self, ndigits=None):
    from graphkeras.ops.numpy_unary import round

    return round(self, decimals=ndigits or 0)


def _reshape(self, newshape):
    """The elements in another shape; one size may be -1."""
    from graphkeras.ops.numpy_shape import reshape

    return reshape(self, newshape)


def _squeeze(self, axis=None):
    """Without axes of size 1."""
    from graphkeras.ops.numpy_shape import squeeze

    return squeeze(self, axis)


_define("__neg__", _negative)
_define("__pos__", lambda self: as_tensor(self))
_define("__abs__", _absolute)
_define("__invert__", _invert)
_define("__round__", _round)
_define("__getitem__", getitem)
_define("reshape", _reshape)
_define("squeeze", _squeeze)
