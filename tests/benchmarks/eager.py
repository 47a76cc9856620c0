"""Microseconds per small eager op beside NumPy itself and Keras on its backends, and seconds to trace and simplify a graph.

    python -m tests.benchmarks.eager [--peers PYTHON] [--rounds N]

`PYTHON` is an interpreter that has Keras 3 with TensorFlow, JAX and torch. Each library is a process of its own; the least
disturbed of the rounds counts.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
import timeit

import numpy as np

CALLS = 1000


def _numpy_calls(a):
    return {
        "a + a": lambda: a + a,
        "a * 2.0": lambda: a * 2.0,
        "exp(a)": lambda: np.exp(a),
        "a > 0.5": lambda: a > 0.5,
        "a @ a": lambda: a @ a,
        "sum(a, axis=-1)": lambda: a.sum(axis=-1),
        "reshape(a, (16,))": lambda: np.reshape(a, (16,)),
        "a[0]": lambda: a[0],
        "where(a > 0.5, a, 0.0)": lambda: np.where(a > 0.5, a, np.float32(0)),
    }


def _keras_calls(ops, a):
    return {
        "a + a": lambda: a + a,
        "a * 2.0": lambda: a * 2.0,
        "exp(a)": lambda: ops.exp(a),
        "a > 0.5": lambda: a > 0.5,
        "a @ a": lambda: ops.matmul(a, a),
        "sum(a, axis=-1)": lambda: ops.sum(a, axis=-1),
        "reshape(a, (16,))": lambda: ops.reshape(a, (16,)),
        "a[0]": lambda: a[0],
        "where(a > 0.5, a, 0.0)": lambda: ops.where(a > 0.5, a, 0.0),
        "softmax(a)": lambda: ops.softmax(a),
        "relu(a)": lambda: ops.relu(a),
    }


def measure_calls(library):
    a = np.random.default_rng(0).random((4, 4), dtype="float32")
    if library == "numpy":
        calls = _numpy_calls(a)
    else:
        ops = importlib.import_module(library).ops
        calls = _keras_calls(ops, ops.convert_to_tensor(a))
    return {name: min(timeit.repeat(call, number=CALLS, repeat=5)) / CALLS * 1e6 for name, call in calls.items()}


def measure_graph():
    """Seconds to trace, and to simplify, 1250 nodes under 20 frames of user code."""
    from graphkeras import ops
    from graphkeras.ir import TensorSpec, symbol
    from graphkeras.passes import pipeline
    from graphkeras.trace import trace

    def layers(x):
        for _ in range(250):
            x = ops.tanh(x) * 2.0 + ops.sum(x, axis=-1, keepdims=True)
        return x

    def deep(level, x):
        return layers(x) if level == 0 else deep(level - 1, x)

    best = [9e9, 9e9]
    for _ in range(3):
        start = time.perf_counter()
        graph = trace(lambda x: deep(20, x), [TensorSpec((symbol("batch"), 32), "float32")])
        traced = time.perf_counter()
        pipeline.run(graph)
        best = [min(b, t) for b, t in zip(best, (traced - start, time.perf_counter() - traced))]
    return {"nodes": len(graph.nodes), "trace": best[0], "passes": best[1]}


def child(python, library, env):
    done = subprocess.run(
        [python, __file__, "--child", library],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.getcwd(), **env},
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else done.stderr.splitlines()[-1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", help="a Python interpreter that can import keras")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        found = measure_calls(options.child)
        print(json.dumps({**found, "graph": measure_graph()} if options.child == "graphkeras" else found))
        return
    runs = {"graphkeras": (sys.executable, "graphkeras", {}), "numpy": (sys.executable, "numpy", {})}
    if options.peers:
        runs |= {f"keras-{b}": (options.peers, "keras", {"KERAS_BACKEND": b}) for b in ("jax", "tensorflow", "torch")}
    best: dict = {}
    for _ in range(options.rounds):
        for label, run in runs.items():
            found = child(*run)
            if isinstance(found, list):
                print(f"{label}: {' '.join(found)}", file=sys.stderr)
                continue
            graph = found.pop("graph", None)
            if graph is not None:
                kept = best.setdefault("graph", graph)
                kept.update({k: min(kept[k], graph[k]) for k in graph})
            column = best.setdefault(label, found)
            column.update({name: min(column[name], us) for name, us in found.items()})
    columns = [label for label in runs if label in best]
    print(f"{'microseconds':24s}" + "".join(f"{label:>18s}" for label in columns))
    for name in best["graphkeras"]:
        print(f"{name:24s}" + "".join(f"{best[c][name]:18.1f}" if name in best[c] else f"{'':18s}" for c in columns))
    graph = best["graph"]
    print(f"a graph of {graph['nodes']} nodes: {graph['trace']:.3f} s to trace, {graph['passes']:.3f} s to simplify")


if __name__ == "__main__":
    main()
