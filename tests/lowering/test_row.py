import numpy as np
import pytest

from graphkeras.ir import Graph, symbol
from graphkeras.lowering.cpu.target import LANES
from graphkeras.lowering.cpu.walks import Walks
from tests.lowering.programs import arg, args_like, check, const, kinds, normal, op

B = symbol("b")


def softmax_parts(x, axis=-1):
    """exp(x - max), their sum and the quotient."""
    axes = (axis % len(x.shape),)
    shifted = op("subtract", x, op("reduce_max", x, axes=axes, keepdims=True))
    exps = op("exp", shifted)
    total = op("reduce_sum", exps, axes=axes, keepdims=True)
    return shifted, total, op("divide", exps, total)


@pytest.mark.parametrize("shape", [(1, 1), (4, 7), (3, 8), (5, 100), (2, 3, 9), (33, 10)])
def test_softmax_is_one_kernel(shape):
    x = normal(*shape)
    (v,) = args_like(x)
    program = check(Graph("f", [v], [softmax_parts(v)[2]]), (x,))
    assert len(kinds(program)) == 1


def test_crossentropy_and_accuracy_share_a_kernel():
    v, labels = arg("v", (B, 10)), arg("labels", (B,), "int32")
    shifted, total, p = softmax_parts(v)
    hot = op("equal", op("reshape", labels, shape=(B, 1)), op("iota", shape=(B, 10), axis=1, dtype="int32"))
    hot = op("cast", hot, dtype="float32")
    chosen = op("reduce_sum", op("multiply", shifted, hot), axes=(1,), keepdims=True)
    loss = op("reshape", op("subtract", op("log", total), chosen), shape=(B,))
    right = op("equal", op("argmax", v, axis=1, keepdims=False), labels)
    gradient = op("subtract", p, hot)
    calls = [(normal(b, 10), np.random.default_rng(1).integers(0, 10, b).astype("int32")) for b in (1, 32, 100)]
    program = check(Graph("f", [v, labels], [loss, right, gradient]), *calls)
    assert kinds(program) == ["row"]


def test_layer_norm_keeps_its_dear_values_in_scratch():
    x = normal(9, 33)
    v, gamma = arg("v", (B, 33)), arg("gamma", (33,))
    n = const(1 / 33)
    wave = op("tanh", v)
    mean = op("multiply", op("reduce_sum", wave, axes=(1,), keepdims=True), n)
    centred = op("subtract", wave, mean)
    variance = op("multiply", op("reduce_sum", op("square", centred), axes=(1,), keepdims=True), n)
    y = op("multiply", op("multiply", centred, op("rsqrt", op("add", variance, const(1e-5)))), gamma)
    program = check(Graph("f", [v, gamma], [y]), (x, normal(33, seed=1)), tolerance=1e-4)
    assert kinds(program) == ["row"]
    assert program.kernels[0].canonical.count("tanh(") == 2  # once in the loop, once in its tail


@pytest.mark.parametrize("length", [1, 8, 4095, 4096, 4097, 20000])
def test_long_rows_are_summed_in_chunks(length):
    x = normal(2, length)
    v = arg("v", (2, B))
    graph = Graph(
        "f", [v], [op("reduce_sum", op("square", v), axes=(1,), keepdims=False), op("reduce_max", v, axes=(0, 1), keepdims=False)]
    )
    check(graph, (x,), tolerance=1e-4)


def test_a_second_pass_over_one_long_row_is_refused_with_a_reason():
    v = arg("v", (B,))
    total = op("reduce_sum", v, axes=(0,), keepdims=False)
    program = check(Graph("f", [v], [op("divide", v, total)]), (np.abs(normal(1000)),))
    assert kinds(program) == ["row", "pointwise"]
    assert any("one thread" in str(r) for r in program.schedule.refusals)


def test_values_of_rows_come_back_to_rows():
    x, y = normal(20, 6), normal(20, seed=1)
    v, w = arg("v", (B, 6)), arg("w", (B,))
    scaled = op("multiply", v, op("reshape", op("exp", w), shape=(B, 1)))
    norm = op("sqrt", op("reduce_sum", op("square", scaled), axes=(1,), keepdims=True))
    both = op("add", op("reshape", norm, shape=(B,)), w)
    check(Graph("f", [v, w], [op("divide", scaled, norm), both]), (x, y))


def test_rows_over_several_axes_and_outer_strides():
    x, y = normal(3, 4, 5, 6), normal(4, 1, 1, seed=1)
    inputs = args_like(x, y)
    shifted = op("add", op("transpose", inputs[0], perm=(1, 0, 2, 3)), op("reshape", inputs[1], shape=(4, 1, 1, 1)))
    program = check(Graph("f", inputs, [op("reduce_sum", shifted, axes=(2, 3), keepdims=False)]), (x, y), tolerance=1e-4)
    assert kinds(program) == ["row"]


def test_few_long_rows_are_cut_into_chunks_for_all_threads():
    x, y = normal(2, 70000), normal(70000, seed=1)
    inputs = args_like(x, y)
    product = op("multiply", *inputs)
    total = op("reduce_sum", product, axes=(1,), keepdims=False)
    outputs = [op("sqrt", op("absolute", total)), op("reduce_max", product, axes=(1,), keepdims=False), product]
    whole = op("reduce_sum", op("square", inputs[0]), axes=(0, 1), keepdims=False)
    program = check(Graph("f", inputs, [*outputs, op("rsqrt", whole)]), (x, y), tolerance=1e-4)
    assert [k.name for k in program.kernels] == ["k0_row_parts", "k0_row", "k1_row_parts", "k1_row"]
    from graphkeras.lowering.cpu import long_row

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_row, "LONG", 10**9)
        single = check(Graph("f", inputs, [*outputs, op("rsqrt", whole)]), (x, y), tolerance=1e-4)
    assert len(single.kernels) == 2
    assert [a.tobytes() for a in single(x, y)] == [a.tobytes() for a in program(x, y)]


@pytest.mark.parametrize("columns", [50, 1 << 15])
def test_the_second_walk_asks_for_lines(columns):
    x = normal(5, columns)
    (v,) = args_like(x)
    e = op("exp", op("subtract", v, op("reduce_max", v, axes=(1,), keepdims=True)))
    program = check(Graph("f", [v], [op("divide", e, op("reduce_sum", e, axes=(1,), keepdims=True))]), (x,))
    (kernel,) = program.kernels
    assert kernel.source.count("prefetch_write(" if LANES == 16 else "prefetch(") == 1


def test_random_bits_are_kept_for_a_later_walk():
    x, key = arg("x", (30, 37)), arg("key", (2,), "uint32")
    seen = op("reduce_max", x, axes=(1,), keepdims=True)
    bits = op("random_bits", key, shape=(30, 37))
    kept = op("select", op("greater_equal", bits, const(1 << 31, "uint32")), op("multiply", x, seen), const(0.0))
    low = op("reduce_min", op("cast", bits, dtype="float32"), axes=(1,), keepdims=True)
    data = (normal(30, 37), np.array([3, 7], "uint32"))
    program = check(Graph("f", [x, key], [op("multiply", kept, low)]), data, tolerance=1e-5)
    assert kinds(program) == ["row"]


def normalisation_gradients(shape):
    """Gradients of a layer normalisation without its offset: what is read first is x."""
    import graphkeras as keras

    def gradients(x, gamma, ct):
        with keras.GradientTape() as tape:
            tape.watch(x)
            tape.watch(gamma)
            y = keras.ops.layer_normalization(x, gamma, axis=-1)
        return tape.gradient(y, (x, gamma), ct)

    arrays = normal(*shape), normal(shape[1], seed=1), normal(*shape, seed=2)
    return keras.function(gradients).program(*arrays), arrays


def test_what_need_not_be_reduced_first_is_reduced_where_its_operands_are_read_anyway():
    program, arrays = normalisation_gradients((515, 40))
    (group,) = program.schedule.groups
    walks = Walks(group)
    first = {n.op for n in group.nodes if walks.loop.get(n.id) == 0}
    assert walks.count == 3 and first == {"reduce_sum"}  # of x; the cotangent is first read in the second walk
    assert walks.idle == 2 and "prefetch_write" not in program.kernels[0].source  # no walk is idle before the one that writes
    check(program.graph, arrays, tolerance=2e-4)


def test_a_reduction_stays_in_an_early_walk_that_reads_its_operand_anyway():
    x, y = arg("x", (B, 20)), arg("y", (B, 20))
    top = op("reduce_max", x, axes=(1,), keepdims=True)
    total = op("reduce_sum", op("exp", op("subtract", x, top)), axes=(1,), keepdims=True)
    of_x, of_y = (op("reduce_sum", v, axes=(1,), keepdims=True) for v in (x, y))
    last = op("add", op("multiply", y, total), op("multiply", x, op("add", of_x, of_y)))
    program = check(Graph("f", [x, y], [last]), (normal(9, 20), normal(9, 20, seed=1)), tolerance=1e-4)
    (group,) = program.schedule.groups
    walks = Walks(group)
    assert walks.count == 3 and sorted(walks.loop[n.id] for n in group.reductions) == [0, 0, 0, 1]
