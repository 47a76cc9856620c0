"""Elementary functions as sequences of SIMD operations, for f32 and f64.

Each function takes a handler `k` (the LLVM `Emitter`, or the NumPy handler of `simd_python`) and dtype-tagged vectors. The
text is shared, so a kernel gives the same bits compiled and run as plain Python, and the same bits in tails, strict and
fused kernels. NaN, infinities, signed zeros and denormals behave as in NumPy.

Methods: argument reduction after Cody and Waite (Software Manual for the Elementary Functions, 1980); the forms of log and
log1p after Kahan and Sun's fdlibm; two-sums and two-products after Dekker; reduction of large angles after Payne and Hanek
(1983); rounding analysis after Muller (Elementary Functions, 3rd ed., 2016). All coefficients are our own minimax
fits (`coefficients`).

Largest errors found, in ULP of the exact value (f32: all 2**32 floats, of pow every 67th of them with 184 exponents, see
`tests/lowering/test_every_float.py`; f64: 2 million numbers of many scales; pow: 1 million pairs; rsqrt in f32: 1.49):

             exp  expm1   log  log1p  tanh  sigmoid  softplus   erf   sin   cos   pow
    f32     1.01   1.60  0.84   1.44  1.33     2.40      1.99  1.13  1.58  1.58  0.50
    f64     1.00   1.94  0.81   1.18  2.44     2.23      1.88  1.00  1.53  1.56  1.18
"""

import functools

from graphkeras.lowering.cpu import coefficients as co

INFINITY = float("inf")

# ---- pieces ---------------------------------------------------------------------------------------------------------


def poly(k, x, coefficients):
    """Horner's rule with fused steps."""
    total = k.const(x.dtype, coefficients[0])
    for c in coefficients[1:]:
        total = k.fma(total, x, k.const(x.dtype, c))
    return total


def bits(k, x):
    return k.bitcast(co.INT[x.dtype], x)


def integer(k, like, number):
    return k.const(co.INT[like.dtype], number)


def nearest(k, t):
    """Nearest integer of t (|t| < 2**22 in f32), as a float and as an integer; t carries the magic number already."""
    magic = k.const(t.dtype, co.MAGIC[t.dtype])
    return k.sub(t, magic), k.sub(bits(k, t), bits(k, magic))


def from_integer(k, dtype, n):
    """A small integer vector as floats; f64 by way of the magic number, for AVX2 converts no 64-bit integers."""
    if dtype == "f32":
        return k.cast("f32", n)
    magic = k.const(dtype, co.MAGIC[dtype])
    return k.sub(k.bitcast(dtype, k.add(n, bits(k, magic))), magic)


def _power_of_two(k, dtype, n):
    """2**n for exponents of normal numbers."""
    return k.bitcast(dtype, k.shl(k.add(n, k.const(n.dtype, co.BIAS[dtype])), k.const(n.dtype, co.MANTISSA[dtype])))


def scale(k, x, n):
    """x * 2**n in two halves, so that neither factor leaves the normal range and a denormal result is rounded once."""
    half = k.shr(n, k.const(n.dtype, 1))
    first = k.mul(x, _power_of_two(k, x.dtype, half))
    return k.mul(first, _power_of_two(k, x.dtype, k.sub(n, half)))


def _sign_of(k, x):
    """The sign bit of x as an integer vector."""
    return k.and_(bits(k, x), integer(k, x, co.SIGN[x.dtype]))


def copysign(k, x, sign_of):
    magnitude = k.and_(bits(k, x), integer(k, x, ~co.SIGN[x.dtype]))
    return k.bitcast(x.dtype, k.or_(magnitude, _sign_of(k, sign_of)))


def _two_sum(k, a, b):
    """a + b and its rounding error."""
    total = k.add(a, b)
    other = k.sub(total, a)
    return total, k.add(k.sub(a, k.sub(total, other)), k.sub(b, other))


def _two_product(k, a, b):
    """a * b and its rounding error."""
    product = k.mul(a, b)
    return product, k.fma(a, b, k.neg(product))


# ---- exponential family ---------------------------------------------------------------------------------------------


def exp_reduce(k, x):
    """x = n ln(2) + r: r, and n as an integer."""
    t = k.fma(x, k.const(x.dtype, co.LOG2_E), k.const(x.dtype, co.MAGIC[x.dtype]))
    n, whole = nearest(k, t)
    minus = k.neg(n)
    r = k.fma(minus, k.const(x.dtype, co.LN2_HI[x.dtype]), x)
    return k.fma(minus, k.const(x.dtype, co.LN2_LO[x.dtype]), r), whole


def exp(k, x):
    usual = k.le(k.abs(x), k.const(x.dtype, co.EXP_NORMAL[x.dtype]))

    def clamped():
        low, high = co.EXP_RANGE[x.dtype]
        inside = k.min(k.const(x.dtype, high), k.max(k.const(x.dtype, low), x))
        return scale(k, *_exp_parts(k, inside))

    return k.where_any(k.not_(usual), clamped, _scale_normal(k, *_exp_parts(k, x)))


def _exp_parts(k, x):
    """exp(x) = y * 2**n for an x inside the range: y near 1, and n."""
    r, n = exp_reduce(k, x)
    tail = k.fma(k.mul(r, r), poly(k, r, co.EXP[x.dtype]), r)
    return k.add(tail, k.const(x.dtype, 1)), n


def _scale_normal(k, y, n):
    """y * 2**n where that is a normal number: the bits of `scale`, in two instructions."""
    return k.bitcast(y.dtype, k.add(bits(k, y), k.shl(n, k.const(n.dtype, co.MANTISSA[y.dtype]))))


def expm1(k, x):
    low = {"f32": -20.0, "f64": -40.0}[x.dtype]
    inside = k.min(k.const(x.dtype, co.EXP_RANGE[x.dtype][1]), k.max(k.const(x.dtype, low), x))
    r, n = exp_reduce(k, inside)
    small = k.fma(k.mul(r, r), poly(k, r, co.EXPM1[x.dtype]), r)
    half = _power_of_two(k, x.dtype, k.sub(n, k.const(n.dtype, 1)))  # 2**n itself may overflow
    y = k.fma(half, small, k.sub(half, k.const(x.dtype, 0.5)))
    y = k.add(y, y)
    tiny = k.lt(k.abs(x), k.const(x.dtype, 2.0 ** -(co.MANTISSA[x.dtype] + 2)))
    return k.select(tiny, x, y)


def sigmoid(k, x):
    """1 / (1 + exp(-x)), with exp(x) / (1 + exp(x)) for negative x, so that nothing overflows."""
    e = exp(k, k.neg(k.abs(x)))
    one = k.const(x.dtype, 1)
    return k.div(k.select(k.lt(x, k.const(x.dtype, 0)), e, one), k.add(one, e))


def tanh(k, x):
    if x.dtype == "f64":
        a = k.min(k.const("f64", 20.0), k.abs(x))
        t = expm1(k, k.add(a, a))
        return copysign(k, k.div(t, k.add(t, k.const("f64", 2))), x)
    a = k.abs(x)
    z = k.mul(a, a)
    small = k.fma(k.mul(a, z), poly(k, z, co.TANH), a)
    inside = k.min(k.const("f32", co.TANH_TOP), a)
    r, n = exp_reduce(k, k.add(inside, inside))
    one = k.const("f32", 1)
    e = k.add(k.fma(k.mul(r, r), poly(k, r, co.EXP["f32"]), r), one)
    e = k.mul(e, _power_of_two(k, "f32", n))
    large = k.sub(one, k.div(k.const("f32", 2), k.add(e, one)))
    return copysign(k, k.select(k.lt(a, k.const("f32", 0.625)), small, large), x)


# ---- logarithm family -----------------------------------------------------------------------------------------------


def mantissa_and_exponent(k, x):
    """x = m 2**e with sqrt(1/2) <= m < sqrt(2), for normal positive x; e as an integer."""
    whole, shift = bits(k, x), integer(k, x, co.MANTISSA[x.dtype])
    e = k.shr(k.sub(whole, integer(k, x, co.SQRT_HALF_BITS[x.dtype])), shift)
    return k.bitcast(x.dtype, k.sub(whole, k.shl(e, shift))), e


def lift_denormals(k, x):
    """x, denormals multiplied up to normal numbers, and the exponent to add."""
    shift = co.MANTISSA[x.dtype] + 1
    tiny = k.lt(x, k.const(x.dtype, co.TINIEST_NORMAL[x.dtype]))
    lifted = k.select(tiny, k.mul(x, k.const(x.dtype, 2.0**shift)), x)
    return lifted, k.select(tiny, k.const(x.dtype, -shift), k.const(x.dtype, 0))


def log_normal(k, x, exponent=None):
    """log(x) + exponent ln(2) for normal positive x."""
    m, e = mantissa_and_exponent(k, x)
    e = from_integer(k, x.dtype, e)
    e = e if exponent is None else k.add(e, exponent)
    f = k.sub(m, k.const(x.dtype, 1))
    s = k.div(f, k.add(f, k.const(x.dtype, 2)))
    z = k.mul(s, s)
    half_square = k.mul(k.mul(f, f), k.const(x.dtype, 0.5))
    tail = k.fma(z, poly(k, z, co.LOG[x.dtype]), half_square)
    low = k.fma(s, tail, k.mul(e, k.const(x.dtype, co.LN2_LO[x.dtype])))
    return k.fma(e, k.const(x.dtype, co.LN2_HI[x.dtype]), k.sub(f, k.sub(half_square, low)))


def log_edges(k, argument, y):
    """-inf at 0, NaN below, inf at inf; `argument` is what the logarithm is taken of."""
    y = k.select(k.eq(argument, k.const(y.dtype, INFINITY)), argument, y)
    zero = k.const(y.dtype, 0)
    outside = k.select(k.eq(argument, zero), k.const(y.dtype, -INFINITY), k.const(y.dtype, float("nan")))
    return k.select(k.gt(argument, zero), y, outside)


def log(k, x):
    lifted, exponent = lift_denormals(k, x)
    return log_edges(k, x, log_normal(k, lifted, exponent))


def _log1p_inside(k, x):
    """log(1 + x) for x above -1: the logarithm of the rounded sum, and a first-order term for what the rounding lost."""
    u, lost = _two_sum(k, k.const(x.dtype, 1), x)
    return k.add(log_normal(k, u), k.div(lost, u))


def log1p(k, x):
    y = log_edges(k, k.add(x, k.const(x.dtype, 1)), _log1p_inside(k, x))
    tiny = k.lt(k.abs(x), k.const(x.dtype, 2.0 ** -(co.MANTISSA[x.dtype] + 2)))
    return k.select(tiny, x, y)


def softplus(k, x):
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)); see Maechler, Accurately computing log(1 - exp(-|a|)), 2012."""
    e = exp(k, k.neg(k.abs(x)))
    return k.add(k.max(x, k.const(x.dtype, 0)), _log1p_inside(k, e))


# ---- error function -------------------------------------------------------------------------------------------------


def erf(k, x):
    """A polynomial up to 1; beyond, 1 - erfc with erfc as the exponential of a polynomial (f32) or exp(-a**2) times one."""
    a = k.abs(x)
    z = k.mul(a, a)
    small = k.fma(a, poly(k, z, co.ERF[x.dtype]), a)
    one = k.const(x.dtype, 1)
    if x.dtype == "f32":
        erfc = exp(k, poly(k, k.min(k.const("f32", 4.0), a), co.LOG_ERFC))
    else:
        inside, four = k.min(k.const("f64", 6.0), a), k.const("f64", 4.0)
        t = k.div(k.sub(inside, four), k.add(inside, four))
        erfc = k.mul(exp(k, k.neg(k.mul(inside, inside))), poly(k, t, co.ERFCX))
    return copysign(k, k.select(k.lt(a, one), small, k.sub(one, erfc)), x)


# ---- sine and cosine ------------------------------------------------------------------------------------------------


def sin(k, x):
    return _sine(k, x, 0)


def cos(k, x):
    return _sine(k, x, 1)


def small_angle(k, x):
    """x = n pi / 2 + r: r, and n as an integer, for angles up to SMALL_ANGLE."""
    t = k.fma(x, k.const(x.dtype, co.TWO_OVER_PI), k.const(x.dtype, co.MAGIC[x.dtype]))
    n, whole = nearest(k, t)
    r, minus = x, k.neg(n)
    for piece in co.HALF_PI[x.dtype]:
        r = k.fma(minus, k.const(x.dtype, piece), r)
    return r, whole


def _sine(k, x, quarter):
    """sin(x + quarter pi / 2)."""
    near = _sine_of_rest(k, *small_angle(k, x), quarter)
    near = k.select(k.eq(x, k.const(x.dtype, 0)), x, near) if quarter == 0 else near  # sin(-0) is -0
    far = k.not_(k.le(k.abs(x), k.const(x.dtype, co.SMALL_ANGLE[x.dtype])))
    return k.where_any(far, lambda: k.select(far, _sine_of_rest(k, *large_angle(k, x), quarter), near), near)


def sine_and_cosine(k, r):
    """Both for |r| <= pi / 4."""
    z = k.mul(r, r)
    sine = k.fma(k.mul(z, r), poly(k, z, co.SIN[r.dtype]), r)
    half = k.fma(z, k.const(r.dtype, -0.5), k.const(r.dtype, 1))
    return sine, k.fma(k.mul(z, z), poly(k, z, co.COS[r.dtype]), half)


def _sine_of_rest(k, r, n, quarter):
    """sin(r + (n + quarter) pi / 2) for |r| <= pi / 4."""
    n = k.add(n, k.const(n.dtype, quarter))
    sine, cosine = sine_and_cosine(k, r)
    odd = k.ne(k.and_(n, k.const(n.dtype, 1)), k.const(n.dtype, 0))
    y = k.select(odd, cosine, sine)
    top = k.const(n.dtype, co.MANTISSA[r.dtype] + {"f32": 7, "f64": 10}[r.dtype])  # from bit 1 to the sign bit
    return k.bitcast(r.dtype, k.xor(bits(k, y), k.shl(k.and_(n, k.const(n.dtype, 2)), top)))


_GROUP = 16  # binary digits of the exponent that share one row of the table
_ROW = 4  # f64 numbers a row


@functools.cache
def _two_over_pi_rows():
    """For each group g, (2**(16 g) * 2 / pi) mod 4 as four f64 numbers of 53 bits each."""
    bits = 1400

    def inverse_tangent(n):  # of 1 / n, scaled by 2**(bits + 64)
        term = total = (1 << (bits + 64)) // n
        divisor, sign = 1, 1
        while term:
            term //= n * n
            divisor, sign = divisor + 2, -sign
            total += sign * (term // divisor)
        return total

    pi = 16 * inverse_tangent(5) - 4 * inverse_tangent(239)  # Machin
    ratio = (2 << (2 * bits + 64)) // pi
    rows = []
    for group in range((1024 - 52) // _GROUP + 1):
        rest = (ratio << (_GROUP * group)) % (1 << (bits + 2))
        place = bits + 2
        for _ in range(_ROW):
            place -= 53
            rows.append(float(rest >> place) * 2.0 ** (place - bits))
            rest %= 1 << place
    return tuple(rows)


def large_angle(k, x):
    """As `small_angle` for any angle: x 2 / pi modulo 4, from the digits of 2 / pi that matter at its exponent; in f64 for both."""
    wide = k.cast("f64", x)
    a = k.abs(wide)
    exponent = k.sub(k.shr(k.bitcast("i64", a), k.const("i64", 52)), k.const("i64", 1023 + 52))
    group = k.shr(k.max(exponent, k.const("i64", 0)), k.const("i64", 4))
    a = k.mul(a, _power_of_two(k, "f64", k.neg(k.shl(group, k.const("i64", 4)))))
    row = k.shl(group, k.const("i64", 2))
    terms = []
    for column in range(_ROW):
        digits = k.table("f64", "gk.two_over_pi", _two_over_pi_rows(), k.add(row, k.const("i64", column)))
        for part in _two_product(k, a, digits):
            whole = k.mul(k.round(k.mul(part, k.const("f64", 0.25))), k.const("f64", 4))
            terms.append(k.sub(part, whole))
    total, low = terms[0], k.const("f64", 0)
    for term in terms[1:]:
        total, lost = _two_sum(k, total, term)
        low = k.add(low, lost)
    n, whole = nearest(k, k.add(total, k.const("f64", co.MAGIC["f64"])))
    total, low = _two_sum(k, k.sub(total, n), low)
    high, middle, _ = co.HALF_PI["f64"]
    r, lost = _two_product(k, total, k.const("f64", high))
    lost = k.add(lost, k.fma(total, k.const("f64", middle), k.mul(low, k.const("f64", high))))
    negative = k.lt(x, k.const(x.dtype, 0))
    r = k.add(r, lost)
    r = k.select(negative, k.neg(r), r)
    whole = k.select(negative, k.neg(whole), whole)
    return k.cast(x.dtype, r), k.cast(co.INT[x.dtype], whole)


# ---- power ----------------------------------------------------------------------------------------------------------


def pow(k, x, y):
    base = k.abs(x)
    if x.dtype == "f32":
        result = k.cast("f32", power_in_f64(k, k.cast("f64", base), k.cast("f64", y)))
    else:
        result = _pow_f64(k, base, y)
    zero, one, infinity = (k.const(x.dtype, c) for c in (0, 1, INFINITY))
    half = k.mul(y, k.const(x.dtype, 0.5))
    whole = k.eq(k.floor(y), y)
    odd = k.and_(whole, k.ne(k.floor(half), half))
    flip = k.select(odd, x, base)  # the sign of the result
    result = copysign(k, result, flip)
    negative = k.and_(k.lt(x, zero), k.gt(x, k.const(x.dtype, -INFINITY)))
    result = k.select(k.and_(negative, k.not_(whole)), k.const(x.dtype, float("nan")), result)
    to_one = k.or_(k.eq(x, one), k.eq(y, zero))
    return k.select(k.or_(to_one, k.and_(k.eq(base, one), k.eq(k.abs(y), infinity))), one, result)


def _log_pieces(k, x):
    """Exponent e as a float, f and s = f / (2 + f) of a positive f64 x, denormals included."""
    lifted, exponent = lift_denormals(k, x)
    m, e = mantissa_and_exponent(k, lifted)
    f = k.sub(m, k.const("f64", 1))
    divisor = k.add(f, k.const("f64", 2))
    return k.add(from_integer(k, "f64", e), exponent), f, divisor, k.div(f, divisor)


def _log_limits(k, x, y):
    """The logarithm's limits at 0 and inf, and NaN, for x >= 0."""
    y = k.select(k.eq(x, k.const("f64", 0)), k.const("f64", -INFINITY), y)
    return k.select(k.lt(x, k.const("f64", INFINITY)), y, x)


def _clamp_exponent(k, t):
    low, high = co.EXP_RANGE["f64"]
    return k.min(k.const("f64", high), k.max(k.const("f64", low), t))


def power_in_f64(k, x, y):
    """exp(y log(x)) for x >= 0, all in f64."""
    e, _, _, s = _log_pieces(k, x)
    z = k.mul(s, s)
    log_m = k.fma(k.mul(s, z), poly(k, z, co.POW_LOG), k.add(s, s))
    t = k.mul(y, _log_limits(k, x, k.fma(e, k.const("f64", 0.6931471805599453), log_m)))
    r, n = exp_reduce(k, _clamp_exponent(k, t))
    tail = k.fma(k.mul(r, r), poly(k, r, co.POW_EXP), r)
    return scale(k, k.add(tail, k.const("f64", 1)), n)


def _pow_f64(k, x, y):
    """exp(y log(x)) for x >= 0, with the logarithm and its product as unevaluated sums of two f64."""
    e, f, divisor, s = _log_pieces(k, x)
    two, third = k.const("f64", 2), k.const("f64", 2 / 3)
    divisor_low = k.sub(f, k.sub(divisor, two))
    rest = k.fma(k.neg(s), divisor, f)
    s_low = k.div(k.sub(rest, k.mul(s, divisor_low)), divisor)
    z, z_low = _two_product(k, s, s)
    z_low = k.fma(k.add(s, s), s_low, z_low)
    cube, cube_low = _two_product(k, s, z)
    cube_low = k.add(cube_low, k.fma(s, z_low, k.mul(s_low, z)))
    term, term_low = _two_product(k, cube, third)
    term_low = k.fma(cube, k.const("f64", 3.700743415417188e-17), k.fma(cube_low, third, term_low))  # 2/3 - fl(2/3)
    tail = k.mul(k.mul(cube, z), poly(k, z, co.POW_TAIL))
    high, low = _two_sum(k, k.mul(e, k.const("f64", co.LN2_HI["f64"])), k.add(s, s))
    low = k.add(low, k.fma(s_low, two, k.add(tail, term_low)))
    high, lost = _two_sum(k, high, term)
    low = k.add(low, lost)
    shift, shift_low = _two_product(k, e, k.const("f64", co.LN2_LO["f64"]))
    high, lost = _two_sum(k, high, shift)
    # ln(2) is not the sum of its two pieces to this precision: the third one, too, is multiplied by e
    low = k.add(k.fma(e, k.const("f64", co.LN2_THIRD), k.add(low, shift_low)), lost)
    total = k.add(high, low)
    low = k.sub(low, k.sub(total, high))
    limit = _log_limits(k, x, total)
    t, t_low = _two_product(k, y, limit)
    t_low = k.fma(y, low, t_low)
    inside = _clamp_exponent(k, t)
    r, n = exp_reduce(k, inside)
    # nothing of the second half counts where the first was clamped or is not finite
    t_low = k.select(k.eq(inside, t), t_low, k.const("f64", 0))
    tail = k.fma(k.mul(r, r), poly(k, r, co.EXP["f64"]), r)
    tail = k.add(tail, k.fma(t_low, tail, t_low))
    return scale(k, k.add(tail, k.const("f64", 1)), n)


# ---- remainders -----------------------------------------------------------------------------------------------------


def mod(k, x, y):
    """Remainder with the sign of the divisor, as Python and numpy.mod."""
    if not k.is_float(x):
        return _int_floor_divide(k, x, y)[1]
    rest, _ = _float_divmod(k, x, y)
    return rest


def floordiv(k, x, y):
    """numpy.floor_divide."""
    if not k.is_float(x):
        return _int_floor_divide(k, x, y)[0]
    rest, borrow = _float_divmod(k, x, y)
    zero, one = k.const(x.dtype, 0), k.const(x.dtype, 1)
    ratio = k.div(x, y)
    quotient = k.sub(k.div(k.sub(x, borrow), y), k.select(k.ne(rest, borrow), one, zero))
    floor = k.floor(quotient)
    floor = k.add(floor, k.select(k.gt(k.sub(quotient, floor), k.const(x.dtype, 0.5)), one, zero))
    floor = k.select(k.ne(quotient, zero), floor, copysign(k, zero, ratio))
    return k.select(k.eq(y, zero), ratio, floor)


def _int_floor_divide(k, x, y):
    """Quotient rounded down and its remainder; division by zero gives 0 and 0, as in numpy."""
    quotient, rest = k.int_divide(x, y)
    zero = k.const(x.dtype, 0)
    differ = k.and_(k.ne(rest, zero), k.lt(k.xor(rest, y), zero)) if k.is_signed(x) else k.lt(zero, zero)
    null = k.eq(y, zero)
    quotient = k.select(k.and_(differ, k.not_(null)), k.sub(quotient, k.const(x.dtype, 1)), quotient)
    return quotient, k.select(null, zero, k.select(differ, k.add(rest, y), rest))


def _float_divmod(k, x, y):
    """The remainder with the divisor's sign, and the one with the dividend's (fmod)."""
    zero = k.const(x.dtype, 0)
    rest = _fmod(k, x, y)
    differ = k.and_(k.ne(rest, zero), k.ne(_sign_of(k, rest), _sign_of(k, y)))
    signed = k.select(differ, k.add(rest, y), rest)
    return k.select(k.eq(rest, zero), copysign(k, zero, y), signed), rest


def _fmod(k, x, y):
    """Exact remainder with the sign of x: multiples of y are taken off from the top, 40 binary digits of quotient a turn."""
    a, b = k.abs(k.cast("f64", x)), k.abs(k.cast("f64", y))
    zero, one, infinity = (k.const("f64", c) for c in (0, 1, INFINITY))
    valid = k.and_(k.and_(k.lt(a, infinity), k.gt(b, zero)), k.eq(b, b))
    a, b = k.select(valid, a, zero), k.select(valid, b, one)

    def exponent(v):
        tiny = k.lt(v, k.const("f64", co.TINIEST_NORMAL["f64"]))
        lifted = k.select(tiny, k.mul(v, k.const("f64", 2.0**54)), v)
        digits = k.shr(k.bitcast("i64", lifted), k.const("i64", 52))
        return k.sub(digits, k.select(tiny, k.const("i64", 54), k.const("i64", 0)))

    bottom = k.add(exponent(b), k.const("i64", 40))

    def take_off(rest):
        apart = k.max(k.sub(exponent(rest), bottom), k.const("i64", 0))
        half = k.shr(apart, k.const("i64", 1))  # up to 3000 in all, more than one scaling holds
        multiple = scale(k, scale(k, b, half), k.sub(apart, half))
        quotient = k.trunc(k.div(rest, multiple))
        less = k.fma(k.neg(quotient), multiple, rest)
        less = k.select(k.lt(less, zero), k.add(less, multiple), less)
        less = k.select(k.ge(less, multiple), k.sub(less, multiple), less)
        return k.select(k.ge(rest, b), less, rest)

    rest = k.while_any(lambda rest: k.ge(rest, b), take_off, a)
    rest = k.select(valid, rest, k.const("f64", float("nan")))
    return copysign(k, k.cast(x.dtype, rest), x)


# ---- random numbers -------------------------------------------------------------------------------------------------

PHILOX_MULTIPLIER, PHILOX_WEYL, PHILOX_ROUNDS = 0xD256D193, 0x9E3779B9, 10


def philox(k, k0, k1, c_lo, c_hi):
    """First word of Philox-2x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011) on u32 vectors.

    Key k0, counter (c_lo, c_hi xor k1).
    """
    left, right, key = k.cast("u64", c_lo), k.cast("u64", k.xor(c_hi, k1)), k0
    multiplier, low = k.const("u64", PHILOX_MULTIPLIER), k.const("u64", 0xFFFFFFFF)
    for _ in range(PHILOX_ROUNDS):
        # Kept to 32 bits where it is multiplied, so that one vpmuludq gives both halves; what lies above is never looked at.
        product = k.mul(k.and_(left, low), multiplier)
        left, right = k.xor(k.xor(k.shr(product, k.const("u64", 32)), k.cast("u64", key)), right), product
        key = k.add(key, k.const("u32", PHILOX_WEYL))
    return k.cast("u32", left)
