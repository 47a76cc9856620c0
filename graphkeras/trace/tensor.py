"""Tensor: an eager value, backed by a NumPy array."""

import numpy as np

from graphkeras.ir.dtypes import dtype_name, numpy_dtype
from graphkeras.ir.errors import DTypeError
from graphkeras.ir.spec import TensorSpec
from graphkeras.trace.base import TensorBase
from graphkeras.trace.settings import floatx


def as_array(value, dtype: str | None = None) -> np.ndarray:
    """A NumPy array of a supported dtype; Python floats become floatx and Python ints int32 where no dtype is given.

    Raises:
        DTypeError: for object arrays and dtypes that are not supported; ragged nested lists.
    """
    if isinstance(value, np.ndarray):
        array = value
    else:
        if dtype is None:
            if isinstance(value, bool):
                dtype = "bool"
            elif isinstance(value, int):
                dtype = "int32" if -(2**31) <= value < 2**31 else "int64"
            elif isinstance(value, float):
                dtype = floatx()
        try:
            array = np.asarray(value, None if dtype is None else numpy_dtype(dtype))
        except (ValueError, TypeError) as error:
            raise DTypeError(
                f"{type(value).__name__} cannot be converted to a tensor: {error}",
                got=f"{type(value).__name__} {str(value)[:60]}",
                expected="numbers, or nested lists of equal lengths",
                mend="pad or convert the data first",
            ) from None
        if dtype is None and not isinstance(value, np.generic) and not hasattr(value, "__array__"):
            if array.dtype == np.float64:
                array = array.astype(numpy_dtype(floatx()))
            elif array.dtype == np.int64 and (not array.size or (array.min() >= -(2**31) and array.max() < 2**31)):
                array = array.astype(np.int32)
    if array.dtype.hasobject:
        raise DTypeError(
            "An object array cannot be a tensor.",
            got=f"dtype {array.dtype}, shape {array.shape}",
            expected="numbers or booleans of one dtype",
            mend="build a rectangular numeric array, e.g. np.array(values, dtype='float32')",
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    name = dtype_name(array.dtype)
    return array if dtype is None or dtype == name else array.astype(numpy_dtype(dtype))


_new = object.__new__


class Tensor(TensorBase):
    """An eager tensor.

    Args:
        value: anything NumPy can make an array of.
        dtype: Keras dtype name; by default that of the array (Python floats: floatx, ints: int32).

    Example:

    >>> t = Tensor([[1.0, 2.0]])
    >>> t.shape, t.dtype, f"{t[0, 1]:.2f}"
    ((1, 2), 'float32', '2.00')
    """

    __slots__ = ("__weakref__", "_array", "_logits", "_source")

    def __init__(self, value, dtype=None):
        dtype = None if dtype is None else dtype_name(dtype)
        self._array = as_array(value.array if isinstance(value, Tensor) else value, dtype)

    @classmethod
    def wrap(cls, array: np.ndarray) -> "Tensor":
        """A tensor around an array that nobody else will change."""
        tensor = _new(cls)
        tensor._array = array
        return tensor

    @property
    def array(self) -> np.ndarray:
        """The array itself; not to be changed."""
        return self._array

    @property
    def shape(self) -> tuple:
        return self._array.shape

    @property
    def dtype(self) -> str:
        return dtype_name(self._array.dtype)

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(self._array.shape, dtype_name(self._array.dtype))

    def numpy(self) -> np.ndarray:
        """A copy as a NumPy array (a NumPy scalar for rank 0)."""
        return self._array.copy()[()] if not self._array.ndim else self._array.copy()

    def item(self):
        """The value of a tensor with one element, as a Python number."""
        return self._array.item()

    def tolist(self):
        """Nested Python lists."""
        return self._array.tolist()

    def __array__(self, dtype=None, copy=None):
        if copy or (dtype is not None and np.dtype(dtype) != self._array.dtype):
            return np.array(self._array, dtype=dtype)
        view = self._array.view()
        view.flags.writeable = False
        return view

    def __float__(self):
        return float(self._array.item())

    def __int__(self):
        return int(self._array.item())

    def __bool__(self):
        return bool(self._array)

    def __complex__(self):
        return complex(self._array.item())

    def __index__(self):
        if self._array.ndim or not np.issubdtype(self._array.dtype, np.integer):
            raise TypeError(f"only a scalar integer tensor can be an index, not one of shape {self.shape} and dtype {self.dtype}")
        return int(self._array.item())

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        if not self._array.ndim:
            raise TypeError("iteration over a tensor of rank 0")
        return (self[i] for i in range(len(self._array)))

    def __format__(self, spec):
        return format(self._array[()] if self._array.ndim else self._array.item(), spec) if spec else str(self)

    def __str__(self):
        return str(self._array)

    def __repr__(self):
        return f"<Tensor: shape={self.shape}, dtype={self.dtype}, value={np.array2string(self._array, separator=', ')}>"
