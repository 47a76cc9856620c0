"""Matrix multiplication: values, bits, every transpose and ragged edge, callbacks, and independence of the split in units."""

import functools

import numpy as np
import pytest

from graphkeras.ir.dtypes import SHORT
from graphkeras.lowering.cpu import gemm
from graphkeras.lowering.cpu.simd_python import _fma_f32
from tests.lowering.kernels import arguments, compile_kernel, python_kernel

KIND = {"f32": np.float32, "f64": np.float64}
SHAPES = [
    (6, 4, 16), (1, 5, 3), (2, 300, 17), (3, 8, 33), (4, 7, 16), (5, 9, 40), (7, 600, 10), (32, 16, 32), (128, 512, 10),
    (32, 32, 1), (100, 33, 270), (37, 40, 100), (301, 300, 530), (13, 0, 5), (8, 2100, 24), (40, 2100, 24), (1, 784, 512),
]  # fmt: skip


@functools.cache
def kernel(dtype, make=compile_kernel):
    return make(gemm.source(dtype))


def block(a, b, c, **more):
    """The argument block for c = a @ b (2 or 3 dimensions); further words by name."""
    strides = {}
    for name, array in (("a", a), ("b", b), ("c", c)):
        elements = [s // array.itemsize for s in array.strides]
        strides[f"{name}_batch"] = elements[0] if array.ndim == 3 else 0
        strides[f"{name}_row"], strides[f"{name}_column"] = elements[-2:]
    sizes = {"m": a.shape[-2], "n": b.shape[-1], "k": a.shape[-1], "batch": len(c) if c.ndim == 3 else 1}
    down, across = gemm.grid(**sizes, a_column=strides["a_column"], dtype=SHORT[str(a.dtype)])
    words = {"a": a, "b": b, "c": c, "down": down, "across": across, **sizes, **strides, **more}
    return arguments(*(words.get(name, 0) for name in gemm.ARGUMENTS[1:]))


def multiply(dtype, a, b, c, ranges=None, make=compile_kernel, **more):
    words, slot = block(a, b, c, **more)
    m, n, k = a.shape[-2], b.shape[-1], a.shape[-1]
    batch = len(c) if c.ndim == 3 else 1
    count = gemm.units(m, n, k, batch, a.strides[-1] // a.itemsize, dtype=dtype)
    size = gemm.scratch_bytes(k, dtype, prologues="prologue_b" in more)
    scratch = np.full(size + 64 + 8, 0xAB, np.uint8)  # what is written past the end is seen
    start = -(-scratch.ctypes.data // 64) * 64
    for lo, hi in ranges or [(0, count)]:
        kernel(dtype, make)(words.ctypes.data, lo, hi, start)
    assert (scratch[start - scratch.ctypes.data + size :] == 0xAB).all()
    assert not slot.any()
    return c


def chain(a, b, dtype="f32"):
    """The sums as documented: fma in order inside a K-block, blocks added in order."""
    (m, k), n = a.shape, b.shape[1]
    edges = gemm.k_blocks(k, dtype)
    total = None
    for start, end in zip(edges, edges[1:]):
        part = np.zeros((m, n), np.float32)
        for q in range(start, end):
            part = _fma_f32(np.broadcast_to(a[:, q : q + 1], (m, n)), np.broadcast_to(b[q], (m, n)), part)
        total = part if total is None else total + part
    return total


def operands(dtype, m, k, n, transpose_a=False, transpose_b=False, batch=()):
    rng = np.random.default_rng(m * 1000 + n)
    a = rng.normal(size=(*batch, k, m) if transpose_a else (*batch, m, k)).astype(KIND[dtype])
    b = rng.normal(size=(*batch, n, k) if transpose_b else (*batch, k, n)).astype(KIND[dtype])
    return (a.swapaxes(-1, -2) if transpose_a else a), (b.swapaxes(-1, -2) if transpose_b else b)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_values_and_bits_for_every_transpose(dtype, shape):
    m, k, n = shape
    for ta, tb in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        a, b = operands(dtype, m, k, n, ta, tb)
        area = np.full((m, n + 3), np.nan, KIND[dtype])
        got = multiply(dtype, a, b, area[:, :n])
        np.testing.assert_allclose(got, a.astype(float) @ b, rtol=0, atol=1e-3 if dtype == "f32" else 1e-11)
        assert np.isnan(area[:, n:]).all()
        if dtype == "f32" and m * n * k < 500_000:
            assert np.array_equal(got, chain(a, b))


def test_bits_do_not_depend_on_layout():
    a, b = operands("f32", 200, 1100, 300)
    expected = multiply("f32", a, b, np.empty((200, 300), np.float32))
    for x in (a, np.asfortranarray(a), np.repeat(a, 2, 1)[:, ::2]):
        for y in (b, np.asfortranarray(b), np.repeat(b, 2, 1)[:, ::2]):
            got = multiply("f32", x, y, np.empty((200, 300), np.float32))
            assert got.tobytes() == expected.tobytes()
    for x in (a[:1], np.asfortranarray(a)[:1]):
        one = multiply("f32", x, b, np.empty((1, 300), np.float32))
        assert one.tobytes() == expected[:1].tobytes()
    few = multiply("f32", a[:5], b, np.empty((5, 300), np.float32))  # another path, the same chain
    assert few.tobytes() == expected[:5].tobytes()
    for x in (a, np.asfortranarray(a)):  # read as it lies, or packed
        narrow = multiply("f32", x, b[:, :7], np.empty((200, 7), np.float32))
        assert np.array_equal(narrow, expected[:, :7])
    for m, k, n in ((41, 500, 19), (64, 1100, 70), (300, 480, 5)):  # short rows, and rows that are too long for so many steps
        a, b = operands("f32", m, k, n, transpose_a=True)
        assert np.array_equal(multiply("f32", a, b, np.empty((m, n), np.float32)), chain(a, b))


def test_batches_and_splits():
    a, b = operands("f32", 150, 70, 290, batch=(3,))
    expected = multiply("f32", a, b, np.empty((3, 150, 290), np.float32))
    np.testing.assert_allclose(expected, a @ b, atol=1e-4)
    count = gemm.units(150, 290, 70, 3)
    ranges = [(u, u + 1) for u in reversed(range(count))]
    assert multiply("f32", a, b, np.empty_like(expected), ranges).tobytes() == expected.tobytes()
    shared = multiply("f32", a, np.broadcast_to(b[:1], b.shape), np.empty_like(expected))
    assert shared[0].tobytes() == expected[0].tobytes()
    np.testing.assert_allclose(shared[2], a[2] @ b[0], atol=1e-4)


EPILOGUE = """
def kernel(args, lo, hi, scratch):
    r = ptr_i64(lo); v = ptr_f32(r[0]); bias = ptr_f32(args[1]); y = ptr_f32(args[2])
    for i in range(r[2], r[3]):
        for j in range(r[4], r[5], LANES):
            n = min(LANES, r[5] - j)
            t = add(load_f32(v, (i - r[2]) * r[1] + j - r[4]), loadn_f32(bias, j, n))
            storen_f32(y, r[6] * args[4] + i * args[3] + j, max(t, const_f32(0.0)), n)
"""
PROLOGUE = """
def kernel(args, lo, hi, scratch):
    r = ptr_i64(lo); v = ptr_f32(r[0]); x = ptr_f32(args[1])
    for i in range(r[2], r[3]):
        for j in range(r[4], r[5], LANES):
            n = min(LANES, r[5] - j)
            t = mul(loadn_f32(x, r[6] * args[3] + i * args[2] + j, n), const_f32(2.0))
            storen_f32(v, (i - r[2]) * r[1] + j - r[4], t, n)
"""


@pytest.mark.parametrize("shape", [(128, 784, 512), (5, 9, 3), (301, 130, 290), (1, 600, 20)], ids=str)
def test_epilogue_and_prologues(shape):
    m, k, n = shape
    a, b = operands("f32", m, k, n, batch=(2,))
    c = np.empty((2, m, n), np.float32)
    plain = multiply("f32", 2 * a, 2 * b, c.copy())
    bias = np.random.default_rng(3).normal(size=n).astype(np.float32)
    epilogue, prologue = compile_kernel(EPILOGUE), compile_kernel(PROLOGUE)
    after, _ = arguments(bias, c, n, m * n)
    before_a, _ = arguments(a, k, m * k)
    before_b, _ = arguments(b, n, k * n)
    fused = {"epilogue": epilogue.kernel.address, "epilogue_args": after}
    fused |= {"prologue_a": prologue.kernel.address, "prologue_a_args": before_a}
    fused |= {"prologue_b": prologue.kernel.address, "prologue_b_args": before_b}
    multiply("f32", a, b, c, **fused)
    assert c.tobytes() == np.maximum(plain + bias, np.float32(0)).tobytes()
    for ranges in ([(u, u + 1) for u in range(gemm.units(m, n, k, 2))],):
        c[:] = 0
        multiply("f32", a, b, c, ranges, **fused)
        assert c.tobytes() == np.maximum(plain + bias, np.float32(0)).tobytes()


def test_runs_as_plain_python():
    for m, k, n, transpose_a in [(7, 5, 18, False), (3, 4, 5, False), (26, 2, 70, False), (26, 2, 70, True)]:
        a, b = operands("f32", m, k, n, transpose_a, transpose_b=True)
        compiled = multiply("f32", a, b, np.empty((m, n), np.float32))
        assert multiply("f32", a, b, np.empty((m, n), np.float32), make=python_kernel).tobytes() == compiled.tobytes()


def test_tiles_are_enough_and_fit_the_scratch():
    width = gemm.LANES * 2
    cases = [(1, 1, 9, 1), (128, 512, 784, 8), (1024, 1024, 99, 32), (513, 784, 9, 16), (6272, 64, 288, 44), (128, 10, 512, 4)]
    for m, n, k, least in cases:
        for a_column in (1, m):
            down, across = gemm.grid(m, n, k, 1, a_column)
            assert gemm.units(m, n, k, 5, a_column) % 5 == 0
            assert -(-m // down) <= gemm.ROWS and -(-n // across) <= gemm.COLUMNS + width
            assert down * across >= least or a_column != 1
    assert gemm.units(1024, 290, 70, heavy=True) > gemm.units(1024, 290, 70)
    assert gemm.units(0, 5, 3) == gemm.units(5, 0, 3) == 0


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_steps_of_loops_are_cut_into_equal_halves(dtype):
    for m in range(1, 1500):
        down, _, rise = gemm.grid_of_rows(m, 64, dtype)
        if down == 1:
            assert m <= gemm.ROWS and rise == 0
        else:
            assert down * rise >= m > (down - 1) * rise and rise <= gemm.ROWS
    assert gemm.grid_of_rows(32, 256, dtype)[::2] == (2, 16)
