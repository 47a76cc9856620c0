import threading

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.ir import REGISTRY, Graph, NoGradient, TensorSpec, Value, make_node, symbol
from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.errors import DataError
from graphkeras.runtime.interpreter import interpret
from graphkeras.runtime.program import Program
from graphkeras.testing import sweep
from graphkeras.testing.rules import gradient_graph
from graphkeras.trace import Variable, prim, trace
from tests.lowering.programs import arg, args_like, check, const, normal, op

HOST = [(name, i) for name, i in sweep.cases() if REGISTRY[name].kind == "host"]
B = symbol("b")


@pytest.mark.parametrize(("name", "number"), HOST)
def test_programs_call_the_meaning_itself(name, number):
    record = REGISTRY[name]
    arrays = sweep.sample_arrays(record.samples[number])
    graph = sweep.sample_graph(record, record.samples[number], arrays)
    for want, got in zip(interpret(graph, arrays), Program(graph)(*arrays), strict=True):
        assert want.dtype == got.dtype and want.tobytes() == got.tobytes()


def test_one_program_serves_all_sizes():
    x = arg("x", (B, 3, 3))
    inverse = op("inv", op("multiply", x, x))
    graph = Graph("f", [x], [op("add", inverse, const(1.0))])
    program = check(graph, *((normal(b, 3, 3, seed=b),) for b in (1, 5, 0, 2)))
    assert [k.kind for k in program.kernels].count("inv") == 1


def test_views_are_read_where_they_lie():
    x = arg("x", (6, 4))
    turned = op("transpose", op("slice", x, starts=(4, 0), stops=(-1, 4), strides=(-1, 2)), perm=(1, 0))
    spread = op("broadcast_to", turned, shape=(3, 2, 5))
    real = Value(make_node("rfft", [spread], {"length": 5}))
    program = check(Graph("f", [x], [real]), (normal(6, 4),))
    assert [g.kind for g in program.schedule.groups] == ["rfft"]


def test_numbers_that_no_memory_holds():
    x = arg("x", (B, 4))
    count = op("broadcast_to", op("cast", op("dim", size=B), dtype="float32"), shape=(B, 4))
    steps = op("iota", shape=(B, 4), axis=1, dtype="float32")
    nodes = [make_node("complex", [steps, x]), make_node("complex", [count, steps])]
    joined = op("add", *(Value(n) for n in nodes))
    graph = Graph("f", [x], [op("real_part", joined), op("imaginary_part", joined)])
    check(graph, (normal(2, 4),), (normal(5, 4),))


def test_unused_outputs_and_constants():
    matrix = const(np.diag([3.0, 1.0, 2.0]))
    x = arg("x", (3,))
    values = Value(make_node("eigh", [matrix]), 0)
    check(Graph("f", [x], [op("multiply", values, x)]), (normal(3),))


def test_complex_numbers_run_on_the_host():
    def f(x, y):
        z = ops.view_as_complex(x)
        w = z * ops.view_as_complex(y) + z
        return ops.view_as_real(ops.sum(w, axis=0)), ops.imag(ops.conjugate(w))

    graph = trace(f, [TensorSpec((4, 3, 2), "float32")] * 2)
    sweep.check_program(graph, [normal(4, 3, 2), normal(4, 3, 2, seed=1)], units=64, what="complex")


def test_errors_come_back_as_they_were_raised():
    x = arg("x", (2, 2))
    program = Program(Graph("f", [x], [op("inv", op("identity", x))]))
    singular = np.ones((2, 2), "float32")
    with pytest.raises(DataError, match="Singular matrix") as caught:
        program(singular)
    assert isinstance(caught.value.__cause__, np.linalg.LinAlgError)
    with pytest.raises(DataError, match="Singular matrix") as again:
        program(singular)
    assert again.value is not caught.value
    np.testing.assert_allclose(program(2 * np.eye(2, dtype="float32"))[0], np.eye(2) / 2)
    (site,) = program.lowered[-1].errors
    assert site.call.raised == {}


def test_any_exception_stops_the_program(monkeypatch):
    def interrupted(*arrays, **attrs):
        raise KeyboardInterrupt

    x = arg("x", (2, 2))
    program = Program(Graph("f", [x], [op("det", x)]))
    monkeypatch.setitem(REGISTRY, "det", REGISTRY["det"].__class__(name="det", kind="host", infer=None, eager=interrupted))
    with pytest.raises(KeyboardInterrupt):
        program(np.eye(2, dtype="float32"))


def test_a_failed_step_changes_nothing():
    total = Variable(np.zeros((2, 2), "float32"), name="total")

    def step(x):
        total.assign(total.value + x)
        return prim.cholesky(x)

    program = Program(trace(step, [TensorSpec((2, 2), "float32")]))
    program(np.eye(2, dtype="float32"))
    with pytest.raises(DataError, match="not positive definite|Matrix is not positive"):
        program(-np.eye(2, dtype="float32"))
    assert total.numpy().tolist() == [[1, 0], [0, 1]]


def test_nothing_runs_on_what_a_failed_kernel_left(monkeypatch):
    calls = []
    inner = REGISTRY["inv"].eager
    record = REGISTRY["inv"]
    watched = record.__class__(**{**vars(record), "eager": lambda x: calls.append(1) or inner(x)})
    x, at = arg("x", (3, 2)), arg("at", (2,), "int32")
    program = Program(Graph("f", [x, at], [op("inv", op("gather", x, at, axis=0))]))
    monkeypatch.setitem(REGISTRY, "inv", watched)
    with pytest.raises(DataError, match="gather"):
        program(normal(3, 2), np.array([0, 9], "int32"))
    assert calls == []
    program(normal(3, 2), np.array([0, 2], "int32"))
    assert calls == [1]


def test_epochs():
    x = arg("x", (B, 4))
    real, imag = (Value(make_node("rfft", [x], {"length": 4}), i) for i in (0, 1))
    graph = Graph("f", [x], [op("add", real, imag)])
    data = normal(10, 4)
    result = Program(graph).epoch([data], batch_size=3, collect=True).run()
    spectrum = np.fft.rfft(data)
    np.testing.assert_allclose(result.outputs[0], spectrum.real + spectrum.imag, atol=1e-5)


def test_two_threads_may_run_one_program():
    x = arg("x", (B, 8, 8))
    program = Program(Graph("f", [x], [op("inv", x)]))
    failures = []

    def run(seed):
        for i in range(20):
            a = normal(4, 8, 8, seed=seed * 100 + i) + 5 * np.eye(8, dtype="float32")
            if program(a)[0].tobytes() != np.linalg.inv(a).tobytes():
                failures.append(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_sources_are_shared_and_readable():
    inputs = args_like(normal(3, 3))
    graph = Graph("f", inputs, [op("det", *inputs), op("add", op("inv", *inputs), const(0.0))])
    kernels = [k for k in Program(graph).kernels if k.kind in ("det", "inv")]
    assert kernels[0].canonical == kernels[1].canonical
    assert "det" in kernels[0].source and "argument block of" in kernels[0].source


WITH_KERNELS = HOST + [(name, i) for name, i in sweep.cases() if name in ("sort", "top_k", "cumsum", "cumprod", "scatter_reduce")]


@pytest.mark.parametrize(("name", "number"), WITH_KERNELS)
def test_gradients_compile(name, number):
    record = REGISTRY[name]
    arrays = sweep.sample_arrays(record.samples[number])
    if isinstance(record.vjp, NoGradient):
        pytest.skip("has no gradient")
    graph = gradient_graph(sweep.sample_graph(record, record.samples[number], arrays))
    if graph is None:
        pytest.skip("has no float inputs")
    cotangents = [normal(*v.shape, seed=9).astype(numpy_dtype(v.dtype)) for v in graph.inputs[len(arrays) :]]
    sweep.check_program(graph, [*arrays, *cotangents], units=4096 * 16, what=f"gradient of {name}")
