"""The verifier finds each kind of planted fault, and shows where it is."""

import dataclasses

import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.ir import Attrs, Graph, Node, TensorSpec, Value, VariableRef, input_node, make_node, parse_graph, symbol, verify
from graphkeras.ir.errors import GraphError
from graphkeras.ir.graph import with_inputs

GOOD = """f(x: f32[b,3], w: f32[3,4]) {
  %0 = matmul(x, w, transpose_a=false, transpose_b=false)
  %1 = exp(%0)
  %2 = add(%1, 0.5)
  return %2
}"""
REF = VariableRef("w", TensorSpec((3,)))


def placeholder(name, *shape):
    return Value(input_node(name, TensorSpec(shape)))


def replaced(graph, node, **changes):
    """The graph with fields of one node overwritten, and everything after it made anew without inference."""
    mapping = {}
    for old in graph.nodes:
        inputs = tuple(Value(mapping.get(v.node.id, v.node), v.index) for v in old.inputs)
        fields = {"inputs": inputs, "id": old.id, **(changes if old is node else {})}
        mapping[old.id] = dataclasses.replace(old, **fields)
    return Graph(graph.name, graph.inputs, [Value(mapping.get(v.node.id, v.node), v.index) for v in graph.outputs])


def find(graph, op):
    return next(n for n in graph.nodes if n.op == op)


def test_a_good_graph_is_returned():
    graph = parse_graph(GOOD)
    assert verify(graph) is graph


def test_wrong_spec_is_shown_with_the_lines_around():
    graph = parse_graph(GOOD)
    broken = replaced(graph, find(graph, "exp"), specs=(TensorSpec((symbol("b"), 5)),))
    with pytest.raises(GraphError, match="exp has other specs than its op infers") as caught:
        verify(broken, after="pass widen")
    text = str(caught.value)
    assert "(after pass widen)" in text and "got:      f32[b,5]" in text and "expected: f32[b,4]" in text
    marked = [line for line in text.splitlines() if line.lstrip().startswith(">")]
    assert len(marked) == 1 and "%1: f32[b,5] = exp(%0)" in marked[0]
    assert "called at <text>:3" in text


def test_wrong_dtype_is_found():
    graph = parse_graph(GOOD)
    with pytest.raises(GraphError, match="exp has other specs"):
        verify(replaced(graph, find(graph, "exp"), specs=(TensorSpec((symbol("b"), 4), "float64"),)))


def test_arity_and_unknown_attributes():
    graph = parse_graph(GOOD)
    x = graph.inputs[0]
    with pytest.raises(GraphError, match="exp takes 1 inputs, not 2"):
        verify(replaced(graph, find(graph, "exp"), inputs=(x, x)))
    with pytest.raises(GraphError, match="exp does not take 1 inputs with attributes .warm."):
        verify(replaced(graph, find(graph, "exp"), attrs=Attrs({"warm": True})))


def test_attributes_must_be_frozen_and_hashable():
    graph = parse_graph(GOOD)
    with pytest.raises(GraphError, match="attributes of exp are not frozen"):
        verify(replaced(graph, find(graph, "exp"), attrs={}))
    with pytest.raises(GraphError, match="cannot be hashed"):
        verify(replaced(graph, find(graph, "exp"), attrs=Attrs({"x": {}})))


def test_unknown_op():
    graph = parse_graph(GOOD)
    with pytest.raises(GraphError, match="op 'exq' is not registered"):
        verify(replaced(graph, find(graph, "exp"), op="exq"))


def test_dangling_placeholder():
    x, y = placeholder("x", 3), placeholder("y", 3)
    total = Value(make_node("add", (x, y)))
    with pytest.raises(GraphError, match="placeholder 'y' is used, but is not an input") as caught:
        verify(Graph("f", [x], [total]))
    assert "> " in str(caught.value)


def test_duplicate_placeholders():
    x = placeholder("x", 3)
    with pytest.raises(GraphError, match="'x' is an input twice"):
        verify(Graph("f", [x, x], [x]))
    with pytest.raises(GraphError, match="two inputs are called 'x'"):
        verify(Graph("f", [x, placeholder("x", 3)], [x]))


def test_output_that_does_not_exist():
    x = placeholder("x", 3)
    with pytest.raises(GraphError, match="output 1 of exp is used, which has 1"):
        verify(Graph("f", [x], [Value(make_node("exp", (x,)), 1)]))


def test_node_that_reads_a_later_one():
    x = placeholder("x", 3)
    first = make_node("exp", (x,))
    late = make_node("log", (x,))
    broken = dataclasses.replace(first, inputs=(Value(late),), id=first.id)
    with pytest.raises(GraphError, match="exp reads a node that was made after it"):
        verify(Graph("f", [x], [Value(broken)]))


def test_effects():
    x = placeholder("x", 3)
    write = make_node("assign_variable", (x,), {"variable": REF})
    verify(Graph("f", [x], [], [write]))
    with pytest.raises(GraphError, match="listed as an effect twice"):
        verify(Graph("f", [x], [], [write, write]))
    with pytest.raises(GraphError, match="exp is listed as an effect, but writes and prints nothing"):
        verify(Graph("f", [x], [], [make_node("exp", (x,))]))
    with pytest.raises(GraphError, match="lost its effect 'write'"):
        verify(Graph("f", [x], [], [dataclasses.replace(write, effects=frozenset({"print"}))]))
    if write.specs:
        with pytest.raises(GraphError, match="has an effect, but is not among graph.effects"):
            verify(Graph("f", [x], [Value(write)]))
        second = with_inputs(write, (Value(write),))
        with pytest.raises(GraphError, match="listed before an effect that it depends on"):
            verify(Graph("f", [x], [], [second, write]))


def test_symbols_must_be_bound():
    x, y = placeholder("x", symbol("b"), 3), placeholder("y", 2 * symbol("c"))
    with pytest.raises(GraphError, match="nothing gives the size 'n' of dim a value"):
        verify(Graph("f", [x], [Value(make_node("dim", (), {"size": symbol("n") + symbol("b")}))]))
    with pytest.raises(GraphError, match="nothing gives the size 'c' of input a value"):
        verify(Graph("f", [x, y], [x, y]))


def test_faults_inside_subgraphs(registry_with_test_ops):
    text = "f(x: f32[4]) { %0 = test_apply(x) { body(y: f32[4]) { %0 = exp(y); return %0 } }; return %0 }"
    graph = parse_graph(text)
    verify(graph)
    outer = graph.inputs[0]
    body = Graph("body", [placeholder("y", 4)], [Value(make_node("exp", (outer,)))])
    captured = Graph("f", [outer], [Value(make_node("test_apply", (outer,), subgraphs=(body,)))])
    with pytest.raises(GraphError, match="graph 'body' .*inside test_apply.*: placeholder 'x' is used"):
        verify(captured)


def test_a_graph_that_cannot_be_printed_is_still_reported():
    x = placeholder("x", 3)
    node = Node("exp", (x,), Attrs({}), (TensorSpec((3,), "f32"),))
    with pytest.raises(GraphError, match="other specs than its op infers[^$]*an unknown dtype[^$]*cannot be printed"):
        verify(Graph("f", [x], [Value(node)]))
