"""Milliseconds of a training step of a small convolutional network in raw ops, beside torch and jax doing the same.

    python -m tests.benchmarks.convnet [--peers PYTHON] [--rounds N] [--threads 1 2] [--times]

convolution, ReLU, max pool, twice; a dense layer; softmax cross-entropy; Adam. The same batch again and again, so that no library
shuffles data. `--times` prints our kernels one by one (GRAPHKERAS_DEBUG=2); the first call of a fresh cache is printed as `cold`.
"""

import argparse
import json
import os
import subprocess
import sys
import time

BATCH = 128
SHAPES = [(3, 3, 1, 32), (32,), (3, 3, 32, 64), (64,), (1600, 10), (10,)]
SECONDS = 3.0


def data():
    import numpy as np

    rng = np.random.default_rng(0)
    x, y = rng.random((BATCH, 28, 28, 1), dtype="float32"), rng.integers(0, 10, BATCH)
    return x, y, [(rng.normal(size=s) / np.sqrt(np.prod(s[:-1]) or 1)).astype("float32") for s in SHAPES]


def own_step(threads):
    os.environ["GRAPHKERAS_NUM_THREADS"] = str(threads)
    from graphkeras import ops, optimizers
    from graphkeras.autodiff import GradientTape
    from graphkeras.runtime.function import function
    from graphkeras.trace import Variable

    x, y, weights = data()
    variables = [Variable(w) for w in weights]
    optimizer = optimizers.Adam()
    optimizer.build(variables)

    @function
    def step(x, y):
        w1, b1, w2, b2, w3, b3 = variables
        with GradientTape() as tape:
            h = ops.max_pool(ops.relu(ops.conv(x, w1) + b1), 2)
            h = ops.max_pool(ops.relu(ops.conv(h, w2) + b2), 2)
            logits = ops.matmul(ops.reshape(h, (-1, 1600)), w3) + b3
            loss = ops.mean(ops.sparse_categorical_crossentropy(y, logits, from_logits=True))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    return lambda: float(step(x, y))


def torch_step(threads):
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    x, y, weights = data()
    x, y = torch.tensor(x).permute(0, 3, 1, 2), torch.tensor(y)
    weights = [torch.tensor(w) for w in weights]
    weights = [w.permute(3, 2, 0, 1).to(memory_format=torch.channels_last) if w.ndim == 4 else w for w in weights]
    weights = [torch.nn.Parameter(w) for w in weights]
    optimizer = torch.optim.Adam(weights)

    def step():
        w1, b1, w2, b2, w3, b3 = weights
        optimizer.zero_grad()
        h = functional.max_pool2d(functional.relu(functional.conv2d(x, w1, b1)), 2)
        h = functional.max_pool2d(functional.relu(functional.conv2d(h, w2, b2)), 2)
        loss = functional.cross_entropy(h.flatten(1) @ w3 + b3, y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def jax_step(threads):
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} intra_op_parallelism_threads={threads}"
    os.sched_setaffinity(0, range(threads))
    import jax
    from jax import lax
    from jax import numpy as jnp

    x, y, weights = data()

    def conv(x, w):
        return lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def pool(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def loss_of(p):
        h = pool(jax.nn.relu(conv(x, p[0]) + p[1]))
        h = pool(jax.nn.relu(conv(h, p[2]) + p[3]))
        logits = h.reshape(BATCH, -1) @ p[4] + p[5]
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))

    @jax.jit
    def step(p, m, v, t):
        loss, g = jax.value_and_grad(loss_of)(p)
        m, v, t = [0.9 * a + 0.1 * b for a, b in zip(m, g)], [0.999 * a + 0.001 * b * b for a, b in zip(v, g)], t + 1
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return [a - rate * b / (jnp.sqrt(c) + 1e-7) for a, b, c in zip(p, m, v)], m, v, t, loss

    zeros = [jnp.zeros_like(w) for w in weights]
    state = [[jnp.asarray(w) for w in weights], zeros, zeros, jnp.float32(0)]

    def run():
        *state[:], loss = step(*state)
        return float(loss)

    return run


STEPS = {"graphkeras": own_step, "torch": torch_step, "jax": jax_step}


def measure(step):
    start = time.perf_counter()
    loss = step()
    found = {"cold": time.perf_counter() - start, "best": float("inf"), "loss": loss}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        found["last"] = step()
        found["best"] = min(found["best"], time.perf_counter() - start)
    print(json.dumps(found), flush=True)


def spawn(file, python, library, threads, **extra):
    variables = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    variables |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
    environment = {**os.environ, **variables, **extra, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    command = [python, file, "--measure", library, str(threads)]
    out = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])


def main(title, file, steps):
    """The command line of a benchmark of one network.

    Args:
        title: what it does, in one line.
        file: the script, which is run anew for each library.
        steps: library -> function of a number of threads that gives its training step.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--peers", help=f"a Python interpreter that can import {' and '.join(list(steps)[1:])}")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--times", action="store_true", help="print the time of each of our kernels")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(steps[options.measure[0]](int(options.measure[1])))
    if options.times:
        os.environ["GRAPHKERAS_DEBUG"] = "2"
        for threads in options.threads:
            step = steps["graphkeras"](threads)
            for _ in range(5):
                step()
        return None
    pythons = {"graphkeras": sys.executable}
    if options.peers:
        pythons |= dict.fromkeys(list(steps)[1:], options.peers)
    for threads in options.threads:
        best: dict = {}
        for _ in range(options.rounds):
            for library, python in pythons.items():
                found = spawn(file, python, library, threads)
                kept = best.setdefault(library, found)
                kept["best"] = min(kept["best"], found["best"])
        print(f"{threads} thread(s)")
        for library, found in best.items():
            ratio = f"   {found['best'] / best['graphkeras']['best']:5.2f}" if library != "graphkeras" else ""
            print(f"  {library:12s} {found['best'] * 1e3:8.3f} ms   first call {found['cold']:6.2f} s   loss {found['loss']:.4f}{ratio}")


if __name__ == "__main__":
    main(__doc__.splitlines()[0], __file__, STEPS)
