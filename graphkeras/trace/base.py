"""What tensors, symbolic tensors and variables have in common; `graphkeras.ops.operators` installs the Python operators here."""


class TensorBase:
    """Base class of `Tensor`, `SymbolicTensor` and `Variable`."""

    __slots__ = ()
    # NumPy arrays leave mixed arithmetic to us; np.exp(tensor) and the like go through __array__.
    __array_priority__ = 100

    def __hash__(self):
        return id(self)
