"""Layers."""

from graphkeras.layers.activations.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from graphkeras.layers.core.dense import Dense
from graphkeras.layers.core.identity import Identity
from graphkeras.layers.core.input_layer import Input, InputLayer
from graphkeras.layers.core.lambda_layer import Lambda
from graphkeras.layers.core.masking import Masking
from graphkeras.layers.input_spec import InputSpec
from graphkeras.layers.layer import Layer
from graphkeras.layers.merging.concatenate import Concatenate, concatenate
from graphkeras.layers.merging.dot import Dot, dot
from graphkeras.layers.merging.merging import (
    Add,
    Average,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    maximum,
    minimum,
    multiply,
    subtract,
)
from graphkeras.layers.normalization.unit_normalization import UnitNormalization
from graphkeras.layers.preprocessing.normalization import Normalization
from graphkeras.layers.preprocessing.rescaling import Rescaling
from graphkeras.layers.regularization.activity_regularization import ActivityRegularization
from graphkeras.layers.regularization.dropout import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from graphkeras.layers.reshaping.reshaping import Flatten, Permute, RepeatVector, Reshape


def serialize(layer):
    """The config of a layer."""
    from graphkeras.saving import serialize_keras_object

    return serialize_keras_object(layer)


def deserialize(config, custom_objects=None):
    """The layer of a config."""
    from graphkeras.saving import deserialize_keras_object

    return deserialize_keras_object(config, custom_objects=custom_objects)


__all__ = [
    "ELU", "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average", "Concatenate", "Dense", "Dot", "Dropout",
    "Flatten", "GaussianDropout", "GaussianNoise", "Identity", "Input", "InputLayer", "InputSpec", "Lambda", "Layer", "LeakyReLU",
    "Masking", "Maximum", "Minimum", "Multiply", "Normalization", "PReLU", "Permute", "ReLU", "RepeatVector", "Rescaling",
    "Reshape", "Softmax", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Subtract", "UnitNormalization", "add",
    "average", "concatenate", "deserialize", "dot", "maximum", "minimum", "multiply", "serialize", "subtract",
]  # fmt: skip
