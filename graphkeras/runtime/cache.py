"""Object code and programs on disk, found by the hash of everything they depend on.

An entry is `<key>.gko` (object code of a kernel), `<key>.gkp` (a program's table) or `<key>.gks` (which program a model's step is):
a header (magic, format version, key, checksum, length), then the payload. Beside it lies `<key>.json`, a manifest for people: names,
origins and readable source. Nothing is ever unpickled. A new entry is written to a temporary file and renamed, so that other
processes see all of it or nothing. There is no fsync: an entry torn by a crash fails its checksum and is built again.

Only a folder and entries that belong to this user are trusted, because their bytes are executed. Where the folder cannot be
used (foreign owner, read-only, full disk), entries live in memory and one warning says why.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
import struct
import threading
import time
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from graphkeras.debug import flags

_KINDS = {"kernel": (".gko", b"GKOBJECT"), "program": (".gkp", b"GKTABLES"), "step": (".gks", b"GKSTEPOF")}
_VERSION = 1
_HEADER = struct.Struct("<8sI32s32sQ")
_MEMORY_LIMIT = 64 << 20
_TOUCH_SECONDS = 60.0  # an entry's time is renewed no more often than this
_STALE_SECONDS = 3600.0  # a temporary file this old was left by a process that died
_TEMPORARY = ".part"
_OURS = re.compile(r"[0-9a-f]{64}\.(gko|gkp|gks|json)(\.[0-9]+-[0-9a-f]+\.part)?")  # nothing else is ever removed


class CacheWarning(UserWarning):
    """The kernel cache could not be used as asked; results are not affected."""


@dataclass(frozen=True)
class CacheStats:
    """What a cache holds and did.

    Attributes:
        folder: where; None for a cache in memory.
        entries: kernels, programs and steps.
        bytes: of entries and manifests.
        hits, misses, rebuilt: look-ups by this process, and bad entries that it found.
        kernels, programs, steps: entries of each kind.
        program_hits, program_misses: look-ups of programs by this process; `hits` and `misses` count kernels.
        max_bytes: the bound; the least recently used entries go first.
    """

    folder: str | None
    entries: int
    bytes: int
    hits: int
    misses: int
    rebuilt: int
    kernels: int = 0
    programs: int = 0
    program_hits: int = 0
    program_misses: int = 0
    steps: int = 0
    max_bytes: int = 0


class Removed(NamedTuple):
    """What `clear` removed: entries, bytes; and `left`, files that could not be removed."""

    entries: int
    bytes: int
    left: int


def default_folder() -> Path:
    """The folder for caches that the platform gives to this user."""
    base = os.environ.get("XDG_CACHE_HOME")
    root = Path(base) if base and os.path.isabs(base) else Path.home() / ".cache"
    return root / "graphkeras"


def _is_mine(info) -> bool:
    return not hasattr(os, "geteuid") or info.st_uid == os.geteuid()


class DiskCache:
    """A folder of object code, bounded in size, shared by any number of processes.

    Args:
        folder: Where entries live; `None` keeps them in memory only.
        max_bytes: Bytes of entries and manifests on disk; the least recently used go first.
    """

    def __init__(self, folder: str | os.PathLike | None, max_bytes: int = 512 << 20):
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._memory: OrderedDict[str, tuple[bytes, dict, str]] = OrderedDict()  # payload, manifest, kind
        self._memory_bytes = 0
        self._bytes_on_disk: int | None = None  # as far as this process knows
        self._warned = False
        self._hits = dict.fromkeys(_KINDS, 0)
        self._misses = dict.fromkeys(_KINDS, 0)
        self._rebuilt = 0
        self._rejected: set[tuple[str, str]] = set()  # keys and kinds of bad entries: they are told of once
        self._folder = None if folder is None else self._opened(Path(folder))

    @property
    def folder(self) -> Path | None:
        """The folder in use, or `None` when entries are kept in memory."""
        return self._folder

    def get(self, key: str, kind: str = "kernel") -> bytes | None:
        """The payload stored under `key` (64 hexadecimal digits), or `None`; `kind` is "kernel", "program" or "step"."""
        payload = None
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                payload = self._memory[key][0]
        if payload is None and self._folder is not None and (key, kind) not in self._rejected:
            payload = self._read(key, kind)
        with self._lock:
            if payload is None:
                self._misses[kind] += 1
            else:
                self._hits[kind] += 1
        return payload

    def __contains__(self, key: str) -> bool:
        """Whether there is an entry, good or bad, without reading it."""
        return key in self._memory or (self._folder is not None and self._entry(key).exists())

    def put(self, key: str, payload: bytes, manifest: dict, kind: str = "kernel") -> None:
        """Store `payload` under `key`, with a manifest that `json` can write. Never raises for a bad disk."""
        self._rejected.discard((key, kind))
        if self._folder is not None:
            suffix, magic = _KINDS[kind]
            header = _HEADER.pack(magic, _VERSION, bytes.fromhex(key), hashlib.sha256(payload).digest(), len(payload))
            text = json.dumps({"key": key, **manifest}, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")
            try:
                self._write(self._entry(key, suffix), header + payload)
                self._write(self._entry(key, ".json"), text)
            except OSError as error:
                self._warn(
                    f"kernels cannot be written to {str(self._folder)!r} ({error.strerror or error}); they are kept in memory"
                )
            else:
                self._keep_bounded(len(header) + len(payload) + len(text))
                return
        self._remember(key, payload, manifest, kind)

    def reject(self, key: str, kind: str, why: str) -> None:
        """Warns that an entry is bad, once; it is not found again until it has been stored anew."""
        with self._lock:
            self._rebuilt += 1
            self._rejected.add((key, kind))
            held = self._memory.pop(key, None)
            self._memory_bytes -= len(held[0]) if held else 0
        entry = key[:12] if self._folder is None else repr(str(self._entry(key, _KINDS[kind][0])))
        warnings.warn(f"{kind} cache entry {entry} {why}; it is built again", CacheWarning, stacklevel=3)

    def manifest(self, key: str) -> dict | None:
        """What was noted for people when `key` was stored, or `None`."""
        with self._lock:
            if key in self._memory:
                return self._memory[key][1]
        if self._folder is None:
            return None
        try:
            return json.loads(self._read_owned(self._entry(key, ".json")))
        except (OSError, ValueError):
            return None

    def stats(self) -> CacheStats:
        """Counts and sizes, read from the folder now."""
        files = self._files()
        with self._lock:
            counts = {
                kind: sum(path.suffix == suffix for _, path, _ in files) + sum(held[2] == kind for held in self._memory.values())
                for kind, (suffix, _) in _KINDS.items()
            }
            return CacheStats(
                folder=None if self._folder is None else str(self._folder),
                entries=sum(counts.values()),
                bytes=sum(size for _, _, size in files) + self._memory_bytes,
                hits=self._hits["kernel"],
                misses=self._misses["kernel"],
                rebuilt=self._rebuilt,
                kernels=counts["kernel"],
                programs=counts["program"],
                program_hits=self._hits["program"],
                program_misses=self._misses["program"],
                steps=counts["step"],
                max_bytes=self._max_bytes,
            )

    def times_of_use(self) -> tuple[float, float]:
        """When the most and the least recently used entries on disk were used (seconds of `time.time`, to the minute); now if none."""
        suffixes = [suffix for suffix, _ in _KINDS.values()]
        times = [used for used, path, _ in self._files() if path.suffix in suffixes] or [time.time()]
        return max(times), min(times)

    def clear(self) -> "Removed":
        """Remove every entry. Kernels already loaded stay usable.

        Returns:
            What was removed, and how many files could not be.
        """
        with self._lock:
            entries, size, left = len(self._memory), self._memory_bytes, 0
            self._memory.clear()
            self._memory_bytes = 0
            self._bytes_on_disk = None
        suffixes = [suffix for suffix, _ in _KINDS.values()]
        for _, path, nbytes in self._files():
            try:
                path.unlink(missing_ok=True)
            except OSError:
                left += 1
            else:
                entries += path.suffix in suffixes
                size += nbytes
        return Removed(entries, size, left)

    # The folder

    def _opened(self, folder: Path) -> Path | None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            info = folder.stat()
            if not _is_mine(info):
                self._warn(f"cache folder {str(folder)!r} belongs to another user (uid {info.st_uid}); kernels are kept in memory")
                return None
            if info.st_mode & stat.S_ISVTX:  # /tmp and its like are everyone's, whoever owns them
                self._warn(f"cache folder {str(folder)!r} is shared by all users; kernels are kept in memory: name a folder inside it")
                return None
            if stat.S_IMODE(info.st_mode) & 0o022:  # others could plant code
                folder.chmod(0o700)
        except OSError as error:
            self._warn(f"cache folder {str(folder)!r} cannot be used ({error.strerror or error}); kernels are kept in memory")
            return None
        return folder

    def _entry(self, key: str, suffix: str = ".gko") -> Path:
        return self._folder / (key + suffix)

    def _files(self) -> list[tuple[float, Path, int]]:
        """(time of last use, path, bytes) of every file of ours in the folder."""
        found = []
        if self._folder is not None:
            with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
                for entry in entries:
                    if _OURS.fullmatch(entry.name):
                        with contextlib.suppress(OSError):
                            info = entry.stat(follow_symlinks=False)
                            found.append((info.st_mtime, Path(entry.path), info.st_size))
        return found

    # Reading

    def _read(self, key: str, kind: str) -> bytes | None:
        suffix, expected = _KINDS[kind]
        try:
            data = self._read_owned(self._entry(key, suffix))
        except FileNotFoundError:
            return None
        except PermissionError as error:
            return self.reject(key, kind, error.strerror or str(error))
        except OSError as error:
            return self.reject(key, kind, f"cannot be read: {error.strerror or error}")
        if len(data) < _HEADER.size:
            return self.reject(key, kind, "is truncated")
        magic, version, stored_key, checksum, length = _HEADER.unpack_from(data)
        payload = data[_HEADER.size :]
        if magic != expected:
            return self.reject(key, kind, "is not an entry of this cache")
        if version != _VERSION:
            return self.reject(key, kind, f"has format version {version}, not {_VERSION}")
        if len(payload) != length:
            return self.reject(key, kind, f"is truncated ({len(payload)} of {length} bytes)")
        if stored_key.hex() != key or hashlib.sha256(payload).digest() != checksum:
            return self.reject(key, kind, "does not match its checksum")
        return payload

    def _read_owned(self, path: Path) -> bytes:
        # Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
        extra = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC")
        descriptor = os.open(path, os.O_RDONLY | sum(getattr(os, name, 0) for name in extra))
        try:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise PermissionError(0, "is no file")
            if not _is_mine(info):
                raise PermissionError(0, f"belongs to another user (uid {info.st_uid})")
            if stat.S_IMODE(info.st_mode) & 0o022:
                raise PermissionError(0, "can be written by other users")
        except PermissionError:
            os.close(descriptor)
            raise
        with open(descriptor, "rb") as file:
            if time.time() - info.st_mtime > _TOUCH_SECONDS:
                with contextlib.suppress(OSError):
                    os.utime(path)
            return file.read()

    # Writing

    def _write(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}{_TEMPORARY}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def _remember(self, key: str, payload: bytes, manifest: dict, kind: str) -> None:
        with self._lock:
            previous = self._memory.pop(key, None)
            self._memory_bytes += len(payload) - (len(previous[0]) if previous else 0)
            self._memory[key] = (payload, manifest, kind)
            while self._memory_bytes > _MEMORY_LIMIT and len(self._memory) > 1:
                _, (dropped, _, _) = self._memory.popitem(last=False)
                self._memory_bytes -= len(dropped)

    def _keep_bounded(self, added: int) -> None:
        with self._lock:
            if self._bytes_on_disk is not None:
                self._bytes_on_disk += added
                if self._bytes_on_disk <= self._max_bytes:
                    return
            files = sorted(self._files())
            total = sum(size for _, _, size in files)
            target = self._max_bytes if total <= self._max_bytes else int(0.9 * self._max_bytes)
            old = time.time() - _STALE_SECONDS
            for used, path, size in files:
                left_over = path.name.endswith(_TEMPORARY)
                if (left_over and used < old) or (total > target and not left_over):
                    with contextlib.suppress(OSError):
                        path.unlink()
                    total -= size
            self._bytes_on_disk = total

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(message, CacheWarning, stacklevel=2)


_caches: dict[tuple[str | None, int], DiskCache] = {}
_caches_lock = threading.Lock()


def get_cache() -> DiskCache:
    """The cache that the flags `CACHE` and `CACHE_SIZE` ask for; one object per folder and process."""
    chosen = flags.CACHE.value
    if chosen == "off":
        folder = None
    else:
        folder = chosen or str(default_folder())
    name = (folder, flags.CACHE_SIZE.value)
    with _caches_lock:
        if name not in _caches:
            _caches[name] = DiskCache(*name)
        return _caches[name]


def stats() -> CacheStats:
    """`CacheStats` of the cache in use."""
    return get_cache().stats()


def clear() -> Removed:
    """Empty the cache in use."""
    return get_cache().clear()


def _forget_after_fork():
    global _caches_lock
    _caches_lock = threading.Lock()
    _caches.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
