"""Writes `arrays.json`: what Keras on TensorFlow gives for the calls of `array_cases.py`.

Run with Keras and TensorFlow installed: `KERAS_BACKEND=tensorflow python tests/golden/make_array_golden.py`.
"""

import json
import sys
from pathlib import Path

import keras

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import array_cases  # noqa: E402


def described(array):
    """dtype, shape and values with 7 digits."""
    values = array.reshape(-1).tolist()
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "values": [float(f"{v:.7g}") if isinstance(v, float) else v for v in values],
    }


if __name__ == "__main__":
    golden = {"keras": keras.__version__, "cases": {}}
    for name in array_cases.CASES:
        golden["cases"][name] = [described(array) for array in array_cases.results(keras.ops, name)]
    (HERE / "arrays.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
