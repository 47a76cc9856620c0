"""20 steps of training, bit for bit: strict = compiled, 1 = 2 = 3 = 8 threads. (`tests/training/test_bits.py` has the perceptron.)"""

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import ops
from graphkeras.autodiff import GradientTape
from graphkeras.debug import flags
from graphkeras.runtime import team
from graphkeras.trace import Variable

STEPS, BATCH = 20, 16


def weights(rng, **shapes):
    made = {name: Variable(rng.normal(0, 0.3, shape).astype("float32"), name=name) for name, shape in shapes.items()}
    return made, [Variable(np.zeros(shape, "float32"), name=f"{name}_velocity") for name, shape in shapes.items()]


def descend(tape, loss, variables, velocities, rate=0.05):
    for v, m, g in zip(variables, velocities, tape.gradient(loss, variables)):
        m.assign(0.9 * m - rate * g)
        v.assign(v + m)


def convolutional(rng):
    """Two convolutions with batch normalisation and running moments, pooling, a dense layer, dropout."""
    w, velocities = weights(
        rng, k1=(3, 3, 2, 6), g1=(6,), b1=(6,), k2=(3, 3, 6, 8), g2=(8,), b2=(8,), d=(72, 5), c=(5,)
    )  # fmt: skip
    running = [Variable(np.zeros(n, "float32")) for n in (6, 6, 8, 8)]
    seeds = keras.random.SeedGenerator(7)

    def normalised(x, gain, shift, moments):
        mean, variance = ops.moments(x, axes=[0, 1, 2])
        for kept, new in zip(moments, (mean, variance)):
            kept.assign(0.9 * kept + 0.1 * new)
        return ops.batch_normalization(x, mean, variance, axis=-1, offset=shift, scale=gain, epsilon=1e-3)

    def step(x, y):
        with GradientTape() as tape:
            h = ops.relu(normalised(ops.conv(x, w["k1"], padding="same"), w["g1"], w["b1"], running[:2]))
            h = ops.max_pool(h, 2)
            h = ops.relu(normalised(ops.conv(h, w["k2"], padding="valid"), w["g2"], w["b2"], running[2:]))
            h = keras.random.dropout(ops.reshape(h, (-1, 72)), 0.3, seed=seeds)
            logits = ops.matmul(h, w["d"]) + w["c"]
            loss = ops.mean(ops.sparse_categorical_crossentropy(y, logits, from_logits=True))
        descend(tape, loss, list(w.values()), velocities)
        return loss

    x = rng.normal(size=(STEPS * BATCH - 5, 10, 10, 2)).astype("float32")
    y = (np.abs(x).sum((1, 2, 3)) * 3).astype("int32") % 5
    return step, x, y, [*w.values(), *velocities, *running, seeds.state]


def recurrent(rng):
    """An LSTM cell scanned over the time axis, with a loss on the last state."""
    units, features = 12, 5
    w, velocities = weights(rng, kernel=(features, 4 * units), recurrent=(units, 4 * units), bias=(4 * units,), out=(units, 1))

    def step(x, y):
        with GradientTape() as tape:
            zeros = ops.zeros_like(ops.matmul(x[:, 0], w["kernel"]))[:, :units]

            def cell(state, now):
                h, c = state
                gates = ops.matmul(now, w["kernel"]) + ops.matmul(h, w["recurrent"]) + w["bias"]
                i, f, g, o = ops.split(gates, 4, axis=-1)
                c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
                h = ops.sigmoid(o) * ops.tanh(c)
                return (h, c), h

            (last, _), states = ops.scan(cell, (zeros, zeros), ops.transpose(x, (1, 0, 2)))
            error = ops.matmul(last, w["out"])[:, 0] - y
            loss = ops.mean(error * error) + 1e-3 * ops.mean(ops.square(states))
        descend(tape, loss, list(w.values()), velocities)
        return loss

    x = rng.normal(size=(STEPS * BATCH - 5, 7, features)).astype("float32")
    return step, x, np.tanh(x.sum((1, 2))).astype("float32"), [*w.values(), *velocities]


NETS = {"convolutional": convolutional, "recurrent": recurrent}


def train(net, mode, threads):
    """All losses and the last value of every variable; the last batch is smaller."""
    step, x, y, variables = NETS[net](np.random.default_rng(1))
    step = keras.function(step)
    before = team.get_num_threads()
    team.set_num_threads(threads)
    try:
        with flags.EXECUTION(mode):
            losses = [step(x[i : i + BATCH], y[i : i + BATCH]).numpy() for i in range(0, len(x), BATCH)]
    finally:
        team.set_num_threads(before)
    assert len(losses) == STEPS
    return np.array(losses), [v.numpy().copy() for v in variables]


@pytest.fixture(scope="module", params=NETS)
def trained(request):
    return request.param, train(request.param, "compiled", 1)


def test_it_learns(trained):
    losses, _ = trained[1]
    assert losses[-5:].mean() < losses[:5].mean()


@pytest.mark.parametrize(
    ("mode", "threads"), [("compiled", 2), ("compiled", 3), ("compiled", 8), ("strict", 1), ("strict", 3)]
)
def test_same_bits(trained, mode, threads):
    net, (losses, variables) = trained
    got_losses, got = train(net, mode, threads)
    assert got_losses.tobytes() == losses.tobytes()
    for a, b in zip(got, variables, strict=True):
        assert a.tobytes() == b.tobytes()


def test_close_to_the_interpreter(trained):
    net, (losses, variables) = trained
    got_losses, got = train(net, "eager", 1)
    np.testing.assert_allclose(got_losses, losses, rtol=1e-2, atol=1e-3)
    for a, b in zip(got, variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-2 * max(1, np.abs(b).max()))
