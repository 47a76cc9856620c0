"""Milliseconds of ops that read and write at computed places, of sorts and of cumulative sums, beside NumPy and torch.

    python -m tests.benchmarks.index [--peers PYTHON] [--rounds N] [--threads N ...]

Each library runs in processes of its own; rounds alternate between libraries and the fastest counts. The gradient of an embedding is
what a training step does: zeros of the table's shape, and the rows' cotangents added in the order of the indices (torch:
`embedding_dense_backward`, whose order is fixed too).
"""

import argparse
import json
import os
import subprocess
import sys

import numpy as np

from tests.benchmarks.bandwidth import fastest

WORDS, WIDTH, TEXT = 20_000, 64, (128, 250)


def data():
    """name -> arrays."""
    rng = np.random.default_rng(0)
    table, words = rng.standard_normal((WORDS, WIDTH), np.float32), rng.integers(0, WORDS, TEXT).astype(np.int32)
    updates, places = rng.standard_normal((*TEXT, WIDTH), np.float32), rng.standard_normal((TEXT[1], WIDTH), np.float32)
    line, lines, short = (rng.standard_normal(shape, np.float32) for shape in ((1_000_000,), (1000, 1000), (20_000, 30)))
    integers = rng.integers(0, 1 << 31, (1000, 1000)).astype(np.int32)
    return {
        "gather": (table, words),
        "gather, scaled, places added": (table, words, places),
        "embedding gradient": (words, updates),
        "sort 1000000": (line,), "sort 1000 x 1000": (lines,), "sort 20000 x 30": (short,), "sort int32 1000 x 1000": (integers,),
        "argsort 1000 x 1000": (lines,), "top 10 of 1000 x 1000": (lines,), "top 100 of 1000 x 1000": (lines,),
        "cumsum 1000000": (line,), "cumsum 1000 x 1000, rows": (lines,), "cumsum 1000 x 1000, columns": (lines,),
        "cumsum 20000 x 30, rows": (short,),
    }  # fmt: skip


def ours(keras):
    ops = keras.ops

    def embedding_gradient(words, updates):
        from graphkeras.trace import prim

        zeros = ops.zeros((WORDS, WIDTH))
        return prim.scatter_add(zeros, ops.reshape(words, (-1,)), ops.reshape(updates, (-1, WIDTH)), axis=0)

    return {
        "gather": lambda t, i: ops.take(t, i, axis=0),
        "gather, scaled, places added": lambda t, i, p: ops.take(t, i, axis=0) * 8.0 + p,
        "embedding gradient": embedding_gradient,
        "sort": lambda x: ops.sort(x, axis=-1),
        "argsort": lambda x: ops.argsort(x, axis=-1),
        "top 10": lambda x: ops.top_k(x, 10),
        "top 100": lambda x: ops.top_k(x, 100),
        "columns": lambda x: ops.cumsum(x, axis=0),
        "cumsum": lambda x: ops.cumsum(x, axis=-1),
    }


def torchs(torch):
    return {
        "gather": lambda t, i: torch.nn.functional.embedding(i, t),
        "gather, scaled, places added": lambda t, i, p: torch.nn.functional.embedding(i, t).mul_(8.0).add_(p),
        "embedding gradient": lambda i, u: torch.ops.aten.embedding_dense_backward(u, i, WORDS, -1, False),
        "sort": lambda x: torch.sort(x, -1),
        "argsort": lambda x: torch.argsort(x, -1),
        "top 10": lambda x: torch.topk(x, 10),
        "top 100": lambda x: torch.topk(x, 100),
        "columns": lambda x: torch.cumsum(x, 0),
        "cumsum": lambda x: torch.cumsum(x, -1),
    }


def numpys():
    def embedding_gradient(words, updates):
        result = np.zeros((WORDS, WIDTH), np.float32)
        np.add.at(result, words.reshape(-1), updates.reshape(-1, WIDTH))
        return result

    def top(k):
        def f(x):
            found = np.argpartition(x, -k, axis=-1)[:, -k:]
            return np.sort(np.take_along_axis(x, found, -1), -1)

        return f

    return {
        "gather": lambda t, i: t.take(i, 0),
        "gather, scaled, places added": lambda t, i, p: t.take(i, 0) * np.float32(8) + p,
        "embedding gradient": embedding_gradient,
        "sort": lambda x: np.sort(x, -1),
        "argsort": lambda x: np.argsort(x, -1),
        "top 10": top(10),
        "top 100": top(100),
        "columns": lambda x: np.cumsum(x, 0),
        "cumsum": lambda x: np.cumsum(x, -1),
    }


def function_of(functions, name):
    """The function whose key is the whole name, else the first that its name contains."""
    if name in functions:
        return functions[name]
    first = next((k for k in ("columns", "argsort", "top 100", "top 10") if k in name), name.split()[0])
    return functions[first]


def measure(library, threads):
    if threads == 1:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    found = {}
    for name, arrays in data().items():
        if library == "graphkeras":
            import graphkeras as keras
            from tests.benchmarks.bandwidth import program_call

            call = program_call(keras.function(function_of(ours(keras), name)).program(*arrays), arrays, threads)
        elif library == "torch":
            import torch

            torch.set_num_threads(threads)
            torch.set_grad_enabled(False)
            function, tensors = function_of(torchs(torch), name), [torch.from_numpy(a) for a in arrays]
            call = lambda function=function, tensors=tensors: function(*tensors)
        else:
            function = function_of(numpys(), name)
            call = lambda function=function, arrays=arrays: function(*arrays)
        found[name] = fastest(call, 0.15)
    print(json.dumps(found), flush=True)


def spawn(python, library, threads):
    counts = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "GRAPHKERAS_NUM_THREADS"), str(threads))
    kept = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 33)} if library != "graphkeras" else {}
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    command = [python, "-m", "tests.benchmarks.index", "--measure", library, str(threads)]
    environment = {**os.environ, **counts, **kept, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="a Python interpreter that can import torch")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure[0], int(options.measure[1]))
    pythons = {"graphkeras": sys.executable, "numpy": sys.executable} | ({"torch": options.peers} if options.peers else {})
    for threads in options.threads:
        best: dict = {}
        for _ in range(options.rounds):
            for library, python in pythons.items():
                times = spawn(python, library, threads)
                best[library] = {name: min(t, best.get(library, times)[name]) for name, t in times.items()}
        print(f"\n{threads} thread(s), milliseconds (times faster than)")
        for name in best["graphkeras"]:
            own = best["graphkeras"][name]
            others = {library: times[name] for library, times in best.items() if library != "graphkeras"}
            cells = [f"{library} {time * 1e3:8.3f} ({time / own:.2f})" for library, time in others.items()]
            print(f"  {name:32s}{own * 1e3:9.3f}   {'   '.join(cells)}")


if __name__ == "__main__":
    main()
