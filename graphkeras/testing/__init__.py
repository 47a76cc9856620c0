"""Generic checks: of rewrite rules, of gradients, and of everything that the op registry says."""

from graphkeras.testing.evaluate import evaluate
from graphkeras.testing.gradients import check_gradients
from graphkeras.testing.rules import check_rule

__all__ = ["check_gradients", "check_rule", "evaluate"]
