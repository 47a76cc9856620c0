"""What the golden file does not show: shapes, masks, errors, names and configs of losses."""

import numpy as np
import pytest

from graphkeras import losses, ops
from graphkeras.ir.errors import ArgumentError, ShapeError, UnknownNameError
from graphkeras.trace import SymbolicTensor, Tensor


def test_column_of_targets_does_not_broadcast_against_a_row():
    loss = losses.MeanSquaredError()
    assert float(loss(np.zeros(4), np.ones((4, 1)))) == 1.0
    assert float(loss(np.arange(4.0).reshape(4, 1), np.arange(4.0))) == 0.0


def test_sparse_labels_as_column_row_floats_and_small_integers():
    p = np.array([[0.1, 0.9], [0.8, 0.2]], "float32")
    loss = losses.SparseCategoricalCrossentropy()
    expected = float(loss(np.array([1, 0]), p))
    for labels in (np.array([[1], [0]]), np.array([1.0, 0.0]), np.array([1, 0], "uint8"), [1, 0]):
        assert float(loss(labels, p)) == expected


def test_label_out_of_range_names_value_and_position():
    with pytest.raises(ValueError, match="3.*position 1") as caught:
        losses.SparseCategoricalCrossentropy()(np.array([0, 3]), np.full((2, 3), 1 / 3, "float32"))
    assert "[0, 3)" in str(caught.value)


def test_ignored_class_leaves_the_mean_of_the_others():
    p = np.array([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]], "float32")
    ignoring = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    assert float(ignoring([1, -1, 0], p)) == pytest.approx(-(np.log(0.9) + np.log(0.5)) / 2, rel=1e-5)


def test_mask_of_predictions():
    from graphkeras.layers.masks import set_mask

    predictions = Tensor([[1.0], [2.0], [5.0]])
    set_mask(predictions, Tensor([True, True, False]))
    assert float(losses.MeanSquaredError()(np.zeros((3, 1)), predictions)) == 2.5
    summed = losses.MeanSquaredError(reduction="sum")
    assert float(summed(np.zeros((3, 1)), predictions)) == 5.0


def test_sample_weights_of_wrong_shape():
    with pytest.raises(ShapeError, match="sample weights do not fit"):
        losses.MeanSquaredError()(np.zeros((3, 2)), np.ones((3, 2)), sample_weight=np.ones(4))


def test_reduction_must_exist():
    with pytest.raises(ArgumentError, match="`reduction`"):
        losses.MeanSquaredError(reduction="average")


def test_dtype_is_that_of_the_result():
    assert losses.MeanSquaredError(dtype="float16")(np.zeros(3), np.ones(3)).dtype == "float16"
    assert losses.MeanSquaredError()(np.zeros(3), np.ones(3)).dtype == "float32"


def test_symbolic_loss_is_a_scalar():
    loss = losses.CategoricalCrossentropy()(SymbolicTensor((None, 3)), SymbolicTensor((None, 3)))
    assert loss.shape == () and loss.dtype == "float32"


def test_get_by_name_class_callable_and_config():
    assert losses.get("mse") is losses.mean_squared_error is losses.get("MSE")
    assert losses.get("SparseCategoricalCrossentropy").name == "sparse_categorical_crossentropy"
    assert isinstance(losses.get(losses.Huber), losses.Huber)
    assert losses.get(None) is None
    config = losses.serialize(losses.Huber(delta=0.5, reduction="sum"))
    again = losses.deserialize(config)
    assert type(again) is losses.Huber and again.get_config() == {
        "name": "huber_loss", "reduction": "sum", "delta": 0.5,
    }  # fmt: skip
    assert losses.deserialize("binary_crossentropy") is losses.binary_crossentropy


def test_every_built_in_loss_is_remade_from_its_config():
    for cls in losses._CLASSES[2:]:
        loss = cls()
        assert cls.from_config(loss.get_config()).get_config() == loss.get_config()


def test_unknown_name_shows_close_ones():
    with pytest.raises(UnknownNameError, match="did you mean.*'binary_crossentropy'"):
        losses.get("binary_crossentropie")
    with pytest.raises(ArgumentError, match="Could not interpret loss identifier"):
        losses.get(3)


def test_wrapped_function_keeps_its_arguments():
    def scaled(y_true, y_pred, factor):
        return factor * ops.mean(ops.abs(y_true - y_pred), axis=-1)

    loss = losses.LossFunctionWrapper(scaled, name="scaled", factor=3.0)
    assert float(loss(np.zeros((2, 2)), np.ones((2, 2)))) == 3.0


def test_confident_wrong_answer_keeps_its_loss():
    logits = Tensor([[0.0, 60.0]])
    loss = losses.SparseCategoricalCrossentropy()([0], ops.softmax(logits))
    assert float(loss) == pytest.approx(60.0, rel=1e-5)


def test_a_loss_of_the_whole_batch_is_scaled_by_sample_weights():
    loss = losses.get(lambda y_true, y_pred: ops.mean(ops.square(y_true - y_pred)))
    wrapped = losses.LossFunctionWrapper(loss)
    assert float(wrapped(np.zeros((4, 1)), np.full((4, 1), 2.0), sample_weight=np.array([0.0, 1.0, 2.0, 3.0]))) == 4 * 1.5
