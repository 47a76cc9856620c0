"""Fuzzing: what must hold for every graph, checked on random ones; a failure becomes a few lines to be pasted.

For each graph: it verifies; its text reads back to itself; passes that may change nothing change no bit, and all passes together no
more than rounding does; its gradients are those of differences in double precision; and, where asked, compiled runs give the bits of
strict ones on 1, 2, 3 and 8 threads for every size of the batch, write nothing beyond their scratch, and give what the interpreter
gives, within a bound that comes from letting the interpreter round otherwise.
"""

import base64
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np

from graphkeras.autodiff import gradients
from graphkeras.ir.diff import diff
from graphkeras.ir.dims import dim_symbols
from graphkeras.ir.dtypes import dtype_name, is_float, numpy_dtype
from graphkeras.ir.graph import Graph, input_node
from graphkeras.ir.node import Value, VariableRef
from graphkeras.ir.registry import make_node, node_symbols
from graphkeras.ir.spec import TensorSpec
from graphkeras.ir.text import constants_of, parse_graph, print_graph
from graphkeras.ir.verify import verify
from graphkeras.passes import JOINT, run
from graphkeras.passes.pipeline import WITH_GRADIENTS
from graphkeras.runtime.program import Program
from graphkeras.testing.compiled import check_scratch, every_fusion_taken, every_kernel_shared
from graphkeras.testing.fuzz_graphs import FuzzedGraph, coverage, ops_of, random_graph
from graphkeras.testing.fuzz_nets import FuzzedNet, random_net
from graphkeras.testing.fuzz_run import Bound, in_float64, results_of, run_nodes
from graphkeras.testing.rules import difference_of
from graphkeras.trace import SymbolicTensor, TraceScope, Variable, as_value, tracing

THREADS = (1, 2, 3, 8)
_STEPS = (2e-4, 1e-5, 1e-6)  # of several kinks within a step some go unnoticed; a shorter one lies before them
_CURVED = 1e-4  # where two steps give slopes that differ by more, the point is not smooth enough to tell
_FLAT = 1e-6
_TOLERANCE = 1e-5
_SHOWN = 24  # elements of an array that a reproducer writes out
_MOST_CUTS = 200
# Sums in BLAS round differently for other strides of the same operands.
_ORDER_MATTERS = frozenset(
    """matmul reduce_sum reduce_prod softmax log_softmax logsumexp softmax_crossentropy sparse_softmax_crossentropy conv
    conv_input_gradient conv_kernel_gradient average_pool average_pool_gradient product_of_others scatter_add cumsum cumprod scan
    while_loop cond switch checkpoint""".split()
)


@dataclass
class Tally:
    """What was looked at in a run of the fuzzer."""

    graphs: int = 0
    nodes: int = 0
    ops: Counter = field(default_factory=Counter)
    compiled: int = 0
    programs: int = 0
    prologues: int = 0  # groups that make operands of contractions block by block
    sides: int = 0  # groups that sum columns on the side
    arbitrary: int = 0  # graphs of whose elements the noise is mostly as large as the value
    elements: int = 0  # of the others, compared with the interpreter
    elements_skipped: int = 0  # of the others, where the noise is as large as the value
    slopes: int = 0  # gradients compared with differences
    slopes_skipped: Counter = field(default_factory=Counter)

    def __str__(self):
        least = sorted((n, op) for op, n in self.ops.items())[:4]
        return (
            f"{self.graphs} graphs, {self.nodes} nodes; least used ops: {', '.join(f'{op} {n}' for n, op in least)}; "
            f"gradients: {self.slopes} compared with differences, skipped: {dict(self.slopes_skipped)}; {self.compiled} compiled "
            f"with {self.prologues} prologues and {self.sides} kernels that sum on the side, "
            f"{self.programs} runs on threads, {self.elements} elements compared, {self.elements_skipped} lost in noise, "
            f"not counting {self.arbitrary} graphs that noise makes arbitrary"
        )


def fuzz(seed: int, ops: int = 10, compiled: bool = False, tally: Tally | None = None, nodes: int = 20) -> None:
    """Checks one random graph. A failure is cut down to the fewest nodes that show it, and ends with a reproducer.

    Args:
        seed: of the graph.
        ops, nodes: of the graph without its gradients; see `random_graph`.
        compiled: compile and run it, too.
        tally: is added to.
    """
    tally = Tally() if tally is None else tally
    fuzzed = random_graph(seed, ops, nodes)
    tally.graphs += 1
    tally.nodes += len(fuzzed.graph.nodes)
    tally.ops.update(coverage([fuzzed.graph]))
    _check(fuzzed, f"seed {seed}", compiled, tally, all_fusions=bool(seed % 2))
    problem = check_slope(fuzzed, tally)
    if problem:
        again = f"from graphkeras.testing.fuzz import fuzz\nfuzz({seed}, ops={ops}, nodes={nodes})"
        raise AssertionError(f"seed {seed}: {problem}\n\n{again}\n\n{fuzzed.forward}")


def fuzz_net(seed: int, tally: Tally | None = None, pieces: float = 0.0) -> None:
    """Checks one random training step, compiled, with every fusion that its kernels can take, and the slope along its weights; see
    `random_net`. A failure is cut down as that of `fuzz`."""
    tally = Tally() if tally is None else tally
    net = random_net(seed, pieces)
    tally.graphs += 1
    tally.nodes += len(net.graph.nodes)
    tally.ops.update(ops_of(net.graph))
    _check(net, f"net {seed}", True, tally, all_fusions=True)
    problem = check_slope(_of_weights(net), tally)
    if problem:
        raise AssertionError(f"net {seed}: {problem}\n\n{net.graph}")


def _of_weights(net: FuzzedNet) -> FuzzedNet:
    """The loss of a net with its weights as inputs, for the smallest batch that has a sample."""
    reads = [Value(n) for n in net.graph.nodes if n.op == "read_variable" and is_float(n.specs[0].dtype)]
    part = _cut(net.graph, net.graph.outputs[:1], (), reads)
    weights = part.origins
    smallest = min((arrays for arrays in net.runs if len(arrays[0])), key=lambda arrays: len(arrays[0]))
    arrays = [net.variables[weights[v].node.attrs["variable"].name] if v in weights else smallest[0] for v in part.inputs]
    slope = FuzzedNet(part, [arrays], net.variables)
    slope.total, slope.sources = part.outputs[0], [v for v in part.inputs if v in weights]
    return slope


def _check(fuzzed, name, compiled, tally, all_fusions):
    try:
        check_graph(fuzzed.graph, fuzzed.runs, fuzzed.variables, compiled, tally, all_fusions=all_fusions)
    except Exception as error:
        raise AssertionError(f"{name}: {error}\n\n" + shrunk(fuzzed, compiled, all_fusions)) from error


# ---- checks -----------------------------------------------------------------------------------------------------------


def check_graph(
    graph: "Graph | str",
    runs: "Sequence[Sequence[np.ndarray]] | None" = None,
    variables: Mapping[str, np.ndarray] | None = None,
    compiled: bool = False,
    tally: Tally | None = None,
    seed: int = 0,
    all_fusions: bool = False,
) -> None:
    """Raises AssertionError where a graph breaks what holds for every graph.

    Args:
        graph: the graph, or its text.
        runs: lists of arguments; one program serves them all. Random ones by default.
        variables: arrays by name.
        compiled: compile and run it, too.
        tally: is added to.
        seed: of random arguments.
        all_fusions: whether programs take fusions that would not pay, for arrays so small, and share every kernel among all threads.
    """
    variables = variables or {}
    live = {name: Variable(array, name=name) for name, array in variables.items()}
    graph = _alive(graph, live)
    tally = Tally() if tally is None else tally
    verify(graph)
    difference = diff(graph, parse_graph(print_graph(graph), constants_of(graph), _references(live)))
    if difference:
        raise AssertionError(f"the text of the graph is another graph:\n{difference}")
    if runs is None:
        from graphkeras.testing.rules import random_inputs

        runs = [random_inputs(graph, np.random.default_rng(seed))]
    simple, _ = run(graph, JOINT, numeric={"exact"}, verify=True)
    final, _ = run(graph, WITH_GRADIENTS, verify=True)
    exact = not _ORDER_MATTERS.intersection(ops_of(graph))
    if not compiled:
        runs = [runs[0], runs[-1]] if len(runs) > 2 else runs
    bounds = [Bound(graph, arrays, variables) for arrays in runs]
    for arrays, bound in zip(runs, bounds):
        if exact:
            for i, (a, b) in enumerate(zip(bound.results, _interpreted(simple, arrays, variables), strict=True)):
                problem = difference_of(a, b, "exact") if a.dtype.kind != "c" else ""
                if problem:
                    raise AssertionError(f"passes change output {i}: {problem}\nafter the passes:\n{simple}")
        for passed, what in ((simple, "exact passes change"), (final, "passes change")):
            problem = bound.problem(_interpreted(passed, arrays, variables))
            if problem:
                raise AssertionError(f"{what} {problem}\nafter the passes:\n{passed}")
    if compiled:
        with _at_its_most() if all_fusions else nullcontext():
            programs = Program(final), Program(final, fuse=False)
            _check_programs(final, programs, runs, live, variables, bounds, tally)
    compared, skipped = (sum(getattr(bound, name) for bound in bounds) for name in ("compared", "skipped"))
    if skipped > compared:
        tally.arbitrary += 1
    else:
        tally.elements += compared
        tally.elements_skipped += skipped


@contextmanager
def _at_its_most():
    """What would not pay for arrays so small is done, all the same."""
    with every_fusion_taken(), every_kernel_shared():
        yield


def _interpreted(graph, arrays, variables):
    return results_of(graph, run_nodes(graph, arrays, variables))


def _check_programs(graph, programs, runs, live, variables, bounds, tally):
    tally.compiled += 1
    tally.prologues += sum(bool(g.prologues) for g in programs[0].schedule.groups)
    tally.sides += sum(bool(g.space and g.space.sides) for g in programs[0].schedule.groups)
    fused, strict = programs
    written = [n.attrs["variable"].name for n in graph.effects if n.op == "assign_variable"]

    def results(program, arrays, threads):
        for name, variable in live.items():
            variable.assign(variables[name])
        tally.programs += 1
        outputs = program(*arrays, threads=threads)
        return outputs + [np.array(live[name].numpy()) for name in written]

    for arrays, bound in zip(runs, bounds):
        expected = results(fused, arrays, 1)
        others = [(strict, n, f"strict on {n} threads") for n in THREADS] + [(fused, n, f"compiled on {n} threads") for n in THREADS[1:]]
        for program, threads, name in others:
            for i, (a, b) in enumerate(zip(expected, results(program, arrays, threads), strict=True)):
                if a.tobytes() != b.tobytes():
                    raise AssertionError(f"output {i}: {name} differs from compiled on one\n{a!r}\n{b!r}\n{graph}")
        check_scratch(fused, arrays)
        problem = bound.problem(expected)
        if problem:
            raise AssertionError(f"compiled and interpreted runs differ: {problem}\n{graph}")


def check_slope(fuzzed: "FuzzedGraph | FuzzedNet", tally: Tally, seed: int = 0) -> str:
    """Compares the gradients with central differences along one random direction, all in double precision.

    Returns:
        What is wrong; empty where nothing is, or where the point is not smooth (which the tally counts).
    """
    if fuzzed.total is None or not fuzzed.sources:
        tally.slopes_skipped["no gradient"] += 1
        return ""
    total, mapping = in_float64(Graph("total", fuzzed.graph.inputs, [fuzzed.total]))
    sources = [mapping[s] for s in fuzzed.sources]
    with tracing(TraceScope()):  # anew, for a rule may have rounded its constants to a narrow type
        found = gradients([SymbolicTensor.wrap(total.outputs[0])], list(map(SymbolicTensor.wrap, sources)))
    reached = {s: as_value(g) for s, g in zip(sources, found) if g is not None}
    long = Graph("slope", total.inputs, [*total.outputs, *reached.values()])
    arrays = [a.astype(numpy_dtype(v.dtype)) for a, v in zip(fuzzed.runs[-1], long.inputs)]
    rng = np.random.default_rng(seed)
    directions = [rng.uniform(-1, 1, a.shape) if v in sources else None for a, v in zip(arrays, long.inputs)]
    here = run_nodes(long, arrays, fuzzed.variables)
    barriers = {v: here[v] for n in long.nodes if n.op == "stop_gradient" for v in n.outputs}

    def at(step):
        there = [a if d is None else a + step * d for a, d in zip(arrays, directions)]
        return float(run_nodes(total, there, fuzzed.variables, known=dict(barriers))[total.outputs[0]])

    along = dict(zip(long.inputs, directions))
    slope = sum(float((here[g] * along[s]).sum()) for s, g in reached.items())
    for step in _STEPS:
        try:
            middle, steps = at(0), (step, step / 2)
            ahead, behind = [at(h) for h in steps], [at(-h) for h in steps]
        except Exception as error:  # a step took an index out of its range, or a matrix out of its kind
            tally.slopes_skipped[type(error).__name__] += 1
            return ""
        wide, narrow = ((a - b) / (2 * h) for a, b, h in zip(ahead, behind, steps))
        # The slopes to both sides come together as the step is halved, but not at a kink.
        bends = [abs(a - 2 * middle + b) / h for a, b, h in zip(ahead, behind, steps)]
        scale = max(1.0, abs(narrow))
        if not np.isfinite([slope, wide, narrow]).all():
            tally.slopes_skipped["not finite"] += 1
            return ""
        if abs(wide - narrow) > _CURVED * scale or bends[1] > max(0.7 * bends[0], _FLAT * scale):
            tally.slopes_skipped["not smooth"] += 1
            return ""
        expected = (4 * narrow - wide) / 3
        if abs(slope - expected) <= _TOLERANCE * scale + abs(wide - narrow):
            tally.slopes += 1
            return ""
    return f"the gradient gives the slope {slope!r}, differences give {expected!r}"


# ---- smaller and smaller ----------------------------------------------------------------------------------------------


def shrunk(fuzzed: "FuzzedGraph | FuzzedNet", compiled: bool, all_fusions: bool) -> str:
    """The reproducer of a failing graph, with as few nodes as still fail."""

    def failing(part, runs):
        try:
            check_graph(part, runs, fuzzed.variables, compiled, all_fusions=all_fusions)
        except Exception as error:
            return str(error)
        return ""

    graph, runs = fuzzed.graph, fuzzed.runs
    problem = failing(graph, runs)
    if len(runs) > 1:
        alone = [r for r in runs if failing(graph, [r])]
        runs = alone[:1] or runs
    known = [run_nodes(graph, arrays, fuzzed.variables) for arrays in runs]
    for node in graph.nodes:  # the first node that shows it
        part = _cut(graph, [] if node in graph.effects else node.outputs, [node] if node in graph.effects else [], ())
        if message := failing(part, _arguments(part, known)):
            graph, problem = part, message
            break
    ends, effects = graph.outputs, graph.effects
    cuts: set[Value] = set()
    tries = 0
    last = {v.node.id for v in ends} | {n.id for n in effects}
    candidates = [v for n in reversed(graph.nodes) if n.id not in last for v in n.outputs]
    size = max(1, len(candidates) // 2)
    while size and tries < _MOST_CUTS:  # ever smaller handfuls of values become inputs
        for start in range(0, len(candidates), size):
            more = cuts.union(candidates[start : start + size])
            part = _cut(fuzzed.graph, ends, effects, more)
            if len(part.nodes) >= len(graph.nodes):
                continue
            tries += 1
            if message := failing(part, _arguments(part, known)):
                cuts, graph, problem = more, part, message
        size //= 2
    variables = {v.name: fuzzed.variables[v.name] for v in graph.variables}
    return f"{problem}\n\n{reproducer(graph, _arguments(graph, known), variables, compiled, all_fusions)}"


def _cut(graph: Graph, outputs, effects, cuts) -> Graph:
    """The part of a graph that leads to some outputs, with some values as inputs of the same name in every cut."""
    mapping = {v: Value(input_node(f"v{v.node.id}_{v.index}", v.spec)) for v in cuts}
    known = dict(mapping)

    def made(value):
        if value not in known:
            node = value.node
            inputs = [made(v) for v in node.inputs]
            new = node
            if any(a != b for a, b in zip(inputs, node.inputs)):
                new = make_node(node.op, inputs, node.attrs, origin=node.origin, subgraphs=node.subgraphs)
            for old, fresh in zip(node.outputs, new.outputs):
                known.setdefault(old, fresh)
        return known[value]

    ends, last = [made(v) for v in outputs], [made(Value(n)).node for n in effects]
    everything = Graph("part", (), ends, last).nodes
    reached = {v for n in everything for v in n.outputs}
    inputs = [v for v in (*graph.inputs, *mapping.values()) if v in reached]
    needed = frozenset().union(*map(node_symbols, everything)) - frozenset().union(*(dim_symbols(v.shape) for v in inputs))
    if needed:  # nothing else gives the size of the batch
        inputs.insert(0, graph.inputs[0])
    part = Graph(graph.name, inputs, ends, last)
    part.origins = {new: old for old, new in mapping.items()}
    return part


def _arguments(part, known):
    origins = getattr(part, "origins", {})
    return [[values[origins.get(v, v)] for v in part.inputs] for values in known]


# ---- text -------------------------------------------------------------------------------------------------------------


def reproducer(graph: Graph, runs, variables: Mapping[str, np.ndarray], compiled: bool, all_fusions: bool = False) -> str:
    """Python code that runs the check on this graph again."""
    lines = ",\n    ".join("[" + ", ".join(map(_literal, arrays)) + "]" for arrays in runs)
    state = ", ".join(f"{name!r}: {_literal(array)}" for name, array in variables.items())
    return (
        "from graphkeras.testing.fuzz import array, check_graph\n"
        f'check_graph("""\n{print_graph(graph, inline=1 << 20)}\n""", runs=[\n    {lines},\n], '
        f"variables={{{state}}}, compiled={compiled}, all_fusions={all_fusions})"
    )


def _literal(a: np.ndarray) -> str:
    name = dtype_name(a.dtype)
    if a.size <= _SHOWN and a.dtype.kind in "iub":
        return f"array({name!r}, {a.shape}, {a.reshape(-1).tolist()})"
    if a.size <= _SHOWN and is_float(name) and np.isfinite(a.astype(np.float64)).all():
        return f"array({name!r}, {a.shape}, {a.reshape(-1).astype(np.float64).tolist()})"
    return f"array({name!r}, {a.shape}, {base64.b64encode(zlib.compress(np.ascontiguousarray(a).tobytes(), 9)).decode()!r})"


def array(dtype: str, shape: tuple, content: "list | str") -> np.ndarray:
    """An array as reproducers write it: its elements, or its bytes, compressed."""
    if isinstance(content, str):
        return np.frombuffer(zlib.decompress(base64.b64decode(content)), numpy_dtype(dtype)).reshape(shape).copy()
    return np.array(content).astype(numpy_dtype(dtype)).reshape(shape)


def _references(live):
    return {name: VariableRef(name, TensorSpec(v.shape, v.dtype), v) for name, v in live.items()}


def _alive(graph, live):
    """The graph with live variables in place of names."""
    if isinstance(graph, Graph):
        graph_text = print_graph(graph)
        return parse_graph(graph_text, constants_of(graph), _references(live)) if live else graph
    return parse_graph(graph, variables=_references(live))


__all__ = ["Tally", "array", "check_graph", "check_slope", "fuzz", "fuzz_net", "random_graph", "random_net", "reproducer"]
