import os
import subprocess
import sys
from pathlib import Path

import pytest

from graphkeras.__main__ import main
from graphkeras.debug import flags
from graphkeras.runtime.cache import CacheWarning, DiskCache, get_cache

ROOT = Path(__file__).resolve().parents[2]
KEYS = [f"{number:064x}" for number in range(4)]


@pytest.fixture
def folder(tmp_path):
    with flags.CACHE(str(tmp_path / "cache")):
        yield tmp_path / "cache"


def run(capsys, *arguments):
    status = main(["cache", *arguments])
    return status, capsys.readouterr().out


def filled(folder):
    cache = get_cache()
    cache.put(KEYS[0], b"code", {"name": "relu"})
    cache.put(KEYS[1], b"code 2", {})
    cache.put(KEYS[2], b"table", {}, kind="program")
    cache.put(KEYS[3], b"step", {}, kind="step")
    return sum(path.stat().st_size for path in folder.iterdir())


def test_path_and_stats(folder, capsys):
    assert run(capsys, "path") == (0, f"{folder}\n")
    assert not folder.exists()  # asking changes nothing
    assert run(capsys, "stats") == (0, f"folder    {folder} (not made yet)\nentries   0\n")
    nbytes = filled(folder)
    with flags.CACHE_SIZE(2_000_000):
        status, text = run(capsys, "stats")
    assert status == 0
    assert f"folder    {folder}" in text and "entries   4: 2 kernels, 1 programs, 1 steps" in text
    assert f"bytes     {nbytes} B of at most 2.0 MB" in text
    assert "seconds ago" in text


def test_clear_says_what_it_removed(folder, capsys):
    assert run(capsys, "clear") == (0, "removed 0 entries: there is no cache folder\n")
    nbytes = filled(folder)
    others = {folder / name for name in ("notes.txt", "settings.json", "video.part")}
    for path in others:
        path.write_text("not ours")
    assert run(capsys, "clear") == (0, f"removed 4 entries, {nbytes} B, from {folder}\n")
    assert set(folder.iterdir()) == others
    assert get_cache().get(KEYS[2], kind="program") is None
    assert run(capsys, "clear")[1].startswith("removed 0 entries, 0 B")


def test_without_a_cache(capsys):
    with flags.CACHE("off"):
        assert run(capsys, "path")[1] == "none: GRAPHKERAS_CACHE is off\n"
        assert "entries   0" in run(capsys, "stats")[1]
        assert run(capsys, "clear")[0] == 0


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root to give files away")
def test_a_folder_of_another_user_is_left_alone(folder, capsys):
    filled(folder)
    os.chown(folder, 12345, 12345)
    with flags.CACHE_SIZE(123_456), pytest.warns(CacheWarning, match="belongs to another user"):  # an object of its own
        assert main(["cache", "clear"]) == 1
    assert len(list(folder.iterdir())) == 8


def test_as_a_program(folder):
    def command(*arguments):
        environment = {**os.environ, "GRAPHKERAS_CACHE": str(folder)}
        return subprocess.run([sys.executable, "-m", "graphkeras", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)

    shown = command("cache", "--help")
    assert shown.returncode == 0 and all(word in shown.stdout for word in ("stats", "clear", "path"))
    assert command("cache", "path").stdout.strip() == str(folder)
    wrong = command("cache", "drop")
    assert wrong.returncode == 2 and "invalid choice: 'drop'" in wrong.stderr


def test_kinds_have_entries_of_their_own(folder):
    cache = DiskCache(folder)
    cache.put(KEYS[0], b"table", {}, kind="program")
    assert cache.get(KEYS[0]) is None
    assert cache.get(KEYS[0], kind="program") == b"table"
    (folder / f"{KEYS[0]}.gkp").rename(folder / f"{KEYS[0]}.gko")
    with pytest.warns(CacheWarning, match="is not an entry of this cache"):
        assert cache.get(KEYS[0]) is None
    stats = cache.stats()
    assert (stats.program_hits, stats.program_misses, stats.hits, stats.misses) == (1, 0, 0, 2)


def test_both_kinds_are_bounded_together(folder):
    cache = DiskCache(folder, max_bytes=4000)
    for number, key in enumerate(KEYS):
        cache.put(key, bytes(900), {}, kind=("kernel", "program")[number % 2])
        for path in folder.glob(f"{key}*"):
            os.utime(path, (1000 + number, 1000 + number))
    cache.put(f"{99:064x}", bytes(900), {}, kind="program")
    left = {path.stem for path in folder.iterdir()}
    assert KEYS[0] not in left and f"{99:064x}" in left
    assert cache.stats().bytes <= 4000
