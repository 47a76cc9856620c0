"""Initializers without chance."""

import numpy as np

from graphkeras.initializers.initializer import Initializer
from graphkeras.ir.dtypes import dtype_name, numpy_dtype
from graphkeras.ir.errors import ShapeError
from graphkeras.trace import Tensor
from graphkeras.trace.settings import floatx


def _numpy_dtype(dtype):
    return numpy_dtype(floatx() if dtype is None else dtype_name(dtype))


class Constant(Initializer):
    """Every element is `value`.

    Args:
        value: a number, or an array that broadcasts to the shape.
    """

    def __init__(self, value=0.0):
        self.value = value

    def __call__(self, shape, dtype=None):
        return Tensor.wrap(np.full(tuple(shape), np.asarray(self.value), _numpy_dtype(dtype)))

    def get_config(self):
        from graphkeras.saving.serialization_lib import serialize_keras_object

        return {"value": serialize_keras_object(self.value)}

    @classmethod
    def from_config(cls, config):
        from graphkeras.saving.serialization_lib import deserialize_keras_object

        return cls(deserialize_keras_object(config["value"]))


class Zeros(Initializer):
    """Every element is 0."""

    def __call__(self, shape, dtype=None):
        return Tensor.wrap(np.zeros(tuple(shape), _numpy_dtype(dtype)))


class Ones(Initializer):
    """Every element is 1."""

    def __call__(self, shape, dtype=None):
        return Tensor.wrap(np.ones(tuple(shape), _numpy_dtype(dtype)))


class Identity(Initializer):
    """The identity matrix, for matrices only.

    Args:
        gain: factor.
    """

    def __init__(self, gain=1.0):
        self.gain = gain

    def __call__(self, shape, dtype=None):
        if len(shape) != 2:
            raise ShapeError(
                "Identity matrix initializer can only be used for 2D matrices.",
                got=f"shape={tuple(shape)}",
                expected="a shape of rank 2",
            )
        return Tensor.wrap(np.asarray(self.gain * np.eye(*shape), _numpy_dtype(dtype)))

    def get_config(self):
        return {"gain": self.gain}
