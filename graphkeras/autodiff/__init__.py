"""Differentiation, graph to graph, and the tape and function forms of it."""

from graphkeras.autodiff import control  # noqa: F401  (its rules)
from graphkeras.autodiff.functional import grad, jvp, value_and_grad, vjp
from graphkeras.autodiff.reverse import backpropagate, gradients
from graphkeras.autodiff.tape import GradientTape

__all__ = ["GradientTape", "backpropagate", "grad", "gradients", "jvp", "value_and_grad", "vjp"]
