"""Elementary functions over every float32: the worst error in ULP, and time per element beside NumPy and torch.

    python -m tests.benchmarks.functions [--peers PYTHON] [--only NAME ...] [--errors] [--times]

Errors: each of the 2**32 floats is put through the kernel's float32 function and through its float64 one, in one compiled loop; the
latter stands for the exact value, for its own error (a few float64 ULP, held to longer numbers by the tests) is 10**-8 float32 ULP.
Functions of two arguments run over every float as the first and a few numbers as the second. Times: 2**14 normal numbers in the
first-level cache, one thread; our loop is inside the compiled program, NumPy and torch are called with an output array, so that
their calls cost a microsecond or two.
"""

import argparse
import json
import os
import subprocess
import time

import numpy as np

UNARY = (
    "exp expm1 log log1p tanh sigmoid softplus erf sin cos rsqrt sqrt exp2 log2 log10 tan arcsin arccos arctan sinh cosh arcsinh "
    "arccosh arctanh cbrt"
).split()
SECOND = {"pow": (2.0, 0.5, -0.5, 1 / 3, 3.0, 10.0, -3.7, 0.001)}
PEERS = {"sigmoid": (None, "sigmoid"), "softplus": (None, None), "erf": (None, "erf"), "rsqrt": (None, "rsqrt"), "cbrt": ("cbrt", None)}
UNIT = 1 << 20
ELEMENTS = 1 << 14


def error_source(expression, reference=None, stride=1):
    """A kernel that leaves, for each unit of 2**20 floats (by their bits), the largest error and the bits of the worst float; of the
    floats it takes every `stride`-th."""
    return f"""
def kernel(args, lo, hi, scratch):
    found = ptr_f64(args[1]); at = ptr_i64(args[2]); second = ptr_f32(args[3])
    y = splat_f32(second, 0); wide_y = cast_f64(y)
    zero = const_f64(0.0); least = const_f64({2.0**-149!r}); place = const_f64({2.0**-23!r})
    huge = const_f64({(2 - 2**-23 * 4) * 2.0**127!r}); wrong = const_f64(1e300)
    exponent = const_i64({0x7FF << 52}); infinity = bits_f32({0xFF << 23})
    u = lo
    while u < hi:
        worst = zero
        where = const_i64(0)
        j = u * {UNIT}
        e = j + {UNIT}
        while j < e:
            i = add(splat_i64v(j), mul(iota(0), const_i64({stride})))
            x = bitcast_f32(cast_u32(i))
            wide = cast_f64(x)
            got = {expression.format(x="x", y="y")}
            exact = {(reference or expression).format(x="wide", y="wide_y")}
            near = cast_f32(exact)
            ulp = max(mul(bitcast_f64(and_(bitcast_i64(exact), exponent)), place), least)
            apart = div(abs(sub(cast_f64(got), exact)), ulp)
            infinite = or_(eq(abs(near), infinity), eq(abs(got), infinity))
            special = or_(infinite, or_(ne(near, near), ne(got, got)))
            right = or_(eq(got, near), and_(ne(got, got), ne(near, near)))
            right = or_(right, and_(gt(abs(exact), huge), gt(abs(cast_f64(got)), huge)))
            apart = select(special, select(right, zero, wrong), apart)
            more = gt(apart, worst)
            worst = select(more, apart, worst)
            where = select(more, i, where)
            j += LANES * {stride}
        top = hmax(worst)
        storen_f64(found, u, top, 1)
        storen_i64(at, u, hmax(select(eq(worst, top), where, const_i64(0))), 1)
        u += 1
"""


def worst_error(name, first=0, units=1 << 12, stride=1, seconds=None):
    """(largest error in ULP, the float where it is, second argument) over all floats, or over units of 2**20 of them, or over every
    `stride`-th one; with each of `seconds` as the second argument."""
    worst = (0.0, 0.0, None)
    for second in SECOND.get(name, (None,)) if seconds is None else seconds:
        expression = name + ("({x}, {y})" if second is not None else "({x})")
        found, at = np.zeros(1 << 12), np.zeros(1 << 12, np.int64)
        given = np.array([second or 0], np.float32)
        run(error_source(expression, stride=stride), units, first, found, at, given)
        unit = int(np.argmax(found))
        if found[unit] > worst[0]:
            worst = float(found[unit]), float(np.array(at[unit], np.uint32).view(np.float32)), second
    return worst


def run(source, units, first, *arrays):
    """Runs a kernel over units first .. first + units on all threads of the process."""
    from graphkeras.runtime.objects import KernelSource, load_kernels
    from graphkeras.runtime.team import Job, Row, get_team, make_table

    (kernel,) = load_kernels([KernelSource(source.replace("u = lo", f"u = lo + {first}").replace("u < hi", f"u < hi + {first}"))])
    slot = np.zeros(8, np.int64)
    block = np.array([slot.ctypes.data, *(a.ctypes.data for a in arrays)], np.int64)
    get_team().run(Job(make_table([Row(kernel.address, block.ctypes.data, units)]), slot, keep_alive=(block, kernel, *arrays)))


def numbers(name):
    x = np.random.default_rng(0).standard_normal(ELEMENTS, np.float32)
    positive = ("log", "rsqrt", "sqrt", "log2", "log10", "pow", "log1p")
    x = np.abs(x) if name in positive else np.tanh(x) if name in ("arcsin", "arccos", "arctanh") else x
    return 1 + np.abs(x) if name == "arccosh" else x


def fastest(call, seconds=0.1, times=20):
    call()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(times):
            call()
        best = min(best, (time.perf_counter() - start) / times)
    return best


def our_seconds(names):
    from graphkeras.runtime.objects import KernelSource, load_kernels
    from graphkeras.runtime.team import Job, Row, Team, make_table

    team, found = Team(1), {}
    for name in names:
        value = f"{name}(load_f32(x, j), c)" if name in SECOND else f"{name}(load_f32(x, j))"
        source = (
            "def kernel(args, lo, hi, scratch):\n    x = ptr_f32(args[1]); y = ptr_f32(args[2]); c = const_f32(-0.7)\n    j = lo\n"
            f"    while j + LANES <= hi:\n        store_f32(y, j, {value})\n        j += LANES\n"
        )
        x, y = numbers(name), np.empty(ELEMENTS, np.float32)
        (kernel,) = load_kernels([KernelSource(source)])
        slot = np.zeros(8, np.int64)
        block = np.array([slot.ctypes.data, x.ctypes.data, y.ctypes.data], np.int64)
        job = Job(make_table([Row(kernel.address, block.ctypes.data, ELEMENTS)]), slot, keep_alive=(block, kernel, x, y))
        found[name] = fastest(lambda job=job: team.run(job, 20), times=1) / 20
    return found


def numpy_seconds(names):
    found = {}
    for name in names:
        function = getattr(np, "power" if name == "pow" else PEERS.get(name, (name,))[0] or "", None)
        x, y = numbers(name), np.empty(ELEMENTS, np.float32)
        more = (np.float32(-0.7),) if name in SECOND else ()
        if function is not None:
            found[name] = fastest(lambda f=function, x=x, y=y, more=more: f(x, *more, out=y))
    return found


def torch_seconds(names):
    import torch

    torch.set_num_threads(1)
    found = {}
    for name in names:
        function = getattr(torch, PEERS.get(name, (None, name))[1] or "", None)
        x, y = torch.from_numpy(numbers(name)), torch.empty(ELEMENTS)
        more = (-0.7,) if name in SECOND else ()
        if function is not None:
            found[name] = fastest(lambda f=function, x=x, y=y, more=more: f(x, *more, out=y))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="a Python interpreter that can import torch")
    parser.add_argument("--only", nargs="*", default=[*UNARY, *SECOND])
    parser.add_argument("--errors", action="store_true")
    parser.add_argument("--times", action="store_true")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(torch_seconds(options.only)))
        return
    if options.errors or not options.times:
        for name in options.only:
            start = time.perf_counter()
            error, x, second = worst_error(name)
            with_second = f", {second:.4g}" if second is not None else ""
            print(f"{name:10s} {error:8.3f} ULP at {x:.9g}{with_second}  ({time.perf_counter() - start:.0f} s)", flush=True)
    if options.times or not options.errors:
        times = {"ours": our_seconds(options.only), "numpy": numpy_seconds(options.only)}
        if options.peers:
            path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
            command = [options.peers, __file__, "--measure", "--only", *options.only]
            done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True)
            times["torch"] = json.loads(done.stdout.splitlines()[-1])
        heads = "".join(f"{library:>16s}" for library in times if library != "ours")
        print(f"{'ns per element':14s} {'ours':>8s} {'GB/s':>6s}{heads}")
        for name in options.only:
            own = times["ours"][name]
            cells = [(t[name] * 1e9 / ELEMENTS, t[name] / own) if name in t else None for k, t in times.items() if k != "ours"]
            shown = "".join(f"{'-':>16s}" if c is None else f"{f'{c[0]:.3f} ({c[1]:.1f}x)':>16s}" for c in cells)
            print(f"{name:14s} {own * 1e9 / ELEMENTS:8.3f} {8 * ELEMENTS / own / 1e9:6.1f}{shown}")


if __name__ == "__main__":
    main()
