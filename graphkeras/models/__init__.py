"""Models."""

from graphkeras.models.cloning import clone_model
from graphkeras.models.functional import Functional
from graphkeras.models.model import Model, model_from_json
from graphkeras.models.sequential import Sequential

__all__ = ["Functional", "Model", "Sequential", "clone_model", "model_from_json"]
