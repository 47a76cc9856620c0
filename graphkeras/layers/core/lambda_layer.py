"""Lambda: a function as a layer."""

import types

from graphkeras.ir.errors import ArgumentError
from graphkeras.layers.call_spec import signature_of
from graphkeras.layers.layer import Layer
from graphkeras.saving.serialization_lib import deserialize_keras_object, in_safe_mode, serialize_keras_object


class Lambda(Layer):
    """Wraps a function of tensors as a layer without weights.

    Args:
        function: the function; it may take `mask` and `training`.
        output_shape: shape of the output without the batch axis, or a function of the input shape; found by tracing where None.
        mask: mask of the output, or a function of inputs and mask.
        arguments: keyword arguments for the function.

    Example:

    >>> from graphkeras import ops
    >>> Lambda(lambda x: 2 * x)(ops.ones((2,))).numpy().tolist()
    [2.0, 2.0]
    """

    def __init__(self, function, output_shape=None, mask=None, arguments=None, **kwargs):
        super().__init__(**kwargs)
        if not callable(function):
            raise ArgumentError("Lambda needs a function.", got=repr(function), expected="a callable of tensors")
        self.arguments = arguments or {}
        self.function = function
        self.mask = mask
        self._output_shape = output_shape
        self.supports_masking = mask is not None
        parameters = _parameters(function)
        self._takes_mask, self._takes_training = "mask" in parameters, "training" in parameters
        self._build_at_init()

    def call(self, inputs, mask=None, training=None):
        options = dict(self.arguments)
        if self._takes_mask:
            options["mask"] = mask
        if self._takes_training:
            options["training"] = training
        return self.function(inputs, **options)

    def compute_mask(self, inputs, mask=None):
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_shape(self, input_shape):
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self._output_shape):
            return self._output_shape(input_shape)
        return (input_shape[0], *self._output_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "function": serialize_keras_object(self.function),
            "output_shape": serialize_keras_object(self._output_shape),
            "mask": serialize_keras_object(self.mask),
            "arguments": serialize_keras_object(self.arguments),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None, safe_mode=None):
        config = dict(config)
        said = in_safe_mode() if safe_mode is None else safe_mode
        safe = said if said is not None else True
        for name in ("function", "output_shape", "mask", "arguments", "dtype"):
            if isinstance(config.get(name), dict):
                config[name] = deserialize_keras_object(config[name], custom_objects=custom_objects, safe_mode=safe)
        if isinstance(config.get("output_shape"), list):
            config["output_shape"] = tuple(config["output_shape"])
        return cls(**config)


def _parameters(function):
    if isinstance(function, types.FunctionType):
        code = function.__code__
        return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return tuple(signature_of(type(function).__call__).parameters)
