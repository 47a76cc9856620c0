"""Losses by Keras's names."""

from graphkeras.losses.loss import Loss
from graphkeras.losses.margin import CategoricalHinge, Hinge, SquaredHinge, categorical_hinge, hinge, squared_hinge
from graphkeras.losses.probabilistic import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    kl_divergence,
    poisson,
    sparse_categorical_crossentropy,
)
from graphkeras.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from graphkeras.losses.segmentation import Dice, Tversky, dice, tversky
from graphkeras.losses.wrapper import LossFunctionWrapper

_FUNCTIONS = (
    binary_crossentropy, binary_focal_crossentropy, categorical_crossentropy, categorical_focal_crossentropy,
    categorical_hinge, cosine_similarity, dice, hinge, huber, kl_divergence, log_cosh, mean_absolute_error,
    mean_absolute_percentage_error, mean_squared_error, mean_squared_logarithmic_error, poisson,
    sparse_categorical_crossentropy, squared_hinge, tversky,
)  # fmt: skip
_CLASSES = (
    Loss, LossFunctionWrapper, BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy,
    CategoricalFocalCrossentropy, CategoricalHinge, CosineSimilarity, Dice, Hinge, Huber, KLDivergence, LogCosh,
    MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError, Poisson,
    SparseCategoricalCrossentropy, SquaredHinge, Tversky,
)  # fmt: skip
_SHORT = {
    "bce": binary_crossentropy,
    "kld": kl_divergence,
    "mae": mean_absolute_error,
    "mape": mean_absolute_percentage_error,
    "mse": mean_squared_error,
    "msle": mean_squared_logarithmic_error,
}
ALL_OBJECTS = {o.__name__: o for o in (*_FUNCTIONS, *_CLASSES)}
ALL_OBJECTS.update(_SHORT)
ALL_OBJECTS.update({name.upper(): function for name, function in _SHORT.items()})


def serialize(loss):
    """The config of a loss or loss function, as plain data."""
    from graphkeras.saving import serialize_keras_object

    return serialize_keras_object(loss)


def deserialize(name, custom_objects=None):
    """A loss from its config, or a loss function from its name."""
    from graphkeras.saving import deserialize_keras_object

    return deserialize_keras_object(name, module_objects=ALL_OBJECTS, custom_objects=custom_objects)


def get(identifier):
    """A loss or loss function.

    Args:
        identifier: a name, a config, a loss, a class of losses, a callable, or None.

    Example:

    >>> get("mse").__name__, type(get("MeanSquaredError")).__name__
    ('mean_squared_error', 'MeanSquaredError')
    """
    from graphkeras.losses.lookup import resolve

    return resolve(identifier, ALL_OBJECTS, deserialize, "loss")


__all__ = ["deserialize", "get", "serialize", *(o.__name__ for o in (*_FUNCTIONS, *_CLASSES))]
