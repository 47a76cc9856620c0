"""Normalization: shifts and scales features by their mean and variance in the data."""

import math

import numpy as np

from graphkeras import ops
from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.errors import ArgumentError
from graphkeras.layers.layer import Layer
from graphkeras.trace.settings import epsilon


class Normalization(Layer):
    """Computes `(inputs - mean) / sqrt(variance)`.

    Args:
        axis: axis or axes that keep a mean and a variance of their own; None for one of each for all elements.
        mean, variance: the values; where None, `adapt` finds them.
        invert: whether to do the inverse: `inputs * sqrt(variance) + mean`.

    Example:

    >>> layer = Normalization(mean=3.0, variance=4.0)
    >>> layer(ops.array([[1.0, 5.0]])).numpy().tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        axes = () if axis is None else tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
        self.axis = axes
        self.invert = invert
        self.supports_masking = True
        if (mean is None) != (variance is None):
            raise ArgumentError(
                "When setting values directly, both `mean` and `variance` must be set.", got=f"mean={mean} and variance={variance}"
            )
        self.input_mean = mean
        self.input_variance = variance

    def build(self, input_shape):
        rank = len(input_shape)
        for axis in self.axis:
            if not -rank <= axis < rank:
                raise ArgumentError(
                    "All `axis` values must be in the range [-ndim, ndim).",
                    got=f"axis={self.axis} for an input of shape {input_shape}",
                )
        self._keep_axis = tuple(sorted(axis % rank for axis in self.axis))
        for axis in self._keep_axis:
            if input_shape[axis] is None:
                raise ArgumentError(
                    "All `axis` values to be kept must have a known shape.", got=f"axis={self.axis}, input shape {input_shape}"
                )
        self._broadcast_shape = tuple(size if axis in self._keep_axis else 1 for axis, size in enumerate(input_shape))
        self._reduce_axis = tuple(axis for axis in range(rank) if axis not in self._keep_axis)
        shape = tuple(input_shape[axis] for axis in self._keep_axis)
        self._stat_shape = shape
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
            self.adapt_variance = self.add_weight(name="variance", shape=shape, initializer="ones", trainable=False)
            self.count = self.add_weight(name="count", shape=(), dtype="int32", initializer="zeros", trainable=False)

    def adapt(self, data):
        """Computes mean and variance from data.

        Args:
            data: array, or an iterable of batches. What was learned before is forgotten.
        """
        if self.input_mean is not None:
            raise ArgumentError(
                f"Cannot `adapt` layer '{self.name}': mean and variance were given.",
                got="fixed mean and variance",
                mend="leave them out",
            )
        batches = [data] if hasattr(data, "shape") or isinstance(data, (list, tuple)) else data
        count, mean, square = 0, 0.0, 0.0
        for batch in batches:
            batch = np.asarray(batch[0] if isinstance(batch, tuple) else batch, np.float64)
            if not self.built:
                self.build(batch.shape)
            n = math.prod(batch.shape[axis] for axis in self._reduce_axis)
            batch_mean, batch_var = batch.mean(axis=self._reduce_axis), batch.var(axis=self._reduce_axis)
            # Chan, Golub and LeVeque's update of the sum of squared deviations: no cancellation, whatever the mean.
            shift = batch_mean - mean
            square = square + n * batch_var + shift**2 * (count * n / (count + n))
            mean = mean + shift * (n / (count + n))
            count += n
        if not count:
            raise ArgumentError(f"Cannot `adapt` layer '{self.name}' to no data.", got="0 elements", expected="at least one batch")
        dtype = numpy_dtype(self.variable_dtype)
        self.adapt_mean.assign(np.asarray(mean, dtype))
        self.adapt_variance.assign(np.asarray(square / count, dtype))
        self.count.assign(count)

    def _statistics(self, dtype):
        if self.input_mean is not None:
            shape = self._broadcast_shape
            values = (np.asarray(v, np.float64) for v in (self.input_mean, self.input_variance))
            return [ops.convert_to_tensor(np.broadcast_to(v, self._stat_shape).reshape(shape), dtype) for v in values]
        return [ops.cast(ops.reshape(v, self._broadcast_shape), dtype) for v in (self.adapt_mean, self.adapt_variance)]

    @property
    def mean(self):
        """The mean, in a shape that broadcasts to the inputs; the layer must be built."""
        return self._statistics(self.compute_dtype)[0]

    @property
    def variance(self):
        """The variance, in a shape that broadcasts to the inputs; the layer must be built."""
        return self._statistics(self.compute_dtype)[1]

    def call(self, inputs):
        dtype = self.compute_dtype
        inputs = ops.cast(inputs, dtype)
        mean, variance = self._statistics(dtype)
        deviation = ops.maximum(ops.sqrt(variance), epsilon())
        return inputs * deviation + mean if self.invert else (inputs - mean) / deviation

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "invert": self.invert,
            "mean": None if self.input_mean is None else np.asarray(self.input_mean).tolist(),
            "variance": None if self.input_variance is None else np.asarray(self.input_variance).tolist(),
        }
