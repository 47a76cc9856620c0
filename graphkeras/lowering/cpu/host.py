"""Host calls: nodes that run their NumPy meaning, on one thread, from inside a compiled program.

The kernel in the program's table is the same three words of source for every host call: it jumps to the address in its second
cell, with its own argument block. There stands a C entry point that ctypes made for a `HostCall`; ctypes takes the interpreter
lock by itself. The argument block then holds the addresses of inputs and outputs and, behind them, every size that the node
speaks of, so that one entry point serves all sizes and any number of runs at once. Inputs may be strided views: NumPy reads them as
they are.

What a call raises is kept, and its number goes into the error slot; `HostSite.exception` hands the original object out again.
"""

import ctypes
import itertools
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.node import Node, Value
from graphkeras.ir.registry import op_def
from graphkeras.lowering.cpu import blas
from graphkeras.lowering.cpu.kernel import Address, BlockAddress, LoweredKernel
from graphkeras.schedule.groups import Group
from graphkeras.schedule.layout import Layout

_SOURCE = """def kernel(args, lo, hi, scratch):
    call_kernel(args[1], args[2], lo, hi, scratch)
"""
_FIRST = 3  # cells of the argument block before the addresses: error slot, entry point, the block itself
_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_Slot = ctypes.c_int64 * 8
_MADE_IN_PLACE = ("iota", "dim")
_MOST_PLANS = 64


@dataclass(frozen=True)
class HostSite:
    """The error place of a host call: what it raised is found here by the number that its kernel reported."""

    node: Node
    call: "HostCall"

    def exception(self, number: int) -> BaseException:
        """The exception object, once."""
        return self.call.raised.pop(number)


@dataclass(frozen=True)
class _Operand:
    """An input: its array (or the node that makes its numbers) and how the input lies in it."""

    base: Value
    layout: Layout


@dataclass(eq=False)
class HostCall:
    """One node, callable from native code.

    Attributes:
        node: what to run.
        operands: its inputs.
        dims: symbolic sizes, in the order in which their values stand in the argument block.
        raised: exceptions that nobody has fetched yet, by number.
        address: of the entry point.
    """

    node: Node
    operands: tuple[_Operand, ...]
    dims: tuple[Dim, ...]
    raised: dict = field(default_factory=dict)

    def __post_init__(self):
        self._numbers = itertools.count(1)
        self._places = sum(o.base.node.op not in _MADE_IN_PLACE for o in self.operands) + len(self.node.specs)
        self._plans: dict[tuple, _Plan] = {}
        self._cells = ctypes.c_int64 * (_FIRST + self._places + len(self.dims))
        self._entry = _ENTRY(self._run)  # must live as long as its address is in use
        self.address = ctypes.cast(self._entry, ctypes.c_void_p).value

    def _run(self, block, lo, hi, scratch):
        cells = self._cells.from_address(block)
        slot = _Slot.from_address(cells[0])
        if slot[0]:  # a kernel before this one has failed: the inputs may be anything
            return
        try:
            sizes = tuple(cells[_FIRST + self._places :])
            plan = self._plans.get(sizes) or self._plan(sizes)
            addresses = iter(cells[_FIRST : _FIRST + self._places])
            inputs = [a if isinstance(a, np.ndarray) else a.at(next(addresses), False) for a in plan.inputs]
            with blas.one_thread():
                results = op_def(self.node.op).eager(*inputs, **plan.attrs)
            for array, result in zip(plan.outputs, results if isinstance(results, tuple) else (results,), strict=True):
                array.at(next(addresses), True)[...] = result
        except BaseException as error:  # Ctrl-C included: nothing may pass through native code
            number = next(self._numbers)
            self.raised[number] = error
            slot[0], slot[1], slot[2], slot[3] = 1, block, 0, number

    def _plan(self, sizes):
        known = dict(zip(self.dims, sizes))
        inputs = [_planned(operand, known) for operand in self.operands]
        outputs = [_Place.of(spec.dtype, _resolved(tuple(spec.shape), known)) for spec in self.node.specs]
        attrs = {name: _resolved(v, known) for name, v in self.node.attrs.items()}
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        plan = self._plans[sizes] = _Plan(inputs, outputs, attrs)
        return plan


class _Plan(NamedTuple):
    """A call for known sizes: inputs are places in memory, or arrays that no memory of the program holds."""

    inputs: list
    outputs: list
    attrs: dict


class _Place(NamedTuple):
    """Where an array lies, but for its address."""

    dtype: np.dtype
    memory: type  # of the bytes, for ctypes
    shape: tuple
    offset: int = 0
    strides: tuple | None = None

    @classmethod
    def of(cls, dtype, shape) -> "_Place":
        dtype = numpy_dtype(dtype)
        return cls(dtype, ctypes.c_char * (math.prod(shape) * dtype.itemsize), shape)

    def at(self, address, writeable):
        """The array at an address."""
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        array = np.ndarray(self.shape, self.dtype, self.memory.from_address(address), self.offset, self.strides)
        array.flags.writeable = writeable
        return array


def _planned(operand, known):
    base, layout = operand.base, operand.layout
    whole = _Place.of(base.dtype, _resolved(tuple(base.shape), known))
    itemsize = whole.dtype.itemsize
    strides = tuple(itemsize * s for s in _resolved(tuple(layout.strides), known))
    place = whole._replace(
        shape=_resolved(tuple(layout.shape), known), offset=itemsize * _resolved(layout.offset, known), strides=strides
    )
    if base.node.op not in _MADE_IN_PLACE:
        return place
    made = op_def(base.node.op).eager(**{name: _resolved(v, known) for name, v in base.node.attrs.items()})
    array = np.empty(place.shape, place.dtype)
    if array.size:
        array[...] = np.ndarray(place.shape, place.dtype, np.ascontiguousarray(made), place.offset, strides)
    array.flags.writeable = False
    return array


def _resolved(value, known):
    """`value` with the sizes of this run; tuples stay tuples."""
    if isinstance(value, Dim):
        return known[value]
    return tuple(_resolved(v, known) for v in value) if isinstance(value, tuple) else value


def _dims_in(value):
    if isinstance(value, Dim):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _dims_in(part)


def lower_host(group: Group, name: str, resolve) -> list[LoweredKernel]:
    """The one kernel of a node that runs on the host."""
    node = group.nodes[0]
    operands = tuple(_Operand(*resolve(value)) for value in node.inputs)
    mentioned = [tuple(node.attrs.values()), *(tuple(s.shape) for s in node.specs)]
    for o in operands:
        made = tuple(o.base.node.attrs.values()) if o.base.node.op in _MADE_IN_PLACE else ()
        mentioned += [tuple(o.base.shape), tuple(o.layout.shape), tuple(o.layout.strides), (o.layout.offset,), made]
    dims = tuple(dict.fromkeys(d for part in mentioned for d in _dims_in(part)))
    call = HostCall(node, operands, dims)
    kernel = LoweredKernel(
        name, group.kind, _SOURCE, (), 1, group, serial=True, errors=(HostSite(node, call),), flops=group.flops, bytes=group.bytes
    )
    arrays = [Address.of(o.base) for o in operands if o.base.node.op not in _MADE_IN_PLACE]
    kernel.args = (call.address, BlockAddress(kernel), *arrays, *map(Address.of, node.outputs), *dims)
    return [kernel]


__all__ = ["HostCall", "HostSite", "lower_host"]
