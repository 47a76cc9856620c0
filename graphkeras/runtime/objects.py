"""Kernels in memory: found by the hash of their source, loaded from the cache, compiled only when nobody has them.

Object code is loaded by LLVM's loader (`llvmlite.binding`), without Numba. All kernels that are asked for together share one
engine, which is freed with the last of them. Equal sources share one piece of code, however many programs use them.
"""

import contextlib
import contextvars
import functools
import hashlib
import importlib.util
import json
import linecache
import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from graphkeras.debug import flags
from graphkeras.runtime import compile_pool
from graphkeras.runtime.cache import DiskCache, get_cache
from graphkeras.runtime.errors import LoadError

ABI_VERSION = 1


@dataclass(frozen=True)
class KernelSource:
    """What a kernel is made of.

    Args:
        body: Canonical source of `kernel(args, lo, hi, scratch)`: the only part, with `namespace`, that decides about the code.
        name: Readable name, for tables and traces.
        origins: Where its nodes come from (layer paths, user lines), for the manifest.
        readable: The source with comments, for people; `body` if empty.
        namespace: `"simd"` for kernels, `"atomics"` for the native loop.
    """

    body: str
    name: str = "kernel"
    origins: tuple[str, ...] = ()
    readable: str = ""
    namespace: str = "simd"

    @property
    def key(self) -> str:
        """The cache key: 64 hexadecimal digits, for this machine, toolchain and the flags now in force."""
        return _key(self.body, self.namespace, flags.key_text())

    def manifest(self) -> dict:
        """What is kept beside the object code, for inspection only."""
        return {
            "name": self.name,
            "origins": list(self.origins),
            "namespace": self.namespace,
            "body": self.body,
            "readable": self.readable or self.body,
        }


class _Code:
    """Loaded machine code of one key; its engine and library live as long as any code in them."""

    __slots__ = ("address", "size", "files", "_engine", "__weakref__")

    def __init__(self, address, size, engine):
        self.address, self.size, self._engine = address, size, engine
        self.files = set()  # names under which linecache knows its source


class Kernel:
    """A kernel that can be called.

    Attributes:
        source: Its `KernelSource`.
        key: Its cache key.
        address: Address of the C function; valid as long as this object lives.
        code_size: Bytes of object code.
        compiled: Whether it was compiled now (`True`) or found (`False`).
    """

    __slots__ = ("source", "key", "compiled", "_code")

    def __init__(self, source, key, code, compiled):
        self.source, self.key, self.compiled, self._code = source, key, compiled, code

    @property
    def address(self) -> int:
        return self._code.address

    @property
    def code_size(self) -> int:
        return self._code.size

    @property
    def file_name(self) -> str:
        """The name under which `linecache` knows the readable source."""
        return f"<graphkeras kernel {self.source.name} {self.key[:12]}>"

    def __repr__(self):
        return f"<Kernel {self.source.name} {self.key[:12]} at {self.address:#x}>"


_loaded: weakref.WeakValueDictionary[str, _Code] = weakref.WeakValueDictionary()
_lock = threading.RLock()


def load_kernels(sources: Sequence[KernelSource], cache: DiskCache | None = None) -> list[Kernel]:
    """Kernels for `sources`, in order; equal sources share code.

    Args:
        sources: What to load.
        cache: Where object code is kept; by default the cache of the flag `CACHE`.

    Raises:
        CompileError: A source does not compile.

    Example:

    >>> from graphkeras.runtime.objects import KernelSource, load_kernels
    >>> body = "def kernel(args, lo, hi, scratch):\\n    args[1] = hi - lo\\n"
    >>> kernel, = load_kernels([KernelSource(body, name="count")])
    """
    cache = get_cache() if cache is None else cache
    codes: dict[str, _Code] = {}
    objects: dict[str, bytes] = {}
    missing: dict[str, KernelSource] = {}
    elsewhere: dict[str, _Pending] = {}
    keys = [source.key for source in sources]
    with _lock:
        for key, source in zip(keys, sources):
            if key in codes or key in objects or key in missing or key in elsewhere:
                continue
            code = _loaded.get(key)
            if code is not None:
                codes[key] = code
            elif key in _pending:
                elsewhere[key] = _pending[key]
            elif (data := cache.get(key)) is not None:
                objects[key] = data
            else:
                missing[key] = source
                _pending[key] = _Pending()
    # Compiling takes long, and other threads may need other kernels meanwhile: nothing is locked.
    if missing:
        try:
            objects.update(_compile(missing, cache))
        finally:
            with _lock:
                for key in missing:
                    _pending.pop(key).finish(objects.get(key))
    for key, pending in elsewhere.items():
        data = pending.result()
        if data is None:  # the other thread failed, or was interrupted
            source = sources[keys.index(key)]
            data = _compile({key: source}, cache)[key]
        objects[key] = data
    with _lock:
        for key in list(objects):
            if (code := _loaded.get(key)) is not None:
                codes[key] = code
                del objects[key]
        if objects:
            codes.update(_link(objects))
    kernels = [Kernel(source, key, codes[key], key in missing) for key, source in zip(keys, sources)]
    for kernel in kernels:
        _register_readable(kernel)
    return kernels


class _Pending:
    """Object code that a thread is compiling."""

    def __init__(self):
        self._done = threading.Event()
        self._data: bytes | None = None

    def finish(self, data: bytes | None) -> None:
        """Hands the code to all who wait; None where there is none."""
        self._data = data
        self._done.set()

    def result(self) -> bytes | None:
        self._done.wait()
        return self._data


_pending: dict[str, _Pending] = {}


def find_kernels(keys: Sequence[str], names: Sequence[str], cache: DiskCache | None = None) -> list[Kernel] | None:
    """Kernels by their cache keys, without their sources; None where one of them is in no cache.

    Args:
        keys: `Kernel.key` of each.
        names: readable names.
        cache: where object code is kept; by default the cache of the flag `CACHE`.
    """
    cache = get_cache() if cache is None else cache
    with _lock:
        codes: dict[str, _Code] = {}
        objects: dict[str, bytes] = {}
        for key in dict.fromkeys(keys):
            code = _loaded.get(key)
            if code is not None:
                codes[key] = code
                continue
            data = cache.get(key)
            if data is None:
                return None
            objects[key] = data
        if objects:
            codes.update(_link(objects))
        return [Kernel(KernelSource("", name=name), key, codes[key], False) for key, name in zip(keys, names, strict=True)]


def prepare_compiler(likely: Sequence[KernelSource], more: Callable[[], Sequence[KernelSource]]) -> None:
    """Starts to compile now what will be asked for soon, while the program is traced; returns at once.

    Args:
        likely: kernels that every program needs. If the cache has the first of them, nothing is started.
        more: others that many programs need; called where the cache is cold.
    """
    cache = get_cache()
    if compile_pool.wanted_workers() and likely[0].key not in cache:
        run = contextvars.copy_context().run  # flags hold in the thread as they do here
        sources = [*likely, *more()]
        threading.Thread(target=run, args=(_compile_ahead, sources, cache), name="graphkeras-ahead", daemon=True).start()


def _compile_ahead(sources, cache):
    # Whatever goes wrong here will be told to whoever needs the kernel.
    with contextlib.suppress(Exception):
        _ahead.extend(load_kernels(sources, cache))


_ahead: list[Kernel] = []


def _compile(missing, cache):
    start = time.perf_counter()
    level = flags.OPT_LEVEL.value
    jobs = [compile_pool.CompileJob(source.body, _symbol(key), source.namespace, level) for key, source in missing.items()]
    objects = dict(zip(missing, compile_pool.pool.compile(jobs), strict=True))
    for key, data in objects.items():
        cache.put(key, data, missing[key].manifest())
    if flags.DEBUG.value >= 1:
        names = ", ".join(source.name for source in missing.values())
        print(f"graphkeras: compiled {len(jobs)} kernels in {time.perf_counter() - start:.2f} s: {names}", file=sys.stderr)
    return objects


def assembly(source: KernelSource) -> str:
    """What the CPU runs for a kernel, as text of the assembler: it is compiled once more, as it was compiled for the cache."""
    job = compile_pool.CompileJob(source.body, _symbol(source.key), source.namespace, flags.OPT_LEVEL.value, assembly=True)
    (text,) = compile_pool.pool.compile([job])
    return text.decode()


def _symbol(key):
    return "gk_" + key


def _register_readable(kernel):
    name, files = kernel.file_name, kernel._code.files
    if name not in files:
        if not files:
            weakref.finalize(kernel._code, _forget_readable, files).atexit = False
        files.add(name)
        text = kernel.source.readable or kernel.source.body
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)


def _forget_readable(files):
    for name in files:
        linecache.cache.pop(name, None)


# Keys


def _key(body, namespace, flag_text):
    parts = [str(ABI_VERSION), toolchain(), flag_text, namespace, body]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@functools.cache
def toolchain() -> str:
    """A text that changes with anything but the source that decides about the object code."""
    from graphkeras.lowering.cpu import target

    return f"{target.fingerprint()} numba {_numba_version()} emitters {_emitters()}"


def _numba_version():
    # Importing Numba takes as long as all the rest of a warm start, and importlib.metadata a third of it.
    spec = importlib.util.find_spec("numba")
    if spec is None or not spec.origin:
        return "none"
    text = (Path(spec.origin).parent / "_version.py").read_text()
    match = re.search(r'"version":\s*"([^"]+)"', text) or re.search(r"version\s*=\s*['\"]([^'\"]+)", text)
    return match.group(1) if match else hashlib.sha256(text.encode()).hexdigest()


def _emitters():
    """Digest of the modules that turn a kernel's source into LLVM code: another version of them makes other kernels."""
    digest = hashlib.sha256()
    for path in emitter_files():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def emitter_files() -> list[Path]:
    """The compiler, the SIMD language and what that imports from its folder."""
    here = Path(__file__).parent
    lowering = here.parent / "lowering" / "cpu"
    found = [here / "compiler.py", here / "atomics.py", lowering / "simd.py"]
    for path in found:  # grows meanwhile
        for module, names in _IMPORT.findall(path.read_text()):
            imported = [module] if module else [name.split()[0] for name in names.split(",")]
            candidates = (lowering / f"{name}.py" for name in imported)
            found += [candidate for candidate in candidates if candidate not in found and candidate.exists()]
    return found


_IMPORT = re.compile(r"^\s*from graphkeras\.lowering\.cpu(?:\.(\w+))? import ([\w, ]+)", re.MULTILINE)


# Linking


@functools.cache
def _llvm():
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm, llvm.Target.from_triple(llvm.get_process_triple())


def _link(objects):
    """Load object code into one library, each object in memory of its own: code reaches its constants relative to itself."""
    llvm, target = _llvm()
    engine = llvm.create_lljit_compiler(target.create_target_machine(jit=True), use_jit_link=True, suppress_errors=True)
    builder = llvm.JITLibraryBuilder().add_current_process()
    for key, data in objects.items():
        builder.add_object_img(data).export_symbol(_symbol(key))
    try:
        library = builder.link(engine, "kernels")
    except RuntimeError as error:
        raise LoadError(
            "object code of kernels cannot be linked.",
            got=str(error),
            expected=", ".join(map(_symbol, objects)),
            where=f"cache folder {get_cache().folder}",
            mend="empty the cache: graphkeras.runtime.cache.clear()",
        ) from error
    codes = {}
    for key, data in objects.items():
        codes[key] = _loaded[key] = _Code(library[_symbol(key)], len(data), (engine, library))
    return codes


def _new_lock_after_fork():
    global _lock
    _lock = threading.RLock()
    _pending.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock_after_fork)
