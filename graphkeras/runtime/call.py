"""Calls of a program: memory made ready for one set of shapes, and kept from call to call."""

import math

import numpy as np

from graphkeras.runtime.frame import Binding, Frame
from graphkeras.runtime.sizes import evaluated
from graphkeras.trace.variable import aligned_empty

_COPIED_BYTES = 1 << 14
"""An array of at most so many bytes is copied sooner than its address is found out and written into the argument blocks."""

_MANY_STEPS = 1 << 12
"""A loop of so many steps at most is run without the 16 microseconds that it takes to be able to stop it."""


class Call:
    """The memory of one call at a time.

    Small arguments and outputs have places of their own, whose addresses never change; large ones are used where they lie.

    Args:
        program: the program.
        binding: the program for these shapes.
        shapes: shapes of the arguments.
        apart: whether each kernel has a row of its own.

    Attributes:
        job: runs it.
        frame: argument blocks and intermediate arrays.
        loops: whether it holds a loop of many steps, or nobody knows how many: Ctrl-C must be able to end it.
    """

    def __init__(self, program, binding: Binding, shapes, apart: bool = False):
        self.frame = Frame(binding, apart=apart)
        self.job = self.frame.ready((program.compiled, program.constants))
        self.loops = _most_steps(program.lowered, binding.sizes) > _MANY_STEPS
        self._dtypes, self._output_dtypes = program.dtypes, program.output_dtypes
        self._shapes = binding.output_shapes
        self._inputs = [_own_place(shape, dtype) for shape, dtype in zip(shapes, self._dtypes)]
        self._outputs = [_own_place(shape, dtype) for shape, dtype in zip(self._shapes, self._output_dtypes)]
        for place, array in enumerate((*self._inputs, *self._outputs)):
            if array is not None:
                self.frame.place(place, array.ctypes.data)
        self._copies = all(own is not None for own in self._outputs)
        self._written = [reference.variable for reference in program.written]
        self._variables = [reference.variable for reference in program.variables]
        self._addresses: list = [None] * len(self._variables)

    def load(self, arrays) -> list | None:
        """Makes everything ready for these arguments.

        Returns:
            The arrays that must live until the call is over, or None where a dtype is not the program's.
        """
        kept = []
        for place, (array, dtype, own) in enumerate(zip(arrays, self._dtypes, self._inputs)):
            if array.dtype is not dtype and array.dtype != dtype:
                return None
            if own is not None:
                own[...] = array
            else:
                array = np.asarray(array, order="C")
                self.frame.place(place, array.ctypes.data)
                kept.append(array)
        for variable in self._written:
            variable.writable_buffer()
        addresses = [variable.address for variable in self._variables]
        if addresses != self._addresses:
            first = len(self._inputs) + len(self._outputs)
            for number, address in enumerate(addresses):
                self.frame.place(first + number, address)
            self._addresses = addresses
        return kept

    def fresh_outputs(self) -> list[np.ndarray] | None:
        """New arrays that the program will write; None for those that `outputs` copies."""
        if self._copies:
            return None
        made = [
            aligned_empty(shape, dtype) if own is None else None
            for own, shape, dtype in zip(self._outputs, self._shapes, self._output_dtypes)
        ]
        first = len(self._inputs)
        for number, array in enumerate(made):
            if array is not None:
                self.frame.place(first + number, array.ctypes.data)
        return made

    def outputs(self, fresh) -> list[np.ndarray]:
        """What came out, after the run; `fresh` is what `fresh_outputs` gave before it."""
        if fresh is None:
            return [own.copy() for own in self._outputs]
        return [own.copy() if new is None else new for own, new in zip(self._outputs, fresh)]


def _most_steps(kernels, sizes) -> int:
    """How many steps loops in loops take at most, where no loop has an end that only its condition knows."""
    most: dict[int, int] = {}
    for kernel in kernels:
        depth = len(kernel.region)
        most[depth] = max(most.get(depth, 1), evaluated(kernel.steps, sizes))
    return math.prod(most.values())


def _own_place(shape, dtype) -> np.ndarray | None:
    small = np.prod(shape, dtype=np.int64) * dtype.itemsize <= _COPIED_BYTES
    return aligned_empty(shape, dtype) if small else None
