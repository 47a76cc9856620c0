"""Optimizers by Keras's names."""

from graphkeras.ir.errors import ArgumentError
from graphkeras.optimizers import schedules
from graphkeras.optimizers.adam import Adam, AdamW, Lamb, Nadam
from graphkeras.optimizers.adaptive import Adadelta, Adagrad, Ftrl, RMSprop
from graphkeras.optimizers.gradient_descent import SGD
from graphkeras.optimizers.optimizer import Optimizer
from graphkeras.optimizers.sign_and_norm import Adafactor, Adamax, Lion

_CLASSES = (Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, Nadam, Optimizer, RMSprop, SGD)
ALL_OBJECTS = {c.__name__.lower(): c for c in _CLASSES}


def serialize(optimizer):
    """The config of an optimizer, as plain data."""
    from graphkeras.saving import serialize_keras_object

    return serialize_keras_object(optimizer)


def deserialize(config, custom_objects=None):
    """An optimizer from its config; names of classes are read without regard to case."""
    from graphkeras.saving import deserialize_keras_object

    if config["class_name"].lower() in ALL_OBJECTS:
        config = {**config, "class_name": config["class_name"].lower()}
    return deserialize_keras_object(config, module_objects=ALL_OBJECTS, custom_objects=custom_objects)


def get(identifier):
    """An optimizer.

    Args:
        identifier: a name, a config, an optimizer, or None.

    Example:

    >>> type(get("RMSprop")).__name__
    'RMSprop'
    """
    from graphkeras.losses.lookup import unknown_name

    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, dict):
        found = deserialize(identifier)
    elif isinstance(identifier, str):
        known = ALL_OBJECTS.get(identifier.lower())
        if known is None:
            from graphkeras.saving import get_registered_object

            known = get_registered_object(identifier)
        if known is None:
            raise unknown_name("optimizer", identifier, {c.__name__: c for c in _CLASSES})
        found = known()
    else:
        found = identifier
    if isinstance(found, Optimizer):
        return found
    raise ArgumentError(
        f"Could not interpret optimizer identifier: {identifier}",
        got=f"{identifier!r} of type {type(identifier).__name__}",
        expected="a name, a config or an Optimizer",
    )


__all__ = ["deserialize", "get", "schedules", "serialize", *(c.__name__ for c in _CLASSES)]
