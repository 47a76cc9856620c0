"""Batching rules: how an op that was written for single elements works on all of them at once, along a new first axis.

A rule takes a `BatchCall` and the op's operands, of which some have the batch as their first axis and the others are the same for
every element. It returns results with that axis, or None where it does not apply: then a composite is expanded and anything else
runs element by element. A string says the same and why.
"""

from dataclasses import dataclass

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dims import size as _size
from graphkeras.ir.registry import OpDef
from graphkeras.ops.sources import iota
from graphkeras.trace import apply, prim


@dataclass(frozen=True)
class BatchCall:
    """A call of an op for all elements.

    Args:
        op: its name.
        size: of the batch, an int or a Dim.
        batched: for each operand whether it has the axis of the batch.
        attrs: as for one element.
    """

    op: str
    size: "int | Dim"
    batched: tuple
    attrs: dict

    def __call__(self, *tensors, **changed):
        """The op on these tensors, with some attributes changed."""
        return apply(self.op, *tensors, **{**self.attrs, **changed})

    def shape(self, number: int, tensor) -> tuple:
        """The shape of an operand of one element."""
        return tensor.spec.shape[1:] if self.batched[number] else tensor.spec.shape

    def spread(self, tensors) -> list:
        """All operands with the axis of the batch."""
        return [t if b else spread(t, self.size) for t, b in zip(tensors, self.batched, strict=True)]

    def aligned(self, tensors, ranks=None) -> list:
        """Operands whose own axes broadcast from the right: batched ones get axes of size 1 behind the batch.

        Args:
            tensors: the operands.
            ranks: of one element of each; without it the largest of all.
        """
        own = [len(self.shape(i, t)) for i, t in enumerate(tensors)]
        ranks = [max(own, default=0)] * len(own) if ranks is None else ranks
        return [
            prim.reshape(t, shape=(t.spec.shape[0], *(1,) * (wanted - rank), *t.spec.shape[1:])) if b and rank < wanted else t
            for t, b, rank, wanted in zip(tensors, self.batched, own, ranks, strict=True)
        ]


def spread(x, size):
    """The same tensor for every element."""
    return prim.broadcast_to(x, shape=(size, *x.spec.shape))


# ---- by shape of the op ---------------------------------------------------------------------------------------------


def elementwise(call, *xs):
    """Operands broadcast against each other."""
    return call(*call.aligned(xs))


def leading(call, *xs):
    """The op works along trailing axes, whatever comes before them."""
    return call(*call.spread(xs))


def shifted(name):
    """Rule of an op whose attribute `name` is an axis, or a tuple of axes."""

    def rule(call, *xs):
        axes = call.attrs[name]
        return call(*call.spread(xs), **{name: tuple(a + 1 for a in axes) if isinstance(axes, tuple) else axes + 1})

    return rule


def merged(*shared):
    """Rule of an op whose operands have a batch of their own as their first axis: the two become one.

    Args:
        *shared: positions of operands that have none, such as kernels; they must be the same for every element.
    """

    def rule(call, *xs):
        if any(call.batched[i] for i in shared):
            return "the kernel differs from element to element"
        data = [x if i in shared or call.batched[i] else spread(x, call.size) for i, x in enumerate(xs)]
        inner = next(x.spec.shape[1] for i, x in enumerate(data) if i not in shared)
        join = lambda x: prim.reshape(x, shape=(x.spec.shape[0] * x.spec.shape[1], *x.spec.shape[2:]))
        results = call(*(x if i in shared else join(x) for i, x in enumerate(data)))
        return _each(results, lambda y: prim.reshape(y, shape=(call.size, inner, *y.spec.shape[1:])))

    return rule


def _each(results, function):
    return tuple(map(function, results)) if isinstance(results, tuple) else function(results)


def of_kind(record: OpDef):
    """The rule of an op: its own, or the one that follows from its kind; None where there is neither."""
    if record.batch is not None:
        return record.batch
    return {"elementwise": elementwise, "reduction": shifted("axes")}.get(record.kind)


# ---- views ----------------------------------------------------------------------------------------------------------


def reshape(call, x):
    return call(x, shape=(call.size, *call.attrs["shape"]))


def transpose(call, x):
    return call(x, perm=(0, *(p + 1 for p in call.attrs["perm"])))


def broadcast_to(call, x):
    shape = call.attrs["shape"]
    (x,) = call.aligned([x], [len(shape)])
    return call(x, shape=(call.size, *shape))


def slices(call, x):
    starts, stops, strides = (call.attrs[name] for name in ("starts", "stops", "strides"))
    return call(x, starts=(0, *starts), stops=(call.size, *stops), strides=(1, *strides))


def pad(call, x, value):
    if call.batched[1]:
        return "the value at the border differs from element to element"
    return call(x, value, low=(0, *call.attrs["low"]), high=(0, *call.attrs["high"]))


# ---- products -------------------------------------------------------------------------------------------------------


def matmul(call, a, b):
    """Axes of batches broadcast. Where one side is a single matrix for all, rows of all elements become rows of one product."""
    (*lead, rows, inner), (*lead_b, _, columns) = call.shape(0, a), call.shape(1, b)
    turned_a, turned_b = call.attrs["transpose_a"], call.attrs["transpose_b"]
    if call.batched == (True, False) and not lead_b and not turned_a:
        y = call(prim.reshape(a, shape=(_size((call.size, *lead)) * rows, inner)), b)
        return prim.reshape(y, shape=(call.size, *lead, rows, y.spec.shape[-1]))
    if call.batched == (False, True) and not lead and not lead_b and columns == 1 and not turned_b:
        # (M, K) @ (B, K, 1): the vectors as rows, times the transposed matrix
        y = call(prim.reshape(b, shape=(call.size, b.spec.shape[1])), a, transpose_b=not turned_a)
        return prim.reshape(y, shape=(*y.spec.shape, 1))
    return call(*call.aligned([a, b]))


def attention(call, *xs):
    """(B, batch, length, heads, size): the two axes of batches become one; bias and mask may be the same for all."""
    extras = call.attrs["bias"] + call.attrs["mask"]
    count = len(xs) - extras
    batch = call.shape(0, xs[0])[0]
    data = [
        prim.reshape(x, shape=(call.size * batch, *x.spec.shape[2:]))
        for x in (x if b else spread(x, call.size) for x, b in zip(xs[:count], call.batched))
    ]
    for i in range(count, len(xs)):
        x, own = xs[i], call.shape(i, xs[i])
        if call.batched[i] or (len(own) == 4 and own[0] != 1):
            x = prim.reshape(x, shape=(call.size if call.batched[i] else 1, *(1,) * (4 - len(own)), *own))
            x = prim.broadcast_to(x, shape=(call.size, batch, *x.spec.shape[2:]))
            x = prim.reshape(x, shape=(call.size * batch, *x.spec.shape[2:]))
        data.append(x)
    return _each(call(*data), lambda y: prim.reshape(y, shape=(call.size, batch, *y.spec.shape[1:])))


# ---- places ---------------------------------------------------------------------------------------------------------

_UNKNOWN = "the size of the axis that is indexed is known only when the graph runs"


def _flat_places(call, indices, dim):
    """Indices of each element into an axis of size `dim` as indices into all elements' axes, one behind the other."""
    places = prim.cast(indices, dtype="int64")
    places = prim.check_range(places, low=-dim, high=dim, what=f"{call.op}: index")
    places = prim.select(prim.less(places, np.int64(0)), places + np.int64(dim), places)
    first = iota((call.size, *(1,) * (indices.ndim - 1)), 0, "int64", like=indices) * np.int64(dim)
    return places + first


def _moved(x, source, target):
    order = [a for a in range(x.ndim) if a != source]
    order.insert(target, source)
    return x if source == target else prim.transpose(x, perm=tuple(order))


def _spans(rank, start, count, target):
    """The order of axes that brings `count` axes from `start` to `target`."""
    block = list(range(start, start + count))
    others = [a for a in range(rank) if a not in block]
    return (*others[:target], *block, *others[target:])


def gather(call, x, indices):
    """By the same indices: one axis further. From the same tensor: all indices at once. Else from the elements end to end."""
    axis = call.attrs["axis"]
    if call.batched == (True, False):
        return call(x, indices, axis=axis + 1)
    if call.batched == (False, True):
        return _moved(call(x, indices), axis, 0)
    dim = x.spec.shape[axis + 1]
    if isinstance(dim, Dim):
        return _UNKNOWN
    rows = _moved(x, axis + 1, 1)  # (B, dim, ...)
    flat = prim.reshape(rows, shape=(call.size * dim, *rows.spec.shape[2:]))
    found = call(flat, _flat_places(call, indices, dim), axis=0)  # (B, *places, ...)
    places = indices.ndim - 1
    return prim.transpose(found, perm=_spans(found.ndim, 1, places, axis + 1)) if axis and places else found


def scatter_add(call, x, indices, updates):
    axis = call.attrs["axis"]
    if not call.batched[1]:
        x, updates = (t if b else spread(t, call.size) for t, b in ((x, call.batched[0]), (updates, call.batched[2])))
        return call(x, indices, updates, axis=axis + 1)
    dim = call.shape(0, x)[axis]
    if isinstance(dim, Dim):
        return _UNKNOWN
    x, indices, updates = call.spread([x, indices, updates])
    places = indices.ndim - 1
    rows = _moved(x, axis + 1, 1)
    # (B, before, *places, behind) -> (B, *places, before, behind)
    order = [0, *range(axis + 1, axis + 1 + places), *range(1, axis + 1), *range(axis + 1 + places, updates.ndim)]
    updates = prim.transpose(updates, perm=tuple(order)) if axis and places else updates
    flat = prim.reshape(rows, shape=(call.size * dim, *rows.spec.shape[2:]))
    sums = call(flat, _flat_places(call, indices, dim), updates, axis=0)
    return _moved(prim.reshape(sums, shape=rows.spec.shape), 1, axis + 1)


def scatter_reduce(call, x, indices, updates):
    if call.attrs["how"] == "mul":
        return "the second gradient of products over all elements at once is quadratic in their number"
    dim = call.shape(0, x)[0]
    if isinstance(dim, Dim):
        return _UNKNOWN
    x, indices, updates = call.spread([x, indices, updates])
    count = call.size * indices.spec.shape[1]
    flat = prim.reshape(x, shape=(call.size * dim, *x.spec.shape[2:]))
    places = prim.reshape(_flat_places(call, indices, dim), shape=(count,))
    found = call(flat, places, prim.reshape(updates, shape=(count, *updates.spec.shape[2:])))
    return prim.reshape(found, shape=x.spec.shape)


def searchsorted(call, edges, values):
    return "the edges differ from element to element" if call.batched[0] else call(edges, values)


def batch_norm(call, x, *vectors):
    """One axis further where mean, variance and scale are the same for all; else as its primitives."""
    return None if any(call.batched[1:]) else call(x, *vectors, axis=call.attrs["axis"] + 1)
