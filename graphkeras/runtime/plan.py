"""Plans: everything a program needs to run that does not depend on sizes, made from a graph or read from the program cache."""

from dataclasses import dataclass, field
from typing import Any

from graphkeras.ir.dtypes import itemsize
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Value, VariableRef
from graphkeras.ir.spec import TensorSpec
from graphkeras.lowering.cpu.kernel import Address, LoweredKernel
from graphkeras.runtime.memory import aligned_copy
from graphkeras.runtime.sizes import Equal, constraints


@dataclass
class Plan:
    """What a program is made of.

    Attributes:
        name: of the graph.
        input_names, input_specs, output_specs: arguments and results.
        variables: references to all variables, in the order of their places.
        written: those that are written.
        kernels: in order; kernels that others call included.
        sources: array -> place in a call's list of addresses: arguments, outputs, variables.
        constants: array -> its numbers in memory.
        in_place: kernel -> pairs (output, operand) that may share memory.
        constraints: sizes that must be equal at run time.
        schedule: groups and refusals; None where the plan was read from the cache.
    """

    name: str
    input_names: tuple[str, ...]
    input_specs: tuple[TensorSpec, ...]
    output_specs: tuple[TensorSpec, ...]
    variables: tuple[VariableRef, ...]
    written: tuple[VariableRef, ...]
    kernels: list[LoweredKernel]
    sources: dict
    constants: dict
    in_place: dict
    constraints: list[Equal]
    schedule: Any = field(default=None, repr=False)


def make_plan(graph: Graph, fuse: bool) -> Plan:
    """Schedules and lowers a graph of primitives."""
    from graphkeras.schedule import schedule

    scheduled = schedule(graph, fuse)
    graph, resolve = scheduled.graph, scheduled.resolve
    kernels = [kernel for group in scheduled.groups for kernel in _lowered(group, resolve)]
    variables = graph.variables
    sources = _places(graph, variables, resolve)
    pairs = {kernel: list(_in_place(kernel, sources, resolve)) for kernel in kernels if kernel.kind == "pointwise" and not kernel.called}
    return Plan(
        name=graph.name,
        input_names=graph.input_names,
        input_specs=tuple(v.spec for v in graph.inputs),
        output_specs=tuple(v.spec for v in graph.outputs),
        variables=variables,
        written=tuple(dict.fromkeys(n.attrs["variable"] for n in graph.effects if n.op == "assign_variable")),
        kernels=kernels,
        sources=sources,
        constants=_constants(kernels),
        in_place=pairs,
        constraints=constraints(graph),
        schedule=scheduled,
    )


def _lowered(group, resolve):
    from graphkeras.lowering.cpu.lower import lower_group

    kernels = lower_group(group, resolve)
    rows = [kernel for kernel in kernels if not kernel.called]
    if len(rows) == 1:  # what runs in several steps is no part of a bundle
        rows[0].bundle = group.bundle
    return kernels


def _places(graph, variables, resolve):
    """Places of arguments, outputs and variables in a call's list of addresses."""
    sources: dict = {}
    for value in graph.inputs:
        sources[value] = len(sources)
    count = len(sources)
    for value in graph.outputs:
        base, _ = resolve(value)
        sources[base] = count
        count += 1
    for reference in variables:
        sources[reference] = count
        count += 1
    for node in graph.nodes:
        if node.op == "read_variable":
            sources[Value(node)] = sources[node.attrs["variable"]]
    return sources


def _constants(kernels):
    found: dict = {}
    for kernel in kernels:
        for arg in kernel.args:
            if isinstance(arg, Address) and isinstance(arg.source, Value) and arg.source.node.op == "constant":
                if arg.source not in found:
                    found[arg.source] = aligned_copy(arg.source.node.attrs["value"].array)
    return found


def _in_place(kernel: LoweredKernel, sources, resolve):
    """Pairs (output, operand) that may share memory: the operand is read at each point just before the output is written there."""
    group, space = kernel.group, kernel.group.space
    dense, elsewhere = [], set()
    for read in space.reads():
        if read.layout.is_contiguous and read.layout.size == _size(read.base):
            dense.append(read.base)
        else:
            elsewhere.add(read.base)
    taken = set(elsewhere)
    for value in group.outputs:
        if value in sources:
            continue
        for base in dense:
            fits = itemsize(base.dtype) == itemsize(value.dtype) and _size(base) == _size(value)
            if base not in taken and base not in sources and base.node.op != "constant" and fits:
                taken.add(base)
                yield value, base
                break


def _size(value):
    return value.spec.size
