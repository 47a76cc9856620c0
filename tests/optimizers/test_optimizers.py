"""What the golden file does not show: stateless steps, saving, errors and graphs of optimizers."""

import warnings

import numpy as np
import pytest

from graphkeras import optimizers
from graphkeras.ir.errors import ArgumentError, ShapeError, UnknownNameError
from graphkeras.ir.spec import TensorSpec
from graphkeras.optimizers import schedules
from graphkeras.trace import Tensor, Variable, trace_call

ALL = [c for c in optimizers._CLASSES if c is not optimizers.Optimizer]


def variables():
    return [Variable([[1.0, -2.0], [0.5, 3.0]], name="w"), Variable([1.0, 2.0], name="b")]


GRADIENTS = [np.array([[0.1, -0.3], [2.0, 0.0]], "float32"), np.array([-1.0, 0.5], "float32")]


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.__name__)
def test_stateless_apply_equals_apply(cls):
    stateful, stateless = cls(), cls()
    changed, kept = variables(), variables()
    stateless.build(kept)
    values, state = [v.value for v in kept], [v.value for v in stateless.variables]
    for _ in range(2):
        stateful.apply([Tensor(g) for g in GRADIENTS], changed)
        values, state = stateless.stateless_apply(state, [Tensor(g) for g in GRADIENTS], values)
    for v, value in zip([*changed, *stateful.variables], [*values, *state]):
        np.testing.assert_array_equal(v.numpy(), np.asarray(value))
    np.testing.assert_array_equal(kept[0].numpy(), variables()[0].numpy())
    assert int(stateless.iterations) == 0


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.__name__)
def test_config_makes_an_equal_optimizer(cls):
    optimizer = cls(learning_rate=0.003, clipnorm=1.0)
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    assert type(again) is cls and again.get_config() == optimizer.get_config()
    assert again.get_config()["learning_rate"] == 0.003


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.__name__)
def test_step_is_a_graph_that_writes_all_state(cls):
    optimizer, weights = cls(), variables()
    optimizer.build(weights)

    def step(*gradients):
        optimizer.apply(gradients, weights)

    graph, _ = trace_call(step, [TensorSpec(v.shape, "float32") for v in weights])
    written = {n.attrs["variable"].variable.path for n in graph.effects}
    assert {v.path for v in weights} <= written and optimizer.variables[0].path in written
    assert int(optimizer.iterations) == 0


def test_scalar_factors_are_computed_once():
    optimizer, weights = optimizers.Adam(), [Variable(np.ones(3), name=f"v{i}") for i in range(5)]
    graph, _ = trace_call(lambda *g: optimizer.apply(g, weights), [TensorSpec((3,), "float32")] * 5)
    assert sum(n.op == "power" for n in graph.nodes) == 2


def test_accumulation_in_a_graph_equals_eager():
    from graphkeras.runtime.interpreter import interpret

    eager, traced = optimizers.Adam(0.1, gradient_accumulation_steps=2), optimizers.Adam(0.1, gradient_accumulation_steps=2)
    one, other = variables(), variables()
    traced.build(other)
    graph, _ = trace_call(lambda *g: traced.apply(g, other), [TensorSpec(v.shape, "float32") for v in other])
    for _ in range(4):
        eager.apply([Tensor(g) for g in GRADIENTS], one)
        interpret(graph, GRADIENTS)
    for a, b in zip([*one, *eager.variables], [*other, *traced.variables]):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    assert int(eager.iterations) == 2


def test_apply_gradients_takes_an_iterator():
    weights = variables()
    optimizer = optimizers.SGD(1.0)
    optimizer.apply_gradients(zip([Tensor(g) for g in GRADIENTS], weights))
    np.testing.assert_allclose(weights[1].numpy(), [2.0, 1.5])


def test_missing_gradients():
    weights = variables()
    with pytest.warns(UserWarning, match="Gradients do not exist for variables \\['w'\\]"):
        optimizers.SGD(1.0).apply([None, Tensor(GRADIENTS[1])], weights)
    np.testing.assert_array_equal(weights[0].numpy(), variables()[0].numpy())
    with pytest.raises(ArgumentError, match="No gradients provided for any variable"):
        optimizers.SGD(1.0).apply([None, None], weights)


def test_unknown_variable():
    optimizer = optimizers.SGD()
    optimizer.build(variables())
    with pytest.raises(ArgumentError, match="Unknown variable: other") as caught:
        optimizer.apply([Tensor([1.0])], [Variable([1.0], name="other")])
    assert "new optimizer" in str(caught.value)


def test_constraint_is_applied():
    weights = variables()
    weights[1].constraint = lambda w: w * 0.0
    optimizers.SGD(1.0).apply([Tensor(g) for g in GRADIENTS], weights)
    np.testing.assert_array_equal(weights[1].numpy(), [0.0, 0.0])


def test_excluded_from_weight_decay():
    weights = variables()
    optimizer = optimizers.SGD(1.0, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["b"])
    optimizer.apply([Tensor(np.zeros_like(g)) for g in GRADIENTS], weights)
    np.testing.assert_allclose(weights[0].numpy(), 0.9 * variables()[0].numpy(), rtol=1e-6)
    np.testing.assert_array_equal(weights[1].numpy(), variables()[1].numpy())


def test_learning_rate_can_be_set_but_not_over_a_schedule():
    optimizer = optimizers.Adam(0.1)
    optimizer.learning_rate = 0.5
    assert float(optimizer.learning_rate) == 0.5
    scheduled = optimizers.Adam(schedules.ExponentialDecay(0.1, 10, 0.5))
    assert float(scheduled.learning_rate) == pytest.approx(0.1)
    with pytest.raises(TypeError, match="not settable"):
        scheduled.learning_rate = 0.5


def test_schedule_follows_the_iterations():
    weights = [Variable([0.0])]
    optimizer = optimizers.SGD(schedules.PiecewiseConstantDecay([0], [1.0, 0.25]))
    for _ in range(3):
        optimizer.apply([Tensor([1.0])], weights)
    assert weights[0].numpy().tolist() == [-1.5]


def test_schedule_config():
    optimizer = optimizers.SGD(schedules.CosineDecay(0.1, 10, warmup_target=0.2, warmup_steps=3))
    again = optimizers.SGD.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize("arguments", [
    {"learning_rate": 1}, {"clipnorm": 1.0, "clipvalue": 1.0}, {"gradient_accumulation_steps": 1}, {"momentum": 1.5},
    {"use_ema": True, "ema_momentum": 2.0}, {"use_ema": True, "ema_overwrite_frequency": 0.5}, {"unknown": 3},
])  # fmt: skip
def test_arguments_are_checked(arguments):
    with pytest.raises(ArgumentError) as caught:
        optimizers.SGD(**arguments)
    assert "got:" in str(caught.value)


def test_get():
    assert type(optimizers.get("RMSprop")) is optimizers.RMSprop
    optimizer = optimizers.SGD()
    assert optimizers.get(optimizer) is optimizer
    with pytest.raises(UnknownNameError, match="'RMSprop'"):
        optimizers.get("rmspropp")
    with pytest.raises(ArgumentError, match="Could not interpret optimizer identifier"):
        optimizers.get(3)


def test_saving_and_setting_state():
    one, other = optimizers.Adam(), optimizers.Adam()
    one.apply([Tensor(g) for g in GRADIENTS], variables())
    store = {}
    one.save_own_variables(store)
    with pytest.warns(UserWarning, match="Skipping variable loading"):
        other.load_own_variables(store)
    other.build(variables())
    other.load_own_variables(store)
    for a, b in zip(one.variables, other.variables):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    with pytest.raises(ShapeError, match="has another shape"):
        other.set_weights([np.zeros((3,))] * len(other.variables))


def test_moving_average_replaces_weights_at_the_end():
    weights = [Variable([0.0])]
    optimizer = optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    for _ in range(2):
        optimizer.apply([Tensor([1.0])], weights)
    assert weights[0].numpy().tolist() == [-2.0]
    optimizer.finalize_variable_values(weights)
    assert weights[0].numpy().tolist() == [-1.5]


def test_own_optimizer():
    class Halving(optimizers.Optimizer):
        def __init__(self, **kwargs):
            super().__init__(learning_rate=1.0, **kwargs)

        def build(self, variables):
            super().build(variables)
            self.seen = [self.add_variable_from_reference(v, "seen") for v in variables]

        def update_step(self, gradient, variable, learning_rate):
            self.assign(variable, variable * 0.5)
            self.assign_add(self.seen[self._get_variable_index(variable)], gradient)

    weights = variables()
    optimizer = Halving()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.apply([Tensor(g) for g in GRADIENTS], weights)
    np.testing.assert_allclose(weights[1].numpy(), [0.5, 1.0])
    assert [v.path for v in optimizer.variables[2:]] == ["halving/w_seen", "halving/b_seen"]
