"""Rewrites that make results more accurate near the ends of the number range.

They change how results round, so they are off unless the numeric class "rounding" is asked for: compiled and eager results stay
alike.
"""

from graphkeras.ir.dtypes import is_float
from graphkeras.passes.engine import Const, Match, Op, Var, rule


@rule(Op("log")(Op("softmax", name="softmax")(Var("x"))), numeric="rounding")
def log_of_softmax(m: Match):
    """log(softmax(x)) -> log_softmax(x): finite where the softmax would round to 0"""
    return m.make("log_softmax", m["x"], **m.nodes["softmax"].attrs)


@rule(Op("log")(Op("sigmoid")(Var("x"))), numeric="rounding")
def log_of_sigmoid(m: Match):
    """log(sigmoid(x)) -> -softplus(-x): finite where the sigmoid would round to 0"""
    return m.make("negative", m.make("softplus", m.make("negative", m["x"])))


@rule(Op("log")(Op("add")(Var("x", where=lambda v: is_float(v.dtype)), Const(1))), commutes=True, numeric="rounding")
def log_of_one_plus(m: Match):
    """log(1 + x) -> log1p(x): keeps the digits of a small x"""
    return m.make("log1p", m["x"])


@rule(Op("subtract")(Op("exp")(Var("x")), Const(1)), numeric="rounding")
def exp_minus_one(m: Match):
    """exp(x) - 1 -> expm1(x): keeps the digits of a small x"""
    return m.make("expm1", m["x"])


@rule(Op("log")(Op("reduce_sum", name="sum")(Op("exp")(Var("x")))), numeric="rounding")
def log_sum_exp(m: Match):
    """log(sum(exp(x))) -> logsumexp(x): finite where exp would overflow"""
    return m.make("logsumexp", m["x"], **m.nodes["sum"].attrs)


STABILITY = (log_of_softmax, log_of_sigmoid, log_of_one_plus, exp_minus_one, log_sum_exp)
