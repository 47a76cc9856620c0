"""Masking: marks time steps to be skipped."""

from graphkeras import ops
from graphkeras.layers.layer import Layer
from graphkeras.layers.masks import set_mask


class Masking(Layer):
    """Masks the time steps whose features all equal `mask_value`, and sets them to 0.

    Args:
        mask_value: the value.

    Example:

    >>> from graphkeras.layers.masks import get_mask
    >>> get_mask(Masking()(ops.array([[[1.0], [0.0]]]))).numpy().tolist()
    [[True, False]]
    """

    def __init__(self, mask_value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.supports_masking = True
        self._build_at_init()

    def compute_mask(self, inputs, mask=None):
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs):
        keep = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        outputs = ops.multiply(inputs, ops.cast(keep, inputs.dtype))
        set_mask(outputs, ops.squeeze(keep, axis=-1))
        return outputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mask_value": self.mask_value}
