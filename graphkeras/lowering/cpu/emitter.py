"""Emits LLVM instructions for the operations of the SIMD language on dtype-tagged vectors.

`Emitter` and the NumPy handler of `simd_python` answer to the same names, so `vector_math` writes each polynomial once.
No instruction carries a fast-math flag, and products and sums are joined only where `fma` says so.
"""

from llvmlite import ir

from graphkeras.lowering.cpu import memory, target
from graphkeras.lowering.cpu.memory import Value
from graphkeras.lowering.cpu.simd_types import DTYPES
from graphkeras.lowering.cpu.target import LANES

I1, I8, I32, I64 = (ir.IntType(n) for n in (1, 8, 32, 64))
_PREDICATES = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_ROUNDINGS = {"floor": "floor", "ceil": "ceil", "round": "roundeven", "trunc": "trunc"}


def element_type(dtype):
    """LLVM type of one lane of a vector of `dtype`."""
    if dtype in ("f32", "f64"):
        return ir.FloatType() if dtype == "f32" else ir.DoubleType()
    return I1 if dtype == "b1" else ir.IntType(DTYPES[dtype].bits)


def vector_type(dtype):
    """LLVM type of a vector of `dtype`."""
    return ir.VectorType(element_type(dtype), LANES)


class Emitter:
    """The operations of the SIMD language, emitted at the position of an llvmlite builder."""

    def __init__(self, builder):
        self.b = builder

    # ---- pieces -----------------------------------------------------------------------------------------------------

    def call(self, name, result, args):
        """Call of an LLVM intrinsic, declared in the module at first use."""
        fnty = ir.FunctionType(result, [a.type for a in args])
        function = self.b.module.globals.get(name) or ir.Function(self.b.module, fnty, name)
        return self.b.call(function, args)

    def helper(self, name, result, args, body, inline=True):
        """Call of a private function of the module; `body(emitter, arguments)` writes it at first use."""
        function = self.b.module.globals.get(name)
        if function is None:
            function = ir.Function(self.b.module, ir.FunctionType(result, [a.type for a in args]), name)
            function.linkage = "internal"
            function.attributes.add("nounwind")
            if not inline:
                function.attributes.add("noinline")
            inner = Emitter(ir.IRBuilder(function.append_basic_block()))
            value = body(inner, function.args)
            inner.b.ret(value) if value is not None else inner.b.ret_void()
        return self.b.call(function, args)

    def opaque(self, value):
        """The same integer or pointer, of whose origin LLVM knows nothing."""
        return self.b.asm(ir.FunctionType(value.type, [value.type]), "", "=r,0", [value], False)

    def broadcast(self, dtype, scalar):
        """`scalar` (an LLVM value of the element type) in every lane."""
        vector = vector_type(dtype)
        if isinstance(scalar, ir.Constant) and not isinstance(scalar.constant, str):
            return Value(dtype, ir.Constant(vector, [scalar.constant] * LANES))
        undefined = ir.Constant(vector, ir.Undefined)
        one = self.b.insert_element(undefined, scalar, I32(0))
        zeros = ir.Constant(ir.VectorType(I32, LANES), [0] * LANES)
        return Value(dtype, self.b.shuffle_vector(one, undefined, zeros))

    def const(self, dtype, number):
        """A Python number in every lane."""
        kind = DTYPES[dtype].kind
        number = float(number) if kind == "f" else int(bool(number) if kind == "b" else number)
        return Value(dtype, ir.Constant(vector_type(dtype), [number] * LANES))

    def iota(self, start):
        """start, start + 1, ... as i64."""
        steps = ir.Constant(vector_type("i64"), list(range(LANES)))
        return Value("i64", self.b.add(self.broadcast("i64", start).ir, steps))

    def firstn(self, n):
        """Mask of the first n lanes (n is clamped to 0 .. LANES)."""
        over = self.b.icmp_signed(">", n, I64(LANES))
        count = self.b.trunc(self.b.select(over, I64(LANES), n), I32)
        steps = ir.Constant(vector_type("i32"), list(range(LANES)))
        return Value("b1", self.b.icmp_signed("<", steps, self.broadcast("i32", count).ir))

    def where_any(self, mask, then, otherwise):
        """`then()` when any lane of `mask` is set, else `otherwise`: a branch, for rare and costly cases."""
        some = self.b.icmp_unsigned("!=", self._mask_bits(mask), ir.IntType(LANES)(0))
        before = self.b.block
        with self.b.if_then(some, likely=False):
            value = then()
            after = self.b.block
        phi = self.b.phi(otherwise.ir.type)
        phi.add_incoming(otherwise.ir, before)
        phi.add_incoming(value.ir, after)
        return Value(otherwise.dtype, phi)

    def while_any(self, condition, step, state):
        """Repeat `state = step(state)` while `condition(state)` has a lane set."""
        b = self.b
        before, head = b.block, b.append_basic_block("head")
        body, done = b.append_basic_block("body"), b.append_basic_block("done")
        b.branch(head)
        b.position_at_end(head)
        phi = b.phi(state.ir.type)
        phi.add_incoming(state.ir, before)
        current = Value(state.dtype, phi)
        some = b.icmp_unsigned("!=", self._mask_bits(condition(current)), ir.IntType(LANES)(0))
        b.cbranch(some, body, done)
        b.position_at_end(body)
        phi.add_incoming(step(current).ir, b.block)
        b.branch(head)
        b.position_at_end(done)
        return current

    def table(self, dtype, name, numbers, index):
        """numbers[index] lane by lane from a constant table; `name` identifies the table."""
        element = element_type(dtype)
        array = ir.ArrayType(element, len(numbers))
        constant = self.b.module.globals.get(name)
        if constant is None:
            constant = ir.GlobalVariable(self.b.module, array, name)
            constant.linkage, constant.global_constant = "internal", True
            constant.initializer = ir.Constant(array, list(numbers))
        base = self.b.bitcast(constant, element.as_pointer())
        return Value(dtype, memory.gather(self, dtype, base, self.cast("i64", index).ir, I64(LANES)))

    def _mask_bits(self, mask):
        return self.b.bitcast(mask.ir, ir.IntType(LANES))

    # ---- arithmetic -------------------------------------------------------------------------------------------------

    def _arith(self, float_name, int_name, x, y):
        name = float_name if DTYPES[x.dtype].kind == "f" else int_name
        return Value(x.dtype, getattr(self.b, name)(x.ir, y.ir))

    def add(self, x, y):
        if x.dtype == "b1":  # numpy: bool + bool is logical or
            return self.or_(x, y)
        return self._arith("fadd", "add", x, y)

    def sub(self, x, y):
        return self._arith("fsub", "sub", x, y)

    def mul(self, x, y):
        if x.dtype == "b1":
            return self.and_(x, y)
        return self._arith("fmul", "mul", x, y)

    def div(self, x, y):
        return Value(x.dtype, self.b.fdiv(x.ir, y.ir))

    def fma(self, x, y, z):
        if DTYPES[x.dtype].kind != "f":
            return self.add(self.mul(x, y), z)
        name = f"llvm.fma.v{LANES}{x.dtype}"
        return Value(x.dtype, self.call(name, x.ir.type, [x.ir, y.ir, z.ir]))

    def neg(self, x):
        if DTYPES[x.dtype].kind == "f":
            return Value(x.dtype, self.b.fneg(x.ir))
        return Value(x.dtype, self.b.neg(x.ir))

    def abs(self, x):
        kind = DTYPES[x.dtype].kind
        if kind == "f":
            return Value(x.dtype, self.call(f"llvm.fabs.v{LANES}{x.dtype}", x.ir.type, [x.ir]))
        if kind == "i":
            return self.select(self.lt(x, self.const(x.dtype, 0)), self.neg(x), x)
        return x

    def max(self, x, y):
        return self._extreme("gt", x, y)

    def min(self, x, y):
        return self._extreme("lt", x, y)

    def _extreme(self, compare, x, y):
        """x when it compares so, else y; a NaN on either side wins, as in numpy.maximum."""
        if x.dtype == "b1":
            return self.or_(x, y) if compare == "gt" else self.and_(x, y)
        chosen = self.select(getattr(self, compare)(x, y), x, y)
        return self.select(self.ne(x, x), x, chosen) if DTYPES[x.dtype].kind == "f" else chosen

    def sqrt(self, x):
        return Value(x.dtype, self.call(f"llvm.sqrt.v{LANES}{x.dtype}", x.ir.type, [x.ir]))

    def rsqrt(self, x):
        """1 / sqrt(x), each step correctly rounded."""
        return self.div(self.const(x.dtype, 1), self.sqrt(x))

    def _rounding(self, name, x):
        if DTYPES[x.dtype].kind != "f":
            return x
        if not target.HAS_ROUNDINGS:
            return self._rounded(name, x)
        return Value(x.dtype, self.call(f"llvm.{_ROUNDINGS[name]}.v{LANES}{x.dtype}", x.ir.type, [x.ir]))

    def _rounded(self, name, x):
        """A rounding without an instruction for it: by way of numbers so large that all of them are whole."""
        large, one, size = self.const(x.dtype, {"f32": 2.0**23, "f64": 2.0**52}[x.dtype]), self.const(x.dtype, 1), self.abs(x)
        near = self.sub(self.add(size, large), large)
        if name == "trunc":
            near = self.select(self.gt(near, size), self.sub(near, one), near)
        near = self._with_sign(near, x)
        if name == "floor":
            near = self.select(self.gt(near, x), self.sub(near, one), near)
        if name == "ceil":
            near = self._with_sign(self.select(self.lt(near, x), self.add(near, one), near), x)
        return self.select(self.lt(size, large), near, x)

    def _with_sign(self, x, like):
        """x, whose sign is none or that of `like`, with the sign of `like`, zeros included."""
        bits = {"f32": "i32", "f64": "i64"}[x.dtype]
        sign = self.and_(self.bitcast(bits, like), self.const(bits, -(1 << DTYPES[bits].bits - 1)))
        return self.bitcast(x.dtype, self.or_(self.bitcast(bits, x), sign))

    def floor(self, x):
        return self._rounding("floor", x)

    def ceil(self, x):
        return self._rounding("ceil", x)

    def round(self, x):
        """To the nearest integer, ties to even."""
        return self._rounding("round", x)

    def trunc(self, x):
        return self._rounding("trunc", x)

    def int_divide(self, x, y):
        """Quotient towards zero and remainder of integers; a zero divisor gives 0 and x, the overflow of MIN / -1 wraps."""
        kind, bits = DTYPES[x.dtype].kind, DTYPES[x.dtype].bits
        zero, one = self.const(x.dtype, 0), self.const(x.dtype, 1)
        null = self.eq(y, zero)
        minus = self.eq(y, self.const(x.dtype, -1)) if kind == "i" else null
        safe = self.select(self.or_(null, minus), one, y)
        if bits <= 32:  # exact in f64, which the CPU divides by vectors
            quotient = self.cast(x.dtype, self.div(self.cast("f64", x), self.cast("f64", safe)))
        else:
            quotient = Value(x.dtype, (self.b.sdiv if kind == "i" else self.b.udiv)(x.ir, safe.ir))
        quotient = self.select(minus, self.neg(x), quotient)
        quotient = self.select(null, zero, quotient)
        return quotient, self.sub(x, self.mul(quotient, y))

    # ---- comparison, selection, bits --------------------------------------------------------------------------------

    def _compare(self, name, x, y):
        symbol, kind = _PREDICATES[name], DTYPES[x.dtype].kind
        if kind == "f":
            emit = self.b.fcmp_unordered if name == "ne" else self.b.fcmp_ordered
        else:
            emit = self.b.icmp_signed if kind == "i" else self.b.icmp_unsigned
        return Value("b1", emit(symbol, x.ir, y.ir))

    def lt(self, x, y):
        return self._compare("lt", x, y)

    def le(self, x, y):
        return self._compare("le", x, y)

    def gt(self, x, y):
        return self._compare("gt", x, y)

    def ge(self, x, y):
        return self._compare("ge", x, y)

    def eq(self, x, y):
        return self._compare("eq", x, y)

    def ne(self, x, y):
        return self._compare("ne", x, y)

    def select(self, mask, x, y):
        return Value(x.dtype, self.b.select(mask.ir, x.ir, y.ir))

    def and_(self, x, y):
        return Value(x.dtype, self.b.and_(x.ir, y.ir))

    def or_(self, x, y):
        return Value(x.dtype, self.b.or_(x.ir, y.ir))

    def xor(self, x, y):
        return Value(x.dtype, self.b.xor(x.ir, y.ir))

    def not_(self, x):
        ones = ir.Constant(x.ir.type, [1 if x.dtype == "b1" else -1] * LANES)
        return Value(x.dtype, self.b.xor(x.ir, ones))

    def shl(self, x, n):
        return self._shift(self.b.shl, x, n, self.const(x.dtype, 0))

    def shr(self, x, n):
        """To the right: signed integers keep their sign."""
        if DTYPES[x.dtype].kind == "u":
            return self._shift(self.b.lshr, x, n, self.const(x.dtype, 0))
        filled = self.select(self.lt(x, self.const(x.dtype, 0)), self.const(x.dtype, -1), self.const(x.dtype, 0))
        return self._shift(self.b.ashr, x, n, filled)

    def _shift(self, emit, x, n, beyond):
        """Counts of the type's width and more give `beyond`, as in numpy; LLVM itself leaves them undefined."""
        bits = DTYPES[x.dtype].bits
        if isinstance(n.ir, ir.Constant) and all(0 <= c.constant < bits for c in n.ir.constant):
            return Value(x.dtype, emit(x.ir, n.ir))
        inside = self.b.icmp_unsigned("<", n.ir, ir.Constant(n.ir.type, [bits] * LANES))
        return self.select(Value("b1", inside), Value(x.dtype, emit(x.ir, n.ir)), beyond)

    # ---- conversions ------------------------------------------------------------------------------------------------

    def bitcast(self, dtype, x):
        return Value(dtype, self.b.bitcast(x.ir, vector_type(dtype)))

    def cast(self, dtype, x):
        """numpy's astype; f16 and bf16 round the value and leave it an f32 vector. Floats must lie in the range of integers."""
        target, source = DTYPES[dtype], DTYPES[x.dtype]
        if target.compute != dtype:
            return memory.widen(self, dtype, memory.narrow(self, dtype, x))
        if dtype == x.dtype:
            return x
        vector, b = vector_type(dtype), self.b
        if target.kind == "b":
            return self.ne(x, self.const(x.dtype, 0))
        if source.kind == "b":
            return self.select(x, self.const(dtype, 1), self.const(dtype, 0))
        if source.kind == "f" and target.kind == "f":
            return Value(dtype, (b.fpext if target.bits > source.bits else b.fptrunc)(x.ir, vector))
        if target.kind == "f":
            return Value(dtype, (b.sitofp if source.kind == "i" else b.uitofp)(x.ir, vector))
        if source.kind == "f":
            if target.bits < 32:  # C goes through int, so what lies outside wraps the same on every machine
                return self.cast(dtype, Value("i32", b.fptosi(x.ir, vector_type("i32"))))
            return Value(dtype, (b.fptosi if target.kind == "i" else b.fptoui)(x.ir, vector))
        if target.bits < source.bits:
            return Value(dtype, b.trunc(x.ir, vector))
        if target.bits > source.bits:
            return Value(dtype, (b.sext if source.kind == "i" else b.zext)(x.ir, vector))
        return Value(dtype, x.ir)

    def convert(self, dtype, x):
        """`cast` of any values. LLVM leaves a float outside the range of an integer undefined, and then folds casts of casts one
        way or the other, so that fused kernels would differ from single ones; here it is what x86 and numpy make of it."""
        if DTYPES[x.dtype].kind != "f" or DTYPES[dtype].kind not in "iu":
            return self.cast(dtype, x)
        if DTYPES[dtype].bits < 32:
            return self.cast(dtype, self._signed("i32", x))
        if dtype in ("i32", "i64"):
            return self._signed(dtype, x)
        if dtype == "u32":
            return self.cast(dtype, self._signed("i64", x))
        half = self.const(x.dtype, 2.0**63)
        low, high = self._signed("i64", x), self._signed("i64", self.sub(x, half))
        wide = self.select(self.ge(x, half), self.xor(high, self.const("i64", -(1 << 63))), low)  # NaN is below, as in numpy
        return Value(dtype, wide.ir)

    def _signed(self, dtype, x):
        """The least integer stands for NaN and for what does not fit."""
        limit = 2.0 ** (DTYPES[dtype].bits - 1)
        fits = self.and_(self.ge(x, self.const(x.dtype, -limit)), self.lt(x, self.const(x.dtype, limit)))
        whole = self.b.fptosi(self.select(fits, x, self.const(x.dtype, 0.0)).ir, vector_type(dtype))
        return self.select(fits, Value(dtype, whole), self.const(dtype, -(1 << DTYPES[dtype].bits - 1)))

    # ---- across lanes -----------------------------------------------------------------------------------------------

    def reduce(self, combine, x):
        """Fold the upper half of the lanes onto the lower one until lane 0 is left, and put that in every lane.

        Lanes that no longer count are left undefined: with halves exchanged instead, LLVM 22 for AVX-512 takes `min(x, exchanged x)` of
        two vectors together and mixes up which lanes are whose.
        """
        width, undefined = LANES, ir.Constant(x.ir.type, ir.Undefined)
        while width > 1:
            width //= 2
            order = [lane + (width if lane < width else LANES) for lane in range(LANES)]  # from LANES on: of the undefined vector
            mask = ir.Constant(ir.VectorType(I32, LANES), order)
            x = combine(x, Value(x.dtype, self.b.shuffle_vector(x.ir, undefined, mask)))
        zeros = ir.Constant(ir.VectorType(I32, LANES), [0] * LANES)
        return Value(x.dtype, self.b.shuffle_vector(x.ir, x.ir, zeros))

    def hsum(self, x):
        return self.reduce(self.add, x)

    def hprod(self, x):
        return self.reduce(self.mul, x)

    def hmax(self, x):
        return self.reduce(self.max, x)

    def hmin(self, x):
        return self.reduce(self.min, x)

    def hany(self, x):
        return self.broadcast("b1", self.b.icmp_unsigned("!=", self._mask_bits(x), ir.IntType(LANES)(0)))

    def hall(self, x):
        return self.broadcast("b1", self.b.icmp_unsigned("==", self._mask_bits(x), ir.IntType(LANES)(2**LANES - 1)))

    # ---- kinds ------------------------------------------------------------------------------------------------------

    def is_float(self, x):
        return DTYPES[x.dtype].kind == "f"

    def is_signed(self, x):
        return DTYPES[x.dtype].kind == "i"
