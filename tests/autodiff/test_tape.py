import numpy as np
import pytest

import graphkeras as keras
from graphkeras import ops
from graphkeras.autodiff import GradientTape, grad, gradients, jvp, value_and_grad, vjp
from graphkeras.ir.errors import ArgumentError, GradientError
from graphkeras.runtime.function import function
from graphkeras.trace import SymbolicTensor, Tensor, TraceScope, Variable, tracing


def test_variables_are_watched_by_themselves():
    w = Variable([2.0, 3.0])
    frozen = Variable([5.0, 5.0], trainable=False)
    with GradientTape() as tape:
        y = ops.sum(w * w * frozen)
    dw, dfrozen = tape.gradient(y, [w, frozen])
    assert dw.tolist() == [20.0, 30.0] and dfrozen is None


def test_unwatched_tensors_have_no_gradient():
    x = Tensor(3.0)
    w = Variable(2.0)
    with GradientTape() as tape:
        y = x * w
    assert tape.gradient(y, x) is None


def test_unconnected_gradients_zero():
    x, z = Tensor([1.0, 2.0]), Tensor([[1.0]])
    with GradientTape(persistent=True) as tape:
        tape.watch([x, z])
        y = ops.sum(x)
    assert tape.gradient(y, z) is None
    assert tape.gradient(y, {"z": z}, unconnected_gradients="zero")["z"].tolist() == [[0.0]]
    with pytest.raises(ArgumentError, match="unconnected_gradients"):
        tape.gradient(y, z, unconnected_gradients="ones")


def test_broadcast_inputs_get_gradients_of_their_own_shape():
    a, b = Tensor(np.ones((2, 1, 3), "float32")), Tensor(np.ones((4, 1), "float32"))
    with GradientTape() as tape:
        tape.watch([a, b])
        y = a * b
    da, db = tape.gradient(y, [a, b])
    assert da.shape == (2, 1, 3) and float(da[0, 0, 0]) == 4.0
    assert db.shape == (4, 1) and float(db[0, 0]) == 6.0


def test_output_gradients_scale():
    x = Tensor([1.0, 2.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    assert tape.gradient(y, x, output_gradients=Tensor([1.0, 10.0])).tolist() == [2.0, 40.0]


def test_second_order_through_nested_tapes():
    x = Variable(3.0)
    with GradientTape() as outer:
        with GradientTape() as inner:
            y = x * x * x
        slope = inner.gradient(y, x)
    assert float(slope) == 27.0 and float(outer.gradient(slope, x)) == 18.0


def test_a_tape_is_used_once_unless_persistent():
    x = Variable(2.0)
    with GradientTape() as tape:
        y = x * x
    tape.gradient(y, x)
    with pytest.raises(GradientError, match="non-persistent"):
        tape.gradient(y, x)
    with GradientTape(persistent=True) as tape:
        y = x * x
    assert float(tape.gradient(y, x)) == float(tape.gradient(y, x)) == 4.0


def test_assigning_after_recording_does_not_change_the_gradient():
    w = Variable(2.0)
    with GradientTape() as tape:
        y = w * w
    w.assign(100.0)
    assert float(tape.gradient(y, w)) == 4.0


def test_integers_cannot_be_watched():
    with GradientTape() as tape, pytest.raises(GradientError, match="float"):
        tape.watch(Tensor([1, 2]))


def test_stop_recording():
    x = Variable(2.0)
    with GradientTape() as tape:
        with tape.stop_recording():
            y = x * x
    assert tape.gradient(y, x) is None


def test_gradient_inside_a_trace_equals_the_eager_one():
    w = Variable(np.linspace(-1, 1, 6).reshape(3, 2).astype("float32"), name="w")
    x = np.linspace(0, 1, 12).reshape(4, 3).astype("float32")

    def step(x):
        with GradientTape() as tape:
            y = ops.sum(ops.tanh(ops.matmul(x, w)))
        return tape.gradient(y, w)

    compiled = keras.function(step)
    np.testing.assert_allclose(compiled(x).numpy(), step(Tensor(x)).numpy(), rtol=1e-6)
    assert any(n.origin.rule == "gradient of tanh" for n in compiled.graph.nodes)


def test_symbolic_gradients_of_unrelated_sources_are_none():
    with tracing(TraceScope()):
        x, y = SymbolicTensor((3,)), SymbolicTensor((3,))
        found = gradients([x * x], [x, y])
        assert found[1] is None and found[0].shape == (3,)


def test_functional_forms():
    value, (da, db) = value_and_grad(lambda a, b: ops.sum(a * b), argnums=(0, 1))(Tensor([1.0, 2.0]), Tensor([3.0, 4.0]))
    assert float(value) == 11.0 and da.tolist() == [3.0, 4.0] and db.tolist() == [1.0, 2.0]
    (value, aux), slope = value_and_grad(lambda x: (x * x, "aux"), has_aux=True)(3.0)
    assert (float(value), aux, float(slope)) == (9.0, "aux", 6.0)
    same = Tensor(2.0)
    assert float(grad(lambda a, b: a * b)(same, same)) == 2.0
    with pytest.raises(GradientError, match="scalars"):
        grad(lambda x: x * x)(Tensor([1.0]))


def test_no_gradient_says_why():
    x = Tensor(np.ones((2, 2), "float32"))
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(ops.cast(ops.argmax(x, axis=1), "float32"))
    assert tape.gradient(y, x) is None


def test_jacobian_of_a_matrix_product():
    w = Variable(np.arange(6.0).reshape(2, 3))
    x = Tensor([1.0, 2.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.matmul(x, w)
    jw, jx, none = tape.jacobian(y, [w, x, Variable(1.0)])
    assert jw.shape == (3, 2, 3) and none is None
    np.testing.assert_array_equal(jx.numpy(), w.numpy().T)
    np.testing.assert_array_equal(jw.numpy(), np.einsum("i,jk->jik", [1.0, 2.0], np.eye(3)))
    with pytest.raises(GradientError, match="non-persistent"):
        tape.jacobian(y, x)


@pytest.mark.parametrize("compiled", [False, True])
def test_batch_jacobian(compiled):
    def f(x):
        with GradientTape() as tape:
            tape.watch(x)
            y = x[:, :2] * ops.sum(x, axis=1, keepdims=True)
        return tape.batch_jacobian(y, x)

    x = np.arange(12, dtype="float32").reshape(4, 3)
    got = (function(f) if compiled else f)(Tensor(x)).numpy()
    expected = np.stack([np.eye(2, 3) * row.sum() + row[:2, None] for row in x])
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_vjp_and_jvp():
    value, pull_back, aux = vjp(lambda x, p: ((x * p["a"], x), "aux"), Tensor([1.0, 2.0]), {"a": Tensor(3.0)}, has_aux=True)
    assert value[0].tolist() == [3.0, 6.0] and aux == "aux"
    dx, dp = pull_back((Tensor([1.0, 1.0]), Tensor([10.0, 20.0])))
    assert dx.tolist() == [13.0, 23.0] and float(dp["a"]) == 3.0
    value, slope = jvp(lambda x, y: ops.sin(x) * y, (Tensor(0.5), Tensor(2.0)), (Tensor(1.0), Tensor(10.0)))
    np.testing.assert_allclose(float(slope), np.cos(0.5) * 2 + np.sin(0.5) * 10, rtol=1e-6)
    with pytest.raises(ArgumentError, match="one length"):
        jvp(lambda x: x, (1.0,), (1.0, 2.0))


def test_jvp_inside_a_trace():
    got = function(lambda x: jvp(lambda a: a * a * a, (x,), (ops.ones_like(x),)))(np.array([1.0, 2.0], "float32"))
    assert [t.tolist() for t in got] == [[1.0, 8.0], [3.0, 12.0]]


def _both_ways(f, *args):
    """What f gives eagerly and traced."""
    return [f(*args), function(f)(*args)]


def test_no_gradient_flows_through_an_assignment():
    v = Variable(3.0)

    def slope(x):
        v.assign(3.0)
        with GradientTape() as tape:
            tape.watch(x)
            before = v * x
            v.assign(v * v * x)
            total = before + v * v
        return tape.gradient(total, [v, x])

    for dv, dx in _both_ways(slope, Tensor(2.0)):
        # v * x with v = 3, and v * v with v = 18: only what each read gave counts.
        assert (float(dv), float(dx)) == (2.0 + 2 * 18.0, 3.0)


def test_stop_recording_holds_in_a_trace_too():
    def slope(x):
        with GradientTape() as tape:
            tape.watch(x)
            y = x * x
            with tape.stop_recording():
                z = y * 3.0
            y = ops.sum(y + z)
        return tape.gradient(y, x)

    for dx in _both_ways(slope, Tensor([2.0, 5.0])):
        assert dx.tolist() == [4.0, 10.0]


def test_unwatched_tensors_have_no_gradient_in_a_trace_either():
    def slope(x):
        with GradientTape(persistent=True) as tape:
            y = x * 2.0
            tape.watch(y)
            z = y * y
        return tape.gradient(z, x), tape.gradient(z, y)

    for dx, dy in _both_ways(slope, Tensor(3.0)):
        assert dx is None and float(dy) == 12.0


def test_unconnected_jacobians_may_be_zero():
    x, v = Tensor([1.0, 2.0]), Variable([3.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    of_x, of_v = tape.jacobian(y, [x, v], unconnected_gradients="zero")
    assert of_x.tolist() == [[2.0, 0.0], [0.0, 4.0]] and of_v.tolist() == [[0.0], [0.0]]


def test_persistent_tapes_nest_in_others():
    x = Tensor(2.0)
    with GradientTape(persistent=True) as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = x**3.0
        slope = inner.gradient(y, x)
    assert (float(slope), float(outer.gradient(slope, x)), float(outer.gradient(y, x))) == (12.0, 12.0, 12.0)


def test_unknown_treatment_of_unconnected_sources():
    with GradientTape() as tape:
        pass
    with pytest.raises(ArgumentError, match=r"(?s)Unknown unconnected_gradients.*got: +'nil'"):
        tape.gradient(Tensor(1.0), Tensor(1.0), unconnected_gradients="nil")
