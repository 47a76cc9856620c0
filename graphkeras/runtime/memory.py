"""Where intermediate arrays lie: one arena per program run, places reused as soon as an array is dead."""

from bisect import insort
from dataclasses import dataclass

import numpy as np

ALIGNMENT = 64


@dataclass(frozen=True)
class Buffer:
    """An intermediate array.

    Args:
        key: what it holds.
        nbytes: its size.
        first, last: steps between which it lives, both included.
        over: key of a buffer that dies at `first` and whose place it may take, element by element.
    """

    key: object
    nbytes: int
    first: int
    last: int
    over: object = None


def rounded(nbytes: int) -> int:
    """Bytes rounded up to whole cache lines."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def plan(buffers) -> tuple[dict, int]:
    """Offsets of buffers in one arena, and its size: best fit, in order of first use.

    >>> plan([Buffer("a", 64, 0, 1), Buffer("b", 64, 1, 2), Buffer("c", 64, 2, 3)])
    ({'a': 0, 'b': 64, 'c': 0}, 128)
    """
    ordered = sorted(buffers, key=lambda b: (b.first, -b.nbytes))
    offsets: dict = {}
    free: list[tuple[int, int]] = []  # (offset, bytes), by offset
    dying: list[tuple[int, int, int, object]] = []  # (last, offset, bytes, key)
    taken_over: set = set()
    top = 0
    for buffer in ordered:
        while dying and dying[0][0] < buffer.first:
            _, offset, nbytes, key = dying.pop(0)
            if key not in taken_over:
                _release(free, offset, nbytes)
        need = rounded(max(buffer.nbytes, 1))
        heir = buffer.over
        if heir is not None and heir in offsets and heir not in taken_over:
            old = next((d for d in dying if d[3] == heir), None)
            if old is not None and old[0] == buffer.first and old[2] == need:
                taken_over.add(heir)
                offsets[buffer.key] = old[1]
                insort(dying, (buffer.last, old[1], need, buffer.key), key=lambda d: d[0])
                continue
        best = min((f for f in free if f[1] >= need), key=lambda f: f[1], default=None)
        if best is None:
            if free and free[-1][0] + free[-1][1] == top:  # the last gap grows
                offset = free.pop()[0]
            else:
                offset = top
            top = offset + need
        else:
            free.remove(best)
            offset = best[0]
            if best[1] > need:
                insort(free, (offset + need, best[1] - need))
        offsets[buffer.key] = offset
        insort(dying, (buffer.last, offset, need, buffer.key), key=lambda d: d[0])
    return offsets, top


def _release(free, offset, nbytes):
    insort(free, (offset, nbytes))
    at = free.index((offset, nbytes))
    if at + 1 < len(free) and free[at][0] + free[at][1] == free[at + 1][0]:
        free[at] = (free[at][0], free[at][1] + free.pop(at + 1)[1])
    if at > 0 and free[at - 1][0] + free[at - 1][1] == free[at][0]:
        free[at - 1] = (free[at - 1][0], free[at - 1][1] + free.pop(at)[1])


def aligned_bytes(nbytes: int) -> np.ndarray:
    """Uninitialised bytes that begin at a cache line."""
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    skip = -raw.ctypes.data % ALIGNMENT
    return raw[skip : skip + nbytes]


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """A C-contiguous copy that begins at a cache line."""
    copy = aligned_bytes(array.nbytes).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
