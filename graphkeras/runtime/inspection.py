"""Slower ways of running a program, to look inside: kernel by kernel, un-jitted, compared with NumPy, timed, or watched for NaN.

The flags VALIDATE, CHECK_NAN and DEBUG (2 and 4) and DUMP come here; so does `Program.python`.
"""

import ctypes
import itertools
import os
import re
import sys
import time

import numpy as np

from graphkeras.debug import flags
from graphkeras.ir.dtypes import is_float, is_integer, numpy_dtype
from graphkeras.ir.errors import DataError
from graphkeras.ir.node import Node, Value
from graphkeras.lowering.cpu.kernel import Address
from graphkeras.runtime import team
from graphkeras.runtime.call import Call
from graphkeras.runtime.errors import KernelMismatchError, NotFiniteError
from graphkeras.runtime.frame import number
from graphkeras.runtime.interpreter import interpret, run_node
from graphkeras.runtime.memory import aligned_bytes
from graphkeras.runtime.native_loop import Status
from graphkeras.runtime.sizes import evaluated

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_UNITS = {"float16": 64 * 2.0**-10, "bfloat16": 64 * 2.0**-7, "float32": 4096 * 2.0**-23, "float64": 4096 * 2.0**-52}
"""Differences between kernels and NumPy that are rounding, relative to the largest number of a group."""
_dump_numbers = itertools.count()


def asked() -> bool:
    """Whether a flag asks for another way of running than the quick one."""
    return bool(flags.VALIDATE or flags.CHECK_NAN or flags.DEBUG.value >= 2)


# ---- when a program is made -----------------------------------------------------------------------------------------


def show_made(program) -> None:
    """Source and schedule, as DEBUG and DUMP ask."""
    asked()  # reads the environment, so that `flags.watching` is true from now on where a flag is set there
    if flags.DEBUG.value >= 3:
        print(f"graphkeras: program {program.name}\n{program.describe()}", file=sys.stderr)
    if flags.DEBUG.value >= 4:
        for view in program.kernels:
            print(view.source, file=sys.stderr)
    folder = flags.DUMP.value
    if folder:
        os.makedirs(folder, exist_ok=True)
        title = re.sub(r"[^A-Za-z0-9_]+", "_", program.name)[:80]
        path = os.path.join(folder, f"program_{next(_dump_numbers):04d}_{title}.py")
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(f"# {line}\n" for line in program.describe().splitlines())
            file.writelines(f"\n\n{view.source}" for view in program.kernels)


# ---- one call -------------------------------------------------------------------------------------------------------


def call(program, arrays, threads=None) -> list[np.ndarray]:
    """`program(*arrays)` in the way that the flags ask for; the results are the same bits."""
    arrays = program.checked(arrays)
    program.look()
    before = {v: v.variable.numpy() for v in program.variables} if flags.CHECK_NAN else {}
    if flags.VALIDATE:
        outputs = walk(program, arrays, _compiled, _Comparison(program, arrays))
    else:
        outputs = _timed(program, arrays, threads)
    if flags.CHECK_NAN:
        _check_finite(program, arrays, outputs, before)
    return outputs


def run_python(program, arrays) -> list[np.ndarray]:
    """Runs the source of each kernel un-jitted, one after the other, on one thread: the same bits, slowly."""
    program.look()
    return walk(program, program.checked(arrays), python_kernel)


def python_kernel(lowered, _=None):
    """The kernel's source as a Python function `(args address, lo, hi, scratch address)` that a debugger can step through."""
    import linecache

    from graphkeras.lowering.cpu import simd_python

    text = lowered.readable
    name = f"<graphkeras un-jitted kernel {' '.join(lowered.name.split())} {id(lowered):x}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    names = simd_python.namespace()
    exec(compile(text, name, "exec"), names)

    def kernel(args, lo, hi, scratch=0):
        simd_python.run(names["kernel"], args, lo, hi, scratch)

    return kernel


def _compiled(_, compiled):
    return _ENTRY(compiled.address)


def walk(program, arrays, kernel_function, look=None) -> list[np.ndarray]:
    """Runs the rows of a program from Python.

    Args:
        program: its schedule is known.
        arrays: checked arguments.
        kernel_function: gives, for a lowered and a compiled kernel, what is called with the address of its argument block, its range
            and the address of scratch.
        look: called with each group that has run and `memory`; `memory(source)` is an array of what an address holds.
    """
    shapes = tuple(a.shape for a in arrays)
    binding = program.bind(shapes)
    ready = Call(program, binding, shapes)
    kept = ready.load(arrays)
    fresh = ready.fresh_outputs()
    frame, sizes = ready.frame, binding.sizes
    frame.error[:] = 0
    scratch = aligned_bytes(binding.scratch_bytes + 64)
    base = frame.cells.ctypes.data
    places = {}
    for i, kernel in enumerate(program.lowered):
        for cell, arg in enumerate(kernel.args, binding.starts[i] + 1):
            if isinstance(arg, Address):
                places[arg.source] = int(frame.cells[cell]) - evaluated(arg.offset, sizes) * arg.itemsize

    def memory(source):
        spec = source.spec
        shape = tuple(evaluated(d, sizes) for d in spec.shape)
        raw = np.zeros(int(np.prod(shape, dtype=np.int64)) * numpy_dtype(spec.dtype).itemsize, np.uint8)
        if raw.size:
            ctypes.memmove(raw.ctypes.data, places[source], raw.size)
        return raw.view(numpy_dtype(spec.dtype)).reshape(shape)

    owners = _owners(program)
    rows = [i for i, kernel in enumerate(program.lowered) if not kernel.called]
    place = 0
    while place < len(rows):
        i = rows[place]
        kernel = program.lowered[i]
        if kernel.phase == 2 and frame.error[0]:
            break
        run = kernel_function(kernel, program.compiled[i])
        run(base + 8 * binding.starts[i], 0, number(kernel.units, sizes), scratch.ctypes.data)
        place += int(frame.cells[binding.starts[i] + 1]) if kernel.jumps else 1
        is_last = place >= len(rows) or owners[rows[place]] is not owners[i]
        if look is not None and is_last and not frame.error[0]:
            look(owners[i], memory)
    if frame.error[0]:
        raise program.error(frame, tuple(frame.error.tolist()))
    del kept
    return ready.outputs(fresh)


def _owners(program):
    """The group of the outermost graph that each row's kernel belongs to: for those of a loop or branch, that of its node."""
    outermost = set(map(id, program.schedule.groups))
    owners = []
    for kernel in program.lowered:
        owners.append(kernel.group if id(kernel.group) in outermost or not owners else owners[-1])
    return owners


class _Comparison:
    """Compares what each group stored with what NumPy makes of the same operands."""

    def __init__(self, program, arrays):
        self.program = program
        self.sizes = program.bind(tuple(a.shape for a in arrays)).sizes
        self.known: dict[Value, np.ndarray] = dict(zip(program.graph.inputs, arrays))
        self.state = {reference: reference.variable.numpy() for reference in program.variables}

    def value(self, value: Value) -> np.ndarray:
        if value not in self.known:
            self._run(value.node)
        return self.known[value]

    def _run(self, node: Node):
        if node.op == "read_variable":
            results = (self.state[node.attrs["variable"]],)
        else:
            results = run_node(node, [self.value(v) for v in node.inputs], self.sizes)
        self.known.update((Value(node, i), array) for i, array in enumerate(results))

    def __call__(self, group, memory):
        for node in group.nodes:
            self._run(node)
        involved = [self.known[v] for node in group.nodes for v in (*node.inputs, *node.outputs) if v in self.known]
        floats = [np.abs(a[np.isfinite(a)].astype(np.float64)).max(initial=0) for a in involved if is_float(_name(a))]
        for value in group.outputs:
            actual = memory(value)
            self._compare(group, value, self.known[value], actual, max(floats, default=0.0))
            self.known[value] = actual
        for value, (whole, place) in group.placed.items():
            actual = _part(memory(whole), place, self.sizes)
            self._compare(group, value, self.known[value], actual, max(floats, default=0.0))
            self.known[value] = actual
        for node in group.writes:
            self._compare(group, Value(node), self.known[Value(node)], memory(node.attrs["variable"]), max(floats, default=0.0))

    def _compare(self, group, value, wanted, actual, scale):
        name = value.dtype
        if is_float(name):
            a, b = wanted.astype(np.float64), actual.astype(np.float64)
            with np.errstate(all="ignore"):
                near = (np.isnan(a) & np.isnan(b)) | (a == b) | (np.abs(a - b) <= _UNITS[name] * max(scale, 1e-30))
        else:
            near = wanted == actual
        if np.all(near):
            return
        at = tuple(map(int, np.unravel_index(int(np.argmin(near)), near.shape)))
        count = int(near.size - np.count_nonzero(near))
        raise KernelMismatchError(
            f"kernel of {value.node.op} differs from NumPy in {count} of {near.size} elements.",
            got=f"{actual[at]!r} at {at} of {value.spec}",
            expected=f"{wanted[at]!r}",
            where=f"{group!r}, {value.node.origin}",
            mend="step through its source: program.kernels[i].python()",
        )


def _part(whole: np.ndarray, place, sizes) -> np.ndarray:
    """The elements of an array that a layout names."""
    shape = tuple(evaluated(d, sizes) for d in place.shape)
    strides = tuple(evaluated(s, sizes) * whole.itemsize for s in place.strides)
    return np.lib.stride_tricks.as_strided(whole.reshape(-1)[evaluated(place.offset, sizes) :], shape, strides)


def _name(array) -> str:
    return array.dtype.name


# ---- times ----------------------------------------------------------------------------------------------------------


def _timed(program, arrays, threads):
    shapes = tuple(a.shape for a in arrays)
    shows_times = flags.DEBUG.value >= 2
    ready = Call(program, program.bind(shapes), shapes, apart=shows_times)
    kept = ready.load(arrays)
    fresh = ready.fresh_outputs()
    ready.job.profile = shows_times
    start = time.perf_counter()
    result = team.run(ready.job) if threads is None else team.team_of(threads).run(ready.job)
    seconds = time.perf_counter() - start
    del kept
    if result.status is Status.ERROR:
        raise program.error(ready.frame, result.error)
    if shows_times:
        _show_times(program, ready.job, seconds, ready.frame.binding.sizes)
    return ready.outputs(fresh)


def _show_times(program, job, seconds, sizes):
    """One line per row of a job that was profiled, with its share of the time."""
    rows = [kernel for kernel in program.lowered if not kernel.called]
    cycles = job.table[:, 7].tolist()
    total = max(1, sum(cycles))
    print(f"graphkeras: program {program.name}: {seconds * 1e6:.1f} us", file=sys.stderr)
    for kernel, spent in zip(rows, cycles, strict=True):
        text = f"  {kernel.name:<28} {seconds * 1e6 * spent / total:>10.1f} us {number(kernel.bytes, sizes):>12} bytes"
        print(text, file=sys.stderr)


# ---- NaN ------------------------------------------------------------------------------------------------------------


def _finite(array) -> bool:
    return array.dtype == bool or is_integer(array.dtype.name) or bool(np.isfinite(array.astype(np.float64)).all())


def _check_finite(program, arrays, outputs, before):
    written = [reference.variable.numpy() for reference in program.written]
    if all(map(_finite, (*outputs, *written))):
        return
    for reference in program.written:
        reference.variable.assign(before[reference])

    def watch(node, results):
        if all(map(_finite, results)) or not all(map(_finite, seen.get(node.id, ()))):
            return
        bad = next(r for r in results if not _finite(r))
        raise NotFiniteError(
            f"{node.op} made NaN or infinity of finite numbers.",
            got=f"{int(np.count_nonzero(~np.isfinite(bad.astype(np.float64))))} of {bad.size} elements of {node.specs[0]}",
            expected="finite numbers",
            where=f"node %{node.id}, {node.origin}",
            mend="look at the operands of this node; no variable has changed",
        )

    seen: dict[int, list] = {}
    known: dict[Value, np.ndarray] = dict(zip(program.graph.inputs, arrays))

    def remember(node, results):
        seen[node.id] = [known[v] for v in node.inputs]
        known.update((Value(node, i), r) for i, r in enumerate(results))
        watch(node, results)

    try:
        interpret(program.graph, arrays, remember)
    finally:
        for reference in program.written:
            reference.variable.assign(before[reference])
    # It came in with the data, or only the kernels make it: then the results stand.
    for reference, value in zip(program.written, written):
        reference.variable.assign(value)


# ---- epochs ---------------------------------------------------------------------------------------------------------


def run_steps(epoch, first: int, steps: int, collected) -> tuple[int, bool, list[np.ndarray]]:
    """Steps of an epoch, each a call of its own.

    Returns:
        Steps done, whether `epoch.stop` ended them, and the outputs of the last one.
    """
    program, order, outputs = epoch.program, epoch.order, []
    for done in range(steps):
        epoch.watched_progress = done
        if epoch.stopping:
            return done, True, outputs
        begin = (first + done) * epoch.batch_size
        rows = slice(begin, min(begin + epoch.batch_size, epoch.samples))
        places = np.arange(rows.start, rows.stop) if order is None else order[rows]
        try:
            outputs = call(program, [*epoch.data, places])
        except DataError as error:
            error.add_note(f"in step {first + done} of the epoch; the steps before it stand")
            raise
        for whole, part in zip(collected, outputs):
            whole[rows] = part
    epoch.watched_progress = steps
    return steps, False, outputs


__all__ = ["asked", "call", "python_kernel", "run_python", "run_steps", "show_made", "walk"]
