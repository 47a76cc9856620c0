"""Blocks of images: depth to space and back, sliding patches and their sums, as in `keras.ops.nn`."""

from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops.numpy_join import pad, stack
from graphkeras.ops.numpy_shape import cut, reshape, transpose
from graphkeras.trace import as_tensor
from graphkeras.trace.settings import standardize_data_format


def _image(name, x, block_size, data_format):
    x = as_tensor(x)
    if block_size < 2:
        raise ArgumentError(
            f"`block_size` must be at least 2. Received: block_size={block_size}", got=str(block_size), expected="2 or more"
        )
    if x.ndim != 4:
        raise ArgumentError(f"{name}: needs rank 4.", got=str(x.spec), expected="(batch, height, width, channels)")
    return x, standardize_data_format(data_format) == "channels_first"


def _require_multiple(name, what, size, factor, x):
    if isinstance(size, int) and size % factor:
        raise ShapeError(
            f"{name}: the {what}, {size}, is no multiple of {factor}.", got=str(x.spec), expected=f"a multiple of {factor}"
        )


def depth_to_space(x, block_size, data_format="channels_last"):
    """Moves channels into square blocks of space.

    Args:
        x: Tensor of rank 4.
        block_size: Edge of the blocks; its square must divide the number of channels.
        data_format: "channels_last" or "channels_first".

    Returns:
        Tensor with height and width times, and channels divided by, `block_size` and its square.

    Example:

    >>> depth_to_space([[[[1, 2, 3, 4]]]], 2).tolist()
    [[[[1], [2]], [[3], [4]]]]
    """
    x, first = _image("depth_to_space", x, block_size, data_format)
    x = transpose(x, (0, 2, 3, 1)) if first else x
    n, height, width, channels = x.spec.shape
    _require_multiple("depth_to_space", "number of channels", channels, block_size**2, x)
    depth = channels // block_size**2
    x = reshape(x, (n, height, width, block_size, block_size, depth))
    x = reshape(transpose(x, (0, 1, 3, 2, 4, 5)), (n, height * block_size, width * block_size, depth))
    return transpose(x, (0, 3, 1, 2)) if first else x


def space_to_depth(x, block_size, data_format="channels_last"):
    """Moves square blocks of space into channels.

    Args:
        x: Tensor of rank 4.
        block_size: Edge of the blocks; it must divide height and width.
        data_format: "channels_last" or "channels_first".

    Returns:
        Tensor with height and width divided by, and channels times, `block_size` and its square.

    Example:

    >>> space_to_depth([[[[1], [2]], [[3], [4]]]], 2).tolist()
    [[[[1, 2, 3, 4]]]]
    """
    x, first = _image("space_to_depth", x, block_size, data_format)
    x = transpose(x, (0, 2, 3, 1)) if first else x
    n, height, width, channels = x.spec.shape
    for what, size in (("height", height), ("width", width)):
        _require_multiple("space_to_depth", what, size, block_size, x)
    rows, columns = height // block_size, width // block_size
    x = reshape(x, (n, rows, block_size, columns, block_size, channels))
    x = reshape(transpose(x, (0, 1, 3, 2, 4, 5)), (n, rows, columns, channels * block_size**2))
    return transpose(x, (0, 3, 1, 2)) if first else x


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def _counts(height, width, kernel, dilation, padding, stride):
    """How many patches fit, along each axis."""
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    return tuple((size + 2 * p - span) // s + 1 for size, p, span, s in zip((height, width), padding, spans, stride, strict=True))


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    """Sliding patches of images, each as a column (im2col).

    Args:
        x: Tensor (batch, channels, height, width).
        kernel_size: Size of the patches, an int or two.
        dilation: Step between the points of a patch, an int or two.
        padding: Zeros around the image, an int or two.
        stride: Step between patches, an int or two.

    Returns:
        Tensor (batch, channels * kernel height * kernel width, number of patches).

    Example:

    >>> unfold([[[[1, 2, 3], [4, 5, 6]]]], 2).tolist()
    [[[1, 2], [2, 3], [4, 5], [5, 6]]]
    """
    x = as_tensor(x)
    if x.ndim != 4:
        raise ArgumentError("unfold: needs rank 4.", got=str(x.spec), expected="(batch, channels, height, width)")
    kernel, dilation, padding, stride = map(_pair, (kernel_size, dilation, padding, stride))
    n, channels, height, width = x.spec.shape
    rows, columns = _counts(height, width, kernel, dilation, padding, stride)
    if any(padding):
        x = pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    parts = []
    for i in range(kernel[0]):
        line = cut(x, 2, i * dilation[0], i * dilation[0] + (rows - 1) * stride[0] + 1, stride[0])
        for j in range(kernel[1]):
            parts.append(cut(line, 3, j * dilation[1], j * dilation[1] + (columns - 1) * stride[1] + 1, stride[1]))
    return reshape(stack(parts, axis=2), (n, channels * kernel[0] * kernel[1], rows * columns))


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Images from sliding patches, whose overlaps add up (col2im): the transpose of `unfold`.

    Args:
        x: Tensor (batch, channels * kernel height * kernel width, number of patches).
        output_size: Height and width of the images, an int or two.
        kernel_size: Size of the patches, an int or two.
        dilation: Step between the points of a patch, an int or two.
        padding: Zeros around the image that were added for the patches, an int or two.
        stride: Step between patches, an int or two.

    Returns:
        Tensor (batch, channels, height, width).

    Example:

    >>> fold([[[1, 1], [1, 1], [1, 1], [1, 1]]], (2, 3), 2).tolist()
    [[[[1, 2, 1], [1, 2, 1]]]]
    """
    x = as_tensor(x)
    if x.ndim != 3:
        raise ArgumentError("fold: needs rank 3.", got=str(x.spec), expected="(batch, channels * kernel size, patches)")
    size, kernel, dilation, padding, stride = map(_pair, (output_size, kernel_size, dilation, padding, stride))
    n, depth, _ = x.spec.shape
    _require_multiple("fold", "size of axis 1", depth, kernel[0] * kernel[1], x)
    channels = depth // (kernel[0] * kernel[1])
    rows, columns = _counts(*size, kernel, dilation, padding, stride)
    x = reshape(x, (n, channels, kernel[0] * kernel[1], rows, columns))
    height, width = (s + 2 * p for s, p in zip(size, padding, strict=True))
    total = None
    for number in range(kernel[0] * kernel[1]):
        top, left = number // kernel[1] * dilation[0], number % kernel[1] * dilation[1]
        part = reshape(cut(x, 2, number, number + 1), (n, channels, rows, columns))
        part = _spread(_spread(part, 2, rows, stride[0]), 3, columns, stride[1])
        below, right = height - top - (rows - 1) * stride[0] - 1, width - left - (columns - 1) * stride[1] - 1
        part = pad(part, ((0, 0), (0, 0), (top, below), (left, right)))
        total = part if total is None else total + part
    total = cut(total, 2, padding[0], padding[0] + size[0])
    return cut(total, 3, padding[1], padding[1] + size[1])


def _spread(x, axis, count, stride):
    """Elements along an axis with stride - 1 zeros between them."""
    if stride == 1:
        return x
    shape = x.spec.shape
    x = reshape(x, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    x = pad(x, [(0, stride - 1) if a == axis + 1 else (0, 0) for a in range(x.ndim)])
    x = reshape(x, (*shape[:axis], count * stride, *shape[axis + 1 :]))
    return cut(x, axis, 0, (count - 1) * stride + 1)
