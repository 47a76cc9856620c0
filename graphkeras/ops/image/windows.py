"""Functions of neighbourhoods of pixels: patches, blur, edges, similarity; and cutting and filling at the border."""

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import is_float, numpy_dtype
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ops.image.layout import Images, require_choice
from graphkeras.ops.inference import scalar_like
from graphkeras.ops.numpy_join import pad as pad_tensor
from graphkeras.ops.numpy_join import stack
from graphkeras.ops.numpy_reduce import mean
from graphkeras.ops.numpy_shape import cut, moveaxis
from graphkeras.ops.promotion import result_type
from graphkeras.trace import as_tensor, prim


def _per_axis(name, value, count):
    values = (value,) * count if isinstance(value, int) else tuple(value)
    if len(values) != count or any(v < 1 for v in values):
        raise ArgumentError(f"Invalid `{name}` argument.", got=f"{name}={value!r}", expected=f"a positive int or {count} of them")
    return values


def _patches(images, size, strides, dilation_rate, padding, data_format, spatial):
    require_choice("padding", padding, ("valid", "same"))
    size = _per_axis("size", size, spatial)
    strides = size if not strides else _per_axis("strides", strides, spatial)
    dilation = _per_axis("dilation_rate", dilation_rate, spatial)
    frame = Images(images, data_format, spatial)
    x = frame.tensor
    for axis in reversed(range(spatial)):
        x = _windows(x, axis + 1, size[axis], strides[axis], dilation[axis], padding)
    # (N, places, window, places, window, ..., C) -> (N, places ..., windows x C)
    places, windows = range(1, 2 * spatial, 2), range(2, 2 * spatial + 1, 2)
    x = prim.transpose(x, perm=(0, *places, *windows, 2 * spatial + 1))
    depth = x.spec.shape[-1]
    for n in size:
        depth = n * depth
    return frame.restored(prim.reshape(x, shape=(*x.spec.shape[: spatial + 1], depth)))


def _windows(x, axis, window, stride, dilation, padding):
    """The axis as two: places of the window, and elements in it."""
    size, extent = x.spec.shape[axis], (window - 1) * dilation + 1
    low = 0
    if padding == "same":
        if isinstance(size, Dim):
            raise ShapeError(
                "extract_patches: padding 'same' needs sizes known when the graph is built.",
                got=str(x.spec),
                expected="fixed sizes",
            )
        count = -(-size // stride)
        total = max((count - 1) * stride + extent - size, 0)
        low = total // 2
        if total:
            widths = lambda n: tuple(n if a == axis else 0 for a in range(x.ndim))
            x = prim.pad(x, scalar_like(0, x), low=widths(low), high=widths(total - low))
            size = size + total
    count = (size - extent) // stride + 1
    if isinstance(count, Dim):
        raise ShapeError("extract_patches: needs sizes known when the graph is built.", got=str(x.spec), expected="fixed sizes")
    places = np.arange(max(count, 0))[:, None] * stride + np.arange(window)[None, :] * dilation
    return prim.gather(x, places.astype(np.int32), axis=axis)


def extract_patches(images, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Cuts images (or volumes) into patches.

    Args:
        images: Image of rank 3 or batch of rank 4; with a `size` of three numbers, a volume of rank 4 or batch of rank 5.
        size: Patch size, an int or (height, width) or (depth, height, width).
        strides: Distances between patches; `size` by default.
        dilation_rate: Distance between pixels of a patch.
        padding: "valid", or "same", which fills up with zeros.
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Tensor whose channels hold the pixels of a patch, row by row, channels innermost.

    Example:

    >>> extract_patches(np.arange(4.0, dtype="float32").reshape(2, 2, 1), 2).tolist()
    [[[0.0, 1.0, 2.0, 3.0]]]
    """
    spatial = 3 if not isinstance(size, int) and len(size) == 3 else 2
    return _patches(images, size, strides, dilation_rate, padding, data_format, spatial)


def extract_patches_3d(volumes, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Cuts volumes into patches.

    Args:
        volumes: Volume of rank 4 or batch of rank 5.
        size: Patch size, an int or (depth, height, width).
        strides: Distances between patches; `size` by default.
        dilation_rate: Distance between voxels of a patch.
        padding: "valid", or "same", which fills up with zeros.
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Tensor whose channels hold the voxels of a patch.

    Example:

    >>> extract_patches_3d(np.ones((2, 2, 2, 1), "float32"), 2).shape
    (1, 1, 1, 8)
    """
    return _patches(volumes, size, strides, dilation_rate, padding, data_format, 3)


# ---- filters --------------------------------------------------------------------------------------------------------


def _filtered(x, weights, axis):
    """Weighted sums of neighbours along an axis, where the whole window fits."""
    count = x.spec.shape[axis] - (len(weights) - 1)
    total = None
    for i, weight in enumerate(weights):
        part = cut(x, axis, i, i + count) * np.asarray(weight, numpy_dtype(x.dtype))
        total = part if total is None else total + part
    return total


def _gaussian(size, sigma):
    x = np.arange(size) - (size - 1) / 2
    weights = np.exp(-0.5 * (x / sigma) ** 2)
    return weights / weights.sum()


def gaussian_blur(images, kernel_size=(3, 3), sigma=(1.0, 1.0), data_format=None):
    """Blurs images with a Gaussian filter.

    Args:
        images: Float image of rank 3 or batch of rank 4.
        kernel_size: (height, width) of the filter.
        sigma: Standard deviations in pixels, that along the width first, as Keras on TensorFlow takes them.
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Images of the same shape; beyond the border lie zeros.

    Example:

    >>> round(gaussian_blur(np.ones((3, 3, 1), "float32"))[1, 1, 0].item(), 5)
    1.0
    """
    frame = Images(images, data_format)
    x = frame.tensor
    if not is_float(x.dtype):
        raise DTypeError(
            "gaussian_blur: needs float images.", got=f"images {x.spec}", expected="a float dtype", mend="convert with ops.cast"
        )
    sigmas = tuple(sigma) if isinstance(sigma, (tuple, list)) else (sigma, sigma)
    for axis, deviation in ((1, sigmas[1]), (2, sigmas[0])):
        size = int(kernel_size[axis - 1])
        low = tuple((size - 1) // 2 if a == axis else 0 for a in range(4))
        high = tuple(size // 2 if a == axis else 0 for a in range(4))
        x = _filtered(prim.pad(x, scalar_like(0, x), low=low, high=high), _gaussian(size, float(deviation)), axis)
    return frame.restored(x)


def sobel_edges(images, data_format=None):
    """Computes the changes of brightness along height and width, by Sobel's filters.

    Args:
        images: Float images of rank 4.
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Tensor of the shape of the images with one more axis of size 2: along height, along width.

    Example:

    >>> sobel_edges(np.ones((1, 3, 3, 1), "float32")).shape
    (1, 3, 3, 1, 2)
    """
    frame = Images(images, data_format)
    if frame.single:
        raise ShapeError("sobel_edges: needs a batch of images.", got=str(as_tensor(images).spec), expected="rank 4")
    x = pad_tensor(frame.tensor, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
    smooth, change = (1.0, 2.0, 1.0), (-1.0, 0.0, 1.0)
    edges = stack((_filtered(_filtered(x, change, 1), smooth, 2), _filtered(_filtered(x, smooth, 1), change, 2)), axis=-1)
    return moveaxis(edges, 3, 1) if frame.first else edges


def ssim(image1, image2, max_val=1.0, filter_size=11, filter_sigma=1.5, k1=0.01, k2=0.03, data_format=None):
    """Computes the structural similarity of two images (Wang et al. 2004).

    Args:
        image1, image2: Images of rank 3 or batches of rank 4, of one shape.
        max_val: Largest value a pixel can have.
        filter_size, filter_sigma: Size and standard deviation of the Gaussian window, in pixels.
        k1, k2: Small constants of the formula.
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        One number per image, 1 for equal images, in the dtype of `image1`.

    Example:

    >>> ssim(np.ones((16, 16, 1), "float32"), np.ones((16, 16, 1), "float32")).item()
    1.0
    """
    frames = [Images(image, data_format) for image in (image1, image2)]
    dtype = result_type(frames[0].tensor.dtype, float)
    x, y = (prim.cast(f.tensor, dtype=dtype) for f in frames)
    window = _gaussian(filter_size, filter_sigma)
    smooth = lambda v: _filtered(_filtered(v, window, 1), window, 2)
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    mx, my = smooth(x), smooth(y)
    sx, sy, sxy = smooth(x * x) - mx * mx, smooth(y * y) - my * my, smooth(x * y) - mx * my
    similarity = ((2.0 * mx * my + c1) * (2.0 * sxy + c2)) / ((mx * mx + my * my + c1) * (sx + sy + c2))
    result = prim.cast(mean(similarity, axis=(1, 2, 3)), dtype=frames[0].tensor.dtype)
    return prim.reshape(result, shape=()) if frames[0].single else result


# ---- borders --------------------------------------------------------------------------------------------------------


def _completed(what, first, last, target, size):
    """(first, last) amounts along one axis, from any two of them and the target size; `what` says which way they count."""
    sign = 1 if what == "padding" else -1
    if (first, last, target).count(None) != 1:
        raise ArgumentError(
            f"Of the two {what}s and the target size of an axis exactly two must be given.", got=f"{first}, {last}, target {target}"
        )
    if first is None:
        first = sign * (target - size) - last
    if last is None:
        last = sign * (target - size) - first
    for amount in (first, last):
        if isinstance(amount, int) and amount < 0:
            raise ArgumentError(f"The {what} must be >= 0.", got=f"{first} and {last} for size {size}", expected="amounts >= 0")
    return first, last


def pad_images(
    images,
    top_padding=None,
    left_padding=None,
    bottom_padding=None,
    right_padding=None,
    target_height=None,
    target_width=None,
    data_format=None,
):
    """Fills images up with zeros at the border.

    Args:
        images: Image of rank 3 or batch of rank 4.
        top_padding, bottom_padding, target_height: Two of these: rows to add above and below, and height of the result.
        left_padding, right_padding, target_width: Two of these: columns to add at both sides, and width of the result.
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Larger images.

    Example:

    >>> pad_images(np.ones((1, 1, 1), "float32"), 1, 0, target_height=2, target_width=2).tolist()
    [[[0.0], [0.0]], [[1.0], [0.0]]]
    """
    frame = Images(images, data_format)
    x = frame.tensor
    height, width = x.spec.shape[1:3]
    top, bottom = _completed("padding", top_padding, bottom_padding, target_height, height)
    left, right = _completed("padding", left_padding, right_padding, target_width, width)
    return frame.restored(prim.pad(x, scalar_like(0, x), low=(0, top, left, 0), high=(0, bottom, right, 0)))


def crop_images(
    images,
    top_cropping=None,
    left_cropping=None,
    bottom_cropping=None,
    right_cropping=None,
    target_height=None,
    target_width=None,
    data_format=None,
):
    """Cuts images at the border.

    Args:
        images: Image of rank 3 or batch of rank 4.
        top_cropping, bottom_cropping, target_height: Two of these: rows to leave out above and below, and height of the result.
        left_cropping, right_cropping, target_width: Two of these: columns to leave out at both sides, and width of the result.
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Smaller images.

    Example:

    >>> crop_images(np.arange(4.0).reshape(2, 2, 1), 1, 0, 0, 1).tolist()
    [[[2.0]]]
    """
    frame = Images(images, data_format)
    x = frame.tensor
    height, width = x.spec.shape[1:3]
    top, bottom = _completed("cropping", top_cropping, bottom_cropping, target_height, height)
    left, right = _completed("cropping", left_cropping, right_cropping, target_width, width)
    return frame.restored(cut(cut(x, 1, top, height - bottom), 2, left, width - right))


__all__ = ["crop_images", "extract_patches", "extract_patches_3d", "gaussian_blur", "pad_images", "sobel_edges", "ssim"]
