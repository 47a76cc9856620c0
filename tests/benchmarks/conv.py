"""Milliseconds of convolutions, their gradients and pooling, beside torch (oneDNN) in the same run.

    python -m tests.benchmarks.conv [--peers PYTHON] [--rounds N] [--threads 1 2] [--only TEXT]

Every library runs in processes of its own; rounds alternate and the fastest counts. torch gets the better of both memory formats,
and memory that it need not fetch from the system anew for each call. Ours is a program of one convolution, run without Python
between the repetitions.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import time

# name: (N, C, H, O), window, stride, padding, groups
SHAPES = {
    "128x13x13x32 -> 64": ((128, 32, 13, 64), 3, 1, 0, 1),
    "128x28x28x1 -> 32": ((128, 1, 28, 32), 3, 1, 0, 1),
    "64x16x16x64 -> 64": ((64, 64, 16, 64), 3, 1, 0, 1),
    "64x8x8x128 -> 128": ((64, 128, 8, 128), 3, 1, 0, 1),
    "64x16x16x64 -> 64 same": ((64, 64, 16, 64), 3, 1, 1, 1),
    "64x32x32x16 -> 16 same": ((64, 16, 32, 16), 3, 1, 1, 1),
    "64x32x32x32 -> 64 stride 2": ((64, 32, 32, 64), 3, 2, 1, 1),
    "64x16x16x128 depthwise": ((64, 128, 16, 128), 3, 1, 1, 128),
    "64x16x16x64 -> 64 groups 4": ((64, 64, 16, 64), 3, 1, 1, 4),
    "64x32x32x3 -> 32 same": ((64, 3, 32, 32), 3, 1, 1, 1),
}
POOLS = {
    "max pool 2 of 128x26x26x32": (128, 32, 26), "max pool 2 of 128x11x11x64": (128, 64, 11),
    "average pool 2 of 128x26x26x32": (128, 32, 26),
}  # fmt: skip
SECONDS = 0.2


def fastest(call):
    """Best seconds a call."""
    call()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def cases(only):
    for name, case in SHAPES.items():
        if only in name:
            yield name, case
    for name, case in POOLS.items():
        if only in name:
            yield name, case


def torch_calls(threads, only):
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    backward = torch.ops.aten.convolution_backward
    for name, case in cases(only):
        if name in POOLS:
            n, c, h = case
            choices = []
            for form in (torch.contiguous_format, torch.channels_last):
                x = torch.rand(n, c, h, h).to(memory_format=form)
                if name.startswith("average"):
                    pool = torch.nn.functional.avg_pool2d
                    rest = ([2, 2], [2, 2], [0, 0], False, True, None)
                    choices.append((functools.partial(pool, x, 2), functools.partial(
                        torch.ops.aten.avg_pool2d_backward, pool(x, 2), x, *rest)))  # fmt: skip
                    continue
                y, at = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
                choices.append((functools.partial(torch.nn.functional.max_pool2d, x, 2), functools.partial(
                    torch.ops.aten.max_pool2d_with_indices_backward, y, x, [2, 2], [2, 2], [0, 0], [1, 1], False, at)))  # fmt: skip
            yield name, dict(zip(("forward", "gradient"), zip(*choices)))
            continue
        (n, c, h, o), k, stride, pad, groups = case
        choices = []
        for form in (torch.contiguous_format, torch.channels_last):
            x = (torch.rand(n, c, h, h) - 0.5).to(memory_format=form)
            w = (torch.rand(o, c // groups, k, k) - 0.5).to(memory_format=form)
            forward = functools.partial(torch.nn.functional.conv2d, x, w, None, stride, pad, 1, groups)
            ct = forward().to(memory_format=form)
            rest = (ct, x, w, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], groups)
            gradients = [functools.partial(backward, *rest, mask) for mask in ([True, False, False], [False, True, False])]
            choices.append((forward, *gradients))
        yield name, dict(zip(("forward", "input gradient", "kernel gradient"), zip(*choices)))


def program_calls(threads, only):
    import numpy as np

    import graphkeras.ops  # noqa: F401  (fills the registry)
    from graphkeras.ir import TensorSpec
    from graphkeras.runtime.frame import Frame
    from graphkeras.runtime.memory import aligned_copy
    from graphkeras.runtime.program import Program
    from graphkeras.runtime.team import Team
    from graphkeras.trace import apply, trace

    team = Team(threads)

    def caller(op, arrays, attrs):
        arrays = [aligned_copy(np.asarray(a, np.float32)) for a in arrays]  # as a program's own arrays are, and torch's
        graph = trace(lambda *tensors: apply(op, *tensors, **attrs), [TensorSpec(a.shape, "float32") for a in arrays])
        program = Program(graph)
        binding = program.bind([a.shape for a in arrays])
        frame = Frame(binding)
        output = aligned_copy(np.empty(binding.output_shapes[0], np.float32))
        for index, array in enumerate((*arrays, output)):
            frame.place(index, array.ctypes.data)
        job = frame.ready((program, frame, arrays, output))
        team.run(job)
        return (lambda: team.run(job),), output

    rng = np.random.default_rng(0)
    for name, case in cases(only):
        if name in POOLS:
            n, c, h = case
            walk = {"window": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0))}
            x = rng.random((n, h, h, c))
            if name.startswith("average"):
                forward, y = caller("average_pool", [x], walk)
                gradient, _ = caller("average_pool_gradient", [y], {"shape": (h, h), **walk})
            else:
                forward, y = caller("max_pool", [x], walk)
                gradient, _ = caller("max_pool_gradient", [y, x], walk)
            yield name, {"forward": forward, "gradient": gradient}
            continue
        (n, c, h, o), k, stride, pad, groups = case
        walk = {"strides": (stride,) * 2, "padding": ((pad, pad),) * 2, "dilation": (1, 1), "groups": groups}
        x, w = rng.random((n, h, h, c)) - 0.5, rng.random((k, k, c // groups, o)) - 0.5
        forward, y = caller("conv", [x, w], walk)
        yield (
            name,
            {
                "forward": forward,
                "input gradient": caller("conv_input_gradient", [y, w], {"shape": (h, h), **walk})[0],
                "kernel gradient": caller("conv_kernel_gradient", [x, y], {"window": (k, k), **walk})[0],
            },
        )


def measure(library, threads, only):
    """{case: {part: seconds}} as JSON on the last line of standard output."""
    calls = {"torch": torch_calls, "graphkeras": program_calls}[library]
    found = {}
    for name, parts in calls(threads, only):
        found[name] = {part: min(map(fastest, choices)) for part, choices in parts.items()}
    print(json.dumps(found), flush=True)


def spawn(python, library, threads, only):
    """One measurement in a process of its own."""
    variables = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    variables |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
    environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    command = [python, __file__, "--measure", library, str(threads), "--only", only]
    out = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])


def flop(name):
    """FLOP of one part of a convolution, 0 for pooling."""
    if name in POOLS:
        return 0
    (n, c, h, o), k, stride, pad, groups = SHAPES[name]
    return 2 * n * ((h + 2 * pad - k) // stride + 1) ** 2 * k * k * c // groups * o


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="a Python interpreter that can import torch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure[0], int(options.measure[1]), options.only)
    pythons = {"graphkeras": sys.executable} | ({"torch": options.peers} if options.peers else {})
    for threads in options.threads:
        best: dict = {}
        for _ in range(options.rounds):
            for library, python in pythons.items():
                for name, parts in spawn(python, library, threads, options.only).items():
                    for part, seconds in parts.items():
                        key = name, part
                        best.setdefault(key, {})
                        best[key][library] = min(seconds, best[key].get(library, seconds))
        print(f"\n{threads} thread(s), ms (time of torch / time of graphkeras)")
        for (name, part), seconds in best.items():
            own = seconds["graphkeras"]
            rate = f" {flop(name) / own / 1e9:6.1f} GFLOP/s" if flop(name) else ""
            peer = f"   torch {seconds['torch'] * 1e3:7.3f}   {seconds['torch'] / own:5.2f}" if "torch" in seconds else ""
            print(f"  {name:32s} {part:16s} {own * 1e3:7.3f}{rate:>16s}{peer}", flush=True)


if __name__ == "__main__":
    main()
