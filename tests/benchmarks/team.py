"""What the native loop and its team cost, and what happens when another program takes one of the cores.

    python -m tests.benchmarks.team [--peers PYTHON] [--threads N]

Nanoseconds per row: an empty kernel run by the leader alone (`row`), and one that is cut into shares (`shared row`, which is a
hand-over to the helpers and back: the barrier). Then the time of a matrix product and of a chain of twenty small shared kernels,
on an idle machine and with a busy process bound to the first core, here and, given a Python that has it, in torch.
"""

import argparse
import os
import subprocess
import sys
import time

SECONDS = 1.5  # per measurement under load
M, K, N = 512, 784, 512
SMALL, CHAIN = 65536, 20
EMPTY = "def kernel(args, lo, hi, scratch):\n    pass\n"
SCALE = """
def kernel(args, lo, hi, scratch):
    y = ptr_f32(args[1])
    for i in range(lo, hi, LANES):
        store_f32(y, i, mul(load_f32(y, i), const_f32(0.5)))
"""


def rates(call):
    """(median, mean) seconds of a call."""
    call()
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2], sum(times) / len(times)


def under_load(call):
    """Those of an idle machine, and with another process on the first core."""
    idle = rates(call)
    core = min(os.sched_getaffinity(0))
    program = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    other = subprocess.Popen([sys.executable, "-c", program])
    try:
        time.sleep(0.3)
        return idle, rates(call)
    finally:
        other.kill()
        other.wait()


def show(title, times):
    (idle, idle_mean), (loaded, loaded_mean) = times
    slower, slower_mean = loaded / idle, loaded_mean / idle_mean
    print(f"  {title:32s} idle {idle * 1e6:8.1f} us   one core busy {loaded * 1e6:8.1f} us, x {slower:.2f} (mean x {slower_mean:.2f})")


def own(threads):
    import numpy as np

    from graphkeras.lowering.cpu import gemm
    from graphkeras.runtime.objects import KernelSource, load_kernels
    from graphkeras.runtime.team import Job, Row, Team, make_table
    from tests.lowering.kernels import arguments

    empty, scale, product = load_kernels([KernelSource(EMPTY), KernelSource(SCALE), KernelSource(gemm.source("f32"))])
    block, slot = arguments()
    rows, steps = 100, 2000
    for count in dict.fromkeys((1, threads)):
        team = Team(count)
        for title, shared in (("row", 0), ("shared row", 1)):
            job = Job(make_table([Row(empty.address, block.ctypes.data, 64, 1, shared, 1, 64 // count)] * rows), slot)
            best = float("inf")
            for _ in range(10):
                start = time.perf_counter()
                team.run(job, steps)
                best = min(best, (time.perf_counter() - start) / rows / steps)
            print(f"  {count} thread(s), {title:12s} {best * 1e9:6.1f} ns")
    a, b = np.ones((M, K), np.float32), np.ones((K, N), np.float32)
    c, y = np.zeros((M, N), np.float32), np.ones(SMALL, np.float32)
    words = {"a": a, "b": b, "c": c, "m": M, "n": N, "k": K, "batch": 1, "a_row": K, "a_column": 1, "b_row": N}
    words |= {"b_column": 1, "c_row": N}
    words["down"], words["across"] = gemm.grid(M, N, K)
    filled, filled_slot = arguments(*(words.get(name, 0) for name in gemm.ARGUMENTS[1:]))
    large = Job(
        make_table([Row(product.address, filled.ctypes.data, gemm.units(M, N, K))]), filled_slot, scratch_bytes=gemm.scratch_bytes(K)
    )
    cells, cells_slot = arguments(y)
    small = Job(make_table([Row(scale.address, cells.ctypes.data, SMALL, 16)] * CHAIN), cells_slot)
    show(f"product {M} x {K} x {N}", under_load(lambda: team.run(large)))
    show(f"{CHAIN} kernels of {SMALL} elements", under_load(lambda: team.run(small)))


def torch_rates(threads):
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    a, b, c, y = torch.ones(M, K), torch.ones(K, N), torch.empty(M, N), torch.ones(SMALL)

    def chain():
        for _ in range(CHAIN):
            y.mul_(0.5)

    show(f"product {M} x {K} x {N}", under_load(lambda: torch.mm(a, b, out=c)))
    show(f"{CHAIN} kernels of {SMALL} elements", under_load(chain))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="a Python interpreter that can import torch")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--torch", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.torch:
        return torch_rates(options.threads)
    print(f"graphkeras, {options.threads} threads", flush=True)
    own(options.threads)
    if options.peers:
        print(f"torch, {options.threads} threads", flush=True)
        subprocess.run([options.peers, __file__, "--torch", "--threads", str(options.threads)], check=True)


if __name__ == "__main__":
    main()
