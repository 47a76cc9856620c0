"""The text form: what is printed parses back to the same graph, and what does not parse says where."""

import numpy as np
import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.ir import Graph, TensorSpec, Value, VariableRef, input_node, make_node, structurally_equal, symbol
from graphkeras.ir.diff import diff
from graphkeras.ir.dims import dim_max
from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.errors import GraphError
from graphkeras.ir.text import constants_of, parse_graph, parse_spec, print_graph

b, n = symbol("b"), symbol("n")


def constant(array):
    return Value(make_node("constant", (), {"value": np.asarray(array)}))


def graph_of(*outputs, inputs=(), effects=()):
    return Graph("f", inputs, outputs, effects)


def placeholder(name, *shape, dtype="float32"):
    return Value(input_node(name, TensorSpec(shape, dtype)))


def op(name, *inputs, **attrs):
    return Value(make_node(name, inputs, attrs))


def round_trip(graph, **options):
    text = print_graph(graph, **options)
    back = parse_graph(text, constants=constants_of(graph))
    assert diff(graph, back) == "", text
    assert print_graph(back, **options) == text
    return text


def test_compact_and_printed_forms_are_the_same_graph():
    compact = "f(x: f32[b,3], w: f32[3,4]) { %0: f32[b,4] = matmul(x, w, transpose_a=false, transpose_b=false); return %0 }"
    printed = print_graph(parse_graph(compact))
    assert printed.splitlines() == [
        "f(x: f32[b,3], w: f32[3,4]) {",
        "  %0: f32[b,4] = matmul(x, w, transpose_a=false, transpose_b=false)",
        "  return %0",
        "}",
    ]
    assert structurally_equal(parse_graph(printed), parse_graph(compact))


def test_specs_may_be_left_out_and_comments_are_skipped():
    graph = parse_graph("f(x: f32[b]) {  # comment\n  %0 = exp(x)  # another\n\n  return %0, x\n}\n")
    assert [v.spec for v in graph.outputs] == [TensorSpec((b,)), TensorSpec((b,))]


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (0.5, "float32", "0.5"), (-0.0, "float32", "-0.0"), (3, "int32", "3"), (-7, "int32", "-7"), (True, "bool", "true"),
        (float("inf"), "float32", "inf"), (float("-inf"), "float32", "-inf"), (float("nan"), "float32", "nan"),
        (0.5, "float64", "0.5:f64"), (0.1, "float32", "0.1"), (0.1, "float64", "0.1:f64"), (1e-30, "float32", "1e-30"),
        (3, "int64", "3:i64"), (255, "uint8", "255:u8"), (2.0, "bfloat16", "2.0:bf16"), (1e10, "float32", "1e+10"),
        (2**63, "uint64", "9223372036854775808:u64"), (6e-8, "float16", "6e-08:f16"),
    ],
)  # fmt: skip
def test_scalar_constants_stand_where_they_are_used(value, dtype, text):
    graph = graph_of(constant(np.array(value, dtype=numpy_dtype(dtype))))
    assert f"return {text}\n" in round_trip(graph)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64", "int8", "uint64", "bool"])
@pytest.mark.parametrize("seed", range(5))
def test_random_bits_of_any_dtype_survive(dtype, seed):
    rng = np.random.default_rng(seed)
    kind = numpy_dtype(dtype)
    raw = rng.integers(0, 2 if dtype == "bool" else 256, 12 * kind.itemsize).astype(np.uint8)
    array = np.frombuffer(raw.tobytes(), dtype=kind).reshape(3, 4)
    back = parse_graph(print_graph(graph_of(constant(array), constant(array[1, 2]))))
    assert [v.node.attrs["value"].array.tobytes() for v in back.outputs] == [array.tobytes(), array[1, 2].tobytes()]


def test_nan_payloads_are_kept_as_bits():
    payload = np.array([0x7FC00001, 0xFFC00000], np.uint32).view(np.float32)
    assert "{0x0100c07f, -nan}" in round_trip(graph_of(constant(payload)))


def test_large_constants_go_by_digest():
    big, same_bytes = np.arange(100, dtype=np.float32).reshape(4, 25), np.arange(100, dtype=np.float32).view(np.int32)
    graph = graph_of(constant(big), constant(same_bytes), constant(np.zeros((0, 3), np.float32)))
    text = round_trip(graph)
    assert "f32[4,25]{sha:" in text and "i32[100]{sha:" in text and "f32[0,3]{}" in text
    with pytest.raises(GraphError, match="no array with digest"):
        parse_graph(text)
    (digest,) = [d for d, a in constants_of(graph).items() if a.size]
    with pytest.raises(GraphError, match="has digest"):
        parse_graph(text, constants={digest: big + 1})
    with pytest.raises(GraphError, match="bytes, which do not fit"):
        parse_graph(text, constants={digest: big[:2]})
    assert "sha:" not in round_trip(graph, inline=1000)


def test_symbolic_sizes_survive_in_shapes_and_attributes():
    x = placeholder("x", b, n)
    sizes = (2 * (b // 3), b * ((n + 1) % 4), dim_max(b, 2 * n) + 1, (b * n) // (n + 1), 3 - b)
    graph = graph_of(*(op("dim", size=s) for s in sizes), op("reshape", x, shape=(b * n, 1)), inputs=[x])
    round_trip(graph)


@pytest.mark.parametrize("name", ["true", "inf", "max", "two words", "été", "_q_61", "lambda", 'a"b', "return", "a\nb", ""])
def test_odd_names_of_users_are_escaped(name):
    x = placeholder(name, symbol(name) if name else 3, 2)
    ref = VariableRef(name + "/w:1", TensorSpec((2,)))
    y = op("add", x, op("read_variable", variable=ref))
    text = round_trip(Graph(name or "g", [x], [y, op("dim", size=x.shape[0])] if name else [y]))
    assert parse_graph(text).inputs[0].node.attrs["name"] == name
    assert parse_graph(text).variables == (ref,)


def test_variables_and_effects():
    x = placeholder("x", 3)
    ref, other = VariableRef("dense/kernel", TensorSpec((3,))), VariableRef("m:1", TensorSpec((3,)))
    total = op("add", op("read_variable", variable=ref), x)
    effects = [make_node("assign_variable", (total,), {"variable": ref}), make_node("assign_variable", (x,), {"variable": other})]
    graph = graph_of(total, inputs=[x], effects=effects)
    text = round_trip(graph)
    assert "variable=@dense/kernel: f32[3])" in text and '@"m:1": f32[3]' in text and "; effects %2, %3" in text
    live = VariableRef("dense/kernel", TensorSpec((3,)), variable=object())
    assert parse_graph(text, variables={"dense/kernel": live}).variables[0].variable is live.variable
    with pytest.raises(GraphError, match=r"is f32\[4\], not f32\[3\]"):
        parse_graph(text, variables={"dense/kernel": VariableRef("dense/kernel", TensorSpec((4,)))})


def test_origins_are_comments():
    graph = parse_graph("f(x: f32[2]) {\n  %0 = exp(x)\n  return %0\n}")
    text = print_graph(graph, origins=True)
    assert "  # called at <text>:2" in text
    assert structurally_equal(parse_graph(text), graph)


def test_several_outputs_and_subgraphs(registry_with_test_ops):
    text = """f(x: f32[4]) {
      %0: f32[2], f32[2] = test_split(x)
      %1: f32[2] = test_apply(%0.1) {
        body(y: f32[2]) {
          %0: f32[2] = exp(y)
          return %0
        }
      }
      return %0.0, %1
    }"""
    graph = parse_graph(text)
    assert [str(v.spec) for v in graph.outputs] == ["f32[2]", "f32[2]"]
    round_trip(graph)
    changed = parse_graph(text.replace("exp(y)", "log(y)"))
    assert "test_apply" in diff(graph, changed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f(x: f32[3]) { %0 = exp(y); return %0 }", r"line 1, column 25: there is no input called 'y'"),
        ("f(x: f32[3]) {\n  %0 = exq(x)\n  return %0 }", r"line 2, column 8: op 'exq' is not registered"),
        ("f(x: f32[3]) { %0: f32[4] = exp(x); return %0 }", r"the spec of exp is f32\[3\], not f32\[4\]"),
        ("f(x: f32[3], y: f32[4]) { %0 = add(x, y); return %0 }", "add refuses its inputs"),
        ("f(x: f32[3]) { %0 = exp(x, x); return %0 }", "exp takes 1 inputs, not 2"),
        ("f(x: f32[3]) { %0 = exp(x, warm=true); return %0 }", "exp does not take these inputs and attributes"),
        ("f(x: f32[3]) { %0 = exp(%1); return %0 }", "%1 is not defined above"),
        ("f(x: f32[3]) { %0 = exp(x); return %0.1 }", "%0 has 1 outputs"),
        ("f(x: f32[3]) { %0 = exp(x); %0 = exp(x); return %0 }", "%0 cannot be defined here"),
        ("f(x: f32[3], x: f32[3]) { return x }", "two inputs are called 'x'"),
        ("f(x: f33[3]) { return x }", "unknown dtype 'f33'"),
        ("f(x: f32[3) { return x }", r"'\]' expected, found '\)'"),
        ("f(x: f32[3.5]) { return x }", "a size expected"),
        ("f(x: f32[3]) { return x", "'}' expected, found 'end of text'"),
        ("f(x: f32[3]) { return x } x", "nothing more expected"),
        ("f(x: f32[3]) { %0 = exp(x) return %0 }", "end of statement expected"),
        ("f(x: f32[3]) { %0 = add(x, 300:u8); return %0 }", "300 is not a uint8 value"),
        ("f(x: f32[3]) { %0 = add(x, 1.5:i32); return %0 }", "1.5 is not a int32 value"),
        ("f(x: f32[3]) { ?; return x }", r"unexpected character '\?'"),
        ("f() { %0 = constant(value=f32[3]{1.0, 2.0}); return %0 }", r"2 elements for f32\[3\]"),
        ("f(x: f32[b]) { %0 = reshape(x, shape=(b // 0,)); return %0 }", "division by zero"),
        ("f(x: f32[b]) { %0 = reshape(x, shape=(1.5 * b,)); return %0 }", "needs sizes on both sides"),
        ("f(x: f32[b]) { %0 = reshape(x, shape=(b,), shape=(b,)); return %0 }", "given twice"),
    ],
)
def test_errors_say_where(text, message):
    with pytest.raises(GraphError, match=message):
        parse_graph(text)


def test_errors_point_at_the_column():
    with pytest.raises(GraphError) as caught:
        parse_graph("f(x: f32[3]) {\n  %0 = exp(y)\n  return %0\n}")
    lines = str(caught.value).splitlines()
    source = next(i for i, line in enumerate(lines) if "exp(y)" in line)
    assert lines[source + 1].index("^") == lines[source].index("y")


def test_parse_spec():
    assert parse_spec("bf16[2*b,3]") == TensorSpec((2 * b, 3), "bfloat16")
