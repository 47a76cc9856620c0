"""Losses look behind a softmax or sigmoid, eager and traced alike."""

import weakref

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.ir.spec import TensorSpec
from graphkeras.testing.evaluate import evaluate
from graphkeras.trace import Tensor, trace

LOGITS = np.float32([[60.0, 0.0, -60.0], [1.0, 2.0, 3.0]])
LABELS = np.int32([2, 0])
HOT = np.eye(3, dtype="float32")[LABELS]
LOSSES = [
    (
        lambda x: ops.sparse_categorical_crossentropy(LABELS, ops.softmax(x)),
        lambda x: ops.sparse_categorical_crossentropy(LABELS, x, True),
    ),
    (lambda x: ops.categorical_crossentropy(HOT, ops.softmax(x)), lambda x: ops.categorical_crossentropy(HOT, x, True)),
    (lambda x: ops.binary_crossentropy(HOT, ops.sigmoid(x)), lambda x: ops.binary_crossentropy(HOT, x, True)),
]


@pytest.mark.parametrize(("through", "direct"), LOSSES)
def test_the_logits_behind_an_activation_are_used(through, direct):
    eager = through(Tensor(LOGITS)).array
    np.testing.assert_array_equal(eager, direct(Tensor(LOGITS)).array)
    assert eager.max() >= 60  # clipped probabilities would end at 16.1
    graph = trace(through, [TensorSpec(LOGITS.shape)])
    assert all(node.op not in ("softmax", "sigmoid") for node in graph.nodes)
    np.testing.assert_array_equal(evaluate(graph, [LOGITS])[0][0], eager)


def test_probabilities_of_other_origin_are_clipped():
    loss = ops.sparse_categorical_crossentropy(LABELS, ops.softmax(Tensor(LOGITS)) * 1.0)
    np.testing.assert_allclose(loss.array[0], -np.log(1e-7), rtol=1e-5)


def test_a_softmax_over_another_axis_is_not_taken_for_logits():
    p = ops.softmax(Tensor(LOGITS), axis=0)
    assert np.isfinite(ops.sparse_categorical_crossentropy(LABELS, p).array).all()


def test_from_logits_behind_an_activation_warns():
    with pytest.warns(UserWarning, match="received `from_logits=True`, but the `output` argument was produced by a Softmax"):
        ops.categorical_crossentropy(HOT, ops.softmax(Tensor(LOGITS)), from_logits=True)


def test_nothing_is_remembered_longer_than_the_tensor_lives():
    x = Tensor(LOGITS)
    alive = weakref.ref(x)
    y = ops.softmax(x)
    del x
    assert alive() is not None
    del y
    assert alive() is None


def test_gradient_of_a_confident_wrong_answer_does_not_vanish():
    from graphkeras.autodiff import GradientTape

    x = Tensor(LOGITS)
    with GradientTape() as tape:
        tape.watch(x)
        loss = ops.sum(ops.sparse_categorical_crossentropy(LABELS, ops.softmax(x)))
    gradient = tape.gradient(loss, x)
    np.testing.assert_allclose(gradient.array[0], [1, 0, -1], atol=1e-6)
