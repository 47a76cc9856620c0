"""Checkpoints are taken apart, what they recompute stays apart, and equal control nodes become one."""

import pytest

from graphkeras import ops
from graphkeras.autodiff import checkpoint
from graphkeras.ir.parser import parse_graph
from graphkeras.ir.spec import TensorSpec
from graphkeras.ir.text import print_graph
from graphkeras.passes import run
from graphkeras.schedule import schedule
from graphkeras.trace import trace

X = TensorSpec((3,))


def _final(function, *specs):
    return run(trace(function, specs), verify=True)[0]


def test_checkpoints_in_each_other_are_taken_apart():
    inner = checkpoint(lambda x: ops.sin(x))
    graph = _final(lambda x: checkpoint(lambda x: inner(x) * 2.0)(x), X)
    assert [n.op for n in graph.nodes if n.op != "constant"] == ["sin", "multiply"]


def test_what_stands_behind_a_barrier_is_not_what_stands_before_it():
    graph = parse_graph(
        "f(x: f32[3], c: f32[3]) { %0: f32[3] = sin(x); %1: f32[3] = recompute_barrier(x, c); %2: f32[3] = sin(%1); "
        "%3: f32[3] = recompute_barrier(x, c); %4: f32[3] = sin(%3); return %0, %2, %4 }"
    )
    final, _ = run(graph)
    assert [n.op for n in final.nodes] == ["sin", "recompute_barrier", "sin"]  # two barriers of the same values are one
    assert final.outputs[1] == final.outputs[2] != final.outputs[0]


@pytest.mark.parametrize("fuse", [True, False])
def test_what_is_recomputed_waits_for_what_the_barrier_awaits(fuse):
    graph = parse_graph(
        "f(x: f32[8,8], y: f32[8,8]) { %0: f32[8,8] = matmul(x, x); %1: f32[8,8] = recompute_barrier(y, %0); "
        "%2: f32[8,8] = matmul(%1, y); return %2, %0 }"
    )
    scheduled = schedule(graph, fuse=fuse)
    products = [[n.id for n in g.nodes if n.op == "matmul"] for g in scheduled.groups]
    assert [ids for ids in products if ids] == [[n.id] for n in graph.nodes if n.op == "matmul"]
    assert all(n.op != "recompute_barrier" for g in scheduled.groups for n in g.nodes)  # it costs nothing


def test_control_nodes_that_were_traced_apart_become_one():
    branch = lambda p, x: ops.cond(p, lambda: ops.sin(x), lambda: x * 2.0)
    graph = _final(lambda p, x: branch(p, x) + branch(p, x), TensorSpec((), "bool"), X)
    assert [n.op for n in graph.nodes].count("cond") == 1
    sums = lambda x: ops.scan(lambda c, a: (c + a, c * a), 0.0, x)[1]
    graph = _final(lambda x: sums(x) + sums(x), X)
    assert [n.op for n in graph.nodes].count("scan") == 1


def test_control_nodes_that_differ_inside_stay_apart():
    branch = lambda p, x, factor: ops.cond(p, lambda: ops.sin(x), lambda: x * factor)
    graph = _final(lambda p, x: branch(p, x, 2.0) + branch(p, x, 3.0), TensorSpec((), "bool"), X)
    assert [n.op for n in graph.nodes].count("cond") == 2
    assert "multiply(c0, 3.0)" in print_graph(graph)
