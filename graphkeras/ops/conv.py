"""Convolution and its two gradients, in one to three spatial dimensions, with channels last.

    conv(x, w)                     y[n, p, o] = sum over k, c of x[n, p * strides + k * dilation - low, c] * w[k, c, o]
    conv_input_gradient(ct, w)     what conv does to its input, transposed
    conv_kernel_gradient(x, ct)    what conv does to its kernel, transposed

x is (N, *sizes, C), w is (*window, C / groups, O), y is (N, *output sizes, O). Each is linear in both inputs, so each one's
gradients are the other two. Taps beyond the borders take no part: an infinite weight there makes no NaN.
"""

import numpy as np

from graphkeras.ir.dims import dim_max, size
from graphkeras.ir.dtypes import FLOATS
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ir.registry import ErrorSample, Sample, register_op
from graphkeras.ir.samples import any_dtype, integers, uniform
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops import batching
from graphkeras.ops.elementwise import in_float32
from graphkeras.ops.inference import join_dim, require_dtype, require_equal_dtypes, show
from graphkeras.trace import prim


def window_extent(window, dilation):
    """Input cells from the first to the last that one output cell reads."""
    return (window - 1) * dilation + 1


def output_size(dim, window, stride, padding, dilation):
    """Number of places of a window along one axis; `padding` is (low, high)."""
    return (dim + padding[0] + padding[1] - window_extent(window, dilation)) // stride + 1


def same_padding(dim, window, stride, dilation):
    """(low, high) as TensorFlow's "SAME": ceil(dim / stride) outputs, the odd cell at the end."""
    # The last window begins at (ceil(dim / stride) - 1) * stride, which is dim + (-dim) % stride - stride.
    total = dim_max(window_extent(window, dilation) - stride + (-dim) % stride, 0)
    return total // 2, total - total // 2


def spatial_sizes(op, x, window, strides, padding, dilation):
    """Output sizes of a window that walks over `x`. Raises ShapeError where nothing is left."""
    sizes = tuple(map(output_size, x.shape[1:-1], window, strides, padding, dilation))
    if any(isinstance(d, int) and d <= 0 and dim != 0 for d, dim in zip(sizes, x.shape[1:-1])):
        raise ShapeError(
            f"{op}: the window is larger than the padded input, so the output would have sizes {sizes}.",
            got=f"{x}, window {tuple(window)}, dilation {tuple(dilation)}, padding {tuple(padding)}, strides {tuple(strides)}",
            expected="sizes + padding >= (window - 1) * dilation + 1 along every axis",
            mend="use padding='same', a smaller window or dilation, or larger inputs",
        )
    return sizes


def require_walk(op, rank, attrs) -> None:
    """Raises ArgumentError unless the attributes give a step, a padding and a dilation per spatial axis."""
    count = rank - 2
    for name, values in attrs.items():
        for value in values:
            parts = value if name == "padding" else (value,)
            least = 0 if name == "padding" else 1
            if len(parts) != (2 if name == "padding" else 1) or any(isinstance(p, int) and p < least for p in parts):
                raise ArgumentError(
                    f"{op}: {name} {values} holds an impossible value.", got=repr(values), expected=f"integers >= {least}"
                )
        if len(values) != count:
            raise ArgumentError(
                f"{op}: {len(values)} {name} for {count} spatial axes.",
                got=f"{name} {values} for rank {rank}",
                expected=f"{count} values",
                mend="give one value per spatial axis, or a single integer for all",
            )


def _require_ranks(op, specs):
    if any(s.rank != specs[0].rank for s in specs) or not 3 <= specs[0].rank <= 5:
        raise ShapeError(
            f"{op}: needs two tensors of rank 3, 4 or 5, not {specs[0].rank} and {specs[1].rank}.",
            got=show(specs),
            expected="(batch, one to three spatial sizes, channels) and (window sizes, channels, filters)",
            mend="add the missing axis with ops.expand_dims",
        )


def _require_channels(op, channels, per_group, filters, groups, got):
    """`channels` of the input against the kernel's (window, per_group, filters)."""
    if not isinstance(groups, int) or groups < 1:
        raise ArgumentError(f"{op}: groups must be a positive integer.", got=f"groups={groups!r}", expected="an integer >= 1")
    if join_dim(channels, per_group * groups) is None:
        raise ShapeError(
            f"{op}: input channels must match the kernel: the input has {channels} channels, the kernel takes {per_group * groups}.",
            got=f"{got}, {groups} groups",
            expected="input channels == kernel.shape[-2] * groups",
            mend="build the layer for inputs with this number of channels, or set groups accordingly",
        )
    if isinstance(filters, int) and filters % groups:
        raise ShapeError(
            f"{op}: {filters} filters cannot be divided among {groups} groups.",
            got=got,
            expected="filters divisible by groups",
            mend="change the number of filters or groups",
        )


def _check(op, specs, strides, padding, dilation):
    require_dtype(op, specs, FLOATS, "floating-point")
    require_equal_dtypes(op, specs)
    _require_ranks(op, specs)
    require_walk(op, specs[0].rank, {"strides": strides, "padding": padding, "dilation": dilation})


def _require_output(op, ct, sizes, got):
    if any(join_dim(a, b) is None for a, b in zip(ct.shape[1:-1], sizes)):
        raise ShapeError(
            f"{op}: the cotangent has sizes {ct.shape[1:-1]}, the convolution gives {tuple(sizes)}.",
            got=got,
            expected="the shape of the convolution's output",
        )


def _conv_infer(x, w, *, strides, padding, dilation, groups):
    _check("conv", [x, w], strides, padding, dilation)
    _require_channels("conv", x.shape[-1], w.shape[-2], w.shape[-1], groups, show([x, w]))
    sizes = spatial_sizes("conv", x, w.shape[:-2], strides, padding, dilation)
    return TensorSpec((x.shape[0], *sizes, w.shape[-1]), x.dtype)


def _input_gradient_infer(ct, w, *, shape, strides, padding, dilation, groups):
    op = "conv_input_gradient"
    _check(op, [ct, w], strides, padding, dilation)
    x = TensorSpec((ct.shape[0], *shape, w.shape[-2] * groups), ct.dtype)
    if join_dim(ct.shape[-1], w.shape[-1]) is None:
        raise ShapeError(
            f"{op}: the cotangent has {ct.shape[-1]} channels, the kernel {w.shape[-1]} filters.",
            got=show([ct, w]),
            expected="ct.shape[-1] == kernel.shape[-1]",
            mend="use a kernel (window, output channels, input channels) that fits the input of the transposed convolution",
        )
    _require_channels(op, x.shape[-1], w.shape[-2], w.shape[-1], groups, show([ct, w]))
    _require_output(op, ct, spatial_sizes(op, x, w.shape[:-2], strides, padding, dilation), show([ct, w]))
    return x


def _kernel_gradient_infer(x, ct, *, window, strides, padding, dilation, groups):
    op = "conv_kernel_gradient"
    _check(op, [x, ct], strides, padding, dilation)
    per_group = x.shape[-1] // groups
    _require_channels(op, x.shape[-1], per_group, ct.shape[-1], groups, show([x, ct]))
    _require_output(op, ct, spatial_sizes(op, x, window, strides, padding, dilation), show([x, ct]))
    return TensorSpec((*window, per_group, ct.shape[-1]), x.dtype)


def _taps(window, strides, padding, dilation, sizes, shape):
    """(position in the window, slices of the input, slices of the output) for each tap: the places at which it meets the input."""
    for tap in np.ndindex(*window):
        cells, places = [slice(None)], [slice(None)]
        for k, stride, (low, _), step, out, size_in in zip(tap, strides, padding, dilation, sizes, shape):
            begin = k * step - low  # cell that the first place meets
            first = max(0, -(begin // stride))
            count = max(0, min(out, (size_in - 1 - begin) // stride + 1) - first)
            cells.append(slice(begin + first * stride, begin + (first + count - 1) * stride + 1, stride) if count else slice(0))
            places.append(slice(first, first + count))
        yield tap, tuple(cells), tuple(places)


def _by_group(x, groups):
    """(..., C) -> (groups, cells, C / groups)."""
    channels = x.shape[-1] // groups
    return x.reshape(size(x.shape[:-1]), groups, channels).transpose(1, 0, 2)


def _conv_eager(x, w, *, strides, padding, dilation, groups):
    shape, filters = x.shape[1:-1], w.shape[-1]
    sizes = tuple(map(output_size, shape, w.shape, strides, padding, dilation))
    y = np.zeros((x.shape[0], *sizes, filters), x.dtype)
    for tap, cells, places in _taps(w.shape[:-2], strides, padding, dilation, sizes, shape):
        part = _by_group(x[cells], groups) @ w[tap].reshape(-1, groups, filters // groups).transpose(1, 0, 2)
        y[places] += part.transpose(1, 0, 2).reshape(y[places].shape)
    return y


def _input_gradient_eager(ct, w, *, shape, strides, padding, dilation, groups):
    channels, filters, sizes = w.shape[-2] * groups, w.shape[-1], ct.shape[1:-1]
    dx = np.zeros((ct.shape[0], *shape, channels), ct.dtype)
    for tap, cells, places in _taps(w.shape[:-2], strides, padding, dilation, sizes, shape):
        part = _by_group(ct[places], groups) @ w[tap].reshape(-1, groups, filters // groups).transpose(1, 2, 0)
        dx[cells] += part.transpose(1, 0, 2).reshape(dx[cells].shape)
    return dx


def _kernel_gradient_eager(x, ct, *, window, strides, padding, dilation, groups):
    channels, filters = x.shape[-1], ct.shape[-1]
    dw = np.zeros((*window, channels // groups, filters), x.dtype)
    for tap, cells, places in _taps(window, strides, padding, dilation, ct.shape[1:-1], x.shape[1:-1]):
        part = _by_group(x[cells], groups).transpose(0, 2, 1) @ _by_group(ct[places], groups)
        dw[tap] = part.transpose(1, 0, 2).reshape(channels // groups, filters)
    return dw


def _conv_vjp(ct, x, w, y, **attrs):
    return (
        prim.conv_input_gradient(ct, w, shape=x.spec.shape[1:-1], **attrs),
        prim.conv_kernel_gradient(x, ct, window=w.spec.shape[:-2], **attrs),
    )


def _input_gradient_vjp(ct, dy, w, dx, *, shape, **attrs):
    return prim.conv(ct, w, **attrs), prim.conv_kernel_gradient(ct, dy, window=w.spec.shape[:-2], **attrs)


def _kernel_gradient_vjp(ct, x, dy, dw, *, window, **attrs):
    return prim.conv_input_gradient(dy, ct, shape=x.spec.shape[1:-1], **attrs), prim.conv(x, ct, **attrs)


def _cost(places, w, groups):
    """Two FLOP for every output place, filter, and kernel cell that belongs to the filter."""
    return 2 * size(places) * size(w)


def _attrs(rank, strides=1, padding=0, dilation=1, groups=1):
    def each(value):
        return tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank

    pairs = tuple(p if isinstance(p, tuple) else (p, p) for p in each(padding))
    return {"strides": each(strides), "padding": pairs, "dilation": each(dilation), "groups": groups}


# (x, w, attributes): every rank, windows and paddings that differ per axis, steps, dilation, groups, depthwise, nothing at all.
_CASES = [
    ((2, 7, 3), (3, 3, 5), _attrs(1)),
    ((1, 9, 2), (4, 2, 3), _attrs(1, strides=2, padding=((2, 1),))),
    ((2, 8, 4), (3, 2, 6), _attrs(1, dilation=2, groups=2)),
    ((2, 6, 5, 3), (3, 2, 3, 4), _attrs(2)),
    ((2, 5, 6, 3), (3, 3, 3, 18), _attrs(2, padding=1)),
    ((1, 7, 6, 2), (3, 3, 2, 5), _attrs(2, strides=2, padding=((0, 1), (1, 1)))),
    ((1, 6, 7, 2), (3, 2, 2, 3), _attrs(2, strides=(3, 2), padding=((1, 0), (0, 1)))),
    ((1, 7, 8, 2), (3, 2, 2, 3), _attrs(2, dilation=(2, 3), padding=((2, 2), (1, 0)))),
    ((1, 8, 8, 1), (3, 3, 1, 2), _attrs(2, strides=2, dilation=2, padding=2)),
    ((2, 4, 4, 6), (2, 2, 2, 9), _attrs(2, groups=3)),
    ((1, 5, 5, 19), (3, 3, 1, 19), _attrs(2, padding=1, groups=19)),
    ((2, 6, 6, 3), (3, 3, 1, 6), _attrs(2, strides=2, padding=((0, 1), (0, 1)), groups=3)),
    ((2, 3, 3, 4), (1, 1, 4, 7), _attrs(2)),
    ((1, 5, 5, 2), (1, 1, 2, 3), _attrs(2, strides=3)),
    ((1, 4, 5, 4, 2), (2, 3, 2, 2, 3), _attrs(3, padding=((0, 1), (1, 1), (0, 0)))),
    ((1, 5, 4, 4, 2), (2, 2, 3, 1, 4), _attrs(3, strides=(2, 1, 2), padding=1, groups=2)),
    ((0, 4, 4, 3), (3, 3, 3, 2), _attrs(2)),
]


def _samples(inputs):
    return [Sample(tuple(map(uniform, shapes)), extra | attrs) for x, w, attrs in _CASES for shapes, extra in [inputs(x, w, attrs)]]


def _varied(inputs):
    """A rule for random convolutions of one to three spatial axes: any steps, padding, dilation and groups that leave an output."""

    def vary(rng):
        rank = int(rng.integers(1, 4))
        few = lambda least, most: tuple(int(v) for v in rng.integers(least, most + 1, rank))
        window, strides, dilation = few(1, 3), few(1, 3), few(1, 2)
        padding = tuple(zip(few(0, 2), few(0, 2)))
        rest = few(0, 6 if rank < 3 else 3)
        sizes = [
            max(window_extent(k, d) - low - high, 1) + r for k, d, (low, high), r in zip(window, dilation, padding, rest)
        ]
        groups = int(rng.choice([1, 1, 2, 3]))
        per_group, filters = (int(rng.choice([1, 2, 3, 8, 9])) for _ in range(2))
        x = (int(rng.choice([0, 1, 1, 2, 3])), *sizes, per_group * groups)
        attrs = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
        shapes, extra = inputs(x, (*window, per_group, filters * groups), attrs)
        dtype = any_dtype(rng)
        return Sample(tuple(uniform(shape, dtype=dtype) for shape in shapes), extra | attrs)

    return vary


def _inputs_of_conv(x, w, attrs):
    return (x, w), {}


def _inputs_of_input_gradient(x, w, attrs):
    return (_output_shape(x, w, attrs), w), {"shape": tuple(x[1:-1])}


def _inputs_of_kernel_gradient(x, w, attrs):
    return (x, _output_shape(x, w, attrs)), {"window": w[:-2]}


def _output_shape(x, w, attrs):
    return (x[0], *map(output_size, x[1:-1], w, attrs["strides"], attrs["padding"], attrs["dilation"]), w[-1])


_WALK_2D = _attrs(2)
_double = [Sample((uniform((2, 5, 4, 3), dtype="float64"), uniform((2, 2, 3, 9), dtype="float64")), _WALK_2D)]

register_op(
    "conv",
    kind="contraction",
    batch=batching.merged(1),
    infer=_conv_infer,
    eager=in_float32(_conv_eager),
    vjp=_conv_vjp,
    lower={"cpu": "conv"},
    cost=lambda x, w, outputs, groups, **attrs: _cost(outputs[0].shape[:-1], w.shape, groups),
    samples=_samples(_inputs_of_conv) + _double,
    vary=_varied(_inputs_of_conv),
    errors=[
        ErrorSample((uniform((2, 5)), uniform((3, 5))), _attrs(0), raises=ShapeError, match="needs two tensors of rank 3, 4 or 5"),
        ErrorSample(
            (uniform((2, 5, 3)), uniform((3, 4, 5))), _attrs(1), raises=ShapeError, match="has 3 channels, the kernel takes 4"
        ),
        ErrorSample(
            (uniform((2, 5, 4)), uniform((3, 2, 5))), _attrs(1, groups=2), raises=ShapeError, match="5 filters cannot be divided"
        ),
        ErrorSample((uniform((2, 2, 3)), uniform((3, 3, 5))), _attrs(1), raises=ShapeError, match="larger than the padded input"),
        ErrorSample((uniform((2, 5, 3)), uniform((3, 3, 5))), _WALK_2D, raises=ArgumentError, match="2 strides for 1 spatial axes"),
        ErrorSample((uniform((2, 5, 3)), uniform((3, 3, 5))), _attrs(1, strides=0), raises=ArgumentError, match="impossible value"),
        ErrorSample((integers((2, 5, 3)), integers((3, 3, 5))), _attrs(1), raises=TypeError, match="needs floating-point"),
    ],
)
register_op(
    "conv_input_gradient",
    kind="contraction",
    batch=batching.merged(1),
    infer=_input_gradient_infer,
    eager=in_float32(_input_gradient_eager),
    vjp=_input_gradient_vjp,
    lower={"cpu": "conv"},
    cost=lambda ct, w, outputs, groups, **attrs: _cost(ct.shape[:-1], w.shape, groups),
    samples=_samples(_inputs_of_input_gradient),
    vary=_varied(_inputs_of_input_gradient),
    errors=[
        ErrorSample(
            (uniform((2, 4, 3)), uniform((3, 2, 3))), {"shape": (5,)} | _attrs(1), raises=ShapeError, match="convolution gives .3,"
        ),
        ErrorSample(
            (uniform((2, 3, 4)), uniform((3, 2, 3))), {"shape": (5,)} | _attrs(1), raises=ShapeError, match="has 4 channels"
        ),
    ],
)
register_op(
    "conv_kernel_gradient",
    kind="contraction",
    batch="each element has a kernel of its own",
    infer=_kernel_gradient_infer,
    eager=in_float32(_kernel_gradient_eager),
    vjp=_kernel_gradient_vjp,
    lower={"cpu": "conv_kernel_gradient"},
    cost=lambda x, ct, outputs, groups, **attrs: _cost(ct.shape[:-1], outputs[0].shape, groups),
    samples=_samples(_inputs_of_kernel_gradient),
    vary=_varied(_inputs_of_kernel_gradient),
    errors=[
        ErrorSample(
            (uniform((2, 5, 3)), uniform((2, 4, 3))), {"window": (3,)} | _attrs(1), raises=ShapeError, match="convolution gives .3,"
        ),
        ErrorSample(
            (uniform((2, 5, 3)), uniform((2, 3, 4))), {"window": (3,)} | _attrs(1, groups=2), raises=ShapeError, match="3 channels"
        ),
    ],
)

__all__ = ["output_size", "require_walk", "same_padding", "spatial_sizes", "window_extent"]
