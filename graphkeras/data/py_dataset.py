"""PyDataset: batches that user code makes, by their number."""

import warnings


class PyDataset:
    """Base class of datasets whose batches are made one by one.

    A subclass defines `__getitem__(index)`, which returns a whole batch `(x, y)` or `(x, y, sample_weight)`, and `__len__`, or
    the property `num_batches` where the number is not known (None).

    Args:
        workers, use_multiprocessing, max_queue_size: kept for compatibility; batches are made in the training process, one
            after the other.

    Example:

    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...     def __getitem__(self, index):
    ...         return [[float(index)]], [[float(index) ** 2]]
    >>> Squares().num_batches
    2
    """

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __getitem__(self, index):
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__(index).")

    @property
    def num_batches(self):
        """Number of batches; None where it is not known."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(f"{type(self).__name__} defines neither __len__ nor num_batches.")

    def on_epoch_begin(self):
        """Called before each epoch."""

    def on_epoch_end(self):
        """Called after each epoch."""


class Batches:
    """The batches of one epoch of a `PyDataset`.

    Args:
        dataset: the dataset.
        order: numbers of the batches in the order wanted; None for 0, 1, 2, ...
    """

    def __init__(self, dataset, order=None):
        self.dataset, self.order = dataset, order

    def __iter__(self):
        count = self.dataset.num_batches
        numbers = range(count if count is not None else 2**62) if self.order is None else self.order
        for number in numbers:
            try:
                yield self.dataset[int(number)]
            except IndexError:
                if count is not None:
                    warnings.warn(f"{type(self.dataset).__name__} has {count} batches, but none of number {number}.", stacklevel=2)
                return
