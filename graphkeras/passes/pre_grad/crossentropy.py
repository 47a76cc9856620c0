"""Losses of probabilities look through to the logits.

`ops.*_crossentropy` do so by themselves where the probabilities come straight from a softmax or sigmoid, as in Keras on TensorFlow.
These rules find the same formulas when they were written out by hand: no clipping to [epsilon, 1 - epsilon], no loss of digits, and
a gradient that does not vanish for confident wrong answers. They change how results round, so they are off unless asked for.
"""

from graphkeras.passes.engine import Const, Match, OneOf, Op, Var, rule

_LOW = Const(where=lambda number: 0 < number < 0.01)
_HIGH = Const(where=lambda number: 0.99 < number < 1)


def _clipped(pattern):
    """`clip(x, epsilon, 1 - epsilon)` in either order."""
    return OneOf(
        Op("minimum")(Op("maximum")(pattern, _LOW), _HIGH),
        Op("maximum")(Op("minimum")(pattern, _HIGH), _LOW),
    )


def _over_last_axis(node) -> bool:
    return node.attrs["axes"] == (node.specs[0].rank - 1,)


def _over_last_axis_of_input(node) -> bool:
    return node.attrs["axes"] == (node.inputs[0].spec.rank - 1,)


_SOFTMAX = Op("softmax", where=_over_last_axis)(Var("logits"))
_NORMALIZED = Op("divide")(
    Op("softmax", where=_over_last_axis, name="softmax")(Var("logits")),
    Op("reduce_sum", where=_over_last_axis_of_input)(Op("softmax", name="summed")),
)
_SIGMOID = Op("sigmoid")(Var("logits"))


@rule(Op("sparse_softmax_crossentropy")(Op("log")(_clipped(_SOFTMAX)), Var("labels")), numeric="rounding")
def sparse_crossentropy_of_softmax(m: Match):
    """cross-entropy of log(clip(softmax(x))) -> cross-entropy of the logits x"""
    return m.make("sparse_softmax_crossentropy", m["logits"], m["labels"])


@rule(
    Op("reduce_sum", where=_over_last_axis_of_input)(
        Op("multiply")(Var("targets"), Op("log")(_clipped(OneOf(_NORMALIZED, _SOFTMAX))))
    ),
    commutes=True,
    numeric="rounding",
)
def crossentropy_of_softmax(m: Match):
    """sum(targets * log(clip(softmax(x)))) -> minus the cross-entropy of the logits x"""
    if m["targets"].spec != m["logits"].spec or m.nodes.get("softmax") is not m.nodes.get("summed"):
        return None
    loss = m.make("softmax_crossentropy", m["logits"], m["targets"])
    if m.node.attrs["keepdims"]:
        loss = m.make("reshape", loss, shape=m.node.specs[0].shape)
    return m.make("negative", loss)


@rule(
    Op("add")(
        Op("multiply")(Var("targets"), Op("log")(_clipped(_SIGMOID))),
        Op("multiply")(Op("subtract")(Const(1), Var("targets")), Op("log")(Op("subtract")(Const(1), _clipped(_SIGMOID)))),
    ),
    commutes=True,
    numeric="rounding",
)
def crossentropy_of_sigmoid(m: Match):
    """t * log(clip(s)) + (1 - t) * log(1 - clip(s)) with s = sigmoid(x) -> minus the cross-entropy of the logits x"""
    if m["targets"].spec != m["logits"].spec:
        return None
    return m.make("negative", m.make("sigmoid_crossentropy", m["logits"], m["targets"]))


CROSSENTROPY = (sparse_crossentropy_of_softmax, crossentropy_of_softmax, crossentropy_of_sigmoid)
