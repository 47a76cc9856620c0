"""The rewrite engine: matching, refusals, order, limits, origins."""

import numpy as np
import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.ir import Graph, Origin, TensorSpec, Value, input_node, make_node, origin_scope, parse_graph, structurally_equal
from graphkeras.ir.errors import GraphError
from graphkeras.passes.engine import Const, OneOf, Op, PassContext, Var, apply_rules, rule, uniform_value
from graphkeras.passes.joint.algebra import add_zero, double_negative, multiply_one

CHAIN = "f(x: f32[3]) { %0 = add(x, 0.0); %1 = multiply(%0, 1.0); %2 = negative(%1); %3 = negative(%2); return %3 }"
RULES = [add_zero, multiply_one, double_negative]


def context(**options):
    return PassContext(**{"disabled": (), "limit": -1, **options})


def test_rules_apply_until_none_does_and_are_counted():
    used = context()
    graph = apply_rules(parse_graph(CHAIN), RULES, used)
    assert structurally_equal(graph, parse_graph("f(x: f32[3]) { return x }"))
    assert {name: count.applied for name, count in used.report.rules.items()} == {
        "add_zero": 1,
        "multiply_one": 1,
        "double_negative": 1,
    }
    assert used.made == 3 and used.report.applied == 3


def test_a_graph_without_matches_is_returned_itself():
    graph = parse_graph("f(x: f32[3]) { %0 = exp(x); return %0 }")
    assert apply_rules(graph, RULES, context()) is graph


def test_disabled_rules_and_numeric_classes():
    graph = apply_rules(parse_graph(CHAIN), RULES, context(disabled=("multiply_one",)))
    assert [n.op for n in graph.nodes if n.op != "constant"] == ["multiply"]
    graph = apply_rules(parse_graph(CHAIN), RULES, context(numeric={"exact"}))
    assert [n.op for n in graph.nodes if n.op != "constant"] == ["add"]


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_rewrite_limit_bisects(limit):
    used = context(limit=limit)
    apply_rules(parse_graph(CHAIN), RULES, used)
    assert used.made == limit


def test_replacement_with_another_spec_is_refused():
    @rule(Op("exp")(Var("x")), numeric="exact")
    def to_scalar(m):
        """exp(x) -> sum(x)"""
        return m.make("reduce_sum", m["x"], axes=(0,), keepdims=False)

    used = context()
    graph = parse_graph("f(x: f32[3]) { %0 = exp(x); return %0 }")
    assert apply_rules(graph, [to_scalar], used) is graph
    assert used.report.rules["to_scalar"].declined == 1


def test_origin_is_carried_over_with_the_name_of_the_rule():
    x, y = (Value(input_node(n, TensorSpec((3,)))) for n in "xy")
    with origin_scope(Origin("model/head", "train.py", 27)):
        total = Value(make_node("add", (x, Value(make_node("negative", (y,))))))
    from graphkeras.passes.joint.algebra import add_negative

    graph = apply_rules(Graph("f", [x, y], [total]), [add_negative], context())
    assert graph.outputs[0].node.origin == Origin("model/head", "train.py", 27, "add_negative")


def test_rules_that_undo_each_other_are_reported():
    @rule(Op("exp")(Var("x")), numeric="nonfinite")
    def there(m):
        """exp(x) -> log(x)"""
        return m.make("log", m["x"])

    @rule(Op("log")(Var("x")), numeric="nonfinite")
    def back(m):
        """log(x) -> exp(x)"""
        return m.make("exp", m["x"])

    graph = parse_graph("f(x: f32[3]) { %0 = exp(x); return %0 }")
    with pytest.raises(GraphError, match="rules (there, back|back, there) do not come to rest"):
        apply_rules(graph, [there, back], context(numeric={"nonfinite"}))


def test_a_rule_that_grows_the_graph_for_ever_is_reported():
    @rule(Op("exp")(Var("x")), numeric="nonfinite")
    def grow(m):
        """exp(x) -> negative(exp(negative(x)))"""
        return m.make("negative", m.make("exp", m.make("negative", m["x"])))

    with pytest.raises(GraphError, match="grow do not come to rest"):
        apply_rules(parse_graph("f(x: f32[3]) { %0 = exp(x); return %0 }"), [grow], context(numeric={"nonfinite"}))


def test_effects_are_kept_in_order():
    text = """f(x: f32[3]) {
      %0 = add(x, 0.0)
      %1 = assign_variable(%0, variable=@a: f32[3])
      %2 = multiply(%0, 1.0)
      %3 = assign_variable(%2, variable=@b: f32[3])
      return ; effects %1, %3
    }"""
    graph = apply_rules(parse_graph(text), RULES, context())
    assert [n.attrs["variable"].name for n in graph.effects] == ["a", "b"]
    assert all(n.inputs == graph.inputs for n in graph.effects)


def test_unknown_numeric_class():
    with pytest.raises(GraphError, match="unknown numeric class 'loose'"):
        rule(Op("exp"), numeric="loose")


def found(pattern, text, commutes=False):
    value = parse_graph(text).outputs[0]
    return [values for values, _ in pattern.found(value, {}, {}, commutes)]


def test_patterns():
    pair = "f(x: f32[3], y: f32[3]) { %0 = add(x, y); return %0 }"
    twice = "f(x: f32[3]) { %0 = add(x, x); return %0 }"
    assert len(found(Op("add")(Var("a"), Var("a")), twice)) == 1
    assert not found(Op("add")(Var("a"), Var("a")), pair)
    assert len(found(Op("add")(Var("a"), Var("b")), pair)) == 1
    assert len(found(Op("add")(Var("a"), Var("b")), pair, commutes=True)) == 2
    assert not found(Op("subtract")(Var("a"), Var("b")), pair)
    assert len(found(OneOf(Op("exp"), Op("add")), pair)) == 1
    assert not found(Op("add")(Var("a")), pair)
    assert not found(Op("add", where=lambda n: n.specs[0].rank == 2)(Var("a"), Var("b")), pair)


def test_commuting_patterns_backtrack():
    # The first order binds x to the inner product and fails; the second one fits.
    text = "f(x: f32[3], y: f32[3]) { %0 = multiply(x, y); %1 = add(%0, x); return %1 }"
    pattern = Op("add")(Var("a"), Op("multiply")(Var("b"), Var("a")))
    (values,) = found(pattern, text, commutes=True)
    assert values["a"].node.attrs["name"] == "x"


def test_constants():
    half = "f() { return 0.5 }"
    assert found(Const(), half) == [{}] and found(Const(0.5), half) and not found(Const(0.25), half)
    assert found(Const(where=lambda c: c > 0), half) and not found(Const(where=lambda c: c > 1), half)
    assert not found(Const(), "f() { %0 = constant(value=f32[2]{0.0, -0.0}); return %0 }")
    assert not found(Const(), "f() { %0 = constant(value=f32[0]{}); return %0 }")
    nan = parse_graph("f() { %0 = broadcast_to(nan, shape=(2, 2)); return %0 }").outputs[0]
    assert np.isnan(uniform_value(nan)) and not found(Const(0), "f() { return nan }")
