"""Scaled dot product attention, as in `keras.ops.nn`."""

import math

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import is_float
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.arithmetic import as_bool
from graphkeras.ops.inference import scalar_like
from graphkeras.ops.nn_activations import softmax
from graphkeras.ops.nn_attention_records import MASKED
from graphkeras.ops.numpy_join import repeat
from graphkeras.ops.numpy_linear import matmul
from graphkeras.ops.numpy_shape import transpose
from graphkeras.ops.promotion import converted, operand, promote, result_type
from graphkeras.ops.sources import iota
from graphkeras.trace import as_tensor, convert_to_tensor, prim


def dot_product_attention(
    query, key, value, bias=None, mask=None, scale=None, is_causal=False, flash_attention=None, attn_logits_soft_cap=None
):
    """Scaled dot product attention, `softmax(query key^T scale) value` in every head.

    The letters: B batch, T length of the query, S length of key and value, N heads of the query, K heads of key and value, H
    size of a head.

    Args:
        query: Tensor (B, T, N, H).
        key: Tensor (B, S, K, H). K equals N, or divides it (each head of the key then serves a group of heads of the query).
        value: Tensor of the shape of the key.
        bias: Tensor that is added to the scores, broadcast to (B, N, T, S).
        mask: Boolean tensor, broadcast to (B, N, T, S); False takes a place out.
        scale: Factor of the scores; `1 / sqrt(H)` by default.
        is_causal: If `True`, no query sees keys behind its own place.
        flash_attention: Accepted for compatibility with Keras; there is one implementation, which never stores all scores.
        attn_logits_soft_cap: Not supported, as on all backends of Keras but one.

    Returns:
        Tensor of the shape of the query. Scores and softmax are formed at least in float32. A query that sees nothing gets the
        mean of all values.

    Example:

    >>> x = as_tensor([[[[1.0] * 4]] * 2])
    >>> dot_product_attention(x, x, x, is_causal=True).tolist()
    [[[[1.0, 1.0, 1.0, 1.0]], [[1.0, 1.0, 1.0, 1.0]]]]
    """
    if attn_logits_soft_cap is not None:
        raise ArgumentError(
            "attn_logits_soft_cap is not supported.", got=repr(attn_logits_soft_cap), expected="None", mend="leave it out"
        )
    query, key, value = promote(as_tensor(query), as_tensor(key), as_tensor(value))
    if not query.ndim == key.ndim == value.ndim == 4:
        raise ArgumentError(
            "`dot_product_attention` only supports 4D inputs.",
            got=f"query {query.spec}, key {key.spec}, value {value.spec}",
            expected="(batch, length, heads, size) for each",
        )
    key, value = _for_each_head(query, key), _for_each_head(query, value)
    wide = result_type(query.dtype, "float32")
    size, keys = query.spec.shape[3], key.spec.shape[1]
    if scale is None and not isinstance(size, Dim):
        scale = 1 / math.sqrt(size)
    elif scale is None:
        scale = prim.rsqrt(convert_to_tensor(as_tensor(size), wide))
    mask = None if mask is None else as_bool(mask)
    bias = None if bias is None else convert_to_tensor(bias, wide)
    if is_float(query.dtype) and (isinstance(keys, Dim) or keys > 0):
        return _in_blocks(query, key, value, bias, mask, scale, is_causal, wide)
    return _spelled_out(query, key, value, bias, mask, scale, is_causal, wide)


def _in_blocks(query, key, value, bias, mask, scale, is_causal, wide):
    """By the op that stores no scores."""
    dtype = query.dtype
    query, key, value = (convert_to_tensor(t, wide) for t in (query, key, value))
    if not isinstance(scale, (int, float)):
        query, scale = query * converted(operand(scale), wide), 1.0
    extras = [t for t in (bias, mask) if t is not None]
    attrs = {"scale": float(scale), "causal": bool(is_causal), "bias": bias is not None, "mask": mask is not None}
    return convert_to_tensor(prim.attention(query, key, value, *extras, **attrs)[0], dtype)


def _spelled_out(query, key, value, bias, mask, scale, is_causal, wide):
    """By way of all scores, for integers and where there is no key at all."""
    dtype = query.dtype
    scores = matmul(transpose(query, (0, 2, 1, 3)), transpose(key, (0, 2, 3, 1)))  # (B, N, T, H) @ (B, N, H, S)
    scores = convert_to_tensor(scores, wide) * converted(operand(scale), wide)
    if bias is not None:
        scores = scores + bias
    seen = _seen(scores, mask, is_causal)
    if seen is not None:
        scores = prim.select(seen, scores, scalar_like(MASKED[wide], scores))
    shares = convert_to_tensor(softmax(scores, axis=-1), dtype)
    return transpose(matmul(shares, transpose(value, (0, 2, 1, 3))), (0, 2, 1, 3))  # (B, N, T, S) @ (B, N, S, H)


def _for_each_head(query, x):
    heads, own = query.spec.shape[2], x.spec.shape[2]
    if own == heads:
        return x
    if own == 1:
        batch, length, _, size = x.spec.shape
        return prim.broadcast_to(x, shape=(batch, length, heads, size))
    if isinstance(heads, int) and isinstance(own, int) and heads % own:
        raise ArgumentError(
            "dot_product_attention: the heads do not fit.",
            got=f"{heads} heads of the query and {own} of key or value",
            expected="a number of heads of the query that is a multiple of the other",
        )
    return repeat(x, heads // own, axis=2)


def _seen(scores, mask, is_causal):
    seen = mask
    if is_causal:
        rows, columns = scores.spec.shape[2:]
        earlier = prim.greater_equal(iota((rows, 1), 0, "int32", like=scores), iota((1, columns), 1, "int32", like=scores))
        seen = earlier if seen is None else prim.logical_and(seen, earlier)
    return seen
