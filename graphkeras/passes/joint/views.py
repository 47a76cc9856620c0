"""Rules about views, reductions, concatenation and padding: what moves no element, or only renames axes."""

from graphkeras.ir.dims import Dim, size
from graphkeras.ir.node import Value
from graphkeras.ir.registry import op_def
from graphkeras.ir.spec import TensorSpec
from graphkeras.passes.engine import Match, Op, Var, rule


@rule(Op("reshape", "broadcast_to")(Var("x")), numeric="exact")
def view_to_same_shape(m: Match):
    """reshape or broadcast to the shape a value has -> the value"""
    return m["x"]


@rule(Op("reshape")(Op("reshape")(Var("x"))), numeric="exact")
def reshape_of_reshape(m: Match):
    """reshape(reshape(x)) -> reshape(x)"""
    return m.make("reshape", m["x"], shape=m.node.attrs["shape"])


@rule(Op("broadcast_to")(Op("broadcast_to")(Var("x"))), numeric="exact")
def broadcast_of_broadcast(m: Match):
    """broadcast_to(broadcast_to(x)) -> broadcast_to(x)"""
    return m.make("broadcast_to", m["x"], shape=m.node.attrs["shape"])


@rule(Op("reshape", "transpose", "slice")(Op("broadcast_to")(Var("x", where=lambda v: not v.shape))), numeric="exact")
def view_of_filled(m: Match):
    """any view of a broadcast scalar -> the scalar broadcast to the view's shape"""
    return m.make("broadcast_to", m["x"], shape=m.node.specs[0].shape)


@rule(Op("transpose")(Var("x")), numeric="exact")
def transpose_in_order(m: Match):
    """transpose(x, (0, 1, ...)) -> x"""
    perm = m.node.attrs["perm"]
    return m["x"] if perm == tuple(range(len(perm))) else None


@rule(Op("transpose")(Op("transpose", name="inner")(Var("x"))), numeric="exact")
def transpose_of_transpose(m: Match):
    """transpose(transpose(x, p), q) -> transpose(x, p[q])"""
    inner = m.nodes["inner"].attrs["perm"]
    return m.make("transpose", m["x"], perm=tuple(inner[axis] for axis in m.node.attrs["perm"]))


@rule(Op("transpose")(Var("x")), numeric="exact")
def transpose_of_ones(m: Match):
    """a transpose that moves only axes of size 1 -> reshape"""
    shape = m["x"].shape
    moved = [axis for axis in m.node.attrs["perm"] if not (isinstance(shape[axis], int) and shape[axis] == 1)]
    return m.make("reshape", m["x"], shape=m.node.specs[0].shape) if moved == sorted(moved) else None


def _swaps_last_two(node) -> bool:
    perm = node.attrs["perm"]
    rank = len(perm)
    return rank >= 2 and perm == (*range(rank - 2), rank - 1, rank - 2)


@rule(Op("matmul")(Op("transpose", where=_swaps_last_two)(Var("a")), Var("b")), numeric="exact")
def transpose_into_matmul_left(m: Match):
    """matmul(transpose(a), b) -> matmul(a, b) with transpose_a the other way round"""
    attrs = m.node.attrs
    return m.make(
        "matmul", m["a"], m["b"], transpose_a=not attrs.get("transpose_a", False), transpose_b=attrs.get("transpose_b", False)
    )


@rule(Op("matmul")(Var("a"), Op("transpose", where=_swaps_last_two)(Var("b"))), numeric="exact")
def transpose_into_matmul_right(m: Match):
    """matmul(a, transpose(b)) -> matmul(a, b) with transpose_b the other way round"""
    attrs = m.node.attrs
    return m.make(
        "matmul", m["a"], m["b"], transpose_a=attrs.get("transpose_a", False), transpose_b=not attrs.get("transpose_b", False)
    )


def _stacked_rows(node) -> bool:
    a, b = node.inputs
    return len(b.shape) == 2 < len(a.shape) and not node.attrs["transpose_a"]


@rule(Op("matmul", where=_stacked_rows)(Var("a"), Var("b")), numeric="exact")
def matmul_of_stacked_rows(m: Match):
    """matmul of a stack of matrices with one matrix -> one product of all rows"""
    a, shape = m["a"], m.node.specs[0].shape
    flat = m.make("reshape", a, shape=(size(a.shape[:-1]), a.shape[-1]))
    return m.make("reshape", m.make("matmul", flat, m["b"], **m.node.attrs), shape=shape)


_BROADCASTING = (
    "add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "floor_divide", "remainder", "equal", "not_equal",
    "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or",
    "bitwise_xor", "shift_left", "shift_right", "arctan2", "select",
)  # fmt: skip


def _reads_a_broadcast(node) -> bool:
    return any(v.node.op == "broadcast_to" for v in node.inputs)


@rule(Op(*_BROADCASTING, where=_reads_a_broadcast), numeric="exact")
def broadcast_into_elementwise(m: Match):
    """f(broadcast_to(x), y) -> f(x, y) where y alone gives the result its shape"""
    inputs = list(m.node.inputs)
    for i, value in enumerate(inputs):
        if value.node.op != "broadcast_to":
            continue
        changed = [*inputs[:i], value.node.inputs[0], *inputs[i + 1 :]]
        if _broadcasts_to([v.spec for v in changed], m.node):
            return m.make(m.node.op, *changed, **m.node.attrs)
    return None


def _broadcasts_to(specs: list[TensorSpec], node) -> bool:
    # Only where each axis of the result is spelled out by an input that keeps it: a size that was merely assumed to be equal
    # to another one must not change its name.
    shape = node.specs[0].shape
    for axis in range(1, len(shape) + 1):
        sizes = [s.shape[-axis] for s in specs if len(s.shape) >= axis]
        if any(size != shape[-axis] and not (isinstance(size, int) and size == 1) for size in sizes) or shape[-axis] not in sizes:
            return False
    return op_def(node.op).infer(*specs, **node.attrs) == node.specs[0]


@rule(Op("slice")(Var("x")), numeric="exact")
def slice_of_everything(m: Match):
    """x[0:n] over all axes -> x"""
    attrs = m.node.attrs
    whole = all(a == 0 and b == n and s == 1 for a, b, s, n in zip(attrs["starts"], attrs["stops"], attrs["strides"], m["x"].shape))
    return m["x"] if whole else None


def _static_forward(node) -> bool:
    bounds = (*node.attrs["starts"], *node.attrs["stops"], *node.attrs["strides"])
    return not any(isinstance(b, Dim) for b in bounds) and all(s > 0 for s in node.attrs["strides"])


@rule(Op("slice", where=_static_forward)(Op("slice", where=_static_forward, name="inner")(Var("x"))), numeric="exact")
def slice_of_slice(m: Match):
    """x[a:b:s][c:d:t] -> one slice, for bounds known now and strides that go forward"""
    inner, outer = m.nodes["inner"].attrs, m.node.attrs
    starts, stops, strides = [], [], []
    for axis, n in enumerate(m.node.specs[0].shape):
        step = inner["strides"][axis] * outer["strides"][axis]
        start = inner["starts"][axis] + outer["starts"][axis] * inner["strides"][axis] if n else 0
        starts.append(start)
        stops.append(start + (n - 1) * step + 1 if n else 0)
        strides.append(step)
    return m.make("slice", m["x"], starts=tuple(starts), stops=tuple(stops), strides=tuple(strides))


_REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_any", "reduce_all")


# A sum may begin with 0, and 0 + -0 is 0.
@rule(Op(*_REDUCTIONS)(Var("x")), numeric="sign_of_zero")
def reduce_one_element(m: Match):
    """a reduction over axes of size 1 (or over none) -> reshape"""
    x = m["x"]
    if any(isinstance(x.shape[a], Dim) or x.shape[a] != 1 for a in m.node.attrs["axes"]):
        return None
    return x if x.spec == m.node.specs[0] else m.make("reshape", x, shape=m.node.specs[0].shape)


@rule(Op("concatenate"), numeric="exact")
def concatenate_one(m: Match):
    """concatenate of one value -> the value"""
    return m.node.inputs[0] if len(m.node.inputs) == 1 else None


@rule(Op("concatenate"), numeric="exact")
def concatenate_of_concatenate(m: Match):
    """concatenate(concatenate(x, y), z) along one axis -> concatenate(x, y, z)"""
    parts: list[Value] = []
    for value in m.node.inputs:
        nested = value.node.op == "concatenate" and value.node.attrs == m.node.attrs
        parts += value.node.inputs if nested else (value,)
    return m.make("concatenate", *parts, **m.node.attrs) if len(parts) > len(m.node.inputs) else None


@rule(Op("concatenate"), numeric="exact")
def concatenate_without_empty(m: Match):
    """parts of size 0 along the axis are left out"""
    axis = m.node.attrs["axis"]
    parts = [v for v in m.node.inputs if isinstance(v.shape[axis], Dim) or v.shape[axis] != 0]
    return m.make("concatenate", *parts, **m.node.attrs) if 0 < len(parts) < len(m.node.inputs) else None


@rule(Op("pad")(Var("x"), Var("value")), numeric="exact")
def pad_nothing(m: Match):
    """a pad by nothing -> the value"""
    return m["x"] if all(width == 0 for width in (*m.node.attrs["low"], *m.node.attrs["high"])) else None


@rule(Op("slice")(Op("pad", name="pad")(Var("x"), Var("value"))), numeric="exact")
def slice_inside_pad(m: Match):
    """a slice of a padded value that reads no padding -> a slice of the value"""
    x, attrs, low = m["x"], m.node.attrs, m.nodes["pad"].attrs["low"]
    if not all(isinstance(d, int) for d in (*attrs["starts"], *attrs["strides"], *low)) or min(attrs["strides"], default=1) < 1:
        return None
    starts, stops = (tuple(at - before for at, before in zip(attrs[name], low)) for name in ("starts", "stops"))
    known = lambda stop, n: stop == n or (isinstance(stop, int) and isinstance(n, int) and stop <= n)
    if any(start < 0 for start in starts) or not all(map(known, stops, x.shape)):
        return None
    return m.make("slice", x, starts=starts, stops=stops, strides=attrs["strides"])


VIEWS = (
    view_to_same_shape, reshape_of_reshape, broadcast_of_broadcast, view_of_filled, transpose_in_order, transpose_of_transpose,
    transpose_of_ones, transpose_into_matmul_left, transpose_into_matmul_right, matmul_of_stacked_rows, broadcast_into_elementwise,
    slice_of_everything, slice_of_slice, reduce_one_element, concatenate_one, concatenate_of_concatenate, concatenate_without_empty,
    pad_nothing, slice_inside_pad,
)  # fmt: skip
