"""Compiles a kernel's source on the spot, or runs it as plain Python, and calls it on NumPy arrays."""

import ctypes

import numpy as np

from graphkeras.lowering.cpu import simd_python
from graphkeras.runtime.objects import KernelSource, load_kernels


def compile_kernel(source):
    """The kernel as a ctypes function (args address, lo, hi, scratch)."""
    (kernel,) = load_kernels([KernelSource(source)])
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(kernel.address)
    function.kernel = kernel  # keeps the code alive
    return function


def python_kernel(source):
    """The same function run un-jitted."""
    names = simd_python.namespace()
    exec(source, names)
    return lambda args, lo, hi, scratch: simd_python.run(names["kernel"], args, lo, hi, scratch)


def arguments(*values):
    """An argument block: error slot first, then addresses of arrays and integers. Returns the block and the slot."""
    slot = np.zeros(8, np.int64)
    words = [v.ctypes.data if isinstance(v, np.ndarray) else v for v in (slot, *values)]
    return np.array(words, np.int64), slot


def call(kernel, lo, hi, *values, scratch=0):
    """Call a kernel on arrays and integers; the error slot is returned."""
    block, slot = arguments(*values)
    kernel(block.ctypes.data, lo, hi, scratch)
    return slot


def elementwise(body, dtype, out=None):
    """Source of a kernel that stores `body`, an expression in x, y, z, for three inputs of `dtype` to one of `out`."""
    return f"""
def kernel(args, lo, hi, scratch):
    px = ptr_{dtype}(args[1]); py = ptr_{dtype}(args[2]); pz = ptr_{dtype}(args[3]); po = ptr_{out or dtype}(args[4])
    for i in range(lo, hi, LANES):
        n = min(LANES, hi - i)
        x = loadn_{dtype}(px, i, n); y = loadn_{dtype}(py, i, n); z = loadn_{dtype}(pz, i, n)
        storen_{out or dtype}(po, i, {body}, n)
"""


def evaluate(kernel, out, *inputs):
    """Run an elementwise kernel over whole arrays (up to three inputs)."""
    result = np.zeros(inputs[0].shape, out)
    padded = [*inputs, *[inputs[0]] * (3 - len(inputs))]
    call(kernel, 0, result.size, *padded, result)
    return result
