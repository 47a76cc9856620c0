"""Window functions, as in `keras.ops.numpy`."""

import numpy as np

from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.errors import ArgumentError
from graphkeras.trace import Tensor
from graphkeras.trace.dispatch import static_array
from graphkeras.trace.settings import floatx


def _length(x):
    """A number of points: an int, or a scalar tensor or array of whole value."""
    value = np.asarray(static_array(x, "the number of points"))
    if value.ndim or value.dtype == bool or value != np.trunc(value) or value < 0:
        raise ArgumentError(
            "A window has a whole number of points.",
            got=f"x={x!r}",
            expected="an int >= 0",
            mend="pass the number of points, e.g. ops.hanning(32)",
        )
    return int(value)


def _window(x, *cosines):
    """A symmetric window of length x: a sum of cosines with the given coefficients."""
    length = _length(x)
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
    return Tensor(np.bartlett(_length(x)).astype(numpy_dtype(floatx())))


def kaiser(x, beta):
    """Kaiser window of `x` points with shape parameter `beta`.

    Example:

    >>> kaiser(1, 5.0).tolist()
    [1.0]
    """
    return Tensor(np.kaiser(_length(x), float(beta)).astype(numpy_dtype(floatx())))
