"""GFLOP/s of the matrix-multiplication kernel beside NumPy's BLAS and, given a Python that has it, torch.

    python -m tests.benchmarks.gemm [--peers PYTHON] [--rounds N]

Every library runs in processes of its own, told to use one and then two threads; rounds alternate between libraries and the
fastest round counts, so a disturbance in one does not favour the others. With bias and ReLU the kernel runs them as its
epilogue, the others as they would be written. `peak` is a loop of nothing but fused multiply-adds in registers.
"""

import argparse
import json
import os
import subprocess
import sys
import time

SHAPES = [(128, 784, 512), (1024, 1024, 1024), (32, 64, 64), (512, 128, 784)]  # (M, K, N)
SECONDS = 0.25  # per measurement
EPILOGUE = """
def kernel(args, lo, hi, scratch):
    r = ptr_i64(lo); v = ptr_f32(r[0]); bias = ptr_f32(args[1]); y = ptr_f32(args[2])
    row = args[3]; ld = r[1]; j0 = r[4]; j1 = r[5]
    zero = const_f32(0.0)
    for i in range(r[2], r[3]):
        p = (i - r[2]) * ld
        q = i * row + j0
        for j in range(0, j1 - j0 - LANES + 1, LANES):
            store_f32(y, q + j, max(add(load_f32(v, p + j), load_f32(bias, j0 + j)), zero))
        j = (j1 - j0) // LANES * LANES
        n = j1 - j0 - j
        if n > 0:
            storen_f32(y, q + j, max(add(load_f32(v, p + j), loadn_f32(bias, j0 + j, n)), zero), n)
"""
PEAK = (
    "def kernel(args, lo, hi, scratch):\n    y = ptr_f32(args[1]); t = splat_f32(y, 0)\n"
    + "".join(f"    c{i} = splat_f32(y, {i})\n" for i in range(12))
    + "    for i in range(lo, hi):\n"
    + "".join(f"        c{i} = fma(t, t, c{i})\n" for i in range(12))
    + "".join(f"    store_f32(y, {i} * LANES, c{i})\n" for i in range(12))
)


def fastest(call):
    """Best seconds a call, over batches long enough for the clock."""
    call()
    start = time.perf_counter()
    call()
    batch = max(1, int(2e-3 / max(time.perf_counter() - start, 1e-7)))
    repeats = getattr(call, "repeats", 1)
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(batch):
            call()
        best = min(best, (time.perf_counter() - start) / batch / repeats)
    return best


def operands(m, k, n):
    import numpy as np

    rng = np.random.default_rng(0)
    return [rng.normal(size=size).astype(np.float32) for size in ((m, k), (k, n), (n,))]


def numpy_calls(threads):
    import numpy as np

    for shape in SHAPES:
        a, b, bias = operands(*shape)
        c = np.empty((shape[0], shape[2]), np.float32)

        def fused(a=a, b=b, bias=bias, c=c):
            np.matmul(a, b, out=c)
            np.add(c, bias, out=c)
            np.maximum(c, 0, out=c)

        yield lambda a=a, b=b, c=c: np.matmul(a, b, out=c), fused


def torch_calls(threads):
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    for shape in SHAPES:
        a, b, bias = map(torch.from_numpy, operands(*shape))
        c = torch.empty(shape[0], shape[2])
        fused = lambda a=a, b=b, bias=bias, c=c: torch.addmm(bias, a, b, out=c).relu_()
        yield lambda a=a, b=b, c=c: torch.mm(a, b, out=c), fused


def kernel_calls(threads):
    import numpy as np

    from graphkeras.lowering.cpu import gemm
    from graphkeras.runtime.objects import KernelSource, load_kernels
    from graphkeras.runtime.team import Job, Row, Team, make_table
    from tests.lowering.kernels import arguments

    start = time.perf_counter()
    sources = [gemm.source("f32"), EPILOGUE, PEAK]
    loaded = load_kernels([KernelSource(text) for text in sources])  # kept, for the code goes with them
    kernel, epilogue, peak = (k.address for k in loaded)
    team = Team(threads)

    def caller(address, block, slot, units, scratch_bytes, *alive):
        table = make_table([Row(address, block.ctypes.data, units)])
        job = Job(table, slot, scratch_bytes=scratch_bytes, keep_alive=(block, *alive))

        def call():
            team.run(job, call.repeats)

        call.repeats = 1
        return call

    print(f"kernels ready in {time.perf_counter() - start:.2f} s", file=sys.stderr)
    y, loops = np.zeros(256, np.float32), 200_000
    seconds = fastest(caller(peak, *arguments(y), loops, 0, y))
    print(f"peak {loops * 12 * 2 * gemm.LANES / seconds / 1e9:.0f} GFLOP/s on {threads} thread(s)", file=sys.stderr)
    for m, k, n in SHAPES:
        a, b, bias = operands(m, k, n)
        c = np.empty((m, n), np.float32)
        after, _ = arguments(bias, c, n)
        words = {"a": a, "b": b, "c": c, "m": m, "n": n, "k": k, "batch": 1, "a_row": k, "a_column": 1, "b_row": n}
        words |= {"b_column": 1, "c_row": n}
        pair = []
        for more in ({}, {"epilogue": epilogue, "epilogue_args": after}):
            filled = arguments(*({**words, **more}.get(name, 0) for name in gemm.ARGUMENTS[1:]))
            call = caller(kernel, *filled, gemm.units(m, n), gemm.scratch_bytes(k), a, b, c, bias, after)
            call.repeats = max(1, 10**8 // (m * k * n))
            pair.append(call)
        yield pair
        np.testing.assert_allclose(c, np.maximum(a @ b + bias, 0), atol=1e-2)


def measure(library, threads):
    """Seconds of (plain, with bias and ReLU) for each shape, as JSON on the last line of standard output."""
    calls = {"numpy": numpy_calls, "torch": torch_calls, "kernel": kernel_calls}[library]
    times = []
    for pair in calls(threads):
        times.append([fastest(call) for call in pair])
    print(json.dumps(times), flush=True)


def spawn(python, library, threads):
    variables = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(variables, str(threads))}
    command = [python, __file__, "--measure", library, str(threads)]
    environment["PYTHONPATH"] = os.pathsep.join([os.getcwd(), environment.get("PYTHONPATH", "")])
    out = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="a Python interpreter that can import torch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure[0], int(options.measure[1]))
    pythons = {"kernel": sys.executable, "numpy": sys.executable}
    if options.peers:
        pythons["torch"] = options.peers
    for threads in (1, 2):
        best = {}
        for _ in range(options.rounds):
            for library, python in pythons.items():
                times = spawn(python, library, threads)
                old = best.get(library, times)
                best[library] = [[min(p) for p in zip(*rows)] for rows in zip(times, old)]
        print(f"\n{threads} thread(s), GFLOP/s (ratio of the kernel to the library)")
        for index, (m, k, n) in enumerate(SHAPES):
            for variant, title in enumerate(("", " + bias + relu")):
                rate = {library: 2e-9 * m * k * n / times[index][variant] for library, times in best.items()}
                cells = [f"kernel {rate['kernel']:6.1f}"]
                cells += [f"{library} {r:6.1f} ({rate['kernel'] / r:.2f})" for library, r in rate.items() if library != "kernel"]
                print(f"  {f'{m} x {k} x {n}{title}':36s}" + "   ".join(cells))


if __name__ == "__main__":
    main()
