"""Each rule of the algebra table: what it does, and a near miss."""

import numpy as np
import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.ir.dtypes import FLOATS, INTEGERS, numpy_dtype
from graphkeras.passes.joint import algebra
from graphkeras.passes.joint.algebra import ALGEBRA, cast_is_exact
from graphkeras.testing import check_rule

X = "f(x: f32[b,3]) {"
XY = "f(x: f32[b,3], y: f32[b,3]) {"
I = "f(x: i32[b,3]) {"  # noqa: E741
C = "f(c: b1[b,3], x: f32[b,3], y: f32[b,3]) {"

# rule, before, after; None for a near miss
CASES = [
    ("add_zero", X + "%0 = add(x, 0.0); return %0 }", X + "return x }"),
    ("add_zero", X + "%0 = add(-0.0, x); return %0 }", X + "return x }"),
    ("add_zero", X + "%0 = constant(value=f32[3]{0.0, 0.0, 0.0}); %1 = add(x, %0); return %1 }", X + "return x }"),
    ("add_zero", X + "%0 = broadcast_to(0.0, shape=(b, 3)); %1 = add(x, %0); return %1 }", X + "return x }"),
    ("add_zero", X + "%0 = constant(value=f32[4,1,1]{0.0, 0.0, 0.0, 0.0}); %1 = add(x, %0); return %1 }", None),
    ("add_zero", X + "%0 = add(x, 1e-30); return %0 }", None),
    ("add_zero", X + "%0 = constant(value=f32[3]{0.0, 0.0, 1.0}); %1 = add(x, %0); return %1 }", None),
    ("subtract_zero", I + "%0 = subtract(x, 0); return %0 }", I + "return x }"),
    ("subtract_zero", X + "%0 = subtract(0.0, x); return %0 }", None),
    ("subtract_from_zero", X + "%0 = subtract(0.0, x); return %0 }", X + "%0 = negative(x); return %0 }"),
    ("subtract_from_zero", X + "%0 = subtract(x, 0.0); return %0 }", None),
    ("multiply_one", X + "%0 = multiply(1.0, x); return %0 }", X + "return x }"),
    ("multiply_one", X + "%0 = multiply(x, 1.0000001); return %0 }", None),
    ("multiply_minus_one", X + "%0 = multiply(x, -1.0); return %0 }", X + "%0 = negative(x); return %0 }"),
    ("multiply_minus_one", X + "%0 = multiply(x, 1.0); return %0 }", None),
    ("divide_one", X + "%0 = divide(x, 1.0); return %0 }", X + "return x }"),
    ("power_one", "f(x: f32[3]) { %0 = power(x, 1.0); return %0 }", "f(x: f32[3]) { return x }"),
    ("power_one", "f(x: f32[3]) { %0 = power(x, 1.5); return %0 }", None),
    ("divide_one", X + "%0 = divide(1.0, x); return %0 }", None),
    ("floor_divide_one", I + "%0 = floor_divide(x, 1); return %0 }", I + "return x }"),
    ("floor_divide_one", X + "%0 = floor_divide(x, 1.0); return %0 }", None),
    ("power_two", X + "%0 = power(x, 2.0); return %0 }", X + "%0 = square(x); return %0 }"),
    ("power_two", X + "%0 = power(2.0, x); return %0 }", None),
    ("divide_by_power_of_two", X + "%0 = divide(x, 4.0); return %0 }", X + "%0 = multiply(x, 0.25); return %0 }"),
    ("divide_by_power_of_two", X + "%0 = divide(x, -0.5); return %0 }", X + "%0 = multiply(x, -2.0); return %0 }"),
    ("divide_by_power_of_two", X + "%0 = divide(x, 3.0); return %0 }", None),
    ("divide_by_power_of_two", X + "%0 = divide(x, 0.0); return %0 }", None),
    ("divide_by_power_of_two", X + "%0 = divide(x, inf); return %0 }", None),
    ("divide_by_power_of_two", X + "%0 = divide(x, 1e-45); return %0 }", None),
    ("double_negative", X + "%0 = negative(x); %1 = negative(%0); return %1 }", X + "return x }"),
    ("double_negative", X + "%0 = negative(x); %1 = absolute(%0); return %1 }", None),
    ("double_not", "f(c: b1[3]) { %0 = logical_not(c); %1 = logical_not(%0); return %1 }", "f(c: b1[3]) { return c }"),
    ("double_not", "f(c: b1[3]) { %0 = logical_not(c); return %0 }", None),
    ("double_bitwise_not", I + "%0 = bitwise_not(x); %1 = bitwise_not(%0); return %1 }", I + "return x }"),
    ("double_bitwise_not", I + "%0 = bitwise_not(x); %1 = negative(%0); return %1 }", None),
    ("add_negative", XY + "%0 = negative(y); %1 = add(x, %0); return %1 }", XY + "%0 = subtract(x, y); return %0 }"),
    ("add_negative", XY + "%0 = negative(x); %1 = add(%0, y); return %1 }", XY + "%0 = subtract(y, x); return %0 }"),
    ("add_negative", XY + "%0 = negative(y); %1 = multiply(x, %0); return %1 }", None),
    ("subtract_negative", XY + "%0 = negative(y); %1 = subtract(x, %0); return %1 }", XY + "%0 = add(x, y); return %0 }"),
    ("subtract_negative", XY + "%0 = negative(y); %1 = subtract(%0, x); return %1 }", None),
    ("negatives_cancel", XY + "%0 = negative(x); %1 = negative(y); %2 = divide(%0, %1); return %2 }",
     XY + "%0 = divide(x, y); return %0 }"),
    ("negatives_cancel", XY + "%0 = negative(x); %1 = multiply(%0, y); return %1 }", None),
    ("idempotent", X + "%0 = relu(x); %1 = relu(%0); return %1 }", X + "%0 = relu(x); return %0 }"),
    ("idempotent", X + "%0 = floor(x); %1 = floor(%0); return %1 }", X + "%0 = floor(x); return %0 }"),
    ("idempotent", X + "%0 = floor(x); %1 = ceil(%0); return %1 }", None),
    ("relu_of_nonnegative", X + "%0 = exp(x); %1 = relu(%0); return %1 }", X + "%0 = exp(x); return %0 }"),
    ("relu_of_nonnegative", X + "%0 = tanh(x); %1 = relu(%0); return %1 }", None),
    ("relu_of_nonnegative", I + "%0 = square(x); %1 = relu(%0); return %1 }", None),
    ("same_twice", X + "%0 = maximum(x, x); return %0 }", X + "return x }"),
    ("same_twice", "f(c: b1[3]) { %0 = logical_and(c, c); return %0 }", "f(c: b1[3]) { return c }"),
    ("same_twice", XY + "%0 = maximum(x, y); return %0 }", None),
    ("same_twice", X + "%0 = add(x, x); return %0 }", None),
    ("select_same", C + "%0 = select(c, x, x); return %0 }", C + "return x }"),
    ("select_same", C + "%0 = select(c, x, y); return %0 }", None),
    ("select_same", "f(c: b1[4,3], x: f32[3]) { %0 = select(c, x, x); return %0 }", None),
    ("select_constant", C + "%0 = select(true, x, y); return %0 }", C + "return x }"),
    ("select_constant", C + "%0 = select(false, x, y); return %0 }", C + "return y }"),
    ("select_constant", "f(x: f32[3], y: f32[b,3]) { %0 = select(true, x, y); return %0 }",
     "f(x: f32[3], y: f32[b,3]) { %0 = broadcast_to(x, shape=(b, 3)); return %0 }"),
    ("select_constant", C + "%0 = select(c, 1.0, y); return %0 }", None),
    ("select_not", C + "%0 = logical_not(c); %1 = select(%0, x, y); return %1 }", C + "%0 = select(c, y, x); return %0 }"),
    ("select_not", C + "%0 = select(c, x, y); return %0 }", None),
    ("cast_to_same", X + '%0 = cast(x, dtype="float32"); return %0 }', X + "return x }"),
    ("cast_to_same", X + '%0 = cast(x, dtype="float64"); return %0 }', None),
    ("cast_chain", X + '%0 = cast(x, dtype="float64"); %1 = cast(%0, dtype="float16"); return %1 }',
     X + '%0 = cast(x, dtype="float16"); return %0 }'),
    ("cast_chain", I + '%0 = cast(x, dtype="int64"); %1 = cast(%0, dtype="uint8"); return %1 }',
     I + '%0 = cast(x, dtype="uint8"); return %0 }'),
    ("cast_chain", X + '%0 = cast(x, dtype="float16"); %1 = cast(%0, dtype="float32"); return %1 }', None),
    ("cast_chain", I + '%0 = cast(x, dtype="float64"); %1 = cast(%0, dtype="uint8"); return %1 }', None),
    ("cast_chain", I + '%0 = cast(x, dtype="float32"); %1 = cast(%0, dtype="float64"); return %1 }', None),
    ("identity_is_nothing", X + "%0 = identity(x); return %0 }", X + "return x }"),
    ("identity_is_nothing", X + "%0 = stop_gradient(x); return %0 }", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after"), CASES)
def test_rule(name, before, after):
    check_rule(getattr(algebra, name), before=before, after=after)


def test_every_rule_has_a_case_and_a_near_miss():
    for rule in ALGEBRA:
        outcomes = {after is None for name, _, after in CASES if name == rule.name}
        assert outcomes == {True, False}, rule.name


def test_every_rule_says_what_it_does():
    for rule in ALGEBRA:
        assert "->" in rule.summary or "left out" in rule.summary, rule.name


@pytest.mark.parametrize("source", [*INTEGERS, *FLOATS, "bool"])
@pytest.mark.parametrize("target", [*INTEGERS, *FLOATS, "bool"])
def test_exact_casts_lose_nothing(source, target):
    kind = numpy_dtype(source)
    if source == "bool":
        values = np.array([False, True])
    elif source in INTEGERS:
        info = np.iinfo(kind)
        values = np.array([info.min, info.max, info.max - 1, info.max // 2 + 1, 1, 0], dtype=kind)
    else:
        values = np.array([0.1, 1 + 2.0**-7, 60000.0, 1e-7, 3e38 if source != "float16" else 6e4], dtype=kind)
    with np.errstate(all="ignore"):
        back = values.astype(numpy_dtype(target)).astype(kind)
    if cast_is_exact(source, target):
        assert np.array_equal(values, back)
    elif not np.array_equal(values, back):
        assert source != target
