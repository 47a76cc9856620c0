"""The rewrite engine: patterns, rules and how they are applied."""

from graphkeras.passes.engine.context import NUMERIC_CLASSES, PassContext, PassReport, RuleCount
from graphkeras.passes.engine.patterns import Const, Match, OneOf, Op, Var, uniform_value
from graphkeras.passes.engine.rules import Rule, apply_rules, rule
from graphkeras.passes.engine.walk import deep_rewrite

__all__ = [
    "NUMERIC_CLASSES", "Const", "Match", "OneOf", "Op", "PassContext", "PassReport", "Rule", "RuleCount", "Var", "apply_rules",
    "deep_rewrite", "rule", "uniform_value",
]  # fmt: skip
