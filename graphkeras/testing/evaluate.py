"""The meaning of a graph, with every promise checked.

Unlike `graphkeras.runtime.interpreter`, which serves running models, this needs no live variables, runs composites that have no
meaning of their own through their expansion, and takes no result that does not have the spec of its node.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from graphkeras.ir.dims import substitute
from graphkeras.ir.dtypes import dtype_name, numpy_dtype
from graphkeras.ir.errors import ShapeError
from graphkeras.ir.graph import Graph
from graphkeras.ir.registry import op_def
from graphkeras.ops.control import SubFunction
from graphkeras.runtime.sizes import bind_symbols, resolved_attrs
from graphkeras.trace import Tensor, as_tensor


def evaluate(graph: Graph, inputs: Sequence[np.ndarray], variables: Mapping[str, np.ndarray] | None = None):
    """Runs a graph.

    Args:
        graph: the graph.
        inputs: one array per input.
        variables: arrays by name for variables that are read; live ones are asked where a name is missing.

    Returns:
        The outputs, and a dict with the arrays that are written, by name of the variable.

    Raises:
        ShapeError: where an array does not have the spec that its node promises.
    """
    inputs = [np.asarray(array) for array in inputs]
    sizes = bind_symbols([v.spec for v in graph.inputs], [a.shape for a in inputs], graph.input_names)
    known = {(v.node.id, 0): array for v, array in zip(graph.inputs, inputs, strict=True)}
    written: dict[str, np.ndarray] = {}
    for node in graph.nodes:
        arrays = [known[v.node.id, v.index] for v in node.inputs]
        attrs = resolved_attrs(node, sizes)
        if node.op == "assign_variable":
            results = arrays[:1]
            written[attrs["variable"].name] = arrays[0]
        elif node.op == "read_variable" and attrs["variable"].name in (variables or {}):
            results = [np.asarray(variables[attrs["variable"].name])]
        else:
            results = _run_node(node, arrays, sizes)
        require_specs(node, results, sizes)
        known.update({(node.id, index): array for index, array in enumerate(results)})
    return [known[v.node.id, v.index] for v in graph.outputs], written


def _run_node(node, arrays, sizes):
    return run_op(node.op, arrays, resolved_attrs(node, sizes), [SubFunction(g, sizes, _run_node) for g in node.subgraphs])


def run_op(op: str, arrays: Sequence[np.ndarray], attrs: Mapping, subgraphs: Sequence[SubFunction] = ()) -> list[np.ndarray]:
    """The outputs of one op on arrays: by its eager meaning, or its expansion where it has none."""
    record = op_def(op)
    if record.eager is not None:
        extra = {"subgraphs": subgraphs} if subgraphs else {}
        with np.errstate(all="ignore"):
            results = record.eager(*arrays, **attrs, **extra)
    else:
        results = record.expand(*map(Tensor.wrap, arrays), **attrs)
        results = tuple(as_tensor(r).array for r in results) if isinstance(results, tuple) else as_tensor(results).array
    return [np.asarray(r) for r in (results if isinstance(results, tuple) else (results,))]


def require_specs(node, arrays, sizes) -> None:
    """Raises ShapeError where the arrays that a node computed are not of the shapes and dtypes that it inferred."""
    for array, spec in zip(arrays, node.specs, strict=True):
        expected = substitute(spec.shape, sizes)
        if array.shape != expected or array.dtype != numpy_dtype(spec.dtype):
            raise ShapeError(
                f"{node.op} computed {dtype_name(array.dtype)}{list(array.shape)}, not {spec}.",
                got=f"{dtype_name(array.dtype)}{list(array.shape)}",
                expected=f"{spec} with {sizes}",
                where=str(node.origin),
            )
