"""`vectorized_map` against one call per element: every registered op, and what functions are made of."""

import itertools

import numpy as np
import pytest

import graphkeras as gk
from graphkeras import ops
from graphkeras.autodiff import GradientTape
from graphkeras.ir import REGISTRY
from graphkeras.ir.dims import symbol
from graphkeras.ir.dtypes import dtype_name, is_float
from graphkeras.ir.errors import DataError, ShapeError
from graphkeras.ir.registry import NoGradient
from graphkeras.ir.spec import TensorSpec
from graphkeras.ir.verify import verify
from graphkeras.ops import batching
from graphkeras.ops.vectorized import unvectorized
from graphkeras.testing import sweep, variations
from graphkeras.testing.evaluate import evaluate
from graphkeras.trace import Variable, as_tensor, trace

ELEMENTS = 3
WITHOUT_SAMPLES = {"input", "read_variable", "assign_variable", "layer_call"}
OPERANDS = sorted(
    name for name, record in REGISTRY.items() if name not in WITHOUT_SAMPLES and (record.kind != "source" or name == "random_bits")
)
EXACT = ("view", "index", "source")  # NumPy rounds functions of vectors and of numbers differently


def samples_of(name, count=2):
    record = REGISTRY[name]
    return [*record.samples, *variations.samples(record, count)]


def choices(count):
    """Which operands differ from element to element: all, and each alone; of few, every combination."""
    if count <= 3:
        return [c for c in itertools.product((True, False), repeat=count) if any(c)]
    return [(True,) * count, *(tuple(i == k for i in range(count)) for k in range(count))]


def batches_of(sample, differ, elements=ELEMENTS):
    """One array per operand, with a leading axis where it differs."""
    draws = [sweep.sample_arrays(sample, seed) for seed in range(max(elements, 1))]
    return [np.stack(arrays)[:elements] if d else arrays[0] for arrays, d in zip(zip(*draws), differ, strict=True)]


def function_of(record, sample, operands, differ):
    """(function of the slices of an element, stacked operands): the others are what the function holds on to."""
    call = sweep.call_of(record, sample)

    def function(slices):
        found = iter(slices)
        return call(*(next(found) if d else x for x, d in zip(operands, differ)))

    return function, [x for x, d in zip(operands, differ) if d]


def mapped(record, sample, differ):
    return lambda *xs: ops.vectorized_map(*function_of(record, sample, xs, differ))


def tuple_of(results):
    return results if isinstance(results, tuple) else (results,)


def one_by_one(record, sample, arrays, differ, elements=ELEMENTS):
    call = sweep.call_of(record, sample)
    rows = [tuple_of(call(*(as_tensor(np.asarray(a[i] if d else a)) for a, d in zip(arrays, differ)))) for i in range(elements)]
    return [np.stack([r.numpy() for r in column]) for column in zip(*rows)]


def compare(record, got, want, what):
    for a, b in zip(got, want, strict=True):
        if record.kind in EXACT and record.name not in ("average_pool", "average_pool_gradient", "attention", "attention_gradient"):
            np.testing.assert_array_equal(np.asarray(a), b, err_msg=what)
        else:
            assert not sweep.far_apart(b, np.asarray(a), 64), (what, sweep.far_apart(b, np.asarray(a), 64))


@pytest.mark.parametrize("name", OPERANDS)
def test_every_op(name):
    """Eagerly, and as a graph with a size of the batch that is known only when it runs."""
    record = REGISTRY[name]
    for number, sample in enumerate(samples_of(name)):
        for differ in choices(len(sample.inputs)):
            arrays = batches_of(sample, differ)
            want = one_by_one(record, sample, arrays, differ)
            what = f"{name}, sample {number}, {differ}"
            function, rows = function_of(record, sample, [as_tensor(a) for a in arrays], differ)
            compare(record, [t.numpy() for t in tuple_of(ops.vectorized_map(function, rows))], want, what)
            batch = symbol("batch")
            specs = [
                TensorSpec((batch, *a.shape[1:]) if d else a.shape, dtype_name(a.dtype)) for a, d in zip(arrays, differ, strict=True)
            ]
            graph = verify(trace(mapped(record, sample, differ), specs))
            compare(record, evaluate(graph, arrays)[0], want, f"{what}, traced")


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in OPERANDS if n != "checkpoint"])  # which goes before the last passes
def test_every_op_compiled(name):
    """With a size of the batch that is known when the program runs; fused, strict and single-threaded runs agree bit for bit."""
    record = REGISTRY[name]
    for sample in samples_of(name, 1)[-2:]:
        for differ in choices(len(sample.inputs))[:2]:
            arrays = batches_of(sample, differ)
            if not all(a.size for a in arrays):
                continue  # the mean of nothing is NaN of either sign
            batch = symbol("batch")
            specs = [TensorSpec((batch, *a.shape[1:]) if d else a.shape, dtype_name(a.dtype)) for a, d in zip(arrays, differ)]
            sweep.check_program(trace(mapped(record, sample, differ), specs), arrays, 256, f"{name}, {differ}")


ONE_BY_ONE = {
    "cond": "the branch differs from element to element",
    "conv": "the kernel differs from element to element",
    "conv_input_gradient": "the kernel differs from element to element",
    "conv_kernel_gradient": "each element has a kernel of its own",
    "ctc_beam": "decoding goes sequence by sequence",
    "ctc_greedy": "decoding goes sequence by sequence",
    "lookup": "programs make lookups of gathers, behind all transformations",
    "pad": "the value at the border differs from element to element",
    "random_bits": "each element has a key of its own",
    "scatter_product_of_others": "its gradient for all elements at once is quadratic in their number",
    "scatter_reduce": "the second gradient of products over all elements at once is quadratic in their number",
    "searchsorted": "the edges differ from element to element",
    "switch": "the branch differs from element to element",
    "while_loop": "its condition differs from element to element",
}


def test_which_ops_have_no_rule():
    """All operands differ from element to element."""
    found = {}
    for name in OPERANDS:
        for sample in samples_of(name, 1):
            differ = (True,) * len(sample.inputs)
            arrays = batches_of(sample, differ)
            found.update(unvectorized(*function_of(REGISTRY[name], sample, [as_tensor(a) for a in arrays], differ)))
    assert found == ONE_BY_ONE


@pytest.mark.parametrize("name", [n for n in OPERANDS if batching.of_kind(REGISTRY[n]) or REGISTRY[n].expand])
@pytest.mark.parametrize("elements", [0, 1])
def test_few_elements(name, elements):
    record = REGISTRY[name]
    sample = record.samples[0]
    differ = (True,) * len(sample.inputs)
    arrays = batches_of(sample, differ, elements)
    function, rows = function_of(record, sample, [as_tensor(a) for a in arrays], differ)
    got = [t.numpy() for t in tuple_of(ops.vectorized_map(function, rows))]
    if elements:
        compare(record, got, one_by_one(record, sample, arrays, differ, 1), name)
    else:
        single = one_by_one(record, sample, batches_of(sample, differ, 1), differ, 1)
        assert [(g.shape, g.dtype) for g in got] == [((0, *s.shape[1:]), s.dtype) for s in single]


def with_gradient(name):
    record = REGISTRY[name]
    floats = [is_float(dtype_name(a.dtype)) for a in sweep.sample_arrays(record.samples[0])] if record.samples else []
    return any(floats) and not isinstance(record.vjp, NoGradient) and name not in ("stop_gradient", "qr", "svd", "lu_factor", "eigh")


@pytest.mark.parametrize("name", list(filter(with_gradient, OPERANDS)))
def test_gradient_of_every_op(name):
    """Of all operands, each with a batch, against the gradient of `map`."""
    record, sample = REGISTRY[name], REGISTRY[name].samples[0]
    differ = (True,) * len(sample.inputs)
    arrays = batches_of(sample, differ)
    function, _ = function_of(record, sample, arrays, differ)

    def slopes(mapping):
        tensors = [as_tensor(a) for a in arrays]
        sources = [t for t in tensors if is_float(t.dtype)]
        with GradientTape() as tape:
            for t in sources:
                tape.watch(t)
            results = [r for r in tuple_of(mapping(function, tensors)) if is_float(r.dtype)]
            total = sum((ops.sum(ops.sin(r)) for r in results), ops.sum(sources[0]))
        return [None if g is None else g.numpy() for g in tape.gradient(total, sources)]

    for a, b in zip(slopes(ops.vectorized_map), slopes(ops.map), strict=True):
        assert (a is None) == (b is None)
        assert a is None or not sweep.far_apart(b, a, 256), sweep.far_apart(b, a, 256)


# ---- functions --------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 5)).astype("float32")
W = RNG.normal(size=(5, 3)).astype("float32")


def same(function, elements, rtol=1e-5, atol=1e-6):
    """Eager and compiled `vectorized_map` agree with `map`; returns the eager result."""
    leaves = lambda structure: [x for x in gk.tree.flatten(structure) if x is not None]
    want = leaves(ops.map(function, elements))
    got = ops.vectorized_map(function, elements)
    compiled = gk.function(lambda e: ops.vectorized_map(function, e))(elements)
    for a, b, c in zip(leaves(got), want, leaves(compiled), strict=True):
        np.testing.assert_allclose(a, b, rtol, atol)
        np.testing.assert_allclose(c, b, rtol, atol)
    return got


def test_bits_of_elementwise_functions():
    function = lambda r: ops.where(r > 0, ops.exp(r) * ops.tanh(r[::-1]), ops.sqrt(ops.abs(r)) / (r + np.float32(3)))
    sizes = [(7, 5), (3, 33), (1, 1)]
    for shape in sizes:
        x = RNG.normal(size=shape).astype("float32")
        one, all_at_once = (gk.function(lambda x, m=m: m(function, x))(x).numpy() for m in (ops.map, ops.vectorized_map))
        assert one.tobytes() == all_at_once.tobytes()


def test_structures():
    result = same(lambda e: {"a": ops.softmax(e["x"] @ W), "b": (None, e["y"][0] * 2)}, {"x": X, "y": [X[:, 0]]})
    assert result["b"][0] is None and result["a"].shape == (6, 3)
    assert same(lambda r: np.float32(3), X).tolist() == [3.0] * 6
    assert same(lambda r: W, X).shape == (6, 5, 3)


def test_products():
    m = RNG.normal(size=(6, 3, 5)).astype("float32")
    for function in (
        lambda r: r @ W, lambda r: W.T @ r, lambda r: r @ r, lambda r: ops.outer(r, r), lambda r: ops.einsum("i,ij->j", r, W),
    ):  # fmt: skip
        same(function, X)
        assert unvectorized(function, X) == []
    for function in (lambda a: a @ W, lambda a: ops.transpose(a) @ a, lambda a: W @ a, lambda a: ops.matmul(W.T, ops.transpose(a))):
        same(function, m)


def test_places():
    places = RNG.integers(-5, 5, (6, 4)).astype("int32")
    same(lambda e: ops.take(e[0], e[1]), (X, places))
    same(lambda i: ops.take(W, i, axis=0), places)
    same(lambda e: ops.take_along_axis(e[0], e[1], axis=0), (X, places))
    same(lambda e: ops.slice(e[0], [ops.abs(e[1][0]) % 3], [2]), (X, places))
    same(lambda e: ops.scatter(e[1][:, None] % 5, e[0][:4], (5,)), (X, places))
    with pytest.raises(DataError, match="index 7 is out of range"):
        ops.vectorized_map(lambda e: ops.take(e[0], e[1]), (X, np.full(6, 7, "int32")))


def test_images():
    images, kernel = RNG.normal(size=(4, 6, 6, 2)).astype("float32"), RNG.normal(size=(3, 3, 2, 4)).astype("float32")
    function = lambda i: ops.max_pool(ops.relu(ops.conv(i[None], kernel, padding="same")), 2)[0]
    assert same(function, images).shape == (4, 3, 3, 4)
    assert unvectorized(function, images) == []


def test_control_flow():
    loop = lambda r: ops.fori_loop(0, 4, lambda i, s: s * 0.5 + r[i], ops.sum(r))
    same(loop, X)
    same(lambda r: ops.scan(lambda c, v: (c * 0.5 + v, (c, v * 2)), np.float32(0), r), X)
    same(lambda r: ops.scan(lambda c, v: (c + v, c * ops.sum(r)), np.float32(0), W[:, 0], reverse=True), X)
    same(lambda r: ops.cond(ops.sum(W) > 0, lambda: r, lambda: r * 2), X)
    same(lambda r: ops.cond(ops.sum(r) > 0, lambda: r, lambda: r * 2), X)
    same(lambda r: ops.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s * r), (0, r)), X)
    same(lambda r: ops.while_loop(lambda s: ops.sum(s) < 9, lambda s: (ops.abs(s) * 2 + 1,), (r,))[0], X)
    same(lambda r: ops.vectorized_map(lambda v: v * ops.sum(r), r), X)
    function = gk.function(lambda x: ops.vectorized_map(lambda r: ops.fori_loop(0, 4, lambda i, s: s * 0.5 + r[i], ops.sum(r)), x))
    np.testing.assert_allclose(function(X), ops.map(loop, X), 1e-5)


def test_variables_are_written_element_by_element():
    results = []
    for mapping in (ops.map, ops.vectorized_map, lambda f, x: gk.function(lambda x: ops.vectorized_map(f, x))(x)):
        total, scale = Variable(np.float32(1)), Variable(np.float32(2))

        def function(row, total=total, scale=scale):
            total.assign(total * 0.5 + ops.sum(row))
            return row * total * scale

        results.append((mapping(function, X).numpy(), total.numpy()))
    for values, last in results[1:]:
        np.testing.assert_allclose(values, results[0][0], 1e-5)
        np.testing.assert_allclose(last, results[0][1], 1e-5)
    assert unvectorized(function, X)[0][0] == "assign_variable"


def test_random_numbers_are_those_of_map():
    found = []
    for mapping in (ops.map, ops.vectorized_map):
        seeds = gk.random.SeedGenerator(3)
        noisy = lambda r, seeds=seeds: gk.random.dropout(r, 0.5, seed=seeds) + gk.random.uniform((5,), seed=7)
        found.append(mapping(noisy, X).numpy())
    np.testing.assert_array_equal(*found)
    assert len({tuple(row == 0) for row in found[0] - gk.random.uniform((5,), seed=7).numpy()}) > 1


def test_gradients():
    w, b = Variable(W), as_tensor(np.float32([1, 2, 3]))

    def energy(x, mapping):
        return ops.sum(mapping(lambda r: ops.log_softmax(ops.tanh(r @ w) * b)[0] * ops.take(r, ops.argmax(r)), x))

    def slopes(mapping):
        x = as_tensor(X)
        with GradientTape(persistent=True) as outer:
            outer.watch(x), outer.watch(b)
            with GradientTape() as inner:
                inner.watch(x)
                y = energy(x, mapping)
            first = inner.gradient(y, x)
            again = ops.sum(first * first)
        return [first, outer.gradient(y, w), outer.gradient(y, b), outer.gradient(again, w), outer.gradient(again, x)]

    for a, b_ in zip(slopes(ops.vectorized_map), slopes(ops.map), strict=True):
        np.testing.assert_allclose(a, b_, 1e-4, 1e-5)

    def step(x):
        with GradientTape() as tape:
            y = energy(x, ops.vectorized_map)
        return tape.gradient(y, w)

    np.testing.assert_allclose(gk.function(step)(X), slopes(ops.map)[1], 1e-4, 1e-5)


def test_gradient_functions_of_ones_own():
    @ops.custom_gradient
    def doubled(x):
        return x * x, lambda upstream: upstream * x * 100.0

    x = as_tensor(X)
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(ops.vectorized_map(doubled, x))
    np.testing.assert_allclose(tape.gradient(y, x), X * 100, 1e-6)
    assert unvectorized(doubled, X) == [("custom_gradient", "its gradient function holds on to values of one element")]


def test_decisions_in_python_are_made_for_each_element():
    function = lambda r: r if float(r[0]) > 0 else -r
    np.testing.assert_array_equal(ops.vectorized_map(function, X), ops.map(function, X))
    assert unvectorized(function, X) == [("function", "it decides in Python on the values of an element")]


def test_functional_models():
    dense = gk.layers.Dense(4, activation="tanh")
    dense.build((None, 5))
    inputs = gk.Input((5,))
    model = gk.Model(inputs, ops.vectorized_map(lambda r: dense(r[None])[0] * 2, inputs))
    np.testing.assert_allclose(model.predict(X, verbose=0), 2 * dense(X).numpy(), 1e-5)
    np.testing.assert_allclose(model(X[:0]), np.empty((0, 4)))


def test_reasons_stand_in_the_graph():
    function = lambda r: ops.cond(ops.sum(r) > 0, lambda: r, lambda: -r)
    graph = trace(lambda x: ops.vectorized_map(function, x), [TensorSpec((6, 5), "float32")])
    rules = [n.origin.rule for n in graph.nodes if n.op == "scan"]
    assert rules == ["element by element: the branch differs from element to element"]


def test_errors():
    with pytest.raises(ShapeError, match="leading axes"):
        ops.vectorized_map(lambda e: e[0], (X, W))
    with pytest.raises(ShapeError, match="no leading axis"):
        ops.vectorized_map(lambda e: e, np.float32(3))
