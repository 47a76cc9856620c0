"""Callbacks on their own and in training."""

import csv
import io
import math
import re
from contextlib import redirect_stdout

import numpy as np
import pytest

from graphkeras import callbacks, layers, models
from graphkeras.callbacks.callback import wants_batches
from graphkeras.callbacks.progress_bar import Progbar
from graphkeras.ir.errors import ArgumentError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 4)).astype("float32"), RNG.integers(0, 2, (40, 1)).astype("float32")


def model(rate=0.1):
    made = models.Sequential([layers.Input((4,)), layers.Dense(1, activation="sigmoid")])
    made.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    made.optimizer.learning_rate = rate
    return made


def test_every_hook_is_called_in_order():
    hooks = ["train_begin", "epoch_begin", "train_batch_begin", "train_batch_end", "test_begin", "test_batch_begin"]
    hooks += ["test_batch_end", "test_end", "epoch_end", "train_end"]
    calls = []
    recorded = {f"on_{name}": (lambda self, *args, name=name: calls.append(name)) for name in hooks}
    every = type("Every", (callbacks.Callback,), recorded)()
    model().fit(X, Y, batch_size=40, epochs=1, validation_data=(X, Y), validation_batch_size=40, verbose=0, callbacks=[every])
    assert calls == hooks
    assert every.params == {"verbose": 0, "epochs": 1, "steps": 1} and every.model is not None


def test_only_overridden_batch_hooks_ask_for_batches():
    class Epochs(callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            pass

    class Old(callbacks.Callback):
        def on_batch_end(self, batch, logs):
            pass

    assert not wants_batches(Epochs(), "train")
    assert wants_batches(Old(), "train") and not wants_batches(Old(), "test")
    assert wants_batches(callbacks.LambdaCallback(on_train_batch_end=print), "train")
    assert not callbacks.CallbackList([Epochs()], add_progbar=True, verbose=1, epochs=1, steps=1).wants_batches("train")


def test_early_stopping_and_best_weights():
    stop = callbacks.EarlyStopping(monitor="loss", patience=1, mode="max", restore_best_weights=True, verbose=1)
    made = model()
    before = made.get_weights()
    with redirect_stdout(io.StringIO()) as out:
        history = made.fit(X, Y, epochs=10, shuffle=False, verbose=0, callbacks=[stop])
    assert history.epoch == [0, 1]
    assert "Epoch 2: early stopping" in out.getvalue() and "best epoch: 1." in out.getvalue()
    assert not np.array_equal(before[0], made.get_weights()[0])


def test_early_stopping_takes_the_direction_from_the_metric():
    stop = callbacks.EarlyStopping(monitor="val_accuracy", patience=2)
    model(0.0).fit(X, Y, epochs=6, validation_data=(X, Y), verbose=0, callbacks=[stop])
    assert stop.monitor_op(2, 1) and stop.stopped_epoch == 2


def test_unknown_direction_and_missing_metric():
    with pytest.raises(ArgumentError, match="mode='max'"):
        model().fit(X, Y, verbose=0, callbacks=[callbacks.EarlyStopping(monitor="speed")])
    with pytest.warns(UserWarning, match="Early stopping conditioned on metric `val_loss` which is not available"):
        model().fit(X, Y, verbose=0, callbacks=[callbacks.EarlyStopping()])


def test_reduce_lr_on_plateau():
    reduce = callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_lr=0.02, mode="max", cooldown=0)
    made = model(0.08)
    history = made.fit(X, Y, epochs=6, shuffle=False, verbose=0, callbacks=[reduce]).history
    np.testing.assert_allclose(history["learning_rate"], [0.08, 0.08, 0.04, 0.02, 0.02, 0.02], rtol=1e-6)
    with pytest.raises(ArgumentError, match="factor >= 1.0"):
        callbacks.ReduceLROnPlateau(factor=1.0)


def test_learning_rate_scheduler():
    made = model()
    for schedule in (lambda epoch: 0.1 / (epoch + 1), lambda epoch, rate: 0.1 / (epoch + 1)):
        history = made.fit(X, Y, epochs=3, verbose=0, callbacks=[callbacks.LearningRateScheduler(schedule)]).history
        np.testing.assert_allclose(history["learning_rate"], [0.1, 0.05, 0.1 / 3], rtol=1e-6)
    with pytest.raises(ArgumentError, match="should be a float"):
        made.fit(X, Y, verbose=0, callbacks=[callbacks.LearningRateScheduler(lambda epoch: 1)])


def test_terminate_on_nan():
    bad = X.copy()
    bad[5] = np.nan
    with redirect_stdout(io.StringIO()) as out:
        history = model().fit(bad, Y, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    assert out.getvalue() == "Batch 1: Invalid loss, terminating training\n" and len(history.epoch) == 1
    assert math.isnan(history.history["loss"][0])
    with pytest.raises(RuntimeError, match="at batch 1"):
        model().fit(bad, Y, batch_size=4, shuffle=False, verbose=0, callbacks=[callbacks.TerminateOnNaN(raise_error=True)])


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    made = model()
    made.fit(X, Y, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(path)])
    made.fit(X, Y, epochs=1, verbose=0, callbacks=[callbacks.CSVLogger(path, append=True)])
    rows = list(csv.DictReader(path.open()))
    assert [r["epoch"] for r in rows] == ["0", "1", "0"]
    assert list(rows[0]) == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"] and rows[0]["val_loss"] == "NA"


def plain(text):
    return re.sub(r"\x1b\[\d+m|\x08", "", text)


def printed(call):
    with redirect_stdout(io.StringIO()) as out:
        call()
    return out.getvalue()


def test_line_per_epoch():
    text = printed(lambda: model().fit(X, Y, epochs=2, batch_size=4, validation_data=(X, Y), verbose=2))
    lines = text.splitlines()
    assert lines[0] == "Epoch 1/2" and len(lines) == 4
    number = r"\d\.\d{4}(e-\d\d)?"
    pattern = rf"10/10 - \d+s - \d+[mu]?s/step - accuracy: {number} - loss: {number} - val_accuracy: {number} - val_loss: {number}"
    assert re.fullmatch(pattern, lines[1])


def test_bar_ends_full_and_silence_is_silent():
    text = plain(printed(lambda: model().fit(X, Y, epochs=2, batch_size=4, verbose=1)))
    last = text.splitlines()[-1]
    assert last.startswith("10/10 " + "━" * 20) and " - loss: " in last
    assert printed(lambda: model().fit(X, Y, verbose=0)) == ""
    assert "Epoch" not in printed(lambda: model().fit(X, Y, epochs=1, verbose=1))


def test_evaluate_and_predict_bars():
    made = model()
    assert " - loss: " in plain(printed(lambda: made.evaluate(X, Y))).splitlines()[-1]
    assert plain(printed(lambda: made.predict(X))).splitlines()[-1].startswith("2/2 " + "━" * 20)


def test_progbar_of_unknown_length_and_averages():
    def run():
        bar = Progbar(None, interval=0)
        bar.update(1, [("loss", 1.0)])
        bar.update(3, [("loss", 4.0)])

    assert "3/Unknown" in plain(printed(run)) and "loss: 3.0000" in printed(run)
    with pytest.raises(ArgumentError, match="Only one of"):
        Progbar(3, stateful_metrics=["a"], stateless_metrics=["b"])
