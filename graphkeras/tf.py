"""The TensorFlow names that the book's chapters 2, 3 and 7 use, as aliases: `import graphkeras.tf as tf`.

Everything else raises an AttributeError that names what to use instead. This is no TensorFlow: it lets notebooks run with only
their import lines changed.
"""

import graphkeras as keras
from graphkeras import ops as _ops
from graphkeras import random as _random
from graphkeras.autodiff import GradientTape
from graphkeras.data import AUTOTUNE as _AUTOTUNE
from graphkeras.data import Dataset as _Dataset
from graphkeras.runtime.function import function
from graphkeras.trace import Tensor
from graphkeras.trace import Variable as _Variable
from graphkeras.trace.dispatch import convert_to_tensor as _convert

bfloat16, float16, float32, float64 = "bfloat16", "float16", "float32", "float64"
int8, int16, int32, int64 = "int8", "int16", "int32", "int64"
uint8, uint16, uint32, uint64 = "uint8", "uint16", "uint32", "uint64"
bool = "bool"

abs, add, argmax, argmin, cast, concat = _ops.abs, _ops.add, _ops.argmax, _ops.argmin, _ops.cast, _ops.concatenate
convert_to_tensor, divide, equal, exp, expand_dims = _ops.convert_to_tensor, _ops.divide, _ops.equal, _ops.exp, _ops.expand_dims
matmul, maximum, minimum, multiply, ones, ones_like = (
    _ops.matmul, _ops.maximum, _ops.minimum, _ops.multiply, _ops.ones, _ops.ones_like,
)  # fmt: skip
reduce_max, reduce_mean, reduce_min, reduce_prod, reduce_sum = _ops.max, _ops.mean, _ops.min, _ops.prod, _ops.sum
reshape, shape, sigmoid, sqrt, square, squeeze = _ops.reshape, _ops.shape, _ops.sigmoid, _ops.sqrt, _ops.square, _ops.squeeze
stack, subtract, tanh, tensordot, transpose, where = (
    _ops.stack, _ops.subtract, _ops.tanh, _ops.tensordot, _ops.transpose, _ops.where,
)  # fmt: skip
zeros, zeros_like = _ops.zeros, _ops.zeros_like


class Variable(_Variable):
    """`graphkeras.Variable` with TensorFlow's name for its first argument.

    Example:

    >>> v = Variable(initial_value=[1.0, 2.0])
    >>> v.assign_add([1.0, 1.0]).tolist()
    [2.0, 3.0]
    """

    def __init__(self, initial_value, trainable=True, name=None, dtype=None, shape=None):
        value = initial_value() if callable(initial_value) and not isinstance(initial_value, (_Variable, Tensor)) else initial_value
        super().__init__(_convert(value), shape=shape, dtype=dtype, trainable=trainable, name=name)


def constant(value, dtype=None, shape=None):
    """A tensor of fixed numbers, reshaped or repeated to `shape`.

    Example:

    >>> constant(1.0, shape=(2,)).tolist()
    [1.0, 1.0]
    """
    tensor = _convert(value, dtype)
    if shape is None:
        return tensor
    return _ops.broadcast_to(tensor, shape) if not tensor.ndim else _ops.reshape(tensor, shape)


def one_hot(indices, depth, axis=-1, dtype=None):
    """`ops.one_hot` with TensorFlow's name for the number of classes.

    Example:

    >>> one_hot([1], depth=3).tolist()
    [[0.0, 1.0, 0.0]]
    """
    return _ops.one_hot(indices, num_classes=depth, axis=axis, dtype=dtype)


# Names of TensorFlow that have another name here.
_ELSEWHERE = {
    "clip_by_value": "ops.clip", "gather": "ops.take", "keras.backend": "backend", "range": "ops.arange", "reduce_all": "ops.all",
    "reduce_any": "ops.any", "reduce_std": "ops.std", "reduce_variance": "ops.var", "pow": "ops.power", "fill": "ops.full",
    "identity": "ops.copy", "while_loop": "ops.while_loop", "map_fn": "ops.map", "newaxis": "None", "stop_gradient":
    "ops.stop_gradient", "rank": "ops.ndim", "boolean_mask": "ops.nonzero and ops.take", "logical_and": "ops.logical_and",
    "math.reduce_std": "ops.std", "random.set_seed": "utils.set_random_seed", "nn.conv2d": "ops.conv",
    "nn.sigmoid_cross_entropy_with_logits": "ops.binary_crossentropy(from_logits=True)",
    "nn.softmax_cross_entropy_with_logits": "ops.categorical_crossentropy(from_logits=True)",
    "nn.sparse_softmax_cross_entropy_with_logits": "ops.sparse_categorical_crossentropy(from_logits=True)",
}  # fmt: skip


def _missing(name, last):
    found = _ELSEWHERE.get(name) or _ELSEWHERE.get(last)
    if found is None:
        found = next((f"{m}.{last}" for m, where in (("ops", _ops), ("random", _random)) if hasattr(where, last)), None)
    hint = f"use {found} of graphkeras" if found else "see graphkeras.ops for what there is"
    return AttributeError(f"tf.{name} is not provided; {hint}")


class _Namespace:
    """A part of TensorFlow's names, such as `tf.math`."""

    def __init__(self, name, **members):
        self._name = name
        vars(self).update(members)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise _missing(f"{self._name}.{name}", name)

    def __repr__(self):
        return f"<graphkeras.tf.{self._name}>"


data = _Namespace("data", Dataset=_Dataset, AUTOTUNE=_AUTOTUNE)
random = _Namespace("random", normal=_random.normal, uniform=_random.uniform)
nn = _Namespace("nn", relu=_ops.relu, sigmoid=_ops.sigmoid, softmax=_ops.softmax, tanh=_ops.tanh)
math = _Namespace(
    "math",
    abs=abs, add=add, argmax=argmax, argmin=argmin, divide=divide, equal=equal, exp=exp, log=_ops.log, maximum=maximum,
    minimum=minimum, multiply=multiply, reduce_max=reduce_max, reduce_mean=reduce_mean, reduce_min=reduce_min,
    reduce_prod=reduce_prod, reduce_sum=reduce_sum, sigmoid=sigmoid, sqrt=sqrt, square=square, subtract=subtract, tanh=tanh,
)  # fmt: skip

__all__ = [
    "GradientTape", "Tensor", "Variable", "abs", "add", "argmax", "argmin", "bfloat16", "bool", "cast", "concat", "constant",
    "convert_to_tensor", "data", "divide", "equal", "exp", "expand_dims", "float16", "float32", "float64", "function", "int16",
    "int32", "int64", "int8", "keras", "math", "matmul", "maximum", "minimum", "multiply", "nn", "one_hot", "ones", "ones_like",
    "random", "reduce_max", "reduce_mean", "reduce_min", "reduce_prod", "reduce_sum", "reshape", "shape", "sigmoid", "sqrt",
    "square", "squeeze", "stack", "subtract", "tanh", "tensordot", "transpose", "uint16", "uint32", "uint64", "uint8", "where",
    "zeros", "zeros_like",
]  # fmt: skip


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise _missing(name, name)
