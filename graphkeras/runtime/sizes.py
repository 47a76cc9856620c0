"""Sizes at run time: symbols bound from the shapes of arguments, and what must hold between them."""

from dataclasses import dataclass

from graphkeras.ir.dims import Dim, dim_max, size, substitute
from graphkeras.ir.errors import DTypeError, ShapeError
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Node
from graphkeras.ir.registry import op_def


def bind_symbols(specs, shapes, names) -> dict[str, int]:
    """Symbol -> size, from the shapes of the arguments.

    Raises:
        ShapeError: a rank, a fixed size or two uses of one symbol do not agree.
    """
    sizes: dict[str, int] = {}
    later = []
    for spec, shape, name in zip(specs, shapes, names):
        if len(spec.shape) != len(shape):
            raise _mismatch(spec, shape, name, f"rank {len(spec.shape)}")
        for axis, (dim, actual) in enumerate(zip(spec.shape, shape)):
            if not isinstance(dim, Dim):
                if dim != actual:
                    raise _mismatch(spec, shape, name, f"{dim} along axis {axis}")
            elif (symbol := _single_symbol(dim)) is not None and symbol not in sizes:
                sizes[symbol] = actual
            else:
                later.append((spec, shape, name, axis, dim, actual))
    for spec, shape, name, axis, dim, actual in later:
        if dim.symbols() <= sizes.keys() and dim.evaluate(sizes) != actual:
            raise _mismatch(
                spec, shape, name, f"{dim.evaluate(sizes)} along axis {axis}, for the other arguments give {dim} = that"
            )
    return sizes


def _single_symbol(dim: Dim):
    names = dim.symbols()
    if len(names) == 1:
        (name,) = names
        if repr(dim) == name:
            return name
    return None


def _mismatch(spec, shape, name, wanted):
    return ShapeError(
        f"argument '{name}' has another shape than the program was made for.",
        got=f"shape {tuple(shape)}",
        expected=f"{spec}: {wanted}",
        mend="pass an array of that shape, or make a program for this one",
    )


def wrong_dtype(spec, array, name) -> DTypeError:
    """The error for an array of another dtype than the argument's."""
    return DTypeError(
        f"argument '{name}' has another dtype than the program was made for.",
        got=f"{array.dtype} array of shape {array.shape}",
        expected=str(spec),
        mend=f"convert it with .astype('{spec.dtype}')",
    )


def evaluated(value, sizes) -> int:
    """A dimension (int or Dim) as an int."""
    return value.evaluate(sizes) if isinstance(value, Dim) else value


def resolved_attrs(node: Node, sizes) -> dict:
    """A node's attributes with all dimensions as ints."""
    return {name: substitute(value, sizes) for name, value in node.attrs.items()}


@dataclass(frozen=True)
class Equal:
    """Two sizes that must be equal at run time."""

    left: object
    right: object

    def holds(self, sizes) -> bool:
        """Whether the sizes are equal."""
        return evaluated(self.left, sizes) == evaluated(self.right, sizes)


@dataclass(frozen=True)
class Constraint(Equal):
    """Two sizes that must be equal at run time, and the node that needs it."""

    node: Node
    what: str

    def check(self, sizes) -> None:
        """Raises ShapeError where the sizes differ."""
        left, right = evaluated(self.left, sizes), evaluated(self.right, sizes)
        if left != right:
            bound = ", ".join(f"{name} = {n}" for name, n in sorted(sizes.items()))
            raise ShapeError(
                f"{self.node.op}: {self.what} differ ({left} and {right}).",
                got=f"{', '.join(str(v.spec) for v in self.node.inputs)} with {bound}",
                expected=f"{self.left} == {self.right}",
                where=f"node %{self.node.id}, {self.node.origin}",
                mend="pass arrays whose sizes agree",
            )


def constraints(graph: Graph) -> list[Constraint]:
    """What inference could not decide because sizes were symbols."""
    found = []

    def equal(left, right, node, what):
        if left != right:
            found.append(Constraint(left, right, node, what))

    for node in graph.nodes:
        for sub in node.subgraphs:
            found += constraints(sub)
        if node.op == "scan":
            first = node.attrs["carries"]
            for value in node.inputs[first : first + node.attrs["xs"]]:
                equal(value.shape[0], node.attrs["length"], node, "lengths of scanned operands")
        kind = op_def(node.op).kind
        if kind == "elementwise" or node.op == "assign_variable":
            target = node.specs[0].shape
            for value in node.inputs:
                for dim, wanted in zip(reversed(value.shape), reversed(target)):
                    if dim != 1:
                        equal(dim, wanted, node, "sizes along an axis")
        elif node.op == "matmul":
            a, b = (value.shape for value in node.inputs)
            equal(
                a[-2 if node.attrs.get("transpose_a") else -1], b[-1 if node.attrs.get("transpose_b") else -2], node, "inner sizes"
            )
            for value in node.inputs:
                for dim, wanted in zip(reversed(value.shape[:-2]), reversed(node.specs[0].shape[:-2])):
                    if dim != 1:
                        equal(dim, wanted, node, "batch sizes")
        elif op_def(node.op).lower.get("cpu", "").startswith("conv") or "pool" in node.op:
            for dim in node.specs[0].shape:
                equal(dim, dim_max(dim, 0), node, "an output size and the least possible one")
            if node.op == "conv":
                equal(node.inputs[0].shape[-1], node.inputs[1].shape[-2] * node.attrs["groups"], node, "numbers of channels")
        elif node.op in ("scatter_add", "scatter_reduce"):
            x, indices, updates = (value.shape for value in node.inputs)
            axis = node.attrs.get("axis", 0)
            for dim, wanted in zip(updates, (*x[:axis], *indices, *x[axis + 1 :]), strict=True):
                equal(dim, wanted, node, "sizes along an axis of the updates")
        elif node.op in ("attention", "attention_gradient"):
            given = [value.shape for value in node.inputs[node.op == "attention_gradient" :]]
            q, k, v = given[:3]
            extras = given[3:] if node.op == "attention" else given[5:]
            for axis, left, right in ((0, q, k), (2, q, k), (3, q, k), (0, k, v), (1, k, v), (2, k, v)):
                equal(left[axis], right[axis], node, f"sizes of query, key and value along axis {axis}")
            for shape in extras:
                for dim, wanted in zip(reversed(shape), (k[1], q[1], q[2], q[0])):
                    if dim != 1:
                        equal(dim, wanted, node, "sizes of the scores and of bias or mask along an axis")
        elif node.op == "top_k":
            last = node.inputs[0].shape[-1]
            equal(last, dim_max(last, node.attrs["k"]), node, "the size of the last axis and the least possible one")
        elif node.op == "reshape":
            equal(size(node.inputs[0].shape), size(node.specs[0].shape), node, "numbers of elements")
        elif node.op == "broadcast_to":
            for dim, wanted in zip(reversed(node.inputs[0].shape), reversed(node.specs[0].shape)):
                if dim != 1:
                    equal(dim, wanted, node, "sizes along an axis")
        elif node.op == "slice":
            for axis, dim in enumerate(node.inputs[0].shape):
                low, high = node.attrs["starts"][axis], node.attrs["stops"][axis]
                if node.attrs["strides"][axis] < 0:
                    low, high = high + 1, low + 1
                if node.specs[0].shape[axis] != 0:
                    equal(dim, dim_max(dim, high), node, f"the size of axis {axis} and the end of the slice")
                    equal(low, dim_max(low, 0), node, f"the first element of axis {axis} and the least possible one")
        elif node.op == "concatenate":
            for value in node.inputs:
                for axis, (dim, wanted) in enumerate(zip(value.shape, node.specs[0].shape)):
                    if axis != node.attrs["axis"]:
                        equal(dim, wanted, node, f"sizes along axis {axis}")
    return found
