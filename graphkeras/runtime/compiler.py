"""From kernel source (Python text) to object code, through Numba's front end and LLVM.

Only processes that compile import this module; it is what brings in Numba. What is cut away from `numba.cfunc`, because kernels
need none of it: rewrites and inliners of Numba IR, the reference-counting runtime, the C wrapper that can raise Python
exceptions, linking into Numba's own engine, and LLVM's two extra rounds of passes. In a process that does nothing but compile
(`dedicated=True`) Numba's context is cut down too: its array, string, list and random-number libraries are never imported.
"""

import functools
import gc
import linecache
import struct

import llvmlite.binding as llvm
from numba.core import codegen, compiler, cpu, ir, registry, ssa, types, typing
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.typed_passes import IRLegalization, NativeLowering, NopythonTypeInference, PreLowerStripPhis
from numba.core.untyped_passes import FixupArgs, IRProcessing, ReconstructSSA, TranslateByteCode

from graphkeras.runtime.errors import CompileError

_ARGUMENTS = (types.CPointer(types.int64), types.int64, types.int64, types.int64)
_PASSES = (
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    ReconstructSSA,  # one variable per assignment, so that each has one type
    NopythonTypeInference,
    PreLowerStripPhis,
    IRLegalization,
    NativeLowering,
)
_ENTRY = """
declare i32 @"{inner}"(ptr, ptr, ptr, i64, i64, i64)
define void @"{symbol}"(ptr %args, i64 %lo, i64 %hi, i64 %scratch) {{
  %result = alloca ptr
  %excinfo = alloca ptr
  %status = call i32 @"{inner}"(ptr %result, ptr %excinfo, ptr %args, i64 %lo, i64 %hi, i64 %scratch)
  ret void
}}
"""
# What LLVM may call behind our back. Anything else that is left undefined would end the process when the code is loaded, or bring
# in a function of the system's C library whose bits differ from machine to machine.
_RUNTIME_CALLS = {"memcpy", "memset", "memmove", "fma", "fmaf"}


class _Typing(typing.Context):
    """Types of the operators and built-ins that kernels use, and no more."""

    def __init__(self):
        self._resolved = {}
        super().__init__()

    def load_additional_registries(self):
        """Math, arrays, lists, sets and cffi are left out."""

    def _resolve_user_function_type(self, func, args, kws, literals=None):
        """Kernels call few functions with few types many times over; Numba would search all overloads each time."""
        key = (func, args, tuple(sorted(kws.items())), literals)
        if key not in self._resolved:
            self._resolved[key] = super()._resolve_user_function_type(func, args, kws, literals)
        return self._resolved[key]

    def _load_builtins(self):
        from numba.core.typing import builtins, templates  # noqa: F401 - importing `builtins` fills the registry

        self.install_registry(templates.builtin_registry)


class _Target(cpu.CPUContext):
    """Lowering of integers, ranges and tuples, and no more."""

    def init(self):
        self.is32bit = False
        self._internal_codegen = codegen.JITCPUCodegen("graphkeras")

    def load_additional_registries(self):
        from numba.cpython import builtins, numbers, rangeobj, tupleobj  # noqa: F401 - imports fill the registry

    def refresh(self):
        # The template of an intrinsic calls this for every call it types, so it must not walk all of Numba.
        from numba.core.imputils import builtin_registry

        self.load_additional_registries()
        self.install_registry(builtin_registry)

    def post_lowering(self, mod, library):
        """Nothing is reference-counted, so no runtime is linked in."""


class _Library(codegen.JITCodeLibrary):
    """Collects modules; optimisation happens once, over the finished kernel."""

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout


class _Pipeline(compiler.CompilerBase):
    def define_pipelines(self):
        manager = PassManager("kernel")
        for compiler_pass in _PASSES:
            manager.add_pass(compiler_pass, compiler_pass.__name__)
        manager.finalize()
        return [manager]


def _variables(values, found):
    """What `ir.Inst._rec_list_vars` finds, in the same order; Numba's own takes an eighth of all compile time."""
    for value in values:
        kind = type(value)
        if kind is ir.Var:
            found.append(value)
        elif kind is str or kind is int or kind is ir.Loc or value is None:
            continue
        elif kind is tuple or kind is list:
            _variables(value, found)
        elif kind is dict:
            _variables(value.values(), found)
        elif isinstance(value, ir.Var):
            found.append(value)
        elif isinstance(value, ir.Inst):
            found.extend(value.list_vars())
    return found


class _Silent:
    """Stands for the logger of Numba's SSA pass, whose calls take a twentieth of all compile time to say nothing."""

    def debug(self, *_):
        pass


@functools.cache
def dedicate_process():
    """Cut Numba's CPU target down to what kernels need. For processes in which nobody else uses Numba."""
    target = registry.cpu_target
    typing_context = _Typing()
    vars(target)["_toplevel_typing_context"] = typing_context
    vars(target)["_toplevel_target_context"] = _Target(typing_context, "cpu")
    ir.Inst._rec_list_vars = lambda self, value: _variables((value,), [])
    ssa._logger = _Silent()
    gc.disable()  # compiling makes many objects and few cycles; the process is short-lived


@functools.cache
def _target_machine(opt_level):
    from graphkeras.lowering.cpu import target

    triple = llvm.Target.from_triple(llvm.get_process_triple())
    # Position-independent code of the small model has its constants as operands; else it would load their addresses first.
    options = {"opt": opt_level, "reloc": "pic", "codemodel": "small", "jit": True}
    return triple.create_target_machine(cpu=target.cpu_name(), features=target.features(), **options)


@functools.cache
def _namespace(name):
    """The names that a kernel's source may use."""
    if name == "simd":
        from graphkeras.lowering.cpu import simd

        return simd.namespace()
    if name == "atomics":
        from graphkeras.runtime import atomics

        return atomics.namespace()
    raise KeyError(f"no namespace {name!r}")


def _python_function(body, namespace, file_name):
    linecache.cache[file_name] = (len(body), None, body.splitlines(keepends=True), file_name)
    scope = dict(_namespace(namespace))
    exec(compile(body, file_name, "exec"), scope)
    return scope["kernel"]


def compile_source(body: str, symbol: str, *, namespace: str = "simd", opt_level: int = 2, assembly: bool = False) -> bytes:
    """Compile one kernel.

    Args:
        body: Canonical source that defines `kernel(args, lo, hi, scratch)`.
        symbol: Name of the C function in the object code.
        namespace: `"simd"` (kernels) or `"atomics"` (the native loop).
        opt_level: LLVM's level, 0..3.
        assembly: give the text of the assembler instead.

    Returns:
        Object code with one global symbol, for this machine's CPU.

    Raises:
        CompileError: Numba or LLVM refuse the source.
    """
    file_name = f"<graphkeras {symbol}>"
    try:
        module = _lower(_python_function(body, namespace, file_name), symbol)
        machine = _target_machine(opt_level)
        options = llvm.create_pipeline_tuning_options(speed_level=opt_level)
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
    except Exception as error:
        raise CompileError(symbol, f"{type(error).__name__}: {error}", body) from error
    finally:
        linecache.cache.pop(file_name, None)
    if assembly:
        return machine.emit_assembly(module).encode()
    code = machine.emit_object(module)
    unknown = [name for name in undefined_symbols(code) if name not in _RUNTIME_CALLS or llvm.address_of_symbol(name) is None]
    if unknown:
        raise CompileError(symbol, f"it calls {', '.join(unknown)}, which no kernel may", body)
    return code


def undefined_symbols(code: bytes) -> list[str]:
    """Names that object code expects from elsewhere; 64-bit ELF only, nothing is known of other formats."""
    if code[:6] != b"\x7fELF\x02\x01":
        return []
    (table,) = struct.unpack_from("<Q", code, 40)
    entry_size, count = struct.unpack_from("<HH", code, 58)
    sections = [struct.unpack_from("<IIQQQQII", code, table + number * entry_size) for number in range(count)]
    names = []
    for _, kind, _, _, offset, size, link, _ in sections:
        if kind == 2:  # SHT_SYMTAB; symbol 0 is a dummy
            strings = sections[link][4]
            for symbol in range(offset + 24, offset + size, 24):
                name, _, _, section = struct.unpack_from("<IBBH", code, symbol)
                if section == 0:
                    begin = strings + name
                    names.append(code[begin : code.index(b"\0", begin)].decode())
    return sorted(names)


def _lower(function, symbol):
    """The kernel as an unoptimised LLVM module in which `symbol` alone is visible."""
    target = registry.cpu_target
    with global_compiler_lock:
        target.typing_context.refresh()
        target.target_context.refresh()
        options = compiler.Flags()
        options.error_model = "numpy"  # no Python exceptions for division by zero
        options.no_cpython_wrapper = options.no_cfunc_wrapper = options.no_compile = options.no_rewrites = True
        library = _Library(target.target_context.codegen(), symbol)
        pipeline = _Pipeline(target.typing_context, target.target_context, library, _ARGUMENTS, types.void, options, {})
        lowered = pipeline.compile_extra(function)
        module = library._final_module
        for linked in dict.fromkeys(library._linking_libraries):
            module.link_in(linked._get_module_for_linking(), preserve=True)
    module.link_in(llvm.parse_assembly(_ENTRY.format(inner=lowered.fndesc.llvm_func_name, symbol=symbol)))
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != symbol:
            value.linkage = "internal"
    return module
