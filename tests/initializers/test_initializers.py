import math

import numpy as np
import pytest

from graphkeras import Variable, initializers, random
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError, UnknownNameError


def values(initializer, shape=(200, 300), dtype=None):
    return initializer(shape, dtype=dtype).numpy()


def test_constants():
    assert values(initializers.Zeros(), (2,)).tolist() == [0.0, 0.0]
    assert values(initializers.Ones(), (2,), "int32").tolist() == [1, 1]
    assert values(initializers.Constant(3.5), (2,)).tolist() == [3.5, 3.5]
    assert values(initializers.Constant([1.0, 2.0]), (2, 2)).tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert values(initializers.Identity(2.0), (2, 3)).tolist() == [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    with pytest.raises(ShapeError, match="2D matrices"):
        initializers.Identity()((2,))


def test_moments_and_limits():
    normal = values(initializers.RandomNormal(1.0, 0.5, seed=1))
    assert abs(normal.mean() - 1) < 0.01 and abs(normal.std() - 0.5) < 0.01
    cut = values(initializers.TruncatedNormal(1.0, 0.5, seed=1))
    assert abs(cut.mean() - 1) < 0.01 and np.abs(cut - 1).max() <= 1.0
    uniform = values(initializers.RandomUniform(-1.0, 3.0, seed=1))
    assert uniform.min() >= -1 and uniform.max() < 3 and abs(uniform.mean() - 1) < 0.02


@pytest.mark.parametrize(
    "name, variance",
    [
        ("GlorotUniform", 2 / 500),
        ("GlorotNormal", 2 / 500),
        ("HeUniform", 2 / 200),
        ("HeNormal", 2 / 200),
        ("LecunUniform", 1 / 200),
        ("LecunNormal", 1 / 200),
    ],
)
def test_variance_scaling_family(name, variance):
    drawn = values(getattr(initializers, name)(seed=7))
    assert abs(drawn.var() / variance - 1) < 0.02 and abs(drawn.mean()) < 3 * math.sqrt(variance / drawn.size)
    if name.endswith("Uniform"):
        assert np.abs(drawn).max() <= math.sqrt(3 * variance)


def test_modes_and_axes():
    drawn = values(initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=1))
    assert abs(drawn.var() * 300 / 2 - 1) < 0.02
    drawn = values(initializers.VarianceScaling(1.0, seed=1, input_axes=(0, 1), output_axes=2), (20, 30, 40))
    assert abs(drawn.var() * 600 - 1) < 0.05
    assert initializers.random_initializers.compute_fans((3, 3, 16, 32)) == (144, 288)
    assert initializers.random_initializers.compute_fans((5,)) == (5, 5)
    assert initializers.random_initializers.compute_fans(()) == (1, 1)


def test_orthogonal():
    for shape in ((6, 4), (4, 6), (2, 3, 4)):
        matrix = values(initializers.Orthogonal(gain=2.0, seed=1), shape).reshape(-1, shape[-1])
        gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
        np.testing.assert_allclose(gram, 4 * np.eye(min(matrix.shape)), atol=1e-5)
    with pytest.raises(ShapeError, match="at least two-dimensional"):
        initializers.Orthogonal()((3,))


def test_seeds():
    a, b = initializers.GlorotUniform(seed=3), initializers.GlorotUniform(seed=3)
    np.testing.assert_array_equal(values(a), values(b))
    np.testing.assert_array_equal(values(a), values(a))
    assert (values(initializers.GlorotUniform()) != values(initializers.GlorotUniform())).any()
    moving = initializers.RandomNormal(seed=random.SeedGenerator(1))
    assert (values(moving) != values(moving)).any()
    random_seeded = []
    for _ in range(2):
        random.seed.set_random_seed(5)
        random_seeded.append(values(initializers.get("he_normal")))
    np.testing.assert_array_equal(*random_seeded)
    with pytest.raises(ArgumentError, match="`seed` argument"):
        initializers.GlorotUniform(seed="x")


def test_dtypes():
    assert values(initializers.RandomNormal(seed=1), (2,), "float16").dtype == np.float16
    assert Variable(initializers.GlorotNormal(seed=1), (2, 2), "bfloat16").dtype == "bfloat16"
    with pytest.raises(DTypeError, match="makes floats"):
        initializers.RandomNormal()((2,), dtype="int32")


def test_get_and_configs():
    for name in (
        "glorot_uniform",
        "GlorotUniform",
        "normal",
        "zeros",
        "zero",
        "one",
        "he_normal",
        "identity",
        "orthogonal",
        "uniform",
    ):
        initializer = initializers.get(name)
        again = initializers.deserialize(initializers.serialize(initializer))
        assert type(again) is type(initializer) and again.get_config() == initializer.get_config(), name
    assert initializers.get(None) is None
    assert type(initializers.get(initializers.Ones)) is initializers.Ones
    same = initializers.Ones()
    assert initializers.get(same) is same
    assert initializers.get(lambda shape, dtype=None: 0)((1,)) == 0
    given = initializers.get(np.eye(2))
    assert given((2, 2), "float32").dtype == "float32"
    with pytest.raises(ShapeError, match="equal that of the given values"):
        given((3, 3))
    with pytest.raises(UnknownNameError, match="nothing"):
        initializers.get("nothing")
    with pytest.raises(UnknownNameError, match="Could not interpret initializer"):
        initializers.get(3)
    assert initializers.VarianceScaling(2.0, seed=4).clone().get_config()["scale"] == 2.0


@pytest.mark.parametrize("options", [{"scale": 0}, {"mode": "fan"}, {"distribution": "x"}])
def test_wrong_arguments(options):
    with pytest.raises(ArgumentError, match="got:"):
        initializers.VarianceScaling(**options)
