"""The program cache: a fresh process that traces a graph that was compiled before skips passes, schedule, lowering and code generation.

The key is a hash of the traced graph itself (every node, attribute, constant, size, dtype, and the order of everything) and of all
that turns a graph into a program: the sources of this package, its settings and flags, the CPU, the versions of NumPy and of the
toolchain. What made the graph - layers, functions of the user, closures, globals, hyper-parameters - is not in the key because
it has no other way to act than through the graph. So a change of any of it that matters changes the key, and one that does not
matter (a name, a line number) still finds the entry.

The value is the program's table without names and origins (`plan_codec`), and the keys of its kernels in the kernel cache.
Whoever looks inside a program that came from here, or makes it fail, has passes and lowering run on the traced graph at hand, so
that lines and names are always those of the running process.

Steps of models that are made of this package alone have a key of their own, which needs no trace (`training.step_cache`); their
graph is traced when somebody looks inside.
"""

import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from graphkeras.debug import flags
from graphkeras.ir.dims import Dim
from graphkeras.ir.graph import Graph, reachable
from graphkeras.ir.node import ConstantArray, VariableRef
from graphkeras.ir.registry import op_def
from graphkeras.ir.spec import TensorSpec
from graphkeras.runtime import objects
from graphkeras.runtime.cache import get_cache
from graphkeras.runtime.errors import StaleProgramError

FORMAT = 2
_PACKAGE = Path(__file__).parent.parent
_DECIDING = ("ir", "trace", "ops", "autodiff", "passes", "schedule", "lowering", "runtime")
"""Folders whose sources decide what a traced graph becomes."""
_TRUSTED = ("graphkeras", "numpy", "operator", "functools")
_RECORD_FUNCTIONS = ("infer", "eager", "vjp", "body", "expand", "cost")


class Compiled:
    """A traced graph and the program it became.

    Args:
        traced: the graph as traced; None where the program was found without one.
        fuse: whether nodes are fused.
        trace: gives that graph where there is none yet.
        digest: what `graph_digest` must then give.

    Attributes:
        program: runs it.
        source: "compiled", "program cache", or "program cache, without a trace".
        reason: why it could not come from the program cache, or be kept there; empty where nothing hindered that.
        traced_for: why it had to be traced, where a step of a model was looked up first.
        key: its key, once the program cache has it.
    """

    def __init__(self, traced: Graph | None, fuse: bool, *, trace: Callable[[], Graph] | None = None, digest: str = ""):
        self.fuse = fuse
        self.program: Any = None
        self.source, self.reason, self.traced_for, self.key = "compiled", "", "", ""
        self._traced, self._trace, self._digest = traced, trace, digest
        self._passed: tuple | None = None
        self._flags = flags.deciding()
        self._waiting: list[Callable[[str], None]] = []

    @property
    def traced(self) -> Graph:
        """The graph as traced.

        Raises:
            StaleProgramError: what made it has been changed since, in a way that gives another graph.
        """
        if self._traced is None:
            traced = self._trace()
            if graph_digest(traced) != self._digest:
                raise StaleProgramError(
                    f"program {traced.name} was found without a trace, and a trace now gives another graph.",
                    got=f"{len(traced.nodes)} nodes",
                    expected="the graph that the program was made of",
                    mend="look inside before you change layers, optimizer or settings; or set GRAPHKERAS_PROGRAM_CACHE=0",
                )
            self._traced = traced
        return self._traced

    def when_kept(self, tell: Callable[[str], None]) -> None:
        """Calls `tell(key)` once the program cache has the program: now, or later."""
        if self.key:
            tell(self.key)
        else:
            self._waiting.append(tell)

    def kept(self, key: str) -> None:
        """Says that the program cache has the program."""
        self.key = key
        waiting, self._waiting = self._waiting, []
        for tell in waiting:
            tell(key)

    @property
    def graph(self) -> Graph:
        """The graph after all passes."""
        return self._after_passes()[0]

    @property
    def reports(self) -> list:
        """What the passes did."""
        return self._after_passes()[1]

    def report(self) -> str:
        """Text: where the program came from, what each pass did and took, which fusions were declined and why."""
        program = self.program
        lines = [f"program {program.name}: {len(program.lowered)} kernels, {'fused' if self.fuse else 'strict'}, {self.source}"]
        lines += [f"  not in the program cache: {self.reason}"] if self.reason else []
        lines += [f"  traced, because {self.traced_for}"] if self.traced_for else []
        if self.source != "compiled":
            skipped = "passes and lowering were" if self._trace is None else "tracing, passes and lowering were"
            lines.append(f"  {skipped} skipped; they have been run again for this report")
        lines.append(f"  {len(self.traced.nodes)} nodes traced, {len(self.graph.nodes)} after the passes")
        lines += [f"    {report}" for report in self.reports]
        found = sum(not kernel.compiled for kernel in program.compiled)
        lines.append(f"  kernels: {found} found in the cache, {len(program.compiled) - found} compiled")
        lines += [f"  refused: {refusal}" for refusal in program.schedule.refusals]
        return "\n".join(lines)

    def _after_passes(self):
        if self._passed is None:
            from graphkeras.passes import pipeline

            with flags.under(self._flags):
                self._passed = pipeline.run(self.traced)
        return self._passed


class NoKey(Exception):
    """A graph holds something that has no canonical text; the message says what."""


def compiled(traced: Graph, *, fuse: bool = True) -> Compiled:
    """The program of a traced graph: from the cache, or made by passes, schedule and lowering and then kept."""
    from graphkeras.runtime.program import Program

    result = Compiled(traced, fuse)
    key = None
    result.reason = why_not()
    if not result.reason:
        try:
            key = key_of(traced, fuse)
        except NoKey as error:
            result.reason = str(error)
    if key is not None and _find(key, result, traced.variables):
        result.source = "program cache"
        _say(result)
        return result
    result.program = Program(result.graph, fuse)
    if key is not None:
        result.program.when_bound = lambda sizes: _keep(key, result, sizes)
    return result


def found(key: str, variables, fuse: bool, trace: Callable[[], Graph], digest: str) -> Compiled | None:
    """The program of a graph that has not been traced, or None where the cache does not have all of it.

    Args:
        key: as `key_of` the graph.
        variables: references to its variables, in its order.
        fuse: whether nodes are fused.
        trace: traces it, for those who look inside.
        digest: its `graph_digest`.
    """
    result = Compiled(None, fuse, trace=trace, digest=digest)
    if not _find(key, result, variables):
        return None
    result.source = "program cache, without a trace"
    _say(result)
    return result


def _say(result):
    if flags.DEBUG.value >= 1 and result.source != "compiled":
        print(f"graphkeras: program {result.program.name} came from the {result.source}", file=sys.stderr)


def why_not() -> str:
    """Why programs are not looked up at all under the flags now in force."""
    if flags.CACHE.value == "off":
        return "the flag CACHE is off"
    if not flags.PROGRAM_CACHE.value:
        return "the flag PROGRAM_CACHE is off"
    for flag in (flags.VERIFY, flags.DUMP, flags.VALIDATE, flags.CHECK_NAN):
        if flag.value:
            return f"the flag {flag.name} looks at how the program is made"
    if flags.DEBUG.value >= 2:
        return "the flag DEBUG looks at how the program is made"
    if flags.REWRITE_LIMIT.value >= 0:
        return "the flag REWRITE_LIMIT cuts the passes short"
    return ""


def _find(key, result, variables) -> bool:
    """Puts the program into the result, if the cache has it and all its kernels."""
    from graphkeras.runtime.plan_codec import Malformed, decode
    from graphkeras.runtime.program import Program

    cache = get_cache()
    data = cache.get(key, kind="program")
    if data is None:
        return False
    try:
        plan, keys = decode(data, variables)
    except Malformed as error:
        cache.reject(key, "program", f"is malformed ({error})")
        return False
    kernels = objects.find_kernels(keys, [kernel.name for kernel in plan.kernels], cache)
    if kernels is None:  # some were dropped
        return False
    result.program = Program.from_plan(plan, kernels, result.fuse, lambda: result.graph)
    result.kept(key)
    return True


def _keep(key, result, sizes):
    from graphkeras.runtime.plan_codec import NotStorable, encode

    program = result.program
    if not sources_stand():
        result.reason = "the sources have changed since this process started"
        return
    try:
        data = encode(program.plan, [kernel.key for kernel in program.compiled], result.traced.variables, sizes)
    except NotStorable as error:
        result.reason = str(error)
    except Exception as error:  # a fault here costs the next start some time; it must not cost this run its result
        result.reason = f"it could not be written down: {type(error).__name__}: {error}"
        if flags.DEBUG.value >= 1:
            raise
    else:
        get_cache().put(key, data, {"name": program.name, "kernels": len(program.compiled)}, kind="program")
        result.kept(key)


# ---- keys -----------------------------------------------------------------------------------------------------------


def key_of(traced: Graph, fuse: bool) -> str:
    """The key of a traced graph: 64 hexadecimal digits.

    Raises:
        NoKey: with the reason.
    """
    return digest_of([package_digest(), *environment(), fuse, graph_digest(traced)])


def graph_digest(traced: Graph) -> str:
    """Digest of a traced graph alone: everything about it but names of variables and origins.

    Raises:
        NoKey: with the reason.
    """
    return digest_of(_GraphWriter(traced).lines)


def digest_of(parts) -> str:
    """Digest of plain values."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def environment() -> list:
    """What besides graph and sources decides about a program."""
    from graphkeras.trace import settings

    return [
        ["graphkeras program", FORMAT, objects.toolchain(), np.__version__, sys.version],
        [flags.key_text(), sorted(flags.DISABLE_PASSES.value)],
        [settings.floatx(), float(settings.epsilon()).hex(), settings.image_data_format()],
    ]


@functools.cache
def package_digest() -> str:
    """Digest of the sources that decide what a traced graph becomes.

    Raises:
        NoKey: a file is newer than this process, which may run another text than stands there.
    """
    digest = hashlib.sha256()
    for path in _sources():
        with open(path, "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_mtime > flags.imported_at:
                raise NoKey(f"{os.path.relpath(path, _PACKAGE)} has changed since this process started")
            data = file.read()
        digest.update(f"{os.path.relpath(path, _PACKAGE)} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()


def _sources(folders=_DECIDING) -> Iterator[str]:
    for folder in folders:
        for base, inner, files in os.walk(_PACKAGE / folder):
            inner.sort()
            yield from (os.path.join(base, name) for name in sorted(files) if name.endswith(".py"))


def sources_stand() -> bool:
    """Whether what was imported since the digest was made is what it was made of."""
    return all(os.stat(path).st_mtime <= flags.imported_at for path in _sources())


@functools.cache
def sources_state() -> str:
    """Digest of names, sizes and times of change of all files of the package: quicker than `package_digest`, and as sure on one machine,
    because no file changes without its time of change.

    Raises:
        NoKey: a file is newer than this process, or there are no files.
    """
    lines = []
    for path in _sources(("",)):
        info = os.stat(path)
        if max(info.st_mtime, info.st_ctime) > flags.imported_at:
            raise NoKey(f"{os.path.relpath(path, _PACKAGE)} has changed since this process started")
        lines.append([path, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns])
    if not lines:
        raise NoKey("the sources of the package are no files")
    return digest_of([lines])


def ops_of(graph: Graph) -> set[str]:
    """Names of the ops in a graph and its sub-graphs."""
    return {node.op for part in _all_graphs(graph) for node in _all_nodes(part)}


class _GraphWriter:
    def __init__(self, graph):
        self.lines: list = []
        self.variables: dict[VariableRef, int] = {}
        graphs = list(_all_graphs(graph))
        nodes = {node.id: node for g in graphs for node in _all_nodes(g)}
        # Passes sort by id, and know nodes by identity: both are kept as the rank of the id in all graphs together.
        self.rank = {number: i for i, number in enumerate(sorted(nodes))}
        self.graphs = {id(g): i for i, g in enumerate(graphs)}
        self.checked: set[str] = set()
        for reference in graph.variables:  # their order is that of the program's places
            self.variable(reference)
        for number in sorted(nodes):
            self.lines.append(self.node(nodes[number]))
        for g in graphs:
            self.lines.append(["graph", g.name, self.values(g.inputs), self.values(g.outputs), [self.rank[n.id] for n in g.effects]])

    def values(self, values):
        return [[self.rank[v.node.id], v.index] for v in values]

    def node(self, node):
        if node.op not in self.checked:
            self.checked.add(node.op)
            check_record(node.op)
        return [
            node.op, self.values(node.inputs), [[name, self.attribute(node, name, v)] for name, v in node.attrs.items()],
            [self.spec(s) for s in node.specs], sorted(node.effects), [self.graphs[id(g)] for g in node.subgraphs],
        ]  # fmt: skip

    def spec(self, spec):
        return [spec.dtype, [self.size(d) for d in spec.shape]]

    def size(self, size):
        return ["dim", repr(size)] if isinstance(size, Dim) else int(size)

    def variable(self, reference):
        return self.variables.setdefault(reference, len(self.variables))

    def attribute(self, node, name, value):
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return ["int", value]
        if kind is float:
            return ["float", value.hex()]
        if kind is tuple:
            return [self.attribute(node, name, v) for v in value]
        if kind is Dim:
            return ["dim", repr(value)]
        if kind is ConstantArray:
            array = value.array
            return ["array", array.dtype.str, array.dtype.name, list(array.shape), hashlib.sha256(np.ascontiguousarray(array)).hexdigest()]
        if kind is VariableRef:
            return ["variable", self.variable(value), self.spec(value.spec)]
        if kind is TensorSpec:
            return ["spec", *self.spec(value)]
        raise NoKey(f"attribute '{name}' of '{node.op}' is a {kind.__module__}.{kind.__qualname__}, which has no canonical text")


def _all_graphs(graph):
    yield graph
    for node in _all_nodes(graph):
        for sub in node.subgraphs:
            yield from _all_graphs(sub)


def _all_nodes(graph):
    return reachable([*(v.node for v in (*graph.inputs, *graph.outputs)), *graph.effects])


def check_record(op: str) -> None:
    """Raises NoKey for ops of the user: they are code that no digest covers."""
    record = op_def(op)
    for name in _RECORD_FUNCTIONS:
        for module in _homes(getattr(record, name, None)):
            if module.partition(".")[0] not in _TRUSTED:
                raise NoKey(f"op '{op}' is defined in {module}, outside graphkeras")


def _homes(function):
    """The modules whose code a callable runs, as far as can be seen; whatever is no plain function may run anything."""
    if isinstance(function, functools.partial):
        for part in (function.func, *function.args, *function.keywords.values()):
            yield from _homes(part)
    elif isinstance(function, FunctionType):
        yield from (function.__module__ or "nowhere", function.__globals__.get("__name__", "nowhere"))  # `wraps` changes the first
    elif callable(function) and getattr(np, getattr(function, "__name__", ""), None) is not function:  # a ufunc of NumPy's own
        yield f"a {type(function).__name__}"


__all__ = [
    "Compiled", "NoKey", "check_record", "compiled", "digest_of", "environment", "found", "graph_digest", "key_of", "ops_of",
    "package_digest", "sources_stand", "sources_state", "why_not",
]  # fmt: skip
