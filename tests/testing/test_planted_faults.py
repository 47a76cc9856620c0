"""The checkers themselves: each planted fault is caught by the generic check that is there for it."""

import dataclasses

import numpy as np
import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.ir import REGISTRY, NoGradient, Origin, origin_scope, parse_graph
from graphkeras.ir.errors import ShapeError
from graphkeras.passes import rule
from graphkeras.passes.engine import Const, Op, Var
from graphkeras.testing import check_gradients, check_rule, evaluate, sweep
from graphkeras.testing.compiled import check_compiled
from graphkeras.trace import prim


@pytest.fixture
def changed(monkeypatch):
    """Changes fields of a record for one test."""

    def change(name, **fields):
        monkeypatch.setitem(REGISTRY, name, dataclasses.replace(REGISTRY[name], **fields))
        return REGISTRY[name], REGISTRY[name].samples[0]

    return change


# Records


@pytest.mark.parametrize(
    "infer",
    [
        lambda x: x.with_dtype("float64"),
        lambda x: x.with_shape((*x.shape, 1)),
        lambda x: x.with_shape(x.shape[::-1]),
        lambda x: (x, x),
    ],
)
def test_wrong_inference(changed, infer):
    with pytest.raises(AssertionError, match="tanh infers .* but computes"):
        sweep.check_inference(*changed("tanh", infer=infer))


def test_inference_that_forgets_symbolic_sizes(changed):
    infer = lambda x: x if x.is_static else x.with_shape((1,) * x.rank)
    with pytest.raises(AssertionError, match=r"tanh infers .* for .*n2,n3"):
        sweep.check_inference(*changed("tanh", infer=infer))


@pytest.mark.parametrize(
    "vjp",
    [
        lambda ct, x, y: (ct * (1 - y),),
        lambda ct, x, y: (-ct * (1 - y * y),),
        lambda ct, x, y: (ct,),
        lambda ct, x, y: (None,),
        lambda ct, x, y: (prim.stop_gradient(ct * (1 - y * y)) + 0 * ct,),
        NoGradient("planted", zero=True),
    ],
)
def test_wrong_gradient(changed, vjp):
    with pytest.raises(AssertionError, match="derivative of order"):
        sweep.check_sample_gradients(*changed("tanh", vjp=vjp))


def test_gradient_that_is_right_only_once(changed):
    frozen = lambda ct, x, y: (ct * prim.stop_gradient(1 - y * y),)
    record, sample = changed("tanh", vjp=frozen)
    sweep.check_sample_gradients(record, sample, order=1)
    with pytest.raises(AssertionError, match="derivative of order 2"):
        sweep.check_sample_gradients(record, sample)


def test_gradient_of_the_wrong_input(changed):
    with pytest.raises(AssertionError, match="derivative of order 1"):
        sweep.check_sample_gradients(*changed("divide", vjp=lambda ct, x, y, out: (-(ct * out) / y, ct / y)))


def test_missing_gradient_must_say_why(changed):
    sweep.check_sample_gradients(*changed("tanh", vjp=NoGradient("it was planted")))


@pytest.mark.parametrize("body", [lambda k, x: k.sin(x), lambda k, x: k.add(k.tanh(x), k.const(1e-4, x)), lambda k, x: x])
def test_wrong_kernel_body(changed, body):
    with pytest.raises(AssertionError, match="tanh: compiled and exact results differ"):
        record, sample = changed("tanh", body=body)
        check_compiled(record, [sample])


def test_op_that_writes_to_its_input(changed):
    def eager(x):
        x.reshape(-1)[:1] += 1
        return np.tanh(x)

    with pytest.raises(AssertionError, match="tanh"):
        sweep.check_tracing(*changed("tanh", eager=eager))


def test_op_that_is_not_repeatable(changed):
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError, match="traced and eager results differ"):
        sweep.check_tracing(*changed("tanh", eager=lambda x: x + rng.random(x.shape).astype(x.dtype)))


def test_wrong_expansion(changed):
    with pytest.raises(AssertionError, match="softmax: expansion and meaning differ"):
        sweep.check_expansion(*changed("softmax", expand=lambda x, axes: prim.exp(x)))


def test_evaluate_takes_no_result_of_another_spec(changed):
    changed("tanh", eager=lambda x: np.tanh(x).astype(np.float64))
    graph = parse_graph("f(x: f32[3]) { %0 = tanh(x); return %0 }")
    with pytest.raises(ShapeError, match=r"tanh computed float64\[3\], not f32\[3\]"):
        evaluate(graph, [np.zeros(3, np.float32)])


# Rules

BEFORE = "f(x: f32[b,3]) { %0 = add(x, 0.0); return %0 }"
AFTER = "f(x: f32[b,3]) { return x }"


def planted(pattern, numeric="exact", **options):
    return rule(pattern, numeric=numeric, **options)


def test_rule_that_claims_too_much():
    @planted(Op("add")(Var("x"), Const(0)))
    def add_zero(m):
        """x + 0 -> x keeps the sign of no zero"""
        return m["x"]

    with pytest.raises(AssertionError, match=r"add_zero changes output 0 \(exact\)"):
        check_rule(add_zero, before=BEFORE, after=AFTER)


def test_rule_with_a_wrong_value():
    @planted(Op("add")(Var("x"), Const()), numeric="sign_of_zero")
    def add_any(m):
        """x + c -> x"""
        return m["x"]

    check_rule(add_any, before=BEFORE, after=AFTER)
    with pytest.raises(AssertionError, match="add_any changes output 0"):
        check_rule(add_any, before=BEFORE.replace("0.0", "1.0"), after=AFTER)
    with pytest.raises(AssertionError, match="applied 1 times to a near miss"):
        check_rule(add_any, before=BEFORE.replace("0.0", "1.0"), after=None)


def test_rule_with_a_wrong_gradient():
    @planted(Op("multiply")(Var("x"), Const(1)))
    def stop(m):
        """x * 1 -> stop_gradient(x)"""
        return m.make("stop_gradient", m["x"])

    case = {
        "before": "f(x: f32[3]) { %0 = multiply(x, 1.0); return %0 }",
        "after": "f(x: f32[3]) { %0 = stop_gradient(x); return %0 }",
    }
    check_rule(stop, gradient=False, **case)
    with pytest.raises(AssertionError, match="the gradient after stop changes output 0"):
        check_rule(stop, **case)


def test_rule_that_gives_another_structure_or_count():
    @planted(Op("negative")(Op("negative")(Var("x"))))
    def double_negative(m):
        """-(-x) -> x"""
        return m["x"]

    four = "f(x: f32[3]) { %0 = negative(x); %1 = negative(%0); %2 = negative(%1); %3 = negative(%2); return %3 }"
    check_rule(double_negative, before=four, after="f(x: f32[3]) { return x }", times=2)
    with pytest.raises(AssertionError, match="applied 2 times, not 1"):
        check_rule(double_negative, before=four, after="f(x: f32[3]) { return x }")
    with pytest.raises(AssertionError, match="another graph than expected:[^$]*original:[^$]*expected:[^$]*got:"):
        check_rule(double_negative, before=four, after="f(x: f32[3]) { %0 = negative(x); return %0 }")


def test_rule_that_loses_the_origin():
    @planted(Op("exp")(Var("x")))
    def again(m):
        """exp(x) -> exp(-(-x)), from nowhere"""
        if m["x"].node.op == "negative":
            return None
        with origin_scope(Origin("nowhere", "nowhere.py", 77)):
            return m.make("exp", m.make("negative", m.make("negative", m["x"])))

    with pytest.raises(AssertionError, match="again lost the origin"):
        check_rule(
            again,
            before="f(x: f32[3]) { %0 = exp(x); return %0 }",
            after="f(x: f32[3]) { %0 = negative(x); %1 = negative(%0); %2 = exp(%1); return %2 }",
        )


# Gradients


def test_check_gradients_of_functions():
    x, y = np.random.default_rng(0).uniform(0.5, 1.5, (2, 3, 4))
    check_gradients(
        lambda x, y: prim.matmul(prim.tanh(x), prim.transpose(y, perm=(1, 0)), transpose_a=False, transpose_b=False), [x, y]
    )
    check_gradients(lambda x, y: (x * y, prim.log(x) / y), [x, y], order=2)
    with pytest.raises(AssertionError, match="derivative of order 1"):
        check_gradients(lambda x: prim.stop_gradient(x) * x, [x])


def test_check_gradients_at_a_kink():
    check_gradients(lambda x: prim.absolute(x), [np.array([0.0])], order=1)
    check_gradients(lambda x: prim.reduce_max(x, axes=(0,), keepdims=False), [np.array([1.0, 1.0, 0.5])])
