"""Random graphs hold what every graph must hold; a planted fault is found and cut down to a reproducer."""

import numpy as np
import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.passes import rule
from graphkeras.passes.engine import Op, Var
from graphkeras.passes.pipeline import rules_pass
from graphkeras.testing import fuzz as module
from graphkeras.testing.fuzz import check_graph, fuzz, random_graph


@pytest.mark.parametrize("seed", range(60))
def test_random_graph(seed):
    fuzz(seed)


@pytest.mark.parametrize("seed", range(4))
def test_random_graph_compiled(seed):
    fuzz(1000 + seed, nodes=10, compiled=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2000, 3000))
def test_many_random_graphs(seed):
    fuzz(seed, nodes=25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3000, 3060))
def test_many_random_graphs_compiled(seed):
    fuzz(seed, nodes=25, compiled=True)


def test_graphs_are_connected_and_repeatable():
    graph = random_graph(7, nodes=30)
    assert str(graph) == str(random_graph(7, nodes=30)) and str(graph) != str(random_graph(8, nodes=30))
    assert max(len(graph.users(v)) for n in graph.nodes for v in n.outputs) > 1
    assert len({n.op for n in graph.nodes}) > 8


def test_a_wrong_rule_is_found_with_a_reproducer(monkeypatch):
    @rule(Op("tanh")(Var("x")), numeric="exact")
    def wrong(m):
        """tanh(x) -> sin(x), which is wrong"""
        return m.make("sin", m["x"])

    monkeypatch.setattr(module, "JOINT", (rules_pass("wrong", [wrong], "a planted fault"),))
    for seed in range(200):
        graph = random_graph(seed)
        if any(v.node.op == "tanh" for v in graph.outputs):  # where nothing hides the difference
            break
    with pytest.raises(AssertionError, match="passes change output") as caught:
        fuzz(seed)
    code = str(caught.value).split("\n\n")[-1]
    assert code.startswith("from graphkeras.testing.fuzz import check_graph")
    last = [line for line in code.splitlines() if " = " in line][-1]
    assert "tanh" in last
    with pytest.raises(AssertionError, match="passes change output"):
        exec(code, {})
    monkeypatch.undo()
    exec(code, {})


def test_check_graph_takes_text():
    check_graph("f(x: f32[b,3]) { %0 = exp(x); %1 = add(%0, 0.0); return %1 }", seed=int(np.int64(3)))
