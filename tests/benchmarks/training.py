"""Milliseconds per training step beside Keras on its backends and a hand-written JAX epoch, as ratios from one run.

    python -m tests.benchmarks.training [tabular mlp] [--peers PYTHON] [--rounds N]

`PYTHON` is an interpreter that has Keras 3 with TensorFlow, JAX and torch. Each measurement is a process of its own; rounds
alternate between libraries and the least disturbed round of each counts. Divide the printed MFLOP by the
`peak` of `tests.benchmarks.gemm` for the time the arithmetic alone needs.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import time

import numpy as np

EPOCHS = 5
FLOP = {"tabular": 3 * 2 * 32 * (16 * 32 + 32 * 32 + 32), "mlp": 2 * 2 * 128 * 784 * 512 + 3 * 2 * 128 * 512 * 10}


def data(name):
    rng = np.random.default_rng(0)
    if name == "tabular":
        x = rng.normal(size=(20000, 16)).astype("float32")
        return x, (x[:, :1] * x[:, 1:2] > 0).astype("float32"), 32
    return rng.random((12800, 784), dtype="float32"), rng.integers(0, 10, 12800), 128


def keras_model(keras, name):
    layers = importlib.import_module(keras.__name__ + ".layers")
    if name == "tabular":
        model = keras.Sequential(
            [
                keras.Input((16,)),
                layers.Dense(32, activation="relu"),
                layers.Dense(32, activation="relu"),
                layers.Dense(1, activation="sigmoid"),
            ]
        )
        model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
        return model
    inputs = keras.Input((784,))
    hidden = layers.Dropout(0.5)(layers.Dense(512, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(hidden))
    model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def measure_keras(package, name):
    start = time.perf_counter()
    keras = importlib.import_module(package)
    model = keras_model(keras, name)
    x, y, batch = data(name)
    model.fit(x[:batch], y[:batch], batch_size=batch, epochs=1, verbose=0)
    first = time.perf_counter() - start
    model.fit(x, y, batch_size=batch, epochs=1, verbose=0)
    times = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        model.fit(x, y, batch_size=batch, epochs=1, verbose=0)
        times.append(time.perf_counter() - start)
    return {"step_ms": sorted(times)[EPOCHS // 2] / -(-len(x) // batch) * 1e3, "first_batch_s": first}


def measure_jax(name):
    """The same step by hand, a whole epoch in one `lax.scan`: no fit, no metrics."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    x, y, batch = data(name)
    sizes = [16, 32, 32, 1] if name == "tabular" else [784, 512, 10]
    rng = np.random.default_rng(0)
    params = [
        (jnp.asarray((rng.normal(size=s) * (2 / s[0]) ** 0.5).astype("float32")), jnp.zeros(s[1])) for s in zip(sizes, sizes[1:])
    ]
    x, y, steps = jnp.asarray(x), jnp.asarray(y), len(x) // batch

    def loss(params, x, y, key):
        for i, (w, b) in enumerate(params):
            x = x @ w + b
            if i < len(params) - 1:
                x = jax.nn.relu(x)
                if name == "mlp":
                    x = x * jax.random.bernoulli(key, 0.5, x.shape) * 2
        if name == "tabular":
            return jnp.mean(jnp.maximum(x, 0) - x * y + jnp.log1p(jnp.exp(-jnp.abs(x))))
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1))

    def step(carry, i):
        params, m, v, t, order, key = carry
        rows = lax.dynamic_slice(order, (i * batch,), (batch,))
        value, grads = jax.value_and_grad(loss)(params, x[rows], y[rows], jax.random.fold_in(key, i))
        tmap = jax.tree_util.tree_map
        t = t + 1
        if name == "tabular":
            m = tmap(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
            v = tmap(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
            rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            params = tmap(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), params, m, v)
        else:
            v = tmap(lambda v, g: 0.9 * v + 0.1 * g * g, v, grads)
            params = tmap(lambda p, g, v: p - 1e-3 * g / (jnp.sqrt(v) + 1e-7), params, grads, v)
        return (params, m, v, t, order, key), value

    @jax.jit
    def epoch(params, m, v, t, key):
        order = jax.random.permutation(key, len(x))
        carry, values = lax.scan(step, (params, m, v, t, order, key), jnp.arange(steps))
        return carry[:4], values.mean()

    zeros = jax.tree_util.tree_map(jnp.zeros_like, params)
    state, times = (params, zeros, zeros, jnp.float32(0)), []
    for i in range(EPOCHS + 1):
        start = time.perf_counter()
        state, value = epoch(*state, jax.random.PRNGKey(i))
        float(value)
        times.append(time.perf_counter() - start)
    return {"step_ms": sorted(times[1:])[EPOCHS // 2] / steps * 1e3, "first_batch_s": times[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workloads", nargs="*", default=["tabular", "mlp"])
    parser.add_argument("--peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name = options.workloads[0]
        result = measure_jax(name) if options.measure == "jax-scan" else measure_keras(options.measure, name)
        print(json.dumps(result))
        return
    peers = {"jax-scan": ("jax-scan", {})}
    peers |= {f"keras-{b}": ("keras", {"KERAS_BACKEND": b}) for b in ("jax", "tensorflow", "torch")}
    runs = {"graphkeras": (sys.executable, "graphkeras", {})}
    runs |= {label: (options.peers, what, env) for label, (what, env) in peers.items()} if options.peers else {}
    for name in options.workloads:
        found: dict[str, list[float]] = {label: [] for label in runs}
        for _ in range(options.rounds):
            for label, (python, what, env) in runs.items():
                command = [python, "-m", "tests.benchmarks.training", "--measure", what, name]
                env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **env}
                done = subprocess.run(command, env=env, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{label} failed:\n{done.stderr[-2000:]}")
                found[label].append(json.loads(done.stdout.splitlines()[-1])["step_ms"])
        ours = min(found["graphkeras"])
        print(f"{name}: {FLOP[name] / 1e6:.2f} MFLOP a step")
        for label, times in sorted(found.items(), key=lambda item: min(item[1])):
            print(f"  {label:18s} {min(times):9.4f} ms   {min(times) / ours:6.2f}   {[round(t, 4) for t in times]}")


if __name__ == "__main__":
    main()
