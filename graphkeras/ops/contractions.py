"""Contractions: matrix products."""

import numpy as np

from graphkeras.ir.dims import size
from graphkeras.ir.dtypes import FLOATS
from graphkeras.ir.errors import DTypeError, ShapeError
from graphkeras.ir.registry import ErrorSample, Sample, register_op
from graphkeras.ir.samples import any_dtype, any_size, drawn, flip, integers, shapes_that_broadcast, uniform
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops import batching
from graphkeras.ops.elementwise import in_float32
from graphkeras.ops.inference import NUMERIC, broadcast_shapes, join_dim, require_dtype, require_equal_dtypes, show
from graphkeras.trace import prim


def _sides(spec, transposed):
    rows, columns = spec.shape[-2:]
    return (columns, rows) if transposed else (rows, columns)


def _matmul_infer(a, b, *, transpose_a=False, transpose_b=False):
    require_dtype("matmul", [a, b], NUMERIC, "numeric")
    require_equal_dtypes("matmul", [a, b])
    if a.rank < 2 or b.rank < 2:
        raise ShapeError(
            f"matmul: needs matrices, not ranks {a.rank} and {b.rank}.",
            got=show([a, b]),
            expected="rank 2 or more",
            mend="use ops.matmul, which also takes vectors",
        )
    rows, inner = _sides(a, transpose_a)
    inner_b, columns = _sides(b, transpose_b)
    if join_dim(inner, inner_b) is None:
        raise ShapeError(
            f"matmul: inner sizes differ ({inner} and {inner_b}).",
            got=show([a, b]) + "".join(f", transpose_{n}=True" for n, t in (("a", transpose_a), ("b", transpose_b)) if t),
            expected="a.shape[-1] == b.shape[-2]" if not transpose_a and not transpose_b else "equal inner sizes",
            mend="transpose or reshape one side, or build the layer for inputs of this width",
        )
    return TensorSpec((*broadcast_shapes("matmul", [a.shape[:-2], b.shape[:-2]], [a, b]), rows, columns), a.dtype)


def _matmul_eager(a, b, *, transpose_a=False, transpose_b=False):
    a = a.swapaxes(-1, -2) if transpose_a else a
    b = b.swapaxes(-1, -2) if transpose_b else b
    return np.matmul(a, b)


def _matmul_vjp(ct, a, b, y, *, transpose_a=False, transpose_b=False):
    # y = A B, dA = ct B^T, dB = A^T ct, with A and B the (transposed) inputs; an input that was transposed gets its transpose.
    if transpose_a:
        da = prim.matmul(b, ct, transpose_a=transpose_b, transpose_b=True)
    else:
        da = prim.matmul(ct, b, transpose_a=False, transpose_b=not transpose_b)
    if b.ndim == 2 < a.ndim and not transpose_a:  # one matrix for a whole stack: its gradient is one product, too
        a, ct = (prim.reshape(x, shape=(size(x.spec.shape[:-1]), x.spec.shape[-1])) for x in (a, ct))
    if transpose_b:
        db = prim.matmul(ct, a, transpose_a=True, transpose_b=transpose_a)
    else:
        db = prim.matmul(a, ct, transpose_a=not transpose_a, transpose_b=False)
    return da, db


def _matmul_cost(a, b, outputs, *, transpose_a=False, transpose_b=False):
    return 2 * size(outputs[0].shape) * _sides(a, transpose_a)[1]


def _varied(rng):
    """Random sizes, axes of batches that broadcast, transposed or not."""
    rows, inner, columns = (any_size(rng) if rng.random() < 0.9 else int(rng.integers(60, 400)) for _ in range(3))
    ta, tb = flip(rng), flip(rng)
    lead_a, lead_b = shapes_that_broadcast(rng, 2, high_rank=2, most=10)
    dtype = any_dtype(rng, (*FLOATS, "int32", "int8", "uint16"))
    a = (*lead_a, inner, rows) if ta else (*lead_a, rows, inner)
    b = (*lead_b, columns, inner) if tb else (*lead_b, inner, columns)
    return Sample((drawn(a, dtype), drawn(b, dtype)), {"transpose_a": ta, "transpose_b": tb})


def _case(a, b, ta=False, tb=False, make=uniform):
    return Sample((make(a), make(b)), {"transpose_a": ta, "transpose_b": tb})


register_op(
    "matmul",
    kind="contraction",
    batch=batching.matmul,
    infer=_matmul_infer,
    eager=in_float32(_matmul_eager),
    vjp=_matmul_vjp,
    lower={"cpu": "gemm"},
    cost=_matmul_cost,
    defaults={"transpose_a": False, "transpose_b": False},
    vary=_varied,
    samples=[
        _case((3, 4), (4, 5)),
        _case((4, 3), (4, 5), ta=True),
        _case((3, 4), (5, 4), tb=True),
        _case((4, 3), (5, 4), ta=True, tb=True),
        _case((2, 3, 4), (4, 5)),
        _case((2, 1, 3, 4), (3, 4, 2)),
        _case((2, 4, 3), (2, 5, 4), ta=True, tb=True),
        _case((17, 33), (33, 19)),
        _case((1, 7), (7, 1)),
        _case((2, 0), (0, 3)),
        Sample((uniform((3, 4), dtype="float64"), uniform((4, 2), dtype="float64")), {"transpose_a": False, "transpose_b": False}),
    ],
    errors=[
        ErrorSample((uniform((2, 3)), uniform((4, 5))), raises=ShapeError, match=r"inner sizes differ \(3 and 4\)"),
        ErrorSample((uniform((3,)), uniform((3, 5))), raises=ShapeError, match="needs matrices"),
        ErrorSample((uniform((2, 3)), integers((3, 5))), raises=DTypeError, match="different dtypes"),
        ErrorSample((uniform((2, 2, 3)), uniform((3, 3, 5))), raises=ShapeError, match="cannot be broadcast"),
    ],
)
