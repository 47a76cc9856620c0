"""Whole programs over a cache folder that others fill, spoil, close or fill up: right results, one warning at most.

`tests/runtime/test_cache.py` has the same for single entries.
"""

import gc
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from graphkeras.debug import flags
from graphkeras.ir.text import parse_graph
from graphkeras.passes import run
from graphkeras.runtime.cache import CacheWarning
from graphkeras.runtime.program import Program

needs_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs root")
# Numbers that stand in no other test, so that no kernel of it is in memory already.
TEXT = """
f(x: f32[b,5]) {{
  %0 = multiply(x, {0}); %1 = tanh(%0); %2 = reduce_sum(%1, axes=(1,), keepdims=false); %3 = add(%1, {0}); %4 = exp(%3)
  %5 = transpose(%4, perm=(1, 0)); return %2, %5
}}"""
X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def check(number):
    """Makes the program and compares its results with NumPy's."""
    gc.collect()  # programs of before are gone, and their kernels with them
    total, shown = Program(run(parse_graph(TEXT.format(number)))[0])(X)
    t = np.tanh(X * np.float32(number))
    np.testing.assert_allclose(total, t.sum(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shown, np.exp(t + np.float32(number)).T, rtol=1e-5)


def warnings_of(number):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check(number)
    assert all(issubclass(w.category, CacheWarning) for w in caught), [str(w.message) for w in caught]
    return [str(w.message) for w in caught]


def spoil(folder, change):
    entries = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"]
    assert entries
    for path in entries:
        change(path)
    return len(entries)


@pytest.mark.parametrize(
    ("name", "number", "change"),
    [
        ("truncated", 0.6251, lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])),
        ("empty", 0.6252, lambda path: path.write_bytes(b"")),
        ("garbage", 0.6253, lambda path: path.write_bytes(os.urandom(3000))),
        pytest.param("foreign", 0.6254, lambda path: os.chown(path, 12345, 12345), marks=needs_root),
    ],
)
def test_bad_entries_are_rebuilt(tmp_path, name, number, change):
    folder = tmp_path / "cache"
    with flags.CACHE(folder):
        assert warnings_of(number) == []
        count = spoil(folder, change)
    # The same folder under another name is opened anew, as by another process.
    other = tmp_path / "again"
    folder.rename(other)
    with flags.CACHE(other):
        messages = warnings_of(number)
        assert len(messages) <= count and len(set(messages)) == len(messages)
    third = tmp_path / "third"
    other.rename(third)
    with flags.CACHE(third):
        assert warnings_of(number) == []  # rebuilt


@needs_root
def test_a_folder_that_is_full(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir(mode=0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k,mode=700", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        with flags.CACHE(folder):
            assert len(warnings_of(0.6261)) == 1
            assert warnings_of(0.6262) == []
        assert not list(folder.glob("*.part"))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@needs_root
def test_a_folder_that_is_read_only(tmp_path):
    folder = tmp_path / "fixed"
    folder.mkdir(mode=0o700)
    with flags.CACHE(folder):
        check(0.6263)
    mount = ["mount", "--bind", str(folder), str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        with flags.CACHE(folder / "."):
            assert warnings_of(0.6263) == []  # what is there is used
            assert len(warnings_of(0.6264)) <= 1
            assert warnings_of(0.6265) == []
    finally:
        subprocess.run(["umount", str(folder)], check=True)


FILL = """
from tests.guarantees.test_caches import check
for number in (0.6271, 0.6272, 0.6273):
    check(number)
"""


def test_two_processes_fill_one_cache(tmp_path):
    environment = {**os.environ, "GRAPHKERAS_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-W", "error::UserWarning", "-c", FILL]
    started = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=180)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], errors
    assert not list((tmp_path / "cache").rglob("*.part"))
    with flags.CACHE(tmp_path / "cache"):
        assert warnings_of(0.6272) == []
