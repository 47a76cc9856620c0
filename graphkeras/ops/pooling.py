"""Maxima and means over windows that walk over one to three spatial dimensions, with channels last, and their gradients.

Cells beyond the borders take no part: they are never the maximum, and a mean divides by the number of cells inside. A gradient of
max_pool goes to the first maximum of each window, in row-major order.
"""

import numpy as np

from graphkeras.ir.dims import size
from graphkeras.ir.dtypes import FLOATS
from graphkeras.ir.errors import ShapeError
from graphkeras.ir.registry import ErrorSample, Sample, register_op
from graphkeras.ir.samples import any_dtype, drawn, integers, uniform
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops import batching
from graphkeras.ops.conv import output_size, require_walk, spatial_sizes
from graphkeras.ops.elementwise import in_float32
from graphkeras.ops.inference import REAL, join_dim, require_dtype, require_equal_dtypes, show
from graphkeras.trace import prim


def _pooled(op, x, window, strides, padding):
    """The spec of a pooled tensor; raises four-part errors."""
    if not 3 <= x.rank <= 5:
        raise ShapeError(
            f"{op}: needs a tensor of rank 3, 4 or 5, not {x.rank}.",
            got=str(x),
            expected="(batch, one to three spatial sizes, channels)",
            mend="add the missing axis with ops.expand_dims",
        )
    ones = (1,) * len(window)
    require_walk(op, x.rank, {"window": window, "strides": strides, "padding": padding})
    return x.with_shape((x.shape[0], *spatial_sizes(op, x, window, strides, padding, ones), x.shape[-1]))


def _require_shape(op, got, wanted, specs):
    if got.rank != wanted.rank or any(join_dim(a, b) is None for a, b in zip(got.shape, wanted.shape)):
        raise ShapeError(f"{op}: the cotangent is {got}, the pooled tensor {wanted}.", got=show(specs), expected=str(wanted))


def _max_infer(x, *, window, strides, padding):
    require_dtype("max_pool", [x], REAL, "real")
    return _pooled("max_pool", x, window, strides, padding)


def _max_gradient_infer(ct, x, *, window, strides, padding):
    op = "max_pool_gradient"
    require_dtype(op, [ct, x], FLOATS, "floating-point")
    require_equal_dtypes(op, [ct, x])
    _require_shape(op, ct, _pooled(op, x, window, strides, padding), [ct, x])
    return x


def _max_pick_infer(v, x, *, window, strides, padding):
    op = "max_pool_pick"
    require_dtype(op, [v, x], FLOATS, "floating-point")
    require_equal_dtypes(op, [v, x])
    _require_shape(op, v, x, [v, x])
    return _pooled(op, x, window, strides, padding)


def _mean_infer(x, *, window, strides, padding):
    require_dtype("average_pool", [x], FLOATS, "floating-point")
    return _pooled("average_pool", x, window, strides, padding)


def _mean_gradient_infer(ct, *, shape, window, strides, padding):
    op = "average_pool_gradient"
    require_dtype(op, [ct], FLOATS, "floating-point")
    x = TensorSpec((ct.shape[0], *shape, ct.shape[-1]), ct.dtype)
    _require_shape(op, ct, _pooled(op, x, window, strides, padding), [ct])
    return x


def _cuts(window, strides, sizes):
    """For every cell of the window, slices of the padded input that it meets at all places."""
    for cell in np.ndindex(*window):
        yield (slice(None), *(slice(k, k + (n - 1) * s + 1, s) for k, n, s in zip(cell, sizes, strides)))


def _padded(x, padding, fill):
    return np.pad(x, [(0, 0), *padding, (0, 0)], constant_values=fill)


def _sizes(shape, window, strides, padding):
    return tuple(output_size(d, w, s, p, 1) for d, w, s, p in zip(shape, window, strides, padding))


def _windows(x, window, strides, padding):
    """(cells of the window, N, *output sizes, C), with the lowest number beyond the borders."""
    lowest = -np.inf if x.dtype.kind not in "iu" else np.iinfo(x.dtype).min
    padded = _padded(x, padding, lowest)
    return np.stack([padded[cut] for cut in _cuts(window, strides, _sizes(x.shape[1:-1], window, strides, padding))])


def _max_eager(x, *, window, strides, padding):
    return _windows(x, window, strides, padding).max(0)


def _inner(padded, shape, padding):
    return np.ascontiguousarray(padded[(slice(None), *(slice(low, low + n) for n, (low, _) in zip(shape, padding)))])


def _max_gradient_eager(ct, x, *, window, strides, padding):
    first = _windows(x, window, strides, padding).argmax(0)
    dx = _padded(np.zeros_like(x), padding, 0)
    for number, cut in enumerate(_cuts(window, strides, ct.shape[1:-1])):
        dx[cut] += np.where(first == number, ct, ct.dtype.type(0))
    return _inner(dx, x.shape[1:-1], padding)


def _max_pick_eager(v, x, *, window, strides, padding):
    first = _windows(x, window, strides, padding).argmax(0)
    padded = _padded(v, padding, 0)
    picked = np.stack([padded[cut] for cut in _cuts(window, strides, first.shape[1:-1])])
    return np.take_along_axis(picked, first[None], 0)[0]


def _counts(shape, window, strides, padding):
    """How many cells of each window lie inside, over (*output sizes, 1)."""
    inside = _padded(np.ones((1, *shape, 1), np.int64), padding, 0)
    return sum(inside[cut] for cut in _cuts(window, strides, _sizes(shape, window, strides, padding)))[0]


def _mean_eager(x, *, window, strides, padding):
    padded, shape = _padded(x, padding, 0), x.shape[1:-1]
    total = sum(padded[cut] for cut in _cuts(window, strides, _sizes(shape, window, strides, padding)))
    return (total / _counts(shape, window, strides, padding).astype(x.dtype)).astype(x.dtype)


def _mean_gradient_eager(ct, *, shape, window, strides, padding):
    share = ct / _counts(shape, window, strides, padding).astype(ct.dtype)
    dx = _padded(np.zeros((ct.shape[0], *shape, ct.shape[-1]), ct.dtype), padding, 0)
    for cut in _cuts(window, strides, ct.shape[1:-1]):
        dx[cut] += share
    return _inner(dx, shape, padding)


def _attrs(rank, window, strides, padding=0):
    def each(value):
        return tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank

    pairs = tuple(p if isinstance(p, tuple) else (p, p) for p in each(padding))
    return {"window": each(window), "strides": each(strides), "padding": pairs}


_CASES = [
    ((2, 8, 3), _attrs(1, 2, 2)),
    ((1, 7, 9), _attrs(1, 3, 1, 1)),
    ((2, 6, 4, 5), _attrs(2, 2, 2)),
    ((2, 5, 7, 17), _attrs(2, (3, 2), (2, 1), ((1, 1), (0, 1)))),
    ((1, 7, 7, 2), _attrs(2, 2, 3)),
    ((1, 4, 5, 3, 4), _attrs(3, 2, (2, 2, 1), ((0, 0), (0, 1), (0, 1)))),
    ((0, 4, 4, 3), _attrs(2, 2, 2)),
]


def _varied(inputs, dtypes=FLOATS):
    """A rule for random windows over one to three spatial axes; `inputs(x, attrs)` gives shapes and further attributes."""

    def vary(rng):
        rank = int(rng.integers(1, 4))
        window, strides = (tuple(int(v) for v in rng.integers(1, 4, rank)) for _ in range(2))
        # Every window holds a cell of the input, or its maximum would be nothing.
        padding = tuple((int(rng.integers(0, k)), int(rng.integers(0, k))) for k in window)
        sizes = [max(k - min(pair), 1) + int(rng.integers(0, 7 if rank < 3 else 4)) for k, pair in zip(window, padding)]
        x = (int(rng.choice([0, 1, 1, 2])), *sizes, int(rng.choice([1, 2, 3, 8, 9, 17])))
        attrs = {"window": window, "strides": strides, "padding": padding}
        shapes, extra = inputs(x, attrs)
        dtype = any_dtype(rng, dtypes)
        return Sample(tuple(drawn(shape, dtype) for shape in shapes), extra | attrs)

    return vary


def _cost(*specs, outputs, window, **attrs):
    return size(window) * outputs[0].size


def _output(x, attrs):
    return (x[0], *_sizes(x[1:-1], **attrs), x[-1])


_ERRORS = [
    ErrorSample((uniform((2, 5)),), _attrs(0, 2, 2), raises=ShapeError, match="needs a tensor of rank 3, 4 or 5"),
    ErrorSample((uniform((2, 2, 3)),), _attrs(1, 3, 1), raises=ShapeError, match="larger than the padded input"),
]

register_op(
    "max_pool",
    kind="index",
    batch=batching.merged(),
    infer=_max_infer,
    eager=_max_eager,
    vjp=lambda ct, x, y, **attrs: (prim.max_pool_gradient(ct, x, **attrs),),
    lower={"cpu": "max_pool"},
    cost=_cost,
    samples=[Sample((uniform(x),), attrs) for x, attrs in _CASES]
    + [Sample((integers((2, 4, 4, 3)),), _attrs(2, 2, 2)), Sample((uniform((2, 4, 4, 3), dtype="float16"),), _attrs(2, 2, 2))],
    vary=_varied(lambda x, attrs: ([x], {}), REAL),
    errors=_ERRORS,
)
register_op(
    "max_pool_gradient",
    kind="index",
    batch=batching.merged(),
    infer=_max_gradient_infer,
    eager=_max_gradient_eager,
    vjp=lambda v, ct, x, dx, **attrs: (prim.max_pool_pick(v, x, **attrs), None),
    lower={"cpu": "max_pool_gradient"},
    cost=_cost,
    samples=[Sample((uniform(_output(x, attrs)), uniform(x)), attrs) for x, attrs in _CASES],
    vary=_varied(lambda x, attrs: ([_output(x, attrs), x], {})),
    errors=[ErrorSample((uniform((2, 4, 3)), uniform((2, 4, 3))), _attrs(1, 2, 2), raises=ShapeError, match="the pooled tensor")],
)
register_op(
    "max_pool_pick",
    kind="index",
    batch=batching.merged(),
    infer=_max_pick_infer,
    eager=_max_pick_eager,
    vjp=lambda ct, v, x, y, **attrs: (prim.max_pool_gradient(ct, x, **attrs), None),
    lower={"cpu": "max_pool_pick"},
    cost=_cost,
    samples=[Sample((uniform(x), uniform(x)), attrs) for x, attrs in _CASES],
    vary=_varied(lambda x, attrs: ([x, x], {})),
)
register_op(
    "average_pool",
    kind="index",
    batch=batching.merged(),
    infer=_mean_infer,
    eager=in_float32(_mean_eager),
    vjp=lambda ct, x, y, **attrs: (prim.average_pool_gradient(ct, shape=x.spec.shape[1:-1], **attrs),),
    lower={"cpu": "average_pool"},
    cost=_cost,
    samples=[Sample((uniform(x),), attrs) for x, attrs in _CASES]
    + [Sample((uniform((2, 4, 4, 3), dtype="float16"),), _attrs(2, 2, 2))],
    vary=_varied(lambda x, attrs: ([x], {})),
    errors=_ERRORS,
)
register_op(
    "average_pool_gradient",
    kind="index",
    batch=batching.merged(),
    infer=_mean_gradient_infer,
    eager=in_float32(_mean_gradient_eager),
    vjp=lambda v, ct, dx, *, shape, **attrs: (prim.average_pool(v, **attrs),),
    lower={"cpu": "average_pool_gradient"},
    cost=_cost,
    samples=[Sample((uniform(_output(x, attrs)),), {"shape": x[1:-1]} | attrs) for x, attrs in _CASES],
    vary=_varied(lambda x, attrs: ([_output(x, attrs)], {"shape": tuple(x[1:-1])})),
)
