import json
from pathlib import Path

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.ir.errors import DTypeError
from graphkeras.ops.promotion import result_type
from graphkeras.trace import Tensor

TABLE = json.loads((Path(__file__).parent / "golden" / "promotion.json").read_text())["result_type"]
PYTHON = {"python int": int, "python float": float}


@pytest.mark.parametrize("pair", TABLE)
def test_result_type(pair):
    """The table was written by Keras itself (make_golden_promotion.py)."""
    left, right = (PYTHON.get(name, name) for name in pair.split(", "))
    if TABLE[pair] is None:
        with pytest.raises(DTypeError, match="no common dtype"):
            result_type(left, right)
    else:
        assert result_type(left, right) == TABLE[pair]


def test_result_type_of_nothing_is_floatx():
    assert result_type() == "float32"


@pytest.mark.parametrize(
    ("dtype", "number", "expected"), [("uint8", 2, "uint8"), ("uint8", 2.0, "float32"), ("float16", 2, "float16")]
)
def test_python_numbers_are_weak(dtype, number, expected):
    x = Tensor([1, 2], dtype)
    assert (x * number).dtype == (number + x).dtype == ops.multiply(x, number).dtype == expected


def test_numpy_scalars_beside_an_operator_are_weak():
    x = Tensor([1.0, 2.0])
    assert (x * np.sqrt(64)).dtype == (np.float64(2) * x).dtype == "float32"


def test_a_number_out_of_range_compares():
    assert (Tensor([1, 2], "uint8") == 300).tolist() == [False, False]
    assert (Tensor([1, 2], "uint8") < 300).tolist() == [True, True]
