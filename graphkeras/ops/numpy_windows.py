"""Window functions, as in `keras.ops.numpy`."""

import operator

import numpy as np

from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.trace import Tensor
from graphkeras.trace.settings import floatx


def _window(x, *cosines):
    """A symmetric window of length x: a sum of cosines with the given coefficients."""
    length = operator.index(x)
    angle = 2 * np.pi * np.arange(length) / max(length - 1, 1)
    values = sum((c * np.cos(i * angle) for i, c in enumerate(cosines)), np.zeros(length)) if length > 1 else np.ones(length)
    return Tensor(values.astype(numpy_dtype(floatx())))


def hanning(x):
    """Hanning window of `x` points.

    Example:

    >>> hanning(3).tolist()
    [0.0, 1.0, 0.0]
    """
    return _window(x, 0.5, -0.5)


def hamming(x):
    """Hamming window of `x` points.

    Example:

    >>> [round(v, 2) for v in hamming(3).tolist()]
    [0.08, 1.0, 0.08]
    """
    return _window(x, 0.54, -0.46)


def blackman(x):
    """Blackman window of `x` points.

    Example:

    >>> [abs(round(v, 2)) for v in blackman(3).tolist()]
    [0.0, 1.0, 0.0]
    """
    return _window(x, 0.42, -0.5, 0.08)


def bartlett(x):
    """Bartlett (triangular) window of `x` points.

    Example:

    >>> bartlett(3).tolist()
    [0.0, 1.0, 0.0]
    """
    return Tensor(np.bartlett(operator.index(x)).astype(numpy_dtype(floatx())))


def kaiser(x, beta):
    """Kaiser window of `x` points with shape parameter `beta`.

    Example:

    >>> kaiser(1, 5.0).tolist()
    [1.0]
    """
    return Tensor(np.kaiser(operator.index(x), float(beta)).astype(numpy_dtype(floatx())))
