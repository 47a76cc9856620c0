"""Which array a value lives in, and how: views are folded into layouts, single elements into literals."""

from graphkeras.ir.dims import size
from graphkeras.ir.node import Node, Value
from graphkeras.schedule.layout import Layout, joined_axes

VIEWS = {"reshape", "transpose", "broadcast_to", "slice"}
ALIASES = {"identity", "stop_gradient", "recompute_barrier"}


def is_literal(value: Value) -> bool:
    """A constant of one element, which kernels hold in their text."""
    return value.node.op == "constant" and value.node.attrs["value"].array.size == 1


class Resolver:
    """Finds the array behind a value.

    Args:
        materialised: ids of `identity` nodes that must stay copies.
        bound: for the inputs of a sub-graph that lie in arrays around it, or along them, the array and the layout.
    """

    def __init__(self, materialised=frozenset(), bound=None):
        self.materialised = materialised
        self._known: dict[Value, tuple[Value, Layout] | None] = dict(bound or {})
        self.outside = frozenset(base for base, _ in self._known.values())

    def is_view(self, node: Node) -> bool:
        """Whether a node moves no data of its own."""
        return node.op in VIEWS or (node.op in ALIASES and node.id not in self.materialised)

    def awaited(self, value: Value) -> list[Value]:
        """Values that must be there before a value may be read, although nothing is read of them: barriers on the way name them."""
        found = []
        while self.is_view(value.node):
            found += value.node.inputs[1:]
            value = value.node.inputs[0]
        return found

    def __call__(self, value: Value) -> tuple[Value, Layout] | None:
        """(base value, layout of `value` in it), or None where strides cannot express the view."""
        if value not in self._known:
            self._known[value] = self._resolve(value)
        return self._known[value]

    def _resolve(self, value):
        node = value.node
        if not self.is_view(node):
            if node.op == "iota":
                strides = tuple(int(axis == node.attrs["axis"]) for axis in range(len(value.shape)))
                return value, Layout(tuple(value.shape), strides)
            if node.op == "assign_variable":  # its output is the value that is written
                return self(node.inputs[0])
            return value, Layout.contiguous(value.shape)
        found = self(node.inputs[0])
        if found is None:
            return None
        base, layout = found
        if node.op == "transpose":
            layout = layout.transposed(node.attrs["perm"])
        elif node.op == "broadcast_to":
            layout = layout.broadcast(value.shape)
        elif node.op == "slice":
            layout = layout.sliced(node.attrs["starts"], node.attrs["strides"], value.shape)
        elif node.op == "reshape":
            if is_literal(base):
                layout = Layout(tuple(value.shape), (0,) * len(value.shape))
            else:
                layout = layout.reshaped(value.shape)
        return None if layout is None else (base, layout)


def matmul_layouts(node: Node, resolve) -> tuple[Layout, Layout] | None:
    """(batch, rows, columns) layouts of A (M, K) and B (K, N), or None where the batch axes have no common stride."""
    batch = node.specs[0].shape[:-2]
    found = []
    for value, transposed in zip(node.inputs, (node.attrs["transpose_a"], node.attrs["transpose_b"])):
        _, layout = resolve(value)
        layout = layout.broadcast((*batch, *layout.shape[-2:]))
        rank = len(layout.shape)
        found.append(layout.transposed((*range(rank - 2), rank - 1, rank - 2)) if transposed else layout)
    rank = len(batch)
    sizes, strides = joined_axes(batch, [layout.strides[:rank] for layout in found])
    kept = [i for i, d in enumerate(sizes) if d != 1]
    if len(kept) > 1:
        return None
    steps = [s[kept[0]] if kept else 0 for s in strides]
    joined = size(batch)
    return tuple(Layout((joined, *lay.shape[-2:]), (step, *lay.strides[-2:]), lay.offset) for lay, step in zip(found, steps))
