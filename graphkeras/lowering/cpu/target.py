"""The CPU that kernels are made for: its name, its features and the number of vector lanes.

Reads llvmlite only, so a warm process that loads kernels from the cache never imports Numba.
"""

import functools
import hashlib

import llvmlite
import llvmlite.binding as llvm

# The narrow-element masked loads that 16 lanes rely on need BW and VL besides the foundation.
_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")


@functools.cache
def cpu_name():
    """Name of the host CPU as LLVM knows it, for example `"znver3"`."""
    return llvm.get_host_cpu_name()


@functools.cache
def features():
    """The host's features that LLVM may use, as a sorted tuple of names."""
    try:
        found = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot read them on this platform
        return ()
    return tuple(sorted(name for name, present in found.items() if present))


def has(feature):
    """Whether the host CPU has `feature` (LLVM's name for it)."""
    return feature in features()


@functools.cache
def fingerprint():
    """A short text that differs whenever object code made on one machine may not run, or may differ, on another."""
    parts = [cpu_name(), ",".join(features()), str(LANES), llvmlite.__version__, str(llvm.llvm_version_info)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return f"{cpu_name()}-{LANES}-{digest}"


LANES = 16 if all(map(has, _AVX512)) else 8
"""Lanes of every vector, whatever its dtype; LLVM splits those wider than a register."""
