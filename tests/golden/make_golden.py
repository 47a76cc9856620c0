"""Writes `keras.json`: what Keras gives for the calls of `cases.py`.

Run with Keras installed: `KERAS_BACKEND=tensorflow python tests/golden/make_golden.py`.
"""

import json
import sys
from pathlib import Path

import keras

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import cases  # noqa: E402


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, list):
        return [rounded(v) for v in value]
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return value


if __name__ == "__main__":
    golden = {"keras": keras.__version__, **rounded(cases.everything(keras))}
    (HERE / "keras.json").write_text(json.dumps(golden, indent=None, separators=(",", ":")) + "\n")
