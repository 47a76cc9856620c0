"""GFLOP/s of the matrix-multiplication kernel beside NumPy's BLAS and, given a Python that has it, torch.

    python -m tests.benchmarks.gemm [--peers PYTHON] [--rounds N]

Every library runs in a process of its own, told to use one and then two threads. The processes take turns of a few
milliseconds, for a machine that others share changes its speed from second to second. Printed are the fastest turn of each,
as GFLOP/s, and the median over the rounds of the kernel's rate over the library's in the same round. With bias and ReLU the
kernel runs them as its epilogue, the others as they would be written. NumPy's BLAS chooses its code by itself (OPENBLAS_CORETYPE
is taken away), and the first line says which. `peak` is a loop of nothing but fused multiply-adds in
registers, which had its turns among the others.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time

SHAPES = [(128, 784, 512), (6272, 288, 64), (1024, 1024, 1024), (32, 64, 64), (512, 128, 784)]  # (M, K, N)
TURN = 6e-3  # seconds
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
PEAK_LOOPS = 50_000
PEAK = (
    "def kernel(args, lo, hi, scratch):\n    y = ptr_f32(args[1]); t = splat_f32(y, 0)\n"
    + "".join(f"    c{i} = splat_f32(y, {i})\n" for i in range(12))
    + "    for i in range(lo, hi):\n"
    + "".join(f"        c{i} = fma(t, t, c{i})\n" for i in range(12))
    + "".join(f"    store_f32(y, {i} * LANES, c{i})\n" for i in range(12))
)


def fastest(call):
    """Best seconds a call within a turn, over batches long enough for the clock."""
    call()
    start = time.perf_counter()
    call()
    batch = max(1, int(5e-4 / max(time.perf_counter() - start, 1e-7)))
    repeats = getattr(call, "repeats", 1)
    best, end = float("inf"), time.perf_counter() + TURN
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


def blas_core():
    """The CPU that NumPy's OpenBLAS thinks it runs on."""
    import ctypes
    from pathlib import Path

    import numpy as np

    for path in Path(np.__file__).parent.parent.glob("numpy.libs/*openblas*"):
        name = ctypes.CDLL(str(path)).scipy_openblas_get_corename64_
        name.restype = ctypes.c_char_p
        return f"OpenBLAS for {name().decode()}"
    return "a BLAS that is not OpenBLAS's wheel"


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
    loaded = load_kernels([KernelSource(text) for text in sources])
    kernel, epilogue, peak = (k.address for k in loaded)
    team = Team(threads)

    def caller(address, block, slot, units, scratch_bytes, *alive):
        table = make_table([Row(address, block.ctypes.data, units)])
        job = Job(table, slot, scratch_bytes=scratch_bytes, keep_alive=(loaded, block, *alive))

        def call():
            team.run(job, call.repeats)

        call.repeats = 1
        return call

    print(f"kernels ready in {time.perf_counter() - start:.2f} s", file=sys.stderr)
    y = np.zeros(256, np.float32)
    yield [caller(peak, *arguments(y), PEAK_LOOPS, 0, y)]
    for m, k, n in SHAPES:
        a, b, bias = operands(m, k, n)
        c = np.empty((m, n), np.float32)
        after, _ = arguments(bias, c, n)
        words = {"a": a, "b": b, "c": c, "m": m, "n": n, "k": k, "batch": 1, "a_row": k, "a_column": 1, "b_row": n}
        words |= {"b_column": 1, "c_row": n}
        words["down"], words["across"] = gemm.grid(m, n, k)
        pair = []
        for more in ({}, {"epilogue": epilogue, "epilogue_args": after}):
            filled = arguments(*({**words, **more}.get(name, 0) for name in gemm.ARGUMENTS[1:]))
            call = caller(kernel, *filled, gemm.units(m, n, k), gemm.scratch_bytes(k), a, b, c, bias, after)
            call.repeats = max(1, 10**8 // (m * k * n))
            pair.append(call)
            call()
        np.testing.assert_allclose(c, np.maximum(a @ b + bias, 0), atol=1e-2)
        yield pair


class Worker:
    """A library's process, which measures a call when told its number."""

    def __init__(self, python, library, threads):
        variables = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(variables, str(threads))}
        environment["PYTHONPATH"] = os.pathsep.join([os.getcwd(), environment.get("PYTHONPATH", "")])
        command = [python, __file__, "--serve", library, str(threads)]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        self.process.send_signal(signal.SIGSTOP)

    def seconds(self, number):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        seconds = float(self.process.stdout.readline())
        self.process.send_signal(signal.SIGSTOP)  # for idle threads of a pool spin, in the way of whose turn comes next
        return seconds

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait()


def serve(library, threads):
    """The process of a `Worker`: its calls in order of SHAPES, each plain and with bias and ReLU; the kernel's begin with the peak."""
    calls = {"numpy": numpy_calls, "torch": torch_calls, "kernel": kernel_calls}[library]
    calls = [call for group in calls(threads) for call in group]
    print("ready", flush=True)
    for line in sys.stdin:
        print(fastest(calls[int(line)]), flush=True)


def compare(pythons, threads, rounds):
    """Print the table for a number of threads."""
    from graphkeras.lowering.cpu.target import LANES

    workers = {library: Worker(python, library, threads) for library, python in pythons.items()}
    peak_flop, peak = PEAK_LOOPS * 12 * 2 * LANES, []
    print(f"{threads} thread(s), GFLOP/s (median ratio of the kernel to the library)")
    for index, (m, k, n) in enumerate(SHAPES):
        for variant, title in enumerate(("", " + bias + relu")):
            times = {library: [] for library in workers}
            for _ in range(rounds):
                for library, worker in workers.items():
                    times[library].append(worker.seconds(2 * index + variant + (library == "kernel")))
                peak.append(workers["kernel"].seconds(0))
            cells = []
            for library, seconds in times.items():
                ratio = statistics.median(other / own for own, other in zip(times["kernel"], seconds))
                cells.append(f"{library} {2e-9 * m * k * n / min(seconds):6.1f}" + (f" ({ratio:.2f})" if library != "kernel" else ""))
            print(f"  {f'{m} x {k} x {n}{title}':36s}" + "   ".join(cells), flush=True)
    print(f"  {'peak':36s}fastest {1e-9 * peak_flop / min(peak):6.1f}   median {1e-9 * peak_flop / statistics.median(peak):6.1f}")
    for worker in workers.values():
        worker.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="a Python interpreter that can import torch")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve[0], int(options.serve[1]))
    os.environ.pop("OPENBLAS_CORETYPE", None)
    from graphkeras.lowering.cpu.target import NAME

    print(f"NumPy uses {blas_core()}; the kernel is made for {NAME}")
    pythons = {"kernel": sys.executable, "numpy": sys.executable}
    if options.peers:
        pythons["torch"] = options.peers
    for threads in options.threads:
        compare(pythons, threads, options.rounds)


if __name__ == "__main__":
    main()
