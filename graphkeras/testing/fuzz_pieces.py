"""Pieces of random training steps: layers, attention, embeddings, and values that are picked, sorted, added up or pooled.

A piece is a function `(net, shape) -> (x -> y)` for x of that shape, (batch, ..., channels); y has the batch as its first axis and at
least one other. What is random is drawn by the first call, with the variables, for loops may trace the second one more than once.
"""

import numpy as np

from graphkeras import ops
from graphkeras.autodiff import checkpoint
from graphkeras.ops.numpy_shape import cut
from graphkeras.trace import SymbolicTensor, prim

MOST_PLACES = 9
_MOST_TOKENS = 70
_MOST_UNITS = 24
_MOST_WORDS = 40


def product(a, b):
    """`a @ b`."""
    return prim.matmul(a, b, transpose_a=False, transpose_b=False)


def any_units(net) -> int:
    """The number of channels of a result."""
    return int(net.one_of(1, 3, 8, 16, net.rng.integers(1, _MOST_UNITS + 1)))


def _any_axis(net, shape):
    return int(net.rng.integers(1, len(shape)))


# ---- shapes -----------------------------------------------------------------------------------------------------------


def sequence(net, shape, most: int = MOST_PLACES):
    """(batch, places, channels) with some of the places of x; and the shape of that, without the batch."""
    batch, *places, channels = shape
    if not places:
        count = net.one_of(*(d for d in range(1, min(most, channels) + 1) if channels % d == 0))
        return (lambda x: prim.reshape(x, shape=(batch, count, channels // count))), (count, channels // count)
    total = int(np.prod(places))
    stride = -(-total // most)
    start = int(net.rng.integers(stride))

    def of(x):
        return cut(prim.reshape(x, shape=(batch, total, channels)), 1, start, total, stride)

    return of, (-(-(total - start) // stride), channels)


def words(net, most: int = MOST_PLACES):
    """A function of nothing that gives (batch, places) of numbers in [0, count), as the input of the net says; places, and count."""
    x = SymbolicTensor.wrap(net.input)
    of, (places, channels) = sequence(net, x.spec.shape, most)
    count = int(net.rng.integers(1, _MOST_WORDS))
    taken = min(places * channels, most)

    def numbers():
        # Between two integers, far enough from either for no rounding to lead to another row.
        scaled = prim.add(prim.multiply(prim.cast(x, dtype="float32"), np.float32(8)), np.float32(0.3))
        found = of(prim.remainder(prim.cast(x if x.dtype == "uint8" else scaled, dtype="int32"), np.int32(count)))
        return cut(prim.reshape(found, shape=(net.batch, places * channels)), 1, 0, taken)

    return numbers, taken, count


def counted(net):
    """An integer that depends on the data: how many of them are above one half."""
    x = SymbolicTensor.wrap(net.input)
    above = prim.cast(prim.greater(prim.cast(x, dtype="float32"), np.float32(0.5)), dtype="int32")
    return prim.reduce_sum(above, axes=tuple(range(len(x.spec.shape))), keepdims=False)


# ---- layers -----------------------------------------------------------------------------------------------------------


def layer(net, shape, units=None):
    """A product with what stands around it, for any number of places."""
    channels = shape[-1]
    units = any_units(net) if units is None else units
    kernel, bias = net.variable((channels, units), 0, channels**-0.5), net.variable((units,), 0, 0.3)
    activation = net.one_of(prim.tanh, prim.relu, prim.sigmoid)
    scaled, centred = net.chance(0.4), net.chance(0.3)
    moving = net.statistic((units,)) if net.chance(0.2) else None
    generator = net.generator() if net.chance(0.2) else None

    def of(x):
        if generator is not None:
            x = net.dropped(x, generator)
        y = prim.add(product(prim.multiply(x, net.scalar(0.5)) if scaled else x, kernel), bias)
        axes = tuple(range(len(y.spec.shape)))
        if centred:
            mean = prim.reduce_sum(y, axes=axes[-1:], keepdims=True)
            y = prim.subtract(y, prim.multiply(mean, net.scalar(1 / units)))
        y = activation(y)
        if moving is not None:
            net.move(moving, prim.tanh(prim.reduce_sum(y, axes=axes[:-1], keepdims=False)))
        return y

    return of


def checkpointed(net, shape):
    """A layer that its gradient computes again."""
    return checkpoint(layer(net, shape))


def attention(net, shape):
    """Scaled dot product attention of x with itself or with some of its own places."""
    of, (rows, channels) = sequence(net, shape, _MOST_TOKENS)
    batch = shape[0]
    heads, size = int(net.rng.integers(1, 4)), int(net.one_of(1, 4, 8, net.rng.integers(1, 20)))
    groups = net.one_of(*(d for d in range(1, heads + 1) if heads % d == 0))
    keys = int(net.rng.integers(1, rows + 1)) if net.chance(0.3) else rows
    causal, masked = net.chance(0.4), net.chance(0.4)
    bias = net.variable(net.one_of((heads, rows, keys), (1, rows, keys), (heads, 1, 1), (keys,))) if net.chance(0.4) else None

    def projection(count):
        kernel = net.variable((channels, count * size), 0, channels**-0.5)
        bias = net.variable((count * size,), 0, 0.3) if net.chance(0.5) else None

        def projected(x):
            y = product(x, kernel) if bias is None else prim.add(product(x, kernel), bias)
            return prim.reshape(y, shape=(*x.spec.shape[:2], count, size))

        return projected

    to_query, to_key, to_value = projection(heads), projection(groups), projection(groups)

    def attended(x):
        x = of(x)
        keyed = cut(x, 1, 0, keys)
        seen = prim.reshape(prim.greater(cut(keyed, 2, 0, 1), net.scalar(-0.3)), shape=(batch, 1, 1, keys))
        y = ops.dot_product_attention(
            to_query(x), to_key(keyed), to_value(keyed), bias=bias, mask=seen if masked else None, is_causal=causal
        )
        return prim.reshape(y, shape=(batch, rows, heads * size))

    return attended


# ---- gathered values --------------------------------------------------------------------------------------------------


def embedding(net, shape):
    """Rows of a table, as the input says; a product stands behind them, or what comes next. Each sample gets a share, as x says."""
    numbers, _, count = words(net, _MOST_TOKENS)
    width, units = net.channels(), net.channels()
    table, kernel = net.variable((count, width)), net.variable((width, units), 0, width**-0.5)
    turned, multiplied, shared, summed = net.chance(0.3), net.chance(0.5), net.chance(0.7), net.chance(0.3)

    def of(x):
        which = numbers()
        found = ops.take(table, prim.subtract(which, np.int32(count)) if turned else which, axis=0)
        found = product(found, kernel) if multiplied else found
        if shared:  # else what led to x is for nothing
            share = prim.tanh(prim.reduce_sum(x, axes=tuple(range(1, len(shape))), keepdims=False))
            found = prim.multiply(found, prim.reshape(share, shape=(shape[0], 1, 1)))
        return prim.reduce_sum(found, axes=(1,), keepdims=False) if summed else found

    return of


def picked(net, shape):
    """Some channels of x, any number of times, or some of its places."""
    axis = _any_axis(net, shape)
    size = shape[axis]
    order = net.rng.integers(-size, size, net.one_of(1, size, net.rng.integers(1, 30))).astype("int32")
    return lambda x: prim.gather(x, order, axis=axis)


# ---- order --------------------------------------------------------------------------------------------------------------


def in_order(net, shape):
    """Sorted values, or others in their order, or in that of the axis the other way round."""
    axis, kind = _any_axis(net, shape), net.rng.integers(3)
    if kind == 0:
        return lambda x: prim.sort(x, axis=axis)
    if kind == 1:
        return lambda x: ops.take_along_axis(prim.tanh(x), prim.argsort(x, axis=axis), axis=axis)
    return lambda x: ops.flip(x, axis=axis)


def greatest(net, shape):
    """The greatest channels."""
    count = int(net.rng.integers(1, shape[-1] + 1))
    return lambda x: prim.top_k(x, k=count)[0]


def added_up(net, shape):
    """Running sums or products."""
    axis, reverse = _any_axis(net, shape), net.chance(0.4)
    if net.chance(0.3):
        return lambda x: prim.cumprod(prim.add(prim.tanh(x), net.scalar(0.5)), axis=axis, reverse=reverse)
    return lambda x: prim.cumsum(prim.multiply(x, net.scalar(0.3)), axis=axis, reverse=reverse)


def pooled(net, shape):
    """The greatest or the mean of windows of places."""
    of = lambda x: x
    if len(shape) == 2:
        of, rest = sequence(net, shape)
        shape = (shape[0], *rest)
    window = tuple(int(net.rng.integers(1, min(n, 4) + 1)) for n in shape[1:-1])
    strides = tuple(int(net.rng.integers(1, 4)) for _ in window)
    padding = tuple((0, int(net.rng.integers(k))) for k in window)
    pool = net.one_of(prim.max_pool, prim.average_pool)
    return lambda x: pool(of(x), window=window, strides=strides, padding=padding)


STEADY = (in_order, added_up)
"""Pieces that give the shape that they take."""

PIECES = (*STEADY, layer, checkpointed, attention, attention, embedding, embedding, picked, greatest, pooled)
