"""Learning rate schedules by Keras's names."""

from graphkeras.optimizers.schedules.cosine import CosineDecay, CosineDecayRestarts
from graphkeras.optimizers.schedules.decays import (
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
from graphkeras.optimizers.schedules.schedule import LearningRateSchedule

_CLASSES = (
    CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, LearningRateSchedule, PiecewiseConstantDecay,
    PolynomialDecay,
)  # fmt: skip
ALL_OBJECTS = {c.__name__: c for c in _CLASSES}


def serialize(learning_rate_schedule):
    """The config of a schedule, as plain data."""
    from graphkeras.saving import serialize_keras_object

    return serialize_keras_object(learning_rate_schedule)


def deserialize(config, custom_objects=None):
    """A schedule from its config."""
    from graphkeras.saving import deserialize_keras_object

    return deserialize_keras_object(config, module_objects=ALL_OBJECTS, custom_objects=custom_objects)


__all__ = ["deserialize", "serialize", *(c.__name__ for c in _CLASSES)]
