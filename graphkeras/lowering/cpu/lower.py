"""Lowering: from a group of the schedule to its kernels."""

from graphkeras.ir.errors import LoweringError
from graphkeras.lowering.cpu import attention, cumulative, indexing, pooling, segments, sorting
from graphkeras.lowering.cpu.column import lower_column
from graphkeras.lowering.cpu.contraction import lower_contraction
from graphkeras.lowering.cpu.control import lower_control
from graphkeras.lowering.cpu.convolutions import CONVOLUTIONS
from graphkeras.lowering.cpu.host import lower_host
from graphkeras.lowering.cpu.kernel import LoweredKernel
from graphkeras.lowering.cpu.long_row import is_long_row, lower_long_row
from graphkeras.lowering.cpu.pointwise import lower_pointwise
from graphkeras.lowering.cpu.row import lower_row
from graphkeras.schedule.groups import Group
from graphkeras.schedule.host import runs_on_host

LOWERINGS = {
    **indexing.LOWERINGS, **sorting.LOWERINGS, **cumulative.LOWERINGS, **segments.LOWERINGS, **pooling.LOWERINGS,
    **attention.LOWERINGS,
}  # fmt: skip
"""Ops with kernels of their own."""


def lower_group(group: Group, resolve, prefix: str = "") -> list[LoweredKernel]:
    """The kernels of a group, in the order in which they run (those that others call included).

    Raises:
        LoweringError: for an op that has no compiled form.
    """
    name = f"{prefix}k{group.index}_{group.kind}"
    if group.is_placed:
        return []
    if group.bodies:
        return lower_control(group, name, resolve, lower_group)
    if runs_on_host(group.nodes[0]):
        return lower_host(group, name, resolve)
    if group.kind == "pointwise":
        return [lower_pointwise(group, name)]
    if group.kind == "row":
        return lower_long_row(group, name) if is_long_row(group) else lower_row(group, name)
    if group.kind == "column":
        return lower_column(group, name)
    if group.kind == "contraction" and group.space.tiled.op in CONVOLUTIONS:
        return CONVOLUTIONS[group.space.tiled.op](group, name)
    if group.kind == "contraction":
        return lower_contraction(group, name)
    if group.kind in LOWERINGS:
        return LOWERINGS[group.kind](group, name, resolve)
    node = group.nodes[0]
    raise LoweringError(
        f"'{node.op}' has no compiled form on the CPU.",
        got=repr(node),
        expected="elementwise ops, reductions, views, matmul, " + ", ".join(LOWERINGS),
        where=str(node.origin),
        mend="run this function eagerly (run_eagerly=True)",
    )
