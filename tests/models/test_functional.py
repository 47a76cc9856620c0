import json
import warnings

import numpy as np
import pytest

from graphkeras import GradientTape, Input, KerasTensor, Model, Sequential, function, layers, ops
from graphkeras.ir.errors import ArgumentError, GraphError, ShapeError, UnknownNameError
from graphkeras.models import Functional, clone_model, model_from_json
from graphkeras.trace.naming import reset_names

RNG = np.random.default_rng(0)


def ticket_model():
    title, body, tags = Input((10,), name="title"), Input((10,), name="text_body"), Input((3,), name="tags")
    features = layers.Concatenate(name="join")([title, body, tags])
    features = layers.Dense(8, activation="relu", name="features")(features)
    priority = layers.Dense(1, activation="sigmoid", name="priority")(features)
    department = layers.Dense(4, activation="softmax", name="department")(features)
    return Model([title, body, tags], [priority, department], name="tickets")


def data(n=5):
    return [RNG.integers(0, 2, (n, 10)), RNG.integers(0, 2, (n, 10)), RNG.integers(0, 2, (n, 3))]


def test_several_inputs_and_outputs():
    model = ticket_model()
    assert type(model) is Functional and model.built
    assert [x.name for x in model.layers] == ["title", "text_body", "tags", "join", "features", "priority", "department"]
    assert model.input_names == ["title", "text_body", "tags"] and model.output_names == ["priority", "department"]
    assert model.input_shape == [(None, 10), (None, 10), (None, 3)] and model.output_shape == [(None, 1), (None, 4)]
    assert model.compute_output_shape([(2, 10), (2, 10), (2, 3)]) == [(2, 1), (2, 4)]
    arrays = data()
    priority, department = model(arrays)
    assert priority.dtype == department.dtype == "float32" and department.shape == (5, 4)
    by_name = model(dict(zip(model.input_names, arrays)))
    np.testing.assert_array_equal(by_name[0].numpy(), priority.numpy())
    np.testing.assert_array_equal(model(tuple(arrays))[1].numpy(), department.numpy())


def test_a_list_of_one_is_the_tensor():
    x = Input((3,), name="x")
    model = Model([x], [layers.Dense(2, name="d")(x)])
    assert model(np.ones((1, 3))).shape == model([np.ones((1, 3))]).shape == (1, 2) and model.output_shape == (None, 2)
    config = model.get_config()
    assert config["input_layers"] == ["x", 0, 0] and config["output_layers"] == ["d", 0, 0]
    config["input_layers"], config["output_layers"] = [["x", 0, 0]], [["d", 0, 0]]  # as older versions of Keras write it
    assert Functional.from_config(config).output_shape == (None, 2)


def test_trainable():
    x = Input((3,))
    model = Model(x, layers.Dense(2, name="d")(x), trainable=False)
    assert model.trainable_weights == [] and model.layers[1].trainable and model.layers[1].kernel.trainable
    model.trainable = True
    model.layers[1].trainable = False
    assert model.trainable_weights == [] and Functional.from_config(model.get_config()).trainable_weights == []


def test_inputs_and_outputs_of_layers():
    model = ticket_model()
    assert [x.name for x in model.layers[3].input] == ["title", "text_body", "tags"]
    assert model.layers[3].output.shape == (None, 23)
    difficulty = layers.Dense(3, name="difficulty")(model.layers[4].output)
    wider = Model(model.inputs, [*model.outputs, difficulty])
    assert [x.name for x in wider.layers][-3:] == ["priority", "department", "difficulty"]
    assert wider.get_layer("features").kernel is model.get_layer("features").kernel
    assert len(wider(data())) == 3


def test_ops_and_operators_become_operations():
    reset_names()
    x = Input((4,), name="x")
    h = layers.Dense(3, name="d", kernel_initializer="ones")(x)
    y = ops.reshape(ops.concatenate([h * 2.0 + 1.0, -h], axis=-1), (ops.shape(x)[0], 2, 3))[:, 0]
    model = Model(x, y)
    array = np.ones((5, 4), "float32")
    np.testing.assert_array_equal(model(array).numpy(), np.full((5, 3), 9.0))
    names = [op.name for op in model.operations]
    assert names[:2] == ["x", "d"] and {"multiply", "add", "negative", "concatenate", "reshape"} <= set(names)
    assert [x.name for x in model.layers] == ["x", "d"]
    kinds = {op.name: type(op).__name__ for op in model.operations}
    assert kinds["concatenate"] == "Concatenate" and kinds["d"] == "Dense"
    np.testing.assert_array_equal(function(lambda a: model(a))(array).numpy(), model(array).numpy())
    text = json.dumps(model.get_config())
    again = Functional.from_config(json.loads(text))
    np.testing.assert_array_equal(again(array[:2]).numpy(), np.full((2, 3), 9.0))
    assert [op.name for op in again.operations] == names
    with GradientTape() as tape:
        total = ops.sum(model(array))
    assert tape.gradient(total, model.trainable_weights)[0].numpy().tolist() == [[10.0] * 3] * 4


def test_edges():
    reset_names()
    x = Input((4,), name="x")
    h = layers.Dense(4, name="d")(x)
    model = Model(x, layers.Add(name="a")([h, h * 2.0]))
    assert [(a.name, b.name) for a, b in model._edges()] == [("x", "d"), ("d", "multiply"), ("d", "a"), ("multiply", "a")]


def test_shared_layers_and_models_as_layers():
    shared = layers.Dense(2, name="shared")
    a, b = Input((3,), name="a"), Input((3,), name="b")
    inner_in = Input((2,))
    inner = Model(inner_in, layers.Dense(1, name="inner_dense")(inner_in), name="inner")
    model = Model([a, b], layers.Subtract()([inner(shared(a)), inner(shared(b))]))
    assert len(model.weights) == 4 and [x.name for x in model.layers][2:4] == ["shared", "inner"]
    x = RNG.random((4, 3)).astype("float32")
    np.testing.assert_array_equal(model([x, x]).numpy(), 0.0)
    again = model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    y = RNG.random((4, 3)).astype("float32")
    np.testing.assert_array_equal(again([x, y]).numpy(), model([x, y]).numpy())
    assert len(again.weights) == 4


def test_nested_structures():
    inputs = {"a": Input((2,), name="first"), "b": [Input((2,), name="second")]}
    out = layers.Add()([inputs["a"], inputs["b"][0]])
    model = Model(inputs, {"sum": out, "pair": (out, inputs["a"])})
    result = model({"a": np.ones((1, 2)), "b": [np.ones((1, 2))]})
    assert result["sum"].numpy().tolist() == [[2.0, 2.0]] and result["pair"][1].numpy().tolist() == [[1.0, 1.0]]
    assert isinstance(result["pair"], tuple) and set(model.output_shape) == {"sum", "pair"}
    plain = Model({"u": Input((2,)), "v": (v := Input((2,)))}, v * 1.0)
    assert plain({"v": np.full((1, 2), 3), "u": np.ones((1, 2))}).numpy().tolist() == [[3.0, 3.0]]


def test_models_from_the_middle():
    x = Input((4,))
    h = layers.Dense(3, name="first")(x)
    y = layers.Dense(2, name="second")(h)
    tail = Model(h, y)
    assert [type(layer).__name__ for layer in tail.layers] == ["InputLayer", "Dense"]
    assert tail(np.ones((5, 3))).shape == (5, 2) and tail.count_params() == 8
    head = Model(x, h)
    whole = Model(x, tail(head(x)))
    np.testing.assert_allclose(whole(np.ones((2, 4))).numpy(), Model(x, y)(np.ones((2, 4))).numpy(), rtol=1e-6)
    free = KerasTensor((None, 3), name="free")
    assert Model(free, layers.Dense(1)(free))(np.ones((2, 3))).shape == (2, 1)


def test_rank_is_adjusted_as_in_keras():
    model = Model(x := Input((1,)), x * 2.0)
    assert model(np.ones(4)).shape == (4, 1)
    vector = Model(x := Input(()), x * 2.0)
    assert vector(np.ones((4, 1))).shape == (4,)


def test_subclass_made_functionally():
    class Custom(Model):
        def __init__(self, *args, extra=3, **kwargs):
            super().__init__(*args, **kwargs)
            self.extra = extra

        def double(self, x):
            return 2 * self(x)

    x = Input((3,))
    model = Custom(x, layers.Dense(2)(x), name="mine", extra=4)
    assert isinstance(model, Custom) and isinstance(model, Functional) and type(model).__name__ == "Custom"
    assert model.name == "mine" and model.extra == 4 and model.double(np.ones((1, 3))).shape == (1, 2)
    model.note = [layers.Dense(1)]  # functional models may get more attributes

    class Fixed(Model):
        def __init__(self, units=2):
            x = Input((3,))
            super().__init__(inputs=x, outputs=layers.Dense(units)(x))

    fixed = Fixed(units=5)
    assert isinstance(fixed, Fixed) and fixed.count_params() == 20
    again = type(fixed).from_config(fixed.get_config())
    assert again.count_params() == 20 and isinstance(again, Fixed)
    assert type(Fixed(2)) is type(Fixed(3))


def test_clone():
    model = ticket_model()
    clone = clone_model(model)
    assert [x.name for x in clone.layers] == [x.name for x in model.layers] and clone.name == "tickets"
    assert not {id(w) for w in clone.weights} & {id(w) for w in model.weights}
    clone.set_weights(model.get_weights())
    arrays = data()
    np.testing.assert_array_equal(clone(arrays)[1].numpy(), model(arrays)[1].numpy())
    wide = clone_model(
        Sequential([Input((3,)), layers.Dense(2), layers.Dense(2)]), clone_function=lambda layer: layers.Dense(5, name=layer.name)
    )
    assert wide.output_shape == (None, 5)
    calls = []
    clone_model(model, call_function=lambda layer, *args, **kwargs: calls.append(layer.name) or layer(*args, **kwargs))
    assert calls == ["join", "features", "priority", "department"]
    other = [Input((10,)), Input((10,)), Input((3,), name="t")]
    assert clone_model(model, input_tensors=other).input_names[-1] == "t"


def test_a_config_written_by_keras():
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 2], "dtype": "float32", "keras_history": ["a", 0, 0]}}
    config = {
        "name": "f",
        "trainable": True,
        "layers": [
            {
                "module": "keras.layers",
                "class_name": "InputLayer",
                "config": {"batch_shape": [None, 2], "dtype": "float32", "sparse": False, "ragged": False, "name": "a"},
                "registered_name": None,
                "name": "a",
                "inbound_nodes": [],
            },
            {
                "module": "keras.src.ops.numpy",
                "class_name": "Mean",
                "config": {"name": "mean", "axis": -1, "keepdims": True},
                "registered_name": "Mean",
                "name": "mean",
                "inbound_nodes": [{"args": [tensor], "kwargs": {}}],
            },
        ],
        "input_layers": [["a", 0, 0]],
        "output_layers": [["mean", 0, 0]],
    }
    model = model_from_json(json.dumps({"module": "keras.src.models.functional", "class_name": "Functional", "config": config}))
    assert model(np.array([[1.0, 3.0]])).numpy().tolist() == [[2.0]] and model.name == "f"


@pytest.mark.parametrize(
    "make, error, match",
    [
        (lambda: Model(Input((2,)), Input((2,)) * 2.0), GraphError, "not connected to `outputs`"),
        (lambda: Model(np.ones(2), Input((2,))), ArgumentError, "must be KerasTensors"),
        (lambda: Model([x := Input((2,)), x], x), ArgumentError, "different tensors"),
        (lambda: ticket_model()(data()[:2]), ArgumentError, "expects 3 input\\(s\\), but it received 2"),
        (lambda: ticket_model()({"title": data()[0]}), ArgumentError, 'Missing data for input "text_body"'),
        (
            lambda: ticket_model()([data()[0], data()[0], data()[0]]),
            ShapeError,
            "expected shape=\\(None, 3\\), found shape=\\(5, 10\\)",
        ),
        (lambda: ticket_model()([data()[0][0], *data()[1:]]), ShapeError, "expected shape=\\(None, 10\\)"),
        (lambda: ticket_model().get_layer("nobody"), UnknownNameError, "No such layer: nobody"),
        (lambda: ticket_model().get_layer(index=9), ArgumentError, "only has 7 layers"),
        (lambda: ticket_model().get_layer(), ArgumentError, "Provide either"),
        (
            lambda: Model(x := Input((2,)), layers.Dense(2, name="d")(layers.Dense(2, name="d")(x))),
            GraphError,
            'name "d" is used 2 times',
        ),
    ],
)
def test_errors_have_four_parts(make, error, match):
    with pytest.raises(error, match=match) as caught:
        make()
    text = str(caught.value)
    assert "got:" in text and "expected:" in text and "test_functional.py" in text


def two_inputs(optional=False):
    first, second = layers.Input((2,), name="first"), layers.Input((2,), name="second", optional=optional)

    class Sum(layers.Layer):
        def call(self, x, y=None):
            return x if y is None else x + y

    return Model({"first": first, "second": second}, Sum()(first, second))


def test_other_structures_of_inputs_are_warned_of():
    model, ones = two_inputs(), np.ones((3, 2), "float32")
    with pytest.warns(UserWarning, match="The structure of `inputs` doesn't match"):
        model([ones, ones])
    with pytest.warns(UserWarning, match="The structure of `inputs` doesn't match"):
        model({"first": ones, "second": ones, "third": ones})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model({"second": ones, "first": ones})


def test_optional_inputs_may_be_left_out():
    model, ones = two_inputs(optional=True), np.ones((3, 2), "float32")
    model.compile("sgd", "mse")
    assert model.evaluate({"first": ones, "second": None}, ones, verbose=0) == 0.0
    assert model.evaluate({"first": ones, "second": ones}, ones, verbose=0) == 1.0
    np.testing.assert_array_equal(model.predict({"first": ones, "second": None}, verbose=0), ones)


def test_other_inputs_may_not():
    model, ones = two_inputs(), np.ones((3, 2), "float32")
    model.compile("sgd", "mse")
    for call in (lambda x: model(x), lambda x: model.predict(x, verbose=0), lambda x: model.evaluate(x, ones, verbose=0)):
        with pytest.raises(ValueError, match="The input 'second' is not optional, but None was passed"):
            call({"first": ones, "second": None})


def test_a_list_for_named_inputs_must_not_be_ambiguous():
    last, first = Input((2,), name="z"), Input((2,), name="a")
    model, ones = Model({"z": last, "a": first}, layers.Subtract()([last, first])), np.ones((1, 2), "float32")
    with pytest.raises(ValueError, match="The structure of `inputs` doesn't match"):
        model([ones, 2 * ones])
    with pytest.raises(ValueError, match="`input_tensors` must have the same structure as model.input"):
        clone_model(model, input_tensors=[last, first])
    assert clone_model(model, input_tensors={"z": last, "a": first}).input_names == ["a", "z"]


def test_older_names_of_the_shape_of_an_input():
    assert layers.InputLayer(batch_input_shape=(None, 10)).batch_shape == (None, 10)
