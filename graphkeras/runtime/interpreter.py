"""The NumPy interpreter: a graph node by node through the meaning of each op. Slow, and the reference for everything else."""

import numpy as np

from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.errors import LoweringError
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Node, Value
from graphkeras.ir.registry import op_def
from graphkeras.ops.control import SubFunction
from graphkeras.runtime.sizes import bind_symbols, resolved_attrs


def interpret(graph: Graph, arrays, watch=None) -> list[np.ndarray]:
    """Runs a graph on NumPy.

    Args:
        graph: may hold composites.
        arrays: one per input.
        watch: called as `watch(node, outputs)` after each node, to look for the first NaN or the first difference.

    Returns:
        Fresh arrays, one per output. Variables are written at the end, all or none.

    Raises:
        ShapeError: the arguments do not fit the graph.
        DataError: an op found bad data.
    """
    arrays = [np.asarray(a) for a in arrays]
    sizes = bind_symbols([v.spec for v in graph.inputs], [a.shape for a in arrays], graph.input_names)
    values: dict[Value, np.ndarray] = dict(zip(graph.inputs, arrays))
    for node in graph.nodes:
        outputs = run_node(node, [values[v] for v in node.inputs], sizes)
        values.update((Value(node, i), output) for i, output in enumerate(outputs))
        if watch is not None:
            watch(node, outputs)
    results = [np.array(values[v]) for v in graph.outputs]
    writes = [(n.attrs["variable"], values[n.inputs[0]]) for n in graph.effects if n.op == "assign_variable"]
    new = [(reference, np.array(value)) for reference, value in writes]  # a value may be another variable's own buffer
    for reference, value in new:
        reference.variable.writable_buffer()[...] = value
    return results


def run_node(node: Node, arrays, sizes) -> tuple[np.ndarray, ...]:
    """Outputs of one node for these inputs."""
    if node.op == "assign_variable":
        return (arrays[0],)
    record = op_def(node.op)
    if record.eager is None:
        raise LoweringError(f"'{node.op}' has no NumPy form.", got=repr(node), where=str(node.origin))
    attrs = resolved_attrs(node, sizes)
    extra = {"subgraphs": tuple(SubFunction(g, sizes, run_node) for g in node.subgraphs)} if node.subgraphs else {}
    result = record.eager(*arrays, **attrs, **extra)
    results = result if isinstance(result, tuple) else (result,)
    return tuple(np.asarray(r, numpy_dtype(spec.dtype)) for r, spec in zip(results, node.specs))
