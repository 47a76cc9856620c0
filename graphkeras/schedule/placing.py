"""Parts of a concatenation that the kernels which make them store where they belong: nothing is copied."""

from collections import Counter

from graphkeras.ir.node import Value
from graphkeras.schedule.groups import Group
from graphkeras.schedule.layout import Layout
from graphkeras.schedule.space import FULL, LEAST_RUN


def place_parts(groups: list[Group], resolve, returned) -> None:
    """Sets `placed` of the groups that make the parts of concatenations, where each part is made point by point for that alone.

    Args:
        groups: of one graph, with their outputs.
        resolve: finds the array behind a value.
        returned: arrays that the graph returns.
    """
    makers = {value: group for group in groups for value in group.outputs if value not in returned}
    uses = Counter(base for group in groups for _, base, _ in group.reads(resolve))
    for group in groups:
        if group.kind != "concatenate":
            continue
        parts = _parts(group, resolve, {v: maker for v, maker in makers.items() if uses[v] == 1})
        for value, place in parts.items():
            makers[value].outputs.remove(value)
            makers[value].placed[value] = (Value(group.nodes[0]), place)
            group.is_placed, group.bytes = True, 0


def _parts(group, resolve, makers) -> dict[Value, Layout]:
    """For each array that is concatenated the place where it belongs; empty where one of them has to be copied."""
    node = group.nodes[0]
    axis, start, found = node.attrs["axis"], 0, {}
    whole = Layout.contiguous(node.specs[0].shape)
    for value in node.inputs:
        base, layout = resolve(value)
        place = whole.sliced([start if i == axis else 0 for i in range(len(value.shape))], (1,) * len(value.shape), value.shape)
        start = value.shape[axis] + start
        maker = makers.get(base)
        if maker is None or maker.kind != "pointwise" or not layout.is_contiguous or layout.shape != tuple(base.shape):
            return {}
        axes = maker.space.axes(FULL)
        run = axes[-1] if axes else 1
        aligned = place.split(axes)
        if aligned is None or not isinstance(run, int) or run < LEAST_RUN or aligned.strides[-1] != 1:
            return {}
        found[base] = place
    return found
