"""Each rule of the views and dims tables: what it does, and a near miss."""

import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.passes.joint import dims, views
from graphkeras.passes.joint.dims import DIMS
from graphkeras.passes.joint.views import VIEWS
from graphkeras.testing import check_rule

X = "f(x: f32[b,3,4]) {"
M = "f(a: f32[b,3], w: f32[b,4]) {"
XY = "f(x: f32[b,3], y: f32[b,3]) {"
B = "f(x: f32[b,n]) {"

# rule, before, after; None for a near miss
CASES = [
    ("view_to_same_shape", X + "%0 = reshape(x, shape=(b, 3, 4)); return %0 }", X + "return x }"),
    ("view_to_same_shape", X + "%0 = broadcast_to(x, shape=(b, 3, 4)); return %0 }", X + "return x }"),
    ("view_to_same_shape", X + "%0 = reshape(x, shape=(3, b, 4)); return %0 }", None),
    ("reshape_of_reshape", X + "%0 = reshape(x, shape=(3*b, 4)); %1 = reshape(%0, shape=(12*b,)); return %1 }",
     X + "%0 = reshape(x, shape=(12*b,)); return %0 }"),
    ("reshape_of_reshape", X + "%0 = reshape(x, shape=(3*b, 4)); %1 = transpose(%0, perm=(1, 0)); return %1 }", None),
    ("broadcast_of_broadcast",
     "f(x: f32[3], y: f32[b]) { %0 = broadcast_to(x, shape=(4, 3)); %1 = broadcast_to(%0, shape=(b, 4, 3)); return %1 }",
     "f(x: f32[3], y: f32[b]) { %0 = broadcast_to(x, shape=(b, 4, 3)); return %0 }"),
    ("broadcast_of_broadcast",
     "f(x: f32[3], y: f32[b]) { %0 = broadcast_to(x, shape=(4, 3)); %1 = reshape(%0, shape=(12,)); return %1 }", None),
    ("view_of_filled", X + "%0 = broadcast_to(2.0, shape=(b, 3)); %1 = transpose(%0, perm=(1, 0)); return %1, x }",
     X + "%0 = broadcast_to(2.0, shape=(3, b)); return %0, x }"),
    ("view_of_filled", X + "%0 = broadcast_to(2.0, shape=(b, 3)); "
     "%1 = slice(%0, starts=(0, 1), stops=(b, 3), strides=(1, 1)); return %1, x }",
     X + "%0 = broadcast_to(2.0, shape=(b, 2)); return %0, x }"),
    ("view_of_filled", "f(x: f32[1,3]) { %0 = broadcast_to(x, shape=(2, 3)); %1 = transpose(%0, perm=(1, 0)); return %1 }", None),
    ("transpose_in_order", X + "%0 = transpose(x, perm=(0, 1, 2)); return %0 }", X + "return x }"),
    ("transpose_in_order", "f(x: f32[3,3]) { %0 = transpose(x, perm=(1, 0)); return %0 }", None),
    ("transpose_of_transpose", X + "%0 = transpose(x, perm=(1, 2, 0)); %1 = transpose(%0, perm=(0, 2, 1)); return %1 }",
     X + "%0 = transpose(x, perm=(1, 0, 2)); return %0 }"),
    ("transpose_of_transpose", X + "%0 = transpose(x, perm=(1, 2, 0)); %1 = reshape(%0, shape=(3, 4*b)); return %1 }", None),
    ("transpose_of_ones", "f(x: f32[1,3,1,4]) { %0 = transpose(x, perm=(1, 2, 3, 0)); return %0 }",
     "f(x: f32[1,3,1,4]) { %0 = reshape(x, shape=(3, 1, 4, 1)); return %0 }"),
    ("transpose_of_ones", "f(x: f32[1,3,1,4]) { %0 = transpose(x, perm=(0, 3, 2, 1)); return %0 }", None),
    ("transpose_of_ones", B + "%0 = transpose(x, perm=(1, 0)); return %0 }", None),
    ("transpose_into_matmul_left", M + "%0 = transpose(a, perm=(1, 0)); %1 = matmul(%0, w); return %1 }",
     M + "%0 = matmul(a, w, transpose_a=true, transpose_b=false); return %0 }"),
    ("transpose_into_matmul_left", "f(a: f32[b,3], v: f32[3,4]) { %0 = transpose(a, perm=(1, 0));"
     "%1 = matmul(%0, v, transpose_a=true, transpose_b=false); return %1 }",
     "f(a: f32[b,3], v: f32[3,4]) { %0 = matmul(a, v, transpose_a=false, transpose_b=false); return %0 }"),
    ("transpose_into_matmul_left", "f(a: f32[3,2,4], b: f32[2,4,5]) { %0 = transpose(a, perm=(1, 0, 2)); %1 = matmul(%0, b); "
     "return %1 }",
     None),
    ("transpose_into_matmul_right", "f(a: f32[2,3], b: f32[7,5,3]) { %0 = transpose(b, perm=(0, 2, 1));"
     "%1 = matmul(a, %0); return %1 }",
     "f(a: f32[2,3], b: f32[7,5,3]) { %0 = matmul(a, b, transpose_a=false, transpose_b=true); return %0 }"),
    ("transpose_into_matmul_right", "f(a: f32[4,2,3], b: f32[3,4,5]) { %0 = transpose(b, perm=(1, 0, 2)); "
     "%1 = matmul(a, %0); return %1 }",
     None),
    ("broadcast_into_elementwise", XY + "%0 = broadcast_to(2.0, shape=(b, 3)); %1 = multiply(x, %0); return %1, y }",
     XY + "%0 = multiply(x, 2.0); return %0, y }"),
    ("broadcast_into_elementwise", "f(x: f32[3], y: f32[b,3]) { %0 = broadcast_to(x, shape=(b, 3)); %1 = subtract(%0, y); "
     "return %1 }",
     "f(x: f32[3], y: f32[b,3]) { %0 = subtract(x, y); return %0 }"),
    ("broadcast_into_elementwise", "f(x: f32[3], y: f32[4,3]) { %0 = broadcast_to(x, shape=(4, 3)); %1 = add(%0, x); "
     "return %1, y }", None),
    ("broadcast_into_elementwise", "f(x: f32[1], y: f32[b], z: f32[n]) { %0 = broadcast_to(x, shape=(b,)); %1 = add(%0, z); "
     "return %1, y }",
     None),
    ("slice_of_everything", X + "%0 = slice(x, starts=(0, 0, 0), stops=(b, 3, 4), strides=(1, 1, 1)); "
     "return %0 }", X + "return x }"),
    ("slice_of_everything", X + "%0 = slice(x, starts=(0, 0, 3), stops=(b, 3, -1), strides=(1, 1, -1)); return %0 }", None),
    ("slice_of_slice", "f(x: f32[20,9]) { %0 = slice(x, starts=(2, 0), stops=(20, 9), strides=(3, 1));"
     "%1 = slice(%0, starts=(1, 2), stops=(6, 8), strides=(2, 3)); return %1 }",
     "f(x: f32[20,9]) { %0 = slice(x, starts=(5, 2), stops=(18, 6), strides=(6, 3)); return %0 }"),
    ("slice_of_slice", "f(x: f32[9]) { %0 = slice(x, starts=(2,), stops=(8,), strides=(1,));"
     "%1 = slice(%0, starts=(3,), stops=(3,), strides=(1,)); return %1 }",
     "f(x: f32[9]) { %0 = slice(x, starts=(0,), stops=(0,), strides=(1,)); return %0 }"),
    ("slice_of_slice", "f(x: f32[20]) { %0 = slice(x, starts=(2,), stops=(20,), strides=(3,));"
     "%1 = slice(%0, starts=(5,), stops=(-1,), strides=(-1,)); return %1 }", None),
    ("reduce_one_element", "f(x: f32[b,1,3,1]) { %0 = reduce_sum(x, axes=(1, 3), keepdims=false); return %0 }",
     "f(x: f32[b,1,3,1]) { %0 = reshape(x, shape=(b, 3)); return %0 }"),
    ("reduce_one_element", "f(x: f32[b,1]) { %0 = reduce_max(x, axes=(1,), keepdims=true); "
     "return %0 }", "f(x: f32[b,1]) { return x }"),
    ("reduce_one_element", "f(x: f32[b,2]) { %0 = reduce_sum(x, axes=(1,), keepdims=true); return %0 }", None),
    ("reduce_one_element", "f(x: f32[b,1]) { %0 = reduce_sum(x, axes=(0,), keepdims=true); return %0 }", None),
    ("concatenate_one", X + "%0 = concatenate(x, axis=1); return %0 }", X + "return x }"),
    ("concatenate_one", XY + "%0 = concatenate(x, y, axis=1); return %0 }", None),
    ("concatenate_of_concatenate", XY + "%0 = concatenate(x, y, axis=1); %1 = concatenate(%0, x, axis=1); return %1 }",
     XY + "%0 = concatenate(x, y, x, axis=1); return %0 }"),
    ("concatenate_of_concatenate", XY + "%0 = concatenate(x, y, axis=0); %1 = concatenate(%0, %0, axis=1); return %1 }", None),
    ("concatenate_without_empty", "f(x: f32[b,3], e: f32[b,0]) { %0 = concatenate(x, e, axis=1); return %0 }",
     "f(x: f32[b,3], e: f32[b,0]) { %0 = concatenate(x, axis=1); return %0 }"),
    ("concatenate_without_empty", XY + "%0 = concatenate(x, y, axis=0); return %0 }", None),
    ("pad_nothing", XY + "%0 = pad(x, 1.0, low=(0, 0), high=(0, 0)); return %0, y }", XY + "return x, y }"),
    ("pad_nothing", XY + "%0 = pad(x, 1.0, low=(0, 0), high=(0, 1)); return %0, y }", None),
    ("slice_inside_pad", "f(x: f32[b,4]) { %0 = pad(x, 0.0, low=(1, 2), high=(0, 1));"
     "%1 = slice(%0, starts=(1, 3), stops=(b + 1, 6), strides=(1, 2)); return %1 }",
     "f(x: f32[b,4]) { %0 = slice(x, starts=(0, 1), stops=(b, 4), strides=(1, 2)); return %0 }"),
    ("slice_inside_pad", "f(x: f32[5]) { %0 = pad(x, 0.0, low=(1,), high=(1,));"
     "%1 = slice(%0, starts=(1,), stops=(7,), strides=(1,)); return %1 }", None),
    ("slice_inside_pad", "f(x: f32[5]) { %0 = pad(x, 0.0, low=(1,), high=(1,));"
     "%1 = slice(%0, starts=(0,), stops=(4,), strides=(1,)); return %1 }", None),
    ("slice_inside_pad", "f(x: f32[5]) { %0 = pad(x, 0.0, low=(1,), high=(1,));"
     "%1 = slice(%0, starts=(5,), stops=(0,), strides=(-1,)); return %1 }", None),
    ("matmul_of_stacked_rows", "f(x: f32[b,3,4], w: f32[5,4]) { %0 = matmul(x, w, transpose_a=false, transpose_b=true); return %0 }",
     "f(x: f32[b,3,4], w: f32[5,4]) { %0 = reshape(x, shape=(3*b, 4)); %1 = matmul(%0, w, transpose_a=false, transpose_b=true);"
     "%2 = reshape(%1, shape=(b, 3, 5)); return %2 }"),
    ("matmul_of_stacked_rows", "f(x: f32[b,4,3], w: f32[4,5]) { %0 = matmul(x, w, transpose_a=true, transpose_b=false); return %0 }", None),
    ("matmul_of_stacked_rows", "f(x: f32[b,3,4], w: f32[1,4,5]) { %0 = matmul(x, w, transpose_a=false, transpose_b=false); return %0 }",
     None),
    ("arithmetic_on_sizes", B + "%0 = dim(size=b); %1 = add(%0, 1); return %1 }", B + "%0 = dim(size=b + 1); return %0 }"),
    ("arithmetic_on_sizes", B + "%0 = dim(size=b); %1 = dim(size=n); %2 = multiply(%0, %1); return %2 }",
     B + "%0 = dim(size=b*n); return %0 }"),
    ("arithmetic_on_sizes", B + "%0 = dim(size=b); %1 = floor_divide(%0, 2); return %1 }", B + "%0 = dim(size=(b)//(2)); "
     "return %0 }"),
    ("arithmetic_on_sizes", B + "%0 = dim(size=b); %1 = remainder(%0, 2); return %1 }", B + "%0 = dim(size=(b)%(2)); return %0 }"),
    ("arithmetic_on_sizes", B + "%0 = dim(size=b); %1 = floor_divide(%0, 0); return %1 }", None),
    ("arithmetic_on_sizes", B + "%0 = dim(size=b); %1 = minimum(%0, 2); return %1 }", None),
    ("arithmetic_on_sizes", "f(x: f32[b], i: i32[]) { %0 = dim(size=b); %1 = add(%0, i); return %1 }", None),
    ("dim_known_now", "f() { %0 = dim(size=3); return %0 }", "f() { return 3 }"),
    ("dim_known_now", B + "%0 = dim(size=b); return %0 }", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after"), CASES)
def test_rule(name, before, after):
    check_rule(getattr(views, name, None) or getattr(dims, name), before=before, after=after)


def test_every_rule_has_a_case_and_a_near_miss():
    for rule in (*VIEWS, *DIMS):
        outcomes = {after is None for name, _, after in CASES if name == rule.name}
        assert outcomes == {True, False}, rule.name


def test_every_rule_says_what_it_does():
    for rule in (*VIEWS, *DIMS):
        assert "->" in rule.summary or "left out" in rule.summary, rule.name


def test_two_broadcasts_are_taken_in_one_after_the_other():
    before = (
        "f(x: f32[3], y: f32[b,3]) { %0 = broadcast_to(x, shape=(b, 3)); %1 = broadcast_to(0.5, shape=(b, 3)); %2 = greater(y, x);"
        "%3 = select(%2, %0, %1); return %3 }"
    )
    after = "f(x: f32[3], y: f32[b,3]) { %2 = greater(y, x); %3 = select(%2, x, 0.5); return %3 }"
    check_rule(views.broadcast_into_elementwise, before=before, after=after, times=2)
