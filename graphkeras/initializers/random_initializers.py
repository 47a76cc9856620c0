"""Initializers that draw random numbers: the same seed and shape give the same values on every machine."""

import math
import random

import numpy as np

from graphkeras.initializers.initializer import Initializer
from graphkeras.ir.dtypes import dtype_name, is_float, numpy_dtype
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.trace import Tensor
from graphkeras.trace.settings import floatx

# Standard deviation of a standard normal distribution cut off at two standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


class RandomInitializer(Initializer):
    """Base class of random initializers.

    Args:
        seed: an int, a `SeedGenerator`, or None: a seed drawn from Python's `random`. An initializer with an int seed (also one
            that was drawn) returns the same values at every call; a `SeedGenerator` moves on.
    """

    def __init__(self, seed=None):
        self._init_seed = seed
        if seed is None:
            seed = random.randint(1, 10**9)
        elif isinstance(seed, dict):
            from graphkeras.saving.serialization_lib import deserialize_keras_object

            seed = deserialize_keras_object(seed)
        if not isinstance(seed, int) and not hasattr(seed, "next"):
            raise ArgumentError(
                "`seed` argument should be an instance of `keras.random.SeedGenerator()` or an integer.", got=f"seed={seed!r}"
            )
        self.seed = seed

    def _generator(self):
        if isinstance(self.seed, int):
            words = abs(self.seed)
        else:
            words = [int(word) for word in np.asarray(self.seed.next()).ravel()]
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))

    def get_config(self):
        from graphkeras.saving.serialization_lib import serialize_keras_object

        return {"seed": serialize_keras_object(self._init_seed)}


def _finish(values, dtype):
    name = floatx() if dtype is None else dtype_name(dtype)
    if not is_float(name):
        raise DTypeError(
            "A random initializer makes floats.", got=f"dtype {name}", expected="a float dtype", mend="use 'zeros', or a callable"
        )
    return Tensor.wrap(np.asarray(values, numpy_dtype(name)))


def _normal(generator, shape):
    return generator.standard_normal(tuple(shape), dtype=np.float32 if floatx() != "float64" else np.float64)


def _truncated(generator, shape):
    values = _normal(generator, shape)
    outside = np.abs(values) > 2
    while outside.any():
        values[outside] = generator.standard_normal(int(outside.sum()), dtype=values.dtype)
        outside = np.abs(values) > 2
    return values


class RandomNormal(RandomInitializer):
    """Normally distributed values.

    Args:
        mean: mean.
        stddev: standard deviation.
        seed: see `RandomInitializer`.
    """

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed=seed)

    def __call__(self, shape, dtype=None):
        return _finish(_normal(self._generator(), tuple(shape)) * self.stddev + self.mean, dtype)

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """Normally distributed values, those beyond two standard deviations drawn again.

    Args:
        mean: mean.
        stddev: standard deviation before the cut.
        seed: see `RandomInitializer`.
    """

    def __call__(self, shape, dtype=None):
        return _finish(_truncated(self._generator(), np.atleast_1d(tuple(shape))).reshape(shape) * self.stddev + self.mean, dtype)


class RandomUniform(RandomInitializer):
    """Uniformly distributed values in [minval, maxval).

    Args:
        minval: lower bound.
        maxval: upper bound.
        seed: see `RandomInitializer`.
    """

    def __init__(self, minval=-0.05, maxval=0.05, seed=None):
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed=seed)

    def __call__(self, shape, dtype=None):
        return _finish(self._generator().uniform(self.minval, self.maxval, tuple(shape)), dtype)

    def get_config(self):
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


class VarianceScaling(RandomInitializer):
    """Values whose variance is `scale / n`, with n the number of inputs, outputs, or their mean.

    Args:
        scale: factor of the variance, positive.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
        seed: see `RandomInitializer`.
        input_axes: axes counted as inputs; with `output_axes` this replaces the usual reading of the shape.
        output_axes: axes counted as outputs.

    Example:

    >>> VarianceScaling(seed=1)((3, 4)).shape
    (3, 4)
    """

    def __init__(self, scale=1.0, mode="fan_in", distribution="truncated_normal", seed=None, input_axes=None, output_axes=None):
        if scale <= 0.0:
            raise ArgumentError("Argument `scale` must be positive float.", got=f"scale={scale}", expected="scale > 0")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ArgumentError("Invalid `mode` argument.", got=f"mode={mode!r}", expected="'fan_in', 'fan_out' or 'fan_avg'")
        distribution = distribution.lower()
        if distribution == "normal":
            distribution = "truncated_normal"
        if distribution not in ("uniform", "truncated_normal", "untruncated_normal"):
            raise ArgumentError(
                "Invalid `distribution` argument.",
                got=f"distribution={distribution!r}",
                expected="'uniform', 'truncated_normal' or 'untruncated_normal'",
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes
        super().__init__(seed=seed)

    def __call__(self, shape, dtype=None):
        shape = tuple(shape)
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[self.mode]
        scale = self.scale / max(1.0, fan)
        generator = self._generator()
        if self.distribution == "truncated_normal":
            values = _truncated(generator, np.atleast_1d(shape)).reshape(shape) * (math.sqrt(scale) / _TRUNCATED_STDDEV)
        elif self.distribution == "untruncated_normal":
            values = _normal(generator, shape) * math.sqrt(scale)
        else:
            limit = math.sqrt(3.0 * scale)
            values = generator.uniform(-limit, limit, shape)
        return _finish(values, dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _Scaled(VarianceScaling):
    """A `VarianceScaling` with everything but seed and axes fixed by the class."""

    _fixed: tuple = ()

    def __init__(self, seed=None, input_axes=None, output_axes=None):
        super().__init__(*self._fixed, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def get_config(self):
        config = RandomInitializer.get_config(self)
        return {**config, "input_axes": self.input_axes, "output_axes": self.output_axes}


class GlorotUniform(_Scaled):
    """Glorot's uniform initializer: limits `sqrt(6 / (fan_in + fan_out))`."""

    _fixed = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Glorot's normal initializer: standard deviation `sqrt(2 / (fan_in + fan_out))`."""

    _fixed = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """He's uniform initializer: limits `sqrt(6 / fan_in)`."""

    _fixed = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """He's normal initializer: standard deviation `sqrt(2 / fan_in)`."""

    _fixed = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """LeCun's uniform initializer: limits `sqrt(3 / fan_in)`."""

    _fixed = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """LeCun's normal initializer: standard deviation `sqrt(1 / fan_in)`."""

    _fixed = (1.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """An orthogonal matrix; more axes than two are flattened into its rows.

    Args:
        gain: factor.
        seed: see `RandomInitializer`.
    """

    def __init__(self, gain=1.0, seed=None):
        self.gain = gain
        super().__init__(seed=seed)

    def __call__(self, shape, dtype=None):
        if len(shape) < 2:
            raise ShapeError(
                "The tensor to initialize must be at least two-dimensional.",
                got=f"shape={tuple(shape)} of rank {len(shape)}",
                expected="a shape of rank 2 or more",
                mend="use another initializer for vectors",
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        flat = self._generator().standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(flat)
        q *= np.sign(np.diag(r))  # makes the decomposition, and so the distribution, unique
        return _finish(self.gain * (q.T if rows < columns else q).reshape(shape), dtype)

    def get_config(self):
        return {**super().get_config(), "gain": self.gain}


def compute_fans(shape, input_axes=None, output_axes=None):
    """The numbers of inputs and outputs of a weight of this shape.

    >>> compute_fans((3, 3, 16, 32))
    (144, 288)
    """
    shape = tuple(shape)
    if input_axes is not None or output_axes is not None:
        inputs = [a % len(shape) for a in np.atleast_1d(() if input_axes is None else input_axes).astype(int)]
        outputs = [a % len(shape) for a in np.atleast_1d(() if output_axes is None else output_axes).astype(int)]
        field = math.prod(d for a, d in enumerate(shape) if a not in inputs and a not in outputs)
        return math.prod(shape[a] for a in inputs) * field, math.prod(shape[a] for a in outputs) * field
    if len(shape) < 1:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return int(shape[-2] * field), int(shape[-1] * field)
