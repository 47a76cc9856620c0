"""Activation functions, by name or as functions."""

from graphkeras.activations.activations import (
    celu,
    elu,
    exponential,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    linear,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    swish,
    tanh,
    tanh_shrink,
    threshold,
)
from graphkeras.ir.errors import UnknownNameError
from graphkeras.saving.serialization_lib import deserialize_keras_object, serialize_keras_object

_FUNCTIONS = (
    celu, elu, exponential, gelu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh, leaky_relu, linear, log_sigmoid,
    log_softmax, mish, relu, relu6, selu, sigmoid, silu, soft_shrink, softmax, softplus, softsign, sparse_plus, sparse_sigmoid,
    sparsemax, squareplus, tanh, tanh_shrink, threshold,
)  # fmt: skip
_TABLE = {**{function.__name__: function for function in _FUNCTIONS}, "swish": silu, "hard_swish": hard_silu}


def serialize(activation):
    """The name of a built-in activation, or the config of another one."""
    if activation in _FUNCTIONS:
        return activation.__name__
    return serialize_keras_object(activation)


def deserialize(config, custom_objects=None):
    """The activation of a name or config."""
    return deserialize_keras_object(config, custom_objects=custom_objects, module_objects=_TABLE)


def get(identifier):
    """An activation from a name, a config or a callable; None gives `linear`.

    >>> get("relu").__name__, get(None).__name__
    ('relu', 'linear')
    """
    if identifier is None:
        return linear
    activation = identifier
    if isinstance(identifier, dict):
        activation = deserialize(identifier)
    elif isinstance(identifier, str):
        activation = _TABLE.get(identifier) or deserialize_keras_object(identifier)
    if callable(activation):
        return activation
    raise UnknownNameError(
        f"Could not interpret activation function identifier: {identifier}",
        got=repr(identifier),
        expected="one of " + ", ".join(sorted(_TABLE)) + "; or a callable",
        mend="check the spelling, or register a function of your own with @keras.saving.register_keras_serializable()",
    )


__all__ = [*(function.__name__ for function in _FUNCTIONS), "deserialize", "get", "hard_swish", "serialize", "swish"]
