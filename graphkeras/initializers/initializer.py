"""Base class of initializers."""


class Initializer:
    """A callable `(shape, dtype=None)` that makes the first value of a weight.

    Example:

    >>> import numpy as np
    >>> class Fives(Initializer):
    ...     def __call__(self, shape, dtype=None, **kwargs):
    ...         return np.full(shape, 5.0, dtype)
    >>> from graphkeras import Variable
    >>> Variable(Fives(), shape=(2,)).numpy().tolist()
    [5.0, 5.0]
    """

    def __call__(self, shape, dtype=None):
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def clone(self):
        """An initializer of the same config."""
        return type(self).from_config(self.get_config())
