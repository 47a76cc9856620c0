"""The stability and cross-entropy tables: rewrites that change how results round."""

import numpy as np
import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.ir import parse_graph
from graphkeras.passes import PRE_GRAD, run
from graphkeras.passes.pre_grad import crossentropy, stability
from graphkeras.testing import check_rule, evaluate

X = "f(x: f32[b,3]) {"
P = "f(x: f32[b,5], t: f32[b,5]) {"
LO, HI = "1e-07", "0.9999999"
POSITIVE = {"x": lambda rng, shape: rng.uniform(-0.5, 2, shape)}
LABELS = {"t": lambda rng, shape: rng.integers(0, 5, shape)}
SHARES = {"t": lambda rng, shape: rng.uniform(0, 1, shape)}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("log_of_softmax", X + "%0 = softmax(x, axes=(1,)); %1 = log(%0); return %1 }", X + "%0 = log_softmax(x, axes=(1,)); "
         "return %0 }"),
        ("log_of_softmax", X + "%0 = softmax(x, axes=(1,)); %1 = exp(%0); return %1 }", None),
        ("log_of_sigmoid", X + "%0 = sigmoid(x); %1 = log(%0); return %1 }",
         X + "%0 = negative(x); %1 = softplus(%0); %2 = negative(%1); return %2 }"),
        ("log_of_sigmoid", X + "%0 = log(x); %1 = sigmoid(%0); return %1 }", None),
        ("log_of_one_plus", X + "%0 = add(1.0, x); %1 = log(%0); return %1 }", X + "%0 = log1p(x); return %0 }"),
        ("log_of_one_plus", X + "%0 = add(2.0, x); %1 = log(%0); return %1 }", None),
        ("exp_minus_one", X + "%0 = exp(x); %1 = subtract(%0, 1.0); return %1 }", X + "%0 = expm1(x); return %0 }"),
        ("exp_minus_one", X + "%0 = exp(x); %1 = subtract(1.0, %0); return %1 }", None),
        ("log_sum_exp", X + "%0 = exp(x); %1 = reduce_sum(%0, axes=(1,), keepdims=true); %2 = log(%1); return %2 }",
         X + "%0 = logsumexp(x, axes=(1,), keepdims=true); return %0 }"),
        ("log_sum_exp", X + "%0 = exp(x); %1 = reduce_max(%0, axes=(1,), keepdims=true); %2 = log(%1); return %2 }", None),
    ],
)  # fmt: skip
def test_stability_rule(name, before, after):
    check_rule(getattr(stability, name), before=before, after=after, inputs=POSITIVE)


def test_stability_is_off_unless_asked_for():
    graph = parse_graph(X + "%0 = sigmoid(x); %1 = log(%0); return %1 }")
    assert run(graph, PRE_GRAD)[0] is graph
    better, _ = run(graph, PRE_GRAD, numeric={"exact", "rounding"})
    x = np.full((1, 3), -200, np.float32)
    assert np.isneginf(evaluate(graph, [x])[0][0]).all()
    assert (evaluate(better, [x])[0][0] == -200).all()


def clip(name, low=LO, high=HI, start=1):
    return f"%{start} = maximum({name}, {low}); %{start + 1} = minimum(%{start}, {high});"


SPARSE = "f(x: f32[b,5], t: i32[b]) {"
SPARSE_AFTER = SPARSE + "%0 = sparse_softmax_crossentropy(x, t); return %0 }"
NORMALIZED = "%0 = softmax(x, axes=(1,)); %9 = reduce_sum(%0, axes=(1,), keepdims=true); %8 = divide(%0, %9);"
TAIL = "%3 = log(%2); %4 = multiply(t, %3); %5 = reduce_sum(%4, axes=(1,), keepdims=false);"
BINARY_TAIL = (
    "%3 = log(%2); %4 = multiply(t, %3); %5 = subtract(1.0, t); %6 = subtract(1.0, %2); %7 = log(%6); %8 = multiply(%5, %7);"
)


@pytest.mark.parametrize(
    ("name", "before", "after", "inputs"),
    [
        ("sparse_crossentropy_of_softmax",
         SPARSE + "%0 = softmax(x, axes=(1,));" + clip("%0") + "%3 = log(%2); %4 = sparse_softmax_crossentropy(%3, t); return %4 }",
         SPARSE_AFTER, LABELS),
        ("sparse_crossentropy_of_softmax",
         SPARSE + "%0 = softmax(x, axes=(1,)); %1 = minimum(%0, 0.9999999); %2 = maximum(%1, 1e-07);"
         "%3 = log(%2); %4 = sparse_softmax_crossentropy(%3, t); return %4 }", SPARSE_AFTER, LABELS),
        # A softmax over another axis, a clip that is meant, and no clip at all.
        ("sparse_crossentropy_of_softmax",
         SPARSE + "%0 = softmax(x, axes=(0,));" + clip("%0") + "%3 = log(%2); %4 = sparse_softmax_crossentropy(%3, t); return %4 }",
         None, LABELS),
        ("sparse_crossentropy_of_softmax",
         SPARSE + "%0 = softmax(x, axes=(1,));" + clip("%0", "0.1", "0.9") + "%3 = log(%2); "
          "%4 = sparse_softmax_crossentropy(%3, t);"
         "return %4 }", None, LABELS),
        ("crossentropy_of_softmax", P + NORMALIZED + clip("%8") + TAIL + "return %5 }",
         P + "%0 = softmax_crossentropy(x, t); %1 = negative(%0); return %1 }", SHARES),
        ("crossentropy_of_softmax", P + "%0 = softmax(x, axes=(1,));" + clip("%0") + TAIL + "return %5 }",
         P + "%0 = softmax_crossentropy(x, t); %1 = negative(%0); return %1 }", SHARES),
        ("crossentropy_of_softmax", P + "%0 = softmax(x, axes=(1,));" + clip("%0") + TAIL.replace("false", "true") + "return %5 }",
         P + "%0 = softmax_crossentropy(x, t); %1 = reshape(%0, shape=(b, 1)); %2 = negative(%1); return %2 }", SHARES),
        ("crossentropy_of_softmax", P + "%0 = softmax(x, axes=(1,));" + clip("%0") + TAIL.replace("(1,)", "(0,)") + "return %5 }",
         None, SHARES),
        ("crossentropy_of_softmax", "f(x: f32[b,5], t: f32[5]) { %0 = softmax(x, axes=(1,));" + clip("%0") + TAIL + "return %5 }",
         None, SHARES),
        ("crossentropy_of_sigmoid", P + "%0 = sigmoid(x);" + clip("%0") + BINARY_TAIL + "%9 = add(%4, %8); return %9 }",
         P + "%0 = sigmoid_crossentropy(x, t); %1 = negative(%0); return %1 }", SHARES),
        ("crossentropy_of_sigmoid", P + "%0 = sigmoid(x);" + clip("%0") + BINARY_TAIL + "%9 = add(%8, %4); return %9 }",
         P + "%0 = sigmoid_crossentropy(x, t); %1 = negative(%0); return %1 }", SHARES),
        ("crossentropy_of_sigmoid", P + "%0 = sigmoid(x);" + clip("%0") + BINARY_TAIL + "%9 = subtract(%4, %8); "
         "return %9 }", None, SHARES),
        ("crossentropy_of_sigmoid", P + "%0 = tanh(x);" + clip("%0") + BINARY_TAIL + "%9 = add(%4, %8); return %9 }", None, SHARES),
    ],
)  # fmt: skip
def test_crossentropy_rule(name, before, after, inputs):
    check_rule(getattr(crossentropy, name), before=before, after=after, inputs=inputs)


def test_a_confident_wrong_answer_keeps_its_gradient():
    text = (
        SPARSE + "%0 = softmax(x, axes=(1,));" + clip("%0") + "%3 = log(%2); %4 = sparse_softmax_crossentropy(%3, t); return %4 }"
    )
    assert evaluate(run(parse_graph(text), PRE_GRAD)[0], [np.float32([[100, 0, 0, 0, 0]]), np.int32([1])])[0][0] < 20
    graph, reports = run(parse_graph(text), PRE_GRAD, numeric={"rounding"})
    assert sum(r.rules["sparse_crossentropy_of_softmax"].applied for r in reports if r.name == "crossentropy") == 1
    x = np.float32([[100, 0, 0, 0, 0]])
    assert evaluate(graph, [x, np.int32([1])])[0][0] == 100
