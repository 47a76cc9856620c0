"""What a group costs: floating-point operations and bytes that cross the boundary between kernel and memory."""

from graphkeras.ir.dims import size
from graphkeras.ir.dtypes import itemsize
from graphkeras.ir.registry import op_def
from graphkeras.schedule.groups import Group


def group_flops(group: Group):
    """FLOP of all nodes, by their records."""
    total = 0
    for node in group.nodes:
        total = op_def(node.op).flops([v.spec for v in node.inputs], node.specs, node.attrs) + total
    return total


def group_bytes(group: Group, resolve):
    """Bytes read and written: each array once, views by the elements they show."""
    total = 0
    seen = set()
    for node, base, layout in group.reads(resolve):
        if base.node.op in ("iota", "constant") or (base, layout) in seen:
            continue
        seen.add((base, layout))
        elements = size(d for d, s in zip(layout.shape, layout.strides) if s != 0)
        if node.op in ("gather", "lookup") and (base, layout) == resolve(node.inputs[0]):
            elements = size(node.specs[0].shape)
        total = elements * itemsize(base.dtype) + total
    for value in group.outputs:
        total = value.spec.nbytes + total
    for node in group.writes:
        total = node.specs[0].nbytes + total
    return total
