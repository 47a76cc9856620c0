"""How many cores this process may use: its affinity mask and the container's CPU quota."""

import functools
import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def quota(root: Path = _CGROUP, membership: str | None = None) -> float | None:
    """Cores granted by cgroup v2 (`cpu.max`) or v1 (`cpu.cfs_quota_us`), or `None`: the tightest of this group and its parents.

    Args:
        root: Where cgroups are mounted.
        membership: Text of `/proc/self/cgroup`; read from there by default.
    """
    if membership is None:
        try:
            membership = Path("/proc/self/cgroup").read_text()
        except OSError:
            membership = ""
    found = []
    for line in membership.splitlines() + ["0::/", "1:cpu:/"]:  # inside a container the group is often mounted as the root
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers == "":
            folder, read = root, _quota_v2
        elif "cpu" in controllers.split(","):
            folder, read = root / "cpu", _quota_v1
        else:
            continue
        path = folder / group.lstrip("/")
        for parent in [path, *path.parents]:
            if not parent.is_relative_to(folder):
                break
            cores = read(parent)
            if cores is not None:
                found.append(cores)
    return min(found) if found else None


def _quota_v2(folder):
    try:
        limit, period = (folder / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder):
    try:
        limit = int((folder / "cpu.cfs_quota_us").read_text())
        return None if limit <= 0 else limit / int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError, ZeroDivisionError):
        return None


@functools.cache
def _granted() -> int | None:
    cores = quota()
    return None if cores is None else max(1, math.ceil(cores))


def available_cores() -> int:
    """Cores of the affinity mask, or of the CPU quota (rounded up) if that is less; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(affinity, _granted() or affinity)
