"""Rematerialisation: the same values and gradients to the bit, with less kept and more computed."""

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import ops, random
from graphkeras.autodiff import GradientTape, checkpoint
from graphkeras.autodiff.remat import get_current_remat_mode
from graphkeras.debug import flags
from graphkeras.ir.dims import symbol
from graphkeras.ir.errors import ArgumentError
from graphkeras.ir.parser import parse_graph
from graphkeras.ir.spec import TensorSpec
from graphkeras.ir.text import print_graph
from graphkeras.passes import run
from graphkeras.runtime.program import Program
from graphkeras.trace import Tensor, Variable, trace

RNG = np.random.default_rng(0)
X = Tensor(RNG.normal(size=(8, 16)), dtype="float32")
BATCHES = TensorSpec((symbol("batch"), 16), "float32")


def _weights(depth):
    return [Variable(RNG.normal(size=(16, 16)) / 4, dtype="float32") for _ in range(depth)]


def _chain(weights, wrap):
    """Loss and gradients of a chain of equal steps, as a function of its input."""

    def gradients(x):
        with GradientTape() as tape:
            tape.watch(x)
            y = x
            for w in weights:
                y = wrap(lambda y, w=w: y + ops.tanh(ops.matmul(ops.sin(ops.matmul(y, w)), w)))(y)
            loss = ops.mean(y * y)
        return loss, tape.gradient(loss, [x, *weights])

    return gradients


def _plain(f):
    return f


def _same(got, expected):
    for a, b in zip(keras.tree.flatten(got), keras.tree.flatten(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("mode", ["eager", "strict", "compiled"])
def test_gradients_are_the_same_bits(mode):
    weights = _weights(3)
    with flags.EXECUTION(mode):
        _same(keras.function(_chain(weights, checkpoint))(X), keras.function(_chain(weights, _plain))(X))


def _program(weights, wrap):
    gradients = _chain(weights, wrap)
    graph, _ = run(trace(lambda x: gradients(x)[1], [BATCHES]), verify=True)
    return Program(graph), graph


def test_the_planned_peak_of_a_deep_chain_falls_and_the_graph_computes_more():
    depth = 24
    weights = _weights(depth)
    plain, graph = _program(weights, _plain)
    less, longer = _program(weights, checkpoint)
    peaks = [p.peak_bytes({"batch": 4096}) for p in (plain, less)]
    assert peaks[1] < 0.6 * peaks[0]
    _same(less(X.array), plain(X.array))
    counts = [[sum(node.op == op for node in g.nodes) for op in ("sin", "matmul", "recompute_barrier")] for g in (graph, longer)]
    assert counts[0][2] == 0 and counts[1][2] > 0
    assert counts[1][0] == 2 * counts[0][0]
    assert counts[1][1] == counts[0][1] + 2 * depth


def test_the_graph_has_a_node_that_prints_and_parses():
    w = Variable(np.eye(16), dtype="float32", name="w")
    graph = trace(lambda x: checkpoint(lambda x: ops.tanh(x @ w))(x), [BATCHES])
    (node,) = [n for n in graph.nodes if n.op == "checkpoint"]
    assert [n.op for n in node.subgraphs[0].nodes] == ["matmul", "tanh"]
    assert print_graph(parse_graph(print_graph(graph))) == print_graph(graph)


def test_a_tape_records_one_op():
    with GradientTape() as tape:
        tape.watch(X)
        checkpoint(lambda x: ops.tanh(ops.sin(x) * 2.0))(X)
    assert [record.op for record in tape._records] == ["custom_gradient"]


def _second(wrap, x):
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = ops.sum(wrap(lambda x: ops.sin(x) * ops.exp(x))(x))
        slope = inner.gradient(y, x)
    return outer.gradient(slope, x)


@pytest.mark.parametrize("mode", ["eager", "compiled"])
def test_second_order(mode):
    with flags.EXECUTION(mode):
        found = keras.function(lambda x: _second(checkpoint, x))(X)
        np.testing.assert_allclose(np.asarray(found), 2 * np.cos(X.array) * np.exp(X.array), rtol=1e-5, atol=1e-6)
        _same(found, keras.function(lambda x: _second(_plain, x))(X))


@pytest.mark.parametrize("mode", ["eager", "compiled"])
def test_random_numbers_and_variables_are_as_they_were(mode):
    seeds = [random.SeedGenerator(7), random.SeedGenerator(7)]
    counts = [Variable(2.0), Variable(2.0)]

    def draw(x, wrap, seed, count):
        def noisy(x):
            y = ops.square(random.dropout(x, 0.5, seed=seed)) * count
            count.assign_add(1.0)
            return y

        with GradientTape() as tape:
            tape.watch(x)
            y = ops.sum(wrap(noisy)(x))
        return y, tape.gradient(y, [x, count])

    with flags.EXECUTION(mode):
        for _ in range(2):
            results = [
                keras.function(lambda x, w=w, s=s, c=c: draw(x, w, s, c))(X)
                for w, s, c in zip((checkpoint, _plain), seeds, counts)
            ]
            _same(*results)
    assert float(counts[0]) == float(counts[1]) == 4.0
    _same(seeds[0].state, seeds[1].state)


@pytest.mark.parametrize("mode", ["eager", "compiled"])
def test_structures_constants_and_captured_tensors(mode):
    def call(x, scale):
        def pick(pair, power, extra=None):
            return {"a": pair[0] ** power * scale, "b": None, "n": ops.cast(pair[1], "int32")}

        with GradientTape() as tape:
            tape.watch([x, scale])
            y = checkpoint(pick)([x, x * 2.0], 2, extra="text")
            total = ops.sum(y["a"])
        assert y["b"] is None and y["n"].dtype == "int32"
        return tape.gradient(total, [x, scale])

    with flags.EXECUTION(mode):
        slope, of_scale = keras.function(call)(X, Tensor(3.0))
    np.testing.assert_allclose(np.asarray(slope), 6 * X.array, rtol=1e-6)
    np.testing.assert_allclose(float(of_scale), float((X.array**2).sum()), rtol=1e-5)


def test_checkpoints_in_checkpoints_and_in_scans():
    w = _weights(1)[0]

    def run_over(wrap):
        step = wrap(lambda c, x: ops.tanh(wrap(lambda c: ops.sin(c @ w))(c) + x))

        def gradients(rows):
            with GradientTape() as tape:
                last, _ = ops.scan(lambda c, x: (step(c, x), None), ops.zeros((1, 16)), ops.expand_dims(rows, 1))
                loss = ops.sum(last)
            return loss, tape.gradient(loss, w)

        return gradients

    _same(keras.function(run_over(checkpoint))(X), keras.function(run_over(_plain))(X))
    graphs = [run(trace(run_over(wrap), [TensorSpec((64, 16), "float32")]))[0] for wrap in (checkpoint, _plain)]
    saved = [[len(n.specs) for n in g.nodes if n.op == "scan"][0] for g in graphs]
    assert saved[0] < saved[1]  # a step keeps what it starts from alone


def _model(mode, **options):
    keras.utils.set_random_seed(3)
    with keras.RematScope(mode, **options):
        model = keras.Sequential(
            [
                keras.Input((16,)),
                keras.layers.Dense(32, activation="tanh", name="one"),
                keras.layers.Dropout(0.3),
                keras.layers.Dense(1, name="two"),
            ]
        )
    model.compile(optimizer="sgd", loss="mse")
    return model


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("full", {}),
        ("activations", {}),
        ("larger_than", {"output_size_threshold": 8}),
        ("list_of_layers", {"layer_names": ["one"]}),
        (None, {}),
    ],
)
def test_layers_made_in_a_scope_train_the_same(mode, options):
    y = RNG.normal(size=(8, 1)).astype("float32")
    histories = []
    for model in (_model(None), _model(mode, **options)):
        histories.append(model.fit(X.array, y, epochs=2, batch_size=4, shuffle=False, verbose=0).history["loss"])
    assert histories[0] == histories[1]
    traced = trace(lambda x: model(x, training=True), [BATCHES])
    assert any(n.op == "checkpoint" for n in traced.nodes) == (mode is not None)


def test_scopes_nest_and_name_their_modes():
    assert get_current_remat_mode() is None
    with keras.RematScope("full"):
        with keras.RematScope("list_of_layers", layer_names=["a"]):
            assert get_current_remat_mode() == ("list_of_layers", 1024, ["a"])
        assert get_current_remat_mode().mode == "full"
    with pytest.raises(ArgumentError, match=r"Invalid mode 'ful'[\s\S]*got: +mode='ful'[\s\S]*expected: [\s\S]*where: "):
        keras.RematScope("ful")


def test_a_functional_model_keeps_the_checkpoint():
    x = keras.Input((16,))
    model = keras.Model(x, keras.remat(lambda x: ops.sin(x) * 2.0)(x))
    np.testing.assert_allclose(np.asarray(model(X)), 2 * np.sin(X.array), rtol=1e-6)
    graph = trace(model, [BATCHES])
    assert [n.op for n in graph.nodes] == ["checkpoint"]
    with GradientTape() as tape:
        tape.watch(X)
        y = model(X)
    np.testing.assert_allclose(np.asarray(tape.gradient(y, X)), 2 * np.cos(X.array), rtol=1e-5, atol=1e-6)


def test_a_functional_model_knows_the_layers_that_are_wrapped():
    x = keras.Input((16,))
    dense = keras.layers.Dense(3)
    model = keras.Model(x, keras.remat(dense)(x))
    assert model.layers[1:] == [dense] and len(model.trainable_variables) == 2
    assert "checkpoint" in [n.op for n in trace(model, [BATCHES]).nodes]


def test_a_function_in_a_functional_model_knows_whether_it_trains():
    x = keras.Input((16,))
    dropout = keras.layers.Dropout(0.5, seed=1)
    model = keras.Model(x, keras.remat(lambda x: dropout(x) * 2.0)(x))
    np.testing.assert_array_equal(np.asarray(model(X)), 2 * X.array)
    assert (np.asarray(model(X, training=True)) == 0).any()
