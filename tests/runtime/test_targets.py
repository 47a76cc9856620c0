"""The flag GRAPHKERAS_TARGET: each in a process of its own, for it is read once."""

import os
import subprocess
import sys

import pytest

from graphkeras.debug import flags
from graphkeras.lowering.cpu import target

# Prints what was used, and the bits of all results; exits with an error where strict execution or NumPy disagree.
PROGRAM = """
import hashlib
import numpy as np
from graphkeras import function, ops
from graphkeras.debug import flags
from graphkeras.lowering.cpu import target

def program(x, w, n):
    y = ops.relu(ops.matmul(x, w) + 0.5)
    low, half = ops.cast(y, "bfloat16"), ops.cast(x, "float16")
    integers = n // 7 + ops.cast(ops.floor(x[:, :19] * 3), "int64")
    return (
        ops.softmax(y), ops.sum(y, axis=0), ops.argmax(y, axis=1), ops.cumsum(x, axis=1),
        ops.floor(3 * x), ops.ceil(3 * x), ops.round(3 * x), ops.trunc(3 * x), ops.sin(1e3 * x),
        low, ops.cast(low, "float32") * 2, half + half, ops.cast(half, "float32"), integers,
        ops.sort(x, axis=1), ops.cast(x * 50, "int8"), ops.power(ops.abs(x), 1.5), ops.logsumexp(y, axis=1), ops.mean(x, axis=1),
    )

rng = np.random.default_rng(0)
arrays = rng.normal(size=(37, 53)).astype("f4"), rng.normal(size=(53, 29)).astype("f4"), rng.integers(-99, 99, (37, 19))
results = {}
for execution in flags.EXECUTIONS:
    with flags.EXECUTION(execution):
        results[execution] = [y.numpy() for y in function(program)(*arrays)]
digest = hashlib.sha256()
for compiled, strict, eager in zip(*results.values(), strict=True):
    assert compiled.tobytes() == strict.tobytes() and compiled.dtype == eager.dtype
    bound = {"bfloat16": 2e-2, "float16": 2e-3}.get(compiled.dtype.name, 2e-5)
    np.testing.assert_allclose(compiled.astype("f8"), eager.astype("f8"), rtol=bound, atol=bound)
    digest.update(compiled.tobytes())
print(target.NAME, target.LANES, target.fingerprint(), digest.hexdigest())
"""
REFUSED = """
import llvmlite.binding as llvm
llvm.get_host_cpu_features = lambda: {"sse2": True, "avx2": False}
from graphkeras.lowering.cpu import target
"""


def run(code, name):
    environment = {**os.environ, "GRAPHKERAS_TARGET": name}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def printed():
    """What the program prints, by the name of the target."""
    found = {}
    for name in target.supported():
        done = run(PROGRAM, name)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        found[name] = done.stdout.split()
    return found


def test_every_target_computes_what_numpy_does(printed):
    for name, (used, lanes, _, _) in printed.items():
        assert used == name and int(lanes) == target.TARGETS[name].lanes


def test_targets_of_one_width_give_the_same_bits(printed):
    digests = {}
    for _, lanes, _, digest in printed.values():
        digests.setdefault(lanes, set()).add(digest)
    assert all(len(found) == 1 for found in digests.values())


def test_object_code_of_targets_is_kept_apart(printed):
    fingerprints = [fingerprint for _, _, fingerprint, _ in printed.values()]
    assert len(set(fingerprints)) == len(fingerprints)


def test_a_target_that_the_cpu_lacks_is_refused():
    done = run(REFUSED, "avx2")
    assert done.returncode != 0
    for part in ("FlagError: GRAPHKERAS_TARGET", "'avx2'", "without avx2, fma, f16c", "expected: baseline", "mend:"):
        assert part in done.stderr


def test_the_target_stays_as_it_was_read():
    other = next(name for name in flags.TARGETS if name != flags.TARGET.value)
    for change in (lambda: flags.TARGET.set(other), lambda: flags.TARGET(other).__enter__()):
        with pytest.raises(flags.FlagError, match="stays as it was"):
            change()
    with flags.TARGET(flags.TARGET.value):
        assert flags.TARGET.value in ("auto", target.NAME)
