"""Branches and loops for fuzzed graphs: small random bodies around values at hand."""

import numpy as np

from graphkeras import ops
from graphkeras.autodiff import checkpoint
from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import is_float
from graphkeras.trace import SymbolicTensor, as_value, prim, tree

_UNARY = ("tanh", "sigmoid", "sin", "softplus", "square", "relu", "negative", "erf")
_BINARY = ("add", "multiply", "subtract", "maximum", "minimum")
_MOST_STEPS = 5


def _pick(builder, rank=None, spec=None):
    """A float value that sub-graphs may use."""
    found = [v for v in builder.floats(rank) if spec is None or v.spec == spec]
    return SymbolicTensor.wrap(found[builder.rng.integers(len(found))])


def _body(builder, *tensors):
    """A small expression of tensors, with the shape of the first; drawn once and for all, for functions may be traced again."""
    rng = builder.rng
    moves = [(int(rng.integers(4)), int(rng.integers(8)), int(rng.integers(len(tensors) or 1))) for _ in range(rng.integers(1, 5))]

    def run(*given):
        x = given[0]
        shape = x.spec.shape
        for kind, which, other in moves:
            y = given[other % len(given)]
            if kind == 0:
                x = prim.tanh(getattr(prim, _BINARY[which % len(_BINARY)])(x, y)) if y.spec.shape in (shape, ()) else prim.tanh(x)
            elif kind == 1 and shape and shape[-1] != 0:
                mean = prim.reduce_sum(prim.tanh(x), axes=(len(shape) - 1,), keepdims=True)
                x = prim.tanh(prim.subtract(x, mean))
            elif kind == 2 and shape:
                x = prim.softmax(x, axes=(len(shape) - 1,))
            else:
                x = getattr(prim, _UNARY[which])(x)
        return prim.tanh(x)

    return run


def _scalar(builder, dtype="int32", limit=_MOST_STEPS):
    """A scalar at hand: a bool, or an integer in [0, limit)."""
    x = SymbolicTensor.wrap(builder.shaped(_pick(builder).value, ()))
    if dtype == "bool":
        return prim.greater(x, np.float32(0))
    return prim.remainder(prim.cast(prim.multiply(x, np.float32(8)), dtype="int32"), np.int32(limit))


def _values(structure):
    return [as_value(t) for t in tree.flatten(structure)]


def make_cond(builder):
    """Two branches."""
    x, y = _pick(builder), _pick(builder)
    first, second = _body(builder, x, y), _body(builder, x)
    return _values(ops.cond(_scalar(builder, "bool"), lambda: first(x, y), lambda: second(x)))


def make_switch(builder):
    """Two to four branches."""
    x, y = _pick(builder), _pick(builder)
    bodies = [_body(builder, x, y) for _ in range(builder.rng.integers(2, 5))]
    return _values(ops.switch(_scalar(builder), [lambda *o, f=f: f(*o) for f in bodies], x, y))


def make_while_loop(builder):
    """A loop that ends by its condition; where it has no limit, no gradient flows through it."""
    limited = builder.rng.random() < 0.6
    x, y, last = _pick(builder), _pick(builder), _scalar(builder)
    if not limited:
        x, y, last = (prim.stop_gradient(t) if is_float(t.dtype) else t for t in (x, y, last))
    step = _body(builder, x, y)
    limit = int(builder.rng.integers(1, _MOST_STEPS)) if limited else None
    _, result = ops.while_loop(lambda i, s: i < last, lambda i, s: (i + 1, step(s, y)), (np.int32(0), x), limit)
    return _values(result)


def make_scan(builder):
    """A scan, a map or a for-loop."""
    kind = builder.rng.integers(4)
    x, y = _pick(builder), _pick(builder)
    if kind == 0:
        step = _body(builder, x, y)
        count = int(builder.rng.integers(0, _MOST_STEPS))
        return _values(ops.fori_loop(0, count, lambda i, s: step(s, y) * (1 + ops.cast(i, "float32")), x))
    rows = _with_rows(builder)
    row = _Row(rows)
    step = _body(builder, row, y)
    if kind == 1:
        return _values(ops.map(lambda r: step(r, y), rows))
    start = prim.broadcast_to(np.float32(0.25), shape=row.spec.shape) if row.spec.shape else prim.add(_zero(rows), np.float32(0.25))
    last, ys = ops.scan(
        lambda c, r: ((new := step(prim.tanh(c + r), y)), new * 2), start, rows, reverse=bool(builder.rng.random() < 0.4)
    )
    return _values([last, ys])


def _zero(rows):
    return prim.multiply(prim.reduce_sum(rows, axes=(0,), keepdims=False), np.float32(0))


class _Row:
    """What a body is drawn for: a row of `rows`."""

    def __init__(self, rows):
        self.spec = rows.spec.with_shape(rows.spec.shape[1:])


def _with_rows(builder):
    found = [v for v in builder.floats() if v.shape and not any(isinstance(d, Dim) for d in v.shape[1:])]
    if not found:
        return _pick(builder, rank=1)
    return SymbolicTensor.wrap(found[builder.rng.integers(len(found))])


def make_checkpoint(builder):
    """A stretch whose gradient computes it again."""
    x, y = _pick(builder), _pick(builder)
    return _values(checkpoint(_body(builder, x, y))(x, y))


CONTROL_MAKERS = {
    "cond": make_cond,
    "switch": make_switch,
    "while_loop": make_while_loop,
    "scan": make_scan,
    "checkpoint": make_checkpoint,
}
