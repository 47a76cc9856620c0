"""The SIMD language as plain Python on NumPy vectors, so that a kernel's source runs un-jitted (under pdb, say).

Same names and arguments as `simd`; memory is reached by address through ctypes, masked accesses touch n elements only, and
elementwise results are the same bits: `vector_math` is evaluated through `PythonHandler` where `simd` goes through `Emitter`.
"""

import ctypes
import functools
import itertools
import math
from fractions import Fraction

import numpy as np

from graphkeras.lowering.cpu import packing, vector_math, vector_trig
from graphkeras.lowering.cpu.simd_types import ARITY, DTYPES, MATH, NUMPY_NAMES, STRIP_DTYPES, gather_shapes, strip_shapes
from graphkeras.lowering.cpu.target import LANES

_NUMPY = {short: np.dtype(long) for long, short in NUMPY_NAMES.items() if short != "bf16"}
_STORED = {**_NUMPY, "f16": np.dtype("float16"), "bf16": np.dtype("uint16"), "b1": np.dtype("uint8")}


class Vector:
    """LANES values of one dtype."""

    __slots__ = ("dtype", "values")

    def __init__(self, dtype, values):
        self.dtype, self.values = dtype, np.asarray(values, _NUMPY[dtype])

    def __repr__(self):
        return f"{self.dtype}x{LANES}({self.values.tolist()})"


class Pointer:
    """A typed address; `p[i]` reads and `p[i] = value` writes one element."""

    __slots__ = ("address", "dtype", "size")

    def __init__(self, dtype, address):
        self.dtype, self.address = dtype, address.address if isinstance(address, Pointer) else int(address)
        self.size = _STORED[dtype].itemsize

    def memory(self, i, count):
        """A NumPy view of `count` elements from element i, as they lie in memory."""
        raw = (ctypes.c_char * (count * self.size)).from_address(self.address + int(i) * self.size)
        return np.frombuffer(raw, _STORED[self.dtype])

    def __getitem__(self, i):
        return self.memory(i, 1)[0].item()

    def __setitem__(self, i, value):
        self.memory(i, 1)[0] = value


# ---- exact pieces ---------------------------------------------------------------------------------------------------


def _odd(total, error):
    """f64 sums with inexact results forced odd, so that rounding them to f32 rounds once (Boldo and Melquiond, 2008)."""
    bits = total.view(np.int64)
    step = np.where((error > 0) == (total > 0), 1, -1)
    moved = np.where((error != 0) & (bits & 1 == 0) & np.isfinite(total), bits + step, bits)
    return moved.view(np.float64)


def _fma_f32(x, y, z):
    product, z = x.astype(np.float64) * y.astype(np.float64), z.astype(np.float64)
    total = product + z
    other = total - product
    return _odd(total, (product - (total - other)) + (z - other)).astype(np.float32)


def _fma_one(x, y, z):
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        return x * y + z
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    if exact == 0:
        return x * y + z
    try:
        return exact.numerator / exact.denominator  # Python divides integers with one correct rounding
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _odd_f32(x):
    """f64 -> f32, inexact results forced odd, as a step on the way to 16 bits."""
    near = x.astype(np.float32)
    bits, back = near.view(np.int32), near.astype(np.float64)
    moved = bits + np.where(np.abs(x) > np.abs(back), 1, -1).astype(np.int32)
    return np.where((back == x) | np.isnan(x) | (bits & 1 == 1), bits, moved).view(np.float32)


def _narrow(dtype, v):
    """Values as they lie in memory."""
    if dtype == "b1":
        return (v.values != 0).astype(np.uint8)
    if dtype not in ("f16", "bf16"):
        return _cast(dtype, v).values
    x = _odd_f32(v.values) if v.dtype == "f64" else v.values.astype(np.float32)
    if dtype == "f16":
        return x.astype(np.float16)
    bits = x.view(np.uint32)
    rounded = bits + ((bits >> 16) & 1) + np.uint32(0x7FFF)
    return (np.where(np.isnan(x), (bits & np.uint32(0x80000000)) | np.uint32(0x7FC00000), rounded) >> 16).astype(np.uint16)


def _widen(dtype, stored):
    if dtype == "bf16":
        return Vector("f32", (stored.astype(np.uint32) << np.uint32(16)).view(np.float32))
    if dtype == "b1":
        return Vector("b1", stored != 0)
    return Vector(DTYPES[dtype].compute, stored)


def _cast(dtype, v):
    if DTYPES[dtype].compute != dtype:
        return _widen(dtype, _narrow(dtype, v))
    kind = DTYPES[dtype].kind
    if v.dtype[0] == "f" and kind in "iu" and DTYPES[dtype].bits < 32:
        return Vector(dtype, v.values.astype(np.int32).astype(_NUMPY[dtype]))
    return Vector(dtype, v.values.astype(_NUMPY[dtype]))


def _signed(dtype, x):
    limit = 2.0 ** (DTYPES[dtype].bits - 1)
    fits = (x >= -limit) & (x < limit)
    return np.where(fits, np.where(fits, x, 0).astype(_NUMPY[dtype]), np.iinfo(_NUMPY[dtype]).min)


def _convert(dtype, v):
    """`cast_T` of any values; see `Emitter.convert`."""
    if v.dtype[0] != "f" or DTYPES[dtype].kind not in "iu":
        return _cast(dtype, v)
    if DTYPES[dtype].bits < 32:
        return Vector(dtype, _signed("i32", v.values).astype(_NUMPY[dtype]))
    if dtype in ("i32", "i64"):
        return Vector(dtype, _signed(dtype, v.values))
    low = _signed("i64", v.values)
    if dtype == "u64":
        low = np.where(v.values >= 2.0**63, _signed("i64", v.values - v.values.dtype.type(2.0**63)) ^ np.int64(-(1 << 63)), low)
    return Vector(dtype, low.astype(_NUMPY[dtype]))


# ---- the handler that vector_math and the namespace share -----------------------------------------------------------


def _quiet(function):
    """NumPy's warnings on overflow and NaN say nothing that the vectors do not show."""

    def inner(*args):
        with np.errstate(all="ignore"):
            return function(*args)

    return inner


def _simple(operation):
    return lambda self, *vs: Vector(vs[0].dtype, operation(*(v.values for v in vs)))


def _comparison(operation):
    return lambda self, x, y: Vector("b1", operation(x.values, y.values))


def _rounding(operation):
    return lambda self, x: Vector(x.dtype, operation(x.values)) if self.is_float(x) else x


def _shift(operation):
    def shift(self, x, n):
        bits, signed = DTYPES[x.dtype].bits, self.is_signed(x)
        count = n.values.astype(np.int64)
        inside = (count >= 0) & (count < bits)
        beyond = np.where(x.values < 0, -1, 0) if signed and operation is np.right_shift else 0
        moved = operation(x.values, np.where(inside, count, 0).astype(x.values.dtype))
        return Vector(x.dtype, np.where(inside, moved, beyond))

    return shift


class PythonHandler:
    """The operations of the SIMD language on `Vector`s."""

    def const(self, dtype, number):
        return Vector(dtype, np.full(LANES, number))

    def cast(self, dtype, v):
        return _cast(dtype, v)

    def bitcast(self, dtype, v):
        return Vector(dtype, v.values.view(_NUMPY[dtype]))

    add, sub, mul, neg = (_simple(f) for f in (np.add, np.subtract, np.multiply, lambda x: -x))
    and_, or_, xor, not_ = (_simple(f) for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert))
    lt, le, gt, ge = (_comparison(f) for f in (np.less, np.less_equal, np.greater, np.greater_equal))
    eq, ne = _comparison(np.equal), _comparison(np.not_equal)
    floor, ceil, round, trunc = (_rounding(f) for f in (np.floor, np.ceil, np.rint, np.trunc))
    div, sqrt, abs = _simple(np.true_divide), _simple(np.sqrt), _simple(np.abs)
    shl, shr = _shift(np.left_shift), _shift(np.right_shift)

    def fma(self, x, y, z):
        if x.dtype == "f32":
            return Vector("f32", _fma_f32(x.values, y.values, z.values))
        if x.dtype == "f64":
            one = getattr(math, "fma", _fma_one)
            return Vector("f64", [one(*map(float, t)) for t in zip(x.values, y.values, z.values)])
        return self.add(self.mul(x, y), z)

    def rsqrt(self, x):
        return self.div(self.const(x.dtype, 1), self.sqrt(x))

    def max(self, x, y):
        return self._extreme(x, y, x.values > y.values)

    def min(self, x, y):
        return self._extreme(x, y, x.values < y.values)

    def _extreme(self, x, y, chosen):
        return Vector(x.dtype, np.where((x.values != x.values) | chosen, x.values, y.values))

    def select(self, mask, x, y):
        return Vector(x.dtype, np.where(mask.values, x.values, y.values))

    def int_divide(self, x, y):
        pairs = list(zip(x.values.tolist(), y.values.tolist()))
        quotients = [0 if b == 0 else (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1) for a, b in pairs]
        width = 1 << DTYPES[x.dtype].bits
        wrapped = [q % width - width * (self.is_signed(x) and q % width >= width // 2) for q in quotients]
        quotient = Vector(x.dtype, np.array(wrapped, _NUMPY[x.dtype]))
        return quotient, self.sub(x, self.mul(quotient, y))

    def where_any(self, mask, then, otherwise):
        return then() if mask.values.any() else otherwise

    def while_any(self, condition, step, state):
        while condition(state).values.any():
            state = step(state)
        return state

    def table(self, dtype, name, numbers, index):
        return Vector(dtype, np.asarray(numbers)[index.values])

    def is_float(self, x):
        return DTYPES[x.dtype].kind == "f"

    def is_signed(self, x):
        return DTYPES[x.dtype].kind == "i"

    def _reduce(self, combine, x):
        width = LANES // 2
        values = x
        while width:
            values = combine(values, Vector(x.dtype, np.roll(values.values, -width)))
            width //= 2
        return Vector(x.dtype, np.full(LANES, values.values[0]))

    def hsum(self, x):
        return self._reduce(self.add, x)

    def hprod(self, x):
        return self._reduce(self.mul, x)

    def hmax(self, x):
        return self._reduce(self.max, x)

    def hmin(self, x):
        return self._reduce(self.min, x)

    def hany(self, x):
        return Vector("b1", np.full(LANES, x.values.any()))

    def hall(self, x):
        return Vector("b1", np.full(LANES, x.values.all()))


_HANDLER = PythonHandler()

# ---- the namespace --------------------------------------------------------------------------------------------------


def _padded(stored, n):
    full = np.zeros(LANES, stored.dtype)
    full[:n] = stored
    return full


def _count(n):
    return max(0, min(int(n), LANES))


def _memory_names(dtype):
    size = _STORED[dtype].itemsize

    def load(p, i):
        return _widen(dtype, p.memory(i, LANES).copy())

    def loadn(p, i, n):
        return _widen(dtype, _padded(p.memory(i, _count(n)), _count(n)))

    def loadx(p, index, n):
        found = [p.memory(j, 1)[0] for j in index.values[: _count(n)]]
        return _widen(dtype, _padded(np.array(found, _STORED[dtype]), _count(n)))

    def loads(p, i, s, n):
        return loadx(p, Vector("i64", i + s * np.arange(LANES)), n)

    def splat(p, i):
        return _widen(dtype, np.full(LANES, p.memory(i, 1)[0]))

    def store(p, i, v):
        p.memory(i, LANES)[:] = _narrow(dtype, v)

    def storen(p, i, v, n):
        p.memory(i, _count(n))[:] = _narrow(dtype, v)[: _count(n)]

    def stores(p, i, s, v, n):
        for lane, element in enumerate(_narrow(dtype, v)[: _count(n)]):
            p.memory(i + lane * s, 1)[0] = element

    def transpose(p, i, row, q, j, column):
        lines = [p.memory(i + lane * row, LANES).copy() for lane in range(LANES)]
        for lane, line in enumerate(np.stack(lines, 1)):
            q.memory(j + lane * column, LANES)[:] = line

    def bits(number):
        raw = (int(number) & (1 << 8 * size) - 1).to_bytes(size, "little")
        return _widen(dtype, np.full(LANES, np.frombuffer(raw, _STORED[dtype])[0]))

    names = (load, loadn, loadx, loads, splat, store, storen, stores, transpose, bits)
    return {f"{f.__name__}_{dtype}": _quiet(f) for f in names}


def _strip(dtype, kind, a, a_row, a_step, b, b_step, count, c, c_row, onto, b_next=0):
    """A strip of rows times panels, as in `strips`."""
    rows, vectors = strip_shapes(dtype, LANES)[kind]
    for r in range(rows):
        for j in range(0, vectors * LANES, LANES):
            place = b_next + j - vectors * LANES // 2 if kind == "wide" and 2 * j >= vectors * LANES else j
            total = Vector(dtype, np.zeros(LANES))
            for q in range(count):
                factor = Vector(dtype, np.full(LANES, a[r * a_row + q * a_step]))
                total = _HANDLER.fma(factor, Vector(dtype, b.memory(q * b_step + place, LANES)), total)
            target = c.memory(r * c_row + j, LANES)
            target[:] = target + total.values if onto else total.values


def _pack_panels(dtype, b, k_step, n_step, panels, k, n, first):
    """As in `packing`, like the three below."""
    width = strip_shapes(dtype, LANES)["tall"][1] * LANES
    for j in range(first, -(-n // width) * width):
        for q in range(k):
            place = j // width * width * k + q * width + j % width
            panels.memory(place, 1)[0] = b[q * k_step + j * n_step] if j < n else 0


def _pack_strips(dtype, a, m_step, k_step, strips, k, m):
    low, tall = (strip_shapes(dtype, LANES)[kind][0] for kind in ("low", "tall"))
    i = 0
    while i < m:
        height = low if packing.is_low(m - i, low, tall) else tall
        for q in range(k):
            for r in range(height):
                value = a[(i + r) * m_step + q * k_step] if i + r < m else 0
                strips.memory(i * (k + LANES) + q * height + r, 1)[0] = value
        i += height


def _pack_rows(dtype, a, m_step, rows, row, k, m, first):
    for i in range(first, m + strip_shapes(dtype, LANES)["tall"][0]):
        rows.memory(i * row, k)[:] = a.memory(i * m_step, k) if i < m else 0


def _merge_corner(dtype, corner, c, c_row, m, n, onto):
    width = strip_shapes(dtype, LANES)["tall"][1] * LANES
    for i in range(m):
        place = c.memory(i * c_row, n)
        place[:] = place + corner.memory(i * width, n) if onto else corner.memory(i * width, n)


_PACKING = {"pack_panels": _pack_panels, "pack_strips": _pack_strips, "pack_rows": _pack_rows, "merge_corner": _merge_corner}


def _gather(dtype, kind, rows, segments, many, count, shift, step, b, b_step, c_shift, onto):
    """Rows at addresses of their own times a panel, as in `conv_strips`."""
    height, vectors = gather_shapes(dtype, LANES)[kind]
    stores = []
    for r in range(height):
        a, c = Pointer(dtype, rows[r] + shift), Pointer(dtype, rows[height + r] + c_shift)
        for j in range(0, vectors * LANES, LANES):
            total = Vector(dtype, np.zeros(LANES))
            for s, q in itertools.product(range(many), range(count)):
                factor = np.full(LANES, a[segments[2 * s] + q * step])
                line = b.memory(segments[2 * s + 1] + q * b_step + j, LANES)
                total = _HANDLER.fma(Vector(dtype, factor), Vector(dtype, line), total)
            place = c.memory(j, LANES)
            stores.append((place, place + total.values if onto else total.values))
    for place, values in stores:
        place[:] = values


def _places_of_runs(runs, many):
    """Elements of the two arrays at which the places of all runs begin, as in `conv_lanes`."""
    for run in range(many):
        at, place, at_step, place_step, places = (runs[5 * run + i] for i in range(5))
        yield from ((at + p * at_step, place + p * place_step) for p in range(places))


def _gather_lanes(dtype, runs, many, taps, count, a, by_run, by_tap, lanes):
    for at, place in _places_of_runs(runs, many):
        total = Vector(dtype, np.zeros(lanes))
        for t in range(count):
            line = Vector(dtype, by_tap.memory(taps[2 * t + 1], lanes))
            total = _HANDLER.fma(Vector(dtype, a.memory(at + taps[2 * t], lanes)), line, total)
        by_run.memory(place, lanes)[:] = total.values


def _gather_taps(dtype, runs, many, taps, count, a, by_run, by_tap, lanes):
    for t in range(count):
        total = Vector(dtype, np.zeros(lanes))
        for at, place in _places_of_runs(runs, many):
            line = Vector(dtype, by_run.memory(place, lanes))
            total = _HANDLER.fma(Vector(dtype, a.memory(at + taps[2 * t], lanes)), line, total)
        goal = by_tap.memory(taps[2 * t + 1], lanes)
        goal[:] = goal + total.values


_BY_LANES = {"gather_lanes": _gather_lanes, "gather_taps": _gather_taps}


def _value_names(dtype):
    compute = DTYPES[dtype].compute

    def const(number):
        if compute[0] in "iu" and not isinstance(number, float):
            width = 1 << DTYPES[compute].bits
            number = int(number) % width
            number -= width * (compute[0] == "i" and number >= width // 2)
        return _cast(dtype, Vector(compute, np.full(LANES, number)))

    names = {
        f"ptr_{dtype}": lambda address: Pointer(dtype, address),
        f"const_{dtype}": _quiet(const),
        f"cast_{dtype}": _quiet(lambda v: _convert(dtype, v)),
    }
    if compute == dtype:
        if dtype != "b1":
            names[f"bitcast_{dtype}"] = lambda v: _HANDLER.bitcast(dtype, v)
        scalar = {"f32": np.float32, "f64": float, "u64": lambda x: int(np.int64(x.astype(np.int64)))}.get(dtype, int)
        names[f"lane0_{dtype}"] = lambda v: scalar(v.values[0])
    return names


def _operation(name):
    if name in (*MATH, "floordiv", "mod"):
        return _quiet(functools.partial(vector_trig.find(name), _HANDLER))
    method = _quiet(getattr(_HANDLER, name))
    scalar = {"max": max, "min": min, "abs": abs}.get(name)
    if scalar is None:
        return method
    return lambda *args: method(*args) if isinstance(args[0], Vector) else scalar(*args)


def _iota(start):
    return Vector("i64", start + np.arange(LANES))


def _firstn(n):
    return Vector("b1", np.arange(LANES) < n)


def _philox(k0, k1, c_lo, c_hi):
    wide = [v if isinstance(v, Vector) else Vector("u32", np.full(LANES, int(v) & 0xFFFFFFFF)) for v in (k0, k1, c_lo, c_hi)]
    return _quiet(vector_math.philox)(_HANDLER, *wide)


def _report(args, code, position, value):
    slot = Pointer("i64", args[0])
    if slot[0] == 0 or (slot[1] == args.address and (code, position) < (slot[0], slot[2])):
        bits = np.float64(value).view(np.int64) if isinstance(value, float | np.floating) else value
        slot[0], slot[1], slot[2], slot[3] = code, args.address, position, bits


_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


def _call_kernel(address, args, lo, hi, scratch):
    _KERNEL(address)(args, lo, hi, scratch)


def namespace():
    """A fresh dict of the language's names, in which kernel source is executed."""
    names = {"LANES": LANES, "iota": _iota, "firstn": _firstn, "philox": _philox}
    names |= dict.fromkeys(("prefetch", "prefetch_write"), lambda address: None)
    names |= {"report": _report, "call_kernel": _call_kernel}
    names["splat_i64v"] = lambda i: Vector("i64", np.full(LANES, i))
    for dtype in DTYPES:
        names |= _memory_names(dtype) | _value_names(dtype)
    for dtype in STRIP_DTYPES:
        names |= {f"strip_{kind}_{dtype}": _quiet(functools.partial(_strip, dtype, kind)) for kind in strip_shapes(dtype, LANES)}
        names |= {f"{name}_{dtype}": _quiet(functools.partial(function, dtype)) for name, function in _PACKING.items()}
        names.update({f"{kind}_{dtype}": _quiet(functools.partial(_gather, dtype, kind)) for kind in gather_shapes(dtype, LANES)})
        names |= {f"{name}_{dtype}": _quiet(functools.partial(function, dtype)) for name, function in _BY_LANES.items()}
    return names | {name: _operation(name) for name in ARITY}


def run(kernel, args, lo, hi, scratch=0):
    """Run a kernel function made in `namespace()` on the argument block at address `args`."""
    kernel(Pointer("i64", args), lo, hi, scratch)
