"""Scaled dot product attention, as in `keras.ops.nn`."""

import math

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.arithmetic import as_bool
from graphkeras.ops.inference import scalar_like
from graphkeras.ops.nn_activations import softmax
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
        flash_attention: Accepted for compatibility with Keras; there is one implementation, whose result is the same.
        attn_logits_soft_cap: Not supported, as on all backends of Keras but one.

    Returns:
        Tensor of the shape of the query. Scores and softmax are formed at least in float32. A query that sees nothing gets the
        mean of all values.

    Example:

    >>> x = as_tensor(np.ones((1, 2, 1, 4), "float32"))
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
    dtype = query.dtype
    scores = matmul(transpose(query, (0, 2, 1, 3)), transpose(key, (0, 2, 3, 1)))  # (B, N, T, H) @ (B, N, H, S)
    scores = convert_to_tensor(scores, result_type(dtype, "float32"))
    if scale is None:
        size = query.spec.shape[3]
        scale = prim.rsqrt(convert_to_tensor(as_tensor(size), scores.dtype)) if isinstance(size, Dim) else 1 / math.sqrt(size)
    scores = scores * converted(operand(scale), scores.dtype)
    if bias is not None:
        scores = scores + convert_to_tensor(bias, scores.dtype)
    seen = _seen(scores, mask, is_causal)
    if seen is not None:
        scores = prim.select(seen, scores, scalar_like(_large_negative(scores.dtype), scores))
    shares = convert_to_tensor(softmax(scores, axis=-1), dtype)
    return transpose(matmul(shares, transpose(value, (0, 2, 1, 3))), (0, 2, 1, 3))  # (B, N, T, S) @ (B, N, S, H)


def _for_each_head(query, x):
    heads, own = query.spec.shape[2], x.spec.shape[2]
    if own == heads or own == 1:
        return x
    if isinstance(heads, int) and isinstance(own, int) and heads % own:
        raise ArgumentError(
            "dot_product_attention: the heads do not fit.",
            got=f"{heads} heads of the query and {own} of key or value",
            expected="a number of heads of the query that is a multiple of the other",
        )
    return repeat(x, heads // own, axis=2)


def _large_negative(dtype):
    """Of this size, so that adding scores to it overflows nothing, and its exponential is zero."""
    return 0.7 * float(np.finfo(numpy_dtype(dtype)).min)


def _seen(scores, mask, is_causal):
    seen = None if mask is None else as_bool(mask)
    if is_causal:
        rows, columns = scores.spec.shape[2:]
        earlier = prim.greater_equal(iota((rows, 1), 0, "int32", like=scores), iota((1, columns), 1, "int32", like=scores))
        seen = earlier if seen is None else prim.logical_and(seen, earlier)
    return seen
