"""Loads and stores of the SIMD language as LLVM instructions: contiguous, masked, strided and gathered.

Masked accesses never touch an element past n. For 32 and 64 bit elements they are the CPU's masked moves; 8 and 16 bit
elements have none before AVX-512, so those are put together from two overlapping scalar accesses of half the width.
Strided and gathered accesses go lane by lane: on the CPUs at hand that is as fast as a gather instruction.
Functions take the emitter first; pointers are LLVM pointers to the element in memory, values are LLVM vectors.
"""

from typing import NamedTuple

from llvmlite import ir

from graphkeras.lowering.cpu import target
from graphkeras.lowering.cpu.simd_types import DTYPES
from graphkeras.lowering.cpu.target import LANES

I8, I16, I32, I64 = (ir.IntType(n) for n in (8, 16, 32, 64))


class Value(NamedTuple):
    """A vector in the making: its dtype and the LLVM value."""

    dtype: str
    ir: object


def storage_type(dtype):
    """LLVM type of one element in memory."""
    if dtype in ("f32", "f64"):
        return ir.FloatType() if dtype == "f32" else ir.DoubleType()
    return ir.IntType(DTYPES[dtype].bits)


def storage_vector(dtype):
    """LLVM type of LANES elements in memory."""
    return ir.VectorType(storage_type(dtype), LANES)


def widen(e, dtype, stored):
    """Elements as they lie in memory -> the vector they are computed as."""
    if dtype == "b1":
        return e.ne(Value("i8", stored), e.const("i8", 0))
    if dtype == "bf16":
        return e.bitcast("f32", e.shl(e.cast("u32", Value("u16", stored)), e.const("u32", 16)))
    if dtype == "f16" and not target.HAS_HALVES:
        return _from_halves(e, Value("u16", stored))
    if dtype == "f16":
        half = e.b.bitcast(stored, ir.VectorType(ir.HalfType(), LANES))
        return Value("f32", e.b.fpext(half, ir.VectorType(ir.FloatType(), LANES)))
    return Value(dtype, stored)


def narrow(e, dtype, x):
    """A vector -> elements as they lie in memory; f16 and bf16 round to nearest, ties to even."""
    if dtype == "b1":
        return e.b.zext(e.cast("b1", x).ir, storage_vector("b1"))
    if dtype not in ("f16", "bf16"):
        return e.cast(dtype, x).ir
    x = _odd_f32(e, x) if x.dtype == "f64" else e.cast("f32", x)
    if dtype == "f16" and not target.HAS_HALVES:
        return _to_halves(e, x).ir
    if dtype == "f16":
        half = e.b.fptrunc(x.ir, ir.VectorType(ir.HalfType(), LANES))
        return e.b.bitcast(half, storage_vector("f16"))
    bits = e.bitcast("u32", x)
    even = e.and_(e.shr(bits, e.const("u32", 16)), e.const("u32", 1))
    rounded = e.add(bits, e.add(even, e.const("u32", 0x7FFF)))
    quiet = e.or_(e.and_(bits, e.const("u32", 0x80000000)), e.const("u32", 0x7FC00000))
    bits = e.select(e.ne(x, x), quiet, rounded)
    return e.cast("u16", e.shr(bits, e.const("u32", 16))).ir


def _from_halves(e, stored):
    """Half precision -> f32, where the CPU cannot: the fields are moved, and the exponent's bias is a factor, for denormals too."""
    bits = e.cast("u32", stored)
    rest = e.and_(bits, e.const("u32", 0x7FFF))
    sign = e.shl(e.xor(bits, rest), e.const("u32", 16))
    fields = e.shl(rest, e.const("u32", 13))
    number = e.bitcast("u32", e.mul(e.bitcast("f32", fields), e.const("f32", 2.0**112)))
    special = e.or_(fields, e.const("u32", 0x7F800000))
    finite = e.lt(rest, e.const("u32", 0x7C00))
    return e.bitcast("f32", e.or_(e.select(finite, number, special), sign))


def _to_halves(e, x):
    """f32 -> half precision, likewise; adding the right number rounds what becomes a denormal."""
    bits = e.bitcast("u32", x)
    sign = e.and_(bits, e.const("u32", 0x80000000))
    size = e.xor(bits, sign)
    half = e.const("u32", 0x3F000000)  # 0.5: the last bit of its sum with x < 2**-14 is worth 2**-24, as that of a denormal
    tiny = e.sub(e.bitcast("u32", e.add(e.bitcast("f32", size), e.const("f32", 0.5))), half)
    odd = e.and_(e.shr(size, e.const("u32", 13)), e.const("u32", 1))
    usual = e.shr(e.add(size, e.add(odd, e.const("u32", 0xFFF - (112 << 23) & 0xFFFFFFFF))), e.const("u32", 13))
    number = e.select(e.lt(size, e.const("u32", 113 << 23)), tiny, usual)
    special = e.select(e.ne(x, x), e.const("u32", 0x7E00), e.const("u32", 0x7C00))
    number = e.select(e.lt(size, e.const("u32", 143 << 23)), number, special)
    return e.cast("u16", e.or_(number, e.shr(sign, e.const("u32", 16))))


def _odd_f32(e, x):
    """f64 -> f32 with an inexact result forced odd, so that a second rounding to 16 bits is right (Boldo, Melquiond 2008)."""
    near = e.cast("f32", x)
    back = e.cast("f64", near)
    bits = e.bitcast("i32", near)
    exact = e.or_(e.eq(back, x), e.ne(x, x))
    odd = e.ne(e.and_(bits, e.const("i32", 1)), e.const("i32", 0))
    away = e.gt(e.abs(x), e.abs(back))
    moved = e.add(bits, e.select(away, e.const("i32", 1), e.const("i32", -1)))
    return e.bitcast("f32", e.select(e.or_(exact, odd), bits, moved))


def load(e, dtype, p, i):
    """LANES contiguous elements."""
    return widen(e, dtype, _load(e, dtype, e.b.gep(p, [i])))


def loadn(e, dtype, p, i, n):
    """The first n elements, zero beyond."""
    return widen(e, dtype, _loadn(e, dtype, e.b.gep(p, [i]), n))


def loads(e, dtype, p, i, s, n):
    """n elements at distance s, zero beyond."""
    steps = e.b.mul(ir.Constant(ir.VectorType(I64, LANES), list(range(LANES))), e.broadcast("i64", s).ir)
    return widen(e, dtype, gather(e, dtype, e.b.gep(p, [i]), steps, n))


def loadx(e, dtype, p, index, n):
    """Elements p[index] of the first n lanes, zero beyond."""
    return widen(e, dtype, gather(e, dtype, p, index.ir, n))


def splat(e, dtype, p, i):
    """One element in every lane."""
    value = e.b.load(e.b.gep(p, [i]), align=_align(dtype))
    undefined = ir.Constant(storage_vector(dtype), ir.Undefined)
    one = e.b.insert_element(undefined, value, I32(0))
    return widen(e, dtype, e.b.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES)))


def store(e, dtype, p, i, x):
    """LANES contiguous elements."""
    _store(e, dtype, narrow(e, dtype, x), e.b.gep(p, [i]))


def storen(e, dtype, p, i, x, n):
    """The first n elements; nothing else is written."""
    _storen(e, dtype, narrow(e, dtype, x), e.b.gep(p, [i]), n)


def stores(e, dtype, p, i, s, x, n):
    """The first n lanes at distance s."""
    _scatter(e, dtype, narrow(e, dtype, x), e.b.gep(p, [i]), s, n)


def gather(e, dtype, p, index, n):
    """Stored elements p[index] lane by lane; lanes from n on read lane 0's element, then become zero."""
    vector = storage_vector(dtype)
    whole = isinstance(n, ir.Constant) and n.constant >= LANES
    if not whole:
        mask = e.firstn(n).ir
        first = e.broadcast("i64", e.b.extract_element(index, I32(0))).ir
        index = e.b.select(mask, index, first)
    result = ir.Constant(vector, ir.Undefined)
    for lane in range(LANES):
        at = e.b.gep(p, [e.b.extract_element(index, I32(lane))])
        result = e.b.insert_element(result, e.b.load(at, align=_align(dtype)), I32(lane))
    return result if whole else e.b.select(mask, result, ir.Constant(vector, None))


def transpose(e, dtype, p, i, row, q, j, column):
    """The LANES x LANES block at p[i] (rows at distance `row`) transposed to q[j] (rows at distance `column`).

    Halves are exchanged first and single elements last, so that only the first exchange crosses the register's halves.
    """
    lines = [_load(e, dtype, e.b.gep(p, [e.b.add(i, e.b.mul(row, I64(lane)))])) for lane in range(LANES)]
    width = LANES // 2
    while width:
        low = [(lane if lane & width == 0 else lane - width + LANES) for lane in range(LANES)]
        high = [lane + width for lane in low]
        masks = [ir.Constant(ir.VectorType(I32, LANES), m) for m in (low, high)]
        for lane in range(LANES):
            if lane & width == 0:
                pair = lines[lane], lines[lane + width]
                lines[lane], lines[lane + width] = (e.b.shuffle_vector(*pair, mask) for mask in masks)
        width //= 2
    for lane, line in enumerate(lines):
        _store(e, dtype, line, e.b.gep(q, [e.b.add(j, e.b.mul(column, I64(lane)))]))


def prefetch(e, pointer, write=False):
    """Bring the line at a pointer near, for reading or writing; no address is an error."""
    e.call("llvm.prefetch.p0", ir.VoidType(), [e.b.bitcast(pointer, I8.as_pointer()), I32(int(write)), I32(3), I32(1)])


# ---- stored elements ------------------------------------------------------------------------------------------------


def _align(dtype):
    return DTYPES[dtype].bits // 8


def _masked_moves(dtype):
    """Whether the CPU moves elements of this width under a mask."""
    return DTYPES[dtype].bits >= 32 or target.has("avx512bw")


def _suffix(dtype):
    return dtype if dtype in ("f32", "f64") else f"i{DTYPES[dtype].bits}"


def _load(e, dtype, p):
    return e.b.load(e.b.bitcast(p, storage_vector(dtype).as_pointer()), align=_align(dtype))


def _store(e, dtype, x, p):
    e.b.store(x, e.b.bitcast(p, storage_vector(dtype).as_pointer()), align=_align(dtype))


def _loadn(e, dtype, p, n):
    vector, suffix = storage_vector(dtype), _suffix(dtype)
    if _masked_moves(dtype):
        args = [e.b.bitcast(p, vector.as_pointer()), I32(_align(dtype)), e.firstn(n).ir, ir.Constant(vector, None)]
        return e.call(f"llvm.masked.load.v{LANES}{suffix}.p0", vector, args)
    return e.helper(f"gk.loadn.{suffix}", vector, [p, n], lambda inner, args: _narrow_loadn(inner, dtype, *args))


def _storen(e, dtype, x, p, n):
    suffix = _suffix(dtype)
    if isinstance(n, ir.Constant) and n.constant == 1:
        e.b.store(e.b.extract_element(x, I32(0)), p, align=_align(dtype))
        return
    if _masked_moves(dtype):
        if DTYPES[dtype].bits < 32:
            # Where LLVM 22 finds out that one lane is stored of what it has just narrowed, it stores that lane unnarrowed.
            n = e.opaque(n)
        args = [x, e.b.bitcast(p, x.type.as_pointer()), I32(_align(dtype)), e.firstn(n).ir]
        e.call(f"llvm.masked.store.v{LANES}{suffix}.p0", ir.VoidType(), args)
        return
    e.helper(f"gk.storen.{suffix}", ir.VoidType(), [x, p, n], lambda inner, args: _narrow_storen(inner, dtype, *args))


def _spans(dtype):
    """Scalar widths in bits from half a vector down to one element."""
    bits = LANES * DTYPES[dtype].bits // 2
    while bits >= DTYPES[dtype].bits:
        yield bits
        bits //= 2


def _narrow_loadn(e, dtype, p, n):
    """Whole vector when n >= LANES; else the two halves that cover n elements, the upper shifted onto its place."""
    b, bits, vector = e.b, DTYPES[dtype].bits, storage_vector(dtype)
    total = ir.IntType(LANES * bits)
    with b.if_then(b.icmp_signed(">=", n, I64(LANES))):
        b.ret(_load(e, dtype, p))
    for span in _spans(dtype):
        count = span // bits
        with b.if_then(b.icmp_signed(">=", n, I64(count))):
            piece = ir.IntType(span)
            low = b.load(b.bitcast(p, piece.as_pointer()), align=_align(dtype))
            rest = b.sub(n, I64(count))
            high = b.load(b.bitcast(b.gep(p, [rest]), piece.as_pointer()), align=_align(dtype))
            shift = b.mul(rest, I64(bits))
            shift = b.zext(shift, total) if total.width > 64 else b.trunc(shift, total) if total.width < 64 else shift
            joined = b.or_(b.zext(low, total), b.shl(b.zext(high, total), shift))
            b.ret(b.bitcast(joined, vector))
    return ir.Constant(vector, None)


def _narrow_storen(e, dtype, x, p, n):
    """The mirror of `_narrow_loadn`."""
    b, bits = e.b, DTYPES[dtype].bits
    total = ir.IntType(LANES * bits)
    with b.if_then(b.icmp_signed(">=", n, I64(LANES))):
        _store(e, dtype, x, p)
        b.ret_void()
    whole = b.bitcast(x, total)
    for span in _spans(dtype):
        count = span // bits
        with b.if_then(b.icmp_signed(">=", n, I64(count))):
            piece = ir.IntType(span)
            rest = b.sub(n, I64(count))
            shift = b.mul(rest, I64(bits))
            shift = b.zext(shift, total) if total.width > 64 else b.trunc(shift, total) if total.width < 64 else shift
            b.store(b.trunc(whole, piece), b.bitcast(p, piece.as_pointer()), align=_align(dtype))
            high = b.trunc(b.lshr(whole, shift), piece)
            b.store(high, b.bitcast(b.gep(p, [rest]), piece.as_pointer()), align=_align(dtype))
            b.ret_void()


def _scatter(e, dtype, x, p, s, n):
    """The first n lanes of x at distance s, in a private function since it branches once a lane."""

    def body(inner, args):
        b, (x, p, s, n) = inner.b, args
        for lane in range(LANES):
            with b.if_then(b.icmp_signed("<=", n, I64(lane))):
                b.ret_void()
            b.store(b.extract_element(x, I32(lane)), b.gep(p, [b.mul(s, I64(lane))]), align=_align(dtype))

    e.helper(f"gk.stores.{_suffix(dtype)}", ir.VoidType(), [x, p, s, n], body)
