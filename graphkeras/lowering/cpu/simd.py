"""The SIMD language that kernels are written in, for Numba: vectors of LANES lanes of any dtype.

A kernel is a plain Python function `kernel(args, lo, hi, scratch)` executed in `namespace()`:

    def kernel(args, lo, hi, scratch):
        x = ptr_f32(args[1]); y = ptr_f32(args[2])
        for i in range(lo, hi, LANES):
            n = min(LANES, hi - i)
            storen_f32(y, i, tanh(loadn_f32(x, i, n)), n)

Names that touch memory or make a value carry a dtype (`load_f32`); the others follow their operands (`add`, `tanh`).
Each name is a Numba intrinsic that emits LLVM instructions directly, so that typing a kernel costs little. `simd_python`
holds the same names for running a kernel un-jitted. The language:

    ptr_T(address)                      pointer from an int64 address (or another pointer)
    load_T(p, i)  loadn_T(p, i, n)      LANES elements from element i; only the first n, zero beyond
    loads_T(p, i, s, n)                 p[i + k * s];  loadx_T(p, index, n)  p[index[k]];  splat_T(p, i)  p[i] in every lane
    store_T(p, i, v)  storen_T(p, i, v, n)  stores_T(p, i, s, v, n)
    transpose_T(p, i, row, q, j, column)  a LANES x LANES block, rows at distance `row` in p and `column` in q
    const_T(number)  bits_T(int)        every lane: a number; a float's or integer's bits in an int64 (as argument blocks hold them)
    iota(i)  splat_i64v(i)  firstn(n)   i, i + 1, ... as i64; i in every lane; mask of the first n lanes
    cast_T(v)  bitcast_T(v)             numpy's astype; the same bits as another dtype of that width
    add sub mul div fma neg abs max min sqrt rsqrt floor ceil round trunc floordiv mod   lt le gt ge eq ne   select
    and_ or_ xor not_ shl shr           max, min, abs also take scalar integers, as the built-ins they hide do
    exp expm1 exp2 log log1p log2 log10 tanh sigmoid softplus erf sin cos tan arcsin arccos arctan arctan2
    sinh cosh arcsinh arccosh arctanh cbrt bessel_i0 bessel_i1 pow nextafter
    hsum hmax hmin hprod hany hall      across lanes, the result in every lane;  lane0_T(v)  lane 0 as a scalar
    philox(k0, k1, c_lo, c_hi)          random u32, see `graphkeras.ops.philox`
    strip_tall_T strip_low_T strip_row_T strip_wide_T strip_half_T   rows times panels, the core of matrix multiplication: see `strips`
    pack_panels_T pack_strips_T pack_rows_T merge_corner_T   what goes in and out of it: see `packing`
    gather_strip_T gather_middle_T ...  the same for rows at addresses of their own: see `conv_strips`
    gather_lanes_T gather_taps_T        channel by channel, see `conv_lanes`
    prefetch(address)  prefetch_write(address)   brings a line into the cache, any address; as one that will be written
    report(args, code, position, value) error slot, least code, position win;  call_kernel(address, args_address, lo, hi, scratch)

f16 and bf16 are computed as f32 vectors: loading widens, storing and `cast_f16` / `cast_bf16` round to nearest even.
"""

import functools
import inspect

from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model

from graphkeras.lowering.cpu import conv_lanes, conv_strips, memory, packing, strips, vector_math, vector_trig
from graphkeras.lowering.cpu.emitter import I64, Emitter, element_type, vector_type
from graphkeras.lowering.cpu.memory import Value
from graphkeras.lowering.cpu.simd_types import (
    ARITY,
    COMPARE,
    DTYPES,
    FLOAT_ONLY,
    INT_ONLY,
    MATH,
    STRIP_DTYPES,
    VECTORS,
    gather_shapes,
    strip_shapes,
)
from graphkeras.lowering.cpu.target import LANES

ERROR_SLOT = 8
"""Length of the error slot in int64: code, address of the argument block, position, value bits, and four spare."""


class Vector(types.Type):
    """Numba type of a vector of LANES lanes."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"{dtype}x{LANES}")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, vector_type(fe_type.dtype))


VECTOR_TYPES = {name: Vector(name) for name in VECTORS}
_ELEMENTS = {
    "f32": types.float32, "f64": types.float64, "f16": types.uint16, "bf16": types.uint16, "b1": types.uint8,
    **{f"{s}{n}": getattr(types, f"{'u' * (s == 'u')}int{n}") for s in "iu" for n in (8, 16, 32, 64)},
}  # fmt: skip
POINTER_TYPES = {name: types.CPointer(element) for name, element in _ELEMENTS.items()}
INT = types.int64
KERNEL_SIGNATURE = types.void(types.CPointer(INT), INT, INT, INT)
"""Signature of every kernel, for `numba.cfunc`."""

_names = {}


def _define(name, params, typing, emit):
    """Register intrinsic `name`: `typing(*types)` gives the signature, `emit(emitter, *values)` the LLVM value.

    Vector operands reach `emit` as tagged `Value`s, everything else as bare LLVM values.
    """

    def define(context, *operands):
        signature = typing(*operands)

        def codegen(context, builder, signature, args):
            tagged = [Value(t.dtype, a) if isinstance(t, Vector) else a for t, a in zip(signature.args, args)]
            result = emit(Emitter(builder), *tagged)
            if signature.return_type == types.void:
                return context.get_dummy_value()
            return result.ir if isinstance(result, Value) else result

        return signature, codegen

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    define.__signature__ = inspect.Signature([inspect.Parameter(p, kind) for p in ["context", *params.split()]])
    define.__name__ = define.__qualname__ = name
    _names[name] = intrinsic(define)


def _refuse(name, operands, expected):
    got = ", ".join(map(str, operands))
    raise TypingError(f"{name}: got ({got}), expected {expected}; convert with cast_T or const_T")


# ---- names that carry a dtype ---------------------------------------------------------------------------------------


def _vector(dtype):
    return VECTOR_TYPES[DTYPES[dtype].compute]


def _fixed(name, result, *wanted):
    """Typing with fixed operand types; scalars of other widths are converted by Numba."""

    def typing(*operands):
        for got, want in zip(operands, wanted):
            vectors = isinstance(got, Vector) or isinstance(want, Vector)
            if (vectors and got != want) or (want == INT and not isinstance(got, types.Integer | types.Boolean)):
                _refuse(name, operands, f"({', '.join(map(str, wanted))})")
        return result(*wanted)

    return typing


def _define_memory(dtype):
    vec, ptr = _vector(dtype), POINTER_TYPES[dtype]

    def bind(operation):
        return lambda e, *args: operation(e, dtype, *args)

    def define(name, params, result, wanted, operation):
        _define(f"{name}_{dtype}", params, _fixed(f"{name}_{dtype}", result, *wanted), bind(operation))

    define("load", "p i", vec, (ptr, INT), memory.load)
    define("loadn", "p i n", vec, (ptr, INT, INT), memory.loadn)
    define("loads", "p i s n", vec, (ptr, INT, INT, INT), memory.loads)
    define("loadx", "p index n", vec, (ptr, VECTOR_TYPES["i64"], INT), memory.loadx)
    define("splat", "p i", vec, (ptr, INT), memory.splat)
    define("store", "p i v", types.void, (ptr, INT, vec), memory.store)
    define("storen", "p i v n", types.void, (ptr, INT, vec, INT), memory.storen)
    define("stores", "p i s v n", types.void, (ptr, INT, INT, vec, INT), memory.stores)
    define("transpose", "p i row q j column", types.void, (ptr, INT, INT, ptr, INT, INT), memory.transpose)

    def pointer_typing(source):
        if isinstance(source, types.CPointer):
            return ptr(source)
        return ptr(INT) if isinstance(source, types.Integer) else _refuse(f"ptr_{dtype}", [source], "an address")

    def pointer(e, source):
        target = memory.storage_type(dtype).as_pointer()
        return (e.b.bitcast if isinstance(source.type, ir.PointerType) else e.b.inttoptr)(source, target)

    _define(f"ptr_{dtype}", "address", pointer_typing, pointer)


def _define_strips(dtype):
    ptr = POINTER_TYPES[dtype]
    for kind in strip_shapes(dtype, LANES):
        name, params = f"strip_{kind}_{dtype}", strips.PARAMETERS + " b_next" * (kind == "wide")
        emit = functools.partial(lambda kind, e, *args: strips.strip(e, kind, dtype, *args), kind)
        types_of = (ptr if p in ("a", "b", "c") else INT for p in params.split())
        _define(name, params, _fixed(name, types.void, *types_of), emit)
    for kind, params in packing.PARAMETERS.items():
        emit = functools.partial(lambda kind, e, *args: packing.emit(e, kind, dtype, *args), kind)
        types_of = (ptr if p in packing.POINTERS else INT for p in params.split())
        _define(f"{kind}_{dtype}", params, _fixed(f"{kind}_{dtype}", types.void, *types_of), emit)
    table = POINTER_TYPES["i64"]
    for kind in gather_shapes(dtype, LANES):
        name = f"{kind}_{dtype}"
        emit = functools.partial(lambda kind, e, *args: conv_strips.emit(e, kind, dtype, *args), kind)
        wanted = (table, table, *[INT] * 4, ptr, *[INT] * 3)
        _define(name, conv_strips.PARAMETERS, _fixed(name, types.void, *wanted), emit)
    for kind in conv_lanes.NAMES:
        name = f"{kind}_{dtype}"
        emit = functools.partial(lambda kind, e, *args: conv_lanes.emit(e, kind, dtype, *args), kind)
        wanted = (table, INT, table, INT, ptr, ptr, ptr, INT)
        _define(name, conv_lanes.PARAMETERS, _fixed(name, types.void, *wanted), emit)


def _define_values(dtype):
    vec, compute = _vector(dtype), DTYPES[dtype].compute
    kind, element = DTYPES[compute].kind, element_type(compute)

    def scalar_typing(name):
        def typing(number):
            if not isinstance(number, types.Integer | types.Float | types.Boolean):
                _refuse(name, [number], "a scalar")
            return vec(types.float64 if isinstance(number, types.Float) else INT)

        return typing

    def from_scalar(e, scalar):
        """Any scalar, literal or computed, converted to the element type and put in every lane."""
        floating = isinstance(scalar.type, ir.DoubleType)
        if isinstance(scalar, ir.Constant) and not isinstance(scalar.constant, str):
            value = e.const(compute, scalar.constant)
        elif kind == "f":
            value = scalar if floating else e.b.sitofp(scalar, ir.DoubleType())
            value = e.broadcast(compute, value if compute == "f64" else e.b.fptrunc(value, element))
        elif kind == "b":
            zero = ir.Constant(scalar.type, 0)
            value = e.broadcast("b1", (e.b.fcmp_unordered if floating else e.b.icmp_signed)("!=", scalar, zero))
        else:
            scalar = e.b.fptosi(scalar, I64) if floating else scalar
            value = e.broadcast(compute, scalar if element.width == 64 else e.b.trunc(scalar, element))
        return value if dtype == compute else e.cast(dtype, value)

    def from_bits(e, bits):
        width = memory.storage_type(dtype)
        whole = ir.IntType(DTYPES[dtype].bits)
        bits = bits if whole.width == 64 else e.b.trunc(bits, whole)
        scalar = e.b.bitcast(bits, width)
        undefined = ir.Constant(memory.storage_vector(dtype), ir.Undefined)
        one = e.b.insert_element(undefined, scalar, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return memory.widen(e, dtype, e.b.shuffle_vector(one, undefined, zeros))

    def vector_typing(name, allowed):
        def typing(v):
            if not isinstance(v, Vector) or not allowed(v.dtype):
                _refuse(name, [v], "a vector of fitting width")
            return vec(v)

        return typing

    _define(f"const_{dtype}", "number", scalar_typing(f"const_{dtype}"), from_scalar)
    _define(f"bits_{dtype}", "bits", _fixed(f"bits_{dtype}", vec, INT), from_bits)
    _define(f"cast_{dtype}", "v", vector_typing(f"cast_{dtype}", bool), lambda e, v: e.convert(dtype, v))
    if dtype != compute:
        return
    if kind != "b":
        same_width = lambda other: other != "b1" and DTYPES[other].bits == DTYPES[dtype].bits
        _define(f"bitcast_{dtype}", "v", vector_typing(f"bitcast_{dtype}", same_width), lambda e, v: e.bitcast(dtype, v))

    def lane0(e, v):
        scalar = e.b.extract_element(v.ir, ir.IntType(32)(0))
        if kind == "f":
            return scalar
        if element.width == 64:
            return scalar
        return (e.b.sext if kind == "i" else e.b.zext)(scalar, I64)

    scalar_type = _ELEMENTS[dtype] if kind == "f" else INT
    _define(f"lane0_{dtype}", "v", _fixed(f"lane0_{dtype}", scalar_type, vec), lane0)


# ---- names that follow their operands -------------------------------------------------------------------------------


def _follow(name, *operands):
    """Signature of a generic operation from its vector operands."""
    if name in ("max", "min", "abs") and all(isinstance(t, types.Integer) for t in operands):
        return INT(*[INT] * len(operands))
    if not all(isinstance(t, Vector) for t in operands):
        _refuse(name, operands, "vectors")
    compared = operands[1:] if name == "select" else operands
    first = compared[0]
    kind = DTYPES[first.dtype].kind
    wrong = any(t != first for t in compared) or (name == "select" and operands[0].dtype != "b1")
    if wrong or (name in FLOAT_ONLY and kind != "f") or (name in INT_ONLY and kind == "f"):
        _refuse(name, operands, "vectors of one fitting dtype")
    if name in ("hany", "hall") and kind != "b":
        _refuse(name, operands, "a b1 vector")
    return (VECTOR_TYPES["b1"] if name in COMPARE else first)(*operands)


def _scalar_extreme(name, e, x, y=None):
    if name == "abs":
        return e.b.select(e.b.icmp_signed("<", x, I64(0)), e.b.neg(x), x)
    return e.b.select(e.b.icmp_signed(">" if name == "max" else "<", x, y), x, y)


def _generic(name):
    if name in MATH or name in ("floordiv", "mod"):
        function = vector_trig.find(name)
        return lambda e, *values: vector_math_call(e, name, function, values)

    def emit(e, *values):
        if not isinstance(values[0], Value):
            return _scalar_extreme(name, e, *values)
        return getattr(e, name)(*values)

    return emit


def vector_math_call(e, name, function, values):
    """A function of `vector_math`, kept as one private function of the module so that its text is emitted once."""
    dtype = values[0].dtype

    def body(inner, args):
        return function(inner, *(Value(dtype, a) for a in args)).ir

    return Value(dtype, e.helper(f"gk.{name}.{dtype}", values[0].ir.type, [v.ir for v in values], body))


def _philox_typing(k0, k1, c_lo, c_hi):
    u32 = VECTOR_TYPES["u32"]
    operands = (k0, k1, c_lo, c_hi)
    if c_lo != u32 or any(isinstance(t, Vector) and t != u32 for t in operands):
        _refuse("philox", operands, "u32 vectors or scalar integers, and a u32 vector c_lo")
    return u32(*(t if isinstance(t, Vector) else INT for t in operands))


def _philox(e, *operands):
    wide = [v if isinstance(v, Value) else e.broadcast("u32", e.b.trunc(v, ir.IntType(32))) for v in operands]
    return vector_math.philox(e, *wide)


def _report(e, args, code, position, value):
    """Keeps the least (code, position) of the first kernel that reports: its shares run in any order, the error is the same.

    args identifies the kernel among the program's. Cell 7 of the slot is a lock; only who has an error to report waits for it.
    """
    b = e.b
    slot = b.inttoptr(b.load(args), I64.as_pointer())
    cell = lambda index: b.gep(slot, [I64(index)])
    lock = cell(7)
    waiting, owning = b.append_basic_block("report.wait"), b.append_basic_block("report.own")
    b.branch(waiting)
    b.position_at_end(waiting)
    b.cbranch(b.extract_value(b.cmpxchg(lock, I64(0), I64(1), ordering="acq_rel", failordering="monotonic"), 1), owning, waiting)
    b.position_at_end(owning)
    own = b.ptrtoint(args, I64)
    known = b.load(slot)
    earlier = b.icmp_signed("<", position, b.load(cell(2)))
    before = b.or_(b.icmp_signed("<", code, known), b.and_(b.icmp_signed("==", code, known), earlier))
    is_ours = b.icmp_signed("==", b.load(cell(1)), own)
    with b.if_then(b.or_(b.icmp_signed("==", known, I64(0)), b.and_(is_ours, before))):
        if isinstance(value.type, ir.FloatType):
            value = b.fpext(value, ir.DoubleType())
        bits = value if value.type == I64 else b.bitcast(value, I64)
        for index, word in enumerate([code, own, position, bits]):
            b.store(word, cell(index))
    b.store_atomic(I64(0), lock, "release", 8)


def _report_typing(args, code, position, value):
    kept = value if isinstance(value, types.Float) else INT
    return types.void(types.CPointer(INT), INT, INT, kept)


def _prefetch(write, e, address):
    memory.prefetch(e, e.b.inttoptr(address, I64.as_pointer()), write)


def _call_kernel(e, address, args, lo, hi, scratch):
    pointer = I64.as_pointer()
    fnty = ir.FunctionType(ir.VoidType(), [pointer, I64, I64, I64])
    e.b.call(e.b.inttoptr(address, fnty.as_pointer()), [e.b.inttoptr(args, pointer), lo, hi, scratch])


def _define_all():
    for dtype in DTYPES:
        _define_memory(dtype)
        _define_values(dtype)
    for name, arity in ARITY.items():
        _define(name, " ".join("xyz"[:arity]), functools.partial(_follow, name), _generic(name))
    for dtype in STRIP_DTYPES:
        _define_strips(dtype)
    i64, b1 = VECTOR_TYPES["i64"], VECTOR_TYPES["b1"]
    _define("iota", "start", _fixed("iota", i64, INT), Emitter.iota)
    _define("splat_i64v", "i", _fixed("splat_i64v", i64, INT), lambda e, i: e.broadcast("i64", i))
    for name, write in (("prefetch", False), ("prefetch_write", True)):
        _define(name, "address", _fixed(name, types.void, INT), functools.partial(_prefetch, write))
    _define("firstn", "n", _fixed("firstn", b1, INT), Emitter.firstn)
    _define("philox", "k0 k1 c_lo c_hi", _philox_typing, _philox)
    _define("report", "args code position value", _report_typing, _report)
    _define("call_kernel", "address args lo hi scratch", _fixed("call_kernel", types.void, *[INT] * 5), _call_kernel)


_define_all()


def namespace():
    """A fresh dict of the language's names, in which kernel source is executed."""
    return {"LANES": LANES, **_names}


def __getattr__(name):
    if name in _names:
        return _names[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
