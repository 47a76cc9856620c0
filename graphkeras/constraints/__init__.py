"""Rules that weights obey after each update."""

from graphkeras.constraints.constraints import (
    Constraint,
    MaxNorm,
    MinMaxNorm,
    NonNeg,
    UnitNorm,
    max_norm,
    min_max_norm,
    non_neg,
    unit_norm,
)
from graphkeras.saving.lookup import get_object, named
from graphkeras.saving.serialization_lib import deserialize_keras_object, serialize_keras_object

_TABLE = named([Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm])


def serialize(constraint):
    """The config of a constraint."""
    return serialize_keras_object(constraint)


def deserialize(config, custom_objects=None):
    """The constraint of a config."""
    return deserialize_keras_object(config, custom_objects=custom_objects, module_objects=_TABLE)


def get(identifier):
    """A constraint from a name, config, class or callable; None stays None."""
    return get_object("constraint", identifier, _TABLE)


__all__ = [
    "Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "deserialize", "get", "max_norm", "min_max_norm", "non_neg",
    "serialize", "unit_norm",
]  # fmt: skip
