"""A step over the samples of a data set: it looks its batch up by itself, so that the gathering is fused as all else is."""

from collections.abc import Sequence

from graphkeras.ir.dims import symbol
from graphkeras.ir.errors import ShapeError
from graphkeras.ir.graph import Graph, input_node
from graphkeras.ir.node import Value
from graphkeras.ir.registry import make_node
from graphkeras.ir.spec import TensorSpec

SAMPLES = symbol("_samples")
"""Number of samples of a data set; the name is kept from those that callers give."""


def over_samples(graph: Graph, dtypes: Sequence[str] | None = None) -> Graph:
    """The same function of whole data sets, and of the places of a batch in them.

    Args:
        graph: its inputs are batches: their first axes have one size.
        dtypes: those of the data sets; by default those of the inputs. Batches are cast.

    Returns:
        A graph with one input more, int64 of the batch's size: which samples make up the batch. All are in range.

    Raises:
        ShapeError: an input has no first axis, or one of another size.
    """
    sizes = [v.shape[:1] for v in graph.inputs]
    if not sizes or any(s != sizes[0] or not s for s in sizes):
        raise ShapeError(
            f"{graph.name} cannot run over batches: the first axis of each input counts samples.",
            got=", ".join(f"{name}: {v.spec}" for name, v in zip(graph.input_names, graph.inputs)),
            expected="one size for all",
        )
    inputs = []
    places = Value(input_node("places", TensorSpec(sizes[0], "int64")))
    batches: dict[Value, Value] = {}
    for value, name, dtype in zip(graph.inputs, graph.input_names, dtypes or [v.dtype for v in graph.inputs]):
        data = Value(input_node(name, TensorSpec((SAMPLES, *value.shape[1:]), dtype)))
        inputs.append(data)
        batch = Value(make_node("lookup", [data, places], {"axis": 0}, origin=value.node.origin))
        if dtype != value.dtype:
            batch = Value(make_node("cast", [batch], {"dtype": value.dtype}, origin=value.node.origin))
        batches[value] = batch

    changed = graph.rewrite(lambda node, found: None, batches)
    return Graph(graph.name, [*inputs, places], changed.outputs, changed.effects)


def is_over_samples(specs: Sequence[TensorSpec]) -> bool:
    """Whether a graph with these inputs looks its batches up by itself."""
    return bool(specs) and specs[0].shape[:1] == (SAMPLES,)
