import numpy as np

from graphkeras.ir import Graph, symbol
from graphkeras.schedule import schedule
from tests.lowering.programs import arg, const, op

B = symbol("b")


def kinds(graph, fuse=True):
    return [group.kind for group in schedule(graph, fuse).groups]


def matmul(a, b, ta=False, tb=False):
    return op("matmul", a, b, transpose_a=ta, transpose_b=tb)


def test_strict_gives_every_node_a_group():
    x = arg("x", (B, 8))
    y = op("tanh", op("add", op("exp", x), const(1.0)))
    graph = Graph("f", [x], [op("reduce_sum", y, axes=(1,), keepdims=False)])
    assert kinds(graph) == ["row"]
    assert kinds(graph, fuse=False) == ["pointwise"] * 3 + ["row"]


def test_a_diamond_through_another_kernel_is_not_fused_around_it():
    x, w = arg("x", (8, 8)), arg("w", (8, 8))
    a = op("exp", x)
    product = matmul(a, w)
    result = schedule(Graph("f", [x, w], [op("add", a, product)]))
    assert [g.kind for g in result.groups] == ["pointwise", "contraction"]
    assert [n.op for n in result.groups[1].nodes] == ["matmul", "add"]


def test_every_group_comes_after_what_it_reads():
    x, w = arg("x", (B, 8)), arg("w", (8, 8))
    values = [x]
    rng = np.random.default_rng(0)
    for step in range(60):
        a, b = (values[i] for i in rng.integers(max(0, len(values) - 5), len(values), 2))
        values.append(op("add", matmul(a, w), b) if step % 7 == 0 else op("multiply", op("tanh", a), b))
    result = schedule(Graph("f", [x, w], values[-3:]))
    seen = set()
    for group in result.groups:
        own = {n.id for n in group.nodes}
        for node in group.nodes:
            for value in node.inputs:
                base, _ = result.resolve(value)
                assert base.node.id in own | seen or base.node.op in ("input", "constant")
        seen |= own
    assert len(result.groups) < 30


def test_scalars_share_one_kernel():
    x = arg("x", ())
    y = arg("y", (B, 3))
    outputs = [op("exp", x), op("sqrt", op("absolute", x)), op("add", op("log1p", op("square", x)), const(2.0))]
    assert kinds(Graph("f", [x, y], [*outputs, op("multiply", y, outputs[0])])) == ["pointwise", "pointwise"]


def test_reductions_over_separate_axes_run_innermost_first():
    x = arg("x", (2, 3, 4))
    result = schedule(Graph("f", [x], [op("reduce_sum", x, axes=(0, 2), keepdims=True)]))
    sums = [n for g in result.groups for n in g.nodes if n.op == "reduce_sum"]
    assert [n.attrs["axes"] for n in sums] == [(2,), (0,)]
    assert sums[-1].specs[0].shape == (1, 3, 1)


def test_refusals_are_one_line_each():
    x, w = arg("x", (B, 8)), arg("w", (8, 8))
    y = matmul(x, w)
    result = schedule(Graph("f", [x, w], [op("reduce_max", y, axes=(1,), keepdims=False)]))
    (refusal,) = result.refusals
    assert "stays apart" in str(refusal) and "\n" not in str(refusal)


def test_costs_are_polynomials_of_the_batch():
    x, w, b = arg("x", (B, 8)), arg("w", (8, 4)), arg("bias", (4,))
    (group,) = schedule(Graph("f", [x, w, b], [op("relu", op("add", matmul(x, w), b))])).groups
    assert group.flops == 2 * B * 8 * 4 + 2 * B * 4
    assert group.bytes == 4 * (8 * B + 32 + 4 + 4 * B)


def test_long_chains_are_cut():
    value = x = arg("x", (B,))
    for _ in range(100):
        value = op("tanh", value)
    assert len(schedule(Graph("f", [x], [value])).groups) == 3


def test_the_text_of_a_schedule_names_every_node():
    x = arg("x", (B, 8))
    text = str(schedule(Graph("f", [x], [op("exp", op("negative", x))])))
    assert "negative" in text and "exp" in text and "FLOP" in text
