import errno
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from graphkeras.debug import flags
from graphkeras.runtime import cache as cache_module
from graphkeras.runtime.cache import CacheWarning, DiskCache, default_folder, get_cache

KEY = "ab" * 32
OTHER = "cd" * 32
needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root to give files away")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def _entry(folder, key=KEY):
    return Path(folder) / f"{key}.gko"


def test_round_trip_and_manifest(folder):
    cache = DiskCache(folder)
    assert cache.get(KEY) is None
    cache.put(KEY, b"code", {"name": "relu <ü>"})
    again = DiskCache(folder)
    assert again.get(KEY) == b"code"
    assert again.manifest(KEY) == {"key": KEY, "name": "relu <ü>"}
    assert json.loads((folder / f"{KEY}.json").read_text(encoding="utf-8"))["name"] == "relu <ü>"
    stats = again.stats()
    assert (stats.entries, stats.hits, stats.misses, stats.rebuilt) == (1, 1, 0, 0)
    assert stats.bytes == sum(path.stat().st_size for path in folder.iterdir())


def test_folder_and_entries_are_private(folder):
    DiskCache(folder).put(KEY, b"code", {})
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_folder_open_to_others_is_closed(folder):
    folder.mkdir()
    folder.chmod(0o777)
    DiskCache(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_folder_of_all_users_is_left_as_it_is(folder):
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.warns(CacheWarning, match="shared by all users.*name a folder inside it"):
        cache = DiskCache(folder)
    cache.put(KEY, b"code", {})
    assert folder.stat().st_mode & 0o7777 == 0o1777 and not list(folder.iterdir()) and cache.get(KEY) == b"code"


def test_no_temporary_file_is_left_and_old_ones_are_swept(folder):
    folder.mkdir(mode=0o700)
    old, young = folder / f"{KEY}.gko.1-aa.part", folder / f"{KEY}.gko.2-bb.part"
    old.write_bytes(b"")
    young.write_bytes(b"")
    os.utime(old, (1, 1))
    DiskCache(folder).put(KEY, b"code", {})
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{KEY}.gko", f"{KEY}.json", young.name])


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda data: data[:-1], "truncated"),
        (lambda data: data[:10], "truncated"),
        (lambda data: b"", "truncated"),
        (lambda data: b"garbage!" * 40, "not an entry"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "checksum"),
        (lambda data: data[:8] + b"\xff" + data[9:], "version"),
        (lambda data: data + b"more", "truncated"),
    ],
)
def test_bad_entry_is_rebuilt_with_one_warning(folder, spoil, reason):
    DiskCache(folder).put(KEY, b"code", {})
    entry = _entry(folder)
    entry.write_bytes(spoil(entry.read_bytes()))
    cache = DiskCache(folder)
    with pytest.warns(CacheWarning, match=reason) as caught:
        assert cache.get(KEY) is None
    assert len(caught) == 1 and str(entry) in str(caught[0].message)
    cache.put(KEY, b"code", {})
    assert cache.get(KEY) == b"code" and cache.stats().rebuilt == 1


def test_entry_under_another_name_is_refused(folder):
    DiskCache(folder).put(KEY, b"code", {})
    _entry(folder).rename(_entry(folder, OTHER))
    with pytest.warns(CacheWarning, match="checksum"):
        assert DiskCache(folder).get(OTHER) is None


def test_link_is_not_followed(folder, tmp_path):
    DiskCache(folder).put(KEY, b"code", {})
    elsewhere = tmp_path / "elsewhere"
    _entry(folder).rename(elsewhere)
    _entry(folder).symlink_to(elsewhere)
    with pytest.warns(CacheWarning):
        assert DiskCache(folder).get(KEY) is None


@needs_root
def test_foreign_entry_is_refused(folder):
    DiskCache(folder).put(KEY, b"code", {})
    os.chown(_entry(folder), 12345, 12345)
    cache = DiskCache(folder)
    with pytest.warns(CacheWarning, match="another user"):
        assert cache.get(KEY) is None
    cache.put(KEY, b"mine", {})
    assert cache.get(KEY) == b"mine" and _entry(folder).stat().st_uid == os.geteuid()


@needs_root
def test_foreign_folder_is_refused(folder):
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.warns(CacheWarning, match="another user") as caught:
        cache = DiskCache(folder)
        cache.put(KEY, b"code", {})
    assert len(caught) == 1
    assert cache.folder is None and cache.get(KEY) == b"code" and not list(folder.iterdir())


def test_file_in_place_of_the_folder(folder):
    folder.write_text("not a folder")
    with pytest.warns(CacheWarning) as caught:
        cache = DiskCache(folder)
        cache.put(KEY, b"code", {"name": "k"})
        cache.put(OTHER, b"other", {})
    assert len(caught) == 1
    assert cache.get(KEY) == b"code" and cache.manifest(KEY) == {"name": "k"}


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_folder_that_cannot_be_made():
    with pytest.warns(CacheWarning, match="cannot be used"):
        cache = DiskCache("/proc/graphkeras-cache")
    cache.put(KEY, b"code", {})
    assert cache.get(KEY) == b"code"


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_read_only_folder_still_reads(folder, monkeypatch, code):
    DiskCache(folder).put(KEY, b"code", {})
    cache = DiskCache(folder)
    real_open = os.open

    def read_only(path, mode, *rest, **more):
        if mode & os.O_CREAT:
            raise OSError(code, os.strerror(code), path)
        return real_open(path, mode, *rest, **more)

    monkeypatch.setattr(os, "open", read_only)
    assert cache.get(KEY) == b"code"
    with pytest.warns(CacheWarning) as caught:
        cache.put(OTHER, b"other", {})
        cache.put("ef" * 32, b"third", {})
    assert len(caught) == 1 and os.strerror(code) in str(caught[0].message)
    assert cache.get(OTHER) == b"other"


def test_full_disk(folder, monkeypatch):
    cache = DiskCache(folder)
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: _no_space())
    with pytest.warns(CacheWarning, match="No space") as caught:
        cache.put(KEY, b"code", {})
        cache.put(OTHER, b"other", {})
    assert len(caught) == 1
    monkeypatch.setattr(os, "write", real_write)
    assert cache.get(KEY) == b"code" and not list(folder.iterdir())


def _no_space():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_short_writes_are_continued(folder, monkeypatch):
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real_write(descriptor, data[:7]))
    DiskCache(folder).put(KEY, b"code" * 100, {})
    assert DiskCache(folder).get(KEY) == b"code" * 100


def test_least_recently_used_entries_go_first(folder):
    cache = DiskCache(folder, max_bytes=5000)
    keys = [f"{number:02x}" * 32 for number in range(6)]
    for age, key in enumerate(keys[:4]):
        cache.put(key, bytes(1000), {})
        for path in folder.glob(f"{key}.*"):
            os.utime(path, (time.time() - 1000 + age,) * 2)
    assert cache.get(keys[0]) is not None  # renews it
    cache.put(keys[4], bytes(1000), {})
    left = {path.stem for path in folder.glob("*.gko")}
    assert keys[0] in left and keys[4] in left and keys[1] not in left
    assert cache.stats().bytes <= 5000


def test_clear(folder):
    cache = DiskCache(folder)
    cache.put(KEY, b"code", {})
    cache.clear()
    assert cache.get(KEY) is None and cache.stats().entries == 0


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(cache_module, "_MEMORY_LIMIT", 2500)
    cache = DiskCache(None)
    for number in range(5):
        cache.put(f"{number:02x}" * 32, bytes(1000), {})
    assert cache.stats().entries == 2 and cache.get("04" * 32) is not None


def test_default_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "graphkeras"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "graphkeras"


def test_flag_chooses_the_folder(tmp_path):
    with flags.CACHE(tmp_path / "one"):
        assert get_cache().folder == tmp_path / "one" and get_cache() is get_cache()
    with flags.CACHE("off"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_cache().folder is None


_FILL = """
import sys
from graphkeras.runtime.cache import DiskCache
cache = DiskCache(sys.argv[1], 200_000)
for round in range(40):
    for number in range(12):
        key = f"{number:02x}" * 32
        found = cache.get(key)
        assert found is None or found == bytes([number]) * 30_000, key
        cache.put(key, bytes([number]) * 30_000, {"number": number})
"""


def test_two_processes_fill_one_cache(folder):
    command = [sys.executable, "-W", "error", "-c", _FILL, str(folder)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert not list(folder.glob("*.part")) and list(folder.glob("*.gko"))


def test_a_named_pipe_does_not_hang(folder):
    cache = DiskCache(folder)
    os.mkfifo(_entry(folder), 0o600)
    with pytest.warns(CacheWarning, match="is no file"):
        assert cache.get(KEY) is None


def test_entries_that_others_can_write_are_not_trusted(folder):
    cache = DiskCache(folder)
    cache.put(KEY, b"payload", {})
    os.chmod(_entry(folder), 0o666)
    with pytest.warns(CacheWarning, match="written by other users"):
        assert cache.get(KEY) is None


def test_names_that_are_no_unicode(folder):
    cache = DiskCache(folder)
    cache.put(KEY, b"payload", {"name": "layer \udc80\n\""})
    assert cache.get(KEY) == b"payload" and cache.manifest(KEY)["name"] == "layer \udc80\n\""
