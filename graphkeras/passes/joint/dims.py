"""Arithmetic on sizes: integer ops on `dim` nodes become one `dim` node of a polynomial."""

import numpy as np

from graphkeras.ir.dims import Dim, dim_max
from graphkeras.ir.node import Value
from graphkeras.passes.engine import Match, Op, Var, rule
from graphkeras.passes.engine.patterns import constant_value, uniform_value


def size_of(value: Value):
    """The size (int or Dim) that an i32 scalar stands for, or None."""
    if value.shape or value.dtype != "int32":
        return None
    if value.node.op == "dim":
        return value.node.attrs["size"]
    number = uniform_value(value)
    return None if number is None else int(number)


_ARITHMETIC = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "floor_divide": lambda a, b: a // b if isinstance(b, int) and b > 0 else None,
    "remainder": lambda a, b: a % b if isinstance(b, int) and b > 0 else None,
    "maximum": dim_max,
}


def _is_size(node) -> bool:
    return not node.specs[0].shape and node.specs[0].dtype == "int32"


@rule(Op(*_ARITHMETIC, where=_is_size)(Var("a"), Var("b")), numeric="exact")
def arithmetic_on_sizes(m: Match):
    """dim(b) + 1 -> dim(b + 1), and so on for - * // % and maximum"""
    a, b = size_of(m["a"]), size_of(m["b"])
    if a is None or b is None or not (isinstance(a, Dim) or isinstance(b, Dim)):
        return None
    size = _ARITHMETIC[m.node.op](a, b)
    return None if size is None else m.make("dim", size=size)


@rule(Op("dim"), numeric="exact")
def dim_known_now(m: Match):
    """dim(3) -> 3"""
    size = m.node.attrs["size"]
    return None if isinstance(size, Dim) else constant_value(np.asarray(size, np.int32))


DIMS = (arithmetic_on_sizes, dim_known_now)
