"""Fourier transforms and complex tensors, as in `keras.ops.math` and `keras.ops.numpy`."""

import numpy as np

from graphkeras.ir.dtypes import COMPLEX, is_float, numpy_dtype
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ops import fft_records  # noqa: F401 - registers the ops
from graphkeras.ops.inference import join_dim
from graphkeras.ops.numpy_join import pad as pad_tensor
from graphkeras.ops.numpy_join import stack
from graphkeras.ops.numpy_shape import cut
from graphkeras.ops.promotion import as_float
from graphkeras.ops.sources import filled, iota
from graphkeras.trace import as_tensor, prim
from graphkeras.trace.dispatch import static_array


def _pair(name, x, rank=1):
    """The two tensors of a complex input of at least `rank` axes."""
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ArgumentError(
            "Input `x` should be a tuple of two tensors - real and imaginary.",
            got=f"{name} of {type(x).__name__}",
            expected="(real, imag)",
        )
    real, imag = as_tensor(x[0]), as_tensor(x[1])
    if real.ndim != imag.ndim or any(join_dim(a, b) is None for a, b in zip(real.spec.shape, imag.spec.shape)):
        raise ShapeError(
            f"{name}: Both the real and imaginary parts should have the same shape.",
            got=f"{real.spec}, {imag.spec}",
            expected="equal shapes",
            mend="pass (real, imag) of one signal; for a real signal imag is ops.zeros_like(real)",
        )
    _require_rank(name, real, rank)
    if not is_float(real.dtype) or not is_float(imag.dtype):
        raise ArgumentError(
            f"{name}: At least one tensor in input `x` is not of type float.",
            got=f"{real.spec}, {imag.spec}",
            expected="float tensors",
            mend="convert with ops.cast(x, 'float32')",
        )
    return real, imag


def _require_rank(name, x, least):
    if x.ndim < least:
        raise ShapeError(
            f"{name}: Input should have rank >= {least}.",
            got=str(x.spec),
            expected=f"at least {least} axes",
            mend="add axes with ops.expand_dims, or pass the whole signal instead of one element",
        )


def _require_stride(name, stride):
    if isinstance(stride, bool) or not isinstance(stride, (int, np.integer)) or stride < 1:
        raise ArgumentError(
            f"{name}: `sequence_stride` must be a positive integer.",
            got=f"sequence_stride={stride!r}",
            expected="1, 2, ...",
            mend="pass the number of elements between the beginnings of two windows",
        )


def fft(x):
    """Computes the fast Fourier transform along the last axis.

    Args:
        x: Tuple of two float tensors of one shape: real and imaginary parts.

    Returns:
        Tuple of two tensors: real and imaginary parts.

    Example:

    >>> [part.tolist() for part in fft(([1.0, 1.0], [0.0, 0.0]))]
    [[2.0, 0.0], [0.0, 0.0]]
    """
    real, imag = _pair("fft", x)
    return prim.fft(real, imag, axes=(real.ndim - 1,), inverse=False)


def fft2(x):
    """Computes the two-dimensional Fourier transform along the last two axes.

    Args:
        x: Tuple of two float tensors of one shape: real and imaginary parts.

    Returns:
        Tuple of two tensors: real and imaginary parts.

    Example:

    >>> fft2(([[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]))[0].tolist()
    [[4.0, 0.0], [0.0, 0.0]]
    """
    real, imag = _pair("fft2", x, 2)
    return prim.fft(real, imag, axes=(real.ndim - 2, real.ndim - 1), inverse=False)


def ifft2(x):
    """Computes the inverse two-dimensional Fourier transform along the last two axes.

    Args:
        x: Tuple of two float tensors of one shape: real and imaginary parts.

    Returns:
        Tuple of two tensors: real and imaginary parts.

    Example:

    >>> ifft2(([[4.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]))[0].tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    real, imag = _pair("ifft2", x, 2)
    return prim.fft(real, imag, axes=(real.ndim - 2, real.ndim - 1), inverse=True)


def rfft(x, fft_length=None):
    """Computes the Fourier transform of real sequences along the last axis.

    Args:
        x: Float tensor.
        fft_length: Length to which the sequences are cut or filled up with zeros; their own by default.

    Returns:
        Tuple of two tensors with `fft_length // 2 + 1` elements along the last axis: real and imaginary parts.

    Example:

    >>> [part.tolist() for part in rfft([1.0, 1.0, 1.0, 1.0])]
    [[4.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    x = as_float(x)
    _require_rank("rfft", x, 1)
    return prim.rfft(x, length=x.spec.shape[-1] if fft_length is None else fft_length)


def irfft(x, fft_length=None):
    """Computes real sequences from their Fourier transform along the last axis, the inverse of `rfft`.

    Args:
        x: Tuple of two float tensors of one shape: real and imaginary parts.
        fft_length: Length of the result; `2 * (size of the last axis - 1)` by default.

    Returns:
        Float tensor.

    Example:

    >>> irfft(([4.0, 0.0, 0.0], [0.0, 0.0, 0.0])).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    real, imag = _pair("irfft", x)
    return prim.irfft(real, imag, length=2 * (real.spec.shape[-1] - 1) if fft_length is None else fft_length)


def extract_sequences(x, sequence_length, sequence_stride):
    """Cuts the last axis into overlapping windows.

    Args:
        x: Input tensor (..., N).
        sequence_length: Length of the windows.
        sequence_stride: Distance between their beginnings.

    Returns:
        Tensor (..., windows, sequence_length); what does not fill a window is left out.

    Example:

    >>> extract_sequences([1, 2, 3, 4, 5], 3, 2).tolist()
    [[1, 2, 3], [3, 4, 5]]
    """
    x = as_tensor(x)
    _require_rank("extract_sequences", x, 1)
    _require_stride("extract_sequences", sequence_stride)
    return prim.gather(x, _window_places(x, sequence_length, sequence_stride), axis=x.ndim - 1)


def _window_places(x, length, stride):
    size = x.spec.shape[-1]
    count = 1 + (size - length) // stride
    if isinstance(count, int):
        count = max(count, 0)
    return iota((count, 1), 0, "int32", like=x) * np.int32(stride) + iota((1, length), 1, "int32", like=x)


def _window(window, sequence_length, fft_length, dtype):
    """The window as an array of `fft_length`, with the sequence in its middle; None where there is none."""
    if window is None:
        return None
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ArgumentError(
                'If a string is passed to `window`, it must be one of `"hann"`, `"hamming"`.', got=f"window={window!r}"
            )
        phase = (
            np.cos(2 * np.pi * np.arange(sequence_length) / sequence_length) if sequence_length > 1 else np.zeros(sequence_length)
        )
        middle, swing = (0.5, 0.5) if window == "hann" else (0.54, 0.46)
        array = middle - swing * phase if sequence_length > 1 else np.ones(sequence_length)
    else:
        array = np.asarray(static_array(window, "the window"), np.float64)
    if array.shape != (sequence_length,):
        raise ArgumentError(
            "The shape of `window` must be equal to [sequence_length].",
            got=f"window shape {array.shape}",
            expected=f"({sequence_length},)",
        )
    left = (fft_length - sequence_length) // 2
    return np.pad(array, (left, fft_length - sequence_length - left)).astype(numpy_dtype(dtype))


def stft(x, sequence_length, sequence_stride, fft_length, window="hann", center=True):
    """Short-time Fourier transform along the last axis.

    Args:
        x: Float tensor (..., N).
        sequence_length: Length of the windows.
        sequence_stride: Distance between their beginnings.
        fft_length: Length of the transforms, `sequence_length` or more.
        window: "hann", "hamming", `sequence_length` weights, or None.
        center: Whether the sequence is mirrored at both ends, so that window `t` is centred at `t * sequence_stride`.

    Returns:
        Tuple of two tensors (..., windows, fft_length // 2 + 1): real and imaginary parts.

    Example:

    >>> [part.shape for part in stft(np.ones(32, "float32"), 8, 4, 8)]
    [(9, 5), (9, 5)]
    """
    x = as_tensor(x)
    if x.dtype not in ("float32", "float64"):
        raise DTypeError("Invalid input type.", got=f"x {x.spec}", expected="`float32` or `float64`", mend="convert with ops.cast")
    if fft_length < sequence_length:
        raise ArgumentError(
            "`fft_length` must equal or larger than `sequence_length`.",
            got=f"sequence_length={sequence_length}, fft_length={fft_length}",
        )
    _require_rank("stft", x, 1)
    _require_stride("stft", sequence_stride)
    weights = _window(window, sequence_length, fft_length, x.dtype)
    if center:
        x = pad_tensor(x, [(0, 0)] * (x.ndim - 1) + [(fft_length // 2, fft_length // 2)], mode="reflect")
    frames = extract_sequences(x, fft_length, sequence_stride)
    return prim.rfft(frames if weights is None else frames * weights, length=fft_length)


def istft(x, sequence_length, sequence_stride, fft_length, length=None, window="hann", center=True):
    """Inverse of the short-time Fourier transform along the last axis.

    Args:
        x: Tuple of two float tensors (..., windows, fft_length // 2 + 1): real and imaginary parts.
        sequence_length: Length of the windows.
        sequence_stride: Distance between their beginnings.
        fft_length: Length of the transforms.
        length: Length of the result; what the windows cover by default.
        window: As for `stft`.
        center: As for `stft`.

    Returns:
        Float tensor (..., length).

    Example:

    >>> signal = np.arange(16, dtype="float32")
    >>> [round(v, 3) for v in istft(stft(signal, 8, 4, 8), 8, 4, 8).tolist()[1:4]]
    [1.0, 2.0, 3.0]
    """
    real, imag = _pair("istft", x, 2)
    _require_stride("istft", sequence_stride)
    frames = prim.irfft(real, imag, length=fft_length)
    weights = _window(window, sequence_length, fft_length, frames.dtype)
    if weights is not None:
        frames = frames * _inverse_window(weights, sequence_stride)
    # Overlapping windows are added up at their places.
    count = frames.spec.shape[-2]
    size = fft_length + sequence_stride * (count - 1)
    places = iota((count, 1), 0, "int32", like=frames) * np.int32(sequence_stride) + iota((1, fft_length), 1, "int32", like=frames)
    rows = filled(0, (*frames.spec.shape[:-2], size), frames.dtype, like=frames)
    whole = prim.scatter_add(rows, places, frames, axis=rows.ndim - 1)
    start = fft_length // 2 if center else 0
    end = start + length if length is not None else size - start
    if isinstance(end, int) and isinstance(size, int):
        end = min(end, size)
    return cut(whole, whole.ndim - 1, start, end)


def _inverse_window(window, stride):
    """The window divided by the sum of the squares of all windows at each place (Griffin and Lim 1984, equation 6)."""
    length = len(window)
    overlaps = -(-length // stride)
    squares = np.pad(np.square(window), (0, overlaps * stride - length)).reshape(overlaps, stride)
    total = np.tile(squares.sum(0, keepdims=True), (overlaps, 1)).reshape(-1)[:length]
    with np.errstate(all="ignore"):
        return (window / total).astype(window.dtype)


# ---- complex tensors ------------------------------------------------------------------------------------------------


def view_as_complex(x):
    """Converts a real tensor of shape (..., 2) to a complex tensor.

    Args:
        x: Float tensor whose last axis holds real and imaginary part.

    Returns:
        Complex tensor (...), always complex64 as in Keras.

    Example:

    >>> view_as_complex([[1.0, 2.0], [3.0, 4.0]]).tolist()
    [(1+2j), (3+4j)]
    """
    x = prim.cast(as_tensor(x), dtype="float32")
    if x.ndim < 1 or x.spec.shape[-1] != 2:
        raise ShapeError(
            "view_as_complex: Last dimension of input must be size 2 (real and imaginary).",
            got=str(x.spec),
            expected="(..., 2)",
            mend="join the parts with ops.stack((real, imag), axis=-1)",
        )
    shape = x.spec.shape[:-1]
    return prim.complex(*(prim.reshape(cut(x, x.ndim - 1, i, i + 1), shape=shape) for i in (0, 1)))


def view_as_real(x):
    """Converts a complex tensor to a real tensor of shape (..., 2).

    Args:
        x: Complex tensor (...); the imaginary part of a real one is zero.

    Returns:
        Float tensor (..., 2).

    Example:

    >>> view_as_real(np.array([1 + 2j], "complex64")).tolist()
    [[1.0, 2.0]]
    """
    return stack((real(x), imag(x)), axis=-1)


def real(x):
    """Returns the real part of a tensor, element-wise.

    Args:
        x: Input tensor.

    Returns:
        Float tensor; a real tensor itself.

    Example:

    >>> real(np.array([1 + 2j], "complex64")).tolist()
    [1.0]
    """
    x = as_tensor(x)
    return prim.real_part(x) if x.dtype in COMPLEX else x


def imag(x):
    """Returns the imaginary part of a tensor, element-wise.

    Args:
        x: Input tensor.

    Returns:
        Float tensor; zeros for a real tensor.

    Example:

    >>> imag(np.array([1 + 2j], "complex64")).tolist()
    [2.0]
    """
    x = as_tensor(x)
    return prim.imaginary_part(x) if x.dtype in COMPLEX else filled(0, x.spec.shape, x.dtype, like=x)


def conjugate(x):
    """Returns the complex conjugate, element-wise.

    Args:
        x: Input tensor.

    Returns:
        Tensor with the sign of the imaginary part changed; a real tensor itself.

    Example:

    >>> conjugate(np.array([1 + 2j], "complex64")).tolist()
    [(1-2j)]
    """
    x = as_tensor(x)
    return prim.complex(prim.real_part(x), -prim.imaginary_part(x)) if x.dtype in COMPLEX else x


def conj(x):
    """Shorthand for `conjugate`.

    Args:
        x: Input tensor.

    Returns:
        Tensor with the sign of the imaginary part changed.

    Example:

    >>> conj([1.0]).tolist()
    [1.0]
    """
    return conjugate(x)


def angle(x):
    """Returns the angle of complex numbers, element-wise.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor in (-pi, pi]: 0 for real numbers above zero, pi below.

    Example:

    >>> [round(v, 4) for v in angle([1.0, -1.0]).tolist()]
    [0.0, 3.1416]
    """
    x = as_float(x)
    return prim.arctan2(imag(x), real(x))


def polar(abs_, angle):
    """Makes complex numbers from their lengths and angles, element-wise.

    Args:
        abs_: Lengths.
        angle: Angles in radians.

    Returns:
        Complex tensor.

    Example:

    >>> polar([2.0], [0.0]).tolist()
    [(2+0j)]
    """
    length, angle = as_float(abs_), as_float(angle)
    return prim.complex(length * prim.cos(angle), length * prim.sin(angle))


__all__ = [
    "angle", "conj", "conjugate", "extract_sequences", "fft", "fft2", "ifft2", "imag", "irfft", "istft", "polar", "real", "rfft",
    "stft",
    "view_as_complex", "view_as_real",
]  # fmt: skip
