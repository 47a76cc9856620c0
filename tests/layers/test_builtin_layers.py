import numpy as np
import pytest

from graphkeras import layers, ops
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.layers.masks import get_mask, set_mask
from graphkeras.trace import Tensor
from tests.layers.check_layer import check_layer, run

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.uniform(0.1, 1.0, shape).astype("float32") * RNG.choice([-1, 1], shape).astype("float32")


CASES = {
    "dense": (layers.Dense, {"units": 4, "activation": "tanh"}, draw(3, 5), (3, 4), {"weights": 2, "order": 2}),
    "dense_no_bias": (layers.Dense, {"units": 2, "use_bias": False}, draw(3, 2, 5), (3, 2, 2), {"weights": 1}),
    "identity": (layers.Identity, {}, draw(3, 5), (3, 5), {}),
    "activation": (layers.Activation, {"activation": "relu"}, draw(3, 5), (3, 5), {}),
    "flatten": (layers.Flatten, {}, draw(3, 2, 5), (3, 10), {"masks": False}),
    "flatten_vector": (layers.Flatten, {}, draw(3), (3, 1), {"masks": False}),
    "flatten_channels_first": (layers.Flatten, {"data_format": "channels_first"}, draw(3, 2, 5), (3, 10), {"masks": False}),
    "reshape": (layers.Reshape, {"target_shape": (5, 2)}, draw(3, 10), (3, 5, 2), {"masks": False}),
    "reshape_free": (layers.Reshape, {"target_shape": (-1, 2)}, draw(3, 10), (3, 5, 2), {"masks": False}),
    "permute": (layers.Permute, {"dims": (2, 1)}, draw(3, 4, 2), (3, 2, 4), {"masks": False}),
    "repeat": (layers.RepeatVector, {"n": 3}, draw(2, 4), (2, 3, 4), {"masks": False}),
    "rescaling": (layers.Rescaling, {"scale": 2.0, "offset": 1.0}, draw(2, 4), (2, 4), {}),
    "rescaling_channels": (layers.Rescaling, {"scale": [1.0, 2.0], "offset": [0.0, 1.0]}, draw(2, 2), (2, 2), {}),
    "dropout": (layers.Dropout, {"rate": 0.5, "seed": 1}, draw(4, 20), (4, 20), {"seeds": 1, "training_differs": True}),
    "dropout_shared": (
        layers.Dropout,
        {"rate": 0.5, "noise_shape": (None, 1), "seed": 1},
        draw(9, 20),
        (9, 20),
        {"seeds": 1, "training_differs": True},
    ),
    "dropout_zero": (layers.Dropout, {"rate": 0}, draw(4, 5), (4, 5), {}),
    "spatial_1d": (
        layers.SpatialDropout1D,
        {"rate": 0.5, "seed": 1},
        draw(4, 3, 8),
        (4, 3, 8),
        {"seeds": 1, "training_differs": True},
    ),
    "spatial_2d": (
        layers.SpatialDropout2D,
        {"rate": 0.5, "seed": 1},
        draw(4, 2, 2, 8),
        (4, 2, 2, 8),
        {"seeds": 1, "training_differs": True},
    ),
    "spatial_3d": (
        layers.SpatialDropout3D,
        {"rate": 0.5, "seed": 1},
        draw(4, 2, 2, 1, 8),
        (4, 2, 2, 1, 8),
        {"seeds": 1, "training_differs": True},
    ),
    "gaussian_noise": (layers.GaussianNoise, {"stddev": 0.5}, draw(4, 5), (4, 5), {"seeds": 1, "training_differs": True}),
    "gaussian_dropout": (layers.GaussianDropout, {"rate": 0.5}, draw(4, 5), (4, 5), {"seeds": 1, "training_differs": True}),
    "alpha_dropout": (layers.AlphaDropout, {"rate": 0.5}, draw(4, 5), (4, 5), {"seeds": 1, "training_differs": True}),
    "activity": (layers.ActivityRegularization, {"l2": 0.1}, draw(4, 5), (4, 5), {}),
    "relu": (layers.ReLU, {"max_value": 0.5, "negative_slope": 0.1, "threshold": 0.05}, draw(4, 5), (4, 5), {}),
    "leaky_relu": (layers.LeakyReLU, {"negative_slope": 0.2}, draw(4, 5), (4, 5), {}),
    "elu": (layers.ELU, {"alpha": 0.5}, draw(4, 5), (4, 5), {}),
    "prelu": (layers.PReLU, {"alpha_initializer": "ones", "shared_axes": [1]}, draw(4, 3, 5), (4, 3, 5), {"weights": 1}),
    "softmax": (layers.Softmax, {}, draw(4, 5), (4, 5), {"order": 2}),
    "softmax_axes": (layers.Softmax, {"axis": [1, 2]}, draw(4, 2, 5), (4, 2, 5), {}),
    "masking": (layers.Masking, {"mask_value": 0.0}, draw(4, 2, 5), (4, 2, 5), {"order": 0}),
    "unit_norm": (layers.UnitNormalization, {"axis": [1, 2]}, draw(4, 2, 5), (4, 2, 5), {}),
    "normalization": (layers.Normalization, {"mean": [1.0, 2.0], "variance": [1.0, 4.0]}, draw(4, 2), (4, 2), {}),
    "normalization_invert": (layers.Normalization, {"mean": 1.0, "variance": 4.0, "invert": True}, draw(4, 2), (4, 2), {}),
    "add": (layers.Add, {}, [draw(4, 2), draw(4, 2), draw(4, 2)], (4, 2), {}),
    "add_broadcast": (layers.Add, {}, [draw(4, 2, 3), draw(4, 3)], (4, 2, 3), {}),
    "subtract": (layers.Subtract, {}, [draw(4, 2), draw(4, 2)], (4, 2), {}),
    "multiply": (layers.Multiply, {}, [draw(4, 2), draw(4, 1)], (4, 2), {"order": 2}),
    "average": (layers.Average, {}, [draw(4, 2), draw(4, 2)], (4, 2), {}),
    "maximum": (layers.Maximum, {}, [draw(4, 2), draw(4, 2)], (4, 2), {}),
    "minimum": (layers.Minimum, {}, [draw(4, 2), draw(4, 2)], (4, 2), {}),
    "concatenate": (layers.Concatenate, {"axis": 1}, [draw(4, 2, 3), draw(4, 1, 3)], (4, 3, 3), {}),
    "dot": (layers.Dot, {"axes": (2, 1)}, [draw(4, 2, 3), draw(4, 3, 5)], (4, 2, 5), {}),
    "dot_cosine": (layers.Dot, {"axes": 1, "normalize": True}, [draw(4, 3), draw(4, 3)], (4, 1), {}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_layer(case):
    cls, config, inputs, shape, options = case
    check_layer(cls, config, inputs, shape, **options)


def test_values():
    x, y = np.array([[1.0, -2.0]], "float32"), np.array([[3.0, 5.0]], "float32")
    assert run(layers.Add(), [x, y]).tolist() == [[4.0, 3.0]]
    assert run(layers.Subtract(), [x, y]).tolist() == [[-2.0, -7.0]]
    assert run(layers.Multiply(), [x, y]).tolist() == [[3.0, -10.0]]
    assert run(layers.Average(), [x, y]).tolist() == [[2.0, 1.5]]
    assert run(layers.Maximum(), [x, y]).tolist() == [[3.0, 5.0]]
    assert run(layers.Minimum(), [x, y]).tolist() == [[1.0, -2.0]]
    assert run(layers.Dot(axes=1), [x, y]).tolist() == [[-7.0]]
    assert run(layers.ReLU(max_value=0.5), x).tolist() == [[0.5, 0.0]]
    assert run(layers.LeakyReLU(), x).tolist() == [[1.0, np.float32(-0.6)]]
    assert run(layers.Flatten(data_format="channels_first"), np.arange(4.0).reshape(1, 2, 2)).tolist() == [[0.0, 2.0, 1.0, 3.0]]
    np.testing.assert_allclose(run(layers.UnitNormalization(), y), y / np.sqrt(34.0), rtol=1e-6)
    kernel = np.array([[1.0], [2.0]])
    assert run(layers.Dense(1, kernel_initializer=kernel, bias_initializer="ones"), x).tolist() == [[-2.0]]


def test_functional_forms():
    x, y = np.array([[1.0, 4.0]], "float32"), np.array([[3.0, 2.0]], "float32")
    for name, expected in {
        "add": [[4.0, 6.0]],
        "subtract": [[-2.0, 2.0]],
        "multiply": [[3.0, 8.0]],
        "average": [[2.0, 3.0]],
        "maximum": [[3.0, 4.0]],
        "minimum": [[1.0, 2.0]],
        "concatenate": [[1.0, 4.0, 3.0, 2.0]],
        "dot": [[11.0]],
    }.items():
        assert getattr(layers, name)([x, y]).numpy().tolist() == expected, name


def test_dropout_scales_and_moves_on():
    layer = layers.Dropout(0.25, seed=3)
    x = np.ones((100, 100), "float32")
    first, second = run(layer, x, training=True), run(layer, x, training=True)
    assert set(np.unique(first)) == {0.0, np.float32(1 / 0.75)}
    assert abs((first == 0).mean() - 0.25) < 0.02 and (first != second).any()
    np.testing.assert_array_equal(run(layers.Dropout(0.25, seed=3), x, training=True), first)


def test_spatial_dropout_drops_whole_channels():
    dropped = run(layers.SpatialDropout1D(0.5, seed=0), np.ones((8, 5, 8), "float32"), training=True)
    assert (dropped == dropped[:, :1]).all() and 0 < (dropped == 0).mean() < 1


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(0).standard_normal((400, 400)).astype("float32")
    out = run(layers.AlphaDropout(0.3, seed=1), x, training=True)
    assert abs(out.mean()) < 0.02 and abs(out.var() - 1) < 0.02


def test_gaussian_layers_have_their_moments():
    x = np.ones((300, 300), "float32")
    noise = run(layers.GaussianNoise(0.5, seed=1), x, training=True)
    assert abs(noise.mean() - 1) < 0.01 and abs(noise.std() - 0.5) < 0.01
    scaled = run(layers.GaussianDropout(0.2, seed=1), x, training=True)
    assert abs(scaled.mean() - 1) < 0.01 and abs(scaled.std() - 0.5) < 0.01


def test_masking_and_softmax_mask():
    x = np.array([[[1.0, 2.0], [0.0, 0.0]]], "float32")
    out = layers.Masking()(x)
    assert get_mask(out).numpy().tolist() == [[True, False]]
    probabilities = layers.Softmax()(np.zeros((1, 3), "float32"), mask=np.array([[True, True, False]]))
    assert probabilities.numpy().tolist() == [[0.5, 0.5, 0.0]]


def test_merge_masks():
    a, b = Tensor(np.ones((1, 2, 1), "float32")), Tensor(np.ones((1, 2, 1), "float32"))
    set_mask(a, Tensor(np.array([[True, False]])))
    assert get_mask(layers.Add()([a, b])) is None
    set_mask(b, Tensor(np.array([[False, False]])))
    assert get_mask(layers.Add()([a, b])).numpy().tolist() == [[True, False]]
    assert get_mask(layers.Concatenate()([a, b])).numpy().tolist() == [[False, False]]


def test_normalization_adapts():
    data = np.random.default_rng(0).normal(1000.0, 3.0, (500, 4)).astype("float32")
    layer = layers.Normalization()
    layer.adapt(iter([data[:100], data[100:]]))
    np.testing.assert_allclose(layer.adapt_mean.numpy(), data.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.adapt_variance.numpy(), data.astype("float64").var(0), rtol=1e-4)
    out = run(layer, data)
    assert abs(out.mean()) < 1e-3 and abs(out.std() - 1) < 1e-3
    assert len(layer.trainable_weights) == 0 and int(layer.count.value) == 500
    with pytest.raises(ArgumentError, match="Cannot `adapt`"):
        layers.Normalization(mean=0.0, variance=1.0).adapt(data)
    with pytest.raises(ArgumentError, match="both `mean` and `variance`"):
        layers.Normalization(mean=0.0)


def test_lambda():
    layer = layers.Lambda(lambda x, factor: x * factor, arguments={"factor": 3.0})
    assert layer(np.ones((1, 2))).numpy().tolist() == [[3.0, 3.0]]
    assert layers.Lambda(ops.relu).compute_output_shape((2, 3)) == (2, 3)
    with pytest.warns(UserWarning, match="lambda"):
        config = layer.get_config()
    with pytest.raises(ArgumentError, match="lambda"):
        layers.Lambda.from_config(config)
    again = layers.Lambda.from_config(config, safe_mode=False)
    assert again(np.ones((1, 2))).numpy().tolist() == [[3.0, 3.0]]


def test_activity_regularization_divides_by_the_batch():
    layer = layers.ActivityRegularization(l2=0.1)
    layer(np.ones((4, 5), "float32"))
    assert [round(float(loss), 6) for loss in layer.losses] == [0.5]


@pytest.mark.parametrize(
    "make, error, match",
    [
        (lambda: layers.Dense(0), ArgumentError, "invalid value for `units`"),
        (lambda: layers.Dense(4, unit=3), ArgumentError, "Unrecognized keyword arguments"),
        (lambda: layers.Dropout(1.5), ArgumentError, "between 0 and 1"),
        (lambda: layers.Dropout(0.5, noise_shape=(0,)), ArgumentError, "noise_shape"),
        (lambda: layers.GaussianDropout(1), ArgumentError, "rate=1"),
        (lambda: layers.GaussianNoise(2), ArgumentError, "stddev"),
        (lambda: layers.Reshape((-1, -1)), ArgumentError, "more than one `-1`"),
        (lambda: layers.Permute((0, 1)), ArgumentError, "dims"),
        (lambda: layers.RepeatVector(2.0), DTypeError, "integer value for `n`"),
        (lambda: layers.ReLU(max_value=-1.0), ArgumentError, "max_value"),
        (lambda: layers.LeakyReLU(None), ArgumentError, "negative_slope"),
        (lambda: layers.Dot(axes="x"), ArgumentError, "axes"),
        (lambda: layers.Lambda(3), ArgumentError, "function"),
        (lambda: layers.Input(shape=(-1,)), ArgumentError, "to a shape"),
        (lambda: layers.Input(), ArgumentError, "must pass a `shape`"),
        (lambda: layers.Input(shape=(2,), sparse=True), ArgumentError, "Sparse"),
        (lambda: layers.Input(shape=(2,), batch_shape=(1, 2)), ArgumentError, "both `shape` and `batch_shape`"),
        (lambda: layers.Dense(2)(np.ones(3)), ShapeError, "expected min_ndim=2, found ndim=1"),
        (lambda: layers.Permute((2, 1))(np.ones((2, 3))), ShapeError, "expected ndim=3, found ndim=2"),
        (lambda: layers.Reshape((3,))(np.ones((2, 4))), ShapeError, "reshape"),
        (lambda: layers.Reshape((3, -1))(layers.Input((4,))), ShapeError, "Reshape|reshape"),
        (lambda: layers.Add()(np.ones((2, 3))), ArgumentError, "list of inputs"),
        (lambda: layers.Add()([np.ones((2, 3)), np.ones((2, 4))]), ShapeError, "incompatible shapes"),
        (lambda: layers.Add()([np.ones((2, 3)), np.ones((4, 3))]), ShapeError, "different batch sizes"),
        (lambda: layers.Subtract()([np.ones((2, 3))] * 3), ArgumentError, "exactly 2 inputs"),
        (lambda: layers.Concatenate()([np.ones((2, 3)), np.ones((2, 3, 1))]), ShapeError, "matching shapes"),
        (lambda: layers.Dot(axes=1)([np.ones((2, 3)), np.ones((2, 4))]), ShapeError, "axis values 3"),
        (lambda: layers.Dot(axes=0)([np.ones((2, 3)), np.ones((2, 3))]), ArgumentError, "batch axis"),
        (lambda: layers.Normalization()(layers.Input((None,))), ArgumentError, "known shape"),
    ],
)
def test_errors_have_four_parts(make, error, match):
    with pytest.raises(error, match=match) as caught:
        make()
    text = str(caught.value)
    assert "got:" in text and "where:" in text and "test_builtin_layers.py" in text


def test_normalization_shows_what_it_learned():
    data = np.arange(12.0, dtype="float32").reshape(4, 3)
    layer = layers.Normalization()
    layer.adapt(data)
    np.testing.assert_allclose(layer.mean.numpy(), data.mean(0, keepdims=True))
    np.testing.assert_allclose(layer.variance.numpy(), data.var(0, keepdims=True))
