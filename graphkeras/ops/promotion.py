"""Keras's dtype promotion: a lattice in which Python numbers are weak, so that they take the dtype of the tensor beside them."""

from functools import cache

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import dtype_name, is_float
from graphkeras.ir.errors import DTypeError
from graphkeras.trace import Tensor, as_tensor, convert_to_tensor, is_tensor
from graphkeras.trace.settings import floatx

# Each dtype with the dtypes just above it; "int" and "float" are those of Python numbers. After JAX's type promotion semantics.
_ABOVE = {
    "bool": ("int",),
    "int": ("uint8", "int8", "complex64"),
    "uint8": ("int16", "uint16"),
    "uint16": ("int32", "uint32"),
    "uint32": ("int64", "uint64"),
    "uint64": ("float",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("float",),
    "float": ("bfloat16", "float16"),
    "bfloat16": ("float32",),
    "float16": ("float32",),
    "float32": ("float64", "complex64"),
    "float64": ("complex128",),
    "complex64": ("complex128",),
    "complex128": (),
}
# Results that Keras narrows on the TensorFlow backend.
_NARROWED = {"uint64": "uint32", "complex128": "complex64"}


@cache
def _upper_bounds(name: str) -> frozenset:
    return frozenset([name]).union(*map(_upper_bounds, _ABOVE[name]))


@cache
def _least_upper_bound(names: frozenset) -> str:
    try:
        common = frozenset.intersection(*map(_upper_bounds, names))
    except KeyError:
        _no_path(names)
    least = [c for c in common if common <= _upper_bounds(c)]
    return least[0] if len(least) == 1 else _no_path(names)


def _no_path(names):
    names = sorted(names)
    raise DTypeError(
        f"dtypes {', '.join(names)} have no common dtype.",
        got=", ".join(names),
        expected="dtypes with an implicit promotion path",
        mend="cast the inputs to the wanted dtype with ops.cast",
    )


@cache
def _result(names: tuple, float_type: str) -> str:
    strong = {n for n in names if n not in ("int", "float")}
    if len(strong) == 1 and len(set(names)) == 1:
        out = names[0]
    else:
        out = _least_upper_bound(frozenset(names))
    if out == "int":
        out = "int" + float_type[-2:]
    elif out == "float":
        out = "float" + float_type[-2:]
    return _NARROWED.get(out, out)


def weak_name(dtype) -> str:
    """The name of a dtype in the lattice: "int" and "float" for the Python types, floatx for None."""
    if dtype is int:
        return "int"
    if dtype is float:
        return "float"
    return floatx() if dtype is None else dtype_name(dtype)


def result_type(*dtypes) -> str:
    """Returns the type from applying the Keras type promotion rules.

    Args:
        dtypes: dtype names, NumPy dtypes, or the Python types `int` and `float` for weak numbers.

    Returns:
        The dtype name of the result; floatx where nothing is given.

    Example:

    >>> result_type("bfloat16", int), result_type("int32", "float32"), result_type("int32", float)
    ('bfloat16', 'float32', 'float32')
    """
    if not dtypes:
        return floatx()
    return _result(tuple(map(weak_name, dtypes)), floatx())


def operand(x):
    """`x` ready for promotion: Python numbers and sizes stay as they are, everything else becomes a tensor."""
    if type(x) in (int, float, bool) or isinstance(x, (Dim, int, float)):
        return x
    return x if is_tensor(x) else as_tensor(x)


def dtype_of(x):
    """The dtype of an operand, for `result_type`: weak for Python numbers and sizes."""
    if isinstance(x, Dim):
        return int
    dtype = getattr(x, "dtype", None)
    if dtype is not None:
        return dtype
    return type(x) if type(x) in (int, float, bool) else next(t for t in (bool, int, float) if isinstance(x, t))


def common_dtype(*xs, at_least=None) -> str:
    """The dtype in which operands meet; `at_least` (e.g. `float`) takes part in the promotion."""
    extra = () if at_least is None else (at_least,)
    return result_type(*map(dtype_of, xs), *extra)


def promote(*xs, at_least=None) -> list:
    """The operands as tensors of one dtype, by Keras's rules."""
    xs = [operand(x) for x in xs]
    dtype = common_dtype(*xs, at_least=at_least)
    return [converted(x, dtype) for x in xs]


def converted(x, dtype: str):
    """An operand as a tensor of this dtype."""
    if isinstance(x, Dim):
        return convert_to_tensor(as_tensor(x), dtype)
    if is_tensor(x):
        return convert_to_tensor(x, dtype)
    return Tensor(x, dtype)


def as_float(x):
    """`x` as a floating-point tensor: integers and booleans become floatx, as in Keras."""
    x = as_tensor(x)
    if is_float(x.dtype) or x.dtype.startswith("complex"):
        return x
    return convert_to_tensor(x, floatx())
