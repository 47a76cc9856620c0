"""Differentiation, graph to graph, and the tape and function forms of it."""

from graphkeras.autodiff import control  # noqa: F401  (its rules)
from graphkeras.autodiff.checkpoint import checkpoint
from graphkeras.autodiff.functional import grad, jvp, value_and_grad, vjp
from graphkeras.autodiff.remat import RematScope, remat
from graphkeras.autodiff.reverse import backpropagate, gradients
from graphkeras.autodiff.tape import GradientTape

__all__ = [
    "GradientTape", "RematScope", "backpropagate", "checkpoint", "grad", "gradients", "jvp", "remat", "value_and_grad", "vjp",
]  # fmt: skip
