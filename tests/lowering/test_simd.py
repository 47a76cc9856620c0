"""The SIMD language: compiled against NumPy, and compiled against its plain-Python twin, bit for bit."""

import ctypes
import mmap

import numpy as np
import pytest

from graphkeras.lowering.cpu import simd_python
from graphkeras.lowering.cpu.simd_types import DTYPES, NUMPY_NAMES
from graphkeras.lowering.cpu.target import LANES, NAME
from graphkeras.runtime.errors import CompileError
from graphkeras.runtime.objects import KernelSource, assembly
from tests.lowering.kernels import call, compile_kernel, elementwise, evaluate, python_kernel

NUMPY = {short: np.dtype(long) for long, short in NUMPY_NAMES.items() if short != "bf16"} | {"bf16": np.dtype("uint16")}
SHORT = ["f32", "f64", "f16", "bf16", "i8", "u8", "i16", "i32", "i64", "u64", "b1"]


def samples(dtype, count=61, seed=0):
    """Values of a dtype as they lie in memory, its edges included."""
    rng = np.random.default_rng(seed)
    if dtype == "b1":
        return rng.integers(0, 2, count).astype(bool)
    if dtype == "bf16":
        return (rng.normal(size=count).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    if dtype[0] == "f":
        values = (rng.normal(size=count) * 10).astype(NUMPY[dtype])
        values[:8] = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.5, 0.5]
        return rng.permutation(values)
    info = np.iinfo(NUMPY[dtype])
    values = rng.integers(info.min, info.max, count, dtype=NUMPY[dtype], endpoint=True)
    values[:6] = [0, 1, info.max, info.min, 2, 3]
    return rng.permutation(values)


def same_bits(a, b):
    """Equal bits, any NaN for any NaN."""
    if a.dtype.kind == "f":
        assert np.array_equal(np.isnan(a), np.isnan(b))
        a, b = np.where(np.isnan(a), 0, a), np.where(np.isnan(b), 0, b)
    assert a.tobytes() == b.tobytes(), (a, b)


def both(body, dtype, *inputs, out=None):
    """The compiled result, after checking that plain Python gives the same bits."""
    source, result = elementwise(body, dtype, out), NUMPY[out or dtype]
    compiled = evaluate(compile_kernel(source), result, *inputs)
    same_bits(compiled, evaluate(python_kernel(source), result, *inputs))
    return compiled


@pytest.mark.parametrize("dtype", SHORT)
def test_masked_access_stays_inside_the_array(dtype):
    """Every count and distance to a page that must not be touched; what lies beyond n is neither read nor written."""
    size = NUMPY[dtype].itemsize
    page = mmap.PAGESIZE
    area = mmap.mmap(-1, 2 * page)
    base = ctypes.addressof(ctypes.c_char.from_buffer(area))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(base + page), page, 0) == 0
    try:
        kernel = compile_kernel(
            f"def kernel(args, lo, hi, scratch):\n"
            f"    x = ptr_{dtype}(args[1]); y = ptr_{dtype}(args[2])\n"
            f"    storen_{dtype}(y, 0, loadn_{dtype}(x, 0, hi), hi)\n"
        )
        values = samples(dtype, LANES, seed=1)
        for n in range(1, LANES + 1):
            end = np.frombuffer((ctypes.c_char * (n * size)).from_address(base + page - n * size), NUMPY[dtype])
            end[:] = values[:n]
            target = np.full(LANES + 1, 77, np.uint8).astype(NUMPY[dtype])
            expected = target.copy()
            expected[:n] = values[:n]
            call(kernel, 0, n, base + page - n * size, target)
            same_bits(target, expected)
            end[:] = 0
            call(kernel, 0, n, values, base + page - n * size)
            same_bits(end, values[:n])
    finally:
        libc.mprotect(ctypes.c_void_p(base + page), page, 3)


@pytest.mark.parametrize(("wide", "dtype"), [("i32", "i8"), ("i32", "u16"), ("i64", "i16"), ("i64", "i32"), ("f32", "bf16")])
@pytest.mark.parametrize("count", ["1", "1 - j", "3 - j"])
def test_few_lanes_that_are_narrowed_leave_their_neighbours(wide, dtype, count):
    """LLVM knows the number of lanes here, and makes other stores of that."""
    source = f"""
def kernel(args, lo, hi, scratch):
    x = ptr_{wide}(args[1]); y = ptr_{dtype}(args[2])
    v = add(load_{wide}(x, 0), load_{wide}(x, 1))
    j = 0
    while j + LANES <= 3:
        j += LANES
    storen_{dtype}(y, 0, cast_{dtype}(v), {count})
"""
    x, n = np.arange(1, LANES + 2).astype(NUMPY[wide]), eval(count, {"j": 0})
    for make in (compile_kernel, python_kernel):
        y = np.full(LANES, 77, NUMPY[dtype])
        call(make(source), 0, 1, x, y)
        assert (y[:n] != 77).all() and (y[n:] == 77).all()


@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16", "i8", "i32", "i64", "b1"])
def test_strided_gathered_and_splat_access(dtype):
    source = f"""
def kernel(args, lo, hi, scratch):
    x = ptr_{dtype}(args[1]); s = ptr_{dtype}(args[2]); g = ptr_{dtype}(args[3]); o = ptr_{dtype}(args[4])
    w = ptr_{dtype}(args[5])
    storen_{dtype}(s, 0, loads_{dtype}(x, 1, 3, hi), LANES)
    index = sub(splat_i64v(40), mul(iota(0), const_i64(2)))
    storen_{dtype}(g, 0, loadx_{dtype}(x, index, hi), LANES)
    store_{dtype}(o, 0, splat_{dtype}(x, 7))
    stores_{dtype}(w, 1, 2, load_{dtype}(x, 0), hi)
"""
    x = samples(dtype, 61)
    for make in (compile_kernel, python_kernel):
        kernel = make(source)
        for n in (1, 5, LANES):
            s, g, o, w = (np.zeros(3 * LANES, x.dtype) for _ in range(4))
            call(kernel, 0, n, x, s, g, o, w)
            expected = np.zeros((4, 3 * LANES), x.dtype)
            expected[0, :n] = x[1 : 1 + 3 * n : 3]
            expected[1, :n] = x[40 - 2 * np.arange(n)]
            expected[2, :LANES] = x[7]
            expected[3, 1 : 1 + 2 * n : 2] = x[:n]
            for got, want in zip((s, g, o, w), expected):
                same_bits(got, want)


@pytest.mark.parametrize("dtype", ["f32", "f64", "i8", "u16", "i32", "u32", "i64", "u64"])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "max", "min", "floordiv", "mod"])
def test_binary_operations_agree_with_numpy(dtype, name):
    x, y = samples(dtype, 200, seed=2), samples(dtype, 200, seed=3)
    got = both(f"{name}(x, y)", dtype, x, y)
    function = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
    function |= {"floordiv": np.floor_divide, "mod": np.mod}
    with np.errstate(all="ignore"):
        expected = function[name](x, y)
    if name in ("max", "min"):  # either zero is the larger one, as in numpy
        assert np.array_equal(got, expected, equal_nan=dtype[0] == "f")
    else:
        same_bits(got, expected)


@pytest.mark.parametrize(
    "body, reference",
    [
        ("neg(x)", np.negative),
        ("abs(x)", np.abs),
        ("floor(x)", np.floor),
        ("ceil(x)", np.ceil),
        ("round(x)", np.rint),
        ("trunc(x)", np.trunc),
        ("sqrt(x)", np.sqrt),
        ("rsqrt(x)", lambda x: x.dtype.type(1) / np.sqrt(x)),
        ("div(const_T(3), x)", lambda x: x.dtype.type(3) / x),
        ("select(lt(x, const_T(1)), x, const_T(7))", lambda x: np.where(x < 1, x, x.dtype.type(7))),
        ("fma(x, x, const_T(0.1))", None),
    ],
)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_unary_operations_agree_with_numpy(dtype, body, reference):
    x = samples(dtype, 200, seed=4)
    got = both(body.replace("_T", f"_{dtype}"), dtype, x)
    if reference is not None:
        with np.errstate(all="ignore"):
            same_bits(got, reference(x))


@pytest.mark.parametrize("dtype", ["i8", "u8", "i32", "u32", "i64", "u64"])
def test_bits_and_shifts(dtype):
    x, y = samples(dtype, 100, seed=5), samples(dtype, 100, seed=6)
    assert np.array_equal(both("xor(and_(x, y), or_(not_(x), y))", dtype, x, y), (x & y) ^ (~x | y))
    counts = np.arange(100).astype(dtype.replace("i", "int").replace("u", "uint")) % (DTYPES[dtype].bits + 9)
    if dtype[0] == "i":
        counts[50:53] = -1
    expected_left, expected_right = np.left_shift(x, counts), np.right_shift(x, counts)
    negative = counts < 0
    got_left, got_right = both("shl(x, y)", dtype, x, counts), both("shr(x, y)", dtype, x, counts)
    assert np.array_equal(got_left[~negative], expected_left[~negative])
    assert np.array_equal(got_right[~negative], expected_right[~negative])


@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "eq", "ne"])
@pytest.mark.parametrize("dtype", ["f32", "f64", "i8", "u8", "u32", "i64"])
def test_comparisons(dtype, name):
    x, y = samples(dtype, 100, seed=7), samples(dtype, 100, seed=8)
    y[::3] = x[::3]
    function = {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}
    function |= {"eq": np.equal, "ne": np.not_equal}
    assert np.array_equal(both(f"{name}(x, y)", dtype, x, y, out="b1"), function[name](x, y))


@pytest.mark.parametrize("source", ["f32", "f64", "i8", "u8", "i16", "i32", "u32", "i64", "b1"])
def test_casts_follow_astype(source):
    x = samples(source, 100, seed=9)
    if source[0] == "f":  # what does not fit an integer has no meaning
        x = np.where(np.isfinite(x), x, 3).astype(x.dtype)
    for target in ("f32", "f64", "f16", "i8", "u8", "i32", "i64", "b1"):
        if target in ("u8",) and source[0] == "f":
            x = np.abs(x)
        got = both(f"cast_{target}(x)", source, x, out=target)
        with np.errstate(all="ignore"):
            same_bits(got, x.astype(NUMPY[target]))


def test_sixteen_bit_floats_round_to_nearest_even():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(10)
    x = np.concatenate([rng.normal(size=4000) * 10.0 ** rng.integers(-9, 9, 4000), [1 + 2.0**-9, 1 + 3 * 2.0**-9]])
    x = np.concatenate([x, x + x * 2.0**-40, [np.inf, -np.inf, 65519.0, 65520.0, 1e-8, 0.0, -0.0]])
    for dtype in ("f32", "f64"):
        values = x.astype(NUMPY[dtype])
        with np.errstate(over="ignore"):
            same_bits(both("cast_f16(x)", dtype, values, out="f16"), values.astype(np.float16))
        expected = values.astype(ml_dtypes.bfloat16).view(np.uint16)
        if dtype == "f64":  # ml_dtypes goes through f32 and rounds twice; compare away from such ties
            with np.errstate(invalid="ignore"):
                once = np.abs(values.astype(np.float32).astype(np.float64) - values) < 2.0**-30 * np.abs(values)
            got = both("cast_bf16(x)", dtype, values, out="bf16")
            assert np.array_equal(got[once], expected[once])
        else:
            assert np.array_equal(both("cast_bf16(x)", dtype, values, out="bf16"), expected)
    halves = np.arange(2**16, dtype=np.uint16)
    widened = both("cast_f32(x)", "f16", halves.view(np.float16), out="f32")
    same_bits(widened, halves.view(np.float16).astype(np.float32))
    rounded = both("cast_f16(x)", "f32", x.astype(np.float32), out="f32")
    with np.errstate(over="ignore"):
        same_bits(rounded, x.astype(np.float32).astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("dtype", ["f32", "f64", "i32", "i64", "u8"])
def test_reductions_fold_by_halves(dtype):
    rng = np.random.default_rng(11)
    x = rng.normal(size=LANES).astype(NUMPY[dtype]) if dtype[0] == "f" else samples(dtype, LANES, seed=12)

    def tree(values, combine):
        while len(values) > 1:
            half = len(values) // 2
            values = combine(values[:half], values[half:])
        return values[0]

    with np.errstate(over="ignore"):
        for name, combine in {"hsum": np.add, "hprod": np.multiply, "hmax": np.maximum, "hmin": np.minimum}.items():
            same_bits(both(f"{name}(x)", dtype, x), np.full(LANES, tree(x, combine)))
            # Two reductions of one kernel, which LLVM may do together.
            source = f"""
def kernel(args, lo, hi, scratch):
    x = ptr_{dtype}(args[1]); y = ptr_{dtype}(args[2])
    a = {name}(load_{dtype}(x, 0)); b = {name}(load_{dtype}(x, LANES))
    storen_{dtype}(y, 0, a, 1); storen_{dtype}(y, 1, b, 1)
"""
            pair, result = np.concatenate([x, x[::-1]]), np.zeros(2, x.dtype)
            call(compile_kernel(source), 0, 1, pair, result)
            same_bits(result, np.array([tree(x, combine), tree(x[::-1], combine)]))
    assert both("hany(lt(x, y))", dtype, x, x, out="b1").tolist() == [False] * LANES
    assert both("hall(eq(x, y))", dtype, x, x, out="b1").tolist() == [True] * LANES


def test_constants_bits_lanes_and_masks():
    source = """
def kernel(args, lo, hi, scratch):
    f = ptr_f32(args[1]); d = ptr_f64(args[2]); i = ptr_i64(args[3]); b = ptr_b1(args[4])
    store_f32(f, 0, bits_f32(args[5])); store_f64(d, 0, bits_f64(args[6]))
    store_i64(i, 0, add(iota(lo), const_i64(100))); store_b1(b, 0, firstn(hi))
    store_f32(f, LANES, const_f32(lo)); store_f32(f, 2 * LANES, const_f32(0.1))
    i[LANES] = lane0_i64(const_i64(-5)); i[LANES + 1] = lane0_u8(const_u8(200)); i[LANES + 2] = lane0_b1(firstn(1))
    d[LANES] = lane0_f64(const_f64(2.5)); i[LANES + 3] = max(lo, hi) * 10 + min(lo, hi)
"""
    for make in (compile_kernel, python_kernel):
        f, d, i, b = np.zeros(3 * LANES, "f4"), np.zeros(2 * LANES), np.zeros(2 * LANES, "i8"), np.zeros(LANES, bool)
        bits32, bits64 = int(np.float32(1.5).view(np.int32)), int(np.float64(-2.25).view(np.int64))
        call(make(source), 2, 5, f, d, i, b, bits32, bits64)
        assert (f == np.repeat(np.float32([1.5, 2, 0.1]), LANES)).all()
        assert (d[:LANES] == -2.25).all() and d[LANES] == 2.5
        assert i[: LANES + 4].tolist() == [*range(102, 102 + LANES), -5, 200, 1, 52]
        assert b.tolist() == [True] * 5 + [False] * (LANES - 5)


def test_report_keeps_the_first_error():
    source = """
def kernel(args, lo, hi, scratch):
    report(args, 3, lo, 1.5)
    report(args, 4, hi, 2)
"""
    for make in (compile_kernel, python_kernel):
        slot = call(make(source), 7, 9)
        assert slot[0] == 3 and slot[1] != 0 and slot[2] == 7
        assert slot[3:4].view(np.float64)[0] == 1.5


def test_call_kernel_reaches_another_kernel():
    inner = compile_kernel("def kernel(args, lo, hi, scratch):\n    args[0] = lo + hi + scratch\n")
    outer = compile_kernel(
        "def kernel(args, lo, hi, scratch):\n    call_kernel(args[1], args[2], lo, hi, scratch)\n",
    )
    result = np.zeros(1, np.int64)
    call(outer, 1, 20, inner.kernel.address, result, scratch=300)
    assert result[0] == 321


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_transpose(dtype):
    source = f"""
def kernel(args, lo, hi, scratch):
    transpose_{dtype}(ptr_{dtype}(args[1]), 2, 20, ptr_{dtype}(args[2]), 1, 18)
"""
    x = np.arange(20 * LANES + 20).astype(NUMPY[dtype])
    for make in (compile_kernel, python_kernel):
        y = np.zeros(18 * LANES + 20, x.dtype)
        call(make(source), 0, 0, x, y)
        block = x[2 : 2 + 20 * LANES].reshape(LANES, 20)[:, :LANES]
        assert np.array_equal(y[1 : 1 + 18 * LANES].reshape(LANES, 18)[:, :LANES], block.T)


def test_wrong_operands_are_refused():
    with pytest.raises(CompileError, match=r"add: got \(f32x\d+, i32x\d+\)"):
        compile_kernel(elementwise("add(x, cast_i32(x))", "f32"))
    with pytest.raises(CompileError, match="sqrt"):
        compile_kernel(elementwise("sqrt(x)", "i32"))


def test_wide_moves_are_not_scalarised():
    if NAME == "baseline":
        pytest.skip("looks for the registers of AVX2 and AVX-512")
    for dtype, add in {"f32": "vaddps", "f64": "vaddpd", "i32": "vpaddd", "i64": "vpaddq"}.items():
        text = assembly(KernelSource(elementwise("add(x, y)", dtype)))
        register = "zmm" if LANES == 16 else "ymm"
        assert any(add in line and register in line for line in text.splitlines())
        assert "maskmov" in text or "{%k" in text


def test_both_namespaces_have_the_same_names():
    from graphkeras.lowering.cpu import simd

    assert set(simd.namespace()) == set(simd_python.namespace())
