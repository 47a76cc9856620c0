"""Helpers around models and data, as `keras.utils` has them."""

from graphkeras.backend import clear_session, is_keras_tensor, standardize_dtype
from graphkeras.callbacks.progress_bar import Progbar
from graphkeras.config import disable_interactive_logging, enable_interactive_logging, is_interactive_logging_enabled
from graphkeras.data.packing import pack_x_y_sample_weight, unpack_x_y_sample_weight
from graphkeras.data.py_dataset import PyDataset
from graphkeras.random.seed import set_random_seed
from graphkeras.saving import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from graphkeras.utils.numerical_utils import normalize, to_categorical
from graphkeras.utils.sequence_utils import pad_sequences
from graphkeras.visualization.model_dot import model_to_dot, plot_model

Sequence = PyDataset

__all__ = [
    "CustomObjectScope", "Progbar", "PyDataset", "Sequence", "clear_session", "custom_object_scope", "deserialize_keras_object",
    "disable_interactive_logging", "enable_interactive_logging", "get_custom_objects", "get_registered_name",
    "get_registered_object", "is_interactive_logging_enabled", "is_keras_tensor", "model_to_dot", "normalize",
    "pack_x_y_sample_weight", "pad_sequences", "plot_model", "register_keras_serializable", "serialize_keras_object",
    "set_random_seed", "standardize_dtype", "to_categorical", "unpack_x_y_sample_weight",
]  # fmt: skip
