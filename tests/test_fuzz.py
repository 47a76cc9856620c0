"""Random graphs hold what every graph must hold; a planted fault is found and cut down to a reproducer."""

import re
from collections import Counter

import numpy as np
import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.ir import REGISTRY
from graphkeras.ir.dims import Dim, dim_symbols
from graphkeras.ir.errors import DataError
from graphkeras.passes import rule
from graphkeras.passes.engine import Op, Var
from graphkeras.passes.pipeline import rules_pass
from graphkeras.testing import fuzz as module
from graphkeras.testing import fuzz_graphs
from graphkeras.testing.fuzz import Tally, array, check_graph, check_slope, fuzz, fuzz_net
from graphkeras.testing.fuzz_graphs import coverage, ops_of, random_graph
from graphkeras.testing.fuzz_nets import random_net
from graphkeras.trace import TraceScope, tracing

_OF_PIECES = """scan while_loop cond switch checkpoint attention attention_gradient gather scatter_add sort argsort top_k cumsum cumprod
    max_pool average_pool dropout""".split()


@pytest.mark.parametrize("seed", range(30))
def test_random_graph(seed):
    # 20 nodes and more with the gradients: few enough for kernels to be compiled within a second.
    nodes = next(n for n in range(10, 30, 4) if len(random_graph(20_000 + seed, 1, n).graph.nodes) >= 20)
    tally = Tally()
    fuzz(20_000 + seed, ops=1, nodes=nodes, compiled=True, tally=tally)
    assert tally.compiled == 1 and tally.programs >= 2 * len(module.THREADS) - 1 and tally.nodes >= 20


@pytest.mark.parametrize("first", range(0, 12, 4))
def test_random_nets(first):
    tally = Tally()
    for seed in range(first, first + 4):
        fuzz_net(seed, tally)
    assert tally.compiled == 4 and tally.prologues > 2 and tally.sides > 2, tally


@pytest.mark.parametrize("first", range(0, 8, 4))
def test_random_nets_of_pieces(first):
    tally = Tally()
    for seed in range(first, first + 4):
        fuzz_net(seed, tally, pieces=0.8)
    loops = sum(tally.ops[op] for op in ("scan", "while_loop", "cond", "switch"))
    assert tally.compiled == 4 and loops >= 4 and tally.slopes >= 2, tally


def _many(seeds, check=fuzz, **options):
    tally, failures = Tally(), []
    for seed in seeds:
        try:
            check(seed, tally=tally, **options)
        except AssertionError as failure:
            failures.append(str(failure))
    print(tally)
    assert not failures, "\n\n".join(failures[:5])
    return tally


@pytest.mark.slow
def test_two_thousand_graphs():
    tally = _many(range(2000), ops=6)
    assert tally.graphs == 2000
    # Once layers are imported, there is an op for their calls, which no graph of primitives holds.
    assert min(n for op, n in tally.ops.items() if op != "layer_call") >= 20, tally
    assert tally.slopes > 0.8 * tally.graphs, tally


@pytest.mark.slow
def test_five_hundred_graphs_compiled():
    tally = _many(range(10_000, 10_500), ops=2, compiled=True)
    assert tally.compiled == 500


@pytest.mark.slow
def test_three_hundred_nets():
    tally = _many(range(1000, 1300), check=fuzz_net)
    assert tally.compiled == 300 and tally.prologues > 600 and tally.sides > 400, tally
    assert tally.arbitrary <= 15 and tally.elements > 20 * tally.elements_skipped, tally


@pytest.mark.slow
def test_three_hundred_nets_of_pieces():
    tally = _many(range(2000, 2300), check=fuzz_net, pieces=0.8)
    assert tally.compiled == 300 and tally.prologues > 100 and tally.sides > 50, tally
    assert min(tally.ops[op] for op in _OF_PIECES) >= 5, tally
    assert tally.slopes > 200 and tally.arbitrary <= 15 and tally.elements > 20 * tally.elements_skipped, tally


# ---- the graphs ---------------------------------------------------------------------------------------------------------


def test_graphs_are_repeatable_and_of_all_kinds():
    graphs = [random_graph(seed) for seed in range(8)]
    assert str(graphs[0].graph) == str(random_graph(0).graph) != str(graphs[1].graph)
    assert all(len(g.forward.nodes) >= 20 and len(g.graph.nodes) > len(g.forward.nodes) for g in graphs)
    assert any(len(g.runs) == len(fuzz_graphs.BATCHES) for g in graphs) and any(len(g.runs) == 1 for g in graphs)
    assert any(dim_symbols(v.shape) for g in graphs for v in g.graph.inputs)
    assert any(g.graph.effects for g in graphs) and any(g.graph.variables for g in graphs)
    assert sum(bool(n) for n in coverage(g.graph for g in graphs).values()) > 60


def test_nets_of_pieces_are_repeatable_and_of_all_kinds():
    graphs = [random_net(seed, pieces=0.8).graph for seed in range(80)]
    assert str(graphs[0]) == str(random_net(0, pieces=0.8).graph) != str(random_net(0).graph)
    found = Counter(op for g in graphs for op in set(ops_of(g)))
    assert min(found[op] for op in _OF_PIECES) >= 1, found
    loops = [n for g in graphs for n in g.nodes if n.op == "scan"]
    assert {n.attrs["reverse"] for n in loops} == {False, True}
    assert any(isinstance(n.attrs["length"], Dim) for n in loops)  # as many steps as the batch has samples
    assert any(inner.op == "scan" for n in loops for inner in n.subgraphs[0].nodes)
    written = {w.inputs[0].node for g in graphs for w in g.effects}
    assert written.intersection(loops)  # a loop may write variables


@pytest.mark.parametrize("seed", range(2))
def test_every_op_finds_its_place(seed):
    rng = np.random.default_rng(seed)
    builder = fuzz_graphs.Builder(rng, None)
    # Made by the tracer itself; a layer call is registered with the first import of the layers.
    missing = set(REGISTRY) - {"input", "read_variable", "assign_variable", "layer_call"}
    with tracing(TraceScope()):
        for name in sorted(missing):
            builder.add(name)
        graph = builder.finish("all").graph
    assert not {name for name in missing if not coverage([graph])[name]}, builder.declined


# ---- faults ---------------------------------------------------------------------------------------------------------------


def test_a_wrong_rule_is_found_with_a_reproducer(monkeypatch):
    @rule(Op("sigmoid")(Var("x")), numeric="exact")
    def wrong(m):
        """sigmoid(x) -> sin(x), which is wrong"""
        return m.make("sin", m["x"])

    monkeypatch.setattr(module, "JOINT", (rules_pass("wrong", [wrong], "a planted fault"),))
    seed = next(s for s in range(100) if "sigmoid" in {n.op for n in random_graph(s, 4).forward.nodes})
    with pytest.raises(AssertionError, match="passes change") as caught:
        fuzz(seed, ops=4)
    code = str(caught.value)[str(caught.value).index("from graphkeras.testing.fuzz import array") :]
    assert len(re.findall(r"^  %\d+.* = ", code, re.MULTILINE)) == 1 and "sigmoid" in code
    with pytest.raises(AssertionError, match="passes change"):
        exec(code, {})
    monkeypatch.undo()
    exec(code, {})


def test_a_wrong_gradient_is_found():
    fuzzed = next(g for g in (random_graph(s) for s in range(20)) if g.total is not None and not check_slope(g, Tally()))
    tally = Tally()
    check_slope(fuzzed, tally)
    if tally.slopes:
        true = module.gradients
        try:
            module.gradients = lambda *a: [g * 1.001 if g is not None else None for g in true(*a)]
            assert "differences give" in check_slope(fuzzed, Tally())
        finally:
            module.gradients = true


def test_rounding_is_forgiven_and_nothing_else():
    text = "f(x: f32[40]) { %0 = exp(x); %1 = reduce_sum(%0, axes=(0,), keepdims=false); %2 = subtract(%0, %1); return %2 }"
    from graphkeras.ir.text import parse_graph
    from graphkeras.testing.fuzz_run import Bound

    x = np.linspace(-1, 1, 40, dtype="float32")
    bound = Bound(parse_graph(text), [x])
    right = bound.results[0]
    assert not bound.problem([right]) and not bound.problem([right + np.float32(2e-6) * right])
    assert "became" in bound.problem([right + np.float32(1e-3)])
    assert "became" in bound.problem([right.astype("float64")])


def test_noise_may_lead_an_index_out_of_its_range():
    text = """f(x: f32[], table: f32[3]) {
        %0 = multiply(x, 3.0); %1 = cast(%0, dtype="int32"); %2 = reshape(%1, shape=(1,)); %3 = gather(table, %2, axis=0)
        %4 = exp(%3); return %4
    }"""
    below = np.nextafter(np.float32(1), np.float32(0))
    check_graph(text, runs=[[below, np.float32([1, 2, 3])]])
    with pytest.raises(DataError):  # without any noise
        check_graph(text, runs=[[np.float32(1), np.float32([1, 2, 3])]])


def test_check_graph_takes_text_and_arrays():
    check_graph("f(x: f32[b,3]) { %0 = exp(x); %1 = add(%0, 0.0); return %1 }", seed=3)
    check_graph(
        "f(x: f32[3]) { %0: f32[3] = read_variable(variable=@v: f32[3]); %1 = add(%0, x); return %1 }",
        runs=[[array("float32", (3,), [1.0, 2.0, 3.0])]],
        variables={"v": np.zeros(3, "float32")},
    )
    for a in (np.arange(3), np.float32([1.5, np.nan]), np.zeros((30, 2), "float64"), np.array([True, False]), np.float16(2).reshape(())):
        again = eval(module._literal(a), {"array": array})
        assert again.dtype == a.dtype and again.shape == a.shape and again.tobytes() == a.tobytes()
