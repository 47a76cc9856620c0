import math

import numpy as np
import pytest

from graphkeras import activations, function, ops
from graphkeras.ir.errors import UnknownNameError
from graphkeras.testing import check_gradients

X = np.array([[-2.9, -1.2, -0.3, 0.2, 0.7, 2.5]])


def erf(x):
    return np.vectorize(math.erf)(x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


REFERENCES = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "relu6": lambda x: np.clip(x, 0, 6),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    "log_softmax": lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "celu": lambda x: np.maximum(x, 0) + np.minimum(0, np.expm1(x)),
    "glu": lambda x: x[..., :3] * sigmoid(x[..., 3:]),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
    "sparsemax": lambda x: np.array([[0, 0, 0, 0, 0, 1.0]]),
    "silu": lambda x: x * sigmoid(x),
    "squareplus": lambda x: (x + np.sqrt(x**2 + 4)) / 2,
    "gelu": lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "tanh": np.tanh,
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "sigmoid": sigmoid,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "log_sigmoid": lambda x: -np.log1p(np.exp(-x)),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "exponential": np.exp,
    "linear": lambda x: x,
}


@pytest.mark.parametrize("name", REFERENCES)
def test_values_and_gradients(name):
    activation = activations.get(name)
    x = X.astype("float32")
    eager = activation(ops.convert_to_tensor(x)).numpy()
    np.testing.assert_allclose(eager, REFERENCES[name](X), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(function(activation)(x).numpy(), eager, rtol=2e-6, atol=2e-6)
    check_gradients(activation, [X], order=1)


def test_relu_with_options():
    x = ops.convert_to_tensor(np.array([-2.0, 0.5, 1.0, 9.0], "float32"))
    assert activations.relu(x, max_value=6).numpy().tolist() == [0.0, 0.5, 1.0, 6.0]
    assert activations.relu(x, threshold=0.75).numpy().tolist() == [0.0, 0.0, 1.0, 9.0]
    assert activations.relu(x, negative_slope=0.5).numpy().tolist() == [-1.0, 0.5, 1.0, 9.0]
    np.testing.assert_allclose(
        activations.relu(x, negative_slope=0.5, max_value=6.0, threshold=0.75).numpy(), [-1.375, -0.125, 1.0, 6.0]
    )
    assert activations.relu(x, max_value=0).numpy().tolist() == [0.0] * 4
    assert activations.threshold(x, 0.6, 7.0).numpy().tolist() == [7.0, 7.0, 1.0, 9.0]


def test_sparsemax():
    x = np.array([[0.5, 0.1, 0.5, -1.0], [1.0, 1.0, 1.0, 1.0]], "float32")
    out = activations.sparsemax(ops.convert_to_tensor(x)).numpy()
    np.testing.assert_allclose(out, [[0.4666667, 0.0666667, 0.4666667, 0.0], [0.25] * 4], rtol=1e-5)
    np.testing.assert_allclose(activations.sparsemax(ops.convert_to_tensor(x.T), axis=0).numpy(), out.T)


def test_softmax_of_a_vector():
    np.testing.assert_allclose(activations.softmax(ops.zeros((4,))).numpy(), np.full(4, 0.25))


def test_get_and_serialize():
    assert activations.get(None) is activations.linear and activations.get("swish") is activations.silu
    for name in REFERENCES:
        assert activations.serialize(activations.get(name)) == name
        assert activations.deserialize(name) is activations.get(name)
    assert activations.get(abs) is abs
    assert activations.get({"module": "builtins", "class_name": "function", "config": "relu"}) is activations.relu
    with pytest.raises(UnknownNameError, match="Could not interpret activation function identifier: rleu"):
        activations.get("rleu")
