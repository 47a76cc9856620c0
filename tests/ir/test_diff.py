"""Structural comparison: what counts as a difference, and how it is shown."""

import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.ir import diff, parse_graph, structurally_equal


def compare(a, b):
    return diff(parse_graph(a), parse_graph(b))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        # names of graphs and inputs, numbers, the order of pure nodes, shared or repeated scalars
        ("f(x: f32[3]) { %0 = exp(x); return %0 }", "g(y: f32[3]) { %7 = exp(y); return %7 }"),
        ("f(x: f32[3]) { %0 = exp(x); %1 = log(x); %2 = add(%0, %1); return %2 }",
         "f(x: f32[3]) { %0 = log(x); %1 = exp(x); %2 = add(%1, %0); return %2 }"),
        ("f(x: f32[3]) { %0 = add(x, 0.5); return %0 }", "f(x: f32[3]) { %0 = constant(value=f32[]{0.5}); %1 = add(x, %0); "
         "return %1 }"),
    ],
)  # fmt: skip
def test_equal(a, b):
    assert compare(a, b) == ""
    assert structurally_equal(parse_graph(a), parse_graph(b))


@pytest.mark.parametrize(
    ("a", "b", "shown"),
    [
        ("f(x: f32[3]) { %0 = exp(x); return %0 }", "f(x: f32[3]) { %0 = log(x); return %0 }",
         ["output 0:", "- %0: f32[3] = exp(x)", "+ %0: f32[3] = log(x)"]),
        ("f(x: f32[3], y: f32[3]) { %0 = subtract(x, y); return %0 }", "f(x: f32[3], y: f32[3]) { %0 = subtract(y, x); return %0 }",
         ["output 0 > subtract input 0:", "- x: f32[3]", "+ y: f32[3]"]),
        ("f(x: f32[3]) { %0 = multiply(x, 1.0); return %0 }", "f(x: f32[3]) { %0 = multiply(x, -1.0); return %0 }",
         ["output 0 > multiply input 1:", "- 1.0: f32[]", "+ -1.0: f32[]"]),
        ("f(x: f32[3]) { %0 = multiply(x, 0.0); return %0 }", "f(x: f32[3]) { %0 = multiply(x, -0.0); "
         "return %0 }", ["- 0.0: f32[]"]),
        ("f(x: f32[3]) { return x }", "f(x: f32[4]) { return x }", ["inputs:", "- f32[3]", "+ f32[4]"]),
        ("f(x: f32[3]) { return x }", "f(x: f32[3]) { return x, x }", ["number of outputs:"]),
        ("f(x: f32[3]) { %0 = exp(x); %1 = exp(x); %2 = add(%0, %1); return %2 }",
         "f(x: f32[3]) { %0 = exp(x); %2 = add(%0, %0); return %2 }", ["number of times of `%0: f32[3] = exp(x)`:", "- 2", "+ 1"]),
        ("f(x: f32[3]) { %0 = assign_variable(x, variable=@w: f32[3]); return ; effects %0 }", "f(x: f32[3]) { return }",
         ["effects:", "- assign_variable", "+ none"]),
        ("f(x: f32[3]) { %0 = read_variable(variable=@w: f32[3]); return %0 }",
         "f(x: f32[3]) { %0 = read_variable(variable=@v: f32[3]); return %0 }", ["@w: f32[3]", "@v: f32[3]"]),
    ],
)  # fmt: skip
def test_different(a, b, shown):
    text = compare(a, b)
    for line in shown:
        assert line in text


def test_order_of_effects_counts():
    a = """f(x: f32[3]) {
      %0 = assign_variable(x, variable=@w: f32[3])
      %1 = assign_variable(x, variable=@v: f32[3])
      return ; effects %0, %1
    }"""
    assert "effect 0" in compare(a, a.replace("effects %0, %1", "effects %1, %0"))


def test_only_the_place_where_graphs_part_is_shown():
    a = "f(x: f32[3]) { %0 = exp(x); %1 = negative(%0); %2 = add(%1, %0); return %2 }"
    text = compare(a, a.replace("exp", "log"))
    assert text.count("- ") == 1 and "output 0 > add input 0 > negative input 0" in text


def test_deep_graphs_do_not_exhaust_the_stack():
    lines = [f"%{i + 1} = negative(%{i})" for i in range(5000)]
    a = "f(x: f32[3]) {\n%0 = exp(x)\n" + "\n".join(lines) + "\nreturn %5000 }"
    assert "exp(x)" in compare(a, a.replace("exp", "log"))


def test_many_differences_are_cut():
    text = (
        "f(x: f32[3]) {"
        + "; ".join(f"%{i} = exp(x)" for i in range(20))
        + "; return "
        + ", ".join(f"%{i}" for i in range(20))
        + "}"
    )
    assert "more differences" in compare(text, text.replace("exp(x)", "log(x)", 20))
