"""Models of mixed precision: weights stay float32, layers compute in half precision, compiled as op by op."""

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import layers

X = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
Y = np.arange(10) % 3


def trained(policy, **options):
    keras.utils.set_random_seed(2)
    inputs = keras.Input((4,))
    hidden = layers.Dense(5, activation="tanh", dtype=policy)(inputs)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", dtype=policy)(hidden))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", **options)
    before = model.get_weights()
    losses = model.fit(X, Y, epochs=3, batch_size=4, shuffle=False, verbose=0).history["loss"]
    return model, before, losses


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_weights_that_a_layer_reads_in_half_precision_are_trained_in_float32(policy):
    model, before, losses = trained(policy)
    _, _, eager = trained(policy, run_eagerly=True)
    assert all(v.dtype == "float32" for v in model.trainable_variables)
    assert all((new != old).all() for new, old in zip(model.get_weights(), before))
    assert losses[-1] < losses[0] and np.allclose(losses, eager, rtol=5e-3)
    assert model.predict(X, verbose=0).dtype == keras.DTypePolicy(policy).compute_dtype
