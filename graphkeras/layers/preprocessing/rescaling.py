"""Rescaling: `inputs * scale + offset`."""

from graphkeras import ops
from graphkeras.layers.layer import Layer
from graphkeras.saving.serialization_lib import deserialize_keras_object, serialize_keras_object


class Rescaling(Layer):
    """Computes `inputs * scale + offset`.

    Args:
        scale: factor, or a list with one per channel.
        offset: offset, or a list with one per channel.

    Example:

    >>> import numpy as np
    >>> Rescaling(1 / 255)(np.array([255], "uint8")).numpy().tolist()
    [1.0]
    """

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.supports_masking = True
        self._build_at_init()

    def call(self, inputs):
        dtype = self.compute_dtype
        return ops.cast(inputs, dtype) * ops.cast(self.scale, dtype) + ops.cast(self.offset, dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "scale": serialize_keras_object(self.scale),
            "offset": serialize_keras_object(self.offset),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("scale", "offset"):
            config[name] = deserialize_keras_object(config[name])
        return super().from_config(config)
