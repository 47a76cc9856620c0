"""Control flow: eager calls, graphs, passes and gradients; compiled programs are in tests/runtime/test_control.py."""

import json

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.autodiff import GradientTape
from graphkeras.ir import TensorSpec, symbol
from graphkeras.ir.diff import structurally_equal
from graphkeras.ir.errors import ArgumentError, DTypeError, GradientError, ShapeError
from graphkeras.ir.text import constants_of, parse_graph, print_graph
from graphkeras.ir.verify import verify
from graphkeras.passes import run
from graphkeras.random import SeedGenerator, uniform
from graphkeras.runtime.interpreter import interpret
from graphkeras.trace import StatelessScope, Tensor, Variable, trace, tree
from tests.ops import control_cases

B, T = symbol("batch"), symbol("steps")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def specs_of(arrays):
    return [TensorSpec(a.shape, str(a.dtype)) for a in arrays]


def both(function, *arrays):
    """Eager results and those of the verified graph; they must agree."""
    graph = verify(trace(function, specs_of(arrays)))
    eager = [x.numpy() for x in tree.flatten(function(*map(Tensor, arrays))) if x is not None]
    for result in (interpret(graph, arrays), interpret(run(graph, verify=True)[0], arrays)):
        for a, b in zip(result, eager, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
            assert a.dtype == b.dtype
    return eager, graph


def ops_in(graph):
    """Names of all ops, those in sub-graphs included."""
    names = []
    for node in graph.nodes:
        names.append(node.op)
        for sub in node.subgraphs:
            names += ops_in(sub)
    return names


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [True, False])
def test_cond(flag):
    x = normal(3)

    def function(x, p):
        return ops.cond(p, lambda: {"a": x * 2, "b": (x + 1,)}, lambda: {"a": x, "b": (ops.zeros(3),)})

    (a, b), graph = both(function, x, np.bool_(flag))
    np.testing.assert_array_equal(a, x * 2 if flag else x)
    np.testing.assert_allclose(b, x + 1 if flag else 0 * x)
    assert ops_in(graph).count("cond") == 1


def test_cond_of_a_known_predicate_takes_one_branch_now():
    graph = trace(lambda x: ops.cond(True, lambda: x + 1, lambda: x * "no"), [TensorSpec((2,))])
    assert ops_in(graph) == ["constant", "add"]


@pytest.mark.parametrize(("index", "expected"), [(-5, 5.0), (0, 5.0), (1, 6.0), (2, -1.0), (9, -1.0)])
def test_switch_takes_the_nearest_branch(index, expected):
    branches = [lambda x, y: x + y, lambda x, y: x * y, lambda x, y: x - y]
    (result,), _ = both(lambda i, x, y: ops.switch(i, branches, x, y), np.int32(index), np.float32(2), np.float32(3))
    assert result == expected


def test_while_loop_over_a_structure():
    def function(n):
        first = (0, {"sum": 0, "last": -1})
        return ops.while_loop(lambda i, s: i < n, lambda i, s: (i + 1, {"sum": s["sum"] + i, "last": i}), first)

    (i, last, total), graph = both(function, np.int32(5))
    assert (i, last, total) == (5, 4, 10)
    assert ops_in(graph).count("while_loop") == 1


@pytest.mark.parametrize(("limit", "expected"), [(None, 10), (3, 3), (0, 0), (99, 10)])
def test_while_loop_with_a_limit(limit, expected):
    (result,), _ = both(lambda n: ops.while_loop(lambda i: i < n, lambda i: i + 1, 0, maximum_iterations=limit), np.int32(10))
    assert result == expected
    bound = np.int32(99 if limit is None else limit)
    (result,), _ = both(lambda n, m: ops.while_loop(lambda i: i < n, lambda i: (i + 1,), (0,), m)[0], np.int32(10), bound)
    assert result == expected


@pytest.mark.parametrize("bounds", [(0, 5), (2, 5), (5, 2)])
def test_fori_loop_with_known_bounds_is_a_scan(bounds):
    (result,), graph = both(lambda x: ops.fori_loop(*bounds, lambda i, s: s + ops.cast(i, "float32") * x, x), np.float32(3))
    assert result == 3 + 3 * sum(range(*bounds))
    assert "scan" in ops_in(graph)


def test_fori_loop_with_bounds_known_at_run_time():
    (result,), graph = both(lambda n: ops.fori_loop(1, n, lambda i, s: s + i, 0), np.int32(5))
    assert result == 10
    assert "while_loop" in ops_in(graph)


def test_fori_loop_over_a_size():
    graph = trace(lambda x: ops.fori_loop(0, ops.shape(x)[0], lambda i, s: s + i, 0), [TensorSpec((B, 2))])
    assert interpret(verify(graph), [normal(6, 2)])[0] == 15


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 2, 5])
def test_scan(reverse, length):
    x = normal(length, 3)

    def function(x):
        def step(carry, row):
            total, count = carry["total"] + row, carry["count"] + 1
            return {"total": total, "count": count}, {"after": total, "before": carry["total"], "twice": [row * 2, None]}

        return ops.scan(step, {"total": ops.ones(3), "count": 0}, x, reverse=reverse)

    (count, total, after, before, twice), _ = both(function, x)
    rows = x[::-1] if reverse else x
    sums = np.concatenate([np.ones((1, 3)), 1 + np.cumsum(rows, 0)])
    order = -1 if reverse else 1
    assert count == length
    np.testing.assert_allclose(total, sums[-1], rtol=1e-5)
    np.testing.assert_allclose(after, sums[1:][::order], rtol=1e-5)
    np.testing.assert_allclose(before, sums[:-1][::order], rtol=1e-5)
    np.testing.assert_array_equal(twice, x * 2)


def test_scan_without_operands_and_with_a_length():
    (last, powers), _ = both(lambda x: ops.scan(lambda c, _: (c * 2, c), x, length=4), np.float32(3))
    assert last == 48
    np.testing.assert_array_equal(powers, [3, 6, 12, 24])


def test_a_carry_of_the_loop_before_and_after_a_step_costs_no_stacked_copy():
    graph = trace(lambda x: ops.scan(lambda c, row: (c + row, (c, c + row)), ops.zeros(3), x), [TensorSpec((4, 3))])
    (node,) = [n for n in run(graph)[0].nodes if n.op == "scan"]
    assert node.attrs["history"] == (0,)
    assert len(node.specs) == 3  # last, history, and c + row computed a second time is merged: no y besides
    graph = run(trace(lambda x: ops.scan(lambda c, row: (row, (c, row)), ops.zeros(3), x)[1], [TensorSpec((4, 3))]))[0]
    (node,) = [n for n in graph.nodes if n.op == "scan"]
    assert [s.shape for s in node.specs] == [(3,), (5, 3)]


def test_carries_may_change_places():
    (a, b), _ = both(lambda x, y: ops.fori_loop(0, 7, lambda i, s: (s[1], s[0] + s[1]), (x, y)), np.int32(0), np.int32(1))
    assert (a, b) == (13, 21)


@pytest.mark.parametrize("function", [ops.map, ops.vectorized_map])
def test_map(function):
    x, y = normal(4, 3), normal(4)
    (s, p), _ = both(lambda x, y: function(lambda e: {"p": e[0] * e[1], "s": ops.sum(e[0])}, (x, y)), x, y)[0][::-1], None
    np.testing.assert_allclose(p, x * y[:, None], rtol=1e-6)
    np.testing.assert_allclose(s, x.sum(1), rtol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("shape", "axis"), [((1, 2), 0), ((2,), 0), ((3, 2), 0), ((2, 7), 1), ((2, 8, 2), -2), ((0, 2), 0)])
def test_associative_scan(shape, axis, reverse):
    x = normal(*shape)

    def function(x):
        return ops.associative_scan(lambda a, b: (a[0] + b[0], a[1] * b[1]), (x, x), reverse=reverse, axis=axis)

    (sums, products), graph = both(function, x)
    turned = np.flip(x, axis) if reverse else x
    expected = np.cumsum(turned, axis), np.cumprod(turned, axis)
    for got, want in zip((sums, products), expected):
        np.testing.assert_allclose(got, np.flip(want, axis) if reverse else want, rtol=1e-5)
    assert "scan" not in ops_in(graph)


def test_associative_scan_over_a_size_known_at_run_time():
    # Matrix products do not commute, so the order is seen.
    x = normal(5, 2, 2)
    graph = trace(lambda x: ops.associative_scan(ops.matmul, x), [TensorSpec((T, 2, 2))])
    expected = ops.associative_scan(ops.matmul, Tensor(x)).numpy()
    np.testing.assert_allclose(interpret(verify(graph), [x])[0], expected, rtol=1e-5, atol=1e-6)


def test_loops_are_never_unrolled():
    def function(x):
        return ops.fori_loop(0, 1000, lambda i, s: ops.scan(lambda c, r: (c + r, None), s, x)[0], 0.0)

    graph = run(trace(function, [TensorSpec((500,))]))[0]
    assert len(ops_in(graph)) < 10


# ---- what is read and written from inside ---------------------------------------------------------------------------


def test_captures_are_operands_and_constants_are_not():
    w = Tensor(normal(3, 3))

    def function(x, y):
        return ops.scan(lambda c, r: (ops.tanh(c @ w + r * y), None), ops.zeros((1, 3)), x)

    _, graph = both(function, normal(4, 3), normal(3))
    (node,) = [n for n in graph.nodes if n.op == "scan"]
    assert [str(v.spec) for v in node.inputs] == ["f32[1,3]", "f32[4,3]", "f32[3]"]


def state(function):
    """Runs eagerly and as a graph; both must leave the variables alike."""
    variables, results = None, []
    for mode in ("eager", "graph", "passes"):
        variables = [Variable(np.float32(1.0), name="a"), Variable(normal(2), name="b")]
        call = lambda x, v=tuple(variables): function(x, *v)
        if mode == "eager":
            out = tree.flatten(call(Tensor(normal(4, 2))))
            out = [o.numpy() for o in out]
        else:
            graph = verify(trace(call, [TensorSpec((4, 2))]))
            assert not any(n.effects for g in graph.nodes for s in g.subgraphs for n in s.nodes)
            out = interpret(run(graph, verify=True)[0] if mode == "passes" else graph, [normal(4, 2)])
        results.append([*out, *(v.numpy() for v in variables)])
    for other in results[1:]:
        for x, y in zip(results[0], other, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5)
    return results[0]


def test_variables_written_in_a_loop():
    def function(x, a, b):
        a.assign(a + 1)  # 2

        def step(c, row):
            before = a.value
            a.assign(a * 2)
            b.assign_add(row)
            return c + before, a.value

        out = ops.scan(step, 0.0, x)
        return *out, a + 0

    total, rows, after, a, b = state(function)
    assert (total, after, a) == (2 + 4 + 8 + 16, 32, 32)
    np.testing.assert_array_equal(rows, [4, 8, 16, 32])
    np.testing.assert_allclose(b, normal(2) + normal(4, 2).sum(0), rtol=1e-5)


def test_a_tensor_read_before_the_loop_keeps_its_value():
    def function(x, a, b):
        old = a.value

        def step(i, s):
            a.assign(a + old)
            return s + a

        return ops.fori_loop(0, 3, step, 0.0)

    assert [float(v) for v in state(function)[:2]] == [2 + 3 + 4, 4]


def test_variables_written_in_branches_and_while_loops():
    def function(x, a, b):
        def left():
            a.assign(a + 5)

        def right():
            b.assign(b * 0)

        ops.cond(ops.sum(x) > 1e6, left, right)
        ops.cond(ops.sum(x) < 1e6, left, right)

        def body(i):
            a.assign(a * 2)
            return i + 1

        return ops.while_loop(lambda i: ops.logical_and(i < 9, a < 40), body, 0)

    steps, a, b = state(function)
    assert (steps, a) == (3, 48)
    np.testing.assert_array_equal(b, 0)


def test_random_numbers_in_a_body_go_on_with_every_step():
    draws = []
    for mode in ("eager", "graph"):
        seed = SeedGenerator(7)
        call = lambda: ops.scan(lambda c, _: (c, uniform((2,), seed=seed)), 0, length=5)[1]  # noqa: B023
        draws.append(call().numpy() if mode == "eager" else interpret(trace(call, []), [])[0])
        assert seed.state.numpy().tolist() == [7, 5]
    np.testing.assert_array_equal(*draws)
    assert len({row.tobytes() for row in draws[0]}) == 5


def test_a_stateless_scope_around_a_loop_collects_what_it_writes():
    v = Variable(np.float32(1.0))

    def function(x):
        with StatelessScope([(v, x)]) as scope:
            ops.fori_loop(0, 3, lambda i, s: (v.assign(v * 2), s)[1], 0)
        return scope.get_current_value(v)

    assert interpret(trace(function, [TensorSpec(())]), [np.float32(5)])[0] == 40
    assert float(v.numpy()) == 1


# ---- text -----------------------------------------------------------------------------------------------------------


def test_the_text_form_comes_back():
    def function(x, n):
        pad = ops.zeros((ops.shape(x)[1], 2))
        last, ys = ops.scan(lambda c, r: (c + r, ops.cond(n > 2, lambda: c * pad, lambda: r)), pad, x)
        return ops.while_loop(lambda i, s: i < n, lambda i, s: (i + 1, s * 2), (0, last)), ys

    graph = verify(trace(function, [TensorSpec((3, B, 2)), TensorSpec((), "int32")]))
    again = parse_graph(print_graph(graph), constants_of(graph))
    assert structurally_equal(graph, verify(again))
    other = parse_graph(print_graph(graph).replace("multiply", "subtract", 1), constants_of(graph))
    assert not structurally_equal(graph, other)


# ---- passes ---------------------------------------------------------------------------------------------------------


def test_what_nobody_needs_is_pruned():
    w = Variable(normal(3, 3), name="w")

    def function(x, y):
        def step(carry, rows):
            used, unused, fixed, chain = carry
            a, b = rows
            return (used + a * fixed, unused @ w, fixed, chain + unused), (a * 2, ops.exp(b), unused)

        (used, *_), ys = ops.scan(step, (ops.zeros(3), ops.ones((3, 3)), y[0], ops.ones((3, 3))), (x, y))
        return used, ys[0]

    _, graph = both(function, normal(4, 3), normal(4, 3, seed=1))
    (node,) = [n for n in run(graph)[0].nodes if n.op == "scan"]
    assert [str(v.spec) for v in node.inputs] == ["f32[3]", "f32[4,3]", "f32[3]"]
    assert (node.attrs["carries"], node.attrs["xs"], node.attrs["history"]) == (1, 1, ())
    assert "matmul" not in ops_in(run(graph)[0])
    assert not run(graph)[0].variables


def test_work_that_is_the_same_in_every_step_comes_out():
    def function(x, w):
        return ops.scan(lambda c, r: (ops.tanh(c * ops.softplus(ops.exp(w)) + r), None), ops.zeros(3), x)[0]

    _, graph = both(function, normal(4, 3), normal(3))
    graph = run(graph)[0]
    (node,) = [n for n in graph.nodes if n.op == "scan"]
    assert "exp" not in ops_in(node.subgraphs[0])
    assert "exp" in [n.op for n in graph.nodes]


def test_what_may_fail_stays_in_a_loop_that_may_have_no_step():
    table, index = normal(3), np.int32(7)

    def function(n, i):
        return ops.while_loop(lambda k, s: k < n, lambda k, s: (k + 1, s + ops.take(table, i)), (0, 0.0))[1]

    graph = run(trace(function, [TensorSpec((), "int32")] * 2))[0]
    assert interpret(graph, [np.int32(0), index])[0] == 0


def test_branches_share_what_is_equal_and_drop_what_is_not_read():
    def function(x, y, p):
        return ops.cond(p, lambda: (x + x * 1, y), lambda: (ops.exp(x), y * 2))[0]

    graph = run(both(function, normal(2), normal(2), np.bool_(True))[1])[0]
    (node,) = [n for n in graph.nodes if n.op == "cond"]
    assert len(node.specs) == 1
    assert len(node.inputs) == 2


# ---- gradients ------------------------------------------------------------------------------------------------------


def gradients_of(function, order=1):
    def slopes(*xs):
        with GradientTape() as tape:
            tape.watch(xs)
            if order == 1:
                y = function(*xs)
            else:
                y = sum(ops.sum(ops.sin(g)) for g in gradients_of(function, order - 1)(*xs))
        return tape.gradient(y, xs, unconnected_gradients="zero")

    return slopes


W = normal(3, 3, seed=5) / 2


def recurrent(reverse):
    def function(x, w, b, h):
        def step(carry, row):
            h, k, n = carry
            h = ops.tanh(row @ w + h @ W + b)
            return (h, k + ops.sum(h * row), n + 1), (h, ops.sigmoid(h) * ops.cast(n, x.dtype))

        (h, k, _), (hs, zs) = ops.scan(step, (h, ops.zeros((), x.dtype), 0), x, reverse=reverse)
        return ops.sum(hs * hs * zs) + k * k + ops.sum(h)

    return function


def bounded_while(x, w, b, h):
    def go(i, h):
        return ops.logical_and(i < 50, ops.sum(h * h) < 30)

    return ops.sum(ops.while_loop(go, lambda i, h: (i + 1, h * 1.5 + ops.tanh(h @ w + b)), (0, h), maximum_iterations=12)[1] ** 2)


def branches(x, w, b, h):
    y = ops.cond(ops.sum(x) > 0, lambda: x * 2 @ w, lambda: ops.sin(x) + b)
    z = ops.switch(ops.cast(ops.abs(ops.sum(h)), "int32"), [lambda: h * h, lambda: h @ w, lambda: h + b])
    return ops.sum(y * y) + ops.sum(z * z)


def nested(x, w, b, h):
    def outer(c, row):
        c = ops.fori_loop(0, 3, lambda i, s: ops.tanh(s @ w + row), c)
        return c, ops.cond(ops.sum(row) > 0, lambda: ops.sum(c, axis=0), lambda: b * b)

    c, ys = ops.scan(outer, h, x)
    return ops.sum(c) + ops.sum(ys * ys * b)


def mapped(x, w, b, h):
    rows = ops.map(lambda e: ops.sum(ops.tanh(e @ w) * b, axis=0), x)
    return ops.sum(rows**2) + ops.sum(ops.associative_scan(lambda p, q: p * q, h, axis=1) ** 2)


FUNCTIONS = {
    "scan": recurrent(False), "reversed": recurrent(True), "while": bounded_while, "branches": branches, "nested": nested,
    "mapped": mapped,
}  # fmt: skip


def gradient_arguments():
    return [normal(4, 2, 3), normal(3, 3, seed=1) / 2, normal(3, seed=2), normal(2, 3, seed=3)]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_in_graphs_are_those_of_the_eager_tape(name, order):
    arrays = gradient_arguments()
    slopes = gradients_of(FUNCTIONS[name], order)
    specs = [TensorSpec((4, B, 3)), TensorSpec((3, 3)), TensorSpec((3,)), TensorSpec((B, 3))]
    graph = verify(trace(slopes, specs))
    eager = [g.numpy() for g in slopes(*map(Tensor, arrays))]
    for result in (interpret(graph, arrays), interpret(run(graph, verify=True)[0], arrays)):
        for a, b in zip(result, eager, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_differences(name):
    arrays = [a.astype("float64") for a in gradient_arguments()]
    function = FUNCTIONS[name]
    globals()["W"] = W.astype("float64")
    try:
        graph = trace(lambda *xs: (function(*xs), *gradients_of(function)(*xs)), specs_of(arrays))
    finally:
        globals()["W"] = W.astype("float32")
    direction = [normal(*a.shape, seed=9).astype("float64") for a in arrays]
    value = lambda s: interpret(graph, [a + s * d for a, d in zip(arrays, direction)])[0]
    slope = (value(1e-6) - value(-1e-6)) / 2e-6
    exact = sum((g * d).sum() for g, d in zip(interpret(graph, arrays)[1:], direction))
    np.testing.assert_allclose(exact, slope, rtol=1e-6)


def test_the_gradient_of_a_scan_saves_and_sums_behind_the_loop():
    w = Variable(normal(3, 3), name="w")

    def function(x):
        with GradientTape() as tape:
            h, _ = ops.scan(lambda c, r: (ops.tanh(c @ w + r), None), ops.zeros((2, 3)), x)
            y = ops.sum(h * h)
        return y, tape.gradient(y, w)

    graph = run(trace(function, [TensorSpec((5, 2, 3))]))[0]
    forward, backward = (n for n in graph.nodes if n.op == "scan")
    assert "tanh" not in ops_in(backward.subgraphs[0])  # saved, not made again
    assert ops_in(backward.subgraphs[0]).count("matmul") == 1  # that of the carry: the weights' product comes once, behind the loop
    assert [n.op for n in graph.nodes].count("matmul") == 1
    assert forward.attrs["history"] == (0,)


def test_a_variable_read_in_a_body_gets_its_gradient_once():
    w = Variable(np.float32(2.0))

    def function(x):
        with GradientTape() as tape:
            y = ops.scan(lambda c, r: (c * w + r * w, None), 0.0, x)[0] + w
        return tape.gradient(y, w)

    x = np.float32([1, 2])
    expected = function(Tensor(x)).numpy()  # y = w (w x0 + w x1 / w ...) = w^2 x0 + w x1 + w
    assert expected == 2 * 2 * 1 + 2 + 1
    assert interpret(trace(function, [TensorSpec((2,))]), [x])[0] == expected


def test_gradients_taken_inside_a_body():
    def function(x):
        def slope(e):
            with GradientTape() as tape:
                tape.watch(e)
                y = e**3
            return tape.gradient(y, e)

        return ops.map(slope, x)

    (result,), _ = both(function, np.float32([1, 2, 3]))
    np.testing.assert_allclose(result, [3, 12, 27], rtol=1e-6)


def test_a_branch_that_is_not_taken_spoils_no_gradient():
    def function(x):
        return ops.sum(ops.map(lambda e: ops.cond(e > 0, lambda: ops.sqrt(e), lambda: e * 0), x))

    graph = run(trace(gradients_of(function), [TensorSpec((3,))]))[0]
    np.testing.assert_allclose(interpret(graph, [np.float32([4, 0, -1])])[0], [0.25, 0, 0])


def test_a_while_loop_without_limit_says_what_to_do_for_gradients():
    def function(x):
        return ops.while_loop(lambda s: s < 100, lambda s: s * 2, x)

    with pytest.raises(GradientError, match="while_loop has no gradient") as caught:
        trace(gradients_of(function), [TensorSpec(())])
    assert "maximum_iterations" in str(caught.value)
    assert "test_control.py" in str(caught.value)
    assert gradients_of(function)(Tensor(3.0))[0].numpy() == 64  # eagerly it is differentiable


# ---- errors ---------------------------------------------------------------------------------------------------------

SCALAR, FLAG = TensorSpec(()), TensorSpec((), "bool")
VECTOR = TensorSpec((3,))


@pytest.mark.parametrize(
    ("specs", "function", "error", "match"),
    [
        ([FLAG, VECTOR], lambda p, x: ops.cond(p, lambda: x, lambda: x[:2]), ShapeError, "cond: the results .* differ in shape"),
        ([FLAG, VECTOR], lambda p, x: ops.cond(p, lambda: x, lambda: ops.cast(x, "int32")), DTypeError, "branches differ in dtype"),
        ([FLAG, VECTOR], lambda p, x: ops.cond(p, lambda: (x, x), lambda: x), ArgumentError, "different structures"),
        ([FLAG, VECTOR], lambda p, x: ops.cond(p, lambda: x, lambda: None), ArgumentError, "returns None"),
        ([VECTOR], lambda x: ops.cond(x > 0, lambda: x, lambda: x), ShapeError, "predicate must be a scalar"),
        ([SCALAR], lambda x: ops.cond(x > 0, 3, lambda: x), DTypeError, "should be a callable"),
        ([VECTOR], lambda x: ops.scan(lambda c, r: (c + x, None), r0(), x), ShapeError, "scan: the loop's values before and after"),
        ([VECTOR], lambda x: ops.scan(lambda c, r: (ops.cast(c, "int32"), None), r0(), x), DTypeError, "differ in dtype"),
        ([VECTOR], lambda x: ops.scan(lambda c, r: c, r0(), x), ArgumentError, "must return a pair"),
        ([VECTOR], lambda x: ops.scan(lambda c, r: ((c, c), r), r0(), x), ArgumentError, "different structures"),
        ([VECTOR], lambda x: ops.scan(lambda c, r: (c, r), r0(), (x, x[:2])), ShapeError, "leading axes"),
        ([VECTOR], lambda x: ops.scan(lambda c, r: (c, r), r0(), x, length=2), ShapeError, "leading axes"),
        ([SCALAR], lambda x: ops.scan(lambda c, r: (c, r), r0(), x), ShapeError, "no leading axis"),
        ([SCALAR], lambda x: ops.scan(lambda c, r: (c, r), x), ArgumentError, "Got no `xs`"),
        ([VECTOR], lambda x: ops.scan(lambda c, r: (c, r), r0(), x, unroll=0), ArgumentError, "positive integer"),
        ([VECTOR], lambda x: ops.while_loop(lambda s: s > 0, lambda s: s, (x,)), ShapeError, "condition must be a scalar"),
        ([VECTOR], lambda x: ops.while_loop(lambda s: True, lambda s: (s, s), (x,)), ArgumentError, "different structures"),
        ([VECTOR], lambda x: ops.fori_loop(0, 3, lambda i, s: s[:1], x), ShapeError, "fori_loop: the loop's values"),
        ([VECTOR], lambda x: ops.switch(0, []), ArgumentError, "no branch"),
        ([VECTOR], lambda x: ops.associative_scan(lambda a, b: a[:0], x), ShapeError, "arguments and results"),
        ([VECTOR], lambda x: ops.associative_scan(lambda a, b: a, (x, x[:2])), ShapeError, "same first dimension"),
    ],
)
def test_errors_name_the_line_of_the_user(specs, function, error, match):
    with pytest.raises(error, match=match) as caught:
        trace(function, specs)
    text = str(caught.value)
    assert "test_control.py" in text
    assert "mend:" in text or "expected:" in text


def r0():
    return ops.zeros(())


def test_a_condition_may_not_write():
    v = Variable(np.float32(0.0))
    with pytest.raises(ArgumentError, match="the condition changes a variable"):
        trace(lambda x: ops.while_loop(lambda s: v.assign(v + 1) < 3, lambda s: s + 1, x), [SCALAR])


def test_eager_loops_check_their_values_too():
    with pytest.raises(ShapeError, match="differ in shape"):
        ops.while_loop(lambda s: True, lambda s: ops.concatenate([s, s]), Tensor([1.0]))
    with pytest.raises(DTypeError, match="differ in dtype"):
        ops.scan(lambda c, r: (r, None), Tensor(0.0), Tensor([1, 2]))


# ---- Keras ----------------------------------------------------------------------------------------------------------

GOLDEN = json.loads(control_cases.FILE.read_text())


@pytest.mark.parametrize("name", control_cases.CASES)
def test_values_and_gradients_are_those_of_keras(name):
    case, want = control_cases.CASES[name], GOLDEN[name]
    x = control_cases.array(5, 4)
    # TensorFlow's loops need no limit for gradients; our graphs do.
    in_graph = "while_loop" not in name or "limit" in name
    slope = gradients_of(lambda x: control_cases.total(ops, case, x))
    values = [t.numpy() for t in control_cases.flat(case(ops, Tensor(x)))]
    assert [str(v.dtype) for v in values] == want["dtypes"]
    results = [(values, slope(Tensor(x))[0].numpy())]
    specs = specs_of([x])
    traced = interpret(trace(lambda x: case(ops, x), specs), [x])
    results.append((traced, interpret(trace(slope, specs), [x])[0] if in_graph else None))
    for got, gradient in results:
        for g, w in zip(got, want["values"], strict=True):
            np.testing.assert_allclose(g, w, rtol=2e-5, atol=2e-5)
        if gradient is not None:
            np.testing.assert_allclose(gradient, want["gradient"], rtol=1e-4, atol=1e-4)


def test_control_flow_between_the_layers_of_a_functional_model():
    from graphkeras import layers, models

    w = Variable(normal(3, 3), name="w")

    def function(x):
        rows = ops.transpose(x, (1, 0, 2))
        h, hs = ops.scan(lambda c, r: (ops.tanh(c @ w + r), c), ops.zeros_like(rows[0]), rows, reverse=True)
        h = ops.cond(ops.sum(x) > 0, lambda: h * 2, lambda: h)
        return ops.while_loop(lambda s: ops.sum(s * s) < 5, lambda s: s * 2 + 0.1, h), hs

    x = layers.Input((4, 3))
    model = models.Model(x, function(x))
    for batch in (2, 5):
        for change in (1.0, 0.5):
            w.assign(w * change)
            given = normal(batch, 4, 3)
            for got, want in zip(model(given), function(Tensor(given)), strict=True):
                np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)
            for got, want in zip(model.predict(given, verbose=0), function(Tensor(given)), strict=True):
                np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-6)
