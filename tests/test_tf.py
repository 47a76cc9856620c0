"""The TensorFlow names of the book, and the second name of the package."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import graphkeras as keras
import graphkeras.tf as tf

ROOT = Path(__file__).resolve().parent.parent


def test_tensors_and_variables():
    assert tf.ones(shape=(2, 1)).tolist() == [[1.0], [1.0]]
    assert tf.constant([1, 2, 3, 4], dtype=tf.float32, shape=(2, 2)).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    x = tf.random.normal(shape=(3, 1), mean=0.0, stddev=1.0)
    y = tf.random.uniform(shape=(3, 1), minval=2.0, maxval=3.0)
    assert x.shape == (3, 1) and (y.numpy() >= 2).all()
    v = tf.Variable(initial_value=tf.zeros((2,)))
    v.assign_add(tf.ones((2,)))
    assert v.numpy().tolist() == [1.0, 1.0] and v.dtype == "float32" and v.trainable
    assert tf.Variable(lambda: tf.ones((2,)), trainable=False).trainable is False


def test_mathematics():
    a = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    assert tf.matmul(a, tf.ones((2, 2))).tolist() == [[3.0, 3.0], [7.0, 7.0]]
    assert float(tf.reduce_sum(tf.square(a))) == 30.0
    assert tf.reduce_mean(a, axis=0).tolist() == [2.0, 3.0]
    assert tf.reduce_max(a, axis=-1, keepdims=True).tolist() == [[2.0], [4.0]]
    assert tf.cast(a, tf.int32).dtype == "int32"
    assert tf.shape(a)[0] == 2
    assert tf.one_hot([1, 0], depth=tf.shape(a)[1]).tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert tf.math.argmax(a, axis=1).tolist() == [1, 1]
    assert tf.nn.relu(-a).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_tape_function_and_data():
    w = tf.Variable(tf.constant(3.0))

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(w * x))
        return tape.gradient(loss, w)

    assert float(step(np.ones((4,), "float32"))) == 6.0
    time = tf.Variable(0.0)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            position = 4.9 * time**2
        speed = inner.gradient(position, time)
    np.testing.assert_allclose(float(outer.gradient(speed, time)), 9.8, rtol=1e-6)
    batches = tf.data.Dataset.from_tensor_slices((np.arange(5), np.arange(5))).batch(2)
    assert [len(x) for x, _ in batches] == [2, 2, 1]
    assert tf.keras is keras


@pytest.mark.parametrize(
    ("look_up", "message"),
    [
        (lambda: tf.clip_by_value, r"tf.clip_by_value is not provided; use ops.clip of graphkeras"),
        (lambda: tf.math.cumsum, r"tf.math.cumsum is not provided; use ops.cumsum of graphkeras"),
        (lambda: tf.einsum, r"use ops.einsum of graphkeras"),
        (lambda: tf.random.shuffle, r"use random.shuffle of graphkeras"),
        (lambda: tf.nn.sparse_softmax_cross_entropy_with_logits, r"sparse_categorical_crossentropy\(from_logits=True\)"),
        (lambda: tf.raw_ops, r"tf.raw_ops is not provided; see graphkeras.ops"),
    ],
)
def test_other_names_say_what_to_use(look_up, message):
    with pytest.raises(AttributeError, match=message):
        look_up()


def test_public_names_exist():
    assert [name for name in tf.__all__ if not hasattr(tf, name)] == []


def _run(code):
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True)


def test_install_as_keras():
    done = _run(
        """
        import sys
        import graphkeras
        graphkeras.install_as_keras()
        graphkeras.install_as_keras()
        import keras
        from keras import layers, ops
        from keras.layers import Dense
        import keras.ops.numpy as knp
        import keras.utils
        assert keras is graphkeras and layers is graphkeras.layers and Dense is graphkeras.layers.Dense
        assert knp is graphkeras.ops.numpy and knp.__name__ == knp.__spec__.name == "graphkeras.ops.numpy"
        assert sys.modules["keras.layers"] is sys.modules["graphkeras.layers"]
        try:
            import keras.no_such_module
        except ModuleNotFoundError as error:
            assert "keras.no_such_module" in str(error)
        else:
            raise AssertionError("found")
        """
    )
    assert done.returncode == 0, done.stderr


def test_a_library_written_for_keras():
    done = _run(
        """
        import graphkeras
        graphkeras.install_as_keras()

        import keras
        from keras import ops
        from keras.saving import register_keras_serializable

        @register_keras_serializable(package="third_party")
        class Scale(keras.layers.Layer):
            def build(self, input_shape):
                self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

            def call(self, inputs):
                return ops.tanh(inputs * self.scale)

        import numpy as np
        inputs = keras.Input((3,))
        model = keras.Model(inputs, keras.layers.Dense(1)(Scale()(inputs)))
        model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
        history = model.fit(np.ones((8, 3), "float32"), np.zeros((8, 1), "float32"), epochs=2, verbose=0)
        assert history.history["loss"][1] < history.history["loss"][0]
        """
    )
    assert done.returncode == 0, done.stderr


def test_install_refuses_beside_the_real_keras():
    done = _run(
        """
        import sys, types
        sys.modules["keras"] = types.ModuleType("keras")
        import graphkeras
        try:
            graphkeras.install_as_keras()
        except ImportError as error:
            assert "has been imported already" in str(error) and "mend:" in str(error)
        else:
            raise AssertionError("not refused")
        """
    )
    assert done.returncode == 0, done.stderr
