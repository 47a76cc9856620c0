"""More elementary functions in the manner of `vector_math`: tangent, inverse and hyperbolic functions, logarithms to other bases,
cube root, neighbouring floats.

Coefficients run from high to low and are our own Remez fits, made with 200 bits and rounded to the dtype. Largest errors
found, in ULP of the exact value (f32: every 61st float of the whole range and all edges; f64: 2 million numbers of many
scales; arctan2: 600,000 pairs):

             tan  arcsin  arccos  arctan  arctan2  sinh  cosh  arcsinh  arccosh  arctanh  log2  log10  exp2  cbrt
    f32     3.62    2.35    1.11    2.05     2.00  1.58  1.42     1.97     2.54     2.34  1.70   1.96  0.99  0.50
    f64     3.28    2.05    1.10    1.78     1.82  1.56  1.38     1.96     2.13     2.13  1.64   1.72  1.08  0.73
"""

from graphkeras.lowering.cpu import coefficients as co
from graphkeras.lowering.cpu import vector_math as vm

# (atan(t) - t) / t**3 in z = t**2, |t| <= tan(pi / 8)
ARCTAN = {
    "f32": (0.08053241670131683, -0.13877540826797485, 0.19977697730064392, -0.3333294987678528),
    "f64": (
        -0.017902063984849576, 0.03805947605417654, -0.050390878094362566, 0.05847837029063687, -0.06663096225184463,
        0.07692059462906548, -0.09090897711407114, 0.11111110781691486, -0.14285714280157694, 0.19999999999953164,
        -0.333333333333332,
    ),
}  # fmt: skip
# (asin(s) - s) / s**3 in z = s**2, |s| <= 1/2
ARCSIN = {
    "f32": (0.04217801243066788, 0.024173088371753693, 0.04547157883644104, 0.07495288550853729, 0.16666752099990845),
    "f64": (
        0.032653960202800474, -0.021038581921550677, 0.021734655134856076, 0.003695528107003427, 0.010783051369515058,
        0.011398427978611245, 0.013980877827600005, 0.017351607400918498, 0.022372215234765576, 0.030381942699375473,
        0.044642857174779116, 0.07499999999970633, 0.1666666666666676,
    ),
}  # fmt: skip
# (sinh(x) - x) / x**3 in z = x**2, |x| <= 1
SINH = {
    "f32": (0.0002037219819612801, 0.008330283686518669, 0.1666671633720398),
    "f64": (
        7.75874931499599e-13, 1.6057259750988516e-10, 2.5052123136964398e-08, 2.7557319157070243e-06, 0.00019841269841431878,
        0.008333333333333148, 0.16666666666666669,
    ),
}  # fmt: skip

_TAN_EIGHTH, _TAN_THREE_EIGHTHS = 0.4142135623730951, 2.414213562373095  # tan(pi / 8) and tan(3 pi / 8)
_LN_2 = 0.6931471805599453
# Bessel functions: I0(x) and I1(x) / x in z = x**2, |x| <= 8
BESSEL_NEAR = {
    ("f32", 0): (
        5.71611317078398e-17, 5.8155414450831566e-15, 2.6341971139098863e-12, 4.6235151818230236e-10, 6.80049865309229e-08,
        6.77931348036509e-06, 0.0004340438172221184, 0.01562494970858097, 0.2500000596046448, 1.0,
    ),
    ("f64", 0): (
        6.914468344964459e-40, 4.722653675550777e-37, 5.535971785093653e-34, 4.892690023138689e-31, 3.8435384942278708e-28,
        2.5977699209987484e-25, 1.496335660653486e-22, 7.24225811614146e-20, 2.89690339991535e-17, 9.385966989079641e-15,
        2.402807549538964e-12, 4.709502797066704e-10, 6.781684027777845e-08, 6.781684027777776e-06, 0.0004340277777777778,
        0.015625, 0.25, 1.0,
    ),
    ("f32", 1): (
        2.7504673537868104e-18, 3.504491881355077e-16, 1.6178295411239246e-13, 3.318278984920653e-11, 5.6621072275220286e-09,
        6.780215926482924e-07, 5.4254578571999446e-05, 0.002604162786155939, 0.0625000074505806, 0.5,
    ),
    ("f64", 1): (
        1.8939340251044453e-41, 1.4027472274745452e-38, 1.7267893326238747e-35, 1.6313455656479543e-32, 1.3726501091687298e-29,
        9.991450892898565e-27, 6.234730552612669e-24, 3.2919355565241157e-21, 1.4484516986411785e-18, 5.214426105305293e-16,
        1.501754718458063e-13, 3.363930569333755e-11, 5.651403356481509e-09, 6.781684027777777e-07, 5.425347222222222e-05,
        0.0026041666666666665, 0.0625, 0.5,
    ),
}  # fmt: skip
# exp(-x) sqrt(x) I(x) in t = 16 / x - 1, x >= 8
BESSEL_FAR = {
    ("f32", 0): (
        3.700113211380085e-07, 1.6386253491873504e-06, 1.110286120820092e-05, 0.00013615653733722866, 0.00336055806837976,
        0.40217649936676025,
    ),
    ("f64", 0): (
        3.229529908959413e-11, -1.5240127973605145e-10, -2.5949465257636153e-10, 9.943394928010822e-10, 1.0585228585799676e-09,
        -2.977856048873138e-09, -3.076538809799667e-09, 5.243864433258263e-09, 7.291556720099011e-09, -4.34263091689185e-09,
        -1.3304680818430395e-08, -7.084855073270647e-09, 7.527894111587001e-09, 2.1615849094458727e-08, 3.933006377255672e-08,
        8.871426968396377e-08, 2.973594884514082e-07, 1.483848045099571e-06, 1.1143033805987772e-05, 0.00013621607438062578,
        0.00336055198366768, 0.4021765094450081,
    ),
    ("f32", 1): (
        -4.314312320730096e-07, -2.009109493883443e-06, -1.4990867384767625e-05, -0.00021916875266470015, -0.009749584831297398,
        0.389398455619812,
    ),
    ("f64", 1): (
        -3.1380576359592947e-11, 1.595265482585626e-10, 2.515361015066977e-10, -1.0440977261362412e-09, -1.0329037080362767e-09,
        3.1455139401398254e-09, 3.053672643157777e-09, -5.611596190531518e-09, -7.418983663989417e-09, 4.868050169395429e-09,
        1.3946238942869776e-08, 7.085868245146284e-09, -8.4054528398271e-09, -2.344427787055505e-08, -4.313264332786434e-08,
        -1.000046121812161e-07, -3.4838527601304243e-07, -1.8349106330529136e-06, -1.5038547212606407e-05,
        -0.00021923576382207766, -0.009749577193235593, 0.3893984590258723,
    ),
}  # fmt: skip
# Beyond this size x**2 + 1 is x**2.
_LARGE = {"f32": 4096.0, "f64": 2.0**28}
# Pairs are brought into a range in which sums and differences of the two neither overflow nor lose digits.
_PAIR_RANGE = {"f32": (2.0**-90, 2.0**120, 2.0**60), "f64": (2.0**-900, 2.0**1000, 2.0**120)}


def _pi_pieces(dtype, quarters):
    """quarters * pi / 4 as a sum of two numbers of the dtype."""
    high, low, _ = co.HALF_PI[dtype]
    return high * quarters / 2, low * quarters / 2


# ---- tangent --------------------------------------------------------------------------------------------------------


def tan(k, x):
    """sine over cosine of the rest, or minus the reverse in odd quarters."""
    r, n = vm.small_angle(k, x)
    near = k.select(k.eq(x, k.const(x.dtype, 0)), x, _tangent_of_rest(k, r, n))
    far = k.not_(k.le(k.abs(x), k.const(x.dtype, co.SMALL_ANGLE[x.dtype])))
    return k.where_any(far, lambda: k.select(far, _tangent_of_rest(k, *vm.large_angle(k, x)), near), near)


def _tangent_of_rest(k, r, n):
    sine, cosine = vm.sine_and_cosine(k, r)
    odd = k.ne(k.and_(n, k.const(n.dtype, 1)), k.const(n.dtype, 0))
    return k.div(k.select(odd, k.neg(cosine), sine), k.select(odd, sine, cosine))


# ---- inverse functions ----------------------------------------------------------------------------------------------


def _angle(k, above, below):
    """The arc tangent of above / below for numbers that are not negative: from 0 to pi / 2."""
    dtype = above.dtype
    steep = k.gt(above, k.mul(below, k.const(dtype, _TAN_THREE_EIGHTHS)))
    middle = k.gt(above, k.mul(below, k.const(dtype, _TAN_EIGHTH)))
    top = k.select(steep, k.neg(below), k.select(middle, k.sub(above, below), above))
    bottom = k.select(steep, above, k.select(middle, k.add(above, below), below))
    t = k.div(top, bottom)
    z = k.mul(t, t)
    rest = k.mul(k.mul(t, z), vm.poly(k, z, ARCTAN[dtype]))

    def base(piece):
        half, quarter = (_pi_pieces(dtype, quarters)[piece] for quarters in (2, 1))
        return k.select(steep, k.const(dtype, half), k.select(middle, k.const(dtype, quarter), k.const(dtype, 0)))

    return k.add(base(0), k.add(t, k.add(rest, base(1))))


def arctan(k, x):
    return vm.copysign(k, _angle(k, k.abs(x), k.const(x.dtype, 1)), x)


def arctan2(k, y, x):
    """The angle of the point (x, y), in (-pi, pi]; on the axes and at infinity as in C."""
    dtype = x.dtype
    above, below = k.abs(y), k.abs(x)
    low, high, factor = _PAIR_RANGE[dtype]
    longest = k.max(above, below)
    up, down, one = k.const(dtype, factor), k.const(dtype, 0.125), k.const(dtype, 1)
    scale = k.select(k.lt(longest, k.const(dtype, low)), up, k.select(k.gt(longest, k.const(dtype, high)), down, one))
    # Two infinities or two zeros have no ratio; 1 / 1 and 0 / 1 stand for them.
    both = k.eq(k.min(above, below), k.const(dtype, vm.INFINITY))
    none = k.eq(longest, k.const(dtype, 0))
    above = k.select(both, one, k.mul(above, scale))
    below = k.select(k.or_(both, none), one, k.mul(below, scale))
    angle = _angle(k, above, below)
    high, low = _pi_pieces(dtype, 4)
    turned = k.sub(k.const(dtype, high), k.sub(angle, k.const(dtype, low)))
    left = k.lt(vm.bits(k, x), vm.integer(k, x, 0))
    return vm.copysign(k, k.select(left, turned, angle), y)


def _arcsine_pieces(k, x):
    """Whether |x| > 1/2, and asin(|x|), or asin(sqrt((1 - |x|) / 2)) there."""
    a = k.abs(x)
    large = k.gt(a, k.const(x.dtype, 0.5))
    z = k.select(large, k.mul(k.sub(k.const(x.dtype, 1), a), k.const(x.dtype, 0.5)), k.mul(a, a))
    s = k.select(large, k.sqrt(z), a)
    return large, k.fma(k.mul(s, z), vm.poly(k, z, ARCSIN[x.dtype]), s)


def arcsin(k, x):
    large, p = _arcsine_pieces(k, x)
    high, low = _pi_pieces(x.dtype, 2)
    mirrored = k.sub(k.const(x.dtype, high), k.sub(k.add(p, p), k.const(x.dtype, low)))
    return vm.copysign(k, k.select(large, mirrored, p), x)


def arccos(k, x):
    large, p = _arcsine_pieces(k, x)
    negative = k.lt(x, k.const(x.dtype, 0))
    double = k.add(p, p)
    (high, low), (half_high, half_low) = _pi_pieces(x.dtype, 4), _pi_pieces(x.dtype, 2)
    far = k.sub(k.const(x.dtype, high), k.sub(double, k.const(x.dtype, low)))
    signed = k.select(negative, k.neg(p), p)
    near = k.sub(k.const(x.dtype, half_high), k.sub(signed, k.const(x.dtype, half_low)))
    return k.select(large, k.select(negative, far, double), near)


# ---- hyperbolic functions -------------------------------------------------------------------------------------------


def _half_exp(k, a):
    """exp(a) / 2 for a >= 0; overflows where the half does."""
    top = co.EXP_RANGE[a.dtype][1] + 1.0
    r, n = vm.exp_reduce(k, k.min(k.const(a.dtype, top), a))
    whole = k.add(k.fma(k.mul(r, r), vm.poly(k, r, co.EXP[a.dtype]), r), k.const(a.dtype, 1))
    return vm.scale(k, whole, k.sub(n, k.const(n.dtype, 1)))


def sinh(k, x):
    a = k.abs(x)
    z = k.mul(a, a)
    small = k.fma(k.mul(a, z), vm.poly(k, z, SINH[x.dtype]), a)
    half = _half_exp(k, a)
    large = k.sub(half, k.div(k.const(x.dtype, 0.25), half))
    return vm.copysign(k, k.select(k.lt(a, k.const(x.dtype, 1)), small, large), x)


def cosh(k, x):
    half = _half_exp(k, k.abs(x))
    return k.add(half, k.div(k.const(x.dtype, 0.25), half))


def arcsinh(k, x):
    a = k.abs(x)
    limit, one = k.const(x.dtype, _LARGE[x.dtype]), k.const(x.dtype, 1)
    large = k.gt(a, limit)
    inside = k.min(a, limit)
    z = k.mul(inside, inside)
    near = vm.log1p(k, k.add(inside, k.div(z, k.add(k.sqrt(k.add(z, one)), one))))
    far = k.add(vm.log(k, k.select(large, a, one)), k.const(x.dtype, _LN_2))
    return vm.copysign(k, k.select(k.eq(a, a), k.select(large, far, near), a), x)


def arccosh(k, x):
    limit, one = k.const(x.dtype, _LARGE[x.dtype]), k.const(x.dtype, 1)
    large = k.gt(x, limit)
    t = k.sub(k.min(x, limit), one)
    near = vm.log1p(k, k.add(t, k.sqrt(k.mul(t, k.add(t, k.const(x.dtype, 2))))))
    far = k.add(vm.log(k, k.select(large, x, one)), k.const(x.dtype, _LN_2))
    return k.select(large, far, k.select(k.lt(x, one), k.const(x.dtype, float("nan")), near))


def arctanh(k, x):
    a = k.abs(x)
    ratio = k.div(k.add(a, a), k.sub(k.const(x.dtype, 1), a))
    half = k.mul(vm.log1p(k, ratio), k.const(x.dtype, 0.5))
    # Above 1 the ratio is negative and below -1, where log1p is NaN.
    return vm.copysign(k, half, x)


# ---- logarithms and exponentials to other bases ---------------------------------------------------------------------


def log2(k, x):
    """Exact at powers of two: the exponent is added to the logarithm of the rest."""
    return _log_to(k, x, 1.0, 0.0, co.LOG2_E)


def log10(k, x):
    high = {"f32": 0.301025390625, "f64": 0.30102999566361177}[x.dtype]  # few enough bits for an exact product
    low = {"f32": 4.605038981195214e-06, "f64": 3.694239077158931e-13}[x.dtype]
    return _log_to(k, x, high, low, 0.4342944819032518)


def _log_to(k, x, high, low, factor):
    lifted, exponent = vm.lift_denormals(k, x)
    m, e = vm.mantissa_and_exponent(k, lifted)
    e = k.add(vm.from_integer(k, x.dtype, e), exponent)
    y = k.mul(vm.log_normal(k, m), k.const(x.dtype, factor))
    if low:
        y = k.fma(e, k.const(x.dtype, low), y)
    return vm.log_edges(k, x, k.fma(e, k.const(x.dtype, high), y))


def exp2(k, x):
    """Exact at integers."""
    low, high = {"f32": (-151.0, 129.0), "f64": (-1076.0, 1025.0)}[x.dtype]
    x = k.min(k.const(x.dtype, high), k.max(k.const(x.dtype, low), x))
    whole, n = vm.nearest(k, k.add(x, k.const(x.dtype, co.MAGIC[x.dtype])))
    r = k.mul(k.sub(x, whole), k.const(x.dtype, _LN_2))
    tail = k.fma(k.mul(r, r), vm.poly(k, r, co.EXP[x.dtype]), r)
    return vm.scale(k, k.add(tail, k.const(x.dtype, 1)), n)


def cbrt(k, x):
    """exp(log(|x|) / 3) in f64; for f64 itself with a step of Newton's method behind it."""
    third = k.const("f64", 1 / 3)
    a = k.abs(x)
    if x.dtype == "f32":
        return vm.copysign(k, k.cast("f32", vm.power_in_f64(k, k.cast("f64", a), third)), x)
    tiny, huge = k.lt(a, k.const("f64", 2.0**-700)), k.gt(a, k.const("f64", 2.0**700))
    one = k.const("f64", 1)
    near = k.mul(a, k.select(tiny, k.const("f64", 2.0**600), k.select(huge, k.const("f64", 2.0**-600), one)))
    y = vm.power_in_f64(k, near, third)
    square = k.mul(y, y)
    y = k.sub(y, k.div(k.fma(square, y, k.neg(near)), k.mul(square, k.const("f64", 3))))
    y = k.mul(y, k.select(tiny, k.const("f64", 2.0**-200), k.select(huge, k.const("f64", 2.0**200), one)))
    plain = k.and_(k.gt(a, k.const("f64", 0)), k.lt(a, k.const("f64", vm.INFINITY)))
    return vm.copysign(k, k.select(plain, y, a), x)


# ---- modified Bessel functions --------------------------------------------------------------------------------------


def bessel_i0(k, x):
    return _bessel(k, x, 0)


def bessel_i1(k, x):
    return vm.copysign(k, _bessel(k, x, 1), x)


def _bessel(k, x, order):
    """The function of |x|: a polynomial up to 8, exp(x) / sqrt(x) times one in 1 / x beyond."""
    a = k.abs(x)
    eight = k.const(x.dtype, 8)
    inside = k.min(a, eight)
    near = vm.poly(k, k.mul(inside, inside), BESSEL_NEAR[x.dtype, order])
    near = near if order == 0 else k.mul(near, inside)
    far = k.min(k.max(a, eight), k.const(x.dtype, co.EXP_RANGE[x.dtype][1] + 5))
    t = k.sub(k.div(k.const(x.dtype, 16), far), k.const(x.dtype, 1))
    r, n = vm.exp_reduce(k, far)
    power = k.add(k.fma(k.mul(r, r), vm.poly(k, r, co.EXP[x.dtype]), r), k.const(x.dtype, 1))
    beyond = vm.scale(k, k.div(k.mul(power, vm.poly(k, t, BESSEL_FAR[x.dtype, order])), k.sqrt(far)), n)
    return k.select(k.gt(a, eight), beyond, near)


# ---- floats as integers ---------------------------------------------------------------------------------------------


def nextafter(k, x, y):
    """The next float from x towards y."""
    zero, bits = vm.integer(k, x, 0), vm.bits(k, x)
    away = k.eq(k.gt(y, x), k.ge(bits, zero))  # the magnitude grows
    step = k.select(away, vm.integer(k, x, 1), vm.integer(k, x, -1))
    moved = k.bitcast(x.dtype, k.add(bits, step))
    smallest = vm.copysign(k, k.bitcast(x.dtype, vm.integer(k, x, 1)), y)
    moved = k.select(k.eq(x, k.const(x.dtype, 0)), smallest, moved)
    moved = k.select(k.eq(x, y), y, moved)
    return k.select(k.or_(k.ne(x, x), k.ne(y, y)), k.add(x, y), moved)


def find(name):
    """The function of this name, here or in `vector_math`."""
    return globals().get(name) or getattr(vm, name)
