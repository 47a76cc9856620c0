import gc

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import ops  # noqa: F401 - gives tensors their operators
from graphkeras.ir.errors import DTypeError, ShapeError, TraceError
from graphkeras.trace import StatelessScope, SymbolicTensor, Tensor, Variable, convert_to_tensor
from graphkeras.trace.variable import HUGE_PAGE, LARGE


def test_python_numbers_get_keras_dtypes():
    assert Tensor(1.5).dtype == "float32"
    assert Tensor(3).dtype == "int32"
    assert Tensor(2**40).dtype == "int64"
    assert Tensor(True).dtype == "bool"
    assert Tensor([1, 2]).dtype == "int32"
    assert Tensor([1.0, 2]).dtype == "float32"
    assert Tensor(np.arange(3.0)).dtype == "float64"


def test_formatting_conversion_and_protocols():
    t = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert f"{t[0, 1]:.2f}" == "2.00"
    assert [float(v) for v in t[1]] == [3.0, 4.0]
    assert len(t) == 2 and t.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert np.exp(t).shape == (2, 2)
    assert isinstance(np.ones((2, 2), "float32") + t, Tensor)
    assert [10, 20][Tensor(1)] == 20
    with pytest.raises(TypeError, match="rank 0"):
        iter(Tensor(1.0))
    with pytest.raises(TypeError, match="scalar integer"):
        [10, 20][Tensor(1.0)]


def test_numpy_is_a_copy_and_array_is_read_only():
    t = Tensor(np.zeros(3, "float32"))
    t.numpy()[0] = 5
    assert t.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(t)[0] = 5


@pytest.mark.parametrize("value", [np.array([None, "a"], object), [[1, 2], [3]], "text"])
def test_what_is_no_tensor_is_refused(value):
    with pytest.raises(DTypeError) as error:
        Tensor(value)
    assert "expected:" in str(error.value) or "dtype" in str(error.value)


def test_byte_swapped_arrays_are_read_by_value():
    assert Tensor(np.array([1.0, 2.0], ">f4")).tolist() == [1.0, 2.0]


def test_symbolic_tensor_has_no_value():
    x = SymbolicTensor((None, 3), name="x")
    for use in (bool, float, int, np.exp, len, list):
        with pytest.raises(TraceError, match="symbolic tensor has no value") as error:
            use(x)
        assert "test_tensor.py" in str(error.value) and "mend:" in str(error.value)
    assert len(SymbolicTensor((4, 3))) == 4


def test_variable_reads_are_snapshots():
    v = Variable([1.0, 2.0], name="v")
    before = v.value
    v.assign_add([1.0, 1.0])
    assert before.tolist() == [1.0, 2.0] and v.numpy().tolist() == [2.0, 3.0]
    shown = v.value
    v.writable_buffer()[0] = 9.0
    assert shown.tolist() == [2.0, 3.0] and v.numpy().tolist() == [9.0, 3.0]
    assert v.address % 64 == 0 and v.address == v.buffer().ctypes.data


def test_large_variables_begin_on_huge_pages_at_different_places():
    """An optimizer's walk over the variables of one parameter would else need the same sets of the cache for all of them."""
    variables = [Variable(np.full(LARGE // 4 + 1, i, "float32"), name=f"v{i}") for i in range(5)]
    starts = [v.address % HUGE_PAGE for v in variables]
    assert all(start % 64 == 0 and start < HUGE_PAGE // 4 for start in starts)
    assert len({start % 4096 for start in starts}) == len({start // 4096 for start in starts}) == 5
    assert all((v.buffer() == i).all() for i, v in enumerate(variables))
    shown = variables[0].value
    copied = variables[0].writable_buffer()
    assert copied.ctypes.data % HUGE_PAGE < HUGE_PAGE // 4 and not np.shares_memory(shown.numpy(), copied)


def test_variable_refuses_other_shapes_and_keeps_its_dtype():
    v = Variable(np.zeros(3, "int32"))
    assert v.dtype == "int32"
    v.assign([1.9, 2.0, 3.0])
    assert v.numpy().tolist() == [1, 2, 3]
    with pytest.raises(ShapeError, match="must match") as error:
        v.assign([1, 2])
    assert "(2,)" in str(error.value) and "(3,)" in str(error.value)
    assert v.numpy().tolist() == [1, 2, 3]


def test_variables_are_freed():
    gc.collect()
    before = sum(type(o) is Variable for o in gc.get_objects())
    for _ in range(10):
        Variable(np.zeros(3))
    gc.collect()
    assert sum(type(o) is Variable for o in gc.get_objects()) == before


def test_lists_of_tensors_are_stacked():
    t = convert_to_tensor([Tensor(1.0), 2, Tensor(3.0)])
    assert t.tolist() == [1.0, 2.0, 3.0] and t.dtype == "float32"


def test_top_level_names():
    assert keras.KerasTensor is SymbolicTensor and keras.Variable is Variable


def test_a_variable_in_a_stateless_scope_stands_for_its_value():
    v = Variable(1.0)
    with StatelessScope([(v, v)]) as scope:
        v.assign(v.value + 1.0)
    assert float(scope.get_current_value(v)) == 2.0 and float(v) == 1.0
