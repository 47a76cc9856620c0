"""Penalties on weights and outputs of layers."""

from graphkeras.regularizers.regularizers import (
    L1,
    L1L2,
    L2,
    OrthogonalRegularizer,
    Regularizer,
    l1,
    l1_l2,
    l2,
    orthogonal_regularizer,
)
from graphkeras.saving.lookup import get_object, named
from graphkeras.saving.serialization_lib import deserialize_keras_object, serialize_keras_object

_TABLE = named([L1, L2, L1L2, OrthogonalRegularizer, Regularizer], l1_l2=L1L2)


def serialize(regularizer):
    """The config of a regularizer."""
    return serialize_keras_object(regularizer)


def deserialize(config, custom_objects=None):
    """The regularizer of a config."""
    return deserialize_keras_object(config, custom_objects=custom_objects, module_objects=_TABLE)


def get(identifier):
    """A regularizer from a name, config, class or callable; None stays None."""
    return get_object("regularizer", identifier, _TABLE)


__all__ = [
    "L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer", "deserialize", "get", "l1", "l1_l2", "l2",
    "orthogonal_regularizer", "serialize",
]  # fmt: skip
