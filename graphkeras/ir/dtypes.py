"""Element types: Keras's names, their short forms in the text of a graph, and their NumPy equivalents."""

from functools import cache

import numpy as np

from graphkeras.ir.errors import DTypeError

SHORT = {
    "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
    "bool": "b1", "complex64": "c64", "complex128": "c128", "string": "str",
}  # fmt: skip
LONG = {short: name for name, short in SHORT.items()}
FLOATS = ("float16", "bfloat16", "float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = SIGNED + UNSIGNED
COMPLEX = ("complex64", "complex128")


@cache
def numpy_dtype(name: str) -> np.dtype:
    """The NumPy dtype of a Keras dtype name (bfloat16 comes from ml_dtypes)."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    if name == "string":
        return np.dtype(object)
    return np.dtype(name)


@cache
def _name_of(dtype: np.dtype) -> str:
    name = dtype.name
    if name not in SHORT:
        raise DTypeError(
            f"dtype {dtype!s} is not supported.",
            got=f"dtype {dtype!s}",
            expected="one of " + ", ".join(SHORT),
            mend="convert the array first, e.g. with x.astype('float32')",
        )
    return name


def dtype_name(dtype) -> str:
    """The Keras name of a dtype given as a name, a NumPy dtype or scalar type, or a Python type.

    Raises:
        DTypeError: for a dtype that graphkeras does not know.
    """
    if isinstance(dtype, np.dtype):
        return _name_of(dtype)
    if isinstance(dtype, str):
        if dtype in SHORT:
            return dtype
        if dtype in ("float", "int"):
            return "float32" if dtype == "float" else "int32"
    elif dtype is float:
        return "float32"
    elif dtype is int:
        return "int32"
    elif dtype is bool:
        return "bool"
    elif hasattr(dtype, "name") and isinstance(dtype.name, str):
        return dtype_name(dtype.name)
    try:
        return _name_of(np.dtype(dtype))
    except TypeError:
        raise DTypeError(
            f"{dtype!r} is not a dtype.",
            got=repr(dtype),
            expected="one of " + ", ".join(SHORT),
            mend="pass a dtype name such as 'float32'",
        ) from None


def is_float(name: str) -> bool:
    """True for the real floating dtypes."""
    return name in FLOATS


def is_integer(name: str) -> bool:
    """True for signed and unsigned integers (not bool)."""
    return name in INTEGERS


@cache
def itemsize(name: str) -> int:
    """Bytes of one element."""
    return numpy_dtype(name).itemsize
