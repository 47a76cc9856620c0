"""Writes op_calls.json: names, classes, result and config of the model of op_calls_model.py, as Keras makes them.

Run with Keras 3.15 installed: `KERAS_BACKEND=jax python tests/golden/make_op_calls.py`.
"""

import json
from pathlib import Path

import keras
import numpy as np
from op_calls_model import build

model = build(keras)
x = np.linspace(-2, 2, 48, dtype="float32").reshape(2, 4, 6)
golden = {
    "operations": [[op.name, type(op).__name__] for op in model.operations],
    "result": np.asarray(model(x), "float64").ravel().tolist(),
    "config": json.loads(model.to_json()),
}
(Path(__file__).parent / "op_calls.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
