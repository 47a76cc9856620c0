"""Milliseconds of recurrent layers and attention, forward and backward, beside torch and jax in the same run.

    python -m tests.benchmarks.sequence [--peers PYTHON] [--rounds N] [--threads 1 2] [--only TEXT] [--libraries torch jax]

Every library runs in processes of its own; rounds alternate and the fastest counts. Each call takes one cotangent of the whole
result and gives the gradients of the input and of all weights. Ours is one program per case, run without Python between the
repetitions; the layers are written as Keras writes them, with `ops.scan` around one step.
"""

import argparse
import json
import os
import subprocess
import sys
import time

STEPS, BATCH, FEATURES, UNITS = 100, 32, 32, 64
CELLS = {"lstm": 4, "gru": 3, "rnn": 1}
"""Recurrent cells, with the number of their gates."""
ATTENTION = {"attention": {}, "attention causal": {"causal": True}, "attention masked": {"mask": True}}
LENGTH, HEADS, WIDTH = 200, 2, 32
NAMES = ("lstm", "gru", "rnn", "lstm both ways", *ATTENTION)
SECONDS = 0.3


def fastest(call):
    """Best seconds a call."""
    call()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def weights(gates, rng):
    """Input weights, recurrent weights and bias."""
    shapes = ((FEATURES, gates * UNITS), (UNITS, gates * UNITS), (gates * UNITS,))
    return [(rng.random(s) - 0.5).astype("float32") * 0.25 for s in shapes]


def data(name):
    """Arguments of a case, the cotangent last."""
    import numpy as np

    rng = np.random.default_rng(0)
    uniform = lambda *shape: (rng.random(shape) - 0.5).astype("float32")
    if name in ATTENTION:
        arrays = [uniform(BATCH, LENGTH, HEADS, WIDTH) for _ in range(4)]
        if ATTENTION[name].get("mask"):
            arrays.insert(3, np.arange(LENGTH) < rng.integers(LENGTH // 2, LENGTH + 1, (BATCH, 1, 1, 1)))
        return arrays
    ways = 2 if name.endswith("both ways") else 1
    found = [uniform(BATCH, STEPS, FEATURES)]
    for _ in range(ways):
        found += weights(CELLS[name.split()[0]], rng)
    return [*found, uniform(BATCH, STEPS, ways * UNITS)]


def cell(name, sigmoid, tanh, split):
    """`(state, projected input, recurrent weights) -> state`; the first of the state is the output."""

    def lstm(state, z, u):
        h, c = state
        i, f, g, o = split(z + h @ u, 4)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return [sigmoid(o) * tanh(c), c]

    def gru(state, z, u):
        (h,) = state
        z_reset, z_new, z_update = split(z, 3)
        r_reset, r_new, r_update = split(h @ u, 3)
        update = sigmoid(z_update + r_update)
        new = tanh(z_new + sigmoid(z_reset + r_reset) * r_new)
        return [update * h + (1 - update) * new]

    def rnn(state, z, u):
        return [tanh(z + state[0] @ u)]

    return {"lstm": (lstm, 2), "gru": (gru, 1), "rnn": (rnn, 1)}[name]


def layer(name, scan, transpose, zeros, concatenate, **functions):
    """The whole layer as a function of input and weights, in the terms of one library."""
    step, states = cell(name.split()[0], **functions)

    def one_way(x, w, u, b, reverse):
        z = transpose(x, (1, 0, 2)) @ w + b  # all steps in one product
        _, hs = scan(lambda state, row: ((new := step(state, row, u)), new[0]), [zeros((BATCH, UNITS))] * states, z, reverse)
        return transpose(hs, (1, 0, 2))

    def call(x, *rest):
        ways = [one_way(x, *rest[i : i + 3], i > 0) for i in range(0, len(rest), 3)]
        return ways[0] if len(ways) == 1 else concatenate(ways)

    return call


def torch_call(name, threads):
    import torch

    torch.set_num_threads(threads)
    *arrays, ct = [torch.from_numpy(a.copy()) for a in data(name)]
    if name in ATTENTION:
        mask = arrays.pop() if len(arrays) > 3 else None
        leaves = [a.requires_grad_() for a in arrays]
        causal = ATTENTION[name].get("causal", False)

        def forward():
            q, k, v = (a.transpose(1, 2) for a in leaves)
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
            return y.transpose(1, 2)
    else:
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[name.split()[0]]
        module = kind(FEATURES, UNITS, batch_first=True, bidirectional="both" in name)
        x = arrays[0].requires_grad_()
        leaves = [x, *module.parameters()]
        forward = lambda: module(x)[0]

    def call():
        for leaf in leaves:
            leaf.grad = None
        forward().backward(ct)

    return call


def jax_call(name, threads):
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))
    import jax
    import jax.numpy as jnp

    *arrays, ct = [jnp.asarray(a) for a in data(name)]
    if name in ATTENTION:
        mask = arrays.pop() if len(arrays) > 3 else None
        causal = ATTENTION[name].get("causal", False)
        forward = lambda q, k, v: jax.nn.dot_product_attention(q, k, v, mask=mask, is_causal=causal)
    else:
        forward = layer(
            name, lambda f, init, xs, reverse: jax.lax.scan(f, init, xs, reverse=reverse), jnp.transpose, jnp.zeros,
            lambda ways: jnp.concatenate(ways, -1), sigmoid=jax.nn.sigmoid, tanh=jnp.tanh,
            split=lambda z, n: jnp.split(z, n, -1),
        )  # fmt: skip

    @jax.jit
    def step(ct, *arrays):
        y, pull = jax.vjp(forward, *arrays)
        return y, pull(ct)

    return lambda: jax.block_until_ready(step(ct, *arrays))


def graphkeras_program(name):
    """The program of a case, and its arguments."""
    from graphkeras import ops
    from graphkeras.autodiff import vjp
    from graphkeras.ir import TensorSpec
    from graphkeras.passes import run
    from graphkeras.runtime.program import Program
    from graphkeras.trace import trace

    arrays = data(name)
    if name in ATTENTION:
        causal = ATTENTION[name].get("causal", False)

        def both(q, k, v, *rest):
            *mask, ct = rest
            given = {"mask": mask[0] if mask else None, "is_causal": causal}
            y, pull = vjp(lambda q, k, v: ops.dot_product_attention(q, k, v, **given), q, k, v)
            return y, *pull(ct)
    else:
        forward = layer(
            name, lambda f, init, xs, reverse: ops.scan(f, init, xs, reverse=reverse), ops.transpose, ops.zeros,
            lambda ways: ops.concatenate(ways, -1), sigmoid=ops.sigmoid, tanh=ops.tanh, split=lambda z, n: ops.split(z, n, -1),
        )  # fmt: skip

        def both(*arguments):
            y, pull = vjp(forward, *arguments[:-1])
            return y, *pull(arguments[-1])

    graph = run(trace(both, [TensorSpec(a.shape, str(a.dtype)) for a in arrays]))[0]
    return Program(graph), arrays


def graphkeras_call(name, threads):
    import numpy as np

    from graphkeras.runtime.frame import Frame
    from graphkeras.runtime.team import Team

    program, arrays = graphkeras_program(name)
    binding = program.bind([a.shape for a in arrays])
    frame = Frame(binding)
    outputs = [np.empty(s, d) for s, d in zip(binding.output_shapes, program.output_dtypes)]
    for index, array in enumerate((*arrays, *outputs)):
        frame.place(index, array.ctypes.data)
    job, team = frame.ready((program, frame, arrays, outputs)), Team(threads)
    return lambda: team.run(job)


LIBRARIES = {"graphkeras": graphkeras_call, "torch": torch_call, "jax": jax_call}


def measure(library, threads, only):
    """{case: seconds} as JSON on the last line of standard output."""
    print(json.dumps({name: fastest(LIBRARIES[library](name, threads)) for name in NAMES if only in name}), flush=True)


def spawn(python, library, threads, only):
    """One measurement in a process of its own."""
    variables = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    variables |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
    environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    command = [python, __file__, "--measure", library, str(threads), "--only", only]
    out = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="a Python interpreter that can import torch and jax")
    parser.add_argument("--libraries", nargs="*", default=["torch", "jax"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure[0], int(options.measure[1]), options.only)
    pythons = {"graphkeras": sys.executable} | (dict.fromkeys(options.libraries, options.peers) if options.peers else {})
    for threads in options.threads:
        best: dict = {}
        for _ in range(options.rounds):
            for library, python in pythons.items():
                for name, seconds in spawn(python, library, threads, options.only).items():
                    times = best.setdefault(name, {})
                    times[library] = min(seconds, times.get(library, seconds))
        print(f"\n{threads} thread(s), ms (and time of the peer / time of graphkeras)")
        for name, times in best.items():
            own = times.pop("graphkeras")
            peers = "".join(f"   {library} {s * 1e3:7.3f} {s / own:5.2f}" for library, s in times.items())
            print(f"  {name:18s} {own * 1e3:7.3f}{peers}", flush=True)


if __name__ == "__main__":
    main()
