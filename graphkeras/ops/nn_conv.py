"""Convolutions and pooling, as in `keras.ops.nn`; both data formats, padding as TensorFlow's."""

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops.conv import same_padding, window_extent
from graphkeras.ops.promotion import as_float, promote
from graphkeras.trace import as_tensor, convert_to_tensor, prim
from graphkeras.trace.settings import standardize_data_format

_HALF = ("float16", "bfloat16")


def _channels_last(x, data_format):
    return x if data_format == "channels_last" else prim.transpose(x, perm=(0, *range(2, x.ndim), 1))


def _as_given(y, data_format):
    return y if data_format == "channels_last" else prim.transpose(y, perm=(0, y.ndim - 1, *range(1, y.ndim - 1)))


def _require_rank(op, x, ranks=(3, 4, 5)):
    if x.ndim not in ranks:
        raise ShapeError(
            f"{op}: the inputs must have rank {', '.join(map(str, ranks))}, not {x.ndim}.",
            got=str(x.spec),
            expected="(batch, spatial sizes, channels), or (batch, channels, spatial sizes) with data_format='channels_first'",
            mend="add the missing axis with ops.expand_dims",
        )


def _per_axis(op, name, value, count) -> tuple[int, ...]:
    """An int for all axes, or one per axis."""
    values = (value,) * count if isinstance(value, (int, np.integer)) else tuple(value)
    if len(values) != count or any(not isinstance(v, (int, np.integer)) or isinstance(v, bool) or v < 1 for v in values):
        raise ArgumentError(
            f"{op}: {name} must be a positive integer, or {count} of them.",
            got=f"{name}={value!r} for {count} spatial axes",
            expected=f"an integer >= 1 or a tuple of {count}",
        )
    return tuple(map(int, values))


def _padding(op, padding, sizes, window, strides, dilation):
    """(low, high) per axis."""
    padding = str(padding).lower()
    if padding not in ("valid", "same"):
        raise ArgumentError(
            f"{op}: `padding` must be 'valid' or 'same'.",
            got=f"padding={padding!r}",
            expected="'valid' or 'same'",
            mend="pad with ops.pad first for anything else; Conv1D also takes 'causal'",
        )
    if padding == "valid":
        return ((0, 0),) * len(sizes)
    return tuple(map(same_padding, sizes, window, strides, dilation))


def _operands(inputs, kernel):
    """Inputs and kernel in the dtype that they are computed in, and the dtype of the result."""
    inputs, kernel = promote(inputs, kernel, at_least=float)
    dtype = inputs.dtype
    if dtype in _HALF:  # products are added up in float32, and rounded once
        inputs, kernel = (convert_to_tensor(t, "float32") for t in (inputs, kernel))
    return inputs, kernel, dtype


def _require_kernel(op, x, kernel, layout):
    if kernel.ndim != x.ndim:
        raise ShapeError(
            f"{op}: inputs of rank {x.ndim} need a kernel of rank {x.ndim}, not {kernel.ndim}.",
            got=f"inputs {x.spec}, kernel {kernel.spec}",
            expected=layout,
            mend="give the kernel one window size per spatial axis of the inputs",
        )


def _require_channels(op, channels, wanted, data_format):
    if isinstance(channels, int) and isinstance(wanted, int) and channels != wanted:
        raise ShapeError(
            f"{op}: the number of input channels must match the kernel's input channels.",
            got=f"input channels={channels}, kernel input channels={wanted}, data_format='{data_format}'",
            expected="equal numbers of channels",
            mend="check data_format, or build the kernel for these inputs",
        )


def _convolve(op, x, kernel, strides, padding, dilation_rate, groups):
    count = x.ndim - 2
    strides = _per_axis(op, "strides", strides, count)
    dilation = _per_axis(op, "dilation_rate", dilation_rate, count)
    pairs = _padding(op, padding, x.spec.shape[1:-1], kernel.spec.shape[:-2], strides, dilation)
    return prim.conv(x, kernel, strides=strides, padding=pairs, dilation=dilation, groups=groups)


def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """General N-D convolution, in one to three spatial dimensions.

    Args:
        inputs: Tensor of rank N+2: `(batch_size,) + spatial_shape + (channels,)`, or `(batch_size, channels) + spatial_shape` with
            `data_format="channels_first"`.
        kernel: Tensor of shape `spatial_shape + (input_channels, output_channels)`. Where the inputs have a multiple of
            `input_channels`, the convolution is a grouped one.
        strides: Integer, or one per spatial dimension.
        padding: `"valid"` (none) or `"same"` (the output has `ceil(size / strides)` cells).
        data_format: `"channels_last"` or `"channels_first"`; by default that of the configuration.
        dilation_rate: Integer, or one per spatial dimension.

    Returns:
        A tensor of rank N+2. Half precision is summed in float32.

    Raises:
        ShapeError: The shapes do not fit, or nothing is left of the input.

    Example:

    >>> x = np.arange(4.0).reshape(1, 4, 1)
    >>> conv(x, np.ones((2, 1, 1))).tolist()
    [[[1.0], [3.0], [5.0]]]
    """
    data_format = standardize_data_format(data_format)
    inputs, kernel, dtype = _operands(inputs, kernel)
    _require_rank("conv", inputs)
    _require_kernel("conv", inputs, kernel, "kernel (window sizes, input channels / groups, filters)")
    x = _channels_last(inputs, data_format)
    channels, per_group = x.spec.shape[-1], kernel.spec.shape[-2]
    groups = 1
    if isinstance(channels, int) and isinstance(per_group, int) and per_group and channels % per_group == 0:
        groups = max(1, channels // per_group)
    y = _convolve("conv", x, kernel, strides, padding, dilation_rate, groups)
    return convert_to_tensor(_as_given(y, data_format), dtype)


def depthwise_conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Depthwise convolution in one or two spatial dimensions: every input channel has filters of its own.

    Args:
        inputs: Tensor of rank N+2, see `conv`.
        kernel: Tensor of shape `spatial_shape + (input_channels, channels_multiplier)`.
        strides: Integer, or one per spatial dimension.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`.
        dilation_rate: Integer, or one per spatial dimension.

    Returns:
        A tensor of rank N+2 with `input_channels * channels_multiplier` channels.

    Example:

    >>> x = np.array([[[1.0, 10.0], [2.0, 20.0]]])
    >>> depthwise_conv(x, np.ones((2, 2, 1))).tolist()
    [[[3.0, 30.0]]]
    """
    data_format = standardize_data_format(data_format)
    inputs, kernel, dtype = _operands(inputs, kernel)
    _require_rank("depthwise_conv", inputs, (3, 4))
    _require_kernel("depthwise_conv", inputs, kernel, "kernel (window sizes, input channels, multiplier)")
    x = _channels_last(inputs, data_format)
    *window, channels, multiplier = kernel.spec.shape
    _require_channels("depthwise_conv", x.spec.shape[-1], channels, data_format)
    flat = prim.reshape(kernel, shape=(*window, 1, channels * multiplier))
    y = _convolve("depthwise_conv", x, flat, strides, padding, dilation_rate, channels)
    return convert_to_tensor(_as_given(y, data_format), dtype)


def separable_conv(inputs, depthwise_kernel, pointwise_kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Separable convolution: a depthwise one, then one with a window of a single cell that mixes channels.

    Args:
        inputs: Tensor of rank N+2, see `conv`.
        depthwise_kernel: Tensor of shape `spatial_shape + (input_channels, channels_multiplier)`.
        pointwise_kernel: Tensor of shape `(1, ..., input_channels * channels_multiplier, output_channels)`.
        strides: Integer, or one per spatial dimension.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`.
        dilation_rate: Integer, or one per spatial dimension.

    Returns:
        A tensor of rank N+2.

    Example:

    >>> x = np.array([[[1.0, 10.0], [2.0, 20.0]]])
    >>> separable_conv(x, np.ones((2, 2, 1)), np.ones((1, 2, 1))).tolist()
    [[[33.0]]]
    """
    data_format = standardize_data_format(data_format)
    y = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(y, pointwise_kernel, 1, "valid", data_format)


def _transposed_size(dim, window, stride, padding, extra, dilation):
    extent = window_extent(window, dilation)
    if padding == "valid":
        return (dim - 1) * stride + extent + (max(extent, stride) - extent if extra is None else extra)
    return dim * stride if extra is None else (dim - 1) * stride + extent % 2 + extra


def conv_transpose(inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None, dilation_rate=1):
    """Transposed convolution (the gradient of `conv` for its input), in one to three spatial dimensions.

    Args:
        inputs: Tensor of rank N+2, see `conv`.
        kernel: Tensor of shape `spatial_shape + (output_channels, input_channels)`.
        strides: Integer, or one per spatial dimension.
        padding: `"valid"` or `"same"` (the output is `strides` times as large).
        output_padding: Integer or one per spatial dimension, less than the stride: cells that are added at the end; by default as
            many as the padding implies.
        data_format: `"channels_last"` or `"channels_first"`.
        dilation_rate: Integer, or one per spatial dimension.

    Returns:
        A tensor of rank N+2.

    Example:

    >>> x = np.array([[[1.0], [2.0]]])
    >>> conv_transpose(x, np.array([[[1.0]], [[10.0]]]), strides=2).tolist()
    [[[1.0], [10.0], [2.0], [20.0]]]
    """
    op = "conv_transpose"
    data_format = standardize_data_format(data_format)
    inputs, kernel, dtype = _operands(inputs, kernel)
    _require_rank(op, inputs)
    _require_kernel(op, inputs, kernel, "kernel (window sizes, output channels, input channels)")
    x = _channels_last(inputs, data_format)
    _require_channels(op, x.spec.shape[-1], kernel.spec.shape[-1], data_format)
    count, window = x.ndim - 2, kernel.spec.shape[:-2]
    strides = _per_axis(op, "strides", strides, count)
    dilation = _per_axis(op, "dilation_rate", dilation_rate, count)
    extra = (None,) * count
    if output_padding is not None:
        extra = (output_padding,) * count if isinstance(output_padding, int) else tuple(output_padding)
    if len(extra) != count or any(e is not None and not 0 <= e for e in extra):
        raise ArgumentError(
            f"{op}: output_padding must be a non-negative integer, or {count} of them.",
            got=f"output_padding={output_padding!r}",
            expected="integers in [0, stride)",
        )
    kinds = (str(padding).lower(),) * count
    shape = tuple(map(_transposed_size, x.spec.shape[1:-1], window, strides, kinds, extra, dilation))
    pairs = _padding(op, padding, shape, window, strides, dilation)
    y = prim.conv_input_gradient(x, kernel, shape=shape, strides=strides, padding=pairs, dilation=dilation, groups=1)
    return convert_to_tensor(_as_given(y, data_format), dtype)


def _pool(op, inputs, pool_size, strides, padding, data_format):
    data_format = standardize_data_format(data_format)
    _require_rank(op, inputs)
    x = _channels_last(inputs, data_format)
    count = x.ndim - 2
    window = _per_axis(op, "pool_size", pool_size, count)
    strides = window if strides is None else _per_axis(op, "strides", strides, count)
    pairs = _padding(op, padding, x.spec.shape[1:-1], window, strides, (1,) * count)
    return _as_given(getattr(prim, op)(x, window=window, strides=strides, padding=pairs), data_format)


def max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """Maxima over windows of the spatial dimensions.

    Args:
        inputs: Tensor of rank N+2, see `conv`.
        pool_size: Integer, or one per spatial dimension.
        strides: Integer, or one per spatial dimension; `pool_size` by default.
        padding: `"valid"` or `"same"`; cells beyond the border are never the maximum.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        A tensor of rank N+2. NaN in a window gives NaN; the gradient goes to the first maximum of a window.

    Example:

    >>> max_pool(np.array([[[1.0], [3.0], [2.0], [0.0]]]), 2).tolist()
    [[[3.0], [2.0]]]
    """
    return _pool("max_pool", as_tensor(inputs), pool_size, strides, padding, data_format)


def average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """Means over windows of the spatial dimensions.

    Args:
        inputs: Tensor of rank N+2, see `conv`.
        pool_size: Integer, or one per spatial dimension.
        strides: Integer, or one per spatial dimension; `pool_size` by default.
        padding: `"valid"` or `"same"`; the mean is over the cells inside the border.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        A tensor of rank N+2.

    Example:

    >>> average_pool(np.array([[[1.0], [3.0], [2.0]]]), 2, padding="same").tolist()
    [[[2.0], [2.0]]]
    """
    return _pool("average_pool", as_float(inputs), pool_size, strides, padding, data_format)


def _adaptive(op, inputs, output_size, data_format):
    """One axis after the other: windows floor(i * size / wanted) .. ceil((i + 1) * size / wanted), of two lengths at most."""
    data_format = standardize_data_format(data_format)
    _require_rank(f"adaptive_{op}", inputs)
    x = _channels_last(inputs, data_format)
    count = x.ndim - 2
    for axis, wanted in enumerate(_per_axis(f"adaptive_{op}", "output_size", output_size, count), 1):
        size = x.spec.shape[axis]
        if isinstance(size, Dim):
            raise ShapeError(
                f"adaptive_{op}: the spatial sizes must be known when the graph is built.",
                got=str(inputs.spec),
                expected="known spatial sizes",
                mend="give the sizes in Input(shape=...)",
            )
        starts = [i * size // wanted for i in range(wanted)]
        lengths = [-(-(i + 1) * size // wanted) - start for i, start in enumerate(starts)]

        def pooled(length, stride, x=x, axis=axis):
            window, strides = ([n if a == axis else 1 for a in range(1, count + 1)] for n in (length, stride))
            return getattr(prim, op)(x, window=tuple(window), strides=tuple(strides), padding=((0, 0),) * count)

        if size % wanted == 0:
            x = pooled(size // wanted, size // wanted)
            continue
        parts, places, first = [], {}, 0
        for length in sorted(set(lengths)):
            parts.append(pooled(length, 1))
            places[length] = first
            first += size - length + 1
        index = np.array([places[length] + start for length, start in zip(lengths, starts)], np.int32)
        x = prim.gather(prim.concatenate(*parts, axis=axis), index, axis=axis)
    return _as_given(x, data_format)


def adaptive_average_pool(inputs, output_size, data_format=None):
    """Means over as many windows as the output is to have cells.

    Args:
        inputs: Tensor of rank N+2, see `conv`; its spatial sizes must be known.
        output_size: Integer, or one per spatial dimension.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        A tensor of rank N+2 with these spatial sizes.

    Example:

    >>> adaptive_average_pool(np.array([[[1.0], [3.0], [2.0]]]), 2).tolist()
    [[[2.0], [2.5]]]
    """
    return _adaptive("average_pool", as_float(inputs), output_size, data_format)


def adaptive_max_pool(inputs, output_size, data_format=None):
    """Maxima over as many windows as the output is to have cells.

    Args:
        inputs: Tensor of rank N+2, see `conv`; its spatial sizes must be known.
        output_size: Integer, or one per spatial dimension.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        A tensor of rank N+2 with these spatial sizes.

    Example:

    >>> adaptive_max_pool(np.array([[[1.0], [3.0], [2.0]]]), 2).tolist()
    [[[3.0], [3.0]]]
    """
    return _adaptive("max_pool", as_tensor(inputs), output_size, data_format)
