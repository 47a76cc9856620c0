"""Record of scatter_reduce: rows that are set, multiplied, or replaced by the larger or smaller, at computed places."""

import numpy as np

from graphkeras.ir.dtypes import FLOATS, INTEGERS, numpy_dtype
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ir.registry import ErrorSample, Sample, register_op
from graphkeras.ir.samples import any_dtype, any_shape, any_size, booleans, drawn, exactly, integers, uniform
from graphkeras.ops import batching
from graphkeras.ops.indexing import check_indices
from graphkeras.ops.inference import REAL, join_dim, require_dtype, require_equal_dtypes, scalar_like, show
from graphkeras.ops.sources import filled, iota
from graphkeras.trace import prim

HOW = ("set", "max", "min", "mul")
_UFUNCS = {"max": np.maximum, "min": np.minimum, "mul": np.multiply}


def _infer(x, indices, updates, *, how):
    if how not in HOW:
        raise ArgumentError(f"scatter_reduce: unknown how={how!r}.", got=repr(how), expected="one of " + ", ".join(HOW))
    require_dtype("scatter_reduce", [x, updates], (*REAL, "bool") if how == "set" else REAL, "real")
    require_equal_dtypes("scatter_reduce", [x, updates])
    require_dtype("scatter_reduce", [indices], INTEGERS, "integer")
    fits = x.rank >= 1 and indices.rank == 1 and updates.rank == x.rank
    fits = fits and all(join_dim(a, b) is not None for a, b in zip((*indices.shape, *x.shape[1:]), updates.shape))
    if not fits:
        raise ShapeError(
            f"scatter_reduce: updates {updates.shape} do not fit indices {indices.shape} and {x.shape}.",
            got=show([x, indices, updates]),
            expected="x (N, ...), indices (K,), updates (K, ...)",
        )  # fmt: skip
    return x


def _eager(x, indices, updates, *, how):
    check_indices("scatter_reduce", indices, x.shape[0])
    result, places = x.copy(), indices.astype(np.int64)
    with np.errstate(all="ignore"):
        if how == "set":
            for place, update in zip(places, updates):  # the last one stands, which NumPy does not promise
                result[place] = update
        else:
            _UFUNCS[how].at(result, places, updates)
    return result


def _vjp(ct, x, indices, updates, y, *, how):
    if how == "set":
        kept = prim.scatter_reduce(ct, indices, updates * scalar_like(0, updates), how="set")
        number = iota(indices.spec.shape, 0, "int32", like=x)
        nobody = filled(-1, x.spec.shape[:1], "int32", like=x)
        last = prim.gather(prim.scatter_reduce(nobody, indices, number, how="set"), indices, axis=0)
        stands = prim.reshape(prim.equal(last, number), shape=(*indices.spec.shape, *(1,) * (x.ndim - 1)))
        return kept, None, prim.gather(ct, indices, axis=0) * prim.cast(stands, dtype=ct.dtype)
    if how == "mul":
        return _product_vjp(ct, x, indices, updates)
    # All that equal the extreme share its gradient, as in TensorFlow.
    own = prim.cast(prim.equal(x, y), dtype=ct.dtype)
    theirs = prim.cast(prim.equal(updates, prim.gather(y, indices, axis=0)), dtype=ct.dtype)
    share = ct / prim.scatter_add(own, indices, theirs, axis=0)
    return own * share, None, theirs * prim.gather(share, indices, axis=0)


def _product_vjp(ct, x, indices, updates):
    ones = filled(1, x.spec.shape, x.dtype, like=x)
    others = prim.scatter_product_of_others(x, indices, updates)
    return ct * prim.scatter_reduce(ones, indices, updates, how="mul"), None, prim.gather(ct, indices, axis=0) * others


def _others(x, indices, updates):
    """For each update the product of all other factors of its row: that of all over its own where nothing is zero; where one
    factor is, it alone has a product of others that is not."""
    zero, one = scalar_like(0, x), scalar_like(1, x)
    x_zero, u_zero = (prim.cast(prim.equal(v, zero), dtype=x.dtype) for v in (x, updates))
    safe_x, safe_u = (prim.select(prim.equal(v, zero), one, v) for v in (x, updates))
    product = prim.scatter_reduce(safe_x, indices, safe_u, how="mul")
    taken = lambda v: prim.gather(v, indices, axis=0)
    count = taken(prim.scatter_add(x_zero, indices, u_zero, axis=0)) - u_zero
    return prim.select(prim.equal(count, zero), taken(product) / safe_u, zero)


def _others_eager(x, indices, updates):
    check_indices("scatter_product_of_others", indices, x.shape[0])
    wide = {"float16": np.float32, "bfloat16": np.float32, "float32": np.float64}.get(x.dtype.name, x.dtype)
    places, own = indices.astype(np.int64), updates.astype(wide)
    with np.errstate(all="ignore"):
        zeros, product = (x == 0).astype(np.int64), np.where(x == 0, 1, x.astype(wide))
        np.add.at(zeros, places, own == 0)
        np.multiply.at(product, places, np.where(own == 0, 1, own))
        left = zeros[places] - (own == 0)
        return np.where(left == 0, product[places] / np.where(own == 0, 1, own), 0).astype(x.dtype)


def _others_infer(x, indices, updates):
    require_dtype("scatter_product_of_others", [x], FLOATS, "floating-point")
    return updates.with_dtype(_infer(x, indices, updates, how="mul").dtype)


def _others_vjp(ct, x, indices, updates, y):
    # Others of update k: in copy k of x, where k's own factor is a one, the product of row indices[k]. So the slope by factor j of
    # that row is the product of all others there. Quadratic, and right at any number of zeros.
    (rows, *inner), (count,) = x.spec.shape, indices.spec.shape
    ones = filled(1, x.spec.shape, x.dtype, like=x)
    dx = ct * prim.scatter_product_of_others(ones, indices, updates)
    dx = prim.scatter_add(filled(0, x.spec.shape, x.dtype, like=x), indices, dx, axis=0)
    places = prim.cast(indices, dtype="int32")
    places = prim.select(prim.less(places, np.int32(0)), places + rows, places)
    copies = prim.broadcast_to(prim.reshape(x, shape=(1, rows, *inner)), shape=(count, rows, *inner))
    spread = prim.reshape(places, shape=(1, count)) + iota((count, 1), 0, "int32", like=x) * rows
    same = prim.equal(*(iota((count, count), a, "int32", like=x) for a in (0, 1)))
    meet = prim.equal(prim.reshape(places, shape=(count, 1)), prim.reshape(places, shape=(1, count)))
    meet = prim.logical_and(meet, prim.logical_not(same))
    same, meet = (prim.reshape(m, shape=(count, count, *(1 for _ in inner))) for m in (same, meet))
    square = prim.select(same, scalar_like(1, x), prim.reshape(updates, shape=(1, count, *inner)))
    others = prim.scatter_product_of_others(
        prim.reshape(copies, shape=(count * rows, *inner)),
        prim.reshape(spread, shape=(count * count,)),
        prim.reshape(square, shape=(count * count, *inner)),
    )
    others = prim.reshape(others, shape=(count, count, *inner)) * prim.reshape(ct, shape=(count, 1, *inner))
    return dx, None, prim.reduce_sum(prim.select(meet, others, scalar_like(0, x)), axes=(0,), keepdims=False)


def _varied(rng):
    shape = any_shape(rng, 1, 3)
    count, how = any_size(rng) if shape[0] else 0, str(rng.choice(HOW))
    x = drawn(shape, any_dtype(rng, (*REAL, "bool") if how == "set" else REAL), 0.5, 2)
    indices = integers((count,), -shape[0], max(shape[0], 1), any_dtype(rng, ("int32", "int64", "int8")))
    return Sample((x, indices, x.like((count, *shape[1:]))), {"how": how})


_DUPLICATES = exactly([2, 0, 2, -1], "int32")
_FEW = lambda how: {"how": how}

register_op(
    "scatter_reduce",
    kind="index",
    batch=batching.scatter_reduce,
    infer=_infer,
    eager=_eager,
    vjp=_vjp,
    lower={"cpu": "scatter_reduce"},
    cost=lambda x, indices, updates, outputs, *, how: updates.size,
    samples=[
        *(Sample((uniform((5, 3), 0.5, 2), _DUPLICATES, uniform((4, 3), 0.5, 2)), _FEW(how)) for how in HOW),
        *(Sample((uniform((7,)), integers((30,), -7, 7, "int64"), uniform((30,))), _FEW(how)) for how in HOW),
        Sample((uniform((4, 2, 40), 0.5, 2), exactly([1, 1, 3], "uint8"), uniform((3, 2, 40), 0.5, 2)), _FEW("mul")),
        Sample((integers((5, 20)), exactly([1, 1, 3], "int32"), integers((3, 20))), _FEW("max")),
        Sample((booleans((5,)), exactly([1, 1, 3], "int32"), booleans((3,))), _FEW("set")),
        Sample(
            (exactly([1, np.nan, 3], "float32"), exactly([0, 1, 2], "int32"), exactly([np.nan, 1, np.inf], "float32")), _FEW("max")
        ),
        Sample((uniform((3,), dtype="bfloat16"), exactly([0, 0, 2], "int32"), uniform((3,), dtype="bfloat16")), _FEW("mul")),
    ],
    vary=_varied,
    errors=[
        ErrorSample((uniform((5, 3)), integers((4,)), uniform((4, 2))), _FEW("set"), raises=ShapeError, match="do not fit"),
        ErrorSample((uniform((5,)), uniform((4,)), uniform((4,))), _FEW("max"), raises=DTypeError, match="needs integer elements"),
        ErrorSample((uniform((5,)), integers((4,)), uniform((4,))), _FEW("add"), raises=ArgumentError, match="unknown how"),
    ],
)


def _others_varied(rng):
    """Few rows, many updates to each, zeros among them."""
    shape = (any_size(rng, 1, 4), *any_shape(rng, 0, 1, most=4))
    count, dtype = any_size(rng, most=9), any_dtype(rng)
    some_zeros = lambda shape: exactly(
        np.where(rng.random(shape) < 0.2, 0, rng.uniform(0.5, 2, shape)).astype(numpy_dtype(dtype))
    )
    return Sample((some_zeros(shape), integers((count,), -shape[0], shape[0]), some_zeros((count, *shape[1:]))))


register_op(
    "scatter_product_of_others",  # of each update, what it is multiplied with: the slope of scatter_reduce with how="mul"
    kind="composite",
    batch="its gradient for all elements at once is quadratic in their number",
    infer=_others_infer,
    eager=_others_eager,
    vjp=_others_vjp,
    expand=_others,
    cost=lambda x, indices, updates, outputs: 4 * updates.size,
    samples=[
        Sample((uniform((5, 3), 0.5, 2), _DUPLICATES, uniform((4, 3), 0.5, 2))),
        Sample((exactly([2, 0, 3], "float32"), exactly([0, 0, 1, 2, 2], "int32"), exactly([0, 5, 7, 0, 0], "float32"))),
    ],
    errors=[
        ErrorSample((integers((5,)), integers((4,)), integers((4,))), raises=DTypeError, match="floating-point"),
        ErrorSample((uniform((5, 3)), integers((4,)), uniform((4, 2))), raises=ShapeError, match="do not fit"),
    ],
    vary=_others_varied,
)
