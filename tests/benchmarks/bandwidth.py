"""What share of the memory's bandwidth the fused kernels reach, beside torch and jitted JAX.

    python -m tests.benchmarks.bandwidth [--peers PYTHON] [--rounds N] [--only NAME ...] [--large]

A case counts the bytes it cannot do without: every input read once, every output written once, and what a further pass over an
array that leaves the caches must read again (said in the case's title). The yardstick is a copy kernel of our own, which loads and
stores vectors as all kernels do, over arrays as large as the case's; `memcpy` (NumPy) is shown beside it. Each library runs in
processes of its own with 1 and 2 threads; rounds alternate between libraries and the fastest counts. Memory of results is reused
by all: our program writes where it wrote before, and the peers' allocator is told to keep what it has.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np

SECONDS = 0.25
ROWS, COLUMNS = 16384, 1024  # 64 MB
IMAGES = (64, 64, 64, 64)  # N, H, W, C: 64 MB
PARAMETERS = {"adam, 1 M in 16": (16, 1 << 16), "adam, 20 M in 20": (20, 1_000_000)}


@dataclass
class Case:
    """A computation, written for each library.

    Args:
        title: with the passes over memory that are counted.
        shapes: of its inputs.
        passes: bytes moved, in units of the first input's bytes.
        ours, torch, jax: make the function from the library's module(s).
    """

    title: str
    shapes: tuple
    passes: float
    ours: object
    torch: object = None
    jax: object = None
    extra: dict = field(default_factory=dict)

    @property
    def nbytes(self):
        return self.passes * 4 * int(np.prod(self.shapes[0]))


def _gradient(function):
    """The vjp of a graphkeras function: inputs and cotangent -> gradients of all inputs."""

    def made(keras):
        inner = function(keras)

        def gradients(*values):
            *inputs, ct = values
            with keras.GradientTape() as tape:
                for x in inputs:
                    tape.watch(x)
                y = inner(*inputs)
            return tape.gradient(y, inputs, ct)

        return gradients

    return made


def _jax_gradient(function):
    def made(jax):
        inner = function(jax)
        return lambda *values: jax.vjp(inner, *values[:-1])[1](values[-1])

    return made


def _batch_norm(keras):
    ops = keras.ops

    def f(x, gamma, beta):
        mean, variance = ops.moments(x, axes=[0, 1, 2])
        return ops.batch_normalization(x, mean, variance, -1, beta, gamma)

    return f


def _jax_norm(axes):
    def made(jax):
        def f(x, gamma, beta):
            mean = x.mean(axes, keepdims=True)
            variance = jax.numpy.square(x - mean).mean(axes, keepdims=True)
            return (x - mean) * (jax.lax.rsqrt(variance + 1e-3) * gamma) + beta

        return f

    return made


def _chain(m):
    def f(x, w):
        y = x * 1.5 + w
        y = m.maximum(y, 0.0) * 0.25
        y = y - x
        return m.abs(y * w + 0.5)

    return f


def _torch_chain(torch):
    def f(x, w):
        y = torch.add(w, x, alpha=1.5).relu_().mul_(0.25).sub_(x)
        return y.mul_(w).add_(0.5).abs_()

    return f


def _torch_softmax_backward(torch):
    def f(x, ct):
        y = torch.softmax(x, -1)
        return torch.ops.aten._softmax_backward_data(ct, y, -1, torch.float32)

    return f


def _torch_layer_norm_backward(torch):
    def f(x, gamma, beta, ct):
        _, mean, scale = torch.ops.aten.native_layer_norm(x, [COLUMNS], gamma, beta, 1e-3)
        return torch.ops.aten.native_layer_norm_backward(ct, x, [COLUMNS], mean, scale, gamma, beta, [True] * 3)

    return f


def _channels_last(x):
    return x.permute(0, 3, 1, 2)


def _torch_batch_norm(torch):
    def f(x, gamma, beta):
        return torch.native_batch_norm(_channels_last(x), gamma, beta, None, None, True, 0.1, 1e-3)[0]

    return f


def _torch_batch_norm_backward(torch):
    def f(x, gamma, beta, ct):
        _, mean, scale = torch.native_batch_norm(_channels_last(x), gamma, beta, None, None, True, 0.1, 1e-3)
        return torch.ops.aten.native_batch_norm_backward(
            _channels_last(ct), _channels_last(x), gamma, None, None, mean, scale, True, 1e-3, [True] * 3
        )

    return f


_softmax = lambda keras: lambda x: keras.ops.softmax(x, axis=-1)
_layer_norm = lambda keras: lambda x, gamma, beta: keras.ops.layer_normalization(x, gamma, beta, axis=-1, epsilon=1e-3)
_jax_softmax = lambda jax: lambda x: jax.nn.softmax(x, axis=-1)
_matrix, _vectors = (ROWS, COLUMNS), ((COLUMNS,), (COLUMNS,))
_channels = ((IMAGES[-1],), (IMAGES[-1],))

CASES = {
    "softmax": Case("softmax: read, write", (_matrix,), 2, _softmax, lambda t: lambda x: t.softmax(x, -1), _jax_softmax),
    "softmax backward": Case(
        "softmax from x, and its gradient: 2 reads, write", (_matrix, _matrix), 3, _gradient(_softmax),
        _torch_softmax_backward, _jax_gradient(_jax_softmax),
    ),
    "layer norm": Case(
        "layer norm: read, write", (_matrix, *_vectors), 2, _layer_norm,
        lambda t: lambda x, g, b: t.native_layer_norm(x, [COLUMNS], g, b, 1e-3), _jax_norm((-1,)),
    ),
    "layer norm backward": Case(
        "layer norm, gradients of x, gamma, beta: 2 reads, write", (_matrix, *_vectors, _matrix), 3, _gradient(_layer_norm),
        _torch_layer_norm_backward, _jax_gradient(_jax_norm((-1,))),
    ),
    "batch norm": Case(
        "batch norm over (N, H, W), two passes: 2 reads, write", (IMAGES, *_channels), 3, _batch_norm,
        _torch_batch_norm, _jax_norm((0, 1, 2)),
    ),
    "batch norm backward": Case(
        "batch norm, all gradients, three passes: 5 reads, write", (IMAGES, *_channels, IMAGES), 6, _gradient(_batch_norm),
        _torch_batch_norm_backward, _jax_gradient(_jax_norm((0, 1, 2))),
    ),
    "chain": Case("8 elementwise ops, 64 MB: 2 reads, write", (_matrix, _matrix), 3, lambda k: _chain(k.ops), _torch_chain,
                  lambda jax: _chain(jax.numpy)),
    "chain in cache": Case("8 elementwise ops, 64 kB: 2 reads, write", ((16, 1024),) * 2, 3, lambda k: _chain(k.ops),
                           _torch_chain, lambda jax: _chain(jax.numpy)),
}  # fmt: skip


def fastest(call, seconds=SECONDS):
    """Best seconds a call, over batches long enough for the clock."""
    call()
    start = time.perf_counter()
    call()
    batch = max(1, int(2e-3 / max(time.perf_counter() - start, 1e-7)))
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(batch):
            call()
        best = min(best, (time.perf_counter() - start) / batch)
    return best


def arrays_of(shapes):
    """Normal numbers that begin at a cache line, as variables and intermediate arrays do in every library."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(out=_at_a_line(shape), dtype=np.float32) for shape in shapes]


def _at_a_line(shape):
    raw = np.empty(4 * int(np.prod(shape)) + 64, np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + 4 * int(np.prod(shape))].view(np.float32).reshape(shape)


def program_call(program, arrays, threads):
    """The program on fixed memory, as it runs inside a training loop."""
    from graphkeras.runtime.call import Call
    from graphkeras.runtime.team import team_of

    shapes = tuple(a.shape for a in arrays)
    call = Call(program, program.bind(shapes), shapes)
    team = team_of(threads)
    kept = call.load(arrays), call.fresh_outputs()

    def run():
        team.run(call.job)
        return kept

    return run


def our_calls(threads, names):
    import graphkeras as keras

    for name in names:
        if name in PARAMETERS:
            yield name, _our_adam(keras, *PARAMETERS[name], threads)
            continue
        case, arrays = CASES[name], arrays_of(CASES[name].shapes)
        function = keras.function(case.ours(keras))
        program = function.program(*arrays)
        yield name, program_call(program, arrays, threads)


def _our_adam(keras, count, size, threads):
    from graphkeras.trace import Variable

    values, gradients = ([Variable(a) for a in arrays_of([(size,)] * count)] for _ in range(2))
    optimizer = keras.optimizers.Adam()
    optimizer.build(values)
    program = keras.function(lambda: optimizer.apply([g.value for g in gradients], values)).program()
    return program_call(program, [], threads)


def torch_calls(threads, names):
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    for name in names:
        if name in PARAMETERS:
            count, size = PARAMETERS[name]
            values = [torch.randn(size) for _ in range(count)]
            for value in values:
                value.grad = torch.randn(size)
            yield name, torch.optim.Adam(values, fused=True).step
            continue
        arrays = [torch.from_numpy(a) for a in arrays_of(CASES[name].shapes)]
        function = CASES[name].torch(torch)
        yield name, lambda function=function, arrays=arrays: function(*arrays)


def jax_calls(threads, names):
    import jax
    import jax.numpy as jnp

    def update(values, means, squares, gradients, step):
        step = step + 1
        rate = 1e-3 * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        means = [m + (g - m) * 0.1 for m, g in zip(means, gradients)]
        squares = [v + (g * g - v) * 0.001 for v, g in zip(squares, gradients)]
        values = [x - rate * m / (jnp.sqrt(v) + 1e-7) for x, m, v in zip(values, means, squares)]
        return values, means, squares, step

    for name in names:
        if name in PARAMETERS:
            count, size = PARAMETERS[name]
            state = [*([jnp.zeros(size) for _ in range(count)] for _ in range(3)), jnp.float32(0)]
            gradients = [jnp.asarray(a) for a in arrays_of([(size,)] * count)]
            jitted = jax.jit(update, donate_argnums=(0, 1, 2))

            def step(state=state, gradients=gradients, jitted=jitted):
                state[:] = jitted(*state[:3], gradients, state[3])
                jax.block_until_ready(state)

            yield name, step
            continue
        arrays = [jnp.asarray(a) for a in arrays_of(CASES[name].shapes)]
        function = jax.jit(CASES[name].jax(jax))
        yield name, lambda function=function, arrays=arrays: jax.block_until_ready(function(*arrays))


COPY = """
def kernel(args, lo, hi, scratch):
    x = ptr_f32(args[1]); y = ptr_f32(args[2])
    j = lo
    while j + LANES <= hi:
        store_f32(y, j, load_f32(x, j))
        j += LANES
"""


def copy_calls(threads, elements):
    """Our copy kernel, and NumPy's copy (by one thread, or halves by two)."""
    import threading

    from graphkeras.runtime.objects import KernelSource, load_kernels
    from graphkeras.runtime.team import Job, Row, Team, make_table
    from graphkeras.trace.variable import aligned_empty

    x, y = aligned_empty((elements,), np.float32), aligned_empty((elements,), np.float32)
    x[:], y[:] = 1, 2
    (kernel,) = load_kernels([KernelSource(COPY)])
    slot = np.zeros(8, np.int64)
    block = np.array([slot.ctypes.data, x.ctypes.data, y.ctypes.data], np.int64)
    job = Job(make_table([Row(kernel.address, block.ctypes.data, elements, 64)]), slot, keep_alive=(block, kernel, x, y))
    team = Team(threads)
    half = elements // 2

    def memcpy():
        if threads == 1 or elements < 1 << 20:
            return np.copyto(y, x)
        other = threading.Thread(target=lambda: np.copyto(y[:half], x[:half]))
        other.start()
        np.copyto(y[half:], x[half:])
        other.join()

    return lambda: team.run(job), memcpy


def measure(library, threads, names):
    """Seconds per case, as JSON on the last line of standard output."""
    if threads == 1:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    if library == "copy":
        found = {}
        for title, elements in (("large", ROWS * COLUMNS), ("small", 16 * 1024)):
            for kind, call in zip(("kernel", "memcpy"), copy_calls(threads, elements)):
                found[f"{kind} {title}"] = 8 * elements / fastest(call) / 1e9
    else:
        calls = {"graphkeras": our_calls, "torch": torch_calls, "jax": jax_calls}[library]
        found = {name: fastest(call) for name, call in calls(threads, names)}
    print(json.dumps(found), flush=True)


def spawn(python, library, threads, names):
    counts = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "GRAPHKERAS_NUM_THREADS"), str(threads))
    kept = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **counts, **(kept if library in ("torch", "jax") else {}), "PYTHONPATH": path}
    command = [python, __file__, "--measure", library, str(threads), "--only", *names]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="a Python interpreter that can import torch and jax")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--only", nargs="*", default=[*CASES, *PARAMETERS])
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure[0], int(options.measure[1]), options.only)
    pythons = {"graphkeras": sys.executable} | ({"torch": options.peers, "jax": options.peers} if options.peers else {})
    for threads in options.threads:
        best: dict = {library: {} for library in pythons}
        copies: dict = {}
        for _ in range(options.rounds):
            for name, rate in spawn(sys.executable, "copy", threads, []).items():
                copies[name] = max(rate, copies.get(name, 0))
            for library, python in pythons.items():
                for name, seconds in spawn(python, library, threads, options.only).items():
                    best[library][name] = min(seconds, best[library].get(name, seconds))
        print(f"\n{threads} thread(s); copies, GB/s read + written: " + ", ".join(f"{n} {r:.1f}" for n, r in copies.items()))
        print(f"  {'':60s}{'GB/s':>7s} {'of copy':>8s} {'of memcpy':>10s}   times faster than")
        for name in options.only:
            if name in PARAMETERS:
                count, size = PARAMETERS[name]
                title, nbytes = f"{name} arrays: 4 reads, 3 writes", 28 * count * size
            else:
                title, nbytes = CASES[name].title, CASES[name].nbytes
            rate = nbytes / best["graphkeras"][name] / 1e9
            size = "small" if "cache" in name else "large"
            ratios = [f"{peer} {best[peer][name] / best['graphkeras'][name]:.2f}" for peer in pythons if peer != "graphkeras"]
            shares = f"{rate / copies['kernel ' + size]:8.0%} {rate / copies['memcpy ' + size]:10.0%}"
            print(f"  {title:60s}{rate:7.1f} {shares}   {'   '.join(ratios)}")


if __name__ == "__main__":
    main()
