"""The target of kernels: which instructions they may use, and how many lanes their vectors have.

By default it is the widest of `TARGETS` that this CPU has; the flag `GRAPHKERAS_TARGET` asks for another one. It is read once, when
this module is imported, for the width is part of every kernel's text. Reads llvmlite only, so a warm process that loads kernels
from the cache never imports Numba.

    avx512     16 lanes: a register of floats, 32 of them, masked moves of all widths
    avx2       8 lanes: a register of floats, 16 of them, fused multiply-add; what the CPU has beyond that is left alone
    baseline   8 lanes, which LLVM puts together from what every CPU of the architecture has: SSE2 or NEON. SSE2 has neither a
               fused multiply-add nor roundings nor half precision. Kernels mean the same all the same: `fma` is then the C
               library's, one call a lane, which rounds once but makes products seventy times slower; the others are a few
               instructions more.

Two targets of equal width give the same bits. Another architecture with wide vectors (SVE, say) would be one more line of `TARGETS`.
"""

import functools
import hashlib
from typing import NamedTuple

import llvmlite
import llvmlite.binding as llvm

from graphkeras.debug import flags


class Target(NamedTuple):
    """What a target asks of the CPU."""

    lanes: int
    needs: tuple[str, ...]  # features of the CPU, by LLVM's names


TARGETS = {
    # The masked moves of narrow elements need BW and VL besides the foundation.
    "avx512": Target(16, ("avx512f", "avx512bw", "avx512dq", "avx512vl")),
    "avx2": Target(8, ("avx2", "fma", "f16c")),
    "baseline": Target(8, ()),
}
"""Widest first."""

_WIDER = ("avx512", "avx10", "evex512")  # with these begin the names of what `avx2` leaves alone
_X86 = llvm.get_process_triple().startswith("x86_64")


@functools.cache
def host_features():
    """The features of this CPU as a dict from LLVM's names to whether it has them."""
    try:
        return dict(llvm.get_host_cpu_features())
    except RuntimeError:  # LLVM cannot read them on this platform
        return {}


def supported():
    """Names of the targets that this CPU can run, the widest first."""
    return [name for name, target in TARGETS.items() if all(map(host_features().get, target.needs))]


def _chosen():
    able, asked = supported(), flags.TARGET.fix()
    if asked not in ("auto", *able):
        lacks = [feature for feature in TARGETS[asked].needs if not host_features().get(feature)]
        raise flags.FlagError(
            f"{flags.TARGET.variable}: this CPU cannot run kernels made for '{asked}'.\n"
            f"  got:      {llvm.get_host_cpu_name()} without {', '.join(lacks)}\n  expected: {' or '.join(able)}\n"
            f"  where:    environment variable {flags.TARGET.variable}\n  mend:     unset it, or set it to {able[0]}"
        )
    return able[0] if asked == "auto" else asked


NAME = _chosen()
"""The target in force."""

LANES = TARGETS[NAME].lanes
"""Lanes of every vector, whatever its dtype; LLVM splits those wider than a register."""


@functools.cache
def cpu_name():
    """Name of the CPU that kernels are made for, as LLVM knows it, for example `"znver3"`."""
    return "x86-64" if NAME == "baseline" and _X86 else llvm.get_host_cpu_name()


@functools.cache
def features():
    """What LLVM may use besides, or must not though the CPU's name implies it, in LLVM's form: `"+avx2,-avx512f"`."""
    if NAME == "baseline" and _X86:
        return ""
    without = _WIDER if NAME == "avx2" else ()
    used = {name: present and not name.startswith(without) for name, present in host_features().items()}
    return ",".join(f"{'+' if present else '-'}{name}" for name, present in sorted(used.items()))


def has(feature):
    """Whether kernels may use `feature` (LLVM's name for it)."""
    return f"+{feature}" in features().split(",")


HAS_ROUNDINGS = not _X86 or has("sse4.1")
"""Whether floor, ceil, round and trunc are instructions; LLVM would call the C library for them."""

HAS_HALVES = not _X86 or has("f16c")
"""Whether conversions of half precision are instructions."""


@functools.cache
def fingerprint():
    """A short text that differs whenever object code made on one machine, or for one target, may not run or may differ on another."""
    parts = [cpu_name(), features(), str(LANES), llvmlite.__version__, str(llvm.llvm_version_info)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return f"{cpu_name()}-{LANES}-{digest}"
