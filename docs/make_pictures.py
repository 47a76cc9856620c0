"""Draws the pictures of the documentation, and prints what architecture.md says of the mlp step.

    python docs/make_pictures.py
"""

from pathlib import Path

import numpy as np

import graphkeras as keras
from graphkeras import layers
from graphkeras.visualization import draw_graph

FOLDER = Path(__file__).parent


def mlp():
    inputs = keras.Input((784,), name="pixels")
    hidden = layers.Dense(512, activation="relu", name="hidden")(inputs)
    hidden = layers.Dropout(0.5, name="dropout")(hidden)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax", name="digits")(hidden), name="mlp")
    model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def draw(program, name, rankdir="TB"):
    groups = {node: f"{g.index}: {g.kind}" for g in program.schedule.groups for node in g.nodes}
    draw_graph(program.schedule.graph, to_file=str(FOLDER / name), groups=groups, legend=False, show_attrs=False, rankdir=rankdir)


def main():
    model = mlp()
    x, y = np.zeros((128, 784), "float32"), np.zeros(128, "int64")  # predict takes it as one batch, fit as a whole data set
    model.fit(x, y, batch_size=128, verbose=0)
    model.predict(x, batch_size=128, verbose=0)
    step = model._steps["train"].compiled[0]
    draw(model._steps["predict"].compiled[0].program, "predict_step.svg", "LR")
    draw(step.program, "train_step.svg")
    print(f"{len(step.graph.nodes)} nodes after the passes")
    for report in step.reports:
        print(report)
    print(step.graph)
    print(step.program.describe())
    print(*step.program.schedule.refusals, sep="\n")


if __name__ == "__main__":
    main()
