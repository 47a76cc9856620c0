"""Writes golden/keras_ops.npz: what Keras on TensorFlow answers to `keras_cases.py`.

Run with an environment that has keras and tensorflow: `python tests/ops/make_golden_keras.py`.
"""

import os
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent


class Functions:
    """The functions of a module, with NumPy arguments made tensors first, as some functions need."""

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        def convert(value):
            if isinstance(value, np.ndarray):
                return self.module.convert_to_tensor(value)
            if isinstance(value, list) and any(isinstance(v, np.ndarray) for v in value):
                return [convert(v) for v in value]
            return value

        function = getattr(self.module, name)
        return lambda *args, **kwargs: function(*map(convert, args), **{k: convert(v) for k, v in kwargs.items()})


def main():
    os.environ["KERAS_BACKEND"] = "tensorflow"
    sys.path.insert(0, str(FOLDER))
    import keras
    import keras_cases

    arrays, failed = {}, {}
    for number, case in enumerate(keras_cases.cases()):
        label = keras_cases.label(number, case)
        try:
            for part, array in enumerate(keras_cases.call(Functions(keras.ops), case)):
                arrays[f"{label}/{part}"] = array
        except Exception as error:
            failed[label] = f"{type(error).__name__}: {str(error)[:90]}"
    golden = FOLDER / "golden"
    golden.mkdir(exist_ok=True)
    np.savez_compressed(golden / "keras_ops.npz", **arrays)
    print(f"{len(arrays)} arrays; Keras itself refuses {len(failed)} cases:")
    for name, reason in failed.items():
        print(" ", name, reason.replace("\n", " "))


if __name__ == "__main__":
    main()
