"""Programs: a graph, scheduled, lowered, compiled, and run."""

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from graphkeras.debug import flags
from graphkeras.ir.dtypes import dtype_name, numpy_dtype
from graphkeras.ir.errors import ArgumentError, DataError
from graphkeras.ir.graph import Graph
from graphkeras.lowering.cpu.kernel import LoweredKernel
from graphkeras.ops.inference import index_hint
from graphkeras.runtime import inspection, objects, team
from graphkeras.runtime.call import Call
from graphkeras.runtime.epoch import Epoch, epoch_key, native
from graphkeras.runtime.errors import StaleProgramError
from graphkeras.runtime.frame import Binding, Frame, make_binding
from graphkeras.runtime.memory_map import MemoryMap, memory_map
from graphkeras.runtime.native_loop import Status, bundle_source
from graphkeras.runtime.objects import Kernel, KernelSource, load_kernels
from graphkeras.runtime.plan import Plan, make_plan
from graphkeras.runtime.sizes import bind_symbols, evaluated, wrong_dtype
from graphkeras.trace.over_samples import is_over_samples, over_samples

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
        from_cache: whether passes, schedule and lowering were skipped. Whatever looks inside makes up for that, once.

    Example:

    >>> program = Program(graph)                        # doctest: +SKIP
    >>> y, = program(x)                                 # doctest: +SKIP
    """

    def __init__(self, graph: Graph, fuse: bool = True):
        plan = make_plan(graph, fuse)
        self._begin(plan, load_kernels([source_of(kernel) for kernel in plan.kernels]), fuse)
        inspection.show_made(self)

    @classmethod
    def from_plan(cls, plan: Plan, compiled: list[Kernel], fuse: bool, recover: Callable[[], Graph]) -> "Program":
        """A program that was read from the cache.

        Args:
            plan: as read; it has no schedule.
            compiled: its kernels.
            fuse: as it was made.
            recover: gives the graph of primitives, for whoever looks inside.
        """
        program = cls.__new__(cls)
        program._begin(plan, compiled, fuse, recover)
        return program

    def _begin(self, plan, compiled, fuse, recover=None):
        self.fuse, self.compiled, self._recover = fuse, compiled, recover
        self.from_cache = plan.schedule is None
        self.when_bound: Callable[[dict], None] | None = None  # told the first sizes, once
        self._flags = flags.deciding()
        self._kept = []  # memory that bindings point to
        self._take(plan)
        self.name = plan.name
        self.dtypes = [numpy_dtype(s.dtype) for s in plan.input_specs]
        self.output_specs = plan.output_specs
        self.output_dtypes = [numpy_dtype(s.dtype) for s in plan.output_specs]
        self._specs, self._names = plan.input_specs, plan.input_names
        self._bindings: OrderedDict[tuple, Binding] = OrderedDict()
        self._calls: dict[tuple, list[Call]] = {}
        self._epochs: OrderedDict[tuple, Epoch] = OrderedDict()
        self._of_samples: dict[tuple, Program] = {}  # by dtypes of the data
        self._kept_kernels: dict = {}
        self._bundler: Kernel | None = None
        self._lock = threading.Lock()

    def _take(self, plan):
        self.plan = plan
        self.lowered: list[LoweredKernel] = plan.kernels
        self.variables, self.written = plan.variables, plan.written
        self.sources, self.constants, self.in_place = plan.sources, plan.constants, plan.in_place
        self._kept.append(plan.constants)

    def look(self) -> Plan:
        """The plan with everything that there is to see: where it came from the cache, it is made again from the graph.

        Raises:
            StaleProgramError: what is made now is not what the cache held.
        """
        with self._lock:
            if self.plan.schedule is None:
                with flags.under(self._flags):
                    plan = make_plan(self._recover(), self.fuse)
                    keys = [source_of(kernel).key for kernel in plan.kernels]
                if keys != [kernel.key for kernel in self.compiled]:
                    raise StaleProgramError(
                        f"program {self.name} came from the program cache, and its graph now gives other kernels.",
                        got=f"{len(self.compiled)} kernels from the cache",
                        expected=f"the {len(keys)} kernels that the graph gives now",
                        mend="empty the cache (python -m graphkeras cache clear) and report this",
                    )
                self._take(plan)
            return self.plan

    @property
    def bundler(self) -> Kernel:
        """The kernel that runs bundles of kernels."""
        if self._bundler is None:
            (self._bundler,) = load_kernels([bundle_source()])
        return self._bundler

    @property
    def schedule(self):
        return self.look().schedule

    @property
    def graph(self) -> Graph:
        return self.look().schedule.graph

    def sizes_of(self, shapes) -> dict[str, int]:
        """Symbol -> size for the shapes of the arguments. Raises ShapeError."""
        return bind_symbols(self._specs, shapes, self._names)

    def bind(self, shapes) -> Binding:
        """The program for arguments of these shapes (kept for the next call)."""
        shapes = tuple(map(tuple, shapes))
        binding = self._bindings.get(shapes)
        if binding is None:
            sizes = self.sizes_of(shapes)
            if not all(constraint.holds(sizes) for constraint in self.plan.constraints):
                for constraint in self.look().constraints:
                    constraint.check(sizes)
            binding = make_binding(self, sizes)
            with self._lock:
                self._bindings[shapes] = binding
                while len(self._bindings) > _KEPT_BINDINGS:
                    old, _ = self._bindings.popitem(last=False)
                    self._calls.pop(old, None)
                tell, self.when_bound = self.when_bound, None
            if tell is not None:
                tell(sizes)
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
        if call.loops:
            result = team.run_interruptible(call.job, threads=threads)
        else:
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
                f"{self.name} takes {len(self._specs)} arguments, not {len(arrays)}.",
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
        """The program over a data set in memory, to be run natively, step after step; see `Epoch`. Data of other dtypes are cast
        batch by batch.

        Example:

        >>> epoch = program.epoch([x, y], batch_size=32)      # doctest: +SKIP
        >>> epoch.run(index=permutation).steps                # doctest: +SKIP
        """
        data = [native(a) for a in data]
        is_over = is_over_samples(self._specs)
        count = len(self._specs) - is_over  # the last input then says which samples make up a batch
        if len(data) != count:
            raise ArgumentError(f"{self.name} takes {count} arrays, not {len(data)}.", got=f"{len(data)} arrays")
        if not is_over:
            return self._over_samples(data).epoch(data, batch_size=batch_size, drop_remainder=drop_remainder, collect=collect)
        key = epoch_key(data, batch_size, drop_remainder, collect)
        with self._lock:
            epoch = self._epochs.pop(key, None)
        if epoch is None:
            epoch = Epoch(self, data, batch_size, drop_remainder=drop_remainder, collect=collect)
        else:
            epoch.load(data)
        return epoch

    def _over_samples(self, data) -> "Program":
        """The same program over data sets of these dtypes."""
        dtypes = tuple(dtype_name(a.dtype) for a in data)
        with self._lock:
            found = self._of_samples.get(dtypes)
        if found is None:
            found = Program(over_samples(self.graph, dtypes), self.fuse)
            with self._lock:
                self._of_samples[dtypes] = found
        return found

    def keep_kernels(self, kernels) -> None:
        """Kernels that the program's epochs need stay loaded as long as it lives."""
        self._kept_kernels.update((kernel.key, kernel) for kernel in kernels)

    def keep_epoch(self, epoch: Epoch) -> None:
        """Takes back an epoch that is no longer used: the next one over data of this form costs nothing then."""
        if epoch.program is not self:
            epoch.program.keep_epoch(epoch)
            return
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
        from graphkeras.lowering.cpu.host import HostSite

        try:
            self.look()
        except StaleProgramError:
            return DataError(
                f"{self.name}: a value is out of range.",
                got=f"{value} at flat position {position}",
                expected="values in the range that the step takes",
                where="what made the program has been changed since, so its node cannot be named",
                mend="check the data" + index_hint(value),
            )
        kernel = self.plan.kernels[frame.kernel_of(block)]
        site = kernel.errors[code - 1]
        if isinstance(site, HostSite):
            return site.exception(value)
        sizes = frame.binding.sizes
        low, high = evaluated(site.low, sizes), evaluated(site.high, sizes)
        node = site.node
        is_check = node.op == "check_range"
        spec = node.inputs[-1 if is_check else 1].spec
        if spec.dtype == "uint64":  # slots hold int64
            value %= 1 << 64
        return DataError(
            f"{site.what if is_check else f'{node.op}: {site.what}'} {value} is out of range.",
            got=f"{value} at flat position {position} of {spec}",
            expected=f"integers in [{low}, {high})",
            where=f"node %{node.id} in kernel {kernel.name}, {node.origin}",
            mend=f"check the data, or the size that gives the limit {high}" + index_hint(value),
        )

    # ---- looking inside ---------------------------------------------------------------------------------------------

    @property
    def kernels(self) -> list["KernelView"]:
        """All kernels in order, with readable source and cost."""
        return [KernelView(lowered, compiled) for lowered, compiled in zip(self.look().kernels, self.compiled)]

    def peak_bytes(self, sizes: dict[str, int] | None = None) -> int:
        """Bytes of intermediate arrays at these sizes (arguments, outputs and variables come on top)."""
        return make_binding(self, sizes or {}).arena_bytes

    def memory_map(self, *arrays, sizes: dict[str, int] | None = None) -> MemoryMap:
        """Where intermediate arrays lie in the arena, and from which group to which they live.

        Args:
            *arrays: arguments (or anything with a shape) whose sizes are meant; or
            sizes: symbol -> size.
        """
        self.look()
        return memory_map(self, self.sizes_of([np.shape(a) for a in arrays]) if arrays else sizes or {})

    def describe(self) -> str:
        """A table: one line per kernel."""
        lines = [f"{'kernel':<24} {'kind':<12} {'phase':>5} {'nodes':>5} {'FLOP':>20} {'bytes':>20}  code"]
        for view in self.kernels:
            k, key = view.lowered, view.compiled.key[:8]
            bundle = f"  bundle {k.bundle}" if k.bundle else ""
            lines.append(f"{k.name:<24} {k.kind:<12} {k.phase:>5} {len(k.group.nodes):>5} {k.flops!s:>20} {k.bytes!s:>20}  {key}{bundle}")
        lines += [f"refused: {refusal}" for refusal in self.schedule.refusals]
        return "\n".join(lines)

    def __repr__(self):
        return f"<Program {self.name}: {len(self.lowered)} kernels{'' if self.fuse else ', strict'}>"


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

    def assembly(self) -> str:
        """The instructions of the kernel as text of the assembler, for this machine's CPU. It is compiled again for this."""
        return objects.assembly(source_of(self.lowered))

    @property
    def cost(self) -> tuple:
        return self.lowered.flops, self.lowered.bytes

    @property
    def origins(self) -> tuple[str, ...]:
        return tuple(str(node.origin) for node in self.lowered.group.nodes)

    def __repr__(self):
        return f"<kernel {self.name}>"


def source_of(kernel: LoweredKernel) -> KernelSource:
    """What a lowered kernel is compiled from."""
    origins = tuple(dict.fromkeys(str(node.origin) for node in kernel.group.nodes))
    return KernelSource(kernel.body, name=kernel.name, origins=origins, readable=kernel.readable)
