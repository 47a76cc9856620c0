import threading

import numpy as np

from graphkeras import ops
from graphkeras.ir import TensorSpec, symbol
from graphkeras.trace import Tensor, TraceScope, Variable, current_scope, prim, trace, tracing

B = symbol("batch")


def test_origins_name_the_users_line():
    graph = trace(lambda x: ops.tanh(x), [TensorSpec((B, 3))])
    (node,) = graph.nodes
    assert node.op == "tanh" and node.origin.file == __file__


def test_variable_is_read_once_and_written_once():
    v = Variable(1.0, name="v")

    def step(x):
        v.assign(v + x)
        v.assign(v * 2.0)
        return v + 0.5

    graph = trace(step, [TensorSpec(())])
    assert [n.op for n in graph.nodes].count("read_variable") == 1
    assert [n.op for n in graph.effects] == ["assign_variable"]
    assert float(v) == 1.0


def test_untouched_or_restored_variables_are_not_written():
    v = Variable(1.0, name="v")
    graph = trace(lambda x: x + v, [TensorSpec(())])
    assert graph.effects == ()
    assert [ref.variable for ref in graph.variables] == [v] or graph.variables[0].variable is v


def test_variables_with_one_path_get_different_references():
    a, b = Variable(1.0, name="w"), Variable(2.0, name="w")
    graph = trace(lambda x: x + a + b, [TensorSpec(())])
    assert len({ref.name for ref in graph.variables}) == 2


def test_variables_made_inside_a_trace_are_initialised_eagerly():
    made = []

    def f(x):
        made.append(Variable(lambda shape, dtype: ops.ones(shape, dtype) * 3.0, shape=(2,), name="m"))
        return x + made[0]

    trace(f, [TensorSpec((2,))])
    assert made[0].numpy().tolist() == [3.0, 3.0]


def test_scopes_are_per_thread():
    seen = []
    with tracing(TraceScope()):
        thread = threading.Thread(target=lambda: seen.append(current_scope()))
        thread.start()
        thread.join()
        assert current_scope() is not None
    assert seen == [None] and current_scope() is None


def test_eager_tensors_become_constants():
    graph = trace(lambda x: x + Tensor(np.arange(3.0, dtype="float32")), [TensorSpec((B, 3))])
    assert [n.op for n in graph.nodes] == ["constant", "add"]


def test_attributes_with_defaults_may_be_left_out():
    a, b = np.ones((2, 3), "float32"), np.ones((3, 4), "float32")
    assert prim.matmul(a, b).shape == (2, 4)
    assert prim.matmul(a, a, transpose_b=True).shape == (2, 2)
    graph = trace(lambda x: prim.matmul(x, b), [TensorSpec((2, 3))])
    assert dict(graph.nodes[-1].attrs) == {"transpose_a": False, "transpose_b": False}
