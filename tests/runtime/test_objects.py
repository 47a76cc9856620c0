import contextvars
import ctypes
import gc
import linecache
import os
import queue
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from graphkeras.debug import flags
from graphkeras.lowering.cpu import gemm
from graphkeras.runtime import compile_pool, native_loop, objects
from graphkeras.runtime.cache import CacheWarning, DiskCache, get_cache
from graphkeras.runtime.errors import CompileError, LoadError
from graphkeras.runtime.objects import KernelSource, load_kernels
from tests.runtime.kernels import SCALE_ADD, source

ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


def constant(value):
    return source(f"def kernel(args, lo, hi, scratch):\n    args[1] = {value} + hi - lo\n", name=f"constant_{value}")


def call(kernel, lo=0, hi=0):
    args = np.zeros(4, np.int64)
    ENTRY(kernel.address)(args.ctypes.data, lo, hi, 0)
    return args[1]


def test_compiles_then_finds_then_shares(tmp_path):
    cache = DiskCache(tmp_path)
    first, second = load_kernels([constant(11), constant(12)], cache)
    assert (call(first, 2, 5), call(second)) == (14, 12)
    assert first.compiled and first.code_size > 0
    (again,) = load_kernels([constant(11)], cache)
    assert again.address == first.address and not again.compiled and cache.stats().hits == 0  # never left memory
    address = first.address
    del first, second, again
    gc.collect()
    (reloaded,) = load_kernels([constant(11)], cache)
    assert cache.stats().hits == 1 and not reloaded.compiled and call(reloaded) == 11, address


def test_names_do_not_enter_the_key_but_the_rest_does():
    body = SCALE_ADD
    key = KernelSource(body, name="a", origins=("layer 'x'",), readable="# x\n" + body).key
    assert key == KernelSource(body, name="b").key
    others = [KernelSource(body + "\n").key, KernelSource(body, namespace="atomics").key]
    with flags.OPT_LEVEL(1):
        others.append(KernelSource(body).key)
    assert len({key, *others}) == 4
    with flags.DEBUG(3):
        assert KernelSource(body).key == key


@pytest.mark.parametrize("part", ["fingerprint", "numba", "emitters", "abi"])
def test_key_follows_toolchain_and_machine(monkeypatch, part):
    key = KernelSource(SCALE_ADD).key
    objects.toolchain.cache_clear()
    if part == "fingerprint":
        monkeypatch.setattr("graphkeras.lowering.cpu.target.fingerprint", lambda: "another CPU")
    elif part == "abi":
        monkeypatch.setattr(objects, "ABI_VERSION", -1)
    else:
        monkeypatch.setattr(objects, {"numba": "_numba_version", "emitters": "_emitters"}[part], lambda: "another")
    try:
        assert KernelSource(SCALE_ADD).key != key
    finally:
        objects.toolchain.cache_clear()


def test_numba_version_is_read_without_importing_numba():
    import numba

    assert objects._numba_version() == numba.__version__


def test_emitters_cover_the_simd_language():
    assert {"compiler.py", "atomics.py", "simd.py", "simd_types.py", "emitter.py"} <= {
        path.name for path in objects.emitter_files()
    }


def test_manifest_tells_names_and_source(tmp_path):
    cache = DiskCache(tmp_path)
    body = constant(31).body
    text = "# layer 'dense_1'\n" + body
    (kernel,) = load_kernels([KernelSource(body, "fill", ("layer 'dense_1'",), text, "atomics")], cache)
    manifest = cache.manifest(kernel.key)
    assert (manifest["name"], manifest["origins"], manifest["readable"], manifest["body"]) == (
        "fill",
        ["layer 'dense_1'"],
        text,
        body,
    )
    assert linecache.getline(kernel.file_name, 1) == "# layer 'dense_1'\n"
    name = kernel.file_name
    del kernel
    gc.collect()
    assert linecache.getline(name, 1) == ""


def test_compile_error_shows_the_source_and_leaves_nothing(tmp_path):
    cache = DiskCache(tmp_path)
    bad = source("def kernel(args, lo, hi, scratch):\n    args[1] = nonsense(lo)\n")
    for workers in (0, 1):
        with flags.COMPILE_WORKERS(workers), pytest.raises(CompileError, match="nonsense") as error:
            load_kernels([constant(41), bad], cache)
        assert "    2      args[1] = nonsense(lo)" in str(error.value)
    assert cache.stats().entries == 0
    assert call(load_kernels([constant(41)], cache)[0]) == 41


def test_call_to_an_unknown_c_function_is_refused_before_it_can_end_the_process(tmp_path):
    power = source("def kernel(args, lo, hi, scratch):\n    args[1] = int(args[2] ** 0.3)\n")
    with pytest.raises(CompileError, match="calls pow"):
        load_kernels([power], DiskCache(tmp_path))


def test_in_process_compilation_gives_the_same_results(tmp_path):
    with flags.COMPILE_WORKERS(0):
        (kernel,) = load_kernels([constant(51)], DiskCache(tmp_path / "here"))
    assert call(kernel, 0, 4) == 55


def test_dead_compiler_process_is_replaced_once(tmp_path):
    pool = compile_pool.CompilePool()
    jobs = [compile_pool.CompileJob(constant(n).body, f"k{n}", "atomics") for n in (61, 62)]
    try:
        with flags.COMPILE_WORKERS(1):
            pool.compile(jobs[:1])
            os.kill(pool._workers[0]._process.pid, 9)
            codes = pool.compile(jobs)
        assert len(codes) == 2 and all(codes)
    finally:
        pool.close()


def test_interrupted_compilation_leaves_no_stale_answers(monkeypatch):
    pool = compile_pool.CompilePool()
    first, second = (compile_pool.CompileJob(constant(n).body, f"symbol_{n}", "atomics") for n in (65, 66))
    receive = compile_pool._Worker.receive

    def interrupted(self):
        monkeypatch.setattr(compile_pool._Worker, "receive", receive)
        raise KeyboardInterrupt

    monkeypatch.setattr(compile_pool._Worker, "receive", interrupted)
    try:
        with flags.COMPILE_WORKERS(1):
            with pytest.raises(KeyboardInterrupt):
                pool.compile([first])
            (code,) = pool.compile([second])
        assert b"symbol_66" in code and b"symbol_65" not in code
    finally:
        pool.close()


def test_a_cold_start_compiles_ahead(tmp_path, monkeypatch):
    started = queue.SimpleQueue()

    def note(self, jobs):
        started.put([job.symbol for job in jobs])
        raise OSError("that is all we want to know")

    monkeypatch.setattr(compile_pool.CompilePool, "compile", note)
    with flags.CACHE(tmp_path / "cold"), flags.COMPILE_WORKERS(2), flags.OPT_LEVEL(1):
        native_loop.prepare_cold_start()
        wanted = [*native_loop.sources(), KernelSource(gemm.source("f32"))]
        assert started.get(timeout=10) == ["gk_" + source.key for source in wanted]  # with the flags that hold here
        get_cache().put(native_loop.leader_source().key, b"code", {})
        native_loop.prepare_cold_start()
        time.sleep(0.1)
        assert started.empty()


def test_no_process_can_be_started(monkeypatch, tmp_path):
    def refuse(self):
        raise OSError("no more processes")

    monkeypatch.setattr(compile_pool._Worker, "__init__", refuse)
    pool = compile_pool.CompilePool()
    (code,) = pool.compile([compile_pool.CompileJob(constant(71).body, "k71", "atomics")])
    assert b"k71" in code


def test_bad_entry_is_compiled_again(tmp_path):
    (kernel,) = load_kernels([constant(81)], DiskCache(tmp_path))
    path = tmp_path / f"{kernel.key}.gko"
    path.write_bytes(path.read_bytes()[:-9])
    del kernel
    gc.collect()
    with pytest.warns(CacheWarning, match="truncated"):
        (kernel,) = load_kernels([constant(81)], DiskCache(tmp_path))
    assert kernel.compiled and call(kernel) == 81
    del kernel
    gc.collect()
    (kernel,) = load_kernels([constant(81)], DiskCache(tmp_path))
    assert not kernel.compiled


def _resident_kilobytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_object_code_without_its_function(tmp_path):
    cache, mine, other = DiskCache(tmp_path), constant(2101), constant(2102)
    load_kernels([mine], cache)
    cache.put(other.key, cache.get(mine.key), other.manifest())
    with pytest.raises(LoadError, match="cannot be linked") as caught:
        load_kernels([other], cache)
    assert other.key in str(caught.value)


def test_tables_are_reached_relative_to_the_code(tmp_path):
    """Large angles look up digits of 2 / pi in a table of the object code."""
    body = """def kernel(args, lo, hi, scratch):
    x = ptr_f32(args[1])
    store_f32(x, 0, sin(load_f32(x, 0)))
"""
    (kernel,) = load_kernels([KernelSource(body)], DiskCache(tmp_path))
    x = np.full(16, 1e30, np.float32)
    ENTRY(kernel.address)(np.array([0, x.ctypes.data], np.int64).ctypes.data, 0, 1, 0)
    np.testing.assert_allclose(x[0], np.sin(np.float64(np.float32(1e30))), rtol=1e-6)


def test_thousand_programs_do_not_grow_memory(tmp_path):
    cache = DiskCache(tmp_path)
    sources = [constant(100 + n) for n in range(4)]
    for _ in range(200):
        load_kernels(sources, cache)
    before = _resident_kilobytes()
    for _ in range(1000):
        kernels = load_kernels(sources, cache)
        assert call(kernels[3]) == 103
        del kernels
    assert _resident_kilobytes() - before < 3000


_WARM = """
import sys
import threading
from graphkeras.runtime.objects import KernelSource, load_kernels
from graphkeras.runtime import native_loop
kernels = load_kernels([KernelSource(sys.argv[1], namespace="atomics")] + native_loop.sources())
print(sum(kernel.compiled for kernel in kernels), "numba" in sys.modules)
"""


def test_warm_process_does_not_import_numba(tmp_path):
    environment = {**os.environ, "GRAPHKERAS_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", _WARM, constant(91).body]
    outputs = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split() for _ in range(2)
    ]
    assert outputs == [["3", "False"], ["0", "False"]]


def test_threads_that_need_the_same_kernel_compile_it_once(tmp_path, monkeypatch):
    jobs, honest = [], compile_pool.CompilePool.compile
    begun = threading.Event()

    def note(pool, asked):
        jobs.extend(asked)
        begun.set()
        time.sleep(0.05)  # the other thread comes meanwhile
        return honest(pool, asked)

    monkeypatch.setattr(compile_pool.CompilePool, "compile", note)
    cache, found = DiskCache(tmp_path), []
    shared, other = constant(91), constant(92)
    first = threading.Thread(target=lambda: found.extend(load_kernels([shared], cache)))
    first.start()
    begun.wait()
    kernels = load_kernels([other, shared], cache)  # does not wait for the first one before it compiles its own
    first.join()
    assert len(jobs) == 2
    assert kernels[1].address == found[0].address and [k.compiled for k in kernels] == [True, False]


def test_a_kernel_that_another_thread_gave_up_is_compiled_here(tmp_path, monkeypatch):
    honest = compile_pool.CompilePool.compile
    begun, leave = threading.Event(), threading.Event()

    def interrupted(pool, asked):
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            leave.wait()
            raise KeyboardInterrupt
        leave.set()
        return honest(pool, asked)

    def load():
        with pytest.raises(KeyboardInterrupt):
            load_kernels([constant(93)], cache)

    monkeypatch.setattr(compile_pool.CompilePool, "compile", interrupted)
    cache = DiskCache(tmp_path)
    thread = threading.Thread(target=load)
    thread.start()
    begun.wait()
    kernels = load_kernels([constant(94), constant(93)], cache)
    thread.join()
    assert len({kernel.address for kernel in kernels}) == 2


def test_two_threads_share_the_workers():
    pool = compile_pool.CompilePool()
    codes = {}

    def work(first):
        jobs = [compile_pool.CompileJob(constant(n).body, f"w{n}", "atomics") for n in range(first, first + 3)]
        codes[first] = pool.compile(jobs)

    try:
        with flags.COMPILE_WORKERS(2):
            threads = [threading.Thread(target=contextvars.copy_context().run, args=(work, first)) for first in (101, 111)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(pool._workers) <= 2 and pool._threads == 0
        for first, made in codes.items():
            assert [f"w{first + i}".encode() in code for i, code in enumerate(made)] == [True] * 3
    finally:
        pool.close()
