"""Microseconds that short calls take: of a compiled function, of predict for one sample, of a training step with a batch hook.

    python -m tests.benchmarks.overhead [--peers PYTHON] [--rounds N]

`PYTHON` is an interpreter that has Keras 3 with TensorFlow, JAX and torch. Each measurement is a process of its own; rounds
alternate between libraries and the least disturbed round of each counts. The kernels of one call take a few microseconds (those of
the step some ten), so what is measured is the way to them and back.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import time

import numpy as np

BATCH, STEPS = 32, 100
ROWS = {
    "program": "a compiled program, 3 arrays of 8 x 8",
    "function": "a compiled function, 3 tensors of 8 x 8",
    "predict": "predict, one sample",
    "predict_on_batch": "predict_on_batch, one sample",
    "train_on_batch": "train_on_batch, 32 samples",
    "step": "fit, per step",
    "hook": "fit with a batch hook, per step",
    "fit": "fit of one step, whole call",
}


def least(function, times, repeats=10):
    """The least mean of several rounds, in microseconds."""
    function()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(times):
            function()
        found.append((time.perf_counter() - start) / times)
    return min(found) * 1e6


def compiled_function(keras):
    """`tanh(a * b) + c`, compiled by whatever the backend has for that (torch runs it as it is)."""

    def f(a, b, c):
        return keras.ops.tanh(a * b) + c

    backend = keras.backend.backend()
    if keras.__name__ == "graphkeras":
        return keras.function(f)
    if backend == "jax":
        return importlib.import_module("jax").jit(f)
    return importlib.import_module("tensorflow").function(f) if backend == "tensorflow" else f


def measure(package):
    keras = importlib.import_module(package)
    layers = importlib.import_module(package + ".layers")
    square = np.ones((8, 8), "float32")
    tensors = [keras.ops.convert_to_tensor(square) for _ in range(3)]
    function = compiled_function(keras)
    found = {"function": least(lambda: function(*tensors), 1000)}
    if package == "graphkeras":
        program = function.program(*tensors)
        found["program"] = least(lambda: program(square, square, square), 2000)
    dense = [layers.Dense(32, activation="relu"), layers.Dense(32, activation="relu"), layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential([keras.Input((16,)), *dense])
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    x = np.random.default_rng(0).normal(size=(STEPS * BATCH, 16)).astype("float32")
    y = (x[:, :1] > 0).astype("float32")

    class Hook(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    def fit(samples, *callbacks):
        model.fit(x[:samples], y[:samples], batch_size=BATCH, verbose=0, callbacks=list(callbacks))

    found["predict"] = least(lambda: model.predict(x[:1], verbose=0), 20)
    found["predict_on_batch"] = least(lambda: model.predict_on_batch(x[:1]), 50)
    found["train_on_batch"] = least(lambda: model.train_on_batch(x[:BATCH], y[:BATCH]), 30)
    found["fit"] = least(lambda: fit(BATCH), 4, 5)
    found["step"] = least(lambda: fit(len(x)), 1, 5) / STEPS
    found["hook"] = least(lambda: fit(len(x), Hook()), 1, 5) / STEPS
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    runs = {"graphkeras": (sys.executable, "graphkeras", {})}
    if options.peers:
        runs |= {b: (options.peers, "keras", {"KERAS_BACKEND": b}) for b in ("jax", "tensorflow", "torch")}
    best: dict[str, dict[str, float]] = {label: {} for label in runs}
    for _ in range(options.rounds):
        for label, (python, package, env) in runs.items():
            command = [python, "-m", "tests.benchmarks.overhead", "--measure", package]
            done = subprocess.run(command, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **env}, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{label} failed:\n{done.stderr[-2000:]}")
            for name, value in json.loads(done.stdout.splitlines()[-1]).items():
                best[label][name] = min(value, best[label].get(name, value))
    print(f"{'microseconds':42s}" + "".join(f"{label:>12s}" for label in runs))
    for name, title in ROWS.items():
        values = (best[label].get(name) for label in runs)
        print(f"{title:42s}" + "".join(f"{'-':>12s}" if v is None else f"{v:12.1f}" for v in values))


if __name__ == "__main__":
    main()
