"""Kernel source as it is being written: lines, arguments, literals; and the handler `k` that turns op bodies into statements."""

import math
import struct
from dataclasses import dataclass

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import SHORT
from graphkeras.ir.errors import LoweringError
from graphkeras.ir.node import Node
from graphkeras.lowering.cpu.kernel import ErrorSite

HALF = ("f16", "bf16")
FLOATING = ("f16", "bf16", "f32", "f64")
_UNARY = (
    "neg abs sqrt rsqrt floor ceil round trunc exp expm1 log log1p tanh sigmoid softplus erf sin cos not_ "
    "exp2 log2 log10 tan arcsin arccos arctan sinh cosh arcsinh arccosh arctanh cbrt bessel_i0 bessel_i1"
)
_BINARY = "add sub mul div max min floordiv mod pow arctan2 nextafter and_ or_ xor shl shr"
_COMPARE = "lt le gt ge eq ne"


@dataclass(frozen=True)
class Vec:
    """A vector variable of a kernel: its name and the short dtype of the value it holds."""

    name: str
    dtype: str


class Writer:
    """Collects the text of one kernel.

    Attributes:
        args: descriptions of the argument block, after the error slot.
        errors: places that can report an error.
    """

    def __init__(self):
        self.args: list = []
        self.errors: list[ErrorSite] = []
        self.notes: dict[int, list[str]] = {}
        self._head: list[str] = []
        self._lines: list[tuple[int, str]] = []
        self._literals: dict[str, str] = {}
        self._depth = 1
        self._names = 0
        self._pending: list[str] = []

    def name(self, prefix="v") -> str:
        """A fresh local name."""
        self._names += 1
        return f"{prefix}{self._names}"

    def line(self, text: str) -> None:
        """One statement at the current depth."""
        if self._pending:
            self.notes.setdefault(len(self._lines), []).extend(self._pending)
            self._pending = []
        self._lines.append((self._depth, text))

    def note(self, text: str) -> None:
        """Says something about the next line; not part of the canonical source."""
        self._pending.append(" ".join(text.split()))

    def block(self, header: str):
        """`with writer.block("while i < n:"):` writes an indented block."""
        self.line(header)
        return _Indent(self)

    def arg(self, description, prefix="a") -> str:
        """A local that holds a new argument."""
        self.args.append(description)
        name = f"{prefix}{len(self.args)}"
        self._head.append(f"    {name} = args[{len(self.args)}]")
        return name

    def size(self, dim) -> str:
        """An expression for a size or stride: 0 and 1 are structure and stand in the text, all else are arguments."""
        if not isinstance(dim, Dim) and dim in (0, 1):
            return str(dim)
        return self.arg(dim, "n")

    def pointer(self, address, dtype: str) -> str:
        """A local that holds a typed pointer."""
        self.args.append(address)
        name = f"p{len(self.args)}"
        self._head.append(f"    {name} = ptr_{dtype}(args[{len(self.args)}])")
        return name

    def literal(self, number, dtype: str) -> Vec:
        """A literal in every lane, defined once at the head of the kernel."""
        text = literal_text(number, dtype)
        if text not in self._literals:
            self._literals[text] = f"c{len(self._literals) + 1}"
            self._head.append(f"    {self._literals[text]} = {text}")
        return Vec(self._literals[text], dtype)

    def head(self, text: str) -> None:
        """A statement before all loops."""
        self._head.append("    " + text)

    def assign(self, expression: str, dtype: str, prefix="v") -> Vec:
        """A new vector variable."""
        result = Vec(self.name(prefix), dtype)
        self.line(f"{result.name} = {expression}")
        return result

    def text(self) -> str:
        """The canonical source."""
        body = ["    " * depth + text for depth, text in self._lines]
        return "\n".join(["def kernel(args, lo, hi, scratch):", *self._head, *body]) + "\n"

    def placed_notes(self) -> dict[int, list[str]]:
        """Notes by line number of `text()`."""
        return {number + 1 + len(self._head): notes for number, notes in self.notes.items()}


class _Indent:
    def __init__(self, writer):
        self.writer = writer

    def __enter__(self):
        self.writer._depth += 1

    def __exit__(self, *exc):
        self.writer._depth -= 1


def literal_text(number, dtype: str) -> str:
    """Source of a literal vector; floats that Python cannot write as digits are given by their bits."""
    if dtype in FLOATING:
        number = float(number)
        if math.isfinite(number):
            return f"const_{dtype}({number!r})"
        wide = "f64" if dtype == "f64" else "f32"
        pack, unpack = ("<d", "<q") if wide == "f64" else ("<f", "<i")
        return f"bits_{wide}({struct.unpack(unpack, struct.pack(pack, number))[0]})"
    if dtype == "b1":
        return f"const_b1({int(bool(number))})"
    number = int(number)
    return f"const_{dtype}({number - (1 << 64) if number >= 1 << 63 else number})"


class Handler:
    """The handler `k` of op bodies: every call writes one statement and returns its result.

    Args:
        writer: where statements go.
        position: source of the flat position of lane 0, for errors.
        lanes: source of the number of lanes that count, or None for all.
    """

    def __init__(self, writer: Writer, position: str = "0", lanes: str | None = None):
        self.writer, self.position, self.lanes = writer, position, lanes
        self.node: Node | None = None

    def const(self, value, like: Vec) -> Vec:
        return self.writer.literal(value, like.dtype)

    def _emit(self, name, *operands, dtype):
        return self.writer.assign(f"{name}({', '.join(o.name for o in operands)})", dtype)

    def fma(self, x, y, z):
        return self._emit("fma", x, y, z, dtype=x.dtype)

    def select(self, mask, x, y):
        return self._emit("select", mask, x, y, dtype=x.dtype)

    def cast(self, x: Vec, dtype: str) -> Vec:
        short = SHORT.get(dtype, dtype)
        if short == x.dtype:
            return x
        return self.writer.assign(f"cast_{short}({x.name})", short)

    def isnan(self, x):
        return self._emit("ne", x, x, dtype="b1")

    def isinf(self, x):
        if x.dtype not in FLOATING:
            return self._emit("ne", x, x, dtype="b1")
        return self._emit("eq", self.abs(x), self.writer.literal(math.inf, x.dtype), dtype="b1")

    def bound(self, dim) -> Vec:
        """An i64 vector that holds a size."""
        if isinstance(dim, Dim):
            return Vec(f"splat_i64v({self.writer.arg(dim, 'n')})", "i64")
        return self.writer.literal(dim, "i64")

    def check_range(self, x: Vec, low, high, what) -> Vec:
        """x, after an error report for the first lane outside [low, high)."""
        w = self.writer
        w.errors.append(ErrorSite(self.node, low, high, what))
        wide = self.cast(x, "i64")
        bad = w.assign(f"or_(lt({wide.name}, {self.bound(low).name}), ge({wide.name}, {self.bound(high).name}))", "b1")
        report_lanes(w, bad, wide, len(w.errors), self.position, self.lanes)
        return x

    def random_bits(self, key0: str, key1: str, counter: Vec) -> Vec:
        """Random words for an i64 vector of counters."""
        w = self.writer
        high = w.assign(f"cast_u32(shr({counter.name}, const_i64(32)))", "u32")
        return w.assign(f"philox({key0}, {key1}, cast_u32({counter.name}), {high.name})", "u32")


def report_lanes(w: Writer, bad: Vec, wide: Vec, code: int, position: str, lanes: str | None) -> None:
    """Reports the first bad lane, if there is any; `wide` holds the i64 values."""
    if lanes is not None:
        bad = w.assign(f"and_({bad.name}, firstn({lanes}))", "b1")
    with w.block(f"if lane0_b1(hany({bad.name})) != 0:"):
        at = w.assign(f"iota({position})", "i64")
        first = w.assign(f"hmin(select({bad.name}, {at.name}, const_i64({(1 << 62)})))", "i64")
        value = w.assign(f"hmax(select(eq({at.name}, {first.name}), {wide.name}, const_i64({-(1 << 63)})))", "i64")
        w.line(f"report(args, {code}, lane0_i64({first.name}), lane0_i64({value.name}))")


def _define(names, dtype_of):
    for name in names.split():

        def method(self, *operands, _name=name):
            return self._emit(_name, *operands, dtype=dtype_of(operands[0]))

        setattr(Handler, name, method)


_define(_UNARY, lambda x: x.dtype)
_define(_BINARY, lambda x: x.dtype)
_define(_COMPARE, lambda x: "b1")


def short_dtype(dtype: str) -> str:
    """The dtype's name in the SIMD language. Raises LoweringError for complex numbers and strings."""
    short = SHORT[dtype]
    if short in ("c64", "c128", "str"):
        raise LoweringError(
            f"{dtype} has no compiled form.",
            got=dtype,
            expected="real numbers, integers or booleans",
            mend="run this function eagerly (run_eagerly=True)",
        )
    return short
