import copy

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.autodiff import GradientTape
from graphkeras.debug import flags
from graphkeras.ir.errors import ShapeError, TraceError
from graphkeras.runtime.function import function
from graphkeras.trace import StatelessScope, Tensor, Variable


def test_one_trace_serves_all_batch_sizes():
    calls = []

    @function
    def f(x, y):
        calls.append(1)
        return ops.sum(x, axis=1) + y

    for n in (32, 7, 300, 2):
        x, y = np.ones((n, 3), "float32"), np.arange(n, dtype="float32")
        np.testing.assert_array_equal(f(x, y).numpy(), 3 + y)
    assert len(calls) == 1 and len(f.traces) == 1 and "first call" in f.report()


def test_retraces_give_their_reason():
    @function
    def f(x):
        return x * 2

    f(np.ones((4, 3), "float32"))
    f(np.ones((4, 5), "float32"))
    f(np.ones((4, 9), "float32"))
    assert len(f.traces) == 2 and "axis 1: 3 -> 5" in f.traces[1].reason
    f(np.ones((4, 3), "int32"))
    assert "dtypes or ranks" in f.traces[2].reason


def test_nested_structures_and_python_constants():
    @function
    def f(data, scale, flag=False):
        total = data["a"] + data["b"][0] * scale
        return {"sum": total, "none": None, "pair": (data["a"], [data["b"][0]]), "flag": ops.ones(()) if flag else None}

    a, b = Tensor([1.0]), Tensor([2.0])
    result = f({"a": a, "b": [b]}, 3.0)
    assert result["sum"].tolist() == [7.0] and result["pair"][1][0].tolist() == [2.0]
    assert result["none"] is None and result["flag"] is None
    assert float(f({"a": a, "b": [b]}, 3.0, flag=True)["flag"]) == 1.0
    assert f({"a": a, "b": [b]}, 5.0)["sum"].tolist() == [11.0]


@pytest.mark.parametrize("mode", ["compiled", "strict", "eager"])
def test_variables_are_updated_in_place(mode):
    v = Variable([1.0, 2.0], name="v")

    @function
    def step(x):
        v.assign_add(x)
        return v * 2

    with flags.EXECUTION(mode):
        assert step(Tensor([1.0, 1.0])).tolist() == [4.0, 6.0]
        assert step(Tensor([1.0, 1.0])).tolist() == [6.0, 8.0]
    assert v.numpy().tolist() == [3.0, 4.0]


def test_results_do_not_alias_inputs_variables_or_each_other():
    v = Variable([1.0, 2.0], name="v")

    @function
    def f(x):
        return x, v + 0.0, v

    x = np.array([5.0, 6.0], "float32")
    first = f(x)
    x[:] = 0
    v.assign([9.0, 9.0])
    second = f(x)
    assert [r.tolist() for r in first] == [[5.0, 6.0], [1.0, 2.0], [1.0, 2.0]]
    assert [r.tolist() for r in second] == [[0.0, 0.0], [9.0, 9.0], [9.0, 9.0]]


def test_a_tape_sees_through_a_function():
    w = Variable(3.0)

    @function
    def f(x):
        return x * w * w

    with GradientTape() as tape:
        y = f(Tensor(2.0))
    assert float(tape.gradient(y, w)) == 12.0


def test_methods_and_wrapped_names():
    class Model:
        def __init__(self):
            self.scale = Variable(2.0)

        @function
        def call(self, x):
            """Scales."""
            return x * self.scale

    a, b = Model(), Model()
    b.scale.assign(5.0)
    assert float(a.call(Tensor(1.0))) == 2.0 and float(b.call(Tensor(1.0))) == 5.0
    assert Model.call.__doc__ == "Scales." and a.call is a.call


def test_a_function_calls_another():
    inner = function(lambda x: ops.tanh(x))
    outer = function(lambda x: inner(x) + 1)
    assert float(outer(Tensor(0.0))) == 1.0
    assert inner.traces == []


def test_python_decisions_on_values_name_the_users_line():
    @function
    def f(x):
        if ops.sum(x) > 0:
            return x
        return -x

    with pytest.raises(TraceError, match="ops.cond") as error:
        f(np.ones(3, "float32"))
    assert "test_function.py" in str(error.value)


def test_code_that_needs_a_fixed_size_gets_one():
    @function
    def f(x):
        return sum(x[i] for i in range(len(x)))

    assert float(f(np.ones(4, "float32"))) == 4.0
    assert "fixed sizes" in f.traces[0].reason


def test_the_graph_is_there_after_the_first_call():
    f = function(lambda x: x + 1)
    with pytest.raises(TraceError, match="has not been called"):
        _ = f.graph
    f(np.ones(3, "float32"))
    assert [n.op for n in f.graph.nodes][-1] == "add"


def test_errors_of_the_program_change_nothing():
    v = Variable(1.0)

    @function
    def f(x, i):
        v.assign_add(1.0)
        return ops.take(x, i, axis=0)

    with pytest.raises(Exception, match="7"):
        f(np.ones(3, "float32"), np.array([1, 7], "int32"))
    assert float(v) == 1.0


def test_shape_errors_name_the_users_line():
    with pytest.raises(ShapeError, match="test_function.py"):
        function(lambda a, b: ops.matmul(a, b))(np.ones((2, 3), "float32"), np.ones((4, 3), "float32"))


def test_constants_are_told_apart_by_type_sign_and_content():
    traces = []

    @function
    def f(x, constant):
        traces.append(constant)
        return x * constant

    x = Tensor([2.0])
    assert [np.signbit(f(x, s).numpy()[0]) for s in (0.0, -0.0, 0.0)] == [False, True, False]
    for _ in range(3):
        f(x, float("nan"))
    assert len(traces) == 3

    @function
    def by_key(d):
        return {k: v * (2 if isinstance(k, int) else 3) for k, v in d.items()}

    assert by_key({1: x})[1].tolist() == [4.0] and by_key({"1": x})["1"].tolist() == [6.0]


def test_objects_that_have_no_hash_are_not_mistaken_for_their_successors():
    class Scale:
        __hash__ = None

        def __init__(self, by):
            self.by = by

    @function
    def f(x, scale):
        return x * scale.by

    x = Tensor([1.0])
    assert [f(x, Scale(k)).tolist() for k in range(6)] == [[float(k)] for k in range(6)]  # each is freed before the next is made
    assert len(f.traces) <= 1
    kept = Scale(7)
    f(x, kept)
    f(x, kept)
    assert len(f.traces) == 1


def test_sets_are_told_apart_by_their_elements():
    @function
    def f(x, chosen):
        return x * sum(chosen)

    assert [f(Tensor([1.0]), {k}).tolist() for k in range(4)] == [[0.0], [1.0], [2.0], [3.0]]


def test_methods():
    class Base:
        @function
        def f(self, x):
            return x + 1.0

    class Derived(Base):
        @function
        def f(self, x):
            return super().f(x) * 2.0

    one, x = Derived(), Tensor([1.0])
    assert one.f(x).tolist() == [4.0] and one.f(x).tolist() == [4.0] and len(one.f.traces) == 1
    other = copy.deepcopy(one)
    assert other.f is not one.f and other.f.traces == [] and other.f(x).tolist() == [4.0]

    class Slots:
        __slots__ = ("a",)
        f = Base.f

    with pytest.raises(TraceError, match="no __dict__"):
        Slots().f(x)


def test_explains_why_it_is_traced(capsys):
    @function
    def f(x):
        return x + 1.0

    with flags.EXPLAIN_RECOMPILE(True):
        f(np.zeros((3, 4), np.float32))
        f(np.zeros((5, 4), np.float32))
        f(np.zeros((5, 2), np.float32))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "first call" in lines[0] and "axis 1: 4 -> 2" in lines[1]


def test_a_stateless_scope_sees_through_a_function():
    v = Variable(1.0)
    step = function(lambda x: v.assign_add(x))
    step(Tensor(0.0))
    with StatelessScope([(v, Tensor(5.0))]) as scope:
        assert float(step(Tensor(2.0))) == 7.0
    assert float(scope.get_current_value(v)) == 7.0 and float(v) == 1.0


def test_traces_come_of_new_dtypes_ranks_and_sizes_alone():
    """Each new trace has a reason of one line; sizes that were seen to vary never make another one."""
    f = function(lambda x: x * 2)
    ones = lambda *shape, dtype="float32": f(np.ones(shape, dtype))
    for batch in (32, 5, 1, 300):
        ones(batch, 3)
    assert len(f.traces) == 1
    ones(2, 4)  # another static size
    for shape in ((2, 9), (7, 3), (1, 1)):
        ones(*shape)
    assert len(f.traces) == 2
    ones(32, 3, dtype="int32")
    ones(9, 3, dtype="int32")
    ones(4)
    ones(11)
    assert len(f.traces) == 4
    reasons = [t.reason for t in f.traces]
    assert reasons[0] == "first call" and "axis 1: 3 -> 4" in reasons[1]
    assert all("\n" not in reason and f"{reason};" in f.report() for reason in reasons)
    assert f.graph is f.traces[-1].graph


def test_a_first_batch_of_one_is_a_size_that_varies_from_the_second_on():
    f = function(lambda x: x + 1)
    for batch in (1, 32, 1, 7, 64):
        f(np.ones((batch, 3), "float32"))
    assert len(f.traces) == 2


@pytest.mark.parametrize("flag, value", [(flags.OPT_LEVEL, 3), (flags.DISABLE_PASSES, "cse")])
def test_flags_that_decide_what_is_made_act_after_the_first_call_too(flag, value):
    f = function(lambda x: ops.exp(x) * ops.exp(x))
    x = np.arange(6, dtype="float32").reshape(2, 3)
    usual, want = f.program(x), f(x)
    with flag(value):
        other, got = f.program(x), f(x)
    assert len(f.traces) == 2 and "other flags" in f.traces[1].reason
    assert [k.key for k in usual.compiled] != [k.key for k in other.compiled]
    np.testing.assert_array_equal(want, got)
    assert f.program(x) is usual  # the first trace serves again
