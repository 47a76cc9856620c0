"""Ops called on symbolic tensors: one operation per call, named as in Keras."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import Input, Model, layers, ops
from graphkeras.models import Functional, clone_model, model_from_json
from graphkeras.trace import Tensor, Variable
from graphkeras.trace.naming import reset_names
from tests.golden.op_calls_model import build

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "op_calls.json").read_text())
X = np.linspace(-2, 2, 48, dtype="float32").reshape(2, 4, 6)


def names(model):
    return [[op.name, type(op).__name__] for op in model.operations]


def result(model):
    return np.asarray(model(X)).ravel()


@pytest.fixture
def model():
    reset_names()
    return build(keras)


def test_operations_are_those_of_keras(model):
    assert names(model) == GOLDEN["operations"]
    np.testing.assert_allclose(result(model), GOLDEN["result"], rtol=2e-5, atol=1e-5)


def test_compiled_equals_eager(model):
    np.testing.assert_allclose(keras.function(model)(X).numpy().ravel(), result(model), rtol=1e-5, atol=1e-5)


def test_configs_go_both_ways(model):
    again = model_from_json(model.to_json())
    assert names(again) == names(model)
    np.testing.assert_array_equal(result(again), result(model))
    theirs = model_from_json(json.dumps(GOLDEN["config"]))
    assert names(theirs) == GOLDEN["operations"]
    np.testing.assert_array_equal(result(theirs), result(model))


@pytest.mark.parametrize(
    "call, classes",
    [
        (lambda x: ops.layer_normalization(x, beta=np.ones(6, "float32")), ["LayerNorm"]),  # gamma, before it, is left out
        (lambda x: ops.dot_product_attention(*[x[..., None]] * 3, mask=np.tri(4) > 0), ["GetItem", "DotProductAttention"]),
        (lambda x: round(x, 1), ["Round"]),
        (lambda x: divmod(x, 0.7)[1], ["Mod"]),
        (lambda x: divmod(7, x)[0], ["FloorDivide"]),
        (lambda x: ops.cast(x, "int32") & 5, ["Cast", "BitwiseAnd"]),
        (lambda x: 5 | ops.cast(x, "int32"), ["Cast", "BitwiseOr"]),
        (lambda x: ~ops.cast(x, "int32"), ["Cast", "BitwiseNot"]),
        (lambda x: ~(x > 0) ^ True, ["Greater", "LogicalNot", "LogicalXor"]),
    ],
)
def test_what_is_read_back_computes_the_same(call, classes):
    x = Input((4, 6))
    model = Model(x, call(x))
    assert [type(op).__name__ for op in model.operations[1:]] == classes
    again = model_from_json(model.to_json())
    assert names(again) == names(model)
    np.testing.assert_array_equal(result(again), result(model))
    np.testing.assert_array_equal(result(model), np.asarray(call(Tensor(X))).ravel())


def test_a_clone_keeps_the_names(model):
    clone = clone_model(model)
    assert names(clone) == names(model)
    np.testing.assert_array_equal(result(clone), result(model))


def test_names_go_on_from_model_to_model():
    reset_names()
    x = Input((3,))
    first, second = x + 1.0, ops.add(x, 2.0)
    assert [y._keras_history.operation.name for y in (first, second)] == ["add", "add_1"]


def test_operands_may_be_tensors_arrays_and_variables():
    x = Input((3,))
    factor = Variable([1.0, 2.0, 3.0])
    y = factor * (Tensor([1.0, 1.0, 1.0]) + x) - np.float32(1.0)
    y = 2.0 - np.ones(3, "float32") * y
    model = Model(x, y)
    assert [type(op).__name__ for op in model.operations[1:]] == ["Add", "Multiply", "Subtract", "Multiply", "Subtract"]
    np.testing.assert_array_equal(np.asarray(model(np.ones((1, 3), "float32"))), [[1.0, -1.0, -3.0]])
    factor.assign([0.0, 0.0, 0.0])  # it is read whenever the model runs
    np.testing.assert_array_equal(np.asarray(model(np.ones((1, 3), "float32"))), [[3.0, 3.0, 3.0]])


def test_what_makes_no_tensor_is_no_operation():
    x = Input((3,))
    assert ops.shape(x)[1] == 3 and ops.ndim(x) == 2
    assert ops.cast(x, "float32") is x
    assert ops.convert_to_tensor(x) is x
    with pytest.raises(TypeError):
        x + object()


def test_sizes_and_control_flow_keep_their_primitives():
    x = Input((4,))
    y = ops.reshape(x, (ops.shape(x)[0], 2, 2))
    y = ops.cond(ops.sum(y) > 0, lambda: y * 2.0, lambda: y)
    model = Model(x, y)
    np.testing.assert_array_equal(np.asarray(model(np.ones((2, 4), "float32"))), np.full((2, 2, 2), 2.0))


def test_gradients_reach_layers_behind_ops():
    x = Input((3,))
    dense = layers.Dense(1, kernel_initializer="ones")
    model = Functional(x, ops.mean(ops.square(dense(x * 2.0)), axis=-1))
    with keras.GradientTape() as tape:
        loss = ops.sum(model(np.ones((2, 3), "float32")))
    np.testing.assert_allclose(np.asarray(tape.gradient(loss, dense.kernel)), np.full((3, 1), 48.0))


def test_public_functions_are_pickled_by_name():
    for f in (ops.relu, ops.numpy.mean, ops.nn.softmax, ops.linalg.svd, ops.image.resize):
        assert pickle.loads(pickle.dumps(f)) is f
    assert ops.numpy.add is ops.add and ops.nn.relu is ops.relu
