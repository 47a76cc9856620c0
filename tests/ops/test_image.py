import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.ir import TensorSpec, symbol
from graphkeras.ir.errors import ArgumentError, DataError, DTypeError, ShapeError
from graphkeras.testing.gradients import check_gradients
from graphkeras.trace import trace
from tests.ops.families import check_function

RNG = np.random.default_rng(4)
X = RNG.uniform(0, 1, (2, 5, 6, 3)).astype("float32")
AFFINE = np.array([0.9, 0.2, -0.5731, -0.1, 1.1, 0.4519, 0.01, -0.0201], "float32")
CORNERS = np.array([[0.0, 0.0], [0.0, 4.0], [5.0, 0.0], [5.0, 4.0]], "float32")
MOVED = CORNERS + np.array([[0.5, 1.0], [1.0, -0.5], [-1.5, 0.25], [-0.25, -1.0]], "float32")
PLACES = RNG.uniform(0.1, 3.9, (2, 9)).astype("float32")
image = ops.image
FUNCTIONS = {
    "resize": lambda x: image.resize(x, (7, 4)),
    "resize_large": lambda x: image.resize(x, (3, 2), interpolation="lanczos5", antialias=True),
    "resize_crop": lambda x: image.resize(x, (4, 4), crop_to_aspect_ratio=True),
    "resize_pad": lambda x: image.resize(x, (4, 4), pad_to_aspect_ratio=True),
    "scale": lambda x: image.scale_and_translate(x, (x.shape[0] or 2, 7, 4, 3), [1.3, 0.6], [0.4, -0.2], (1, 2), "cubic"),
    "affine": lambda x: image.affine_transform(x, AFFINE, fill_mode="reflect"),
    "affine_wrap": lambda x: image.affine_transform(x, AFFINE, interpolation="nearest", fill_mode="wrap"),
    "perspective": lambda x: image.perspective_transform(x, CORNERS, MOVED),
    "patches": lambda x: image.extract_patches(x, 3, strides=2, padding="same"),
    "pad": lambda x: image.pad_images(x, 1, 2, target_height=9, target_width=12),
    "crop": lambda x: image.crop_images(x, 1, 2, target_height=3, target_width=4),
    "grayscale": lambda x: image.rgb_to_grayscale(x),
    "hsv": lambda x: image.hsv_to_rgb(image.rgb_to_hsv(x)),
    "blur": lambda x: image.gaussian_blur(x, (3, 5), (0.7, 1.5)),
    "sobel": lambda x: image.sobel_edges(x),
    "ssim": lambda x: image.ssim(x, x * x, filter_size=3),
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_compiled_for_any_batch_and_differentiable(name):
    check_function(FUNCTIONS[name], X, batch=name != "scale")
    check_gradients(FUNCTIONS[name], [X], order=1)


def test_signatures_are_those_of_keras():
    golden = json.loads((Path(__file__).parents[1] / "golden" / "keras_signatures.json").read_text())["ops.image"]
    for name, parameters in golden.items():
        ours = inspect.signature(getattr(image, name)).parameters.values()
        assert [[p.name, p.kind.name, None if p.default is p.empty else repr(p.default)] for p in ours] == parameters


@pytest.mark.parametrize("name", ["resize", "affine", "perspective", "patches", "pad", "crop", "blur", "hsv", "grayscale"])
def test_layouts_and_single_images(name):
    whole = FUNCTIONS[name](X).numpy()
    np.testing.assert_allclose(FUNCTIONS[name](X[1]), whole[1], atol=1e-6)
    from graphkeras import config

    config.set_image_data_format("channels_first")
    try:
        first = FUNCTIONS[name](X.transpose(0, 3, 1, 2)).numpy()
    finally:
        config.set_image_data_format("channels_last")
    np.testing.assert_allclose(first.transpose(0, 2, 3, 1), whole, atol=1e-6)


@pytest.mark.parametrize("mode", ["constant", "nearest", "wrap", "mirror", "reflect"])
@pytest.mark.parametrize("order", [0, 1])
def test_what_lies_beyond_the_border(mode, order):
    x = RNG.normal(size=(4, 5)).astype("float32")
    numpys = {"constant": "constant", "nearest": "edge", "wrap": "wrap", "mirror": "reflect", "reflect": "symmetric"}[mode]
    fill = {"constant_values": 0.5} if mode == "constant" else {}
    large = np.pad(x, 12, mode=numpys, **fill)
    places = RNG.uniform(-8, 8, (2, 40)).astype("float32")
    got = check_function(lambda a, p: image.map_coordinates(a, p, order, fill_mode=mode, fill_value=0.5), x, places)[0]
    want = image.map_coordinates(large, places + 12, order)
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_coordinates_of_other_ranks_and_dtypes():
    line = np.arange(6, dtype="int32") * 10
    assert image.map_coordinates(line, [[0.24, 1.5, 4.26]], 1).tolist() == [2, 15, 43]
    cube = RNG.normal(size=(3, 4, 5)).astype("float32")
    at = np.array([[1.0, 2.0], [3.0, 0.0], [2.0, 4.0]], "float32")
    assert np.array_equal(image.map_coordinates(cube, at, 1), cube[[1, 2], [3, 0], [2, 4]])
    check_gradients(lambda a, p: image.map_coordinates(a, p, 1), [X[0, :, :, 0], PLACES])


def test_transforms_have_gradients_in_their_parameters():
    check_gradients(lambda t: image.affine_transform(X.astype("f8"), t), [AFFINE], order=1)
    check_gradients(lambda a, b: image.perspective_transform(X.astype("f8"), a, b), [CORNERS, MOVED], order=1)


def test_the_unit_transform_and_full_size_change_nothing():
    unit = [1.0, 0, 0, 0, 1.0, 0, 0, 0]
    for how in ("nearest", "bilinear"):
        assert np.array_equal(image.affine_transform(X, unit, interpolation=how), X)
        np.testing.assert_allclose(image.perspective_transform(X, CORNERS, CORNERS, interpolation=how), X, atol=1e-4)
    assert np.array_equal(image.resize(X, (5, 6), interpolation="bicubic"), X)


def test_patches_hold_what_they_cover():
    patches = image.extract_patches(X, (2, 3), strides=(1, 2), dilation_rate=(2, 1)).numpy()
    assert patches.shape == (2, 3, 2, 18)
    assert np.array_equal(patches[1, 2, 1].reshape(2, 3, 3), X[1, 2:5:2, 2:5])
    volume = RNG.normal(size=(1, 4, 4, 4, 2)).astype("float32")
    assert np.array_equal(image.extract_patches(volume, (2, 2, 2)), image.extract_patches_3d(volume, 2))


def test_elastic_transform():
    still = image.elastic_transform(X, alpha=0.0, seed=3)
    np.testing.assert_allclose(still, X, atol=1e-6)
    moved = [image.elastic_transform(X, alpha=4.0, sigma=1.0, seed=seed).numpy() for seed in (3, 3, 4)]
    assert np.array_equal(moved[0], moved[1]) and not np.allclose(moved[0], moved[2])
    assert moved[0].min() >= X.min() - 1e-6 and moved[0].max() <= X.max() + 1e-6
    check_function(lambda x: image.elastic_transform(x, alpha=2.0, sigma=1.0, interpolation="nearest", seed=1), X)
    ints = (X * 255).astype("uint8")
    assert image.elastic_transform(ints, seed=1).dtype == "uint8"


def test_integer_images_keep_their_dtype():
    ints = (X * 255).astype("uint8")
    for name in ("resize", "scale", "affine", "pad", "crop", "grayscale", "patches"):
        assert FUNCTIONS[name](ints).dtype == "uint8"
    sharp = np.zeros((1, 4, 4, 1), "uint8")
    sharp[:, 1:3] = 255
    assert image.resize(sharp, (8, 8), interpolation="bicubic").numpy().max() == 255  # the overshoot is cut off


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: image.resize(X[0, 0], (2, 2)), ShapeError),
        (lambda: image.resize(X, (2, 2), interpolation="cubic"), ArgumentError),
        (lambda: image.resize(X, (2, 2), fill_mode="wrap"), ArgumentError),
        (lambda: image.resize(X, (2,)), ArgumentError),
        (lambda: image.resize(X, (2, 2), crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), ArgumentError),
        (lambda: image.resize(X, (2, 2), data_format="NHWC"), ArgumentError),
        (lambda: trace(lambda x: image.resize(x, (2, 2)), [TensorSpec((symbol("n"), symbol("h"), 4, 3))]), ShapeError),
        (lambda: image.affine_transform(X, AFFINE[:6]), ShapeError),
        (lambda: image.affine_transform(X, AFFINE, fill_mode="mirror"), ArgumentError),
        (lambda: image.perspective_transform(X, CORNERS[:3], CORNERS[:3]), ShapeError),
        (lambda: image.perspective_transform(X, CORNERS, CORNERS * 0), DataError),
        (lambda: image.map_coordinates(X[0, :, :, 0], PLACES, 3), ArgumentError),
        (lambda: image.map_coordinates(X, PLACES, 1), ShapeError),
        (lambda: image.map_coordinates(X, PLACES[0], 1), ShapeError),
        (lambda: image.rgb_to_grayscale(X[..., :2]), ArgumentError),
        (lambda: image.rgb_to_hsv((X * 9).astype("int32")), DTypeError),
        (lambda: image.gaussian_blur((X * 9).astype("int32")), DTypeError),
        (lambda: image.extract_patches(X, 0), ArgumentError),
        (lambda: image.pad_images(X, 1, 2), ArgumentError),
        (lambda: image.pad_images(X, 1, 2, target_height=3, target_width=12), ArgumentError),
        (lambda: image.crop_images(X, 1, 2, target_height=9, target_width=2), ArgumentError),
        (lambda: image.sobel_edges(X[0]), ShapeError),
        (lambda: image.elastic_transform(X, interpolation="cubic"), ArgumentError),
    ],
)
def test_errors_have_four_parts(call, error):
    with pytest.raises(error) as caught:
        call()
    assert "got:" in str(caught.value)
