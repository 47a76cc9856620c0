"""What a graph needs before it can be cut into groups: adjacent reduction axes, and copies where strides cannot express a view."""

from graphkeras.ir.dims import size
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Node, Value
from graphkeras.ir.registry import make_node, op_def
from graphkeras.schedule.control import fitting_operands
from graphkeras.schedule.host import runs_on_host
from graphkeras.schedule.layout import squeezed
from graphkeras.schedule.space import REDUCTIONS, Refused, Space, can_be_looked_up, can_be_mapped, reduced_axes
from graphkeras.schedule.views import Resolver, is_literal, matmul_layouts

CONTIGUOUS_INPUTS = {
    "gather": (0, 1), "lookup": (0, 1), "scatter_add": (1, 2), "scatter_reduce": (1, 2),
    "sort": (0,), "argsort": (0,), "top_k": (0,), "searchsorted": (0, 1), "cumsum": (0,), "cumprod": (0,),
    "conv": (0, 1), "conv_input_gradient": (0, 1), "conv_kernel_gradient": (0, 1),
    "max_pool": (0,), "max_pool_gradient": (0, 1), "max_pool_pick": (0, 1), "average_pool": (0,), "average_pool_gradient": (0,),
}  # fmt: skip
"""Inputs that an op's kernel reads without strides."""
IN_FLOAT32 = ("matmul", "conv", "conv_input_gradient", "conv_kernel_gradient")
"""Ops that half precision goes through in float32, and is rounded to at the end."""
DENSE_ROWS = {"attention": (0, 1, 2), "attention_gradient": (0, 1, 2, 3)}
"""Inputs whose last axis a kernel reads without a stride."""


def axis_runs(shape, axes) -> list[tuple[int, ...]]:
    """The reduced axes as runs that only axes of size 1 lie between.

    >>> axis_runs((2, 3, 1, 4, 5), (1, 3)), axis_runs((2, 3, 4), (0, 2))
    ([(1, 3)], [(0,), (2,)])
    """
    found: list[list[int]] = []
    for axis in axes:
        if found and not squeezed(shape[found[-1][-1] + 1 : axis]):
            found[-1].append(axis)
        else:
            found.append([axis])
    return [tuple(run) for run in found]


def prepare(graph: Graph, bound=None) -> tuple[Graph, Resolver]:
    """The same function, with

    - reductions over axes that are not adjacent done one run after the other, innermost first: their order of summation is a
      property of the shape alone;
    - a check of the indices, unless they are constants in range, and a `lookup`, which may be fused, instead of a `gather`;
    - an `identity` node that copies, wherever a reshape has no strides, a kernel cannot walk its operand, or an output would be
      somebody else's array.

    Args:
        graph: of primitives.
        bound: for a sub-graph, where its inputs lie (see `schedule.control`).
    """
    materialised: set[int] = set()
    written = {n.attrs["variable"] for n in graph.effects if n.op == "assign_variable"}
    resolve = Resolver(materialised, bound)

    def copied(value: Value) -> Value:
        node = make_node("identity", [value], origin=value.node.origin)
        materialised.add(node.id)
        return Value(node)

    def remade(node: Node, inputs, attrs=None) -> Node:
        return make_node(node.op, inputs, node.attrs if attrs is None else attrs, origin=node.origin, subgraphs=node.subgraphs)

    def reduction(node: Node, inputs):
        value = inputs[0]
        if node.op in ("argmax", "argmin"):
            new = node if inputs == node.inputs else remade(node, inputs)
        else:
            steps = axis_runs(value.shape, reduced_axes(node))
            keep = node.attrs["keepdims"]
            for axes in reversed(steps[1:]):
                value = Value(walkable(remade(node, [value], {"axes": axes, "keepdims": keep})))
            axes = steps[0] if steps else ()
            same = len(steps) <= 1 and inputs == node.inputs
            new = node if same else remade(node, [value], {"axes": axes, "keepdims": keep})
        return [Value(walkable(new))]

    def walkable(node: Node) -> Node:
        """The reduction, reading a copy if its operand's strides do not fit."""
        try:
            Space(resolve).joined(node)
        except Refused:
            node = remade(node, [copied(node.inputs[0])])
        return node

    def transform(node: Node, inputs):
        if node.op == "reshape":
            new = node if inputs == node.inputs else remade(node, inputs)
            if resolve(Value(new)) is None:
                new = remade(node, [copied(inputs[0])])
            return [Value(new)]
        if not can_be_mapped(node) and not resolve.is_view(node):
            # Only loops over a space make such numbers as they go; all other kernels read memory.
            inputs = tuple(copied(v) if resolve(v)[0].node.op in ("iota", "dim") else v for v in inputs)
        if runs_on_host(node):
            return None if inputs == node.inputs else remade(node, inputs).outputs
        if node.op in IN_FLOAT32 and node.specs[0].dtype in ("float16", "bfloat16"):
            wide = tuple(Value(make_node("cast", [v], {"dtype": "float32"}, origin=node.origin)) for v in inputs)
            inner = remade(node, wide)
            new = transform(inner, wide) or inner.outputs
            return [Value(make_node("cast", new, {"dtype": node.specs[0].dtype}, origin=node.origin))]
        if node.op in REDUCTIONS:
            return reduction(node, inputs)
        if node.op == "gather" and _is_lookup(node):
            found = _checked_lookup(node, inputs)
            return transform(found, found.inputs) or found.outputs
        if node.op in CONTIGUOUS_INPUTS and not can_be_mapped(node):
            inputs = tuple(
                copied(v) if i in CONTIGUOUS_INPUTS[node.op] and not _is_array(resolve, v) else v for i, v in enumerate(inputs)
            )
        elif node.op in DENSE_ROWS:
            dense = lambda v: not v.shape or resolve(v)[1].strides[-1] == 1 or v.shape[-1] == 1
            inputs = tuple(copied(v) if i in DENSE_ROWS[node.op] and not dense(v) else v for i, v in enumerate(inputs))
        elif node.subgraphs:
            inputs = fitting_operands(node, inputs, resolve, copied)
        elif node.op == "matmul":
            return product(node, inputs)
        elif node.op == "assign_variable":
            source = resolve(inputs[0])[0].node
            if source.op == "read_variable" and source.attrs["variable"] in written:  # two variables may exchange their values
                inputs = (copied(inputs[0]),)
        elif node.op == "random_bits" and resolve(inputs[0])[0].node.op == "iota":
            inputs = (copied(inputs[0]),)
        return None if inputs == node.inputs else remade(node, inputs).outputs

    def product(node: Node, inputs):
        dtype = node.specs[0].dtype
        if dtype not in ("float32", "float64"):
            return [_integer_product(node, inputs)]
        new = node if inputs == node.inputs else remade(node, inputs)
        if matmul_layouts(new, resolve) is None:
            batch = node.specs[0].shape[:-2]
            inputs = [
                copied(Value(make_node("broadcast_to", [v], {"shape": (*batch, *v.shape[-2:])}, origin=node.origin)))
                for v in inputs
            ]
            new = remade(node, inputs)
        return None if new is node else [Value(new)]

    rewritten = graph.rewrite(transform)
    return _with_own_outputs(rewritten, resolve, copied), resolve


def _with_own_outputs(graph: Graph, resolve, copied) -> Graph:
    """Every output is computed by a kernel, into an array that nothing else shares."""
    taken, outputs = set(), []
    for value in graph.outputs:
        base, layout = resolve(value)
        kind = op_def(base.node.op).kind
        own = layout.is_contiguous and layout.size == size(base.shape) and base not in taken and base not in resolve.outside
        if not own or base.node.op in ("input", "constant", "iota", "dim", "read_variable") or kind == "view":
            value = copied(value)
            base = value
        taken.add(base)
        outputs.append(value)
    return Graph(graph.name, graph.inputs, outputs, graph.effects)


def _is_lookup(node: Node) -> bool:
    """Whether a gather can be a check of its indices and a lookup: the table is known not to be empty."""
    limit = node.inputs[0].shape[node.attrs["axis"]]
    return can_be_looked_up(node) and isinstance(limit, int) and limit > 0 and not is_literal(node.inputs[1])


def _checked_lookup(node: Node, inputs) -> Node:
    x, indices = inputs
    limit = x.shape[node.attrs["axis"]]
    if _is_in_range(indices, limit):
        return make_node("lookup", inputs, node.attrs, origin=node.origin)
    low = 0 if indices.dtype.startswith("uint") else -limit  # the largest of uint64 are no negative numbers
    checked = make_node("check_range", [indices], {"low": low, "high": limit, "what": "gather: index"}, origin=node.origin)
    return make_node("lookup", [x, Value(checked)], node.attrs, origin=node.origin)


def _is_in_range(indices: Value, limit: int) -> bool:
    """Whether indices are constants that need no check."""
    if indices.node.op != "constant":
        return False
    places = indices.node.attrs["value"].array
    return bool(((places >= -limit) & (places < limit)).all())


def _integer_product(node: Node, inputs) -> Value:
    """a @ b of integers as a sum of products; integers add up to the same in any order."""

    def made(op, values, **attrs):
        return Value(make_node(op, values, attrs, origin=node.origin))

    sides = []
    for value, transposed, axis in zip(inputs, (node.attrs["transpose_a"], node.attrs["transpose_b"]), (-1, -3)):
        rank = len(value.shape)
        if transposed:
            value = made("transpose", [value], perm=(*range(rank - 2), rank - 1, rank - 2))
        shape = (*value.shape, 1) if axis == -1 else (*value.shape[:-2], 1, *value.shape[-2:])
        sides.append(made("reshape", [value], shape=shape))
    products = made("multiply", sides)  # (..., M, K, N)
    return made("reduce_sum", [products], axes=(len(products.shape) - 2,), keepdims=False)


def _is_array(resolve, value) -> bool:
    return resolve(value)[1].is_contiguous
