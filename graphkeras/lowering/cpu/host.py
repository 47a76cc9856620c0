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
from dataclasses import dataclass, field

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.node import Node, Value
from graphkeras.ir.registry import op_def
from graphkeras.lowering.cpu.kernel import Address, BlockAddress, LoweredKernel
from graphkeras.schedule.groups import Group
from graphkeras.schedule.layout import Layout

_SOURCE = """def kernel(args, lo, hi, scratch):
    call_kernel(args[1], args[2], lo, hi, scratch)
"""
_FIRST = 3  # cells of the argument block before the addresses: error slot, entry point, the block itself
_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_MADE_IN_PLACE = ("iota", "dim")


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
        self._in_memory = [o for o in self.operands if o.base.node.op not in _MADE_IN_PLACE]
        self._entry = _ENTRY(self._run)  # must live as long as its address is in use
        self.address = ctypes.cast(self._entry, ctypes.c_void_p).value

    def _run(self, block, lo, hi, scratch):
        outputs = len(self.node.specs)
        count = _FIRST + len(self._in_memory) + outputs + len(self.dims)
        cells = (ctypes.c_int64 * count).from_address(block)
        slot = (ctypes.c_int64 * 8).from_address(cells[0])
        if slot[0]:  # a kernel before this one has failed: the inputs may be anything
            return
        try:
            addresses = iter(cells[_FIRST : count - len(self.dims)])
            known = dict(zip(self.dims, cells[count - len(self.dims) :]))
            self._compute(addresses, known)
        except BaseException as error:  # Ctrl-C included: nothing may pass through native code
            number = next(self._numbers)
            self.raised[number] = error
            slot[0], slot[1], slot[2], slot[3] = 1, block, 0, number

    def _compute(self, addresses, known):
        inputs = [self._input(operand, addresses, known) for operand in self.operands]
        results = op_def(self.node.op).eager(*inputs, **{name: _resolved(v, known) for name, v in self.node.attrs.items()})
        for spec, result in zip(self.node.specs, results if isinstance(results, tuple) else (results,), strict=True):
            _array(next(addresses), spec.dtype, _resolved(spec.shape, known))[...] = result

    def _input(self, operand, addresses, known):
        base, layout = operand.base, operand.layout
        shape = _resolved(tuple(layout.shape), known)
        if base.node.op in _MADE_IN_PLACE:
            made = op_def(base.node.op).eager(**{name: _resolved(v, known) for name, v in base.node.attrs.items()})
            whole = np.ascontiguousarray(made).reshape(-1)
        else:
            whole = _array(next(addresses), base.dtype, _resolved(tuple(base.shape), known)).reshape(-1)
        strides = [whole.itemsize * s for s in _resolved(tuple(layout.strides), known)]
        begin = whole[_resolved(layout.offset, known) :]
        return np.lib.stride_tricks.as_strided(begin, shape, strides, writeable=False)


def _array(address, dtype, shape):
    dtype = numpy_dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0:
        return np.empty(shape, dtype)
    return np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(address), dtype).reshape(shape)


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
