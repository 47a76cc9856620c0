"""Dataset and the sources that fit makes of data."""

import numpy as np
import pytest

from graphkeras import config, data
from graphkeras.data import arrays
from graphkeras.data.sources import ArraySource, make_source
from graphkeras.ir.errors import ArgumentError, DataError
from graphkeras.trace import Tensor


def listed(dataset):
    return [x.tolist() if isinstance(x, Tensor) else tuple(p.tolist() for p in x) for x in dataset]


def test_slices_batch_and_iterate_again():
    dataset = data.Dataset.from_tensor_slices((np.arange(5), np.arange(5) * 2)).batch(2)
    expected = [([0, 1], [0, 2]), ([2, 3], [4, 6]), ([4], [8])]
    assert listed(dataset) == expected == listed(dataset)
    assert len(dataset) == 3 == dataset.cardinality()
    assert listed(data.Dataset.from_tensor_slices(np.arange(5)).batch(2, drop_remainder=True)) == [[0, 1], [2, 3]]


def test_slices_of_dicts_yield_tensors():
    (first, *_) = data.Dataset.from_tensor_slices({"a": [1.0, 2.0], "b": [3, 4]})
    assert isinstance(first["a"], Tensor) and float(first["a"]) == 1.0 and first["b"].dtype == "int32"


def test_map_filter_take_skip_repeat_concatenate_zip():
    numbers = data.Dataset.range(6)
    assert listed(numbers.map(lambda x: x * 2).filter(lambda x: x > 3).take(2)) == [4, 6]
    assert listed(numbers.skip(4).repeat(2)) == [4, 5, 4, 5]
    assert listed(data.Dataset.zip(numbers, numbers.skip(3))) == [(0, 3), (1, 4), (2, 5)]
    assert len(numbers.concatenate(numbers)) == 12
    assert listed(numbers.batch(4).unbatch()) == [0, 1, 2, 3, 4, 5]
    assert listed(numbers.repeat().take(8)) == [0, 1, 2, 3, 4, 5, 0, 1]


def test_map_of_pairs_gets_two_arguments():
    dataset = data.Dataset.from_tensor_slices(([1, 2], [3, 4])).map(lambda x, y: (x + y, y))
    assert listed(dataset) == [(4, 3), (6, 4)]


def test_shuffle_is_a_seeded_permutation_that_changes():
    dataset = data.Dataset.range(20).shuffle(8, seed=3)
    first, second = listed(dataset), listed(dataset)
    assert sorted(first) == list(range(20)) and first != second != list(range(20))
    assert listed(data.Dataset.range(20).shuffle(8, seed=3)) == first
    assert first[0] < 9  # only what was in the buffer can come first


def test_lengths_that_are_not_known():
    with pytest.raises(TypeError, match="unknown"):
        len(data.Dataset.range(3).filter(lambda x: True))
    with pytest.raises(TypeError, match="infinite"):
        len(data.Dataset.range(3).repeat())


def test_from_generator_and_cache_and_enumerate():
    calls = []

    def numbers():
        calls.append(1)
        yield from (np.float32(1), np.float32(2))

    dataset = data.Dataset.from_generator(numbers).cache()
    assert listed(dataset) == [1.0, 2.0] == listed(dataset) and len(calls) == 1
    assert listed(dataset.enumerate()) == [(0, 1.0), (1, 2.0)]


def test_wrong_batch_size_and_lengths():
    with pytest.raises(ArgumentError, match="`batch_size` must be a positive integer"):
        data.Dataset.range(3).batch(0)
    with pytest.raises(DataError, match="different numbers of samples"):
        data.Dataset.from_tensor_slices((np.zeros(3), np.zeros(4)))


def test_dtypes_as_in_keras():
    assert arrays.to_array(np.zeros(2)).dtype == np.float32
    assert arrays.to_array(np.zeros(2, "float16")).dtype == np.float32
    for kept in ("int64", "uint8", "bool", "int32"):
        assert arrays.to_array(np.zeros(2, kept)).dtype == kept
    assert arrays.to_array(np.zeros(2, ">f4")).dtype == np.dtype("float32")


def test_class_weights():
    assert arrays.class_weight_to_sample_weights([0, 1, 2, 1], {1: 3.0}).tolist() == [1, 3, 1, 3]
    assert arrays.class_weight_to_sample_weights(np.eye(2), {1: 3.0}).tolist() == [1, 3]
    assert arrays.class_weight_to_sample_weights([[0], [1]], {0: 0.5}).tolist() == [0.5, 1]


def test_epochs_with_steps_go_on_where_the_last_ended():
    source = ArraySource(np.arange(10.0), batch_size=2, steps=2)
    assert [list(source.epoch_batches()[1]) for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.warns(UserWarning, match="after 1 of 2 steps"):
        assert list(source.epoch_batches()[1]) == [4]
    assert list(source.epoch_batches()[1]) == [0, 1]


def test_shuffle_batch_keeps_batches_together():
    source = ArraySource(np.arange(10.0), batch_size=4, shuffle="batch")
    order, _ = source.epoch_batches()
    assert sorted(order) == list(range(10)) and order[8:].tolist() == [8, 9]
    assert order[:4].tolist() in ([0, 1, 2, 3], [4, 5, 6, 7])


def test_batch_size_from_steps():
    assert ArraySource(np.zeros(10), steps=3).batch_size == 4
    assert ArraySource(np.zeros(100)).batch_size == 32


def test_sample_weight_is_repeated_for_outputs():
    source = make_source(np.zeros((4, 1)), [np.zeros(4), np.zeros(4)], np.ones(4))
    assert len(source.data[2]) == 2
    with pytest.raises(ArgumentError, match="one number per sample"):
        make_source(np.zeros((4, 1)), [np.zeros(4), np.zeros(4)], np.ones((4, 3)))


def test_packing():
    assert data.unpack_x_y_sample_weight(([1, 2], 3)) == ([1, 2], 3, None)
    assert data.pack_x_y_sample_weight([1]) == ([1],)
    with pytest.raises(ArgumentError, match="tuple of 4"):
        data.unpack_x_y_sample_weight((1, 2, 3, 4))


def test_an_exhausted_generator_is_told_of():
    source = make_source(batch for batch in [(np.ones((2, 3)), np.ones((2, 1)))])
    assert len(list(source.epoch())) == 1
    with pytest.warns(UserWarning, match="Your input ran out of data"):
        assert list(source.epoch()) == []


def test_limits_for_trying_out():
    try:
        config.set_max_steps_per_epoch(2)
        with pytest.warns(UserWarning, match="Limiting steps_per_epoch to 2"):
            source = make_source(np.ones((100, 3)))
    finally:
        config.set_max_steps_per_epoch(None)
    assert (source.num_batches, source.batch_size) == (2, 32)
