"""Writes golden/promotion.json: Keras's dtype promotion on the TensorFlow backend for every pair of dtypes.

Run with an environment that has keras and tensorflow: `python tests/ops/make_golden_promotion.py`.
"""

import json
import os
from pathlib import Path

DTYPES = "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 bfloat16 float16 float32 float64 complex64 complex128".split()
WEAK = {"python int": int, "python float": float}


def main():
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    kinds = {name: name for name in DTYPES} | WEAK
    table = {}
    for left, a in kinds.items():
        for right, b in kinds.items():
            try:
                table[f"{left}, {right}"] = keras.backend.result_type(a, b)
            except ValueError:
                table[f"{left}, {right}"] = None
    path = Path(__file__).resolve().parent / "golden" / "promotion.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"keras": keras.__version__, "result_type": table}, indent=0) + "\n")


if __name__ == "__main__":
    main()
