"""Passes that are not tables of rules: folding, common subexpressions, dead effects, expansion; and the pipeline."""

import os

import numpy as np
import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.debug import flags
from graphkeras.ir import REGISTRY, Graph, diff, parse_graph, register_op, structurally_equal, verify
from graphkeras.ir.errors import GraphError
from graphkeras.passes import JOINT, POST_GRAD, PRE_GRAD, Pass, PassContext, Repeat, run
from graphkeras.passes.joint.cse import cse
from graphkeras.passes.joint.dce import dce
from graphkeras.passes.joint.folding import fold_constants
from graphkeras.passes.post_grad.expand import expand_composites
from graphkeras.testing.rules import check_same_meaning


def apply(function, text, **options):
    context = PassContext(**{"disabled": (), "limit": -1, **options})
    graph = verify(parse_graph(text))
    return verify(function(graph, context)), context


def expect(function, before, after):
    graph, context = apply(function, before)
    assert diff(parse_graph(after), graph) == ""
    check_same_meaning(parse_graph(before), graph)
    return context


# Folding


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("f() { %0 = add(1.0, 2.0); %1 = exp(%0); return %0 }", "f() { return 3.0 }"),
        ("f(x: f32[2]) { %0 = constant(value=i32[2]{1, 2}); %1 = cast(%0, dtype=\"float32\"); %2 = add(x, %1); return %2 }",
         "f(x: f32[2]) { %0 = constant(value=f32[2]{1.0, 2.0}); %1 = add(x, %0); return %1 }"),
        ("f() { %0 = constant(value=f32[2,2]{1.0, 2.0, 3.0, 4.0}); %1 = matmul(%0, %0); return %1 }",
         "f() { %0 = constant(value=f32[2,2]{7.0, 10.0, 15.0, 22.0}); return %0 }"),
        ("f() { %0 = divide(1.0, 0.0); %1 = negative(%0); return %0, %1 }", "f() { return inf, -inf }"),
    ],
)  # fmt: skip
def test_constants_are_folded(before, after):
    expect(fold_constants, before, after)


@pytest.mark.parametrize(
    "text",
    [
        "f(x: f32[b]) { %0 = broadcast_to(1.0, shape=(4,)); return %0, x }",
        "f(x: f32[b]) { %0 = broadcast_to(1.0, shape=(b,)); return %0, x }",
        "f() { %0 = iota(shape=(3,), axis=0, dtype=\"int32\"); return %0 }",
        "f() { %0 = constant(value=u32[2]{1, 2}); %1 = random_bits(%0, shape=(3,)); return %1 }",
        "f() { %0 = constant(value=u32[2]{1, 2}); %1 = constant(value=f32[2]{1.0, 2.0}); %2 = dropout(%1, %0, rate=0.5); "
         "return %2 }",
        "f() { %0 = read_variable(variable=@w: f32[]); %1 = add(%0, 1.0); return %1 }",
        "f() { %0 = check_range(7, low=0, high=5, what=\"label\"); return %0 }",
    ],
)  # fmt: skip
def test_what_is_not_folded(text):
    graph, _ = apply(fold_constants, text)
    assert structurally_equal(graph, parse_graph(text))


def test_a_check_that_fails_is_left_with_a_note():
    _, context = apply(fold_constants, 'f() { %0 = check_range(7, low=0, high=5, what="label"); return %0 }')
    assert "check_range was left for run time" in context.report.notes[0]


def test_large_results_are_not_folded():
    column = "constant(value=f32[200,1]{" + ", ".join(["1.0"] * 200) + "})"
    row = "constant(value=f32[1,200]{" + ", ".join(["2.0"] * 200) + "})"
    graph, context = apply(fold_constants, f"f() {{ %0 = {column}; %1 = {row}; %2 = add(%0, %1); return %2 }}")
    assert graph.outputs[0].node.op == "add" and context.made == 0


# Common subexpressions


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("f(x: f32[3]) { %0 = exp(x); %1 = exp(x); %2 = add(%0, %1); return %2 }", "f(x: f32[3]) { %0 = exp(x); "
         "%1 = add(%0, %0); return %1 }"),
        ("f(x: f32[3], y: f32[3]) { %0 = add(x, y); %1 = add(y, x); "
         "return %0, %1 }", "f(x: f32[3], y: f32[3]) { %0 = add(x, y); return %0, %0 }"),
        ("f(x: f32[3]) { %0 = constant(value=f32[2]{1.0, 2.0}); %1 = constant(value=f32[2]{1.0, 2.0}); return %0, %1, x }",
         "f(x: f32[3]) { %0 = constant(value=f32[2]{1.0, 2.0}); return %0, %0, x }"),
        ("f() { %0 = read_variable(variable=@w: f32[2]); %1 = read_variable(variable=@w: f32[2]); return %0, %1 }",
         "f() { %0 = read_variable(variable=@w: f32[2]); return %0, %0 }"),
        ("f(k: u32[2]) { %0 = random_bits(k, shape=(3,)); %1 = random_bits(k, shape=(3,)); return %0, %1 }",
         "f(k: u32[2]) { %0 = random_bits(k, shape=(3,)); return %0, %0 }"),
    ],
)  # fmt: skip
def test_equal_nodes_are_merged(before, after):
    assert expect(cse, before, after).made > 0


@pytest.mark.parametrize(
    "text",
    [
        "f(x: f32[3]) { %0 = multiply(x, 0.0); %1 = multiply(x, -0.0); return %0, %1 }",
        "f(x: f32[3], y: f32[3]) { %0 = subtract(x, y); %1 = subtract(y, x); return %0, %1 }",
        "f(x: f32[3], y: f32[3]) { %0 = maximum(x, y); %1 = maximum(y, x); return %0, %1 }",
        'f(x: i32[3]) { %0 = check_range(x, low=0, high=1, what="a"); %1 = check_range(x, low=false, high=1, what="a"); '
         'return %0, %1 }',
        'f(x: i32[3]) { %0 = check_range(x, low=0, high=1, what="a"); %1 = check_range(x, low=0, high=1.0, what="a"); '
         'return %0, %1 }',
        "f(x: f32[]) { %0 = assign_variable(x, variable=@w: f32[]); %1 = assign_variable(x, variable=@w: f32[]); return ; "
         "effects %0, %1 }",
        "f(k: u32[2]) { %0 = random_bits(k, shape=(3,)); %1 = random_bits(k, shape=(3, 1)); return %0, %1 }",
    ],
)
def test_what_is_not_merged(text):
    graph, context = apply(cse, text)
    assert context.made == 0 and structurally_equal(graph, parse_graph(text))


def test_constants_of_other_types_are_not_merged():
    graph, _ = apply(cse, "f() { return 1, 1.0, true, 1:i64, -0.0, 0.0 }")
    assert len({v.node.id for v in graph.outputs}) == 6


def test_chains_are_merged_in_one_go():
    graph, context = apply(
        cse, "f(x: f32[3]) { %0 = exp(x); %1 = log(%0); %2 = exp(x); %3 = log(%2); %4 = subtract(%1, %3); return %4 }"
    )
    assert [n.op for n in graph.nodes] == ["exp", "log", "subtract"] and context.made == 2


# Dead effects


def test_writes_of_own_value_are_dropped():
    text = """f(x: f32[2]) {
      %0 = read_variable(variable=@w: f32[2])
      %1 = assign_variable(%0, variable=@w: f32[2])
      %2 = assign_variable(%0, variable=@v: f32[2])
      %3 = assign_variable(x, variable=@u: f32[2])
      return x; effects %1, %2, %3
    }"""
    graph, _ = apply(dce, text)
    assert [n.attrs["variable"].name for n in graph.effects] == ["v", "u"]


# Expansion


def test_composites_are_expanded_to_primitives():
    text = "f(x: f32[b,5], t: i32[b]) { %0 = sparse_softmax_crossentropy(x, t); %1 = softmax(x, axes=(1,)); return %0, %1 }"
    graph, context = apply(expand_composites, text)
    kinds = {REGISTRY[n.op].kind for n in graph.nodes}
    assert "composite" not in kinds and context.report.rules["logsumexp"].applied == 1
    labels = {"t": lambda rng, shape: rng.integers(0, 5, shape)}
    check_same_meaning(parse_graph(text), graph, "rounding", inputs=labels, gradient=False)
    assert any("expand logsumexp (expand sparse_softmax_crossentropy)" in n.origin.rule for n in graph.nodes)


def test_expansion_does_not_count_against_the_rewrite_limit():
    graph, _ = apply(expand_composites, "f(x: f32[3]) { %0 = softmax(x, axes=(0,)); return %0 }", limit=0)
    assert "softmax" not in {n.op for n in graph.nodes}


@pytest.fixture
def bad_composites():
    from graphkeras.trace import prim

    register_op("test_endless", kind="composite", infer=lambda x: x, expand=lambda x: prim.test_endless(x))
    register_op("test_misshaped", kind="composite", infer=lambda x: x, expand=lambda x: prim.reshape(x, shape=(1, *x.spec.shape)))
    yield
    del REGISTRY["test_endless"], REGISTRY["test_misshaped"]


def test_bad_expansions_are_reported(bad_composites):
    with pytest.raises(GraphError, match="test_misshaped expands to other specs than it infers"):
        apply(expand_composites, "f(x: f32[3]) { %0 = test_misshaped(x); return %0 }")
    with pytest.raises(GraphError, match="test_endless expand without end"):
        apply(expand_composites, "f(x: f32[3]) { %0 = test_endless(x); return %0 }")


# Pipeline

MODEL = """step(x: f32[b,3], t: f32[b,4]) {
  %0 = read_variable(variable=@w: f32[3,4])
  %1 = matmul(x, %0)
  %2 = add(%1, 0.0)
  %3 = softmax(%2, axes=(1,))
  %4 = stop_gradient(t)
  %5 = multiply(%3, %4)
  %6 = add(2.0, 3.0)
  %7 = divide(%5, %6)
  %8 = multiply(%0, 0.5)
  %9 = assign_variable(%8, variable=@w: f32[3,4])
  return %7; effects %9
}"""


def test_pipeline_keeps_the_meaning():
    graph = parse_graph(MODEL)
    final, reports = run(graph, [*PRE_GRAD, *JOINT, *POST_GRAD], verify=True)
    assert not {"softmax", "stop_gradient"} & {n.op for n in final.nodes}
    assert sum(n.op == "add" for n in final.nodes) == 0
    check_same_meaning(graph, final, "rounding", gradient=False)
    assert {r.name for r in reports} >= {"cse", "rules", "expand_composites", "dce"}
    assert reports[-1].nodes_after == len(final.nodes)
    assert "add_zero: 1" in "\n".join(map(str, reports))


def test_pipeline_is_deterministic_and_comes_to_rest():
    stages = [*PRE_GRAD, *JOINT, *POST_GRAD]
    first, second = (run(parse_graph(MODEL), stages)[0] for _ in range(2))
    assert str(first) == str(second)
    assert run(first, stages)[0] is first


def test_every_stage_has_a_reason():
    def passes(stages):
        return [p for s in stages for p in (passes(s.stages) if isinstance(s, Repeat) else [s])]

    for stage in passes([*PRE_GRAD, *JOINT, *POST_GRAD]):
        assert len(stage.reason) > 20, stage.name


def test_a_wrong_pass_is_named_by_the_verifier():
    def lose_an_input(graph, context):
        return Graph(graph.name, graph.inputs[1:], graph.outputs, graph.effects)

    with pytest.raises(GraphError, match=r"\(after pass lose_an_input\): placeholder 'x' is used"):
        run(parse_graph(MODEL), [Pass("lose_an_input", lose_an_input, "a planted fault")], verify=True)


def test_flags_disable_limit_and_dump(tmp_path, capsys):
    with flags.DISABLE_PASSES("cse,add_zero"):
        final, reports = run(parse_graph(MODEL), PRE_GRAD)
    assert "cse" not in {r.name for r in reports} and any(n.op == "add" for n in final.nodes)
    with flags.REWRITE_LIMIT(1):
        _, reports = run(parse_graph(MODEL), PRE_GRAD)
    assert sum(r.applied for r in reports) == 1
    with flags.DUMP(str(tmp_path)), flags.DEBUG(6):
        run(parse_graph(MODEL), PRE_GRAD)
    names = sorted(os.listdir(tmp_path))
    assert names[0].endswith("_step_the_trace.txt") and len(names) > 1
    assert structurally_equal(parse_graph((tmp_path / names[0]).read_text()), parse_graph(MODEL))
    printed = capsys.readouterr()
    assert "rewrite 1: " in printed.out + printed.err and "# after rules" in printed.err


def test_a_graph_of_constants_only_becomes_one_constant():
    final, _ = run(parse_graph("f() { %0 = add(1.0, 2.0); %1 = multiply(%0, %0); return %1 }"), JOINT)
    assert len(final.nodes) == 1 and final.outputs[0].node.attrs["value"].array == np.float32(9)


def test_names_that_cannot_be_left_out_are_refused():
    for name, problem in (("foldconstants", "no pass and no rule"), ("expand_composites", "cannot be left out")):
        with flags.DISABLE_PASSES(name), pytest.raises(flags.FlagError, match=problem):
            run(parse_graph(MODEL), POST_GRAD)
    with flags.DISABLE_PASSES("multiply_one,merge,add,pads_to_concatenate"):
        run(parse_graph(MODEL), POST_GRAD)
