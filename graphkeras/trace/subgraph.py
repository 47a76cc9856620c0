"""Sub-graphs: a Python function traced inside another trace becomes a graph of its own.

Nodes are free-standing records whose ids grow, so a value whose node is older than the sub-trace comes from outside: it is captured
and becomes an input of the sub-graph. Constants and sizes are no captures; they are part of every graph that uses them. A
variable reads as what it is at that point of the surrounding trace; one that is written inside has its new value among the
results, and whoever builds the control node assigns it.
"""

import contextvars
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from graphkeras.ir.graph import Graph, input_node, with_inputs
from graphkeras.ir.node import Node, Value
from graphkeras.ir.spec import TensorSpec
from graphkeras.trace import tree
from graphkeras.trace.dispatch import as_value
from graphkeras.trace.scope import TraceScope, current_scope, tracing
from graphkeras.trace.stateless import suspended
from graphkeras.trace.symbolic import SymbolicTensor
from graphkeras.trace.variable import autocast_scope

_SHARED = ("constant", "dim", "iota")


class SubScope(TraceScope):
    """The scope of a sub-trace: reads get a node of their own, which later becomes an input.

    Attributes:
        outside: for each variable read (by id) the variable and its value in the surrounding trace.
    """

    def __init__(self):
        super().__init__()
        self.outside: dict[int, tuple] = {}
        self._context = contextvars.copy_context()

    def read(self, variable) -> Value:
        if id(variable) not in self.outside:
            self._look(variable)
        return super().read(variable)

    def assign(self, variable, value: Value) -> None:
        self.read(variable)  # its value before: what another branch, or no step at all, leaves
        super().assign(variable, value)

    def _look(self, variable):
        # In the context around the sub-trace: its scopes answer, and its tapes see the value that they can follow.
        self.outside[id(variable)] = (variable, self._context.run(_value_of, variable))

    def first_read(self, variable) -> Value:
        """The node that stands for the variable before anything was written."""
        return self.reads[id(variable)][0]

    def current(self, variable) -> Value:
        """The variable's value at the end."""
        return self.read(variable)

    def written(self) -> list:
        """Variables with another value at the end than at the beginning, in the order of their first use."""
        return [v for v, _ in self.outside.values() if self.current(v) != self.first_read(v)]


def _value_of(variable) -> Value:
    with autocast_scope(None):
        if current_scope() is None:
            return TraceScope().read(variable)  # symbolic tensors without a trace: a node reads it whenever it is run
        return as_value(variable.value)


@dataclass
class SubTrace:
    """What a function did while it was traced.

    Attributes:
        inputs: placeholders of its arguments.
        structure: what it returned, with values as leaves (None stays).
        outputs: the leaves, without Nones; may be changed before the graph is built.
        scope: variables read and written.
        name: of the function.
    """

    inputs: list[Value]
    structure: object
    outputs: list[Value]
    scope: SubScope
    name: str
    start: int = field(default=0)


def subtrace(function: Callable, specs: Sequence[TensorSpec], name: str = "", prefix: str = "x") -> SubTrace:
    """Calls `function` with one symbolic tensor per spec, as a trace inside the current one."""
    inputs = [Value(input_node(f"{prefix}{i}", s)) for i, s in enumerate(specs)]
    start = (inputs[0].node if inputs else input_node("start", TensorSpec(()))).id
    scope = SubScope()
    with tracing(scope), suspended():
        result = function(*map(SymbolicTensor.wrap, inputs))
        structure = tree.map_structure(lambda leaf: None if leaf is None else as_value(leaf), result)
    outputs = [leaf for leaf in tree.flatten(structure) if leaf is not None]
    return SubTrace(inputs, structure, outputs, scope, name or getattr(function, "__name__", "f").strip("<>") or "f", start)


def close(traces: Sequence[SubTrace], carried: Mapping[int, list[Value]] | None = None) -> tuple[list[Graph], list[Value]]:
    """Graphs that take their captures as further inputs, all of them the same ones in the same order.

    Args:
        traces: sub-traces of one control node.
        carried: for variables that a loop carries (by id) the placeholders that stand for them, one per trace.

    Returns:
        The graphs, and the captured values of the surrounding trace.
    """
    found: dict[Value, str] = {}
    replacements = []
    for number, trace in enumerate(traces):
        replaced: dict[Value, Value] = {}
        for variable, outside in trace.scope.outside.values():
            own = carried.get(id(variable)) if carried else None
            read = trace.scope.first_read(variable)
            if own is not None:
                replaced[read] = own[number]
            else:
                replaced[read] = outside
        for value in _captured(trace, replaced):
            found.setdefault(value, f"c{len(found)}")
        replacements.append(replaced)
    graphs = []
    for trace, replaced in zip(traces, replacements):
        inputs = {value: Value(input_node(name, value.spec)) for value, name in found.items()}
        mapping = {**inputs, **{read: inputs.get(value, value) for read, value in replaced.items()}}
        outputs = rebuilt(trace.outputs, mapping)
        graphs.append(Graph(trace.name, [*trace.inputs, *inputs.values()], outputs))
    return graphs, list(found)


def _captured(trace: SubTrace, replaced) -> list[Value]:
    """Values from outside that the outputs depend on, in the order in which they were made."""
    own = {v.node.id for v in trace.inputs}
    carried = {v.node.id for v in replaced.values() if v.node.op == "input"} & own
    found, seen, stack = set(), set(), list(trace.outputs)
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        target = replaced.get(value)
        if target is not None:
            if target.node.id not in carried and target.node.op not in _SHARED:
                found.add(target)
        elif value.node.id < trace.start:
            if value.node.op not in _SHARED:
                found.add(value)
        else:
            stack.extend(value.node.inputs)
    return sorted(found - set(trace.inputs), key=lambda v: (v.node.id, v.index))


def rebuilt(values: Sequence[Value], replacements: Mapping[Value, Value]) -> list[Value]:
    """The values, made from others: what they depend on is replaced."""
    nodes: dict[int, Node] = {}
    stack = [v for v in values if v not in replacements]
    while stack:
        node = stack.pop().node
        if node.id not in nodes:
            nodes[node.id] = node
            stack.extend(v for v in node.inputs if v not in replacements)
    mapping = dict(replacements)
    for number in sorted(nodes):
        node = nodes[number]
        inputs = tuple(mapping.get(v, v) for v in node.inputs)
        if inputs != node.inputs:
            new = with_inputs(node, inputs)
            for old, value in zip(node.outputs, new.outputs):
                mapping.setdefault(old, value)
    return [mapping.get(v, v) for v in values]
