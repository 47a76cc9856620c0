"""Pieces of random training steps: attention, embeddings, sorted, added up and pooled values, and those of `fuzz_recurrent`.

A piece is a function `(net, x) -> y` of (batch, ..., channels), with the batch as the first axis of y, and at least one other.
"""

import numpy as np

from graphkeras import ops
from graphkeras.ops.numpy_shape import cut
from graphkeras.testing import fuzz_recurrent
from graphkeras.testing.fuzz_recurrent import product, sequence
from graphkeras.trace import SymbolicTensor, prim

_MOST_TOKENS = 70
_MOST_WORDS = 40


def random_piece(net, x):
    """Something that no plain layer is."""
    return net.one_of(*PIECES)(net, x)


# ---- attention --------------------------------------------------------------------------------------------------------


def attention(net, x):
    """Scaled dot product attention of x with itself or with some of its own places."""
    x = sequence(net, x, _MOST_TOKENS)
    batch, rows, channels = x.spec.shape
    heads, size = int(net.rng.integers(1, 4)), int(net.one_of(1, 4, 8, net.rng.integers(1, 20)))
    groups = net.one_of(*(d for d in range(1, heads + 1) if heads % d == 0))
    keyed = cut(x, 1, 0, int(net.rng.integers(1, rows + 1))) if net.chance(0.3) else x
    keys = keyed.spec.shape[1]

    def projected(source, count):
        y = product(source, net.variable((channels, count * size), 0, channels**-0.5))
        y = prim.add(y, net.variable((count * size,), 0, 0.3)) if net.chance(0.5) else y
        return prim.reshape(y, shape=(*source.spec.shape[:2], count, size))

    query, key, value = projected(x, heads), projected(keyed, groups), projected(keyed, groups)
    bias = net.variable(net.one_of((heads, rows, keys), (1, rows, keys), (heads, 1, 1), (keys,))) if net.chance(0.4) else None
    mask = None
    if net.chance(0.4):
        seen = prim.greater(cut(keyed, 2, 0, 1), net.scalar(-0.3))
        mask = prim.reshape(seen, shape=(batch, 1, 1, keys))
    y = ops.dot_product_attention(query, key, value, bias=bias, mask=mask, is_causal=net.chance(0.4))
    return prim.reshape(y, shape=(batch, rows, heads * size))


# ---- gathered values --------------------------------------------------------------------------------------------------


def embedding(net, x):
    """Rows of a table, as the input says; a product or a loop stands behind them, or what comes next."""
    words, width = int(net.rng.integers(1, _MOST_WORDS)), net.channels()
    numbers = SymbolicTensor.wrap(net.input)
    if net.input.dtype != "uint8":
        # Between two integers, far enough from either for no rounding to lead to another row.
        numbers = prim.add(prim.multiply(prim.cast(numbers, dtype="float32"), np.float32(8)), np.float32(0.3))
    which = sequence(net, prim.remainder(prim.cast(numbers, dtype="int32"), np.int32(words)))
    which = prim.reshape(which, shape=(which.spec.shape[0], which.spec.shape[1] * which.spec.shape[2]))
    if net.chance(0.3):
        which = prim.subtract(which, np.int32(words))  # counted from the end
    found = ops.take(net.variable((words, width)), cut(which, 1, 0, min(which.spec.shape[1], _MOST_TOKENS)), axis=0)
    if net.chance(0.5):
        units = net.channels()
        found = product(found, net.variable((width, units), 0, width**-0.5))
    return found if net.chance(0.7) else prim.reduce_sum(found, axes=(1,), keepdims=False)


def picked(net, x):
    """Some channels of x, any number of times, or some of its places."""
    axis = int(net.rng.integers(1, len(x.spec.shape)))
    size = x.spec.shape[axis]
    order = net.rng.integers(-size, size, net.one_of(1, size, net.rng.integers(1, 30))).astype("int32")
    return prim.gather(x, order, axis=axis)


# ---- order --------------------------------------------------------------------------------------------------------------


def in_order(net, x):
    """Sorted values, the greatest ones, or others in their order."""
    axis = int(net.rng.integers(1, len(x.spec.shape)))
    last = len(x.spec.shape) - 1
    kind = net.rng.integers(4)
    if kind == 0:
        return prim.sort(x, axis=axis)
    if kind == 1:
        return prim.top_k(x, k=int(net.rng.integers(1, x.spec.shape[last] + 1)))[0]
    if kind == 2:
        return ops.take_along_axis(prim.tanh(x), prim.argsort(x, axis=axis), axis=axis)
    return ops.flip(x, axis=axis)


def added_up(net, x):
    """Running sums or products."""
    axis, reverse = int(net.rng.integers(1, len(x.spec.shape))), net.chance(0.4)
    if net.chance(0.3):
        return prim.cumprod(prim.add(prim.tanh(x), net.scalar(0.5)), axis=axis, reverse=reverse)
    return prim.cumsum(prim.multiply(x, net.scalar(0.3)), axis=axis, reverse=reverse)


def pooled(net, x):
    """The greatest or the mean of windows of places."""
    if len(x.spec.shape) == 2:
        x = sequence(net, x)
    windows = [int(net.rng.integers(1, min(n, 4) + 1)) for n in x.spec.shape[1:-1]]
    strides = [int(net.rng.integers(1, 4)) for _ in windows]
    padding = [(0, int(net.rng.integers(k))) for k in windows]
    pool = net.one_of(prim.max_pool, prim.average_pool)
    return pool(x, window=tuple(windows), strides=tuple(strides), padding=tuple(padding))


PIECES = (
    fuzz_recurrent.recurrent,
    fuzz_recurrent.recurrent,
    fuzz_recurrent.recurrent_over_batch,
    fuzz_recurrent.recurrent_again,
    fuzz_recurrent.scan_by_halves,
    fuzz_recurrent.fori_loop,
    fuzz_recurrent.while_loop,
    fuzz_recurrent.branches,
    fuzz_recurrent.mapped,
    fuzz_recurrent.checkpointed,
    attention,
    attention,
    embedding,
    embedding,
    picked,
    in_order,
    added_up,
    pooled,
)
