"""fit, evaluate and predict over every kind of data, in every mode of execution."""

import random
import warnings

import numpy as np
import pytest

from graphkeras import callbacks, config, data, layers, metrics, models, ops
from graphkeras.debug import flags

RNG = np.random.default_rng(3)
X = RNG.normal(size=(50, 6)).astype("float32")
Y = RNG.integers(0, 3, 50)
MODES = pytest.mark.parametrize("mode", ["eager", "compiled", "strict"])


def model(seed=0, **compile_arguments):
    made = models.Sequential(
        [layers.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(3, activation="softmax")]
    )
    rng = np.random.default_rng(seed)
    made.set_weights([rng.normal(size=w.shape).astype("float32") * 0.4 for w in made.get_weights()])
    arguments = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    made.compile(**{**arguments, **compile_arguments})
    return made


def trained(mode, *args, **kwargs):
    random.seed(5)
    with flags.EXECUTION(mode):
        made = model()
        history = made.fit(*args, verbose=0, **kwargs).history
    return history, made.get_weights()


def test_shuffled_batches_are_the_same_in_every_mode():
    runs = [trained(mode, X, Y, epochs=3, batch_size=16) for mode in ("compiled", "strict", "eager")]
    for (history, weights), (other_history, other_weights) in zip(runs, runs[1:]):
        assert list(history) == list(other_history)
        for name in history:
            np.testing.assert_allclose(history[name], other_history[name], rtol=1e-5)
        for a, b in zip(weights, other_weights):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for a, b in zip(runs[0][1], runs[1][1]):
        np.testing.assert_array_equal(a, b)  # compiled and strict: the same bits


def test_shuffling_depends_on_the_seed():
    random.seed(1)
    first = model().fit(X, Y, epochs=2, verbose=0).history
    random.seed(1)
    assert model().fit(X, Y, epochs=2, verbose=0).history == first
    random.seed(2)
    assert model().fit(X, Y, epochs=2, verbose=0).history != first


@MODES
def test_dataset_equals_arrays(mode):
    with flags.EXECUTION(mode):
        arrays = model().fit(X, Y, epochs=2, batch_size=16, shuffle=False, verbose=0).history
        dataset = data.Dataset.from_tensor_slices((X, Y)).batch(16)
        made = model()
        found = made.fit(dataset, epochs=2, validation_data=dataset, verbose=0).history
        np.testing.assert_allclose(found["loss"], arrays["loss"], rtol=1e-6)
        assert len(found["val_loss"]) == 2
        np.testing.assert_allclose(made.predict(dataset, verbose=0), made.predict(X, batch_size=16, verbose=0), rtol=1e-6)


def test_generator_with_steps():
    def batches():
        while True:
            for start in (0, 16, 32):
                yield X[start : start + 16], Y[start : start + 16]

    history = model().fit(batches(), epochs=2, steps_per_epoch=3, verbose=0).history
    expected = model().fit(X[:48], Y[:48], epochs=2, batch_size=16, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-6)


def test_generator_that_ends_warns():
    with pytest.warns(UserWarning, match="ran out of data; interrupting the epoch after 2 of 3 steps"):
        model().fit(iter([(X[:8], Y[:8])] * 2), steps_per_epoch=3, verbose=0)


def test_py_dataset():
    class Batches(data.PyDataset):
        ends = 0

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return X[index * 16 : index * 16 + 16], Y[index * 16 : index * 16 + 16]

        def on_epoch_end(self):
            self.ends += 1

    batches = Batches()
    history = model().fit(batches, epochs=2, shuffle=False, verbose=0).history
    expected = model().fit(X[:48], Y[:48], epochs=2, batch_size=16, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-6)
    assert batches.ends == 2


def test_validation_split_takes_the_last_part():
    split = model().fit(X, Y, shuffle=False, validation_split=0.2, verbose=0).history
    given = model().fit(X[:40], Y[:40], shuffle=False, validation_data=(X[40:], Y[40:]), verbose=0).history
    assert split == given


def test_validation_freq_and_initial_epoch():
    history = model().fit(X, Y, epochs=5, initial_epoch=1, validation_data=(X, Y), validation_freq=2, verbose=0)
    assert history.epoch == [1, 2, 3, 4]
    assert len(history.history["loss"]) == 4 and len(history.history["val_loss"]) == 2


def test_class_weights_are_sample_weights():
    by_class = model().fit(X, Y, class_weight={0: 2.0, 2: 0.5}, shuffle=False, verbose=0).history
    by_sample = model().fit(X, Y, sample_weight=np.array([2.0, 1.0, 0.5])[Y], shuffle=False, verbose=0).history
    assert by_class == by_sample


def test_weighted_metrics():
    weights = np.linspace(0, 1, 50)
    made = model(metrics=["accuracy"], weighted_metrics=["accuracy"])
    logs = made.evaluate(X, Y, sample_weight=weights, verbose=0, return_dict=True)
    hits = (made.predict(X, verbose=0).argmax(-1) == Y).astype(float)
    np.testing.assert_allclose(logs["accuracy"], hits.mean(), rtol=1e-5)
    np.testing.assert_allclose(logs["weighted_accuracy"], (hits * weights).sum() / weights.sum(), rtol=1e-5)


def test_one_trace_serves_all_batch_sizes():
    made = model()
    made.fit(X, Y, batch_size=16, verbose=0)  # the last batch has 2 samples
    made.fit(X, Y, batch_size=7, verbose=0)
    made.evaluate(X, Y, batch_size=9, verbose=0)
    assert len(made._step("train").compiled) == 1 and len(made._step("test").compiled) == 1


def test_new_dtype_means_a_new_trace():
    made = model()
    made.fit(X, Y, verbose=0)
    made.fit(X, Y.astype("uint8"), verbose=0)
    assert len(made._step("train").compiled) == 2


def test_learning_rate_change_needs_no_new_trace():
    made = model(optimizer="sgd")
    made.fit(X, Y, verbose=0)
    made.optimizer.learning_rate = 0.0
    before = made.get_weights()
    made.fit(X, Y, verbose=0)
    assert len(made._step("train").compiled) == 1
    for a, b in zip(before, made.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_frozen_layer_after_compile_is_not_trained():
    made = model()
    made.fit(X, Y, verbose=0)
    made.layers[0].trainable = False
    made.compile("adam", "sparse_categorical_crossentropy")
    before = made.get_weights()
    made.fit(X, Y, verbose=0)
    after = made.get_weights()
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(before[2], after[2])


@MODES
def test_batch_hooks_see_every_batch(mode):
    seen = []

    class Seen(callbacks.Callback):
        def on_train_batch_begin(self, batch, logs):
            seen.append(("begin", batch))

        def on_train_batch_end(self, batch, logs):
            seen.append((batch, logs["loss"]))

    with flags.EXECUTION(mode):
        history = model().fit(X, Y, batch_size=20, verbose=0, callbacks=[Seen()]).history
    assert [s[0] for s in seen] == ["begin", 0, "begin", 1, "begin", 2]
    assert seen[-1][1] == pytest.approx(history["loss"][0])
    assert all(isinstance(loss, float) for _, loss in seen[1::2])


def test_legacy_batch_hook_without_default():
    losses = []

    class Losses(callbacks.Callback):
        def on_batch_end(self, batch, logs):
            losses.append(logs.get("loss"))

    model().fit(X, Y, batch_size=10, verbose=0, callbacks=[Losses()])
    assert len(losses) == 5


@MODES
def test_stop_training_within_an_epoch(mode):
    class Stop(callbacks.Callback):
        batches = 0

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1
            self.model.stop_training = self.batches == 2

    stop = Stop()
    with flags.EXECUTION(mode):
        history = model().fit(X, Y, batch_size=10, epochs=3, verbose=0, callbacks=[stop])
    assert stop.batches == 2 and history.epoch == [0]


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_steps_per_execution_groups_batches(run_eagerly):
    """Hooks get the first and the last number of a group, that of the last group as if it were whole."""

    class Watch(callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.numbers = []

        def on_train_batch_begin(self, batch, logs=None):
            self.numbers.append(batch)

        on_train_batch_end = on_test_batch_begin = on_test_batch_end = on_train_batch_begin
        on_predict_batch_begin = on_predict_batch_end = on_train_batch_begin

    made = model(steps_per_execution=2, run_eagerly=run_eagerly)
    for run in (made.fit, made.evaluate, lambda x, y, **options: made.predict(x, **options)):
        watch = Watch()
        run(X, Y, batch_size=10, verbose=0, callbacks=[watch])
        assert watch.numbers == [0, 1, 2, 3, 4, 5]
    assert made.optimizer.iterations.numpy() == 5
    np.testing.assert_array_equal(made.predict(X, batch_size=10, callbacks=[watch], verbose=0), made.predict(X, verbose=0))


def test_decisions_on_values_run_eagerly_with_one_warning():
    class Decides(models.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3, activation="softmax")

        def call(self, inputs):
            if ops.sum(inputs) > 0:
                return self.dense(inputs)
            return self.dense(-inputs)

    made = Decides()
    made.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.warns(UserWarning) as caught:
        history = made.fit(X, Y, epochs=2, verbose=0)
    texts = [str(w.message) for w in caught]
    assert len(texts) == 1 and "runs op by op" in texts[0] and "test_fit.py" in texts[0]
    assert history.history["loss"][1] < history.history["loss"][0]


def test_run_eagerly_is_quiet_and_runs_python_each_step():
    calls = []

    class Counts(models.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3, activation="softmax")

        def call(self, inputs):
            calls.append(type(inputs).__name__)
            return self.dense(inputs)

    made = Counts()
    made.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.fit(X, Y, batch_size=25, verbose=0)
    assert calls.count("Tensor") == 2


def test_on_batch_methods():
    made, other = model(), model()
    expected = other.evaluate(X, Y, batch_size=50, verbose=0)
    np.testing.assert_allclose(made.test_on_batch(X, Y), expected, rtol=1e-6)
    np.testing.assert_allclose(made.train_on_batch(X, Y), expected, rtol=1e-6)
    assert set(made.train_on_batch(X, Y, return_dict=True)) == {"loss", "accuracy"}
    np.testing.assert_allclose(made.predict_on_batch(X), made.predict(X, verbose=0), rtol=1e-5)


def test_predict_of_nested_outputs():
    inputs = layers.Input((6,))
    made = models.Model(inputs, {"a": layers.Dense(1)(inputs), "b": [layers.Dense(2)(inputs)]})
    outputs = made.predict(X, batch_size=16, verbose=0)
    assert outputs["a"].shape == (50, 1) and outputs["b"][0].shape == (50, 2)
    batchwise = callbacks.LambdaCallback(on_predict_batch_end=lambda batch, logs: None)
    again = made.predict(X, batch_size=16, verbose=0, callbacks=[batchwise])
    np.testing.assert_array_equal(outputs["a"], again["a"])


def test_added_losses_and_regularizers_count():
    class Adds(layers.Layer):
        def call(self, inputs):
            self.add_loss(ops.mean(ops.square(inputs)))
            return inputs

    made = models.Sequential([layers.Input((6,)), Adds(), layers.Dense(2, kernel_regularizer="l2")])
    made.compile("sgd", "mse")
    targets = np.zeros((50, 2), "float32")
    kernel = made.get_weights()[0]
    mse = np.square(made.predict(X, verbose=0)).mean()
    expected = mse + np.square(X).mean() + 0.01 * np.square(kernel).sum()
    assert made.evaluate(X, targets, batch_size=50, verbose=0) == pytest.approx(expected, rel=1e-4)


def test_metrics_in_layers_are_shown():
    class Watches(layers.Layer):
        def __init__(self):
            super().__init__()
            self.size = metrics.Mean(name="size")

        def call(self, inputs):
            self.size.update_state(ops.mean(ops.abs(inputs)))
            return inputs

    made = models.Sequential([layers.Input((6,)), Watches(), layers.Dense(1)])
    made.compile("sgd", "mse")
    history = made.fit(X, np.zeros(50, "float32"), batch_size=50, shuffle=False, epochs=2, verbose=0).history
    np.testing.assert_allclose(history["size"], [np.abs(X).mean()] * 2, rtol=1e-5)


def test_error_in_a_step_leaves_that_step_undone():
    def batches():
        yield X[:10], Y[:10]
        yield X[:10], Y[:10] + 2

    made, one = model(), model()
    with pytest.raises(ValueError, match="out of range"):
        made.fit(batches(), verbose=0)
    one.fit(X[:10], Y[:10], batch_size=10, shuffle=False, verbose=0)
    for a, b in zip(made.get_weights(), one.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_epochs_may_be_limited():
    try:
        config.set_max_epochs(2)
        with pytest.warns(UserWarning, match="Limiting epochs to 2"):
            history = model().fit(X, Y, epochs=5, verbose=0)
    finally:
        config.set_max_epochs(None)
    assert history.epoch == [0, 1]
