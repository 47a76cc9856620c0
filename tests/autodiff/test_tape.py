import numpy as np
import pytest

import graphkeras as keras
from graphkeras import ops
from graphkeras.autodiff import GradientTape, grad, gradients, value_and_grad
from graphkeras.ir.errors import ArgumentError, GradientError
from graphkeras.trace import SymbolicTensor, Tensor, Variable


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
