"""Elastic transforms: pixels moved by smooth random distances."""

from graphkeras.ir.dtypes import is_float
from graphkeras.ops.image.layout import Images, known_sizes, require_choice
from graphkeras.ops.image.sampling import displaced
from graphkeras.ops.image.windows import gaussian_blur
from graphkeras.ops.numpy_shape import cut
from graphkeras.trace import prim


def elastic_transform(
    images, alpha=20.0, sigma=5.0, interpolation="bilinear", fill_mode="reflect", fill_value=0.0, seed=None, data_format=None
):
    """Moves pixels by smooth random distances (Simard et al. 2003).

    Args:
        images: Image of rank 3 or batch of rank 4, of known height and width.
        alpha: How far pixels move, as a factor.
        sigma: Standard deviation of the blur that makes the distances smooth, in pixels.
        interpolation: "bilinear" or "nearest".
        fill_mode: What lies beyond the border: "constant" (`fill_value`), "nearest", "wrap" or "reflect".
        fill_value: Value of what lies beyond.
        seed: An int (the same distances at every call), a `SeedGenerator`, or `None` for the generator of the process.
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Images of the same shape and dtype. Distances along height and width are drawn apart; all channels of an image share them.

    Example:

    >>> import numpy as np
    >>> elastic_transform(np.ones((4, 4, 1), "float32"), seed=1)[0, 0].tolist()
    [1.0]
    """
    from graphkeras.random import normal

    require_choice("interpolation", interpolation, ("nearest", "bilinear"))
    require_choice("fill_mode", fill_mode, ("constant", "nearest", "wrap", "reflect"))
    frame = Images(images, data_format)
    x = frame.tensor
    height, width = known_sizes(x, "elastic_transform")
    count = x.spec.shape[0]
    size = 6 * int(sigma) | 1
    dtype = x.dtype if is_float(x.dtype) else "float32"
    noise = normal((count, height, width, 2), stddev=sigma, dtype=dtype, seed=seed)
    moves = gaussian_blur(noise, (size, size), (sigma, sigma), "channels_last") * float(alpha)
    dx, dy = (prim.reshape(cut(moves, 3, i, i + 1), shape=(count, height, width)) for i in range(2))
    return frame.restored(displaced(x, dx, dy, interpolation, fill_mode, fill_value))


__all__ = ["elastic_transform"]
