"""Resizing, and scaling with translation: along each axis every output is a weighted sum of a few inputs."""

import numpy as np

from graphkeras.ir.dims import size as size_of
from graphkeras.ir.dtypes import INTEGERS, is_float, numpy_dtype
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.core import saturate_cast
from graphkeras.ops.image.layout import Images, known_sizes, require_choice
from graphkeras.ops.matrices import matmul
from graphkeras.ops.numpy_reduce import max as reduce_max
from graphkeras.ops.numpy_reduce import min as reduce_min
from graphkeras.ops.numpy_shape import cut, moveaxis
from graphkeras.ops.promotion import promote
from graphkeras.trace import as_tensor, prim
from graphkeras.trace.dispatch import static_array

_INTERPOLATIONS = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic", "area")
_METHODS = {
    "linear": "bilinear", "bilinear": "bilinear", "trilinear": "bilinear", "cubic": "bicubic", "bicubic": "bicubic",
    "tricubic": "bicubic", "lanczos3": "lanczos3", "lanczos5": "lanczos5",
}  # fmt: skip
FEW_TAPS = 4
"""Up to this many inputs per output are gathered one by one; more are a matrix product."""


def _cubic(x):
    """Keys 1981, with a = -1/2."""
    inner = ((1.5 * x - 2.5) * x) * x + 1.0
    outer = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x >= 2.0, 0.0, np.where(x >= 1.0, outer, inner))


def _lanczos(radius):
    def kernel(x):
        safe = np.where(x > 1e-3, x, 1.0)
        value = radius * np.sin(np.pi * safe) * np.sin(np.pi * safe / radius) / (np.pi**2 * safe**2)
        return np.where(x > radius, 0.0, np.where(x > 1e-3, value, 1.0))

    return kernel


_KERNELS = {
    "bilinear": lambda x: np.maximum(0.0, 1.0 - x),
    "bicubic": _cubic,
    "lanczos3": _lanczos(3.0),
    "lanczos5": _lanczos(5.0),
}


def sampling_weights(size, new_size, scale, translation, method, antialias):
    """(size, new_size) weights of the inputs of each output; outputs beyond the input have none, all others weights of sum 1."""
    kernel_scale = max(1.0 / scale, 1.0) if antialias else 1.0
    places = (np.arange(new_size) + 0.5) / scale - translation / scale - 0.5
    weights = _KERNELS[method](np.abs(places[None, :] - np.arange(size)[:, None]) / kernel_scale)
    total = weights.sum(0, keepdims=True)
    large = np.abs(total) > 1000.0 * float(np.finfo(np.float32).eps)
    weights = np.where(large, weights / np.where(total != 0, total, 1), 0.0)
    return np.where((places >= -0.5) & (places <= size - 0.5)[None, :], weights, 0.0)


def _clamped_linear(size, new_size):
    """Linear interpolation in which the border is repeated: beyond it lies the border itself."""
    places = (np.arange(new_size) + 0.5) * (size / new_size) - 0.5
    low = np.floor(places)
    weights = np.zeros((size, new_size))
    columns = np.arange(new_size)
    np.add.at(weights, (np.clip(low, 0, size - 1).astype(int), columns), 1 - (places - low))
    np.add.at(weights, (np.clip(low + 1, 0, size - 1).astype(int), columns), places - low)
    return weights


def _areas(size, new_size):
    """The share of each input in the stretch that each output covers."""
    step = size / new_size
    begin = np.arange(new_size) * step
    cells = np.arange(size)[:, None]
    return np.clip(np.minimum(cells + 1, begin + step) - np.maximum(cells, begin), 0, None) / step


def _resize_weights(size, new_size, interpolation, antialias):
    if interpolation == "area":
        return _areas(size, new_size)
    if interpolation == "bilinear" and not antialias:
        return _clamped_linear(size, new_size)
    return sampling_weights(size, new_size, new_size / size, 0.0, interpolation, antialias)


def weighted(x, weights, axis):
    """Sums of elements along an axis with the weights (size, new size)."""
    dtype = numpy_dtype(x.dtype)
    nonzero = weights != 0
    taps = int(nonzero.sum(0).max(initial=1))
    if taps > FEW_TAPS:
        moved = moveaxis(x, axis, -1)
        size, new_size = weights.shape
        flat = prim.reshape(moved, shape=(size_of(moved.spec.shape[:-1]), size))
        product = matmul(flat, weights.astype(dtype))
        return moveaxis(prim.reshape(product, shape=(*moved.spec.shape[:-1], new_size)), -1, axis)
    # The inputs of an output, nonzero weights first; those that lack some read element 0 with weight 0.
    order = np.argsort(~nonzero, axis=0, kind="stable")[:taps]
    factors = np.take_along_axis(weights, order, 0)
    order = np.where(factors != 0, order, order[:1])
    shape = (-1, *(1,) * (x.ndim - 1 - axis))
    total = None
    for places, factor in zip(order, factors):
        part = prim.gather(x, places.astype(np.int32), axis=axis) * factor.astype(dtype).reshape(shape)
        total = part if total is None else total + part
    return total


def resize(
    images,
    size,
    interpolation="bilinear",
    antialias=False,
    crop_to_aspect_ratio=False,
    pad_to_aspect_ratio=False,
    fill_mode="constant",
    fill_value=0.0,
    data_format=None,
):
    """Resizes images.

    Args:
        images: Image of rank 3 or batch of rank 4, of known height and width.
        size: (height, width) of the result.
        interpolation: "bilinear", "nearest", "lanczos3", "lanczos5", "bicubic" or "area". The centres of the first and last pixel
            lie half a pixel inside the border.
        antialias: Whether smaller images are made from all pixels, not only from neighbours.
        crop_to_aspect_ratio: Whether to cut a centred part of the aspect ratio of `size` first.
        pad_to_aspect_ratio: Whether to fill up to the aspect ratio of `size` first.
        fill_mode: "constant".
        fill_value: What to fill up with.
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Resized images in the dtype of the input; integers are rounded and kept within its range.

    Example:

    >>> resize([[[0.0], [2.0]]], (1, 4)).tolist()
    [[[0.0], [0.5], [1.5], [2.0]]]
    """
    require_choice("interpolation", interpolation, _INTERPOLATIONS)
    require_choice("fill_mode", fill_mode, ("constant",))
    if pad_to_aspect_ratio and crop_to_aspect_ratio:
        raise ArgumentError("Only one of `pad_to_aspect_ratio` & `crop_to_aspect_ratio` can be `True`.", got="both")
    if len(size) != 2:
        raise ArgumentError("Argument `size` must be a tuple of two elements (height, width).", got=f"size={size!r}")
    frame = Images(images, data_format)
    x, size = frame.tensor, tuple(size)
    if crop_to_aspect_ratio:
        x = _cropped(x, size)
    elif pad_to_aspect_ratio:
        x = _padded(x, size, fill_value)
    old = known_sizes(x, "resize")
    if old == size:
        return frame.restored(x)
    if interpolation == "nearest":
        for axis in (0, 1):
            # As TensorFlow rounds: in float32.
            step = np.float32(old[axis]) / np.float32(size[axis])
            places = np.floor((np.arange(size[axis], dtype=np.float32) + np.float32(0.5)) * step).astype(np.int32)
            x = prim.gather(x, np.minimum(places, old[axis] - 1), axis=axis + 1)
        return frame.restored(x)
    dtype = x.dtype
    x = x if dtype in ("float32", "float64") else prim.cast(x, dtype="float32")
    # First the axis that leaves less to do for the other one.
    for axis in sorted((0, 1), key=lambda a: size[a] / old[a]):
        x = weighted(x, _resize_weights(old[axis], size[axis], interpolation, antialias), axis + 1)
    return frame.restored(x if x.dtype == dtype else saturate_cast(x if is_float(dtype) else prim.round(x), dtype))


def _aspect(x, size):
    """Height and width, and those with the aspect ratio of `size` that keep one of them."""
    height, width = known_sizes(x, "resize")
    return (
        height,
        width,
        int(np.float32(width * size[0]) / np.float32(size[1])),
        int(np.float32(height * size[1]) / np.float32(size[0])),
    )


def _cropped(x, size):
    height, width, fit_height, fit_width = _aspect(x, size)
    for axis, (old, new) in enumerate(((height, fit_height), (width, fit_width)), 1):
        new = max(min(old, new), 1)
        start = (old - new) // 2
        x = cut(x, axis, start, start + new)
    return x


def _padded(x, size, value):
    height, width, fit_height, fit_width = _aspect(x, size)
    rows, columns = (max(fit_height, height) - height) // 2, (max(fit_width, width) - width) // 2
    widths = (0, rows, columns, 0)
    return prim.pad(x, np.asarray(value, numpy_dtype(x.dtype)), low=widths, high=widths)


def scale_and_translate(images, output_shape, scale, translation, spatial_dims, method, antialias=True):
    """Scales and moves images: place `p` of the input comes to place `p * scale + translation`.

    Args:
        images: Input tensor of any rank.
        output_shape: Shape of the result.
        scale: One factor per axis of `spatial_dims`, known when the graph is built.
        translation: One distance per axis of `spatial_dims`, in pixels of the result, known when the graph is built.
        spatial_dims: The axes that are scaled.
        method: "linear", "cubic", "lanczos3" or "lanczos5" (also "bilinear", "trilinear", "bicubic", "tricubic").
        antialias: Whether smaller images are made from all pixels, not only from neighbours.

    Returns:
        Tensor of the shape; zero where there is no input. Integers are rounded and kept within their extremes.

    Example:

    >>> scale_and_translate([0.0, 1.0], (4,), [2.0], [0.0], (0,), "linear").tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    require_choice("method", method, tuple(_METHODS))
    x = as_tensor(images)
    scale, translation = (
        np.asarray(static_array(v, "the scale and the translation"), np.float64) for v in promote(scale, translation)
    )
    result = prim.cast(x, dtype="float32") if x.dtype in INTEGERS else x
    for i, axis in enumerate(spatial_dims):
        axis %= x.ndim
        size = x.spec.shape[axis].__index__()
        weights = sampling_weights(size, output_shape[axis], scale[i], translation[i], _METHODS[method], antialias)
        result = weighted(result, weights, axis)
    if x.dtype in INTEGERS and len(spatial_dims):
        low, high = (prim.cast(f(x), dtype="float32") for f in (reduce_min, reduce_max))
        result = prim.cast(prim.minimum(prim.maximum(prim.round(result), low), high), dtype=x.dtype)
    return result


__all__ = ["resize", "scale_and_translate"]
