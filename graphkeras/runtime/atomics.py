"""What the native loop needs beyond plain Python integers: atomics, a pause, the cycle counter and calls by address.

Addresses are int64 values. Read-modify-write operations are sequentially consistent; loads acquire.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_I64 = ir.IntType(64)
_INTEGER = types.int64


def _at(builder, address):
    return builder.inttoptr(address, _I64.as_pointer())


@intrinsic
def ptr_i64(typing_context, address):
    """The cells at `address`, to be indexed."""
    pointer = types.CPointer(types.int64)
    return pointer(_INTEGER), lambda context, builder, signature, args: _at(builder, args[0])


@intrinsic
def atomic_load(typing_context, address):
    """The cell at `address`."""

    def emit(context, builder, signature, args):
        return builder.load_atomic(_at(builder, args[0]), "acquire", 8)

    return _INTEGER(_INTEGER), emit


@intrinsic
def atomic_add(typing_context, address, value):
    """Add to a cell; the value before."""

    def emit(context, builder, signature, args):
        return builder.atomic_rmw("add", _at(builder, args[0]), args[1], "seq_cst")

    return _INTEGER(_INTEGER, _INTEGER), emit


@intrinsic
def atomic_swap(typing_context, address, value):
    """Store into a cell; the value before. A full fence."""

    def emit(context, builder, signature, args):
        return builder.atomic_rmw("xchg", _at(builder, args[0]), args[1], "seq_cst")

    return _INTEGER(_INTEGER, _INTEGER), emit


@intrinsic
def atomic_replace(typing_context, address, expected, value):
    """Store `value` if the cell holds `expected`; 1 if it did."""

    def emit(context, builder, signature, args):
        pair = builder.cmpxchg(_at(builder, args[0]), args[1], args[2], "seq_cst", "seq_cst")
        return builder.zext(builder.extract_value(pair, 1), _I64)

    return _INTEGER(_INTEGER, _INTEGER, _INTEGER), emit


@intrinsic
def pause(typing_context):
    """Tell the core that this is a waiting loop."""

    def emit(context, builder, signature, args):
        triple = builder.module.triple
        if triple.startswith(("x86_64", "i686", "amd64")):
            name, operands = "llvm.x86.sse2.pause", []
        elif triple.startswith(("aarch64", "arm64")):
            name, operands = "llvm.aarch64.hint", [ir.IntType(32)(1)]
        else:
            return context.get_dummy_value()
        function_type = ir.FunctionType(ir.VoidType(), [operand.type for operand in operands])
        builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), operands)
        return context.get_dummy_value()

    return types.void(), emit


@intrinsic
def cycles(typing_context):
    """The core's cycle counter (0 where the platform hides it)."""

    def emit(context, builder, signature, args):
        if not builder.module.triple.startswith(("x86_64", "i686", "amd64")):
            return _I64(0)
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_I64, []), "llvm.readcyclecounter")
        return builder.call(function, [])

    return _INTEGER(), emit


@intrinsic
def call_kernel(typing_context, address, args_address, lo, hi, scratch):
    """Call a kernel by its address."""

    def emit(context, builder, signature, args):
        function_type = ir.FunctionType(ir.VoidType(), [_I64.as_pointer(), _I64, _I64, _I64])
        function = builder.inttoptr(args[0], function_type.as_pointer())
        builder.call(function, [_at(builder, args[1]), *args[2:]])
        return context.get_dummy_value()

    return types.void(*[_INTEGER] * 5), emit


@intrinsic
def call_c(typing_context, address, a, b, c, d, e):
    """Call a C function of up to five integer arguments by its address."""

    def emit(context, builder, signature, args):
        function_type = ir.FunctionType(_I64, [_I64] * 5)
        return builder.call(builder.inttoptr(args[0], function_type.as_pointer()), args[1:])

    return _INTEGER(*[_INTEGER] * 6), emit


def namespace():
    """A fresh dict of the names, in which the source of the native loop is executed."""
    names = (ptr_i64, atomic_load, atomic_add, atomic_swap, atomic_replace, pause, cycles, call_kernel, call_c)
    return {name._name: name for name in names}
