"""Seeds: where random numbers start, and the state that moves them on."""

import random as _python_random

import numpy as np

from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.sources import staged
from graphkeras.trace import Tensor, Variable, prim
from graphkeras.trace.naming import auto_name, name_scope

_MASK = 0xFFFFFFFF
_state: dict = {"generator": None, "seed": None}


def make_default_seed() -> int:
    """A seed drawn from Python's `random`, so that `set_random_seed` decides it."""
    return _python_random.randint(1, int(1e9))


def key_of(seed: int):
    """The key of an int seed: its lower 32 bits, and draw number 0."""
    return staged(Tensor(np.array([int(seed) & _MASK, 0], np.uint32)))


class SeedGenerator:
    """Generates a new key upon each call to a function generating random numbers.

    All random functions are stateless: with an int seed they return the same values at every call. A `SeedGenerator` holds the
    state that makes calls differ: the seed and the number of draws so far. It may be used inside layers and compiled functions,
    where its state moves on with every run.

    Args:
        seed: Initial seed, an int. Drawn from Python's `random` where it is `None`.
        name: Name of the generator; made automatically by default.
        **kwargs: `backend`, kept for compatibility with Keras.

    Attributes:
        state: Variable `uint32[2]`: seed and number of draws.

    Example:

    >>> generator = SeedGenerator(seed=42)
    >>> generator.next().tolist(), generator.next().tolist()
    ([42, 0], [42, 1])
    """

    def __init__(self, seed=None, name=None, **kwargs):
        kwargs.pop("backend", None)
        if kwargs:
            raise ArgumentError(f"Unrecognized keyword arguments: {kwargs}", got=str(kwargs), expected="seed and name")
        self.name = auto_name(type(self).__name__) if name is None else name
        self._initial_seed = seed
        seed = make_default_seed() if seed is None else seed
        if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool):
            raise ArgumentError(f"Argument `seed` must be an integer. Received: seed={seed}", got=repr(seed), expected="an int")
        with name_scope(self.name):
            self.state = Variable(
                np.array([int(seed) & _MASK, 0], np.uint32), dtype="uint32", trainable=False, name="seed_generator_state"
            )

    def next(self, ordered=True):
        """The key of the next draw; the state moves on by one.

        Args:
            ordered: Kept for compatibility with Keras: keys always come in order.

        Returns:
            Tensor `uint32[2]`.
        """
        key = self.state.value
        self.state.assign(prim.add(key, np.array([0, 1], np.uint32)))
        return key

    def get_config(self):
        """The arguments that make an equal generator."""
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config):
        """A generator from what `get_config` returned."""
        return cls(**config)


def global_seed_generator() -> SeedGenerator:
    """The generator behind `seed=None`, one for the process."""
    if _state["generator"] is None:
        _state["generator"] = SeedGenerator()
    return _state["generator"]


def draw_seed(seed):
    """The key for one draw.

    Args:
        seed: An int (always the same key), a `SeedGenerator` (its next key), or `None` (the next key of the process).

    Returns:
        Tensor `uint32[2]`.
    """
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        return key_of(seed)
    if seed is None:
        return global_seed_generator().next()
    raise ArgumentError(
        "Argument `seed` must be either an integer or an instance of `SeedGenerator`.",
        got=f"seed={seed!r} (of type {type(seed).__name__})",
        expected="an int, a SeedGenerator or None",
    )


def set_random_seed(seed):
    """Sets all random seeds (Python, NumPy, and this package), so that a program gives the same results in every run.

    Args:
        seed: Integer, the random seed to use.

    Example:

    >>> set_random_seed(1)
    >>> a = make_default_seed()
    >>> set_random_seed(1)
    >>> a == make_default_seed()
    True
    """
    if not isinstance(seed, int):
        raise ArgumentError("Expected `seed` argument to be an integer.", got=f"seed={seed!r}", expected="an int")
    _state["generator"], _state["seed"] = None, seed
    _python_random.seed(seed)
    np.random.seed(seed & _MASK)


def get_random_seed():
    """The seed last given to `set_random_seed`, or None.

    Example:

    >>> set_random_seed(3)
    >>> get_random_seed()
    3
    """
    return _state["seed"]
