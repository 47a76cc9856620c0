"""A net of raw ops, variables and a tape, without layers, optimizers or fit: chapter 3 of the book, on real digits."""

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import ops
from graphkeras.datasets import mnist
from graphkeras.debug import flags

BATCH, RATE = 64, 0.2


class Net:
    """Two dense layers and stochastic gradient descent."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.w1 = keras.Variable((rng.normal(size=(784, 96)) * (2 / 784) ** 0.5).astype("float32"), name="w1")
        self.b1 = keras.Variable(np.zeros(96, "float32"), name="b1")
        self.w2 = keras.Variable((rng.normal(size=(96, 10)) * (2 / 96) ** 0.5).astype("float32"), name="w2")
        self.b2 = keras.Variable(np.zeros(10, "float32"), name="b2")
        self.variables = [self.w1, self.b1, self.w2, self.b2]
        self.step = keras.function(self._step)

    def logits(self, images):
        x = ops.reshape(ops.cast(images, "float32") / 255.0, (-1, 784))
        return ops.matmul(ops.relu(ops.matmul(x, self.w1) + self.b1), self.w2) + self.b2

    def _step(self, images, labels):
        with keras.GradientTape() as tape:
            losses = ops.sparse_categorical_crossentropy(labels, self.logits(images), from_logits=True)
            loss = ops.mean(losses)
        for variable, gradient in zip(self.variables, tape.gradient(loss, self.variables), strict=True):
            variable.assign_sub(RATE * gradient)
        return loss


def train(mode, steps, epochs=1):
    (x, y), (x_test, y_test) = mnist.load_sample()
    net, order, losses = Net(), np.random.default_rng(1), []
    with flags.EXECUTION(mode):
        for _ in range(epochs):
            rows = order.permutation(len(x))
            for start in range(0, len(x), BATCH)[:steps]:
                batch = rows[start : start + BATCH]
                losses.append(float(net.step(x[batch], y[batch])))
        predicted = ops.argmax(net.logits(x_test), axis=1).numpy()
    return losses, (predicted == y_test).mean(), net


def test_it_learns_the_digits():
    losses, accuracy, net = train("compiled", None, epochs=5)
    assert accuracy >= 0.93 and losses[-1] < losses[0] / 4
    assert len(net.step.traces) == 1


@pytest.fixture(scope="module")
def compiled():
    return train("compiled", 40)


def test_strict_gives_the_same_bits(compiled):
    losses, accuracy, net = train("strict", 40)
    assert losses == compiled[0] and accuracy == compiled[1]
    for a, b in zip(net.variables, compiled[2].variables, strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


def test_eager_gives_the_same_losses(compiled):
    losses, _, _ = train("eager", 40)
    np.testing.assert_allclose(losses, compiled[0], rtol=1e-4)
