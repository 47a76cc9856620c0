import numpy as np
import pytest

from graphkeras import Input, Model, Sequential, layers
from graphkeras.ir.errors import ArgumentError
from graphkeras.trace.naming import reset_names
from graphkeras.utils.summary_utils import readable_memory_size


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def summary(model, **options):
    texts = []
    model.summary(print_fn=texts.append, **options)
    assert len(texts) == 1
    return texts[0]


# These tables are what Keras 3.15 prints for the same models in a terminal of 80 columns.
DEFERRED = """\
Model: "ex"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ one (Dense)                     │ ?                      │   0 (unbuilt) │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ drop (Dropout)                  │ ?                      │             0 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 0 (0.00 B)
 Trainable params: 0 (0.00 B)
 Non-trainable params: 0 (0.00 B)
"""
BUILT = """\
Model: "ex"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ one (Dense)                     │ (None, 64)             │           256 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ drop (Dropout)                  │ (None, 64)             │             0 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 256 (1.00 KB)
 Trainable params: 256 (1.00 KB)
 Non-trainable params: 0 (0.00 B)
"""
BRANCHED = """\
Model: "f"
┏━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)    ┃ Output Shape ┃ Param # ┃ Connected to  ┃
┡━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ a (InputLayer)  │ (None, 3)    │       0 │ -             │
├─────────────────┼──────────────┼─────────┼───────────────┤
│ b (InputLayer)  │ (None, 4)    │       0 │ -             │
├─────────────────┼──────────────┼─────────┼───────────────┤
│ concatenate     │ (None, 7)    │       0 │ a[0][0],      │
│ (Concatenate)   │              │         │ b[0][0]       │
├─────────────────┼──────────────┼─────────┼───────────────┤
│ hidden (Dense)  │ (None, 4)    │      32 │ concatenate[… │
├─────────────────┼──────────────┼─────────┼───────────────┤
│ multiply        │ (None, 4)    │       0 │ hidden[0][0]  │
│ (Multiply)      │              │         │               │
└─────────────────┴──────────────┴─────────┴───────────────┘
 Total params: 32 (128.00 B)
 Trainable params: 32 (128.00 B)
 Non-trainable params: 0 (0.00 B)
"""
NESTED = """\
Model: "outer"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━┓
┃ Layer (type)                ┃ Output Shape          ┃    Param # ┃ Trai… ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━┩
│ dense_3 (Dense)             │ (None, 3)             │         12 │   Y   │
├─────────────────────────────┼───────────────────────┼────────────┼───────┤
│ inner (Sequential)          │ (None, 5)             │         41 │   Y   │
├─────────────────────────────┼───────────────────────┼────────────┼───────┤
│    └ dense_4 (Dense)        │ (None, 4)             │         16 │   Y   │
├─────────────────────────────┼───────────────────────┼────────────┼───────┤
│    └ dense_5 (Dense)        │ (None, 5)             │         25 │   N   │
└─────────────────────────────┴───────────────────────┴────────────┴───────┘
 Total params: 53 (212.00 B)
 Trainable params: 28 (112.00 B)
 Non-trainable params: 25 (100.00 B)
"""


def stack():
    return Sequential([layers.Dense(64, activation="relu", name="one"), layers.Dropout(0.5, name="drop")], name="ex")


def test_sequential_before_and_after_build():
    model = stack()
    assert summary(model) == DEFERRED
    model.build((None, 3))
    assert summary(model) == BUILT


def test_functional_with_branches():
    reset_names()
    a, b = Input((3,), name="a"), Input((4,), name="b")
    hidden = layers.Dense(4, name="hidden")(layers.Concatenate(name="concatenate")([a, b]))
    assert summary(Model([a, b], hidden * 2.0, name="f"), line_length=60) == BRANCHED


def test_nested_and_trainable():
    inner = Sequential([layers.Dense(4, name="dense_4"), layers.Dense(5, trainable=False, name="dense_5")], name="inner")
    outer = Sequential([Input((3,)), layers.Dense(3, name="dense_3"), inner], name="outer")
    assert summary(outer, expand_nested=True, show_trainable=True) == NESTED


def test_summary_is_printed(capsys):
    stack().summary()
    assert capsys.readouterr().out == DEFERRED


def test_width_range_and_positions():
    model = stack()
    model.build((None, 3))
    lines = summary(model, line_length=80).splitlines()
    assert {len(line) for line in lines if line[0] in "┏┃│└"} == {80}
    text = summary(model, layer_range=("dr.*", "drop"))
    assert "drop (Dropout)" in text and "one (Dense)" not in text
    first = summary(model, positions=[0.6, 0.8, 1.0], line_length=100).splitlines()[1]
    assert len(first) == 100 and first.index("┳") > 55
    with pytest.raises(ArgumentError, match="do not match the layer names"):
        summary(model, layer_range=("x", "y"))
    with pytest.raises(ArgumentError, match="two strings"):
        summary(model, layer_range=["one"])
    with pytest.raises(ArgumentError, match="Insufficient console width"):
        summary(model, line_length=8)


def test_optimizer_is_counted():
    model = Sequential([Input((3,)), layers.Dense(2)])
    model.compile(optimizer="sgd", loss="mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    assert " Optimizer params: " in summary(model)


def test_subclassed_model():
    class Two(Model):
        def __init__(self):
            super().__init__(name="two")
            self.dense = layers.Dense(2, name="d")

        def call(self, x):
            return self.dense(x)

    model = Two()
    assert "0 (unbuilt)" in summary(model)
    model(np.ones((7, 3)))
    assert "│ (7, 2) " in summary(model)


def test_memory_sizes():
    assert [readable_memory_size(s) for s in (0, 1023, 1024, 5 << 20, 3 << 50)] == [
        "0.00 B",
        "1023.00 B",
        "1.00 KB",
        "5.00 MB",
        "3.00 PB",
    ]
