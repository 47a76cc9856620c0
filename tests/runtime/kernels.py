"""Small kernels and tables for the tests of the runtime."""

import numpy as np

from graphkeras.runtime.objects import KernelSource
from graphkeras.runtime.team import Row, make_table

SCALE_ADD = """
def kernel(args, lo, hi, scratch):
    y = ptr_i64(args[1])
    for i in range(lo, hi):
        y[i] = y[i] * 3 + i + args[2]
"""

REVERSE = """
def kernel(args, lo, hi, scratch):
    x = ptr_i64(args[1])
    y = ptr_i64(args[2])
    for i in range(lo, hi):
        y[i] = x[args[3] - 1 - i] + 1
"""

LOG_OFFSET = """
def kernel(args, lo, hi, scratch):
    offset = ptr_i64(args[1])
    log = ptr_i64(args[2])
    log[0] += 1
    log[log[0]] = offset[0]
    if log[0] == args[3]:
        error = ptr_i64(args[0])
        error[0] = 7
        error[2] = offset[0]
"""

COMMIT = """
def kernel(args, lo, hi, scratch):
    state = ptr_i64(args[1])
    state[0] += 1
"""

WORK = """
def kernel(args, lo, hi, scratch):
    y = ptr_i64(args[1])
    for i in range(lo, hi):
        value = y[i]
        for j in range(args[2]):
            value = (value * value + i) // 7
        y[i] = value
"""

SCRATCH = """
def kernel(args, lo, hi, scratch):
    own = ptr_i64(scratch)
    y = ptr_i64(args[1])
    for i in range(lo, hi):
        own[0] = i
        for j in range(100):
            own[0] += j
        y[i] = own[0] + scratch % 64
"""


def source(body, name="kernel"):
    return KernelSource(body, name=name, namespace="atomics")


class Block:
    """An argument block with an error slot: `cells[0]` is the slot's address."""

    def __init__(self, error, *values):
        self.arrays = [value for value in values if isinstance(value, np.ndarray)]
        self.cells = np.array(
            [error.ctypes.data] + [value.ctypes.data if isinstance(value, np.ndarray) else value for value in values], np.int64
        )

    @property
    def address(self):
        return self.cells.ctypes.data


def table(*rows):
    return make_table([Row(*row) for row in rows])
