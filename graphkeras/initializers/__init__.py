"""First values of weights."""

import numpy as np

from graphkeras.initializers.constant_initializers import Constant, Identity, Ones, Zeros
from graphkeras.initializers.initializer import Initializer
from graphkeras.initializers.random_initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomInitializer,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from graphkeras.ir.errors import ShapeError
from graphkeras.saving.lookup import get_object, named
from graphkeras.saving.serialization_lib import deserialize_keras_object, serialize_keras_object
from graphkeras.trace import Tensor, Variable, convert_to_tensor

_CLASSES = [
    Initializer, Constant, Identity, Ones, Zeros, GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform,
    Orthogonal, RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling,
]  # fmt: skip
_TABLE = named(
    _CLASSES,
    normal=RandomNormal,
    uniform=RandomUniform,
    one=Ones,
    zero=Zeros,
    IdentityInitializer=Identity,
    OrthogonalInitializer=Orthogonal,
)
# Keras offers each class under these names too.
globals().update({name: cls for name, cls in _TABLE.items() if name not in ("initializer", "Initializer")})


def serialize(initializer):
    """The config of an initializer."""
    return serialize_keras_object(initializer)


def deserialize(config, custom_objects=None):
    """The initializer of a config."""
    return deserialize_keras_object(config, custom_objects=custom_objects, module_objects=_TABLE)


def get(identifier):
    """An initializer from a name, config, class, callable, or an array that holds the values; None stays None.

    >>> get("glorot_uniform").__class__.__name__
    'GlorotUniform'
    """
    if isinstance(identifier, (Tensor, Variable, np.ndarray, np.generic)):
        return _given_values(identifier)
    return get_object("initializer", identifier, _TABLE)


def _given_values(values):
    def initialize(shape, dtype=None):
        if tuple(values.shape) != tuple(shape):
            raise ShapeError(
                "Expected `shape` to equal that of the given values.",
                got=f"values of shape {tuple(values.shape)}",
                expected=f"shape {tuple(shape)}",
            )
        return convert_to_tensor(values, dtype)

    return initialize


__all__ = [*(cls.__name__ for cls in _CLASSES), "RandomInitializer", "deserialize", "get", "serialize"]
