"""Colour spaces of images."""

import numpy as np

from graphkeras.ir.dtypes import is_float, numpy_dtype
from graphkeras.ir.errors import ArgumentError, DTypeError
from graphkeras.ops.image.layout import Images
from graphkeras.ops.inference import scalar_like
from graphkeras.ops.numpy_shape import cut
from graphkeras.ops.promotion import result_type
from graphkeras.trace import prim

_GREY = (0.2989, 0.5870, 0.1140)


def rgb_to_grayscale(images, data_format=None):
    """Converts RGB images to grey ones, with one channel.

    Args:
        images: Image of rank 3 or batch of rank 4, with 3 channels (or 1: then they are grey already).
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Images with one channel: 0.2989 R + 0.5870 G + 0.1140 B, in the dtype of the input.

    Example:

    >>> rgb_to_grayscale([[[1.0, 0.0, 0.0]]]).tolist()
    [[[0.2989000082015991]]]
    """
    frame = Images(images, data_format)
    x = frame.tensor
    channels = x.spec.shape[-1]
    if channels not in (1, 3):
        raise ArgumentError(
            "Invalid channel size: expected 3 (RGB) or 1 (Grayscale).", got=f"images {x.spec}", expected="1 or 3 channels"
        )
    if channels == 1:
        return frame.restored(x)
    wide = prim.cast(x, dtype=result_type(x.dtype, float))
    parts = [cut(wide, 3, i, i + 1) * np.asarray(weight, numpy_dtype(wide.dtype)) for i, weight in enumerate(_GREY)]
    return frame.restored(prim.cast(parts[0] + parts[1] + parts[2], dtype=x.dtype))


def _float_channels(images, data_format):
    frame = Images(images, data_format)
    x = frame.tensor
    if not is_float(x.dtype):
        raise DTypeError(
            "Invalid images dtype: expected float dtype.",
            got=f"images {x.spec}",
            expected="a float dtype",
            mend="cast and scale the images to [0, 1]",
        )
    if x.spec.shape[-1] != 3:
        raise ArgumentError("Invalid channel size: expected 3.", got=f"images {x.spec}", expected="3 channels")
    return frame, x, [cut(x, 3, i, i + 1) for i in range(3)]


def rgb_to_hsv(images, data_format=None):
    """Converts RGB images to hue, saturation and value.

    Args:
        images: Float image of rank 3 or batch of rank 4, with values in [0, 1].
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Images of the same shape, all channels in [0, 1]; hue and saturation are 0 where there are none.

    Example:

    >>> rgb_to_hsv([[[0.0, 1.0, 0.0]]]).tolist()
    [[[0.3333333432674408, 1.0, 1.0]]]
    """
    frame, x, (r, g, b) = _float_channels(images, data_format)
    number = lambda v: scalar_like(v, x)
    value = prim.maximum(prim.maximum(r, g), b)
    span = value - prim.minimum(prim.minimum(r, g), b)
    grey, black = prim.equal(span, number(0)), prim.less_equal(value, number(0))
    saturation = prim.select(black, number(0), span / prim.select(black, number(1), value))
    step = number(1 / 6) / prim.select(grey, number(1), span)
    hue = prim.select(
        prim.equal(r, value),
        step * (g - b),
        prim.select(prim.equal(g, value), step * (b - r) + number(2 / 6), step * (r - g) + number(4 / 6)),
    )
    hue = prim.select(grey, number(0), hue)
    hue = prim.select(prim.less(hue, number(0)), hue + number(1), hue)
    return frame.restored(prim.concatenate(hue, saturation, value, axis=3))


def hsv_to_rgb(images, data_format=None):
    """Converts images of hue, saturation and value to RGB.

    Args:
        images: Float image of rank 3 or batch of rank 4, with values in [0, 1].
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Images of the same shape.

    Example:

    >>> hsv_to_rgb([[[0.0, 1.0, 1.0]]]).tolist()
    [[[1.0, 0.0, 0.0]]]
    """
    frame, x, (hue, saturation, value) = _float_channels(images, data_format)
    number = lambda v: scalar_like(v, x)
    clipped = lambda v: prim.minimum(prim.maximum(v, number(0)), number(1))
    sixth = hue * number(6)
    channels = (
        clipped(prim.absolute(sixth - number(3)) - number(1)),
        clipped(number(2) - prim.absolute(sixth - number(2))),
        clipped(number(2) - prim.absolute(sixth - number(4))),
    )
    rest = number(1) - saturation
    return frame.restored(prim.concatenate(*((rest + saturation * c) * value for c in channels), axis=3))


__all__ = ["hsv_to_rgb", "rgb_to_grayscale", "rgb_to_hsv"]
