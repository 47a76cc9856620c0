"""Seconds until a fresh process has imported graphkeras and trained its first batch, with a warm and with an empty kernel cache.

    python -m tests.benchmarks.startup [--rounds N]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

CHILD = """
import json, sys, time
start = time.perf_counter()
import numpy as np
numpy_s = time.perf_counter() - start
import graphkeras as keras
from graphkeras import layers
import_s = time.perf_counter() - start
inputs = keras.Input((784,))
hidden = layers.Dropout(0.5)(layers.Dense(512, activation="relu")(inputs))
model = keras.Model(inputs, layers.Dense(10, activation="softmax")(hidden))
model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
x, y = np.zeros((128, 784), "float32"), np.zeros(128, "int64")
model.fit(x, y, batch_size=128, verbose=0)
print(json.dumps({"numpy": numpy_s, "import": import_s - numpy_s, "first batch": time.perf_counter() - start,
    "numba imported": "numba" in sys.modules}))
"""


def measure(cache):
    env = {**os.environ, "GRAPHKERAS_CACHE": cache}
    done = subprocess.run([sys.executable, "-c", CHILD], env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    cold = []
    for _ in range(max(1, rounds // 2)):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(measure(folder)["first batch"])
    with tempfile.TemporaryDirectory() as folder:
        measure(folder)
        warm = [measure(folder) for _ in range(rounds)]
    print(f"import, over numpy's {min(w['numpy'] for w in warm):.3f} s: {min(w['import'] for w in warm):.3f} s")
    print(f"start to first trained batch, warm cache: {min(w['first batch'] for w in warm):.3f} s")
    print(f"start to first trained batch, empty cache: {min(cold):.3f} s")
    print(f"numba imported in a warm process: {any(w['numba imported'] for w in warm)}")


if __name__ == "__main__":
    main()
