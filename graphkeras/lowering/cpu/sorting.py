"""Kernels of sort, argsort, top_k and searchsorted.

Elements become integer keys in the order of `graphkeras.ops.sorting_records` (NaN last, the two zeros equal). Keys of up to 32 bits
share one word with the element's place, so that one array is sorted and no two words are equal; wider keys have their places beside
them. Up to `FEW` elements are inserted one by one; more go through a least-significant-digit radix sort, bytes that all keys
share being left out. Both are stable, so the result does not depend on which of them ran. A unit is one line along the axis.
"""

from graphkeras.ir.dims import size
from graphkeras.ir.dtypes import itemsize
from graphkeras.ir.node import Value
from graphkeras.lowering.cpu.kernel import Address, LoweredKernel
from graphkeras.lowering.cpu.source import FLOATING, Writer, short_dtype
from graphkeras.schedule.groups import Group

FEW = 48
"""Lines up to this long are sorted by insertion."""
SMALL_K = 32
"""Up to this many of the largest are kept in order while a line is read once; for more, the line is sorted."""
_LOWEST = "-9223372036854775808"


def _is_wide(dtype):
    return dtype in ("f64", "i64", "u64")


def _key(w: Writer, dtype: str, vector: str, descending: bool) -> None:
    """`k`: the keys of a vector, as i64 in ascending order; those of up to 32 bits lie in the range of an i32."""
    if dtype in FLOATING:
        bits = "i64" if dtype == "f64" else "i32"
        wide = "f64" if dtype == "f64" else "f32"
        highest = 2**63 - 1 if bits == "i64" else 2**31 - 1
        w.line(f"e = select(eq({vector}, const_{wide}(0.0)), const_{bits}(0), bitcast_{bits}({vector}))")
        w.line(f"e = xor(e, and_(shr(e, const_{bits}({63 if bits == 'i64' else 31})), const_{bits}({highest})))")
        w.line(f"e = select(ne({vector}, {vector}), const_{bits}({highest}), e)")
        w.line("k = e" if bits == "i64" else "k = cast_i64(e)")
    elif dtype == "u64":
        w.line(f"k = xor(bitcast_i64({vector}), const_i64({_LOWEST}))")
    elif dtype == "u32":
        w.line(f"k = sub(cast_i64({vector}), const_i64({2**31}))")
    else:
        w.line(f"k = {vector}" if dtype == "i64" else f"k = cast_i64({vector})")
    if descending:
        w.line("k = not_(k)")


def _packed(w: Writer) -> None:
    """`k`: key and place in one word; `j` is the place of lane 0."""
    w.line("k = or_(shl(k, const_i64(32)), iota(j))")


def _line_keys(w: Writer, dtype: str, source: str, n: str, step: str, wide: bool, descending: bool) -> None:
    """Keys of the line at `o` into `a` (places into `c`)."""
    w.line("j = 0")
    with w.block(f"while j < {n}:"):
        w.line(f"m = min({n} - j, LANES)")
        w.line(
            f"v = loadn_{dtype}({source}, o + j, m)" if step == "1" else f"v = loads_{dtype}({source}, o + j * {step}, {step}, m)"
        )
        _key(w, dtype, "v", descending)
        if wide:
            w.line("storen_i64(c, j, iota(j), m)")
        else:
            _packed(w)
        w.line("storen_i64(a, j, k, m)")
        w.line("j += LANES")


def _insertion(w: Writer, n: str, wide: bool) -> None:
    w.line("j = 1")
    with w.block(f"while j < {n}:"):
        w.line("x = a[j]")
        if wide:
            w.line("y = c[j]")
        w.line("i = j - 1")
        with w.block("while i >= 0 and a[i] > x:"):
            w.line("a[i + 1] = a[i]")
            if wide:
                w.line("c[i + 1] = c[i]")
            w.line("i -= 1")
        w.line("a[i + 1] = x")
        if wide:
            w.line("c[i + 1] = y")
        w.line("j += 1")


def _radix(w: Writer, n: str, wide: bool) -> None:
    """Sorts `a` (and `c`) byte by byte, into `b` (and `d`) and back; the result lies in `a` and `c` again."""
    digits, first = (8, 0) if wide else (4, 32)
    w.line("j = 0")
    with w.block(f"while j < {256 * digits}:"):
        w.line("h[j] = 0")
        w.line("j += 1")
    w.line("j = 0")
    with w.block(f"while j < {n}:"):
        w.line(f"x = a[j] ^ ({_LOWEST})")  # the sign as one more digit
        for digit in range(digits):
            shift = first + 8 * digit
            w.line(f"h[{256 * digit} + ((x >> {shift}) & 255)] += 1")
        w.line("j += 1")
    w.line("g = 0")
    with w.block(f"while g < {digits}:"):
        w.line(f"s = {first} + 8 * g")
        w.line("t = 256 * g")
        w.line(f"x = a[0] ^ ({_LOWEST})")
        with w.block(f"if h[t + ((x >> s) & 255)] < {n}:"):
            w.line("r = 0")
            w.line("i = 0")
            with w.block("while i < 256:"):
                w.line("q = h[t + i]")
                w.line("h[t + i] = r")
                w.line("r += q")
                w.line("i += 1")
            w.line("j = 0")
            with w.block(f"while j < {n}:"):
                w.line(f"i = t + (((a[j] ^ ({_LOWEST})) >> s) & 255)")
                w.line("q = h[i]")
                w.line("h[i] = q + 1")
                w.line("b[q] = a[j]")
                if wide:
                    w.line("d[q] = c[j]")
                w.line("j += 1")
            for pair in ("ab", "cd") if wide else ("ab",):
                w.line(f"{pair[0]}, {pair[1]} = {pair[1]}, {pair[0]}")
        w.line("g += 1")


def _memory(w: Writer, n: str, wide: bool) -> None:
    """Pointers into the scratch: keys a and b, places c and d, counts h."""
    names = "abcd" if wide else "ab"
    for number, name in enumerate(names):
        w.line(f"{name} = ptr_i64(scratch + {8 * number} * {n})")
    w.line(f"h = ptr_i64(scratch + {8 * len(names)} * {n})")


def _scratch(n, wide: bool):
    return n * (32 if wide else 16) + 8 * 256 * (8 if wide else 4)


def _sorted_line(w, dtype, source, n, step, wide, descending):
    _memory(w, n, wide)
    _line_keys(w, dtype, source, n, step, wide, descending)
    with w.block(f"if {n} <= {FEW}:"):
        _insertion(w, n, wide)
    with w.block("else:"):
        _radix(w, n, wide)


def _places(wide: bool) -> str:
    """Places of the sorted elements from `j` on, as i64."""
    return "loadn_i64(c, j, m)" if wide else "and_(loadn_i64(a, j, m), const_i64(4294967295))"


def _finished(w: Writer, group: Group, name: str, units, scratch) -> list[LoweredKernel]:
    return [
        LoweredKernel(
            name, group.kind, w.text(), tuple(w.args), units, group, scratch=scratch, flops=group.flops, bytes=group.bytes
        )
    ]


def _input(w: Writer, value: Value, resolve, dtype: str) -> str:
    base, layout = resolve(value)
    return w.pointer(Address.of(base, layout.offset), dtype)


def lower_sort(group: Group, name: str, resolve) -> list[LoweredKernel]:
    """Lines of any axis: element j of a line lies at o + j * inner."""
    node = group.nodes[0]
    x, axis = node.inputs[0], node.attrs["axis"]
    outer, inner = size(x.shape[:axis]), size(x.shape[axis + 1 :])
    dtype, word = short_dtype(x.dtype), f"u{8 * itemsize(x.dtype)}"
    wide = _is_wide(dtype)
    w = Writer()
    source = _input(w, x, resolve, dtype)
    n, step = w.arg(x.shape[axis], "n"), w.size(inner)
    words = _input(w, x, resolve, word) if node.op == "sort" else ""
    target = w.pointer(Address.of(Value(node)), word if node.op == "sort" else "i32")
    w.line("u = lo")
    with w.block("while u < hi:"):
        w.line(f"o = u * {n}" if step == "1" else f"o = u // {step} * {step} * {n} + u % {step}")
        _sorted_line(w, dtype, source, n, step, wide, descending=False)
        w.line("j = 0")
        with w.block(f"while j < {n}:"):
            w.line(f"m = min({n} - j, LANES)")
            w.line(f"k = {_places(wide)}")
            if node.op == "sort":
                scaled = "k" if step == "1" else f"mul(k, splat_i64v({step}))"
                w.line(f"v = loadx_{word}({words}, add({scaled}, splat_i64v(o)), m)")
            else:
                w.line("v = cast_i32(k)")
            kept = word if node.op == "sort" else "i32"
            w.line(
                f"storen_{kept}({target}, o + j, v, m)" if step == "1" else f"stores_{kept}({target}, o + j * {step}, {step}, v, m)"
            )
            w.line("j += LANES")
        w.line("u += 1")
    return _finished(w, group, name, outer * inner, _scratch(x.shape[axis], wide))


def lower_top_k(group: Group, name: str, resolve) -> list[LoweredKernel]:
    """Lines of the last axis; keys are turned round, so that the largest elements come first."""
    node = group.nodes[0]
    x, k = node.inputs[0], node.attrs["k"]
    dtype, word = short_dtype(x.dtype), f"u{8 * itemsize(x.dtype)}"
    wide = _is_wide(dtype)
    w = Writer()
    source, words = _input(w, x, resolve, dtype), _input(w, x, resolve, word)
    n, count = w.arg(x.shape[-1], "n"), w.arg(k, "n")
    values, places = w.pointer(Address.of(Value(node)), word), w.pointer(Address.of(Value(node, 1)), "i32")
    w.line("u = lo")
    with w.block("while u < hi:"):
        w.line(f"o = u * {n}")
        if k <= SMALL_K:
            _memory(w, n, wide)
            _leading(w, dtype, source, n, count, wide)
        else:
            _sorted_line(w, dtype, source, n, "1", wide, descending=True)
        w.line("j = 0")
        with w.block(f"while j < {count}:"):
            w.line(f"m = min({count} - j, LANES)")
            w.line(f"k = {_places(wide)}")
            w.line(f"storen_{word}({values}, u * {count} + j, loadx_{word}({words}, add(k, splat_i64v(o)), m), m)")
            w.line(f"storen_i32({places}, u * {count} + j, cast_i32(k), m)")
            w.line("j += LANES")
        w.line("u += 1")
    return _finished(w, group, name, size(x.shape[:-1]), _scratch(x.shape[-1], wide) + 64 * 16)


def _leading(w: Writer, dtype: str, source: str, n: str, count: str, wide: bool) -> None:
    """The first `count` of the order in `a` (and `c`), by one walk along the line; `f` of them are there, `z` is the last of them.

    Vectors in which nothing comes before `z` are passed over. Places grow, so an equal key never comes before one that is there.
    """
    w.line("f = 0")
    w.line(f"z = {2**63 - 1}")
    w.line("j = 0")
    with w.block(f"while j < {n} and {count} > 0:"):
        w.line(f"m = min({n} - j, LANES)")
        w.line(f"v = loadn_{dtype}({source}, o + j, m)")
        _key(w, dtype, "v", descending=True)
        if not wide:
            _packed(w)
        better = "hany(and_(lt(k, splat_i64v(z)), firstn(m)))"
        with w.block(f"if f < {count} or lane0_i64(cast_i64({better})) != 0:"):
            w.line("store_i64(h, 0, k)")
            w.line("q = 0")
            with w.block("while q < m:"):
                w.line("x = h[q]")
                with w.block(f"if f < {count} or x < z:"):
                    with w.block(f"if f < {count}:"):
                        w.line("f += 1")
                    w.line("i = f - 2")
                    with w.block("while i >= 0 and a[i] > x:"):
                        w.line("a[i + 1] = a[i]")
                        if wide:
                            w.line("c[i + 1] = c[i]")
                        w.line("i -= 1")
                    w.line("a[i + 1] = x")
                    if wide:
                        w.line("c[i + 1] = j + q")
                    with w.block(f"if f == {count}:"):
                        w.line("z = a[f - 1]")
                w.line("q += 1")
        w.line("j += LANES")


def lower_searchsorted(group: Group, name: str, resolve) -> list[LoweredKernel]:
    """LANES values at a time are looked for by halving; a unit is one value."""
    node = group.nodes[0]
    edges, values = node.inputs
    dtype = short_dtype(edges.dtype)
    w = Writer()
    table, source = _input(w, edges, resolve, dtype), _input(w, values, resolve, dtype)
    n = w.arg(edges.shape[0], "n")
    target = w.pointer(Address.of(Value(node)), "i32")
    w.line("s = 1")
    with w.block(f"while 2 * s <= {n}:"):
        w.line("s *= 2")
    w.line("u = lo")
    with w.block("while u < hi:"):
        w.line("m = min(hi - u, LANES)")
        w.line(_integer_if_bool(dtype, f"v = loadn_{dtype}({source}, u, m)", "v"))
        w.line("k = const_i64(0)")
        with w.block(f"if {n} > 0:"):
            w.line("t = s")
            with w.block("while t > 0:"):
                w.line("g = add(k, splat_i64v(t))")
                w.line(f"i = sub(min(g, splat_i64v({n})), const_i64(1))")
                w.line(_integer_if_bool(dtype, f"e = loadx_{dtype}({table}, i, m)", "e"))
                w.line(f"b = {'lt' if node.attrs['side'] == 'left' else 'le'}(e, v)")
                if dtype in FLOATING:
                    behind = "and_(ne(v, v), eq(e, e))" if node.attrs["side"] == "left" else "ne(v, v)"
                    w.line(f"b = or_(b, {behind})")
                w.line(f"k = select(and_(b, le(g, splat_i64v({n}))), g, k)")
                w.line("t //= 2")
        w.line(f"storen_i32({target}, u, cast_i32(k), m)")
        w.line("u += LANES")
    return _finished(w, group, name, size(values.shape), 0)


def _integer_if_bool(dtype: str, statement: str, name: str) -> str:
    if dtype != "b1":
        return statement
    left, right = statement.split(" = ", 1)
    return f"{left} = cast_i32({right})"


LOWERINGS = {"sort": lower_sort, "argsort": lower_sort, "top_k": lower_top_k, "searchsorted": lower_searchsorted}
