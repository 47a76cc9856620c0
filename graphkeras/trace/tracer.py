"""Python calls become a graph."""

from collections.abc import Callable, Sequence

from graphkeras.ir.errors import TraceError
from graphkeras.ir.graph import Graph, input_node
from graphkeras.ir.node import Value
from graphkeras.ir.spec import TensorSpec
from graphkeras.trace import tree
from graphkeras.trace.dispatch import as_value
from graphkeras.trace.scope import TraceScope, tracing
from graphkeras.trace.symbolic import SymbolicTensor


def trace_call(function: Callable, specs: Sequence[TensorSpec], names: Sequence[str] | None = None, name: str = ""):
    """Calls `function` with one symbolic tensor per spec.

    Returns:
        The graph (outputs in the order of `tree.flatten` of the result, Nones left out; variables written become effects) and
        the structure that was returned, with `Value`s as leaves.
    """
    names = names or [f"x{i}" for i in range(len(specs))]
    inputs = [Value(input_node(n, s)) for n, s in zip(names, specs, strict=True)]
    scope = TraceScope()
    with tracing(scope):
        result = function(*(SymbolicTensor.wrap(v, n) for v, n in zip(inputs, names, strict=True)))
        structure = tree.map_structure(lambda leaf: None if leaf is None else as_value(leaf), result)
        effects = scope.effects()
    outputs = [leaf for leaf in tree.flatten(structure) if leaf is not None]
    graph = Graph(name or getattr(function, "__name__", "f").strip("<>"), inputs, outputs, effects)
    _require_own(graph)
    return graph, structure


def _require_own(graph: Graph) -> None:
    """Raises TraceError where the graph needs a placeholder of somebody else's."""
    for node in graph.nodes:
        if node.op == "input":
            user = next((n for n in graph.nodes if any(v.node is node for v in n.inputs)), node)
            raise TraceError(
                f"A symbolic tensor was used outside its trace: '{node.attrs['name']}' is no argument of '{graph.name}'.",
                got=f"{node.specs[0]} made {node.origin or 'elsewhere'}, used by {user.op}",
                expected="tensors that are arguments of the function, or were made in it",
                where=str(user.origin),
                mend="pass it to the function as an argument; do not keep symbolic tensors (in lists, attributes, closures) behind "
                "the end of the call they belong to",
            )


def trace(function: Callable, specs: Sequence[TensorSpec], names: Sequence[str] | None = None, name: str = "") -> Graph:
    """The graph of a function of tensors.

    Args:
        function: called once with symbolic tensors; returns tensors in any nested structure.
        specs: spec of each argument.
        names: names of the arguments.
        name: name of the graph.
    """
    return trace_call(function, specs, names, name)[0]
