"""What the golden file does not show: state, stateless calls, names and configs of metrics."""

import numpy as np
import pytest

from graphkeras import losses, metrics, ops
from graphkeras.ir.dims import symbol
from graphkeras.ir.errors import ArgumentError, UnknownNameError
from graphkeras.ir.spec import TensorSpec
from graphkeras.trace import SymbolicTensor, Variable, trace_call


def test_lists_of_integers():
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state([0, 1, 2], [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert f"{metric.result():.2f}" == "1.00"


def test_mean_of_numbers():
    mean = metrics.Mean()
    for value in range(5):
        mean.update_state(value)
    assert f"{mean.result():.2f}" == "2.00"


def test_result_before_the_first_update_is_zero():
    for cls in (metrics.Mean, metrics.Precision, metrics.AUC, metrics.SparseCategoricalAccuracy):
        assert float(cls().result()) == 0.0


def test_reset_state():
    metric = metrics.MeanSquaredError()
    metric.update_state([1.0], [3.0])
    metric.reset_state()
    assert [float(v) for v in metric.variables] == [0.0, 0.0]


def test_column_of_targets_does_not_broadcast():
    assert float(metrics.RootMeanSquaredError()(np.arange(4.0), np.arange(4.0).reshape(4, 1))) == 0.0
    assert float(metrics.SparseCategoricalAccuracy()(np.array([[1], [0]]), np.eye(2))) == 0.0


def test_stateless_calls_change_nothing():
    metric = metrics.Mean()
    values = metric.stateless_reset_state()
    values = metric.stateless_update_state(values, [2.0, 4.0])
    values = metric.stateless_update_state(values, [6.0])
    assert float(metric.stateless_result(values)) == 4.0
    assert float(metric.result()) == 0.0
    with pytest.raises(ArgumentError, match="one for each of Mean\\(\\).variables"):
        metric.stateless_result(values[:1])


class RootMeanSquare(metrics.Metric):
    def __init__(self, name="rmse", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_weight(name="total", initializer="zeros")
        self.samples = self.add_weight(name="samples", initializer="zeros", dtype="int32")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.one_hot(y_true, num_classes=ops.shape(y_pred)[1])
        self.total.assign_add(ops.sum(ops.square(y_true - y_pred)))
        self.samples.assign_add(ops.shape(y_pred)[0])

    def result(self):
        return ops.sqrt(self.total / ops.cast(self.samples, "float32"))

    def reset_state(self):
        self.total.assign(0.0)
        self.samples.assign(0)


def test_custom_metric_eagerly_and_in_a_trace():
    labels, p = np.array([0, 1, 1]), np.full((3, 2), 0.5, "float32")
    metric = RootMeanSquare()
    assert float(metric(labels, p)) == pytest.approx(np.sqrt(0.5))
    assert [v.name for v in metric.variables] == ["total", "samples"]
    specs = [TensorSpec((symbol("batch"),), "int32"), TensorSpec((symbol("batch"), 2), "float32")]
    graph, result = trace_call(lambda y, q: metric(y, q), specs)
    assert result.spec.shape == () and len(graph.effects) == 2


def test_forgotten_super_is_told_of():
    class Forgets(metrics.Metric):
        def __init__(self):
            self.v = self.add_weight()

    with pytest.raises(RuntimeError, match="forgot to call `super\\(\\).__init__\\(\\)`"):
        Forgets()


def test_variables_of_inner_metrics_and_attributes():
    class Outer(metrics.Metric):
        def __init__(self):
            super().__init__(name="outer")
            self.inner = [metrics.Mean(), metrics.Sum()]
            self.own = Variable(1.0, trainable=False)

    assert len(Outer().variables) == 4


def test_symbolic_call():
    result = metrics.MeanAbsoluteError()(SymbolicTensor((2, 3)), SymbolicTensor((2, 3)))
    assert result.shape == ()


def test_get_by_name_and_config():
    assert type(metrics.get("mae")) is metrics.MeanAbsoluteError
    assert type(metrics.get("binary_accuracy")) is metrics.BinaryAccuracy
    config = metrics.serialize(metrics.BinaryAccuracy(threshold=0.25, name="ba"))
    again = metrics.deserialize(config)
    assert again.threshold == 0.25 and again.name == "ba"
    with pytest.raises(UnknownNameError, match="'sparse_categorical_accuracy'"):
        metrics.get("sparse_categorical_acuracy")


def test_every_built_in_metric_is_remade_from_its_config():
    for cls in metrics._CLASSES:
        if cls in (metrics.Metric, metrics.MeanMetricWrapper):
            continue
        metric = cls()
        assert cls.from_config(metric.get_config()).get_config() == metric.get_config()


def test_losses_as_metrics_are_to_be_minimised():
    assert metrics.MeanMetricWrapper(losses.mean_squared_error)._direction == "down"
    assert metrics.Accuracy()._direction == "up"


def test_thresholds_are_checked():
    with pytest.raises(ArgumentError, match="must be in \\[0, 1\\]"):
        metrics.Precision(thresholds=[0.5, 1.5])
    with pytest.raises(ArgumentError, match="unknown curve"):
        metrics.AUC(curve="XY")


def test_top_k_takes_k_also_where_predictions_are_equal():
    y_true, y_pred = np.array([1, 0, 1, 1, 1]), np.array([0.2, 0.6, 0.4, 0.2, 0.2])
    for true, predicted in ((y_true, y_pred), (y_true[None], y_pred[None])):
        precision = metrics.Precision(top_k=3)
        precision.update_state(true, predicted, sample_weight=np.array(3))
        assert [float(v.value[0]) for v in precision.variables] == [6.0, 3.0]


def test_binary_accuracy_of_booleans():
    metric = metrics.BinaryAccuracy()
    metric.update_state(np.array([[True], [False], [True]]), np.array([[True], [False], [False]]))
    assert float(metric.result()) == pytest.approx(2 / 3)


def test_ignored_classes_stay_in_the_mean_but_not_with_weights():
    y_true, y_pred = [0, 1, 2], np.array([[0.8, 0.1, 0.1], [0.05, 0.95, 0.0], [0.1, 0.8, 0.1]])
    metric = metrics.SparseCategoricalCrossentropy(ignore_class=0)
    assert float(metric(y_true, y_pred)) == pytest.approx(-(np.log(0.95) + np.log(0.1)) / 3, rel=1e-5)
    metric.reset_state()
    weighted = -(1.5 * np.log(0.95) + 2 * np.log(0.1)) / 3.5
    assert float(metric(y_true, y_pred, sample_weight=[0.5, 1.5, 2.0])) == pytest.approx(weighted, rel=1e-5)


def test_single_counts_are_kept_in_a_variable_named_as_in_keras():
    assert [v.path for v in metrics.FalseNegatives(name="fn").variables] == ["fn/accumulator"]
    assert [v.name for v in metrics.Recall().variables] == ["true_positives", "false_negatives"]
