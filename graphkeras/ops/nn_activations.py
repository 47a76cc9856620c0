"""Activation functions, as in `keras.ops.nn`."""

import math as _math
import warnings

from graphkeras.ir.dims import Dim
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.inference import normalize_axes, normalize_axis, scalar_like
from graphkeras.ops.logits import remember_logits
from graphkeras.ops.numpy_binary import clip
from graphkeras.ops.numpy_join import split
from graphkeras.ops.promotion import as_float
from graphkeras.trace import as_tensor, prim


def relu(x):
    """Rectified linear unit activation function: `max(x, 0)`.

    Args:
        x: Input tensor.

    Returns:
        A tensor with the same shape as `x`; NaN stays NaN.

    Example:

    >>> relu([-1.0, 0.0, 2.0]).tolist()
    [0.0, 0.0, 2.0]
    """
    return prim.relu(as_tensor(x))


def relu6(x):
    """Rectified linear unit activation function with upper bound of 6.

    Args:
        x: Input tensor.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> relu6([-3.0, 3.0, 8.0]).tolist()
    [0.0, 3.0, 6.0]
    """
    x = relu(x)
    return prim.minimum(x, scalar_like(6, x))


def sigmoid(x):
    """Sigmoid activation function: `1 / (1 + exp(-x))`.

    Args:
        x: Input tensor.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> sigmoid([0.0]).tolist()
    [0.5]
    """
    x = as_float(x)
    return remember_logits(prim.sigmoid(x), x)


def sparse_sigmoid(x):
    """Sparse sigmoid: 0 below -1, 1 above 1, `(x + 1) / 2` between.

    Example:

    >>> sparse_sigmoid([-6.0, 0.0, 6.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    x = as_float(x)
    zero, one = scalar_like(0, x), scalar_like(1, x)
    return prim.select(x <= -1, zero, prim.select(x >= 1, one, 0.5 * (x + 1)))


def tanh_shrink(x):
    """`x - tanh(x)`, element-wise.

    Example:

    >>> tanh_shrink([0.0]).tolist()
    [0.0]
    """
    x = as_float(x)
    return x - prim.tanh(x)


def softplus(x):
    """Softplus activation function: `log(exp(x) + 1)`.

    Args:
        x: Input tensor.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> [round(v, 4) for v in softplus([0.0, 50.0]).tolist()]
    [0.6931, 50.0]
    """
    return prim.softplus(as_float(x))


def softsign(x):
    """Softsign activation function: `x / (abs(x) + 1)`.

    Args:
        x: Input tensor.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> softsign([-1.0, 3.0]).tolist()
    [-0.5, 0.75]
    """
    x = as_float(x)
    return x / (prim.absolute(x) + 1)


def soft_shrink(x, threshold=0.5):
    """Soft shrink: moves elements towards zero by `threshold`, to zero inside it.

    Example:

    >>> soft_shrink([-1.0, 0.2, 1.0]).tolist()
    [-0.5, 0.0, 0.5]
    """
    x = as_float(x)
    return prim.select(x > threshold, x - threshold, prim.select(x < -threshold, x + threshold, scalar_like(0, x)))


def hard_shrink(x, threshold=0.5):
    """Hard shrink: zero where `abs(x) <= threshold`.

    Example:

    >>> hard_shrink([-1.0, 0.2, 1.0]).tolist()
    [-1.0, 0.0, 1.0]
    """
    x = as_float(x)
    return prim.select(prim.absolute(x) > threshold, x, scalar_like(0, x))


def threshold(x, threshold, default_value):
    """`x` where it is above `threshold`, `default_value` elsewhere.

    Example:

    >>> threshold([-1.0, 0.5, 2.0], 0.0, 9.0).tolist()
    [9.0, 0.5, 2.0]
    """
    x = as_tensor(x)
    return prim.select(x > threshold, x, scalar_like(default_value, x))


def sparse_plus(x):
    """Sparse plus: 0 below -1, `x` above 1, `(x + 1)**2 / 4` between.

    Example:

    >>> sparse_plus([-1.0, 0.0, 1.0]).tolist()
    [0.0, 0.25, 1.0]
    """
    x = as_float(x)
    return prim.select(x <= -1, scalar_like(0, x), prim.select(x < 1, 0.25 * prim.square(x + 1), x))


def squareplus(x, b=4):
    """Squareplus activation function: `(x + sqrt(x**2 + b)) / 2`.

    Example:

    >>> squareplus([0.0]).tolist()
    [1.0]
    """
    x = as_float(x)
    return (x + prim.sqrt(prim.square(x) + b)) / 2


def silu(x):
    """Sigmoid linear unit activation function, also known as swish: `x * sigmoid(x)`.

    Args:
        x: Input tensor.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> silu([0.0]).tolist()
    [0.0]
    """
    x = as_float(x)
    return x * prim.sigmoid(x)


def swish(x):
    """Alias for `silu`.

    Example:

    >>> swish([0.0]).tolist()
    [0.0]
    """
    return silu(x)


def log_sigmoid(x):
    """Logarithm of the sigmoid activation function.

    Args:
        x: Input tensor.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> round(log_sigmoid(0.0).item(), 4)
    -0.6931
    """
    return -prim.softplus(-as_float(x))


def leaky_relu(x, negative_slope=0.2):
    """Leaky version of a rectified linear unit: `x` above zero, `negative_slope * x` below.

    Args:
        x: Input tensor.
        negative_slope: Slope of the activation function at x < 0. Defaults to 0.2.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> leaky_relu([-1.0, 1.0], 0.5).tolist()
    [-0.5, 1.0]
    """
    x = as_float(x)
    return prim.select(prim.greater(x, scalar_like(0, x)), x, x * negative_slope)


def hard_sigmoid(x):
    """Hard sigmoid activation function: 0 below -3, 1 above 3, `x / 6 + 0.5` between.

    Args:
        x: Input tensor.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> hard_sigmoid([-3.0, 0.0, 3.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    return relu6(as_float(x) + 3) / 6


def hard_silu(x):
    """Hard SiLU activation function: `x * hard_sigmoid(x)`.

    Args:
        x: Input tensor.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> hard_silu([0.0, 3.0]).tolist()
    [0.0, 3.0]
    """
    x = as_float(x)
    return x * hard_sigmoid(x)


def hard_swish(x):
    """Alias for `hard_silu`.

    Example:

    >>> hard_swish([3.0]).tolist()
    [3.0]
    """
    return hard_silu(x)


def hard_tanh(x):
    """HardTanh activation function: `x` limited to [-1, 1].

    Example:

    >>> hard_tanh([-2.0, 0.5, 2.0]).tolist()
    [-1.0, 0.5, 1.0]
    """
    return clip(as_float(x), -1.0, 1.0)


def elu(x, alpha=1.0):
    """Exponential linear unit: `x` above zero, `alpha * (exp(x) - 1)` below.

    Args:
        x: Input tensor.
        alpha: Scale of the negative part. Defaults to 1.0.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> elu([0.0, 2.0]).tolist()
    [0.0, 2.0]
    """
    x = as_float(x)
    zero = scalar_like(0, x)
    below = prim.expm1(prim.minimum(x, zero))
    return prim.select(prim.greater(x, zero), x, below if alpha == 1 else below * alpha)


def selu(x):
    """Scaled exponential linear unit (Klambauer et al., 2017): `scale * elu(x, alpha)` with fixed scale and alpha.

    Args:
        x: Input tensor.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> round(selu(1.0).item(), 4)
    1.0507
    """
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


def celu(x, alpha=1.0):
    """Continuously differentiable exponential linear unit: `max(x, 0) + alpha * (exp(min(x, 0) / alpha) - 1)`.

    Example:

    >>> celu([0.0, 2.0]).tolist()
    [0.0, 2.0]
    """
    x = as_float(x)
    zero = scalar_like(0, x)
    return prim.maximum(x, zero) + alpha * prim.expm1(prim.minimum(x, zero) / alpha)


def gelu(x, approximate=True):
    """Gaussian error linear unit (Hendrycks and Gimpel, 2016): `x * P(X <= x)` for a standard normal X.

    Args:
        x: Input tensor.
        approximate: Whether to use the approximation through tanh. Defaults to `True`.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> [round(v, 4) for v in gelu([-1.0, 1.0]).tolist()]
    [-0.1588, 0.8412]
    """
    x = as_float(x)
    if approximate:
        inner = _math.sqrt(2 / _math.pi) * (x + 0.044715 * (x * x * x))
        return 0.5 * x * (1 + prim.tanh(inner))
    return 0.5 * x * (1 + prim.erf(x * _math.sqrt(0.5)))


def glu(x, axis=-1):
    """Gated linear unit: the first half of an axis times the sigmoid of the second.

    Args:
        x: Input tensor.
        axis: The axis to halve. Defaults to -1.

    Returns:
        A tensor whose axis has half the size.

    Example:

    >>> glu([2.0, 0.0]).tolist()
    [1.0]
    """
    x = as_float(x)
    size = x.spec.shape[normalize_axis("glu", axis, x.ndim)]
    if not isinstance(size, Dim) and size % 2:
        raise ArgumentError("axis size must be divisible by 2.", got=f"{x.spec}, axis={axis}", expected="an even size")
    value, gate = split(x, 2, axis)
    return value * prim.sigmoid(gate)


def softmax(x, axis=-1):
    """Softmax activation function: positive elements that sum to 1 along an axis.

    Args:
        x: Input tensor.
        axis: Axis or axes along which it is normalised; all for `None`. Defaults to -1.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
    """
    x = as_float(x)
    axes = normalize_axes("softmax", axis, x.ndim)
    if isinstance(axis, int) and x.spec.shape[axis] == 1:
        warnings.warn(
            f"You are using a softmax over axis {axis} of a tensor of shape {x.shape}. This axis has size 1. The softmax operation "
            "will always return the value 1, which is likely not what you intended. Did you mean to use a sigmoid instead?",
            stacklevel=2,
        )
    y = prim.softmax(x, axes=axes)
    return remember_logits(y, x) if axes == (x.ndim - 1,) else y


def log_softmax(x, axis=-1):
    """Logarithm of the softmax, without loss of precision.

    Args:
        x: Input tensor.
        axis: Axis or axes along which it is normalised; all for `None`. Defaults to -1.

    Returns:
        A tensor with the same shape as `x`.

    Example:

    >>> [round(v, 4) for v in log_softmax([0.0, 0.0]).tolist()]
    [-0.6931, -0.6931]
    """
    x = as_float(x)
    return prim.log_softmax(x, axes=normalize_axes("log_softmax", axis, x.ndim))
