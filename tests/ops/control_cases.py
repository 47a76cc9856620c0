"""Control flow that is written in the same way for graphkeras and for Keras.

Run with Keras installed, `KERAS_BACKEND=tensorflow python tests/ops/control_cases.py` writes `golden/control.json`: values and
gradients that Keras gives on TensorFlow.
"""

import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).parent / "golden" / "control.json"


def array(*shape):
    return np.random.default_rng(11).normal(size=shape).astype("float32")


def cond(ops, x):
    return ops.cond(ops.sum(x) > 0, lambda: ops.exp(x), lambda: x * x)


def switch(ops, x):
    branches = [lambda a, b: a + b, lambda a, b: a * b, lambda a, b: ops.sin(a)]
    return [ops.switch(i, branches, x, x * 2) for i in (-1, 0, 1, 2, 7)]


def while_loop(ops, x):
    return ops.while_loop(lambda s, i: ops.sum(s * s) < 50.0, lambda s, i: (s * 1.5 + 0.1, i + 1), (x, 0))


def while_loop_with_limit(ops, x):
    return ops.while_loop(lambda s: True, lambda s: (ops.tanh(s) * 2,), (x,), maximum_iterations=3)


def while_loop_of_one(ops, x):
    return ops.while_loop(lambda s: ops.max(s) < 9.0, lambda s: s + 1.0, x)


def fori_loop(ops, x):
    return ops.fori_loop(1, 5, lambda i, s: s * ops.cast(i, "float32") + x, x)


def scan(ops, x):
    return ops.scan(lambda c, r: (ops.tanh(c + r), c * r), x[0], x)


def scan_in_reverse(ops, x):
    return ops.scan(lambda c, r: (c * 0.5 + r, c + r), x[0], x, reverse=True)


def scan_of_structures(ops, x):
    last, ys = ops.scan(lambda c, r: ([c[0] + r[0], c[1] * r[1]], [c[1], c[0]]), [x[0], x[1]], [x, ops.exp(x)])
    return [*last, *ys]


def scan_with_length(ops, x):
    return ops.scan(lambda c, _: (c * 1.1, c + 1.0), x, length=3)


def map_rows(ops, x):
    return ops.map(lambda r: ops.sum(r * r), x)


def map_pairs(ops, x):
    return ops.map(lambda e: e[0] * e[1], (x, ops.exp(x)))


def vectorized_map(ops, x):
    return ops.vectorized_map(lambda r: ops.cumsum(r) * 2, x)


def associative_scan(ops, x):
    return ops.associative_scan(lambda a, b: a * b, x)


def associative_scan_in_reverse(ops, x):
    return ops.associative_scan(lambda a, b: a + b, x, reverse=True, axis=1)


CASES = {
    f.__name__: f
    for f in (
        cond, switch, while_loop, while_loop_with_limit, while_loop_of_one, fori_loop, scan, scan_in_reverse, scan_of_structures,
        scan_with_length, map_rows, map_pairs, vectorized_map, associative_scan, associative_scan_in_reverse,
    )
}  # fmt: skip


def flat(result):
    """The tensors of a result, in order."""
    return [t for part in result for t in flat(part)] if isinstance(result, (list, tuple)) else [result]


def total(ops, case, x):
    """A scalar that depends on every float result."""
    parts = [t for t in flat(case(ops, x)) if "float" in str(t.dtype)]
    return sum(ops.sum(ops.sin(t)) for t in parts)


if __name__ == "__main__":
    import tensorflow as tf
    from keras import ops

    golden = {}
    for name, case in CASES.items():
        x = tf.constant(array(5, 4))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = total(ops, case, x)
        values = [np.asarray(t) for t in flat(case(ops, x))]
        golden[name] = {
            "values": [v.tolist() for v in values],
            "dtypes": [str(v.dtype) for v in values],
            "gradient": np.asarray(tape.gradient(y, x)).tolist(),
        }
    FILE.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
