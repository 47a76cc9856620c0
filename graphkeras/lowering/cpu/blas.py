"""NumPy's BLAS on one thread, while a program calls it.

A program's own threads have the cores, and the order in which several BLAS threads add would depend on their number.
"""

import contextlib
import ctypes
import functools
import os
import threading

_NAMES = (  # of OpenBLAS, as NumPy's wheels and distributions spell them: (set, get)
    ("scipy_openblas_set_num_threads64_", "scipy_openblas_get_num_threads64_"),
    ("scipy_openblas_set_num_threads", "scipy_openblas_get_num_threads"),
    ("openblas_set_num_threads64_", "openblas_get_num_threads64_"),
    ("openblas_set_num_threads", "openblas_get_num_threads"),
)
_lock = threading.Lock()
_inside = 0
_before = 1


@functools.cache
def _functions():
    """(set, get) of the OpenBLAS that NumPy has loaded, or None where it uses another one."""
    for library in _libraries():
        for names in _NAMES:
            try:
                functions = [getattr(library, name) for name in names]
            except AttributeError:
                continue
            functions[0].argtypes, functions[0].restype = (ctypes.c_int,), None
            functions[1].argtypes, functions[1].restype = (), ctypes.c_int
            return functions
    return None


def _libraries():
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            paths = sorted({line.split(maxsplit=5)[5].strip() for line in maps if "openblas" in line})
    except OSError:  # no Linux
        return
    for path in paths:
        if os.path.exists(path):
            with contextlib.suppress(OSError):
                yield ctypes.CDLL(path)


def threads() -> int | None:
    """Threads that NumPy's BLAS uses now; None where it is not OpenBLAS."""
    functions = _functions()
    return None if functions is None else functions[1]()


@contextlib.contextmanager
def one_thread():
    """A context in which BLAS uses one thread. The number is one for the whole process: the last context to be left restores it."""
    global _inside, _before
    functions = _functions()
    if functions is None:
        yield
        return
    set_threads, get_threads = functions
    with _lock:
        if _inside == 0:
            _before = get_threads()
            if _before != 1:
                set_threads(1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _before != 1:
                set_threads(_before)
