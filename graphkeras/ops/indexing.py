"""Ops that read or write at computed places: gather, lookup, scatter_add, concatenate, pad."""

import numpy as np

from graphkeras.ir.dtypes import FLOATS, INTEGERS
from graphkeras.ir.errors import ArgumentError, DataError, DTypeError, ShapeError
from graphkeras.ir.registry import ErrorSample, Sample, register_op
from graphkeras.ir.samples import any_axis, any_dtype, any_shape, any_size, booleans, drawn, exactly, flip, integers, uniform
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops import batching
from graphkeras.ops.inference import NUMERIC, index_hint, join_dim, require_axis, require_dtype, require_equal_dtypes, scalar_like, show
from graphkeras.ops.sources import filled
from graphkeras.trace import convert_to_tensor, prim


def _gathered_shape(x, indices, axis):
    return (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _gather_infer(x, indices, *, axis):
    require_dtype("gather", [indices], INTEGERS, "integer")
    require_axis("gather", axis, x.rank)
    return x.with_shape(_gathered_shape(x, indices, axis))


def check_indices(op, indices, dim):
    """Raises DataError for an index outside [-dim, dim)."""
    # Unsigned indices must not wrap when they are compared with -dim.
    bad = (indices >= dim) if indices.dtype.kind == "u" else (indices >= dim) | (indices < -dim)
    if bad.any():
        position = int(np.argmax(bad))
        value = int(indices.reshape(-1)[position])
        raise DataError(
            f"{op}: index {value} is out of range for an axis of size {dim}.",
            got=f"{value} at flat position {position} of indices of shape {indices.shape}",
            expected=f"integers in [{-dim}, {dim})",
            mend="check the indices, or the size of the table (e.g. input_dim of an Embedding)" + index_hint(value),
        )


def _gather_eager(x, indices, *, axis):
    check_indices("gather", indices, x.shape[axis])
    return np.asarray(np.take(x, indices.astype(np.int64), axis=axis))


def _gather_vjp(ct, x, indices, y, *, axis):
    zeros = filled(0, x.spec.shape, ct.dtype, like=ct)
    return prim.scatter_add(zeros, indices, ct, axis=axis), None


_AXIS_0 = {"axis": 0}
_VARIED = (*FLOATS, *INTEGERS, "bool", "complex64")


def _rows_varied(rng, dtypes, least=0):
    """(x, indices into one of its axes, shape of what is found there, axis): random, with indices from both ends."""
    shape = any_shape(rng, 1, least=least)
    axis = any_axis(rng, len(shape))
    dim = shape[axis]
    places = any_shape(rng, 0, 2, most=30) if dim else (0,)
    dtype = any_dtype(rng, ("int32", "int64", "uint8", "int8"))
    indices = integers(places, 0 if dtype == "uint8" or flip(rng) else -dim, max(dim, 1), dtype)
    return drawn(shape, any_dtype(rng, dtypes)), indices, (*shape[:axis], *places, *shape[axis + 1 :]), axis


def _gather_varied(rng):
    x, indices, _, axis = _rows_varied(rng, _VARIED)
    return Sample((x, indices), {"axis": axis})


def _scatter_add_varied(rng):
    x, indices, found, axis = _rows_varied(rng, (*FLOATS, *INTEGERS))
    return Sample((x, indices, x.like(found)), {"axis": axis})


register_op(
    "gather",
    kind="index",
    batch=batching.gather,
    infer=_gather_infer,
    eager=_gather_eager,
    vjp=_gather_vjp,
    lower={"cpu": "gather"},
    samples=[
        Sample((uniform((5, 3)), integers((4,), 0, 5)), _AXIS_0),
        Sample((uniform((5, 33)), integers((2, 3), -5, 5)), _AXIS_0),
        Sample((uniform((2, 5, 3)), integers((4,), -5, 5)), {"axis": 1}),
        Sample((uniform((3, 6)), integers((2, 2), 0, 6)), {"axis": 1}),
        Sample((uniform((7,)), integers((), 0, 7, "int64")), _AXIS_0),
        Sample((booleans((7,)), integers((9,), 0, 7, "uint8")), _AXIS_0),
    ],
    vary=_gather_varied,
    errors=[
        ErrorSample((uniform((5, 3)), uniform((4,))), _AXIS_0, raises=DTypeError, match="needs integer elements"),
        ErrorSample((uniform((5, 3)), integers((4,))), {"axis": 2}, raises=ArgumentError, match="out of bounds for rank 2"),
    ],
)


# A gather whose indices are known to be in range, or have been checked: it cannot fail, so it may run anywhere and more than once.
# Other indices are clipped, so that nothing outside of x is read before anybody looks at the error.


def _lookup_infer(x, indices, *, axis):
    require_dtype("lookup", [indices], INTEGERS, "integer")
    require_axis("lookup", axis, x.rank)
    if x.shape[axis] == 0:
        raise ShapeError(
            f"lookup: axis {axis} of {x} is empty.", got=str(x), expected="something to look up", mend="use gather, which checks indices"
        )
    return x.with_shape(_gathered_shape(x, indices, axis))


def _lookup_eager(x, indices, *, axis):
    places = indices.astype(np.int64)
    return np.asarray(np.take(x, np.where(places < 0, places + x.shape[axis], places), axis=axis, mode="clip"))


def _lookup_vjp(ct, x, indices, y, *, axis):
    places = prim.cast(indices, dtype="int64")
    zero, dim = scalar_like(0, places), convert_to_tensor(x.spec.shape[axis], "int64")
    places = prim.select(prim.less(places, zero), prim.add(places, dim), places)
    places = prim.maximum(prim.minimum(places, prim.subtract(dim, scalar_like(1, places))), zero)
    return prim.scatter_add(filled(0, x.spec.shape, ct.dtype, like=ct), places, ct, axis=axis), None


def _lookup_varied(rng):
    x, indices, _, axis = _rows_varied(rng, _VARIED, least=1)
    return Sample((x, indices), {"axis": axis})


register_op(
    "lookup",
    kind="index",
    batch="programs make lookups of gathers, behind all transformations",
    infer=_lookup_infer,
    eager=_lookup_eager,
    vjp=_lookup_vjp,
    lower={"cpu": "lookup"},
    samples=[
        Sample((uniform((5, 3)), integers((4,), 0, 5)), _AXIS_0),
        Sample((uniform((5, 33)), integers((2, 3), -2, 9)), _AXIS_0),
        Sample((uniform((2, 5, 3)), integers((4,), 0, 5)), {"axis": 1}),
        Sample((uniform((2, 5, 40)), integers((4, 2), 0, 6)), {"axis": 1}),
        Sample((uniform((7,)), integers((), 0, 9, "int64")), _AXIS_0),
        Sample((booleans((7, 20)), integers((9,), 0, 7, "uint8")), _AXIS_0),
    ],
    vary=_lookup_varied,
    errors=[
        ErrorSample((uniform((5, 3)), uniform((4,))), _AXIS_0, raises=DTypeError, match="needs integer elements"),
        ErrorSample((uniform((0, 3)), integers((4,))), _AXIS_0, raises=ShapeError, match="axis 0 of .* is empty"),
    ],
)


def _scatter_add_infer(x, indices, updates, *, axis):
    require_dtype("scatter_add", [x, updates], NUMERIC, "numeric")
    require_equal_dtypes("scatter_add", [x, updates])
    require_dtype("scatter_add", [indices], INTEGERS, "integer")
    require_axis("scatter_add", axis, x.rank)
    expected = _gathered_shape(x, indices, axis)
    if len(expected) != updates.rank or any(join_dim(a, b) is None for a, b in zip(expected, updates.shape)):
        raise ShapeError(
            f"scatter_add: updates have shape {updates.shape}, not {expected}.",
            got=show([x, indices, updates]),
            expected="the shape that gather(x, indices, axis) has",
            mend="broadcast the updates to that shape first",
        )
    return x


def _scatter_add_eager(x, indices, updates, *, axis):
    check_indices("scatter_add", indices, x.shape[axis])
    result = x.copy()
    # (..., axis, ...) -> (axis, ...); updates: the axes of the indices come first.
    moved = np.moveaxis(updates, tuple(range(axis, axis + indices.ndim)), tuple(range(indices.ndim)))
    np.add.at(np.moveaxis(result, axis, 0), indices.astype(np.int64), moved)
    return result


register_op(
    "scatter_add",
    kind="index",
    batch=batching.scatter_add,
    infer=_scatter_add_infer,
    eager=_scatter_add_eager,
    vjp=lambda ct, x, indices, updates, y, *, axis: (ct, None, prim.gather(ct, indices, axis=axis)),
    lower={"cpu": "scatter_add"},
    cost=lambda x, indices, updates, outputs, *, axis: updates.size,
    samples=[
        Sample((uniform((5, 3)), integers((4,), 0, 5), uniform((4, 3))), _AXIS_0),
        Sample((uniform((5, 33)), integers((2, 6), -5, 5), uniform((2, 6, 33))), _AXIS_0),
        Sample((uniform((2, 5, 3)), integers((4,), 0, 5), uniform((2, 4, 3))), {"axis": 1}),
        Sample((uniform((7,)), exactly([2, 2, 2, 0], "int32"), uniform((4,))), _AXIS_0),
    ],
    vary=_scatter_add_varied,
    errors=[
        ErrorSample((uniform((5, 3)), integers((4,)), uniform((4, 2))), _AXIS_0, raises=ShapeError, match="updates have shape"),
        ErrorSample((uniform((5,)), uniform((4,)), uniform((4,))), _AXIS_0, raises=DTypeError, match="needs integer elements"),
    ],
)


def _concatenate_infer(*xs, axis):
    if not xs:
        raise ArgumentError("concatenate: no tensors were given.", got="an empty list", expected="at least one tensor")
    require_equal_dtypes("concatenate", xs)
    require_axis("concatenate", axis, xs[0].rank)
    shape = list(xs[0].shape)
    for x in xs[1:]:
        joined = [join_dim(a, b) for a, b in zip(shape, x.shape)]
        if x.rank != len(shape) or any(d is None for i, d in enumerate(joined) if i != axis):
            raise ShapeError(
                f"concatenate: shapes {xs[0].shape} and {x.shape} differ off axis {axis}.",
                got=show(xs),
                expected=f"equal shapes, except on axis {axis}",
                mend="check the axis, or pad the inputs to one size",
            )
        joined[axis] = shape[axis] + x.shape[axis]
        shape = joined
    return TensorSpec(tuple(shape), xs[0].dtype)


def _concatenate_vjp(ct, *values, axis):
    xs = values[:-1]
    rank, start, parts = ct.ndim, 0, []
    for x in xs:
        stop = start + x.spec.shape[axis]
        starts = tuple(start if i == axis else 0 for i in range(rank))
        stops = tuple(stop if i == axis else d for i, d in enumerate(x.spec.shape))
        parts.append(prim.slice(ct, starts=starts, stops=stops, strides=(1,) * rank))
        start = stop
    return tuple(parts)


def _concatenate_varied(rng):
    shape = any_shape(rng, 1, most=150)
    axis, dtype = any_axis(rng, len(shape)), any_dtype(rng, _VARIED)
    sizes = [any_size(rng, most=17) for _ in range(rng.integers(1, 5))]
    return Sample(tuple(drawn((*shape[:axis], d, *shape[axis + 1 :]), dtype) for d in sizes), {"axis": axis})


def _pad_varied(rng):
    shape, dtype = any_shape(rng, most=150), any_dtype(rng, _VARIED)
    widths = lambda: tuple(int(w) for w in rng.choice([0, 1, 2, 5], len(shape)))
    return Sample((drawn(shape, dtype), drawn((), dtype)), {"low": widths(), "high": widths()})


register_op(
    "concatenate",
    kind="index",
    batch=batching.shifted("axis"),
    infer=_concatenate_infer,
    eager=lambda *xs, axis: np.concatenate(xs, axis),
    vjp=_concatenate_vjp,
    lower={"cpu": "concatenate"},
    cost=lambda *xs, outputs, axis: 0,
    samples=[
        Sample((uniform((2, 3)), uniform((4, 3))), _AXIS_0),
        Sample((uniform((2, 3)), uniform((2, 19)), uniform((2, 1))), {"axis": 1}),
        Sample((uniform((2, 3, 4)), uniform((2, 0, 4)), uniform((2, 5, 4))), {"axis": 1}),
        Sample((integers((3,)),), _AXIS_0),
        Sample((booleans((3,)), booleans((2,))), _AXIS_0),
    ],
    vary=_concatenate_varied,
    errors=[
        ErrorSample((uniform((2, 3)), uniform((2, 4))), _AXIS_0, raises=ShapeError, match="differ off axis 0"),
        ErrorSample((uniform((2, 3)), uniform((2,))), _AXIS_0, raises=ShapeError, match="differ off axis 0"),
        ErrorSample((uniform((2,)), integers((2,))), _AXIS_0, raises=DTypeError, match="different dtypes"),
        ErrorSample((), _AXIS_0, raises=ArgumentError, match="no tensors"),
    ],
)


def _pad_infer(x, value, *, low, high):
    require_equal_dtypes("pad", [x, value])
    if value.rank or not len(low) == len(high) == x.rank:
        raise ShapeError(
            f"pad: {len(low)} and {len(high)} widths and a value of rank {value.rank} for rank {x.rank}.",
            got=show([x, value]),
            expected="one width per axis and side, and a scalar value",
        )
    if any(isinstance(w, int) and w < 0 for w in (*low, *high)):
        raise ArgumentError(
            "pad: widths must not be negative.",
            got=f"low={low}, high={high}",
            expected="widths >= 0",
            mend="cut with a slice instead",
        )
    return x.with_shape(tuple(a + d + b for a, d, b in zip(low, x.shape, high)))


def _pad_eager(x, value, *, low, high):
    result = np.full([a + d + b for a, d, b in zip(low, x.shape, high)], value, x.dtype)
    result[tuple(slice(a, a + d) for a, d in zip(low, x.shape))] = x
    return result


def _pad_vjp(ct, x, value, y, *, low, high):
    shape = x.spec.shape
    inner = prim.slice(ct, starts=low, stops=tuple(a + d for a, d in zip(low, shape)), strides=(1,) * len(shape))
    border = prim.pad(filled(0, shape, ct.dtype, like=ct), scalar_like(1, ct), low=low, high=high)
    return inner, prim.reduce_sum(ct * border, axes=tuple(range(ct.ndim)), keepdims=False)


register_op(
    "pad",
    kind="index",
    batch=batching.pad,
    infer=_pad_infer,
    eager=_pad_eager,
    vjp=_pad_vjp,
    lower={"cpu": "pad"},
    cost=lambda x, value, outputs, *, low, high: 0,
    samples=[
        Sample((uniform((2, 3)), uniform(())), {"low": (1, 0), "high": (0, 2)}),
        Sample((uniform((2, 17)), uniform(())), {"low": (0, 3), "high": (0, 5)}),
        Sample((uniform((4,)), uniform(())), {"low": (0,), "high": (0,)}),
        Sample((integers((2, 2, 2)), integers(())), {"low": (1, 1, 1), "high": (1, 1, 1)}),
    ],
    vary=_pad_varied,
    errors=[
        ErrorSample((uniform((2,)), uniform(())), {"low": (-1,), "high": (0,)}, raises=ArgumentError, match="must not be negative"),
        ErrorSample((uniform((2,)), uniform(())), {"low": (1, 1), "high": (0, 0)}, raises=ShapeError, match="for rank 1"),
    ],
)
