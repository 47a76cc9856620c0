"""Programs: a graph, scheduled, lowered, compiled, and run."""

import threading
from collections import OrderedDict

import numpy as np

from graphkeras.debug import flags
from graphkeras.ir.dtypes import itemsize, numpy_dtype
from graphkeras.ir.errors import ArgumentError, DataError
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Value
from graphkeras.lowering.cpu.host import HostSite
from graphkeras.lowering.cpu.kernel import Address, LoweredKernel
from graphkeras.lowering.cpu.lower import lower_group
from graphkeras.runtime import inspection, team
from graphkeras.runtime.call import Call
from graphkeras.runtime.epoch import Epoch, epoch_key
from graphkeras.runtime.frame import Binding, Frame, make_binding
from graphkeras.runtime.memory import aligned_copy
from graphkeras.runtime.native_loop import Status
from graphkeras.runtime.objects import KernelSource, load_kernels
from graphkeras.runtime.sizes import bind_symbols, constraints, evaluated, wrong_dtype
from graphkeras.schedule import schedule

_KEPT_BINDINGS = 32
_KEPT_EPOCHS = 4
_KEPT_EPOCH_BYTES = 64 << 20


class Program:
    """A graph of primitives, ready to run for any sizes.

    Args:
        graph: composites must have been expanded. Variables are read and written in place.
        fuse: False runs every node in a kernel of its own (strict execution): the same bits.

    Attributes:
        graph: as scheduled.
        schedule: groups and refusals.
        lowered: all kernels, in order; `kernels` shows them.

    Example:

    >>> program = Program(graph)                        # doctest: +SKIP
    >>> y, = program(x)                                 # doctest: +SKIP
    """

    def __init__(self, graph: Graph, fuse: bool = True):
        self.fuse = fuse
        self.schedule = schedule(graph, fuse)
        self.graph = self.schedule.graph
        resolve = self.schedule.resolve
        self.lowered: list[LoweredKernel] = [k for group in self.schedule.groups for k in lower_group(group, resolve)]
        self.compiled = load_kernels([_source(kernel) for kernel in self.lowered])
        self.variables = self.graph.variables
        self.written = tuple(dict.fromkeys(n.attrs["variable"] for n in self.graph.effects if n.op == "assign_variable"))
        self._specs = [v.spec for v in self.graph.inputs]
        self._names = self.graph.input_names
        self.dtypes = [numpy_dtype(s.dtype) for s in self._specs]
        self.output_dtypes = [numpy_dtype(v.dtype) for v in self.graph.outputs]
        self.sources, self.constants = self._places(resolve)
        self.in_place = {
            kernel: list(_in_place(kernel, self.sources, resolve)) for kernel in self.lowered if kernel.kind == "pointwise"
        }
        self._constraints = constraints(self.graph)
        self._bindings: OrderedDict[tuple, Binding] = OrderedDict()
        self._calls: dict[tuple, list[Call]] = {}
        self._epochs: OrderedDict[tuple, Epoch] = OrderedDict()
        self._kept_kernels: dict = {}
        self._lock = threading.Lock()
        inspection.show_made(self)

    # ---- where arrays are -------------------------------------------------------------------------------------------

    def _places(self, resolve):
        """Places of arguments, outputs and variables in a call's list of addresses; and constants in memory."""
        sources, constants = {}, {}
        for value in self.graph.inputs:
            sources[value] = len(sources)
        count = len(sources)
        for value in self.graph.outputs:
            base, _ = resolve(value)
            sources[base] = count
            count += 1
        for reference in self.variables:
            sources[reference] = count
            count += 1
        for node in self.graph.nodes:
            if node.op == "read_variable":
                sources[Value(node)] = sources[node.attrs["variable"]]
        for kernel in self.lowered:
            for arg in kernel.args:
                if isinstance(arg, Address) and isinstance(arg.source, Value) and arg.source.node.op == "constant":
                    constants.setdefault(arg.source, aligned_copy(arg.source.node.attrs["value"].array))
        return sources, constants

    def sizes_of(self, shapes) -> dict[str, int]:
        """Symbol -> size for the shapes of the arguments. Raises ShapeError."""
        return bind_symbols(self._specs, shapes, self._names)

    def bind(self, shapes) -> Binding:
        """The program for arguments of these shapes (kept for the next call)."""
        shapes = tuple(map(tuple, shapes))
        binding = self._bindings.get(shapes)
        if binding is None:
            sizes = self.sizes_of(shapes)
            for constraint in self._constraints:
                constraint.check(sizes)
            binding = make_binding(self, sizes)
            with self._lock:
                self._bindings[shapes] = binding
                while len(self._bindings) > _KEPT_BINDINGS:
                    old, _ = self._bindings.popitem(last=False)
                    self._calls.pop(old, None)
        return binding

    # ---- running ----------------------------------------------------------------------------------------------------

    def __call__(self, *arrays, threads: int | None = None) -> list[np.ndarray]:
        """Runs once.

        Args:
            *arrays: one per input of the graph; copied if not C-contiguous.
            threads: how many; by default as set for the process. The result does not depend on it.

        Returns:
            Fresh arrays, one per output.

        Raises:
            ShapeError, DTypeError: arguments do not fit the graph.
            DataError: a kernel found bad data; no variable has changed.
        """
        if flags.watching and inspection.asked():
            return inspection.call(self, arrays, threads)
        try:
            shapes = tuple([a.shape for a in arrays])
            calls = self._calls[shapes]
        except (AttributeError, KeyError, TypeError):  # new shapes, or arguments that are no arrays yet
            arrays = self.checked(arrays)
            shapes = tuple([a.shape for a in arrays])
            self.bind(shapes)
            calls = self._calls.setdefault(shapes, [])
        try:
            call = calls.pop()
        except IndexError:  # all are in use by other threads
            call = Call(self, self.bind(shapes), shapes)
        kept = call.load(arrays)
        if kept is None:
            self.checked(arrays)
        fresh = call.fresh_outputs()
        result = team.run(call.job) if threads is None else team.team_of(threads).run(call.job)
        outputs = call.outputs(fresh)
        calls.append(call)
        if result.status is Status.ERROR:
            raise self.error(call.frame, result.error)
        return outputs

    def python(self, *arrays) -> list[np.ndarray]:
        """Runs once, the source of each kernel un-jitted as plain Python: the same bits, slowly. Debuggers can step through it."""
        return inspection.run_python(self, arrays)

    def checked(self, arrays) -> list[np.ndarray]:
        """The arguments as contiguous arrays. Raises for another number of them, or another dtype."""
        if len(arrays) != len(self._specs):
            raise ArgumentError(
                f"{self.graph.name} takes {len(self._specs)} arguments, not {len(arrays)}.",
                got=f"{len(arrays)} arrays",
                expected=", ".join(f"{n}: {s}" for n, s in zip(self._names, self._specs)),
            )
        checked = []
        for array, dtype, spec, name in zip(arrays, self.dtypes, self._specs, self._names):
            array = np.asarray(array)
            if array.dtype != dtype:
                raise wrong_dtype(spec, array, name)
            checked.append(array if array.flags.c_contiguous else np.ascontiguousarray(array).reshape(array.shape))
        return checked

    def epoch(self, data, *, batch_size: int, drop_remainder: bool = False, collect: bool = False) -> Epoch:
        """The program over a data set in memory, to be run natively, step after step; see `Epoch`.

        Example:

        >>> epoch = program.epoch([x, y], batch_size=32)      # doctest: +SKIP
        >>> epoch.run(index=permutation).steps                # doctest: +SKIP
        """
        data = [np.ascontiguousarray(a) for a in data]
        key = epoch_key(data, batch_size, drop_remainder, collect)
        with self._lock:
            epoch = self._epochs.pop(key, None)
        if epoch is None:
            epoch = Epoch(self, data, batch_size, drop_remainder=drop_remainder, collect=collect)
        else:
            epoch.load(data)
        return epoch

    def keep_kernels(self, kernels) -> None:
        """Kernels that the program's epochs need stay loaded as long as it lives."""
        self._kept_kernels.update((kernel.key, kernel) for kernel in kernels)

    def keep_epoch(self, epoch: Epoch) -> None:
        """Takes back an epoch that is no longer used: the next one over data of this form costs nothing then."""
        key = epoch_key(epoch.data, epoch.batch_size, epoch.drops_remainder, epoch.collects)
        epoch.unload()
        if epoch.nbytes <= _KEPT_EPOCH_BYTES:
            with self._lock:
                self._epochs[key] = epoch
                while len(self._epochs) > _KEPT_EPOCHS:
                    self._epochs.popitem(last=False)

    def error(self, frame: Frame, slot) -> DataError:
        """The error that a kernel reported."""
        code, block, position, value = slot[:4]
        kernel = self.lowered[frame.kernel_of(block)]
        site = kernel.errors[code - 1]
        if isinstance(site, HostSite):
            return site.exception(value)
        sizes = frame.binding.sizes
        low, high = evaluated(site.low, sizes), evaluated(site.high, sizes)
        node = site.node
        return DataError(
            f"{node.op}: {site.what} {value} is out of range.",
            got=f"{value} at flat position {position} of {node.inputs[-1 if node.op == 'check_range' else 1].spec}",
            expected=f"integers in [{low}, {high})",
            where=f"node %{node.id} in kernel {kernel.name}, {node.origin}",
            mend=f"check the data, or the size that gives the limit {high}",
        )

    # ---- looking inside ---------------------------------------------------------------------------------------------

    @property
    def kernels(self) -> list["KernelView"]:
        """All kernels in order, with readable source and cost."""
        return [KernelView(lowered, compiled) for lowered, compiled in zip(self.lowered, self.compiled)]

    def peak_bytes(self, sizes: dict[str, int] | None = None) -> int:
        """Bytes of intermediate arrays at these sizes (arguments, outputs and variables come on top)."""
        return make_binding(self, sizes or {}).arena_bytes

    def describe(self) -> str:
        """A table: one line per kernel."""
        lines = [f"{'kernel':<24} {'kind':<12} {'phase':>5} {'nodes':>5} {'FLOP':>20} {'bytes':>20}  code"]
        for view in self.kernels:
            k, key = view.lowered, view.compiled.key[:8]
            lines.append(f"{k.name:<24} {k.kind:<12} {k.phase:>5} {len(k.group.nodes):>5} {k.flops!s:>20} {k.bytes!s:>20}  {key}")
        lines += [f"refused: {refusal}" for refusal in self.schedule.refusals]
        return "\n".join(lines)

    def __repr__(self):
        return f"<Program {self.graph.name}: {len(self.lowered)} kernels{'' if self.fuse else ', strict'}>"


class KernelView:
    """One kernel, to look at.

    Attributes:
        name, kind: as in the table.
        source: readable source with origins and a comment per node.
        canonical: the source that was compiled.
        cost: (FLOP, bytes), int or Dim.
        origins: where its nodes come from.
    """

    def __init__(self, lowered: LoweredKernel, compiled):
        self.lowered, self.compiled = lowered, compiled
        self.name, self.kind = lowered.name, lowered.kind

    @property
    def source(self) -> str:
        return self.lowered.readable

    @property
    def canonical(self) -> str:
        return self.lowered.body

    def python(self):
        """The kernel un-jitted: a Python function `(args, lo, hi, scratch)` of addresses and a range, for debuggers to step through."""
        return inspection.python_kernel(self.lowered)

    @property
    def cost(self) -> tuple:
        return self.lowered.flops, self.lowered.bytes

    @property
    def origins(self) -> tuple[str, ...]:
        return tuple(str(node.origin) for node in self.lowered.group.nodes)

    def __repr__(self):
        return f"<kernel {self.name}>"


def _source(kernel: LoweredKernel) -> KernelSource:
    origins = tuple(dict.fromkeys(str(node.origin) for node in kernel.group.nodes))
    return KernelSource(kernel.body, name=kernel.name, origins=origins, readable=kernel.readable)


def _in_place(kernel: LoweredKernel, sources, resolve):
    """Pairs (output, operand) that may share memory: the operand is read at each point just before the output is written there."""
    group, space = kernel.group, kernel.group.space
    dense, elsewhere = [], set()
    for read in space.reads():
        if read.layout.is_contiguous and read.layout.size == _size(read.base):
            dense.append(read.base)
        else:
            elsewhere.add(read.base)
    taken = set(elsewhere)
    for value in group.outputs:
        if value in sources:
            continue
        for base in dense:
            fits = itemsize(base.dtype) == itemsize(value.dtype) and _size(base) == _size(value)
            if base not in taken and base not in sources and base.node.op != "constant" and fits:
                taken.add(base)
                yield value, base
                break


def _size(value):
    return value.spec.size
