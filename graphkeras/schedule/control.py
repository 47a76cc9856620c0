"""Nodes with sub-graphs: what their operands must be, and where the inputs of their sub-graphs lie.

A capture lies where it lies in the graph around: kernels inside a loop read weights in place, step after step. A slice of a
scanned operand is a view of it that moves on with the step; its base is the sub-graph's own input, and the loop sees to its
address. Carried values have places of their own.
"""

from graphkeras.ir.node import Node, Value
from graphkeras.schedule.layout import Layout

_RUN = 64  # elements


def operand_counts(node: Node) -> tuple[int, int, int]:
    """How many operands are (choosers or carries, scanned, captured)."""
    first = node.attrs["carries"] if "carries" in node.attrs else 1
    scanned = node.attrs.get("xs", 0)
    return first, scanned, len(node.inputs) - first - scanned


def fitting_operands(node: Node, inputs, resolve, copied) -> tuple[Value, ...]:
    """Operands as a control node's kernels read them: carries as whole arrays, scanned operands in memory."""
    first, scanned, _ = operand_counts(node)
    carried = "carries" in node.attrs
    result = []
    for position, value in enumerate(inputs):
        base, layout = resolve(value)
        made_in_place = base.node.op in ("iota", "dim")
        whole = not carried or layout.is_contiguous
        if position < first and (made_in_place or not whole):
            value = copied(value)
        elif first <= position < first + scanned and (made_in_place or _is_scattered(layout)):
            value = copied(value)
        result.append(value)
    return tuple(result)


def _is_scattered(layout) -> bool:
    """Whether a step's slice lies in pieces far apart, between which the other steps' pieces lie: each would be a cache line, or a page,
    of its own in every step, where one copy reads along the array. Runs of some lines are read as fast as they lie."""
    step, *inside = layout.strides
    run = Layout(layout.shape[1:], tuple(inside)).collapsed()
    if run.shape and run.strides[-1] == 1 and isinstance(run.shape[-1], int) and run.shape[-1] >= _RUN:
        return False
    return step != 0 and any(isinstance(s, int) and isinstance(step, int) and abs(s) > abs(step) for s in inside)


def bound_inputs(node: Node, graph, resolve) -> dict[Value, tuple[Value, Layout]]:
    """For the inputs of a sub-graph: the array and the layout, where that is not an array of their own."""
    first, scanned, _ = operand_counts(node)
    placeholders = graph.inputs[first:] if "carries" in node.attrs else graph.inputs
    bound = {}
    for position, (placeholder, value) in enumerate(zip(placeholders, node.inputs[first:], strict=True)):
        base, layout = resolve(value)
        if position < scanned:
            base, layout = placeholder, Layout(tuple(placeholder.shape), tuple(layout.strides[1:]))
        bound[placeholder] = (base, layout)
    return bound
