"""Names of Keras's `backend` module."""

from graphkeras.config import backend, epsilon, floatx, image_data_format, set_epsilon, set_floatx, set_image_data_format
from graphkeras.ir.dtypes import dtype_name, is_float, is_integer
from graphkeras.ops.promotion import result_type
from graphkeras.trace import SymbolicTensor
from graphkeras.trace.naming import reset_names, uniquify
from graphkeras.trace.settings import floatx as _floatx


def standardize_dtype(dtype):
    """The Keras name of a dtype; floatx for None.

    >>> import numpy as np
    >>> standardize_dtype(np.float32)
    'float32'
    """
    return _floatx() if dtype is None else dtype_name(dtype)


def is_float_dtype(dtype):
    """True for float dtypes."""
    return is_float(standardize_dtype(dtype))


def is_int_dtype(dtype):
    """True for signed and unsigned integers."""
    return is_integer(standardize_dtype(dtype))


def is_keras_tensor(x):
    """True for symbolic tensors.

    >>> is_keras_tensor(SymbolicTensor((None, 3)))
    True
    """
    return isinstance(x, SymbolicTensor)


def get_uid(prefix=""):
    """A number that grows with each call for the same prefix."""
    name = uniquify(f"uid_{prefix}")
    return int(name.rsplit("_", 1)[1]) + 1 if name != f"uid_{prefix}" else 1


def clear_session(free_memory=True):
    """Starts the numbering of automatic names anew, so that the next Dense layer is "dense" again.

    Args:
        free_memory: kept for compatibility with Keras; nothing is held here that could be freed.
    """
    reset_names()


__all__ = [
    "backend", "clear_session", "epsilon", "floatx", "get_uid", "image_data_format", "is_float_dtype", "is_int_dtype",
    "is_keras_tensor", "result_type", "set_epsilon", "set_floatx", "set_image_data_format", "standardize_dtype",
]  # fmt: skip
