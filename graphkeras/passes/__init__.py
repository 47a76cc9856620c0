"""Graph to graph: rules, passes, and the pipelines made of them."""

from graphkeras.passes.engine import Const, Match, OneOf, Op, PassContext, PassReport, Rule, Var, apply_rules, rule
from graphkeras.passes.pipeline import JOINT, POST_GRAD, PRE_GRAD, SIMPLIFY, Pass, Repeat, rules_pass, run

__all__ = [
    "JOINT", "POST_GRAD", "PRE_GRAD", "SIMPLIFY", "Const", "Match", "OneOf", "Op", "Pass", "PassContext", "PassReport", "Repeat",
    "Rule", "Var", "apply_rules", "rule", "rules_pass", "run",
]  # fmt: skip
