"""Sources: one interface to everything that `fit`, `evaluate` and `predict` take as data."""

import random
import warnings
from collections.abc import Iterator

import numpy as np

from graphkeras import config
from graphkeras.data.arrays import arrays_of, class_weight_to_sample_weights, is_array_like, number_of_samples
from graphkeras.data.dataset import Dataset
from graphkeras.data.packing import pack_x_y_sample_weight, unpack_x_y_sample_weight
from graphkeras.data.py_dataset import Batches, PyDataset
from graphkeras.ir.errors import ArgumentError, DataError
from graphkeras.trace import tree


class ArraySource:
    """Arrays, cut into batches.

    Args:
        x, y, sample_weight: arrays or nested structures of them, as `arrays_of` returns them.
        batch_size: samples per batch; by default 32, or what `steps` gives.
        steps: number of batches per epoch; all where None.
        shuffle: whether each epoch has an order of its own; "batch" shuffles within batches.

    Attributes:
        data: the arrays as one batch (nested).
        num_batches: number of batches per epoch.
        available: number of batches that the arrays have.
    """

    def __init__(self, x, y=None, sample_weight=None, batch_size=None, steps=None, shuffle=False):
        self.count = number_of_samples(x, y, sample_weight)
        self.data = pack_x_y_sample_weight(x, y, sample_weight)
        if batch_size is not None and (not isinstance(batch_size, (int, np.integer)) or batch_size < 1):
            raise ArgumentError("batch_size must be a positive integer.", got=f"batch_size={batch_size!r}", expected="e.g. 32")
        self.batch_size = int(batch_size or (-(-self.count // steps) if steps else 32))
        self.available = -(-self.count // self.batch_size)
        self.num_batches = steps or self.available
        self.shuffle = shuffle
        self._order, self._next = None, 0
        # Keras seeds its data order from the global seed; `random` is what set_random_seed sets.
        self._generator = np.random.default_rng(random.randint(1, 10**9)) if shuffle else None

    @property
    def first(self):
        """A batch to build models with."""
        return tree.map_structure(lambda a: None if a is None else a[: self.batch_size], self.data)

    def reset(self) -> None:
        """The next epoch begins with the first batch."""
        self._next = 0

    def epoch_batches(self) -> tuple[np.ndarray | None, range]:
        """The order of samples and the numbers of the batches of the next epoch.

        With a number of steps per epoch, an epoch goes on where the last one ended; at the end of the arrays a new round begins.
        """
        if self._next == 0:
            self._order = self._new_order()
        first = self._next
        last = min(first + self.num_batches, self.available)
        if last - first < self.num_batches:
            _warn_of_end(last - first, self.num_batches)
        self._next = 0 if last == self.available else last
        return self._order, range(first, last)

    def _new_order(self) -> np.ndarray | None:
        if not self.shuffle:
            return None
        if self.shuffle != "batch":
            return self._generator.permutation(self.count)
        whole = self.count - self.count % self.batch_size
        numbers = np.arange(self.count)
        batches = self._generator.permutation(whole // self.batch_size)
        return np.concatenate([numbers[:whole].reshape(-1, self.batch_size)[batches].reshape(-1), numbers[whole:]])

    def batch(self, number: int, order: np.ndarray | None):
        """Batch `number` in an order."""
        start = number * self.batch_size
        which = slice(start, min(start + self.batch_size, self.count))
        which = which if order is None else order[which]
        return tree.map_structure(lambda a: None if a is None else a[which], self.data)


class IterableSource:
    """Batches from a dataset, generator or other iterable.

    Args:
        batches: a `Dataset`, `PyDataset`, generator, iterator, or an iterable that can be iterated again.
        steps: number of batches per epoch; all where None.
        shuffle: whether the batches of a `PyDataset` are shuffled.
        class_weight: see `class_weight_to_sample_weights`.
    """

    def __init__(self, batches, steps=None, shuffle=False, class_weight=None):
        self._batches, self._steps, self._class_weight = batches, steps, class_weight
        self._shuffle = shuffle and isinstance(batches, PyDataset)
        self._generator = np.random.default_rng(random.randint(1, 10**9)) if self._shuffle else None
        self._once = isinstance(batches, Iterator)
        self._iterator = None
        self._first = None

    @property
    def num_batches(self) -> int | None:
        """Number of batches per epoch, where it is known."""
        if self._steps:
            return self._steps
        if isinstance(self._batches, PyDataset):
            return self._batches.num_batches
        if isinstance(self._batches, Dataset):
            count = self._batches.cardinality()
            return count if count >= 0 else None
        try:
            return len(self._batches)
        except TypeError:
            return None

    @property
    def first(self):
        """The first batch of the next epoch."""
        if self._first is None:
            self._start()
            try:
                self._first = (next(self._iterator),)
            except StopIteration:
                raise DataError(
                    "The data is empty.",
                    got=f"{type(self._batches).__name__} without a batch",
                    expected="at least one batch",
                    mend="check the generator or dataset; a generator can be iterated only once",
                ) from None
        return self._converted(self._first[0])

    def _start(self):
        # With a number of steps an epoch goes on where the last one ended, for sources that do not end by themselves.
        if self._iterator is not None and (self._once or self._steps):
            return
        source = self._batches
        if isinstance(source, PyDataset):
            source.on_epoch_begin()
            count = source.num_batches
            order = self._generator.permutation(count) if self._shuffle and count is not None else None
            source = Batches(source, order)
        self._iterator = iter(source)

    def epoch(self):
        """The batches of one epoch."""
        if self._first is None:
            self._start()
        done = 0
        restarted = False
        while self._steps is None or done < self._steps:
            if self._first is not None:
                batch, self._first = self._first[0], None
            else:
                try:
                    batch = next(self._iterator)
                except StopIteration:
                    self._iterator = iter(()) if self._once else None
                    if self._steps is None or self._once or restarted or isinstance(self._batches, PyDataset):
                        break
                    # A dataset that can be iterated again goes on from its start.
                    restarted = True
                    self._start()
                    continue
            restarted = False
            done += 1
            yield self._converted(batch)
        if self._steps is None and not self._once:
            self._iterator = None
        if isinstance(self._batches, PyDataset):
            self._batches.on_epoch_end()
        if self._steps and done < self._steps:
            _warn_of_end(done, self._steps)
        elif self._once and not done:
            _warn_of_end(done, "all")

    def reset(self) -> None:
        """The next epoch begins anew, where the source can be iterated again."""
        if not self._once and self._first is None:
            self._iterator = None

    def _converted(self, batch):
        if is_array_like(batch):
            return arrays_of(batch, "x")
        x, y, sample_weight = (
            None if part is None else arrays_of(part, name)
            for name, part in zip(("x", "y", "sample_weight"), unpack_x_y_sample_weight(batch))
        )
        if self._class_weight is not None and y is not None:
            sample_weight = class_weight_to_sample_weights(y, self._class_weight)
        number_of_samples(x, y, sample_weight)
        return pack_x_y_sample_weight(x, y, sample_weight)


def _warn_of_end(done, wanted):
    warnings.warn(
        f"Your input ran out of data; interrupting the epoch after {done} of {wanted} steps. Make sure that your dataset or "
        "generator can generate at least `steps_per_epoch * epochs` batches.",
        stacklevel=4,
    )


def make_source(
    x, y=None, sample_weight=None, batch_size=None, steps=None, shuffle=False, class_weight=None
) -> ArraySource | IterableSource:
    """The source for what was passed to `fit`, `evaluate` or `predict`.

    Raises:
        ArgumentError: for arguments that do not go together.
        DataError: for data that cannot be used.
    """
    if class_weight is not None and sample_weight is not None:
        raise ArgumentError(
            "You cannot `class_weight` and `sample_weight` at the same time.",
            got="both class_weight and sample_weight",
            mend="multiply the class weights into the sample weights",
        )
    limit = config.max_steps_per_epoch()
    if limit and (not steps or limit < steps):
        warnings.warn(f"Limiting steps_per_epoch to {limit}", stacklevel=3)
        batch_size, steps = batch_size or 32, limit
    if x is None:
        raise DataError("There is no data.", got="x=None", expected="arrays, or a dataset", mend="pass x (and y)")
    if not isinstance(x, (list, tuple, dict)) and not is_array_like(x):
        _only_batches(x, y, sample_weight, batch_size)
        if hasattr(x, "__iter__") or isinstance(x, PyDataset):
            return IterableSource(x, steps, shuffle, class_weight)
        raise ArgumentError(
            "This is not data that a model can use.",
            got=f"x of type {type(x).__name__}",
            expected="arrays, nested lists, tuples or dicts of arrays, a Dataset, a PyDataset, or an iterable of batches",
        )
    x = arrays_of(x, "x")
    y = None if y is None else arrays_of(y, "y")
    if class_weight is not None:
        sample_weight = class_weight_to_sample_weights(y, class_weight)
    if sample_weight is not None:
        sample_weight = _weights_per_output(arrays_of(sample_weight, "sample_weight"), y)
    return ArraySource(x, y, sample_weight, batch_size, steps, shuffle)


def _only_batches(x, y, sample_weight, batch_size):
    for name, value in (("y", y), ("sample_weight", sample_weight), ("batch_size", batch_size)):
        if value is not None:
            raise ArgumentError(
                f"When x is a {type(x).__name__}, `{name}` may not be passed: the batches hold everything.",
                got=f"x of type {type(x).__name__} and {name}",
                expected="batches (x, y) or (x, y, sample_weight) from x alone",
                mend=f"leave {name} out",
            )


def _weights_per_output(sample_weight, y):
    if not tree.is_nested(y) or tree.is_nested(sample_weight):
        return sample_weight
    if sample_weight.ndim != 1 and sample_weight.shape[1:] != (1,):
        raise ArgumentError(
            "For a model with multiple outputs, a single `sample_weight` array should have one number per sample.",
            got=f"sample_weight of shape {sample_weight.shape}",
            expected="shape (samples,)",
            mend="pass one array of weights per output, in the structure of y",
        )
    return tree.map_structure(lambda _: sample_weight, y)
