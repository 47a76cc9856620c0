"""Records of ops that put elements in order: sort, argsort, top_k, searchsorted.

The order is total: NaN stands behind all numbers, -0.0 and 0.0 are equal, and equal elements keep their order.
"""

import numpy as np

from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ir.registry import ZERO_GRADIENT, ErrorSample, Sample, register_op
from graphkeras.ir.samples import any_dtype, any_shape, any_size, booleans, drawn, exactly, flip, integers, uniform
from graphkeras.ops import batching
from graphkeras.ops.inference import REAL, require_axis, require_dtype, require_equal_dtypes, show
from graphkeras.ops.numpy_index import take_along_axis
from graphkeras.ops.sources import filled, iota
from graphkeras.trace import prim

ORDERED = (*REAL, "bool")


def sort_keys(x):
    """Numbers that NumPy orders as this module does: half precision has no NaN-aware order of its own."""
    return x.astype(np.float32) if x.dtype.name in ("float16", "bfloat16") else x


def _argsort(x, axis):
    return np.argsort(sort_keys(x), axis=axis, kind="stable")


def _infer(op):
    def infer(x, *, axis):
        require_dtype(op, [x], ORDERED, "real or boolean")
        require_axis(op, axis, x.rank)
        return x if op == "sort" else x.with_dtype("int32")

    return infer


def _sort_vjp(ct, x, y, *, axis):
    # Element i of the result came from order[i]; the inverse permutation brings its cotangent back.
    inverse = prim.argsort(prim.argsort(x, axis=axis), axis=axis)
    return (take_along_axis(ct, inverse, axis),)


_SAMPLES = [
    Sample((uniform((3, 10)),), {"axis": 1}),
    Sample((uniform((3, 100)),), {"axis": 1}),
    Sample((uniform((40, 3)),), {"axis": 0}),
    Sample((uniform((2, 300, 2)),), {"axis": 1}),
    Sample((uniform((700,), dtype="float64"),), {"axis": 0}),
    Sample((integers((3, 90), -4, 4),), {"axis": 1}),
    Sample((integers((150,), -(2**62), 2**62, "int64"),), {"axis": 0}),
    Sample((integers((80,), 0, 255, "uint8"),), {"axis": 0}),
    Sample((booleans((2, 70)),), {"axis": 1}),
    Sample((exactly([[3.0, np.nan, -0.0, 0.0, -np.inf, np.inf, np.nan, -1.0]], "float32"),), {"axis": 1}),
    Sample((uniform((0, 4)),), {"axis": 0}),
    Sample((uniform((33,), dtype="float16"),), {"axis": 0}),
]
_ERRORS = [
    ErrorSample((uniform((3,)),), {"axis": 1}, raises=ArgumentError, match="out of bounds for rank 1"),
    ErrorSample((exactly([1j], "complex64"),), {"axis": 0}, raises=DTypeError, match="needs real or boolean"),
]

register_op(
    "argsort",
    kind="index",
    batch=batching.shifted("axis"),
    infer=_infer("argsort"),
    eager=lambda x, *, axis: _argsort(x, axis).astype(np.int32),
    vjp=ZERO_GRADIENT,
    lower={"cpu": "argsort"},
    cost=lambda x, outputs, *, axis: 40 * x.size,
    samples=_SAMPLES,
    errors=_ERRORS,
)
register_op(
    "sort",
    kind="index",
    batch=batching.shifted("axis"),
    infer=_infer("sort"),
    eager=lambda x, *, axis: np.take_along_axis(x, _argsort(x, axis), axis),
    vjp=_sort_vjp,
    lower={"cpu": "sort"},
    cost=lambda x, outputs, *, axis: 40 * x.size,
    samples=_SAMPLES,
    errors=_ERRORS,
)


# ---- the largest ----------------------------------------------------------------------------------------------------


def _top_k_infer(x, *, k):
    require_dtype("top_k", [x], REAL, "real")
    if not x.rank:
        raise ShapeError("top_k: needs at least one axis.", got=show([x]), expected="rank 1 or more")
    size = x.shape[-1]
    if k < 0 or (isinstance(size, int) and k > size):
        raise ArgumentError(f"top_k: cannot take {k} of {size} elements.", got=f"k={k}, x {x}", expected=f"0 <= k <= {size}")
    spec = x.with_shape((*x.shape[:-1], k))
    return spec, spec.with_dtype("int32")


def _top_k_eager(x, *, k):
    # Stable from the end: of equal elements the first comes first; NaN counts as the largest.
    flipped = _argsort(x[..., ::-1], -1)[..., ::-1][..., :k]
    order = (x.shape[-1] - 1 - flipped).astype(np.int32)
    return np.take_along_axis(x, order, -1), order


def _top_k_vjp(ct, x, values, order, *, k):
    if ct[0] is None:
        return (None,)
    # (R, n) flattened: row r's element i lies at r * n + i.
    n = x.spec.shape[-1]
    rows = 1
    for d in x.spec.shape[:-1]:
        rows = d * rows
    places = prim.reshape(order, shape=(rows, k)) + iota((rows, 1), 0, "int32", like=x) * n
    zeros = filled(0, (rows * n,), x.dtype, like=x)
    flat = prim.scatter_add(zeros, places, prim.reshape(ct[0], shape=(rows, k)), axis=0)
    return (prim.reshape(flat, shape=x.spec.shape),)


def _top_k_varied(rng):
    shape = any_shape(rng, 1)
    return Sample((drawn(shape, any_dtype(rng, REAL)),), {"k": int(rng.integers(0, shape[-1] + 1))})


register_op(
    "top_k",
    kind="index",
    batch=batching.leading,
    infer=_top_k_infer,
    eager=_top_k_eager,
    vjp=_top_k_vjp,
    lower={"cpu": "top_k"},
    cost=lambda x, outputs, *, k: 4 * x.size,
    samples=[
        Sample((uniform((3, 10)),), {"k": 3}),
        Sample((uniform((2, 2, 300)),), {"k": 5}),
        Sample((uniform((2, 300)),), {"k": 100}),
        Sample((uniform((9,)),), {"k": 9}),
        Sample((uniform((9,)),), {"k": 0}),
        Sample((integers((3, 50), -3, 4),), {"k": 7}),
        Sample((integers((130,), 0, 2**63, "uint64"),), {"k": 4}),
        Sample((exactly([[3.0, np.nan, -0.0, 0.0, -np.inf, np.inf, np.nan, -1.0]], "float32"),), {"k": 6}),
        Sample((uniform((2, 33), dtype="bfloat16"),), {"k": 3}),
    ],
    vary=_top_k_varied,
    errors=[
        ErrorSample((uniform((3,)),), {"k": 4}, raises=ArgumentError, match="cannot take 4 of 3"),
        ErrorSample((uniform(()),), {"k": 0}, raises=ShapeError, match="at least one axis"),
    ],
)


# ---- places in a sorted sequence ------------------------------------------------------------------------------------


def _searchsorted_infer(edges, values, *, side):
    require_dtype("searchsorted", [edges, values], ORDERED, "real or boolean")
    require_equal_dtypes("searchsorted", [edges, values])
    if edges.rank != 1 or side not in ("left", "right"):
        raise ArgumentError(
            "searchsorted: needs a sequence of rank 1, and side 'left' or 'right'.", got=f"{show([edges, values])}, side={side!r}",
            expected="rank 1",
        )  # fmt: skip
    return values.with_dtype("int32")


def _searchsorted_varied(rng):
    dtype, count = any_dtype(rng, ORDERED), any_size(rng)
    edges = drawn((count,), dtype)
    increasing = lambda rng: np.sort(sort_keys(edges(rng))).astype(numpy_dtype(dtype))
    return Sample((increasing, drawn(any_shape(rng), dtype)), {"side": "left" if flip(rng) else "right"})


register_op(
    "searchsorted",
    kind="index",
    batch=batching.searchsorted,
    infer=_searchsorted_infer,
    eager=lambda edges, values, *, side: np.asarray(np.searchsorted(sort_keys(edges), sort_keys(values), side)).astype(np.int32),
    vjp=ZERO_GRADIENT,
    lower={"cpu": "searchsorted"},
    cost=lambda edges, values, outputs, *, side: 40 * values.size,
    samples=[
        Sample((exactly([-1.0, 0.0, 0.0, 1.5], "float32"), uniform((3, 7))), {"side": "left"}),
        Sample((exactly([-1.0, 0.0, 0.0, 1.5], "float32"), exactly([-2, -1, 0, 1, 1.5, 3], "float32")), {"side": "right"}),
        Sample((exactly([1, 2, 2, np.inf, np.nan], "float64"), exactly([np.nan, 2, np.inf, -0.0], "float64")), {"side": "left"}),
        Sample((exactly([1, 2, 2, 9], "int32"), integers((20,), 0, 11)), {"side": "right"}),
        Sample((exactly([], "float32"), uniform((5,))), {"side": "left"}),
        Sample((exactly([1, 5], "uint64"), exactly(2**63 + 1, "uint64")), {"side": "left"}),
    ],
    vary=_searchsorted_varied,
    errors=[ErrorSample((uniform((2, 2)), uniform((2,))), {"side": "left"}, raises=ArgumentError, match="rank 1")],
)
