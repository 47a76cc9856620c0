"""Steps that look their batches up in a whole data set."""

import numpy as np
import pytest

from graphkeras.ir import Graph, TensorSpec, symbol
from graphkeras.ir.errors import ShapeError
from graphkeras.runtime.program import Program
from graphkeras.trace.over_samples import SAMPLES, is_over_samples, over_samples
from tests.lowering.programs import arg, const, normal, op

B = symbol("batch")


def scaled(images, labels):
    return [op("multiply", op("cast", images, dtype="float32"), const(1 / 255)), op("add", labels, const(1, "int32"))]


def test_batches_are_looked_up_by_the_graph():
    inputs = [arg("images", (B, 28, 2), "uint8"), arg("labels", (B,), "int32")]
    made = over_samples(Graph("step", inputs, [*scaled(*inputs), inputs[1]]))
    assert [v.spec for v in made.inputs] == [
        TensorSpec((SAMPLES, 28, 2), "uint8"), TensorSpec((SAMPLES,), "int32"), TensorSpec((B,), "int64"),
    ]  # fmt: skip
    assert made.input_names == ("images", "labels", "places")
    assert [v.spec.shape for v in made.outputs] == [(B, 28, 2), (B,), (B,)]
    assert is_over_samples([v.spec for v in made.inputs]) and not is_over_samples([v.spec for v in inputs])
    images, labels, places = np.arange(56 * 9).reshape(9, 28, 2).astype("uint8"), np.arange(9, dtype="int32"), np.array([7, 0, 3])
    program = Program(made)
    pixels, more, plain = program(images, labels, places)
    assert np.array_equal(pixels, images[places].astype("float32") * np.float32(1 / 255))
    assert more.tolist() == [8, 1, 4] and plain.tolist() == [7, 0, 3]
    (group,) = [g for g in program.schedule.groups if "multiply" in str(g)]
    assert [n.op for n in group.nodes] == ["lookup", "cast", "multiply"]  # no batch of bytes is stored


def test_data_of_other_dtypes_is_cast():
    x = arg("x", (B, 20))
    made = over_samples(Graph("step", [x], [op("exp", x)]), ["float64"])
    data = normal(9, 20, dtype="float64")
    (result,) = Program(made)(data, np.array([3, 1]))
    np.testing.assert_allclose(result, np.exp(data[[3, 1]]), rtol=1e-6)
    assert result.dtype == "float32"


def test_callers_may_name_their_batch_samples():
    x = arg("x", (symbol("samples"), 20))
    data = normal(9, 20)
    epoch = Program(Graph("step", [x], [op("exp", x)])).epoch([data], batch_size=4, collect=True)
    np.testing.assert_allclose(epoch.run().outputs[0], np.exp(data), rtol=1e-6)


@pytest.mark.parametrize("shapes", [((B, 3), (4, 3)), ((B,), ()), ()])
def test_inputs_that_are_no_batches_are_refused(shapes):
    inputs = [arg(f"x{i}", shape) for i, shape in enumerate(shapes)]
    with pytest.raises(ShapeError, match="cannot run over batches"):
        over_samples(Graph("step", inputs, [const(1.0)]))
