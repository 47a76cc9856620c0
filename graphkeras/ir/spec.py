"""TensorSpec: what is known about a value before it exists."""

from dataclasses import dataclass

from graphkeras.ir import dims
from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import SHORT, itemsize


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape and dtype of a value.

    Args:
        shape: tuple of ints and `Dim`s.
        dtype: Keras dtype name.

    Example:

    >>> TensorSpec((dims.symbol("b"), 3), "float32")
    f32[b,3]
    """

    shape: tuple
    dtype: str = "float32"

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self):
        """Number of elements (int or Dim)."""
        return dims.size(self.shape)

    @property
    def nbytes(self):
        """Bytes of the dense array (int or Dim)."""
        return self.size * itemsize(self.dtype)

    @property
    def is_static(self) -> bool:
        return not any(isinstance(d, Dim) for d in self.shape)

    @property
    def keras_shape(self) -> tuple:
        """The shape as Keras shows it: None for sizes known only at run time."""
        return tuple(None if isinstance(d, Dim) else d for d in self.shape)

    def with_shape(self, shape) -> "TensorSpec":
        return TensorSpec(tuple(shape), self.dtype)

    def with_dtype(self, dtype: str) -> "TensorSpec":
        return TensorSpec(self.shape, dtype)

    def __repr__(self):
        return f"{SHORT[self.dtype]}[{','.join(map(str, self.shape))}]"
