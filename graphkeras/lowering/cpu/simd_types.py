"""Element types of the SIMD language, shared by the LLVM emitter, the Numba types and the plain-Python emulation."""

from typing import NamedTuple


class DType(NamedTuple):
    """One element type: how wide it is in memory, and as which type it is computed."""

    name: str
    kind: str  # 'f' float, 'i' signed, 'u' unsigned, 'b' boolean
    bits: int  # in memory
    compute: str  # name of the dtype its vectors have once loaded


DTYPES = {
    t.name: t
    for t in [
        DType("f32", "f", 32, "f32"),
        DType("f64", "f", 64, "f64"),
        DType("f16", "f", 16, "f32"),
        DType("bf16", "f", 16, "f32"),
        *(DType(f"i{n}", "i", n, f"i{n}") for n in (8, 16, 32, 64)),
        *(DType(f"u{n}", "u", n, f"u{n}") for n in (8, 16, 32, 64)),
        DType("b1", "b", 8, "b1"),
    ]
}

VECTORS = tuple(name for name, t in DTYPES.items() if t.compute == name)
"""Dtypes that a vector value can have; f16 and bf16 exist in memory only."""

NUMPY_NAMES = {
    "float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16", "bool": "b1",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
}  # fmt: skip
"""From the dtype names users see to the short names used in kernels."""

# How the result's dtype follows from the operands', for operations whose name carries no dtype.
UNARY = ("neg", "abs", "sqrt", "rsqrt", "floor", "ceil", "round", "trunc", "not_")
BINARY = ("add", "sub", "mul", "div", "floordiv", "mod", "max", "min", "and_", "or_", "xor", "shl", "shr")
COMPARE = ("lt", "le", "gt", "ge", "eq", "ne")
MATH = (
    "exp", "expm1", "exp2", "log", "log1p", "log2", "log10", "tanh", "sigmoid", "softplus", "erf", "sin", "cos", "tan", "arcsin",
    "arccos", "arctan", "sinh", "cosh", "arcsinh", "arccosh", "arctanh", "cbrt", "bessel_i0", "bessel_i1",
    "pow", "arctan2", "nextafter",
)  # fmt: skip
REDUCE = ("hsum", "hmax", "hmin", "hprod", "hany", "hall")
ARITY = {
    **dict.fromkeys(UNARY, 1),
    **dict.fromkeys(BINARY, 2),
    **dict.fromkeys(COMPARE, 2),
    **dict.fromkeys(MATH, 1),
    **dict.fromkeys(REDUCE, 1),
    **dict.fromkeys(("pow", "arctan2", "nextafter"), 2),
    "fma": 3,
    "select": 3,
}
FLOAT_ONLY = ("div", "sqrt", "rsqrt", *MATH)
INT_ONLY = ("and_", "or_", "xor", "not_", "shl", "shr")


def strip_shapes(dtype, lanes):
    """Rows and vectors of each shape of `strips`: as many sums as the registers hold (AVX-512 has twice as many).

    An f64 vector fills two registers where an f32 vector fills one. The lower shapes have just enough sums to hide the
    latency of fma. With 32 registers there are two more: a wide one over two panels, which reads a row of A half as often and
    whose six rows at one distance never share a set of the first cache, as twelve at 4 KB do; and half a panel, for what is left
    of the columns. The narrow ones are for short sums: a CPU begins with the next strip while so few of the last one are stored.
    """
    vectors = {"f32": 2, "f64": 1}[dtype]
    shapes = {"tall": (12 if lanes == 16 else 6, vectors), "low": (4, vectors), "row": (1, 4 * vectors)}
    shapes |= {"wide": (6, 2 * vectors)} if lanes == 16 else {}
    shapes |= {"half": (12, 1)} if lanes == 16 and vectors > 1 else {}
    return shapes | ({"narrow": (12, 1), "narrow_low": (8, 1)} if vectors > 1 else {})


def gather_shapes(dtype, lanes):
    """Rows and vectors of each name of `conv_strips`."""
    shapes = strip_shapes(dtype, lanes)
    (tall, vectors), (low, _) = shapes["tall"], shapes["low"]
    return {
        "gather_strip": (tall, vectors), "gather_middle": (tall * 3 // 4, vectors), "gather_low": (low, vectors),
        "gather_narrow": (tall * vectors, 1),
        "gather_narrow_low": (low * vectors, 1),
    }  # fmt: skip


STRIP_DTYPES = ("f32", "f64")
