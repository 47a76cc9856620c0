"""Pieces that all loop kernels share: operands with their strides, joined axes, and bodies of nodes at one point of a loop."""

from graphkeras.ir.dims import size
from graphkeras.ir.dtypes import itemsize
from graphkeras.ir.node import Node, Value
from graphkeras.ir.registry import op_def
from graphkeras.lowering.cpu.kernel import Address
from graphkeras.lowering.cpu.source import HALF, Handler, Vec, Writer, short_dtype
from graphkeras.schedule.layout import joined_axes
from graphkeras.schedule.space import Space
from graphkeras.schedule.views import is_literal


class Operand:
    """Something read at every point of a loop: an array, or numbers made in place (iota, the counter of random bits, a size).

    Args:
        w: writer of the kernel.
        base: the array, or the node that makes the numbers.
        offset: element of the first point.
        role: "memory", "iota", "counter" or "dim".
    """

    def __init__(self, w: Writer, base: Value, offset, role: str):
        self.w, self.base, self.role = w, base, role
        self.dtype = short_dtype(base.dtype)
        self.hoisted: Vec | None = None
        if role == "memory":
            self.pointer = w.pointer(Address.of(base, offset), self.dtype)
            self.start = "0"
        elif role == "dim":
            self.start = w.size(base.node.attrs["size"])
        else:
            self.start = w.size(offset)

    def fetch(self, at: str, step, index: str, lanes: str | None, shift: str | Vec | None = None) -> Vec:
        """The elements at `at + index * step`; `step` is 0, 1 or the source of a stride. All are as many elements further as `shift` says,
        or each as many as its lane says."""
        w = self.w
        if isinstance(shift, Vec):
            return self._fetch_lanes(at, step, index, lanes, shift)
        if shift is not None:
            at = added(at, shift)
        if self.role == "dim":
            return w.assign(f"cast_{self.dtype}(splat_i64v({self.start}))", self.dtype)
        if self.role != "memory":
            first = added(self.start, at, index if step == "1" else product(index, step))
            if step == "0":
                vector = f"splat_i64v({added(self.start, at)})"
            elif step == "1":
                vector = f"iota({first})"
            else:
                vector = f"add(splat_i64v({added(self.start, at)}), mul(iota({index}), splat_i64v({step})))"
            if self.role == "counter":
                return w.assign(vector, "i64")
            return w.assign(vector if self.dtype == "i64" else f"cast_{self.dtype}({vector})", self.dtype)
        p, dtype = self.pointer, self.dtype
        if step == "0":
            return w.assign(f"splat_{dtype}({p}, {at})", dtype)
        if step == "1":
            place = added(at, index)
            return w.assign(f"load_{dtype}({p}, {place})" if lanes is None else f"loadn_{dtype}({p}, {place}, {lanes})", dtype)
        place = added(at, product(index, step))
        return w.assign(f"loads_{dtype}({p}, {place}, {step}, {lanes or 'LANES'})", dtype)

    def _fetch_lanes(self, at, step, index, lanes, shift):
        w, places = self.w, shift.name
        start = added("0" if self.role == "memory" else self.start, at)
        if start != "0":
            places = f"add({places}, splat_i64v({start}))"
        if step != "0":
            places = f"add({places}, mul(iota({index}), splat_i64v({step})))"
        if self.role == "memory":
            return w.assign(f"loadx_{self.dtype}({self.pointer}, {places}, {lanes or 'LANES'})", self.dtype)
        return w.assign(places if self.dtype == "i64" else f"cast_{self.dtype}({places})", self.dtype)


def role_of(base: Value, position: int) -> str:
    """How a base value is read."""
    if position == -1:
        return "counter"
    return base.node.op if base.node.op in ("iota", "dim") else "memory"


def read_everywhere(reads, places) -> set[int]:
    """Places in a list of operands of those that are read at every point; of tables only what is looked up is."""
    return {places[read.node.id, read.position] for read in reads if not read.is_table}


def added(*terms: str) -> str:
    """The sum of expressions, zeros left out."""
    kept = [t for t in terms if t != "0"]
    return " + ".join(kept) if kept else "0"


def product(left: str, right: str) -> str:
    """The product of two factors, which may be 0 or 1."""
    if "0" in (left, right):
        return "0"
    return right if left == "1" else left if right == "1" else f"{left} * {right}"


def store(w: Writer, pointer: str, dtype: str, place: str, value: Vec, lanes: str | None) -> None:
    """Contiguous elements from `place` on."""
    w.line(
        f"store_{dtype}({pointer}, {place}, {value.name})"
        if lanes is None
        else f"storen_{dtype}({pointer}, {place}, {value.name}, {lanes})"
    )


class Store:
    """Something a kernel writes: a value that others read, or a variable.

    Args:
        w: writer of the kernel.
        value: what is written.
        variable: the variable, if it is one.
        place: array and layout of which the value is a part, if it is one.
    """

    def __init__(self, w: Writer, value: Value, variable=None, place=None):
        self.value = value
        self.dtype = short_dtype(value.dtype)
        whole, offset = (value, 0) if place is None else (place[0], place[1].offset)
        target = Address(variable, 0, itemsize(value.dtype)) if variable is not None else Address.of(whole, offset)
        self.pointer = w.pointer(target, self.dtype)


class Hoisted:
    """What nodes need besides their operands, at the head of a kernel.

    Attributes:
        words: two words of the key of each random-bits node, by node id.
        tables: size of the axis, and the stride along it, of each table that is looked up, by node id.
    """

    def __init__(self, w: Writer, nodes, resolve):
        self.words, self.tables = {}, {}
        for node in nodes:
            if node.op == "lookup":
                axis = node.attrs["axis"]
                self.tables[node.id] = w.arg(node.inputs[0].shape[axis], "n"), w.size(resolve(node.inputs[0])[1].strides[axis])
            elif node.op == "random_bits":
                base, layout = resolve(node.inputs[0])
                if is_literal(base) or base.node.op == "constant":
                    words = [f"const_u32({int(x)})" for x in base.node.attrs["value"].array.reshape(-1)]
                    words = words * 2 if len(words) == 1 else words
                    self.words[node.id] = words
                    continue
                pointer = w.pointer(Address.of(base, layout.offset), "u32")
                step = w.size(layout.strides[0])
                names = [w.name("k"), w.name("k")]
                w.head(f"{names[0]} = splat_u32({pointer}, 0)")
                w.head(f"{names[1]} = splat_u32({pointer}, {step})")
                self.words[node.id] = names


class Body:
    """Values of nodes at one point of a loop; made in order, each once.

    Args:
        w: writer.
        space: the group's space.
        load: `(node, position, base, shift=None) -> Vec` for what comes from outside; `shift` as in `Operand.fetch`.
        hoisted: what stands at the head of the kernel.
        position, lanes: see `Handler`.
    """

    def __init__(self, w: Writer, space: Space, load, hoisted: Hoisted, position="0", lanes=None):
        self.w, self.space, self.load, self.hoisted = w, space, load, hoisted
        self.k = Handler(w, position, lanes)
        self.values: dict[Value, Vec] = {}

    def operand(self, node: Node, position: int) -> Vec:
        """One input of a node."""
        base, _ = self.space.resolve(node.inputs[position])
        if base in self.values:
            return self.values[base]
        if is_literal(base):
            return self.w.literal(base.node.attrs["value"].array.reshape(-1)[0].item(), short_dtype(base.dtype))
        return self.load(node, position, base)

    def compute(self, node: Node) -> Vec:
        """The node's value here."""
        if node.op == "random_bits":
            counter = self.load(node, -1, Value(node))
            self.w.note(f"{node!r}    {node.origin}")
            result = self.k.random_bits(*self.hoisted.words[node.id], counter)
        elif node.op == "lookup":
            result = self._looked_up(node)
        else:
            operands = [self.operand(node, i) for i in range(len(node.inputs))]
            self.w.note(f"{node!r}    {node.origin}")
            self.k.node = node
            result = op_def(node.op).body(self.k, *operands, **node.attrs)
            result = rounded(self.w, result, short_dtype(node.specs[0].dtype), operands)
        self.values[Value(node)] = result
        return result

    def _looked_up(self, node: Node) -> Vec:
        """Runs have one place for all lanes: what it takes to find it is moved out of the loop by the compiler."""
        (table, _), (limit, stride) = self.space.resolve(node.inputs[0]), self.hoisted.tables[node.id]
        place = self.operand(node, 1)
        self.w.note(f"{node!r}    {node.origin}")
        if size(node.inputs[0].shape[node.attrs["axis"] + 1 :]) == 1:
            return self.load(node, 0, table, self._clipped_lanes(place, limit, stride))
        return self.load(node, 0, table, product(clipped_place(self.w, place, limit), stride))

    def _clipped_lanes(self, place: Vec, limit: str, stride: str) -> Vec:
        w, n = self.w, f"splat_i64v({limit})"
        x = w.assign(f"cast_i64({place.name})", "i64").name
        x = w.assign(f"select(lt({x}, const_i64(0)), add({x}, {n}), {x})", "i64").name
        x = w.assign(f"max(min({x}, sub({n}, const_i64(1))), const_i64(0))", "i64")
        return x if stride == "1" else w.assign(f"mul({x.name}, splat_i64v({stride}))", "i64")


def clipped_place(w: Writer, place: Vec, limit: str) -> str:
    """A local that holds the index of a lookup: counted from the end if it is negative, then clipped to what there is."""
    x = w.name("x")
    w.line(f"{x} = lane0_i64(cast_i64({place.name}))")
    w.line(f"{x} = max(min({x} + min(max(-{x}, 0), 1) * {limit}, {limit} - 1), 0)")
    return x


def rounded(w: Writer, result: Vec, dtype: str, operands) -> Vec:
    """Half precision is computed as f32 and rounded at every node."""
    if dtype in HALF and result not in operands and not (result.dtype == dtype and result.name.startswith("c")):
        return w.assign(f"cast_{dtype}({result.name})", dtype)
    return result if result.dtype == dtype else w.assign(f"cast_{dtype}({result.name})", dtype)


def outer_loop_index(w: Writer, index: str, sizes: list) -> list[str]:
    """Indices of each of the outer axes for a running number."""
    if len(sizes) <= 1:
        return [index][: len(sizes)]
    names = [w.name("i") for _ in sizes]
    rest = index
    for position in range(len(sizes) - 1, 0, -1):
        n = w.size(sizes[position])
        w.line(f"{names[position]} = {rest} % {n}")
        quotient = w.name("q") if position > 1 else names[0]
        w.line(f"{quotient} = {rest} // {n}")
        rest = quotient
    return names


def offset_source(w: Writer, indices: list[str], strides) -> str:
    """A local that holds the offset of an operand for given outer indices; the text of a literal where there is none."""
    terms = [product(i, w.size(s)) for i, s in zip(indices, strides)]
    text = added(*terms)
    if text == "0" or text.isidentifier():
        return text
    name = w.name("o")
    w.line(f"{name} = {text}")
    return name


__all__ = [
    "Body", "Hoisted", "Operand", "Store", "added", "clipped_place", "joined_axes", "offset_source", "outer_loop_index", "product",
    "read_everywhere", "role_of", "rounded", "store",
]  # fmt: skip
