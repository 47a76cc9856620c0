"""Masks that travel with tensors from layer to layer (Keras's `_keras_mask`)."""

import weakref

from graphkeras.trace import SymbolicTensor, Tensor

# Masks of eager tensors by id; an entry goes when its tensor goes.
_eager_masks: dict[int, tuple] = {}


def get_mask(x):
    """The mask of a tensor, or None."""
    if isinstance(x, SymbolicTensor):
        return x._keras_mask
    entry = _eager_masks.get(id(x))
    return entry[1] if entry is not None and entry[0]() is x else None


def set_mask(x, mask) -> None:
    """Attaches a mask to a tensor; None removes it."""
    if isinstance(x, SymbolicTensor):
        x._keras_mask = mask
    elif isinstance(x, Tensor):
        key = id(x)
        if mask is None:
            _eager_masks.pop(key, None)
        else:
            _eager_masks[key] = (weakref.ref(x, lambda _: _eager_masks.pop(key, None)), mask)
