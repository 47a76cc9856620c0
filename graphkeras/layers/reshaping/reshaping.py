"""Flatten, Reshape, Permute, RepeatVector."""

import math

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.layers.input_spec import InputSpec
from graphkeras.layers.layer import Layer
from graphkeras.trace.settings import standardize_data_format


class Flatten(Layer):
    """All axes but the batch axis become one.

    Args:
        data_format: "channels_last" or "channels_first": with the latter, channels are moved last before.

    Example:

    >>> Flatten()(ops.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)
        self._build_at_init()

    def call(self, inputs):
        shape = ops.shape(inputs)
        rank = len(shape)
        if self.data_format == "channels_first" and rank > 1:
            inputs = ops.transpose(inputs, axes=(0, *range(2, rank), 1))
        return ops.reshape(inputs, (shape[0], math.prod(shape[1:])))

    def compute_output_shape(self, input_shape):
        rest = input_shape[1:]
        return (input_shape[0], None if None in rest else math.prod(rest))

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(Layer):
    """Gives its input another shape.

    Args:
        target_shape: shape without the batch axis; one size may be -1.
    """

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        target_shape = tuple(target_shape)
        if sum(size == -1 for size in target_shape) > 1:
            raise ArgumentError(
                "The `target_shape` argument must not contain more than one `-1` value.", got=f"target_shape={target_shape}"
            )
        self.target_shape = target_shape
        self._build_at_init()

    def call(self, inputs):
        shape = ops.shape(inputs)
        if -1 in self.target_shape and shape[0] != 0:
            return ops.reshape(inputs, (shape[0], *self._resolved(shape[1:])))
        return ops.reshape(inputs, (shape[0], *self.target_shape))

    def _resolved(self, sizes):
        """The target with its -1 worked out from the sizes without the batch axis."""
        if -1 not in self.target_shape:
            return self.target_shape
        total, known = math.prod(sizes), math.prod(size for size in self.target_shape if size != -1)
        rest = total // known if known else 0
        if isinstance(total, int) and rest * known != total:
            raise ShapeError(
                f"Reshape '{self.name}': the total size of the tensor must be unchanged.",
                got=f"input sizes {tuple(sizes)} ({total} elements)",
                expected=f"a multiple of {known} elements for target_shape={self.target_shape}",
                mend="change target_shape so that its product divides the number of elements",
            )
        return tuple(rest if size == -1 else size for size in self.target_shape)

    def compute_output_shape(self, input_shape):
        if None in input_shape[1:]:
            return (input_shape[0], *(None if size == -1 else size for size in self.target_shape))
        return (input_shape[0], *self._resolved(input_shape[1:]))

    def get_config(self):
        return {"target_shape": self.target_shape, **super().get_config()}


class Permute(Layer):
    """Permutes the axes.

    Args:
        dims: the new order; axes are counted from 1, without the batch axis.
    """

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(
                "Invalid permutation argument `dims` for Permute Layer. The set of indices in `dims` must be consecutive and start "
                "from 1.",
                got=f"dims={dims}",
                expected="a permutation such as (2, 1)",
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)
        self._build_at_init()

    def call(self, inputs):
        return ops.transpose(inputs, axes=(0, *self.dims))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))

    def get_config(self):
        return {"dims": self.dims, **super().get_config()}


class RepeatVector(Layer):
    """Repeats its input n times along a new axis: `(batch, features)` becomes `(batch, n, features)`.

    Args:
        n: number of repetitions.
    """

    def __init__(self, n, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(n, int):
            raise DTypeError(f"Expected an integer value for `n`, got {type(n)}.", got=f"n={n!r}", expected="an integer")
        self.n = n
        self.input_spec = InputSpec(ndim=2)
        self._build_at_init()

    def call(self, inputs):
        shape = ops.shape(inputs)
        return ops.broadcast_to(ops.expand_dims(inputs, axis=1), (shape[0], self.n, shape[1]))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.n, input_shape[1])

    def get_config(self):
        return {"n": self.n, **super().get_config()}
