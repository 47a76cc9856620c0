"""Algebra of elementwise ops: identities that keep every bit, or all but the sign of a zero. One improves the rounding."""

import numpy as np

from graphkeras.ir.dtypes import FLOATS, INTEGERS, SIGNED, is_float, is_integer, numpy_dtype
from graphkeras.ir.node import Value
from graphkeras.passes.engine import Const, Match, Op, Var, rule

_SIGNIFICANT_BITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
_IDEMPOTENT = ("relu", "absolute", "floor", "ceil", "round", "sign")
_NEVER_NEGATIVE = ("absolute", "exp", "relu", "sigmoid", "softplus", "sqrt", "square")


def _float(value: Value) -> bool:
    return is_float(value.dtype)


@rule(Op("add")(Var("x"), Const(0)), commutes=True, numeric="sign_of_zero")
def add_zero(m: Match):
    """x + 0 -> x"""
    return m["x"]


@rule(Op("subtract")(Var("x"), Const(0)), numeric="sign_of_zero")
def subtract_zero(m: Match):
    """x - 0 -> x"""
    return m["x"]


@rule(Op("subtract")(Const(0), Var("x")), numeric="sign_of_zero")
def subtract_from_zero(m: Match):
    """0 - x -> -x"""
    return m.make("negative", m["x"])


@rule(Op("multiply")(Var("x"), Const(1)), commutes=True, numeric="exact")
def multiply_one(m: Match):
    """x * 1 -> x"""
    return m["x"]


@rule(Op("multiply")(Var("x"), Const(-1)), commutes=True, numeric="exact")
def multiply_minus_one(m: Match):
    """x * -1 -> -x"""
    return m.make("negative", m["x"])


@rule(Op("divide")(Var("x"), Const(1)), numeric="exact")
def divide_one(m: Match):
    """x / 1 -> x"""
    return m["x"]


@rule(Op("power")(Var("x"), Const(1)), numeric="keras")
def power_one(m: Match):
    """x ** 1 -> x, which is the power rounded correctly"""
    return m["x"]


@rule(Op("floor_divide")(Var("x", where=lambda v: is_integer(v.dtype)), Const(1)), numeric="exact")
def floor_divide_one(m: Match):
    """x // 1 -> x for integers"""
    return m["x"]


@rule(Op("power")(Var("x"), Const(2)), numeric="keras")
def power_two(m: Match):
    """x ** 2 -> square(x), which is the power rounded correctly, and what TensorFlow's graph optimizer does"""
    return m.make("square", m["x"])


def _exact_reciprocal(number) -> bool:
    dtype = number.dtype
    if dtype.kind not in "fV" or not np.isfinite(number):
        return False
    value, tiny = float(number), 2.0**-120 if dtype.itemsize > 2 else 2.0**-14
    return abs(np.frexp(value)[0]) == 0.5 and tiny <= abs(value) <= 1 / tiny


@rule(Op("divide")(Var("x"), Const(name="c", where=_exact_reciprocal)), numeric="exact")
def divide_by_power_of_two(m: Match):
    """x / c -> x * (1 / c) where c is a power of two: both are exact scalings, and a product is cheaper"""
    c = m.number("c")
    return m.make("multiply", m["x"], np.asarray(1 / float(c)).astype(c.dtype))


@rule(Op("negative")(Op("negative")(Var("x"))), numeric="exact")
def double_negative(m: Match):
    """-(-x) -> x"""
    return m["x"]


@rule(Op("logical_not")(Op("logical_not")(Var("x"))), numeric="exact")
def double_not(m: Match):
    """not not x -> x"""
    return m["x"]


@rule(Op("bitwise_not")(Op("bitwise_not")(Var("x"))), numeric="exact")
def double_bitwise_not(m: Match):
    """~~x -> x"""
    return m["x"]


@rule(Op("add")(Var("x"), Op("negative")(Var("y"))), commutes=True, numeric="exact")
def add_negative(m: Match):
    """x + (-y) -> x - y"""
    return m.make("subtract", m["x"], m["y"])


@rule(Op("subtract")(Var("x"), Op("negative")(Var("y"))), numeric="exact")
def subtract_negative(m: Match):
    """x - (-y) -> x + y"""
    return m.make("add", m["x"], m["y"])


@rule(Op("multiply", "divide")(Op("negative")(Var("x")), Op("negative")(Var("y"))), numeric="exact")
def negatives_cancel(m: Match):
    """(-x) * (-y) -> x * y, (-x) / (-y) -> x / y"""
    return m.make(m.node.op, m["x"], m["y"])


@rule(Op(*_IDEMPOTENT)(Op(*_IDEMPOTENT, name="inner")(Var("x"))), numeric="exact")
def idempotent(m: Match):
    """f(f(x)) -> f(x) for relu, absolute, floor, ceil, round and sign"""
    return Value(m.nodes["inner"]) if m.nodes["inner"].op == m.node.op else None


@rule(Op("relu")(Op(*_NEVER_NEGATIVE, name="inner")), numeric="exact")
def relu_of_nonnegative(m: Match):
    """relu(x) -> x where x is the result of an op that is never negative"""
    # The square of an integer may wrap to a negative number, and so may absolute(-128).
    return m.node.inputs[0] if _float(m.node.inputs[0]) else None


@rule(Op("maximum", "minimum", "logical_and", "logical_or", "bitwise_and", "bitwise_or")(Var("x"), Var("x")), numeric="exact")
def same_twice(m: Match):
    """maximum(x, x) -> x, and the like"""
    return m["x"]


@rule(Op("select")(Var("condition"), Var("x"), Var("x")), numeric="exact")
def select_same(m: Match):
    """select(c, x, x) -> x"""
    return m["x"]


@rule(Op("select")(Const(name="condition"), Var("x"), Var("y")), numeric="exact")
def select_constant(m: Match):
    """select(true, x, y) -> x, broadcast where y or the condition made it larger; select(false, x, y) -> y"""
    chosen = m["x"] if m.number("condition") else m["y"]
    return chosen if chosen.shape == m.node.specs[0].shape else m.make("broadcast_to", chosen, shape=m.node.specs[0].shape)


@rule(Op("select")(Op("logical_not")(Var("condition")), Var("x"), Var("y")), numeric="exact")
def select_not(m: Match):
    """select(not c, x, y) -> select(c, y, x)"""
    return m.make("select", m["condition"], m["y"], m["x"])


@rule(Op("cast")(Var("x")), numeric="exact")
def cast_to_same(m: Match):
    """cast(x, its own dtype) -> x"""
    return m["x"]


def cast_is_exact(source: str, target: str) -> bool:
    """True where every value of `source` is a value of `target`."""
    if source == target or source == "bool":
        return True
    if source in INTEGERS and target in INTEGERS:
        a, b = np.iinfo(numpy_dtype(source)), np.iinfo(numpy_dtype(target))
        return b.min <= a.min and a.max <= b.max
    if source in INTEGERS and target in FLOATS:
        bits = 8 * numpy_dtype(source).itemsize - (source in SIGNED)
        # float16 ends at 65504, before the 16-bit integers do.
        return bits <= _SIGNIFICANT_BITS[target]
    if source in FLOATS and target in FLOATS:
        return (source, target) in {("float16", "float32"), ("bfloat16", "float32")} or target == "float64"
    return False


@rule(Op("cast")(Op("cast", name="inner")(Var("x"))), numeric="exact")
def cast_chain(m: Match):
    """cast(cast(x, a), b) -> cast(x, b) where the first cast loses nothing"""
    x, between, target = m["x"], m.nodes["inner"].attrs["dtype"], m.node.attrs["dtype"]
    # Integers wrap around, but what a float outside the range of an integer becomes is the processor's choice.
    may_leave_range = is_float(between) and is_integer(target) and x.dtype != "bool"
    return m.make("cast", x, dtype=target) if cast_is_exact(x.dtype, between) and not may_leave_range else None


@rule(Op("identity")(Var("x")), numeric="exact")
def identity_is_nothing(m: Match):
    """identity(x) -> x"""
    return m["x"]


ALGEBRA = (
    add_zero, subtract_zero, subtract_from_zero, multiply_one, multiply_minus_one, divide_one, power_one, floor_divide_one, power_two,
    divide_by_power_of_two, double_negative, double_not, double_bitwise_not, add_negative, subtract_negative, negatives_cancel,
    idempotent, relu_of_nonnegative, same_twice, select_same, select_constant, select_not, cast_to_same, cast_chain,
    identity_is_nothing,
)  # fmt: skip
