"""Random numbers: every element is a function of a key and its position alone (Philox), whatever the number of threads."""

import math

import numpy as np

from graphkeras.ir.dtypes import dtype_name, is_float, is_integer, numpy_dtype
from graphkeras.ir.errors import ArgumentError, DTypeError
from graphkeras.ops.inference import normalize_axis, scalar_like
from graphkeras.ops.numpy_create import full_like
from graphkeras.ops.numpy_shape import expand_dims, resolve_shape
from graphkeras.ops.promotion import as_float, converted, operand
from graphkeras.ops.sources import filled, iota
from graphkeras.random.seed import draw_seed
from graphkeras.trace import SymbolicTensor, as_tensor, convert_to_tensor, prim
from graphkeras.trace.settings import floatx

# Random bits that fit into the significand, per dtype.
_BITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def _float_dtype(function, dtype):
    dtype = floatx() if dtype is None else dtype_name(dtype)
    if not is_float(dtype):
        raise DTypeError(
            f"`{function}` requires a floating point `dtype`.",
            got=f"dtype={dtype}",
            expected=", ".join(_BITS),
            mend="cast the result",
        )
    return dtype


def _whole(key, shape, bits):
    """Whole numbers, uniform in [0, 2**bits), as floats that hold them exactly."""
    words = prim.random_bits(key, shape=(2, *shape) if bits > 32 else shape)
    if bits <= 32:
        # Through int32, which converts faster than uint32 and holds the same numbers.
        return prim.cast(prim.cast(prim.shift_right(words, np.uint32(32 - bits)), dtype="int32"), dtype="float32")
    high, low = (prim.cast(words[i], dtype="int64") for i in range(2))
    joined = prim.bitwise_or(prim.shift_left(high, np.int64(bits - 32)), prim.shift_right(low, np.int64(64 - bits)))
    return prim.cast(joined, dtype="float64")


def _unit(key, shape, dtype):
    """Uniform floats in [0, 1), multiples of 2**-bits."""
    whole = _whole(key, shape, _BITS[dtype])
    return convert_to_tensor(prim.multiply(whole, scalar_like(2.0 ** -_BITS[dtype], whole)), dtype)


def _symmetric(key, shape, dtype):
    """Uniform floats in (-1, 1): odd multiples of 2**-bits, so that neither end nor zero appears."""
    bits = 53 if dtype == "float64" else 24
    whole = _whole(key, shape, bits)
    odd = prim.subtract(whole, scalar_like(2.0 ** (bits - 1) - 0.5, whole))
    return prim.multiply(odd, scalar_like(2.0 ** (1 - bits), whole))


def _scaled(x, scale, shift):
    return x * converted(operand(scale), x.dtype) + converted(operand(shift), x.dtype)


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Draw samples from a uniform distribution over `[minval, maxval)`.

    Args:
        shape: The shape of the random values to generate.
        minval: Lower bound (inclusive). Defaults to 0.
        maxval: Upper bound (exclusive). Defaults to 1.
        dtype: Float dtype; floatx by default.
        seed: An int (the same values at every call), a `SeedGenerator`, or `None` for the generator of the process.

    Returns:
        A tensor of random values.

    Example:

    >>> x = uniform((2, 3), seed=1)
    >>> x.shape, bool((x >= 0).numpy().all()), bool((x < 1).numpy().all())
    ((2, 3), True, True)
    """
    dtype = _float_dtype("random.uniform", dtype)
    unit = _unit(draw_seed(seed), resolve_shape(shape), dtype)
    if isinstance(minval, (int, float)) and isinstance(maxval, (int, float)):
        if (minval, maxval) == (0, 1):
            return unit
        values = _scaled(unit, maxval - minval, minval)
        # Rounding must not reach the upper bound.
        last = np.nextafter(numpy_dtype(dtype).type(maxval), numpy_dtype(dtype).type(minval))
        return prim.minimum(values, np.asarray(last)) if maxval > minval else values
    minval, maxval = (converted(operand(v), dtype) for v in (minval, maxval))
    return unit * (maxval - minval) + minval


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Draw random samples from a normal (Gaussian) distribution.

    One uniform number per element goes through the inverse of the distribution function, so values reach up to 5.4 standard
    deviations in float32 and 8.2 in float64.

    Args:
        shape: The shape of the random values to generate.
        mean: Mean. Defaults to 0.
        stddev: Standard deviation. Defaults to 1.
        dtype: Float dtype; floatx by default.
        seed: An int (the same values at every call), a `SeedGenerator`, or `None` for the generator of the process.

    Returns:
        A tensor of random values.

    Example:

    >>> normal((2, 3), seed=1).shape
    (2, 3)
    """
    dtype = _float_dtype("random.normal", dtype)
    standard = prim.erfinv(_symmetric(draw_seed(seed), resolve_shape(shape), dtype)) * math.sqrt(2)
    return _scaled(convert_to_tensor(standard, dtype), stddev, mean)


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Draw samples from a normal distribution cut off at two standard deviations from the mean.

    Args:
        shape: The shape of the random values to generate.
        mean: Mean before the cut. Defaults to 0.
        stddev: Standard deviation before the cut. Defaults to 1.
        dtype: Float dtype; floatx by default.
        seed: An int (the same values at every call), a `SeedGenerator`, or `None` for the generator of the process.

    Returns:
        A tensor of random values.

    Example:

    >>> x = truncated_normal((100,), seed=1)
    >>> bool((abs(x) <= 2).numpy().all())
    True
    """
    dtype = _float_dtype("random.truncated_normal", dtype)
    inside = _symmetric(draw_seed(seed), resolve_shape(shape), dtype) * math.erf(math.sqrt(2))
    standard = prim.erfinv(inside) * math.sqrt(2)
    standard = prim.minimum(prim.maximum(standard, scalar_like(-2, standard)), scalar_like(2, standard))
    return _scaled(convert_to_tensor(standard, dtype), stddev, mean)


def randint(shape, minval, maxval, dtype="int32", seed=None):
    """Draw random integers from a uniform distribution over `[minval, maxval)`.

    Args:
        shape: The shape of the random values to generate.
        minval: Lower bound (inclusive).
        maxval: Upper bound (exclusive), at most 2**32 above the lower one.
        dtype: Integer dtype. Defaults to "int32".
        seed: An int (the same values at every call), a `SeedGenerator`, or `None` for the generator of the process.

    Returns:
        A tensor of random integers. Their probabilities differ by less than 2**-32.

    Example:

    >>> x = randint((100,), 2, 5, seed=1)
    >>> sorted(set(x.tolist()))
    [2, 3, 4]
    """
    dtype = dtype_name(dtype)
    if not is_integer(dtype):
        raise DTypeError("`random.randint` requires an integer `dtype`.", got=f"dtype={dtype}", expected="an integer dtype")
    if isinstance(minval, (int, float)) and isinstance(maxval, (int, float)) and not 0 < int(maxval) - int(minval) <= 2**32:
        raise ArgumentError(
            "random.randint: the range is empty or too wide.", got=f"[{minval}, {maxval})", expected="1 to 2**32 integers"
        )
    low, high = (convert_to_tensor(converted(operand(v), "int64"), "int64") for v in (minval, maxval))
    words = prim.cast(prim.random_bits(draw_seed(seed), shape=resolve_shape(shape)), dtype="uint64")
    scaled = prim.shift_right(prim.multiply(words, prim.cast(high - low, dtype="uint64")), np.uint64(32))
    return prim.cast(prim.cast(scaled, dtype="int64") + low, dtype=dtype)


def dropout(inputs, rate, noise_shape=None, seed=None):
    """Sets a random share of the elements to zero and scales the others so that the expected sum is unchanged.

    Args:
        inputs: Float tensor.
        rate: Share of the elements to drop, in [0, 1].
        noise_shape: Shape of the mask, which is broadcast; `None` stands for the size of the input.
        seed: An int (the same values at every call), a `SeedGenerator`, or `None` for the generator of the process.

    Returns:
        A tensor of the same shape and dtype.

    Example:

    >>> sorted(set(dropout(as_tensor([1.0] * 50), 0.5, seed=1).tolist()))
    [0.0, 2.0]
    """
    x = as_float(inputs)
    if rate == 1:
        return full_like(x, 0)
    if rate == 0:
        return x
    key = draw_seed(seed)
    if noise_shape is None:
        return prim.dropout(x, key, rate=float(rate))
    shape = tuple(d if n is None else n for n, d in zip(resolve_shape(noise_shape), x.spec.shape, strict=True))
    return x * prim.dropout(filled(1, shape, x.dtype, like=x), key, rate=float(rate))


def shuffle(x, axis=0, seed=None):
    """Shuffle the elements of a tensor uniformly at random along an axis.

    Inside a graph the new places are found by counting, which takes time and memory in the square of the axis's size.

    Args:
        x: The tensor to be shuffled.
        axis: The axis along which to shuffle. Defaults to 0.
        seed: An int (the same values at every call), a `SeedGenerator`, or `None` for the generator of the process.

    Returns:
        A tensor of the same shape.

    Example:

    >>> sorted(shuffle(as_tensor([1, 2, 3, 4]), seed=1).tolist())
    [1, 2, 3, 4]
    """
    x = as_tensor(x)
    axis = normalize_axis("shuffle", axis, x.ndim)
    size = x.spec.shape[axis]
    bits = prim.random_bits(draw_seed(seed), shape=(size,))
    if not isinstance(bits, SymbolicTensor):
        return prim.gather(x, np.argsort(bits.array, kind="stable").astype(np.int32), axis=axis)
    place = iota((size,), 0, "int32", like=bits)
    before = prim.logical_and(
        prim.equal(expand_dims(bits, 0), expand_dims(bits, 1)), prim.less(expand_dims(place, 0), expand_dims(place, 1))
    )
    before = prim.logical_or(prim.less(expand_dims(bits, 0), expand_dims(bits, 1)), before)
    rank = prim.reduce_sum(prim.cast(before, dtype="int32"), axes=(1,), keepdims=False)
    order = prim.scatter_add(filled(0, (size,), "int32", like=bits), rank, place, axis=0)
    return prim.gather(x, order, axis=axis)


def categorical(logits, num_samples, dtype="int32", seed=None):
    """Draws samples from categorical distributions, by the largest of logits plus Gumbel noise.

    Args:
        logits: Tensor (batch, classes) of unnormalised log-probabilities.
        num_samples: Number of samples to draw for each row.
        dtype: Integer dtype of the result. Defaults to "int32".
        seed: An int (the same values at every call), a `SeedGenerator`, or `None` for the generator of the process.

    Returns:
        A tensor (batch, num_samples) of class numbers.

    Example:

    >>> categorical([[0.0, -1e9], [-1e9, 0.0]], 3, seed=1).tolist()
    [[0, 0, 0], [1, 1, 1]]
    """
    logits = as_float(logits)
    if logits.ndim != 2:
        raise ArgumentError(
            "`logits` should be a 2-D tensor with shape [batch_size, num_classes].", got=str(logits.spec), expected="rank 2"
        )
    rows, classes = logits.spec.shape
    wide = convert_to_tensor(logits, "float32") if logits.dtype in ("float16", "bfloat16") else logits
    # (1 + symmetric) / 2 lies inside (0, 1), where both logarithms are finite.
    unit = (_symmetric(draw_seed(seed), (rows, num_samples, classes), wide.dtype) + 1) * 0.5
    gumbel = -prim.log(-prim.log(unit))
    return prim.cast(prim.argmax(expand_dims(wide, 1) + gumbel, axis=2, keepdims=False), dtype=dtype_name(dtype))
