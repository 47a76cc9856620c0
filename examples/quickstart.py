"""Train a digit classifier, draw it, and see that compiled execution gives the very bits of node by node execution.

    pip install . && python examples/quickstart.py

Everything before `compare_executions` is plain Keras: with `import keras` in place of the first import below, and a data set
from elsewhere, it runs unchanged. Exit status 1 means that strict and compiled execution differ, which would be a fault.
"""

import argparse
import sys
import time

import graphkeras as keras
from graphkeras import layers
from graphkeras.datasets import mnist


def build_model():
    """Pixels 0 to 255 in, probabilities of the ten digits out."""
    images = keras.Input(shape=(28, 28), dtype="uint8", name="images")
    x = layers.Rescaling(1.0 / 255)(images)
    x = layers.Flatten()(x)
    x = layers.Dense(512, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    outputs = layers.Dense(10, activation="softmax", name="digits")(x)
    return keras.Model(images, outputs, name="quickstart")


def compare_executions(model, images):
    """Predicts the same images in the three ways of execution; True where strict and compiled agree in every bit."""
    predictions = {}
    for execution in ("eager", "strict", "compiled"):
        keras.config.set_execution(execution)
        start = time.perf_counter()
        model.predict(images, batch_size=256, verbose=0)
        first = time.perf_counter() - start
        start = time.perf_counter()
        predictions[execution] = model.predict(images, batch_size=256, verbose=0)
        print(f"  {execution:9s} first call {1e3 * first:8.1f} ms, then {1e3 * (time.perf_counter() - start):8.1f} ms")
    same_bits = predictions["strict"].tobytes() == predictions["compiled"].tobytes()
    difference = abs(predictions["eager"].astype("float64") - predictions["compiled"]).max()
    print(f"  strict == compiled, bit for bit: {same_bits}")
    print(f"  largest difference between eager and compiled: {difference:.2e}")
    return same_bits


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10, help="at most so many; training stops when it no longer helps")
    arguments = parser.parse_args()

    keras.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = mnist.load_sample()

    model = build_model()
    model.summary()
    model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    start = time.perf_counter()
    history = model.fit(
        x_train,
        y_train,
        batch_size=64,
        epochs=arguments.epochs,
        validation_split=0.1,
        callbacks=[keras.callbacks.EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)],
    )
    seconds = time.perf_counter() - start
    epochs = len(history.history["loss"])
    print(f"Trained {epochs} epochs in {seconds:.2f} s, compilation included.")

    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"{len(x_test)} digits it has never seen: accuracy {accuracy:.4f}, loss {loss:.4f}")

    keras.utils.plot_model(model, to_file="quickstart_model.png", show_shapes=True, show_layer_names=True)
    print("Drew the model: quickstart_model.png")

    print("The same predictions three times:")
    return 0 if compare_executions(model, x_test) else 1


if __name__ == "__main__":
    sys.exit(main())
