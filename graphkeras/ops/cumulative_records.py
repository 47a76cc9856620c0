"""Records of cumulative sums and products along an axis."""

import numpy as np

from graphkeras.ir.errors import ArgumentError, DTypeError
from graphkeras.ir.registry import ErrorSample, Sample, register_op
from graphkeras.ir.samples import booleans, exactly, integers, uniform
from graphkeras.ops.inference import REAL, require_axis, require_dtype, scalar_like
from graphkeras.trace import prim

# As for reductions: running values are kept in the next wider type and rounded once per element.
_WIDER = {"float16": np.float32, "bfloat16": np.float32, "float32": np.float64}


def _infer(op):
    def infer(x, *, axis, reverse):
        require_dtype(op, [x], REAL, "real")
        require_axis(op, axis, x.rank)
        return x

    return infer


def _eager(function):
    def eager(x, *, axis, reverse):
        with np.errstate(all="ignore"):
            turned = np.flip(x, axis) if reverse else x
            result = function(turned, axis=axis, dtype=_WIDER.get(x.dtype.name, x.dtype)).astype(x.dtype)
        return np.ascontiguousarray(np.flip(result, axis)) if reverse else result

    return eager


def _cumprod_vjp(ct, x, y, *, axis, reverse):
    """dL/dx[i] = (sum over j >= i of ct[j] y[j]) / x[i] where nothing is zero.

    At the first zero of a line the product of the others takes its place: the running product with that zero replaced by 1, up to
    the next zero. Elements behind the first zero have no influence.
    """
    zero, one = scalar_like(0, x), scalar_like(1, x)
    is_zero = prim.equal(x, zero)
    zeros = prim.cumsum(prim.cast(is_zero, dtype="int32"), axis=axis, reverse=reverse)  # zeros so far, this element included
    none = prim.equal(zeros, np.int32(0))
    single = prim.equal(zeros, np.int32(1))
    safe = prim.select(is_zero, one, x)
    running = prim.cumprod(safe, axis=axis, reverse=reverse)
    before = prim.cumsum(prim.select(none, ct * running, zero), axis=axis, reverse=not reverse) / safe
    at_zero = prim.cumsum(prim.select(single, ct * running, zero), axis=axis, reverse=not reverse)
    first = prim.logical_and(is_zero, single)
    return (prim.select(none, before, prim.select(first, at_zero, zero)),)


def _samples(make):
    along = {"axis": 1, "reverse": False}
    return [
        Sample((make((3, 10)),), along),
        Sample((make((3, 10)),), {"axis": 1, "reverse": True}),
        Sample((make((40,)),), {"axis": 0, "reverse": False}),
        Sample((make((5, 19)),), {"axis": 0, "reverse": True}),
        Sample((make((2, 4, 3)),), {"axis": 1, "reverse": False}),
        Sample((make((11, 6)),), along),
        Sample((integers((3, 7), -3, 4),), along),
        Sample((integers((30,), 0, 4, "uint8"),), {"axis": 0, "reverse": False}),
        Sample((exactly([[1.0, np.inf, 2.0, -np.inf, 1.0]], "float32"),), along),
        Sample((uniform((4, 9), dtype="float16"),), along),
    ]


_ERRORS = [
    ErrorSample((uniform((3,)),), {"axis": 1, "reverse": False}, raises=ArgumentError, match="out of range for rank 1"),
    ErrorSample((booleans((3,)),), {"axis": 0, "reverse": False}, raises=DTypeError, match="needs real elements"),
]

register_op(
    "cumsum",
    kind="index",
    infer=_infer("cumsum"),
    eager=_eager(np.cumsum),
    vjp=lambda ct, x, y, *, axis, reverse: (prim.cumsum(ct, axis=axis, reverse=not reverse),),
    lower={"cpu": "cumulative"},
    cost=lambda x, outputs, *, axis, reverse: x.size,
    samples=_samples(uniform),
    errors=_ERRORS,
)
register_op(
    "cumprod",
    kind="index",
    infer=_infer("cumprod"),
    eager=_eager(np.cumprod),
    vjp=_cumprod_vjp,
    lower={"cpu": "cumulative"},
    cost=lambda x, outputs, *, axis, reverse: x.size,
    samples=_samples(lambda shape: uniform(shape, 0.5, 1.5)),
    errors=_ERRORS,
)
