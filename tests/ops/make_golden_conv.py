"""Writes golden/keras_conv.npz: results and gradients of `conv_cases.py` by Keras on TensorFlow.

Run with an environment that has keras and tensorflow: `python tests/ops/make_golden_conv.py`.
"""

import os
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent


def main():
    os.environ["KERAS_BACKEND"] = "tensorflow"
    sys.path.insert(0, str(FOLDER))
    import conv_cases
    import keras
    import tensorflow as tf

    found = {}
    for number, case in enumerate(conv_cases.CASES):
        name, _, kwargs = case
        tensors = [tf.constant(a) for a in conv_cases.arrays(case)]
        label = conv_cases.label(number, case)

        def run(*tensors, name=name, kwargs=kwargs):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                y = getattr(keras.ops, name)(*tensors, **kwargs)
                total = tf.reduce_sum(y * conv_cases.weights(y.shape))
            return y, *tape.gradient(total, tensors)

        # TensorFlow's own CPU kernels know neither channels first, nor groups, nor some gradients of dilated windows; XLA's do.
        run = tf.function(run, jit_compile="conv" in name)
        found[label], *gradients = (t.numpy() for t in run(*tensors))
        found |= {f"{label}/{position}": gradient for position, gradient in enumerate(gradients)}
    np.savez_compressed(FOLDER / "golden" / "keras_conv.npz", **found)
    print(len(found), "arrays from Keras", keras.__version__)


if __name__ == "__main__":
    main()
