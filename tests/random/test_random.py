"""Random functions: distributions, repeatability, and equal numbers eager and traced."""

import math

import numpy as np
import pytest

from graphkeras import random
from graphkeras.ir.dims import symbol
from graphkeras.ir.errors import ArgumentError, DTypeError
from graphkeras.ir.spec import TensorSpec
from graphkeras.random.seed import draw_seed, get_random_seed, make_default_seed, set_random_seed
from graphkeras.testing.evaluate import evaluate
from graphkeras.trace import Tensor, trace

N = 20000
DRAWS = {
    "uniform": lambda **k: random.uniform((7, 11), **k),
    "normal": lambda **k: random.normal((7, 11), mean=1.0, stddev=2.0, **k),
    "truncated_normal": lambda **k: random.truncated_normal((7, 11), **k),
    "randint": lambda **k: random.randint((7, 11), -3, 9, **k),
    "dropout": lambda **k: random.dropout(np.ones((7, 11), "float32"), 0.3, **k),
    "dropout with noise_shape": lambda **k: random.dropout(np.ones((7, 11), "float32"), 0.3, noise_shape=(None, 1), **k),
    "shuffle": lambda **k: random.shuffle(np.arange(77, dtype="float32").reshape(7, 11), axis=1, **k),
    "categorical": lambda **k: random.categorical(np.zeros((7, 3), "float32"), 11, **k),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_repeatable_and_moving_on(draw):
    np.testing.assert_array_equal(draw(seed=5).array, draw(seed=5).array)
    assert (draw(seed=5).array != draw(seed=6).array).any()
    generator = random.SeedGenerator(5)
    first, second = draw(seed=generator), draw(seed=generator)
    np.testing.assert_array_equal(first.array, draw(seed=5).array)
    assert (first.array != second.array).any()


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_traced_draws_are_the_eager_ones(draw):
    generator = random.SeedGenerator(9)
    graph = trace(lambda: draw(seed=generator), [])
    assert any(node.op in ("random_bits", "dropout") for node in graph.nodes)
    outputs, written = evaluate(graph, [])
    np.testing.assert_array_equal(outputs[0], draw(seed=9).array)
    assert [w.tolist() for w in written.values()] == [[9, 1]]
    assert generator.state.numpy().tolist() == [9, 0]  # tracing drew nothing


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform(dtype):
    x = random.uniform((N,), dtype=dtype, seed=1).numpy().astype("float64")
    assert 0 <= x.min() < 0.01 and 0.99 < x.max() < 1
    counts, _ = np.histogram(x, bins=20, range=(0, 1))
    assert ((counts - N / 20) ** 2 / (N / 20)).sum() < 45  # chi square, 19 degrees: 1 in 1000
    assert len(np.unique(x)) > {"float16": 1000, "float32": 19000, "float64": 19999}[dtype]


def test_uniform_never_reaches_its_upper_bound():
    x = random.uniform((N,), 1000.0, 1000.001, seed=3).array
    assert x.min() >= 1000 and x.max() < np.float32(1000.001)


def test_uniform_with_tensor_bounds():
    x = random.uniform((N, 2), Tensor([0.0, 5.0]), Tensor([1.0, 6.0]), seed=3).array
    assert 0 <= x[:, 0].min() and x[:, 0].max() < 1 and 5 <= x[:, 1].min() and x[:, 1].max() <= 6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal(dtype):
    x = np.sort(random.normal((N,), dtype=dtype, seed=2).array)
    assert x.dtype == dtype
    expected = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])
    distance = np.abs(expected - (np.arange(N) + 0.5) / N).max()
    assert distance < 1.95 / math.sqrt(N)  # Kolmogorov-Smirnov: 1 in 1000


def test_normal_mean_and_stddev():
    x = random.normal((N,), mean=3.0, stddev=0.5, seed=4).array
    assert abs(x.mean() - 3) < 0.02 and abs(x.std() - 0.5) < 0.02


def test_truncated_normal():
    x = random.truncated_normal((N,), mean=1.0, stddev=0.5, seed=2).array
    assert x.min() >= 0 and x.max() <= 2 and abs(x.mean() - 1) < 0.02
    assert abs(x.std() - 0.5 * 0.8796) < 0.01


def test_randint():
    x = random.randint((N,), -2, 3, seed=2)
    assert x.dtype == "int32"
    assert np.bincount(x.array + 2).min() > N / 5 * 0.93 and set(x.tolist()) == {-2, -1, 0, 1, 2}
    assert random.randint((3,), 0, 200, dtype="uint8", seed=1).dtype == "uint8"
    wide = random.randint((N,), 0, 2**32, dtype="int64", seed=1).array
    assert wide.max() > 2**31 and wide.min() >= 0


def test_dropout():
    x = np.full((N,), 3.0, "float32")
    y = random.dropout(x, 0.25, seed=1).array
    np.testing.assert_allclose(y[y != 0], 4.0)
    assert abs((y == 0).mean() - 0.25) < 0.015
    assert random.dropout(x, 0.0, seed=1).array is x
    assert not random.dropout(x, 1.0, seed=1).array.any()
    rows = random.dropout(np.ones((100, 8), "float32"), 0.5, noise_shape=(None, 1), seed=1).array
    assert (rows == rows[:, :1]).all() and 0 < (rows[:, 0] == 0).sum() < 100


def test_shuffle_of_an_unknown_size():
    x = np.arange(50, dtype="int32").reshape(25, 2)
    graph = trace(lambda t: random.shuffle(t, seed=3), [TensorSpec((symbol("b"), 2), "int32")])
    shuffled = evaluate(graph, [x])[0][0]
    np.testing.assert_array_equal(shuffled, random.shuffle(x, seed=3).array)
    assert sorted(shuffled[:, 0].tolist()) == x[:, 0].tolist() and (shuffled != x).any()


def test_categorical():
    drawn = random.categorical(np.log(np.float32([[0.2, 0.5, 0.3]])), N, seed=1).array[0]
    np.testing.assert_allclose(np.bincount(drawn) / N, [0.2, 0.5, 0.3], atol=0.015)


def test_a_program_that_draws_advances_the_generator_of_the_process():
    set_random_seed(11)
    first = [random.uniform((3,)).tolist(), random.normal((2,)).tolist(), make_default_seed()]
    set_random_seed(11)
    assert [random.uniform((3,)).tolist(), random.normal((2,)).tolist(), make_default_seed()] == first
    assert first[0] != random.uniform((3,)).tolist()
    assert get_random_seed() == 11


def test_seed_generator_config():
    generator = random.SeedGenerator(7, name="mine")
    again = random.SeedGenerator.from_config(generator.get_config())
    assert again.get_config() == {"seed": 7, "name": "mine"}
    assert again.state.numpy().tolist() == [7, 0] and not again.state.trainable


def test_seeds_beyond_32_bits_wrap():
    assert draw_seed(2**32 + 5).tolist() == [5, 0]


@pytest.mark.parametrize("seed", ["a", 1.5, True])
def test_refused_seeds(seed):
    with pytest.raises(ArgumentError, match="Argument `seed` must be"):
        random.uniform((2,), seed=seed)
    with pytest.raises(ArgumentError, match="Argument `seed` must be an integer"):
        random.SeedGenerator(seed)


def test_refused_arguments():
    with pytest.raises(DTypeError, match="requires a floating point `dtype`"):
        random.uniform((2,), dtype="int32")
    with pytest.raises(DTypeError, match="requires an integer `dtype`"):
        random.randint((2,), 0, 2, dtype="float32")
    with pytest.raises(ArgumentError, match="range is empty"):
        random.randint((2,), 3, 3)
    with pytest.raises(ArgumentError, match="2-D"):
        random.categorical(np.zeros(3, "float32"), 1)
    with pytest.raises(ArgumentError, match="rate 1.5 is out of range"):
        random.dropout(np.ones(3, "float32"), 1.5)
