"""Rules for a graph that will not be differentiated any more."""

from graphkeras.passes.engine import Match, Op, Var, rule


@rule(Op("stop_gradient")(Var("x")), numeric="exact")
def drop_stop_gradient(m: Match):
    """stop_gradient(x) -> x, once all gradients have been formed"""
    return m["x"]


BARRIERS = (drop_stop_gradient,)
