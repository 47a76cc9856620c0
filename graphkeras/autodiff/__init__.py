"""Differentiation, graph to graph, and the tape and function forms of it."""

from graphkeras.autodiff.functional import grad, value_and_grad
from graphkeras.autodiff.reverse import backpropagate, gradients
from graphkeras.autodiff.tape import GradientTape

__all__ = ["GradientTape", "backpropagate", "grad", "gradients", "value_and_grad"]
