"""Wrong data and arguments are told of, with the names of what is wrong, before anything is changed."""

import numpy as np
import pytest

from graphkeras import data, layers, models
from graphkeras.ir.errors import ArgumentError, DataError, UnknownNameError

X = np.random.default_rng(0).normal(size=(20, 8)).astype("float32")
Y = np.arange(20) % 4


def model(**compile_arguments):
    made = models.Sequential([layers.Input((8,), name="pixels"), layers.Dense(4, activation="softmax", name="head")])
    made.compile(**{"optimizer": "sgd", "loss": "sparse_categorical_crossentropy", **compile_arguments})
    return made


def raises(error, call, *texts):
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    for part in (*texts, "got:", "where:"):
        assert part in text, text
    assert "test_data_errors.py" in text or "head" in text


def fit_raises(x, y, *texts, error=DataError):
    made = model()
    before = [w.copy() for w in made.get_weights()]
    raises(error, lambda: made.fit(x, y, verbose=0), *texts)
    for old, new in zip(before, made.get_weights()):
        np.testing.assert_array_equal(old, new)
    assert int(made.optimizer.iterations) == 0


def test_empty_data():
    fit_raises(X[:0], Y[:0], "The data is empty", "x: (0, 8)")


def test_no_data():
    fit_raises(None, None, "There is no data")


def test_different_lengths_name_both_arrays():
    fit_raises(X, Y[:10], "x and y have different numbers of samples", "x: (20, 8), y: (10,)")


def test_different_lengths_name_the_parts_of_dicts():
    made = model()
    raises(DataError, lambda: made.fit({"a": X, "b": X[:3]}, Y, verbose=0), "x['a'] and x['b']")


def test_object_array():
    fit_raises(np.array([[1.0], [2.0, 3.0]], dtype=object), Y[:2], "an object array of shape (2,) that holds list", "pad sequences")


def test_ragged_list():
    fit_raises([[1.0, 2.0], [3.0]], Y[:2], "cannot be used as data")


def test_strings():
    fit_raises(np.array([["a"] * 8] * 20), Y, "does not hold numbers", "<U1")


def test_single_number():
    fit_raises(np.float32(3.0), Y, "x is a single number")


def test_nan_label():
    fit_raises(X, np.where(Y == 3, np.nan, Y), "Label nan is not a class number", "y[3] = nan (5 such labels in 20)")


def test_fractional_label():
    fit_raises(X, Y + 0.5, "Label 0.5 is not a class number", "categorical_crossentropy")


def test_label_out_of_range():
    fit_raises(X, Y + 2, "Label 4 is out of range", "y[2] = 4", "integers in [0, 4)", "6 units")


def test_negative_label():
    fit_raises(X, Y - 1, "Label -1 is out of range", "y[0] = -1")


def test_label_out_of_range_in_a_dataset():
    made = model()
    dataset = data.Dataset.from_tensor_slices((X, Y + 2)).batch(10)
    raises(DataError, lambda: made.fit(dataset, verbose=0), "Label 4 is out of range")
    raises(DataError, lambda: made.evaluate(dataset, verbose=0), "Label 4 is out of range")


def test_label_out_of_range_on_a_batch():
    raises(DataError, lambda: model().train_on_batch(X, Y + 2), "Label 4 is out of range")


def test_wrong_features_name_the_input():
    fit_raises(X[:, :5], Y, "'sequential", "x of shape (20, 5)", "shape (samples, 8)", "input layer 'pixels'")


def test_wrong_features_in_predict():
    raises(DataError, lambda: model().predict(X[:, :5], verbose=0), "shape (samples, 8)")


def test_unknown_loss_names_close_ones():
    raises(UnknownNameError, lambda: model(loss="mean_squared_eror"), "Unknown loss: 'mean_squared_eror'", "'mean_squared_error'")


def test_unknown_metric_names_close_ones():
    raises(UnknownNameError, lambda: model(metrics=["accuraccy"]), "Unknown metric", "did you mean 'accuracy'")


def test_unknown_optimizer_names_close_ones():
    raises(UnknownNameError, lambda: model(optimizer="adamm"), "Unknown optimizer: 'adamm'", "did you mean 'Adam'")


def test_metrics_must_be_a_list():
    raises(ArgumentError, lambda: model(metrics="accuracy"), "Expected `metrics` argument to be a list", "metrics=['accuracy']")


def test_fit_before_compile():
    made = models.Sequential([layers.Input((8,)), layers.Dense(4)])
    raises(ArgumentError, lambda: made.fit(X, Y), "You must call `compile()`")


def test_no_loss():
    made = model(loss=None)
    raises(ArgumentError, lambda: made.fit(X, Y, verbose=0), "No loss to compute", "`loss` argument in `compile()`")


def test_targets_of_another_structure():
    inputs = layers.Input((8,))
    made = models.Model(inputs, [layers.Dense(1, name="a")(inputs), layers.Dense(1, name="b")(inputs)])
    made.compile("sgd", "mse")
    raises(ArgumentError, lambda: made.fit(X, Y, verbose=0), "y_true and y_pred have different structures")


def test_losses_for_another_number_of_outputs():
    inputs = layers.Input((8,))
    made = models.Model(inputs, [layers.Dense(1, name="a")(inputs), layers.Dense(1, name="b")(inputs)])
    made.compile("sgd", ["mse", "mse", "mse"])
    raises(ArgumentError, lambda: made.fit(X, [Y, Y], verbose=0), "`loss` does not match the outputs", "2 entries, one per output")


def test_class_weight_and_sample_weight():
    made = model()
    weights = np.ones(20)
    call = lambda: made.fit(X, Y, class_weight={0: 2.0}, sample_weight=weights, verbose=0)
    raises(ArgumentError, call, "You cannot `class_weight` and `sample_weight` at the same time")


def test_targets_beside_a_dataset():
    dataset = data.Dataset.from_tensor_slices((X, Y)).batch(10)
    raises(ArgumentError, lambda: model().fit(dataset, Y, verbose=0), "`y` may not be passed")


def test_batch_size_must_be_positive():
    raises(ArgumentError, lambda: model().fit(X, Y, batch_size=0, verbose=0), "batch_size must be a positive integer")


def test_validation_split_too_small():
    raises(ArgumentError, lambda: model().fit(X[:1], Y[:1], validation_split=0.5, verbose=0), "not sufficient to split")


def test_empty_generator():
    raises(DataError, lambda: model().fit(iter(()), verbose=0), "The data is empty")
