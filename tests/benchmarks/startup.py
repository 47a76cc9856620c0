"""Seconds until a fresh process has imported graphkeras and trained its first batch: with an empty cache, with kernels in the cache, with
the program in the cache too, and (models made of the package's classes) with its step, which then needs no trace.

    python -m tests.benchmarks.startup [--rounds N] [--cold N] [--net NAME]

The package is copied and byte-compiled first, as an installer does. The ways take turns; the best time of each is shown.
"""

import argparse
import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "graphkeras"

HEAD = """
import json, sys, time
start = time.perf_counter()
import numpy as np
numpy_s = time.perf_counter() - start
import graphkeras as keras
import_s = time.perf_counter() - start
"""

MLP = """
from graphkeras import layers
inputs = keras.Input((784,))
hidden = layers.Dropout(0.5)(layers.Dense(512, activation="relu")(inputs))
model = keras.Model(inputs, layers.Dense(10, activation="softmax")(hidden))
model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
x, y = np.zeros((128, 784), "float32"), np.zeros(128, "int64")
built_s = time.perf_counter() - start
model.fit(x, y, batch_size=128, verbose=0)
"""

DEEP = """
from graphkeras import layers
hidden = [layers.Dense(64, activation="relu") for _ in range(30)]
model = keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10, activation="softmax")])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
x, y = np.zeros((128, 64), "float32"), np.zeros(128, "int64")
built_s = time.perf_counter() - start
model.fit(x, y, batch_size=128, verbose=0)
"""

# Convolution, pooling, two dense layers and stochastic gradient descent, by hand.
CONV = """
from graphkeras import ops
rng = np.random.default_rng(0)
def weight(*shape):
    return keras.Variable((rng.normal(size=shape) * 0.05).astype("float32"))
weights = [weight(3, 3, 1, 16), weight(16), weight(3, 3, 16, 32), weight(32), weight(1568, 10), weight(10)]
def loss_of(x, y):
    for kernel, bias in (weights[:2], weights[2:4]):
        x = ops.max_pool(ops.relu(ops.conv(x, kernel, padding="same") + bias), 2)
    logits = ops.matmul(ops.reshape(x, (-1, 1568)), weights[4]) + weights[5]
    return ops.mean(ops.sparse_categorical_crossentropy(y, logits, from_logits=True))
@keras.function
def step(x, y):
    with keras.GradientTape() as tape:
        loss = loss_of(x, y)
    for variable, gradient in zip(weights, tape.gradient(loss, weights)):
        variable.assign_sub(0.1 * gradient)
    return loss
x, y = np.zeros((64, 28, 28, 1), "float32"), np.zeros(64, "int64")
built_s = time.perf_counter() - start
step(x, y)
"""

# A function from elsewhere in a module of the package: steps are traced then.
TRACED = "import graphkeras.trace.settings\ngraphkeras.trace.settings.mine = lambda: 0\n"

TAIL = """
print(json.dumps({"numpy": numpy_s, "import": import_s - numpy_s, "model": built_s - import_s,
    "first batch": time.perf_counter() - start, "numba": "numba" in sys.modules}))
"""
NETS = {"mlp": MLP, "30 dense layers": DEEP, "conv net of raw ops": CONV}


def measure(code, installed, cache, programs=True, traced=True):
    env = {**os.environ, "GRAPHKERAS_CACHE": cache, "GRAPHKERAS_PROGRAM_CACHE": str(int(programs)), "PYTHONPATH": str(installed)}
    code = HEAD + (TRACED if traced else "") + code + TAIL
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=installed, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def install(folder):
    """A byte-compiled copy of the package; returns the folder to import from."""
    shutil.copytree(PACKAGE, Path(folder) / "graphkeras", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(folder, quiet=1)
    return Path(folder)


def starts(name, installed, rounds, cold_rounds):
    """The best of each way to start: seconds of each part."""
    found = {"empty cache": [], "kernels cached": [], "program cached": [], "step cached": []}
    for _ in range(cold_rounds):
        with tempfile.TemporaryDirectory() as cache:
            found["empty cache"].append(measure(NETS[name], installed, cache))
    with tempfile.TemporaryDirectory() as cache:
        measure(NETS[name], installed, cache, traced=False)
        for _ in range(rounds):
            found["kernels cached"].append(measure(NETS[name], installed, cache, programs=False))
            found["program cached"].append(measure(NETS[name], installed, cache))
            if "model." in NETS[name]:
                found["step cached"].append(measure(NETS[name], installed, cache, traced=False))
    return {way: min(runs, key=lambda run: run["first batch"]) for way, runs in found.items() if runs}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="starts with a warm cache")
    parser.add_argument("--cold", type=int, default=2, help="starts with an empty cache")
    parser.add_argument("--net", choices=list(NETS), help="only this one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        installed = install(folder)
        print(f"{'':<22}{'':<18}{'numpy':>8}{'import':>8}{'model':>8}{'step':>8}{'first trained batch':>22}")
        for name in [chosen.net] if chosen.net else NETS:
            for way, best in starts(name, installed, chosen.rounds, chosen.cold).items():
                step = best["first batch"] - best["numpy"] - best["import"] - best["model"]
                parts = "".join(f"{seconds:8.3f}" for seconds in (best["numpy"], best["import"], best["model"], step))
                print(f"{name:<22}{way:<18}{parts}{best['first batch']:>20.3f} s{'  (imports Numba)' if best['numba'] else ''}")


if __name__ == "__main__":
    main()
