"""How losses and metrics given to `compile` are matched to structures of outputs."""

from collections import namedtuple

import numpy as np
import pytest

from graphkeras import layers, models
from graphkeras.training.compile_loss import CompileLoss
from graphkeras.training.compile_metrics import CompileMetrics

ONES, ZEROS, TWOS = np.ones((4, 3), "float32"), np.zeros((4, 3), "float32"), np.full((4, 3), 2.0, "float32")


def value(loss, y_true, y_pred, **options):
    return float(np.sum(np.asarray(CompileLoss(loss, **options)(y_true, y_pred))))


def test_several_losses_of_one_output():
    assert value(["mse", "mae"], ZEROS, TWOS) == 4 + 2
    assert value({"a": "mse", "b": ["mae", "mse"]}, {"a": ZEROS, "b": ZEROS}, {"a": ONES, "b": TWOS}) == 1 + 2 + 4


def test_losses_in_a_nested_structure():
    y_true = {"a": {"c": ZEROS, "d": ZEROS}, "b": ZEROS}
    y_pred = {"a": {"c": TWOS, "d": TWOS}, "b": ONES}
    loss = CompileLoss({"a": {"c": "mse", "d": "mae"}}, output_names=["c", "d", "b"])
    assert float(loss(y_true, y_pred)) == 4 + 2
    assert [metric.name for metric in loss.metrics] == ["a/c_loss", "a/d_loss"]


def test_a_loss_of_a_structure_gets_the_structure():
    seen = []

    def joint(y_true, y_pred):
        seen.append((type(y_true), sorted(y_pred)))
        return abs(y_pred["c"] + y_pred["d"])

    y_true, y_pred = {"a": {"c": ZEROS, "d": ZEROS}, "b": ZEROS}, {"a": {"c": TWOS, "d": ONES}, "b": ONES}
    assert value({"a": joint, "b": "mse"}, y_true, y_pred) == 3 + 1
    assert seen == [(dict, ["c", "d"])]


def test_named_tuples_and_other_containers():
    Pair = namedtuple("Pair", ["x", "y"])
    assert value(Pair("mse", "mae"), Pair(ZEROS, ZEROS), Pair(TWOS, TWOS)) == 4 + 2
    assert value("mse", ([{"a": ZEROS}, ZEROS],), [({"a": TWOS}, ONES)]) == 4 + 1


def test_weights_in_the_form_of_the_losses():
    y_true, y_pred = {"a": ZEROS, "b": ZEROS}, {"a": ONES, "b": TWOS}
    losses = {"a": "mse", "b": ["mse", "mae"]}
    assert value(losses, y_true, y_pred, loss_weights={"b": [0.5, 2.0]}) == 1 + 0.5 * 4 + 2 * 2
    assert value(losses, y_true, y_pred, loss_weights=[3, 0, 1]) == 3 + 2
    with pytest.raises(ValueError, match="must match the number of losses, got 3 losses and 1 weights"):
        value(losses, y_true, y_pred, loss_weights=[1.0])


@pytest.mark.parametrize(
    "losses, text",
    [
        ({"a": "mse", "c": "mse"}, "can't be found in either the model's output"),
        ({"a": "mse", "b": {"d": "mse"}}, "can't be found in the model's output"),
    ],
)
def test_losses_at_places_that_do_not_exist(losses, text):
    with pytest.raises(KeyError, match=text):
        value(losses, {"a": ZEROS, "b": ZEROS}, {"a": ONES, "b": ONES})


def test_names_that_are_not_outputs():
    with pytest.raises(ValueError, match="Expected keys"):
        value({"c": "mse", "a": "mse"}, [ZEROS, ZEROS], [ONES, ONES], output_names=["a", "b"])
    with pytest.raises(ValueError, match="Invalid `metrics`.*\n.*'c'"):
        CompileMetrics({"c": ["mse"]}, None, output_names=["a", "b"]).build([ZEROS, ZEROS], [ONES, ONES])


def test_targets_for_the_outputs_with_a_loss_alone():
    for losses, y_true in [([None, "mse", None], ZEROS), (["mse", None, "mse"], [ZEROS, ZEROS])]:
        expected = sum(4 if loss else 0 for loss in losses)
        assert value(losses, y_true, [TWOS, TWOS, TWOS], output_names=["a", "b", "c"]) == expected


def test_metrics_in_a_nested_structure():
    metrics = CompileMetrics({"a": "mse", "b": {"c": ["mse"], "d": ["mae", "mse"]}}, None, output_names=["o", "p", "q"])
    metrics.update_state({"a": ZEROS, "b": {"c": ZEROS, "d": ZEROS}}, {"a": ONES, "b": {"c": TWOS, "d": TWOS}})
    results = {name: float(result) for name, result in metrics.result().items()}
    assert results == {"o_mse": 1, "p_mse": 4, "q_mae": 2, "q_mse": 4}


def test_a_model_with_nested_outputs_trains():
    inputs = layers.Input((3,))
    first, second = layers.Dense(3, name="first")(inputs), layers.Dense(3, name="second")(inputs)
    model = models.Model(inputs, {"a": (first, second), "b": first})
    model.compile("sgd", {"a": ("mse", "mae"), "b": ["mse"]}, metrics={"a": ([], ["mse"]), "b": []})
    history = model.fit(ONES, {"a": (ZEROS, TWOS), "b": ZEROS}, verbose=0).history
    assert sorted(history) == ["a/first_loss", "a/second_loss", "b_loss", "loss", "second_mse"]
    parts = history["a/first_loss"][0] + history["a/second_loss"][0] + history["b_loss"][0]
    assert history["loss"][0] == pytest.approx(parts)


def test_functions_are_named_as_in_keras():
    def myMetric(y_true, y_pred):
        return y_pred[..., 0]

    model = models.Sequential([layers.Input((3,)), layers.Dense(3)])
    model.compile("sgd", "mse", metrics=[myMetric, lambda y_true, y_pred: y_true[..., 0]])
    assert sorted(model.fit(ONES, ZEROS, verbose=0).history) == ["lambda", "loss", "my_metric"]
