"""Scaled dot product attention as one op, so that its kernel can do without the whole matrix of scores.

`attention(query, key, value, *bias, *mask)` gives the result and the logarithm of each row's sum of exponentials, from which the
gradient makes the shares again. Shapes as in Keras: (batch, length, heads, size of a head); here every head of the query has a head
of key and value of its own. The gradient of the gradient is spelled out in primitives.
"""

import numpy as np

from graphkeras.ir.dims import size
from graphkeras.ir.errors import DTypeError, ShapeError
from graphkeras.ir.registry import ErrorSample, Sample, register_op
from graphkeras.ir.samples import any_size, flip, uniform
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops import batching
from graphkeras.ops.inference import join_dim, require_dtype, require_equal_dtypes, scalar_like, show
from graphkeras.ops.sources import iota
from graphkeras.trace import prim

MASKED = {dtype: 0.7 * float(np.finfo(dtype).min) for dtype in ("float32", "float64")}
"""The score of a hidden place: its exponential is zero, and adding scores to it overflows nothing."""


# ---- specs ----------------------------------------------------------------------------------------------------------


def _check(op, q, k, v, extras, bias, mask):
    """(batch, query's length, heads, key's length)."""
    require_dtype(op, [q, k, v], ("float32", "float64"), "float32 or float64")
    require_equal_dtypes(op, [q, k, v])
    if not q.rank == k.rank == v.rank == 4 or len(extras) != bias + mask:
        raise ShapeError(
            f"{op} needs tensors of rank 4.",
            got=show([q, k, v, *extras]),
            expected="query, key and value as (batch, length, heads, size), then bias and mask where there are some",
        )
    pairs = [(x.shape[i], y.shape[i]) for i, x, y in ((0, q, k), (2, q, k), (0, k, v), (2, k, v), (1, k, v), (3, q, k))]
    batch, heads, *_, keys, _ = joined = [join_dim(*pair) for pair in pairs]
    if any(d is None for d in joined):
        raise ShapeError(
            f"{op}: query, key and value do not fit.",
            got=show([q, k, v]),
            expected="one batch, one number of heads, one size of query and key, one length of key and value",
        )
    scores = (batch, heads, q.shape[1], keys)
    for spec, dtype in zip(extras, [q.dtype] * bias + ["bool"] * mask):
        if spec.dtype != dtype:
            raise DTypeError(f"{op}: bias or mask has the wrong dtype.", got=str(spec), expected=dtype)
        if spec.rank > 4 or any(d != 1 and join_dim(d, s) is None for d, s in zip(spec.shape[::-1], scores[::-1])):
            raise ShapeError(f"{op}: bias or mask does not fit the scores.", got=str(spec), expected=f"broadcasts to {scores}")
    return scores


def _infer(q, k, v, *extras, scale, causal, bias, mask):
    batch, heads, rows, _ = _check("attention", q, k, v, extras, bias, mask)
    return TensorSpec((batch, rows, heads, v.shape[3]), q.dtype), TensorSpec((batch, rows, heads), q.dtype)


def _gradient_infer(ct, q, k, v, lse, delta, *extras, scale, causal, bias, mask):
    _check("attention_gradient", q, k, v, extras, bias, mask)
    y, logs = _infer(q, k, v, *extras, scale=scale, causal=causal, bias=bias, mask=mask)
    if ct != y or lse != logs or delta != logs:
        raise ShapeError("attention_gradient: cotangent or sums do not fit.", got=show([ct, lse, delta]), expected=show([y, logs]))
    return q, k, v


# ---- meaning --------------------------------------------------------------------------------------------------------


def _split(extras, bias, mask):
    return extras[0] if bias else None, extras[-1] if mask else None


def _scores_numpy(q, k, extras, scale, causal, bias, mask):
    """(scores, what is seen or None), (B, N, T, S)."""
    bias, mask = _split(extras, bias, mask)
    scores = np.einsum("btnh,bsnh->bnts", q, k) * q.dtype.type(scale)
    scores = scores if bias is None else scores + bias
    seen = mask
    if causal:
        earlier = np.tri(scores.shape[2], scores.shape[3], dtype=bool)
        seen = earlier if seen is None else seen & earlier
    if seen is None:
        return scores, None
    return np.where(seen, scores, q.dtype.type(MASKED[q.dtype.name])), np.broadcast_to(seen, scores.shape)


def _eager(q, k, v, *extras, scale, causal, bias, mask):
    scores, _ = _scores_numpy(q, k, extras, scale, causal, bias, mask)
    peak = scores.max(3, keepdims=True, initial=-np.inf)
    peak = np.where(peak == -np.inf, q.dtype.type(0), peak)
    e = np.exp(scores - peak)
    total = e.sum(3, keepdims=True)
    lse = (peak + np.log(total))[..., 0].transpose(0, 2, 1)
    return np.ascontiguousarray(np.einsum("bnts,bsnh->btnh", e / total, v)), np.ascontiguousarray(lse)


def _gradient_eager(ct, q, k, v, lse, delta, *extras, scale, causal, bias, mask):
    number = q.dtype.type
    scores, seen = _scores_numpy(q, k, extras, scale, causal, bias, mask)
    logs, sums = (a.transpose(0, 2, 1)[..., None] for a in (lse, delta))
    shares = np.exp(scores - logs)
    shares = np.where(logs <= number(MASKED[q.dtype.name] / 2), number(1) / number(max(k.shape[1], 1)), shares)
    slopes = shares * (np.einsum("btnh,bsnh->bnts", ct, v) - sums)
    slopes = slopes if seen is None else np.where(seen, slopes, number(0))
    dq = np.einsum("bnts,bsnh->btnh", slopes, k) * number(scale)
    dk = np.einsum("bnts,btnh->bsnh", slopes, q) * number(scale)
    return tuple(map(np.ascontiguousarray, (dq, dk, np.einsum("bnts,btnh->bsnh", shares, ct))))


# ---- gradients ------------------------------------------------------------------------------------------------------


def _heads_first(x):
    """(B, T, N, H) to (B, N, T, H), or back."""
    return prim.transpose(x, perm=(0, 2, 1, 3))


def _rows_of(x):
    """(B, T, N) to (B, N, T, 1)."""
    batch, rows, heads = x.spec.shape
    return prim.reshape(prim.transpose(x, perm=(0, 2, 1)), shape=(batch, heads, rows, 1))


def _times(a, b, **transposes):
    return prim.matmul(a, b, **{"transpose_a": False, "transpose_b": False, **transposes})


def _row_sums(x):
    """(B, N, T, S) to (B, T, N)."""
    return prim.transpose(prim.reduce_sum(x, axes=(3,), keepdims=False), perm=(0, 2, 1))


def _count(keys, like):
    """The number of keys."""
    return scalar_like(max(keys, 1), like) if isinstance(keys, int) else prim.cast(prim.dim(size=keys), dtype=like.dtype)


class _Shares:
    """Shares and their slopes as graphs over whole matrices of scores, (B, N, T, S)."""

    def __init__(self, ct, q, k, v, lse, delta, extras, scale, causal, bias, mask):
        self.ct, self.q, self.k, self.v = map(_heads_first, (ct, q, k, v))
        self.scale = scalar_like(scale, q)
        bias, mask = _split(extras, bias, mask)
        scores = _times(self.q, self.k, transpose_b=True) * self.scale
        scores = scores if bias is None else scores + bias
        self.seen = mask
        if causal:
            rows, columns = scores.spec.shape[2:]
            earlier = prim.greater_equal(iota((rows, 1), 0, "int32", like=scores), iota((1, columns), 1, "int32", like=scores))
            self.seen = earlier if mask is None else prim.logical_and(mask, earlier)
        lowest = MASKED[q.dtype]
        if self.seen is not None:
            scores = prim.select(self.seen, scores, scalar_like(lowest, q))
        logs = _rows_of(lse)
        shares = prim.exp(scores - logs)
        if extras:
            blind = prim.less_equal(logs, scalar_like(lowest / 2, q))
            even = prim.divide(scalar_like(1, q), _count(k.spec.shape[1], q))
            shares = prim.select(prim.broadcast_to(blind, shape=shares.spec.shape), even, shares)
        self.shares = shares
        self.pulled = _times(self.ct, self.v, transpose_b=True) - _rows_of(delta)
        self.slopes = self.hidden(shares * self.pulled)

    def hidden(self, x):
        """x where the query sees the key, else 0."""
        return x if self.seen is None else prim.select(self.seen, x, scalar_like(0, x))


def _vjp(cts, *operands, scale, causal, bias, mask):
    ct, ct_lse = cts
    *inputs, y, lse = operands
    q, k, v, *extras = inputs
    if ct is None:
        ct = prim.broadcast_to(scalar_like(0, y), shape=y.spec.shape)
    delta = prim.reduce_sum(ct * y, axes=(3,), keepdims=False)
    delta = delta if ct_lse is None else delta - ct_lse
    attrs = {"scale": scale, "causal": causal, "bias": bias, "mask": mask}
    found = list(prim.attention_gradient(ct, q, k, v, lse, delta, *extras, **attrs))
    if bias:
        found.append(_Shares(ct, q, k, v, lse, delta, extras, **attrs).slopes)
    return (*found, *[None] * mask)


def _gradient_vjp(cts, *operands, scale, causal, bias, mask):
    ct, q, k, v, lse, delta, *extras = operands[:-3]
    x = _Shares(ct, q, k, v, lse, delta, extras, scale, causal, bias, mask)
    to_q, to_k, to_v = (None if c is None else _heads_first(c) for c in cts)
    zero = prim.broadcast_to(scalar_like(0, q), shape=x.shares.spec.shape)
    turned = zero  # cotangent of the slopes
    if to_q is not None:
        turned = turned + x.scale * _times(to_q, x.k, transpose_b=True)
    if to_k is not None:
        turned = turned + x.scale * _times(x.q, to_k, transpose_b=True)
    turned = x.hidden(turned)
    to_shares = turned * x.pulled
    if to_v is not None:
        to_shares = to_shares + _times(x.ct, to_v, transpose_b=True)
    pulled = turned * x.shares
    scores = x.shares * to_shares
    if extras:  # the even shares of a row that sees nothing are constant
        blind = prim.less_equal(_rows_of(lse), scalar_like(MASKED[q.dtype] / 2, q))
        scores = prim.select(prim.broadcast_to(blind, shape=scores.spec.shape), zero, scores)
    logs = prim.negative(_row_sums(scores))
    scores = x.hidden(scores)
    d_ct = _times(pulled, x.v)
    d_q = x.scale * _times(scores, x.k)
    d_k = x.scale * _times(scores, x.q, transpose_a=True)
    d_v = _times(pulled, x.ct, transpose_a=True)
    if to_v is not None:
        d_ct = d_ct + _times(x.shares, to_v)
    if to_k is not None:
        d_q = d_q + x.scale * _times(x.slopes, to_k)
    if to_q is not None:
        d_k = d_k + x.scale * _times(x.slopes, to_q, transpose_a=True)
    found = [*map(_heads_first, (d_ct, d_q, d_k, d_v)), logs, prim.negative(_row_sums(pulled))]
    return (*found, *([scores] if bias else []), *[None] * mask)


# ---- records --------------------------------------------------------------------------------------------------------


def _cost(products):
    def cost(*specs, outputs, **attrs):
        q, k, v = specs[:3] if products == 2 else specs[1:4]
        pairs = size(q.shape[:3]) * k.shape[1]
        return pairs * (2 * (q.shape[3] + v.shape[3]) + 20) if products == 2 else pairs * (6 * q.shape[3] + 4 * v.shape[3] + 20)

    return cost


def _mask(shape):
    """Coin flips, but every query sees the first key: the sum of a row that sees nothing is no number to differentiate."""

    def make(rng):
        mask = rng.integers(0, 2, shape).astype(bool)
        mask[..., :1] = True
        return mask

    return make


def _sample(batch, rows, keys, heads, width, depth, *, bias=None, mask=None, causal=False, gradient=False, dtype="float32"):
    floats = lambda *shape: uniform(shape, dtype=dtype)
    inputs = [floats(batch, rows, heads, width), floats(batch, keys, heads, width), floats(batch, keys, heads, depth)]
    if gradient:
        inputs = [floats(batch, rows, heads, depth), *inputs]
        inputs += [uniform((batch, rows, heads), 2, 4, dtype=dtype), floats(batch, rows, heads)]
    inputs += ([] if bias is None else [floats(*bias)]) + ([] if mask is None else [_mask(mask)])
    attrs = {"scale": 0.25, "causal": causal, "bias": bias is not None, "mask": mask is not None}
    return Sample(tuple(inputs), attrs)


_CASES = [
    ((2, 5, 7, 2, 4, 4), {}),
    ((1, 9, 9, 2, 8, 3), {"causal": True}),
    ((2, 3, 5, 1, 2, 2), {"mask": (2, 1, 3, 5)}),
    ((1, 4, 6, 2, 3, 5), {"bias": (2, 4, 6), "mask": (1, 1, 1, 6), "causal": True}),
    ((1, 7, 17, 1, 5, 9), {"bias": (1, 1, 7, 1), "dtype": "float64"}),
    ((0, 3, 3, 1, 2, 2), {}),
]


def _varied(gradient):
    def vary(rng):
        sizes = [any_size(rng, 1, 9) for _ in range(2)]
        rows, keys = (1 if flip(rng) else any_size(rng, 1, 33) for _ in range(2))
        batch, heads = (int(rng.choice(choice)) for choice in ((0, 1, 1, 2), (1, 1, 2)))
        scores = (batch, heads, rows, keys)
        part = lambda: tuple(1 if flip(rng) else d for d in scores)
        extras = {name: part() for name in ("bias", "mask") if flip(rng)}
        dtype = "float32" if flip(rng) else "float64"
        return _sample(batch, rows, keys, heads, *sizes, **extras, causal=flip(rng), gradient=gradient, dtype=dtype)

    return vary


_PLAIN = {"scale": 1.0, "causal": False, "bias": False, "mask": False}
register_op(
    "attention",
    kind="index",
    batch=batching.attention,
    infer=_infer,
    eager=_eager,
    vjp=_vjp,
    lower={"cpu": "attention"},
    cost=_cost(2),
    samples=[_sample(*sizes, **given) for sizes, given in _CASES],
    vary=_varied(False),
    errors=[
        ErrorSample((uniform((2, 3, 4)),) * 3, _PLAIN, raises=ShapeError, match="rank 4"),
        ErrorSample((uniform((1, 3, 2, 4)), *[uniform((1, 3, 2, 5))] * 2), _PLAIN, raises=ShapeError, match="do not fit"),
    ],
)
register_op(
    "attention_gradient",
    kind="index",
    batch=batching.attention,
    infer=_gradient_infer,
    eager=_gradient_eager,
    vjp=_gradient_vjp,
    lower={"cpu": "attention_gradient"},
    cost=_cost(5),
    samples=[_sample(*sizes, **given, gradient=True) for sizes, given in _CASES],
    vary=_varied(True),
    errors=[ErrorSample((uniform((1, 3, 2, 4)),) * 6, _PLAIN, raises=ShapeError, match="do not fit")],
)
