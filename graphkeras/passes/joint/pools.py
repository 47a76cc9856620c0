"""Rules about pooling: ReLU after a maximum over windows has a fraction of the elements to look at, forward and backward."""

from graphkeras.ir.node import Node
from graphkeras.passes.engine import Const, Match, Op, Var, rule


def _holds_cells(node: Node) -> bool:
    """Whether every window holds a cell of the input: the maximum of nothing is -inf, which ReLU would change."""
    pairs = zip(node.attrs["padding"], node.attrs["window"])
    return all(isinstance(w, int) and all(isinstance(p, int) and p < w for p in padding) for padding, w in pairs)


@rule(Op("max_pool", where=_holds_cells)(Op("relu")(Var("x"))), numeric="sign_of_zero")
def relu_after_max_pool(m: Match):
    """max_pool(relu(x)) -> relu(max_pool(x))"""
    return m.make("relu", m.make("max_pool", m["x"], **m.node.attrs))


@rule(
    Op("select")(
        Op("greater")(Op("relu", name="relu")(Var("x")), Const(0)),
        Op("max_pool_gradient", name="pool", where=_holds_cells)(Var("ct"), Op("relu")(Var("x"))),
        Const(0),
    ),
    numeric="sign_of_zero",
)
def relu_before_max_pool_gradient(m: Match):
    """the gradient of max_pool(relu(x)) -> that of relu(max_pool(x)); of a window without a positive number nothing arrives"""
    attrs = m.nodes["pool"].attrs
    pooled = m.make("relu", m.make("max_pool", m["x"], **attrs))
    arriving = m.make("select", m.make("greater", pooled, 0), m["ct"], 0)
    return m.make("max_pool_gradient", arriving, m["x"], **attrs)


POOLS = (relu_after_max_pool, relu_before_max_pool_gradient)
