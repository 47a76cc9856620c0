"""`vectorized_map` beside `map`: small bodies over 1,000 elements, compiled, one call each in turn.

    python -m tests.benchmarks.vectorized_map
"""

import time

import numpy as np

import graphkeras as gk
from graphkeras import ops

COUNT, WIDTH, ROUNDS = 1000, 32, 60
RNG = np.random.default_rng(0)
W = RNG.normal(size=(WIDTH, WIDTH)).astype("float32")
K = RNG.normal(size=(3, 3, 1, 4)).astype("float32")
X = RNG.normal(size=(COUNT, WIDTH)).astype("float32")
BODIES = {
    "tanh(x * 2 + 1)": lambda r: ops.tanh(r * 2 + 1),
    "softmax(x @ w)": lambda r: ops.softmax(r @ W),
    "take, sort, cumsum": lambda r: ops.cumsum(ops.sort(ops.take(r, ops.argsort(r)[: WIDTH // 2]))),
    "convolution": lambda r: ops.conv(ops.reshape(r, (1, 8, WIDTH // 8, 1)), K, padding="same"),
    "loop of 8 steps": lambda r: ops.fori_loop(0, 8, lambda i, s: ops.tanh(s * 0.5 + r[i]), ops.sum(r)),
}


def main():
    print(f"{COUNT} elements of {WIDTH} floats: microseconds per call, median of {ROUNDS}")
    for name, body in BODIES.items():
        programs = [gk.function(lambda x, m=m, body=body: m(body, x)) for m in (ops.map, ops.vectorized_map)]
        times = [[], []]
        for number in range(ROUNDS + 3):
            for program, found in zip(programs, times, strict=True):
                start = time.perf_counter()
                program(X)
                if number >= 3:
                    found.append(time.perf_counter() - start)
        one, all_at_once = (np.median(t) * 1e6 for t in times)
        print(f"  {name:<20} map {one:9.1f}   vectorized_map {all_at_once:8.1f}   {one / all_at_once:6.1f} times as fast")


if __name__ == "__main__":
    main()
