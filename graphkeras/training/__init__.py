"""Training: the step of a model, traced and compiled, and the loop around it."""

from graphkeras.training.trainer import Trainer

__all__ = ["Trainer"]
