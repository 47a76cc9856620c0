"""Dataset: a chain of steps over data, backed by NumPy; it can be iterated again and again."""

import random
from collections.abc import Callable, Iterable

import numpy as np

from graphkeras.data.arrays import number_of_samples
from graphkeras.ir.errors import ArgumentError
from graphkeras.trace import Tensor, tree

AUTOTUNE = -1


class Dataset:
    """A sequence of elements (tensors, or nested structures of them) that is made anew at each iteration.

    Example:

    >>> ds = Dataset.from_tensor_slices(([1, 2, 3], [4, 5, 6])).batch(2)
    >>> len(ds), [x.numpy().tolist() for x, y in ds]
    (2, [[1, 2], [3]])
    """

    def __init__(self, make: Callable[[], Iterable], length: int | None = None):
        self._make = make
        self._length = length

    @classmethod
    def from_tensor_slices(cls, tensors) -> "Dataset":
        """One element per entry along the first axes of arrays (or nested structures of arrays)."""
        arrays = _arrays(tensors)
        return _Slices(arrays, number_of_samples(arrays))

    @classmethod
    def from_tensors(cls, tensors) -> "Dataset":
        """A single element."""
        element = tree.map_structure(_tensor, tensors)
        return cls(lambda: iter([element]), 1)

    @classmethod
    def from_generator(cls, generator, output_signature=None, args=None) -> "Dataset":
        """The elements that `generator(*args)` yields; the signature is kept for compatibility."""
        return cls(lambda: (tree.map_structure(_tensor, e) for e in generator(*(args or ()))), None)

    @classmethod
    def range(cls, *args) -> "Dataset":
        """The numbers of Python's `range`, as int64 scalars."""
        numbers = range(*args)
        return cls(lambda: (Tensor(np.int64(n)) for n in numbers), len(numbers))

    @classmethod
    def zip(cls, *datasets) -> "Dataset":
        """Tuples of elements of several datasets, as many as the shortest has."""
        given = tuple(datasets[0]) if len(datasets) == 1 and isinstance(datasets[0], (tuple, list)) else datasets
        lengths = [d._length for d in given]
        return cls(lambda: zip(*given), None if None in lengths else min(lengths))

    def __iter__(self):
        return iter(self._make())

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("The dataset's length is unknown: it was made from a generator or filtered.")
        if self._length == float("inf"):
            raise TypeError("The dataset is infinite.")
        return self._length

    def cardinality(self) -> int:
        """Number of elements; -1 for infinitely many, -2 where it is unknown."""
        return -2 if self._length is None else -1 if self._length == float("inf") else self._length

    def batch(self, batch_size, drop_remainder=False, **kwargs) -> "Dataset":
        """Stacks `batch_size` elements into one; the last batch may be smaller unless `drop_remainder`."""
        _positive("batch_size", batch_size)

        def batches():
            group = []
            for element in self:
                group.append(element)
                if len(group) == batch_size:
                    yield _stacked(group)
                    group = []
            if group and not drop_remainder:
                yield _stacked(group)

        length = self._length
        if length is not None and length != float("inf"):
            length = length // batch_size if drop_remainder else -(-length // batch_size)
        return Dataset(batches, length)

    def unbatch(self) -> "Dataset":
        """The entries along the first axes of the elements."""

        def entries():
            for element in self:
                leaves = tree.flatten(element)
                for i in range(leaves[0].shape[0]):
                    yield tree.map_structure(lambda t, i=i: Tensor.wrap(t.array[i, ...]), element)

        return Dataset(entries)

    def shuffle(self, buffer_size, seed=None, reshuffle_each_iteration=True) -> "Dataset":
        """Elements drawn at random from a buffer that is refilled in order."""
        _positive("buffer_size", buffer_size)
        start = random.randint(1, 10**9) if seed is None else int(seed)
        rounds = [0]

        def shuffled():
            generator = np.random.default_rng([start, rounds[0]])
            if reshuffle_each_iteration:
                rounds[0] += 1
            buffer = []
            for element in self:
                if len(buffer) < buffer_size:
                    buffer.append(element)
                    continue
                place = int(generator.integers(len(buffer)))
                element, buffer[place] = buffer[place], element
                yield element
            for place in generator.permutation(len(buffer)):
                yield buffer[place]

        return Dataset(shuffled, self._length)

    def map(self, map_func, num_parallel_calls=None, deterministic=None) -> "Dataset":
        """`map_func` applied to each element; the parts of a tuple are separate arguments."""

        def mapped():
            for element in self:
                result = map_func(*element) if isinstance(element, tuple) else map_func(element)
                yield tree.map_structure(_tensor, tuple(result) if isinstance(result, list) else result)

        return Dataset(mapped, self._length)

    def filter(self, predicate) -> "Dataset":
        """The elements for which `predicate` is true."""
        keep = lambda e: bool(predicate(*e) if isinstance(e, tuple) else predicate(e))
        return Dataset(lambda: (e for e in self if keep(e)))

    def take(self, count) -> "Dataset":
        """The first `count` elements; all where it is -1."""
        if count < 0:
            return self

        def taken():
            if count:
                for i, element in enumerate(self):
                    yield element
                    if i + 1 >= count:
                        return

        return Dataset(taken, None if self._length is None else min(count, self._length))

    def skip(self, count) -> "Dataset":
        """All but the first `count` elements."""
        length = self._length
        length = length if length in (None, float("inf")) else max(length - count, 0)
        return Dataset(lambda: (e for i, e in enumerate(self) if i >= count), length)

    def repeat(self, count=None) -> "Dataset":
        """The elements `count` times over; for ever where it is None or -1."""
        endless = count is None or count < 0

        def repeated():
            rounds = 0
            while endless or rounds < count:
                any_element = False
                for element in self:
                    any_element = True
                    yield element
                rounds += 1
                if not any_element:
                    return

        if endless:
            return Dataset(repeated, float("inf"))
        return Dataset(repeated, None if self._length is None else self._length * count)

    def concatenate(self, dataset) -> "Dataset":
        """The elements of this dataset, then those of another."""
        lengths = (self._length, dataset._length)

        def both():
            yield from self
            yield from dataset

        return Dataset(both, None if None in lengths else sum(lengths))

    def enumerate(self, start=0) -> "Dataset":
        """Pairs of number and element."""
        return Dataset(lambda: ((Tensor(np.int64(i)), e) for i, e in enumerate(self, start)), self._length)

    def cache(self, filename="") -> "Dataset":
        """The same elements, kept in memory after the first iteration."""
        kept = []

        def cached():
            if not kept:
                kept.append(list(self))
            return iter(kept[0])

        return Dataset(cached, self._length)

    def prefetch(self, buffer_size) -> "Dataset":
        """The dataset itself: its elements are made when they are needed."""
        return self

    def as_numpy_iterator(self):
        """Iterates with NumPy arrays in place of tensors."""
        return (tree.map_structure(lambda t: t.numpy(), element) for element in self)

    def __repr__(self):
        length = "unknown" if self._length is None else self._length
        return f"<Dataset of {length} elements>"


class _Slices(Dataset):
    """Slices of arrays: whole batches are cut at once."""

    def __init__(self, arrays, count):
        self.arrays = arrays
        super().__init__(lambda: (self._part(i) for i in range(count)), count)

    def _part(self, which):
        return tree.map_structure(lambda a: Tensor.wrap(np.asarray(a[which])), self.arrays)

    def batch(self, batch_size, drop_remainder=False, **kwargs):
        _positive("batch_size", batch_size)
        count = self._length - self._length % batch_size if drop_remainder else self._length
        starts = range(0, count, batch_size)
        return Dataset(lambda: (self._part(slice(s, min(s + batch_size, count))) for s in starts), len(starts))


def _positive(name, value):
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ArgumentError(f"`{name}` must be a positive integer.", got=f"{name}={value!r}")


def _arrays(structure):
    """Arrays in dicts and tuples; a list is one array, as in tf.data."""
    if isinstance(structure, dict):
        return {key: _arrays(value) for key, value in structure.items()}
    if isinstance(structure, tuple):
        return tuple(map(_arrays, structure))
    return Tensor(structure).array


def _tensor(value):
    return value if isinstance(value, Tensor) or value is None else Tensor(value)


def _stacked(elements):
    return tree.map_structure(lambda *parts: Tensor.wrap(np.stack([p.array for p in parts])), *elements)
