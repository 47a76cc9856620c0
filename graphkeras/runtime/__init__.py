"""Running programs: kernel cache and loading of object code, the native loop, the thread team, memory and the executor.

A process that finds its kernels in the cache imports llvmlite's loader only, never Numba.
"""
