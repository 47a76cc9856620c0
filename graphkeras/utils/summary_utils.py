"""The table of `Model.summary()`."""

import math
import re
import shutil

from graphkeras.ir.dtypes import itemsize
from graphkeras.ir.errors import ArgumentError
from graphkeras.trace import tree
from graphkeras.utils.text_table import text_table


def count_params(weights):
    """Number of elements of the variables."""
    return sum(math.prod(w.shape) for w in weights)


def weight_memory_size(weights):
    """Bytes of the variables, each counted once."""
    unique = {id(w): w for w in weights}.values()
    return sum(math.prod(w.shape) * itemsize(w.spec.dtype) for w in unique)


def readable_memory_size(size):
    """A number of bytes with a unit.

    >>> readable_memory_size(3624)
    '3.54 KB'
    """
    units = ["B", "KB", "MB", "GB", "TB", "PB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.2f} {units[0]}"


def print_summary(
    model, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False, layer_range=None
):
    """Prints the summary of a model; see `Model.summary`."""
    graph = _graph_to_show(model)
    rows_of = model.layers if graph is None else graph.operations
    chain = graph is None or _is_chain(graph)
    header, alignment = ["Layer (type)", "Output Shape", "Param #"], ["left", "left", "right"]
    if chain:
        width, positions = 88, list(positions or [0.45, 0.80, 1.0])
    else:
        width, positions = 108, list(positions or [0.3, 0.56, 0.74, 1.0])
        header.append("Connected to")
        alignment.append("left")
    if show_trainable:
        width += 12
        positions = [0.9 * p for p in positions] + [1.0]
        header.append("Trainable")
        alignment.append("center")
    line_length = line_length or min(width, shutil.get_terminal_size().columns - 4)
    start, stop = layer_range_bounds(rows_of, layer_range)
    rows = []
    for operation in rows_of[start:stop]:
        rows += _rows(operation, graph, chain, expand_nested, show_trainable)
    lines = [f'Model: "{model.name}"', *text_table(header, rows, alignment, _widths(positions, line_length), line_length)]
    text = "\n".join(lines + _totals(model)) + "\n"
    if print_fn is None:
        print(text, end="")
    else:
        print_fn(text)


def _graph_to_show(model):
    """The graph of a functional model; None for a stack of layers and for a subclassed model."""
    return None if hasattr(model, "_sequence") else getattr(model, "_graph", None)


def _is_chain(graph):
    if any(len(group) > 1 or len(_tensors_read(group[0])) > 1 for group in graph.depth_groups):
        return False
    called = [id(step.operation) for step in graph.steps if step.operation is not None]
    return len(called) == len(set(called))


def _tensors_read(step):
    return [v for v in step.inputs if v.node.op != "constant"]


def _widths(positions, line_length):
    widths, current = [], 0
    for position in positions:
        width = int(position * line_length) - current
        if width < 4:
            raise ArgumentError(
                "Insufficient console width to print summary.",
                got=f"line_length={line_length}, positions={positions}",
                expected="at least 4 characters for each column",
                mend="pass a larger line_length, or rising positions up to 1.0",
            )
        widths.append(width)
        current += width
    return widths


def _rows(operation, graph, chain, expand_nested, show_trainable, level=0):
    prefix = "   " * level + "└ " if level else ""
    fields = [f"{prefix}{operation.name} ({_class_name(operation)})", format_output_shape(operation), _params(operation)]
    if not chain:
        fields.append(_connections(operation, graph))
    if show_trainable:
        weights = getattr(operation, "weights", ())
        fields.append(("Y" if operation.trainable else "N") if weights else "-")
    rows = [fields]
    if expand_nested:
        for inner in getattr(operation, "layers", None) or ():
            rows += _rows(inner, graph, chain, expand_nested, show_trainable, level + 1)
    return rows


def _class_name(operation):
    return type(operation).__name__


def _params(operation):
    if not hasattr(operation, "count_params"):
        return "0"
    return f"{operation.count_params():,}" if operation.built else "0 (unbuilt)"


def format_output_shape(operation):
    """The output shape of a layer as it stands in the table, "?" where it is not known."""
    nodes = getattr(operation, "_inbound_nodes", None)
    if nodes is None:
        shapes = tree.map_structure(lambda x: x.shape, operation.output)
    elif nodes:
        shapes = tree.map_structure(lambda x: x.shape, nodes[-1].output_tensors)
    elif operation._build_shapes:
        try:
            shapes = operation.compute_output_shape(**operation._build_shapes)
        except Exception:  # a summary never fails for a layer that cannot tell its shape
            return "?"
    else:
        return "?"
    if isinstance(shapes, list) and len(shapes) == 1:
        shapes = shapes[0]
    text = tree.map_shape_structure(lambda s: f"({', '.join(map(str, s))})", shapes)
    return text if isinstance(text, str) else str(text).replace("'", "")


def _connections(operation, graph):
    sources = [graph.history(value) for step in graph.steps if step.operation is operation for value in _tensors_read(step)]
    return ", ".join(f"{source.name}[{call}][{index}]" for source, call, index in sources) or "-"


def _totals(model):
    trainable, frozen = model.trainable_weights, model.non_trainable_weights
    optimizer = getattr(model, "optimizer", None)
    states = optimizer.variables if getattr(model, "compiled", False) and optimizer is not None and optimizer.built else None
    groups = [("Trainable", trainable), ("Non-trainable", frozen)] + ([("Optimizer", states)] if states is not None else [])
    counts = [(name, count_params(weights), weight_memory_size(weights)) for name, weights in groups]
    counts.insert(0, ("Total", sum(c for _, c, _ in counts), sum(s for _, _, s in counts)))
    return [f" {name} params: {count:,} ({readable_memory_size(size)})" for name, count, size in counts]


def layer_range_bounds(layers, layer_range=None):
    """First index and end of the layers between two names (or regular expressions for them), both included."""
    if layer_range is None:
        return 0, len(layers)
    if not isinstance(layer_range, (list, tuple)) or len(layer_range) != 2 or not all(isinstance(n, str) for n in layer_range):
        raise ArgumentError(
            "layer_range must be a list or tuple of two strings.",
            got=f"layer_range={layer_range!r}",
            expected="(first name, last name)",
        )
    found = [[i for i, layer in enumerate(layers) if re.match(pattern, layer.name)] for pattern in layer_range]
    if not all(found):
        raise ArgumentError(
            f"Passed layer_names do not match the layer names in the model. Received: {layer_range}",
            got=f"layer_range={layer_range!r}",
            expected=f"names among {[layer.name for layer in layers]}",
        )
    first, last = min(found[0]), max(found[1])
    return min(first, last), max(first, last) + 1
