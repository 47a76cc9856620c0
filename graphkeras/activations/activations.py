"""Activation functions."""

from graphkeras import ops


def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """Rectified linear unit: `max(x, 0)`, with the options below.

    Args:
        x: tensor.
        negative_slope: slope below the threshold.
        max_value: upper bound, or None.
        threshold: values below it are damped: `negative_slope * (x - threshold)`.

    Example:

    >>> relu(ops.array([-1.0, 0.5, 9.0]), max_value=6.0).numpy().tolist()
    [0.0, 0.5, 6.0]
    """
    if negative_slope == 0.0 and threshold == 0.0:
        if max_value is None:
            return ops.relu(x)
        return ops.clip(x, 0.0, max_value) if max_value else ops.zeros_like(x)
    x = ops.convert_to_tensor(x)
    positive = ops.where(ops.greater(x, threshold), x, ops.zeros_like(x)) if threshold else ops.relu(x)
    if max_value is not None:
        positive = ops.clip(positive, 0.0, max_value)
    return positive - negative_slope * ops.relu(threshold - x) if negative_slope else positive


def leaky_relu(x, negative_slope=0.2):
    """`x` where positive, else `negative_slope * x`."""
    return ops.leaky_relu(x, negative_slope=negative_slope)


def relu6(x):
    """`min(max(x, 0), 6)`."""
    return ops.relu6(x)


def softmax(x, axis=-1):
    """Probabilities along an axis: positive, with sum 1.

    Args:
        x: tensor.
        axis: axis or axes to normalise over.
    """
    return ops.softmax(x, axis=axis)


def log_softmax(x, axis=-1):
    """Logarithm of the softmax."""
    return ops.log_softmax(x, axis=axis)


def elu(x, alpha=1.0):
    """`x` where positive, else `alpha * (exp(x) - 1)`."""
    return ops.elu(x, alpha=alpha)


def selu(x):
    """Scaled ELU: the scale and alpha that keep mean 0 and variance 1 through layers."""
    return ops.selu(x)


def celu(x, alpha=1.0):
    """`max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))`."""
    return ops.celu(x, alpha=alpha)


def glu(x, axis=-1):
    """Gated linear unit: one half of the axis times the sigmoid of the other."""
    return ops.glu(x, axis=axis)


def softplus(x):
    """`log(1 + exp(x))`."""
    return ops.softplus(x)


def softsign(x):
    """`x / (1 + abs(x))`."""
    return ops.softsign(x)


def soft_shrink(x, threshold=0.5):
    """`x` moved towards 0 by `threshold`, and 0 within it."""
    return ops.soft_shrink(x, threshold=threshold)


def hard_shrink(x, threshold=0.5):
    """`x` where its absolute value exceeds `threshold`, else 0."""
    return ops.hard_shrink(x, threshold=threshold)


def tanh_shrink(x):
    """`x - tanh(x)`."""
    return ops.tanh_shrink(x)


def threshold(x, threshold, default_value):
    """`x` where it exceeds `threshold`, else `default_value`."""
    return ops.threshold(x, threshold=threshold, default_value=default_value)


def sparse_plus(x):
    """0 below -1, `(x + 1) ** 2 / 4` up to 1, then `x`."""
    return ops.sparse_plus(x)


def sparse_sigmoid(x):
    """0 below -1, `(x + 1) / 2` up to 1, then 1."""
    return ops.sparse_sigmoid(x)


def sparsemax(x, axis=-1):
    """The point of the probability simplex nearest to `x`: like softmax, with exact zeros.

    Every pair of entries along the axis is compared, so time and memory grow with the square of its size. From
    https://arxiv.org/abs/1602.02068, algorithm 1, with counts in place of the sort.
    """
    x = ops.moveaxis(ops.convert_to_tensor(x), axis, -1)
    at_least = ops.cast(ops.greater_equal(ops.expand_dims(x, -2), ops.expand_dims(x, -1)), x.dtype)
    rank = ops.sum(at_least, axis=-1)
    total = ops.sum(at_least * ops.expand_dims(x, -2), axis=-1)
    support = ops.cast(ops.greater(1.0 + rank * x, total), x.dtype)
    threshold = (ops.sum(support * x, axis=-1, keepdims=True) - 1.0) / ops.sum(support, axis=-1, keepdims=True)
    return ops.moveaxis(ops.relu(x - threshold), -1, axis)


def silu(x):
    """`x * sigmoid(x)`, also known as swish."""
    return ops.silu(x)


def squareplus(x, b=4):
    """`(x + sqrt(x ** 2 + b)) / 2`."""
    return ops.squareplus(x, b=b)


def gelu(x, approximate=False):
    """`x` times the normal distribution function of x; `approximate` uses tanh."""
    return ops.gelu(x, approximate=approximate)


def mish(x):
    """`x * tanh(softplus(x))`."""
    return x * ops.tanh(ops.softplus(x))


def tanh(x):
    """Hyperbolic tangent."""
    return ops.tanh(x)


def hard_tanh(x):
    """`x` cut off at -1 and 1."""
    return ops.hard_tanh(x)


def sigmoid(x):
    """`1 / (1 + exp(-x))`."""
    return ops.sigmoid(x)


def hard_sigmoid(x):
    """`x / 6 + 0.5` cut off at 0 and 1."""
    return ops.hard_sigmoid(x)


def log_sigmoid(x):
    """Logarithm of the sigmoid."""
    return ops.log_sigmoid(x)


def hard_silu(x):
    """`x * hard_sigmoid(x)`, also known as hard swish."""
    return ops.hard_silu(x)


def exponential(x):
    """`exp(x)`."""
    return ops.exp(x)


def linear(x):
    """`x` itself."""
    return x


swish = silu
hard_swish = hard_silu
