"""Layers that draw random numbers during training."""

from graphkeras import ops, random
from graphkeras.ir.errors import ArgumentError
from graphkeras.layers.input_spec import InputSpec
from graphkeras.layers.layer import Layer
from graphkeras.trace.settings import standardize_data_format


class _Noise(Layer):
    """A layer that changes its input at random while training, and hands it on otherwise."""

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.supports_masking = True

    def _seed_where(self, needed):
        if needed:
            self.seed_generator = random.SeedGenerator(self.seed)
        self._build_at_init()

    def compute_output_shape(self, input_shape):
        return input_shape


def _checked_rate(rate):
    if not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise ArgumentError(
            "Invalid value received for argument `rate`. Expected a float value between 0 and 1.",
            got=f"rate={rate!r}",
            expected="a number in [0, 1]: the share of inputs to drop",
        )
    return rate


class Dropout(_Noise):
    """Sets a share `rate` of its inputs to 0 while training, and scales the others by `1 / (1 - rate)`.

    Args:
        rate: the share, in [0, 1].
        noise_shape: shape of the random mask, with 1 (or None for the size of the input) where it is to be shared.
        seed: int, for the same masks in each run.

    Call arguments:
        inputs: tensor.
        training: whether to drop anything.

    Example:

    >>> Dropout(0.5)(ops.ones((2,)), training=False).numpy().tolist()
    [1.0, 1.0]
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = _checked_rate(rate)
        if noise_shape is not None and not (
            isinstance(noise_shape, (list, tuple)) and all(n is None or n > 0 for n in noise_shape)
        ):
            raise ArgumentError(
                "Invalid value received for argument `noise_shape`.",
                got=f"noise_shape={noise_shape!r}",
                expected="a tuple of positive integers and None",
            )
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self._seed_where(rate > 0)

    def _mask_shape(self, inputs):
        if self.noise_shape is None:
            return None
        return tuple(size if n is None else n for n, size in zip(self.noise_shape, ops.shape(inputs)))

    def call(self, inputs, training=False):
        if training and self.rate > 0:
            return random.dropout(inputs, rate=self.rate, noise_shape=self._mask_shape(inputs), seed=self.seed_generator)
        return inputs

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed, "noise_shape": self.noise_shape}


class _SpatialDropout(Dropout):
    """Dropout of whole channels."""

    _rank = 0

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(rate, seed=seed, **kwargs)
        self.input_spec = InputSpec(ndim=self._rank)

    def get_config(self):
        config = super().get_config()
        del config["noise_shape"]
        return config


class SpatialDropout1D(_SpatialDropout):
    """Drops whole channels of `(batch, steps, channels)`.

    Args:
        rate: share of channels.
        seed: int, for the same masks in each run.
    """

    _rank = 3

    def _mask_shape(self, inputs):
        shape = ops.shape(inputs)
        return (shape[0], 1, shape[2])


class _SpatialDropoutND(_SpatialDropout):
    def __init__(self, rate, data_format=None, seed=None, **kwargs):
        super().__init__(rate, seed=seed, **kwargs)
        self.data_format = standardize_data_format(data_format)

    def _mask_shape(self, inputs):
        shape = ops.shape(inputs)
        ones = (1,) * (self._rank - 2)
        if self.data_format == "channels_first":
            return (shape[0], shape[1], *ones)
        return (shape[0], *ones, shape[-1])

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}


class SpatialDropout2D(_SpatialDropoutND):
    """Drops whole feature maps of images.

    Args:
        rate: share of channels.
        data_format: "channels_last" or "channels_first".
        seed: int, for the same masks in each run.
    """

    _rank = 4


class SpatialDropout3D(_SpatialDropoutND):
    """Drops whole feature maps of volumes.

    Args:
        rate: share of channels.
        data_format: "channels_last" or "channels_first".
        seed: int, for the same masks in each run.
    """

    _rank = 5


class GaussianDropout(_Noise):
    """Multiplies its inputs by normal noise of mean 1 and standard deviation `sqrt(rate / (1 - rate))` while training.

    Args:
        rate: as of `Dropout`.
        seed: int, for the same noise in each run.
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = _checked_rate(rate)
        if rate == 1:
            raise ArgumentError("GaussianDropout: the noise has no finite deviation for rate=1.", got="rate=1", expected="rate < 1")
        self._seed_where(rate > 0)

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        stddev = (self.rate / (1.0 - self.rate)) ** 0.5
        noise = random.normal(ops.shape(inputs), mean=1.0, stddev=stddev, dtype=self.compute_dtype, seed=self.seed_generator)
        return inputs * noise

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class GaussianNoise(_Noise):
    """Adds normal noise of mean 0 while training.

    Args:
        stddev: standard deviation.
        seed: int, for the same noise in each run.
    """

    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        if not 0 <= stddev <= 1:
            raise ArgumentError(
                "Invalid value received for argument `stddev`. Expected a float value between 0 and 1.", got=f"stddev={stddev}"
            )
        self.stddev = stddev
        self._seed_where(stddev > 0)

    def call(self, inputs, training=False):
        if not training or not self.stddev:
            return inputs
        noise = random.normal(ops.shape(inputs), mean=0.0, stddev=self.stddev, dtype=self.compute_dtype, seed=self.seed_generator)
        return inputs + noise

    def get_config(self):
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class AlphaDropout(_Noise):
    """Dropout that keeps mean and variance of inputs made by SELU: dropped inputs get SELU's lower limit.

    Args:
        rate: share of inputs.
        noise_shape: as of `Dropout`.
        seed: int, for the same masks in each run.
    """

    # -scale * alpha of SELU: https://arxiv.org/abs/1706.02515, section "New dropout technique".
    _LIMIT = -1.0507009873554805 * 1.6732632423543772

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = _checked_rate(rate)
        self.noise_shape = noise_shape
        self._seed_where(rate > 0)

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        sizes = ops.shape(inputs)
        shape = sizes if self.noise_shape is None else tuple(s if n is None else n for n, s in zip(self.noise_shape, sizes))
        draws = random.uniform(shape, dtype="float32", seed=self.seed_generator)
        kept = ops.cast(ops.greater_equal(draws, self.rate), inputs.dtype)
        a = ((1 - self.rate) * (1 + self.rate * self._LIMIT**2)) ** -0.5
        b = -a * self._LIMIT * self.rate
        return a * (inputs * kept + self._LIMIT * (1 - kept)) + b

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed, "noise_shape": self.noise_shape}
