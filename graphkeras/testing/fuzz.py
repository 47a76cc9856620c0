"""Random graphs from the samples of the op registry, and what must hold for each of them.

A failure prints a few lines that can be pasted into a Python prompt or a test.
"""

import numpy as np

from graphkeras.ir.diff import diff
from graphkeras.ir.errors import GraphKerasError
from graphkeras.ir.graph import Graph, input_node
from graphkeras.ir.node import Value
from graphkeras.ir.registry import REGISTRY, make_node
from graphkeras.ir.text import constants_of, parse_graph, print_graph
from graphkeras.ir.verify import verify
from graphkeras.passes import JOINT, run
from graphkeras.testing.evaluate import evaluate
from graphkeras.testing.rules import difference_of, random_inputs
from graphkeras.testing.sweep import check_program, sample_arrays, specs_of, terms_of

_KINDS = ("elementwise", "reduction", "view", "contraction", "index", "composite")
# Their inputs must obey limits that other ops know nothing of.
_CHOOSY = (
    "check_range",
    "gather",
    "scatter_add",
    "scatter_reduce",
    "searchsorted",
    "sparse_softmax_crossentropy",
    "shift_left",
    "shift_right",
    "random_bits",
    "dropout",
)
_TRIES = 8
# Sums in BLAS round differently for other strides of the same operands.
_ORDER_MATTERS = ("matmul", "reduce_sum", "reduce_prod", "softmax", "log_softmax", "logsumexp", "softmax_crossentropy")


def random_graph(seed: int, nodes: int = 12) -> Graph:
    """A graph of about so many nodes: ops and attributes from registry samples, inputs from what is there where they fit."""
    rng = np.random.default_rng(seed)
    records = [r for r in REGISTRY.values() if r.kind in _KINDS and r.name not in _CHOOSY and r.samples]
    values: list[Value] = []
    inputs: list[Value] = []

    def placeholder(spec):
        value = Value(input_node(f"x{len(inputs)}", spec))
        inputs.append(value)
        values.append(value)
        return value

    while len(values) - len(inputs) < nodes:
        record = records[rng.integers(len(records))]
        sample = record.samples[rng.integers(len(record.samples))]
        specs = specs_of(sample_arrays(sample))
        node = None
        for _ in range(_TRIES):
            chosen = [_pick(rng, values, spec) for spec in specs]
            if all(chosen):
                node = _made(record.name, chosen, sample.attrs)
            if node is not None:
                break
        if node is None and (not values or rng.random() < 0.3):
            node = make_node(record.name, [placeholder(spec) for spec in specs], sample.attrs)
        if node is not None:
            values.extend(v for v in node.outputs if v.spec.size != 0)
    used = {v.node.id for value in values for v in value.node.inputs}
    outputs = [v for v in values if v.node.id not in used and v.node.op != "input"]
    return Graph(f"fuzz_{seed}", inputs, outputs)


def _pick(rng, values, spec):
    fitting = [v for v in values if v.dtype == spec.dtype]
    return fitting[rng.integers(len(fitting))] if fitting else None


def _made(op, inputs, attrs):
    try:
        node = make_node(op, inputs, attrs)
    except (GraphKerasError, IndexError, TypeError):
        return None
    small = all(s.size <= 4096 for s in node.specs)
    return node if small else None


def check_graph(graph: "Graph | str", seed: int = 0, compiled: bool = False) -> None:
    """Raises AssertionError where a graph breaks what holds for every graph.

    It verifies; its text reads back to itself; passes that may change nothing change no bit; with `compiled`, fused, strict and
    eager runs agree.

    Args:
        graph: the graph, or its text.
        seed: of the inputs.
        compiled: compile and run it, too.
    """
    graph = parse_graph(graph) if isinstance(graph, str) else graph
    verify(graph)
    difference = diff(graph, parse_graph(print_graph(graph), constants=constants_of(graph)))
    if difference:
        raise AssertionError(f"the text of the graph is another graph:\n{difference}")
    arrays = random_inputs(graph, np.random.default_rng(seed))
    simple, _ = run(graph, JOINT, numeric={"exact"}, verify=True)
    numeric = "rounding" if any(n.op in _ORDER_MATTERS for n in graph.nodes) else "exact"
    for i, (a, b) in enumerate(zip(evaluate(graph, arrays)[0], evaluate(simple, arrays)[0], strict=True)):
        problem = difference_of(a, b, numeric)
        if problem:
            raise AssertionError(f"passes change output {i}: {problem}\nafter the passes:\n{simple}")
    if compiled:
        check_program(graph, arrays, units=64 * terms_of(graph), what=graph.name)


def fuzz(seed: int, nodes: int = 12, compiled: bool = False) -> None:
    """One random graph. A failure is cut down to the first node that shows it, with a reproducer."""
    graph = random_graph(seed, nodes)
    try:
        check_graph(graph, seed, compiled)
    except Exception as error:
        smallest, problem = _smallest(graph, seed, compiled, error)
        raise AssertionError(f"{problem}\n\n{reproducer(smallest, seed, compiled)}") from error


def _smallest(graph, seed, compiled, error):
    for node in graph.nodes:
        reached = {v.node.id for n in Graph("part", graph.inputs, node.outputs).nodes for v in n.inputs}
        part = Graph(graph.name, [v for v in graph.inputs if v.node.id in reached], node.outputs)
        try:
            check_graph(part, seed, compiled)
        except Exception as smaller:
            return part, smaller
    return graph, error


def reproducer(graph: Graph, seed: int, compiled: bool) -> str:
    """Python code that runs the check on this graph again."""
    text = print_graph(graph, inline=1 << 20)
    return f'from graphkeras.testing.fuzz import check_graph\ncheck_graph("""\n{text}\n""", seed={seed}, compiled={compiled})'
