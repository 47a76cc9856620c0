import copy
import json
import warnings

import numpy as np
import pytest

from graphkeras import GradientTape, Input, Model, Variable, function, layers, metrics, models, ops, random
from graphkeras.dtype_policies import DTypePolicy
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.layers.masks import get_mask, set_mask
from graphkeras.saving import CustomObjectScope, deserialize_keras_object, serialize_keras_object
from graphkeras.trace import Tensor, TraceScope, current_scope, tracing


class Scale(layers.Layer):
    def __init__(self, start=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")
        self.calls = self.add_weight(shape=(), initializer="zeros", dtype="int32", trainable=False, name="calls")

    def call(self, x):
        self.calls.assign_add(1)
        return x * self.factor * self.start


class Nested(layers.Layer):
    def __init__(self):
        super().__init__(name="nested")
        self.pair = [layers.Dense(2), layers.Dense(3)]
        self.by_name = {"a": layers.Dense(1)}
        self.fixed = (layers.Dense(1), 3)
        self.mean = metrics.Mean(name="m")
        self.seeds = random.SeedGenerator(1)
        self.free = Variable([1.0], name="free")
        self.frozen = Variable([1.0], trainable=False, name="frozen")

    def call(self, x):
        x = self.pair[1](self.pair[0](x))
        return self.by_name["a"](x) + self.fixed[0](x) * self.free


def test_weights_and_paths():
    layer = Scale(name="scale")
    assert layer.weights == [] and not layer.built and layer.path is None
    assert layer(np.ones((2, 3))).shape == (2, 3)
    assert [v.path for v in layer.weights] == ["scale/factor", "scale/calls"]
    assert layer.path == "scale" and layer.count_params() == 4
    assert [v.name for v in layer.trainable_weights] == ["factor"]
    assert [v.name for v in layer.non_trainable_weights] == ["calls"]
    layer.trainable = False
    assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == 2 and not layer.factor.trainable


def test_tracking_of_attributes():
    layer = Nested()
    layer(np.ones((1, 4)))
    assert isinstance(layer.pair, list) and isinstance(layer.by_name, dict) and isinstance(layer.fixed, tuple)
    assert len(layer._layers) == 4 and layer.metrics == [layer.mean]
    names = [v.path for v in layer.variables]
    assert names[:3] == ["free", "frozen", layer.seeds.state.path] and len(names) == 3 + 2 * 4
    assert len(layer.weights) == 2 + 2 * 4 and len(layer.metrics_variables) == 2
    assert "nested/dense" in names[3] or names[3].startswith("nested/")


def test_containers_track_later_changes():
    layer = layers.Layer()
    layer.items, layer.table, layer.bag = [], {}, set()
    first, second, third = layers.Dense(1), layers.Dense(1), layers.Dense(1)
    layer.items.append(first)
    layer.items += [second]
    layer.table["x"] = third
    layer.bag.add(first)
    assert [x.name for x in layer._layers] == [first.name, second.name, third.name]
    layer.items.pop()
    del layer.table["x"]
    assert layer._layers == [first]
    layer.items[0] = second
    layer.items.insert(0, third)
    layer.items.extend([layers.Dense(2)])
    layer.items.remove(third)
    layer.table.update(a=third)
    assert layer.table.setdefault("a", None) is third
    assert layer.table.pop("a") is third and third not in layer._layers
    layer.bag.clear()
    layer.items.clear()
    assert layer.items == [] and json.dumps(layer.items) == "[]"
    del layer.items


def test_state_is_locked_after_build():
    layer = Scale()
    layer.build((None, 2))
    with pytest.raises(ArgumentError, match="cannot add new elements of state") as caught:
        layer.inner = layers.Dense(1)
    assert "mend:" in str(caught.value)
    layer.score = metrics.Mean()  # metrics may come later
    assert layer.metrics == [layer.score]


def test_auto_build_by_argument_name():
    class Two(layers.Layer):
        def build(self, left_shape, right_shape):
            self.seen = (left_shape, right_shape)

        def call(self, left, right):
            return left + right

    layer = Two()
    layer(np.ones((2, 3)), right=np.ones((2, 1)))
    assert layer.seen == ((2, 3), (2, 1))
    assert layer.get_build_config() == {"shapes_dict": {"left_shape": (2, 3), "right_shape": (2, 1)}}
    again = Two()
    again.build_from_config(json.loads(json.dumps(layer.get_build_config())))
    assert again.seen == ((2, 3), (2, 1))

    class Wrong(layers.Layer):
        def build(self, foo_shape, right_shape):
            pass

        def call(self, left, right):
            return left

    with pytest.raises(ArgumentError, match="`_shape` suffix"):
        Wrong()(np.ones(2), np.ones(2))


def test_super_build_runs_once_and_shapes_are_kept():
    class Base(layers.Layer):
        def build(self, input_shape):
            self.a = self.add_weight(shape=(1,), name="a")

    class Derived(Base):
        def build(self, input_shape):
            super().build(input_shape)
            self.b = self.add_weight(shape=(1,), name="b")

        def call(self, x):
            return x * self.a + self.b

    layer = Derived(name="d")
    layer.build((None, 2))
    assert [w.path for w in layer.weights] == ["d/a", "d/b"] and layer.get_build_config() == {"input_shape": (None, 2)}
    assert len({id(w) for w in layer.weights}) == 2


class Seen(layers.Layer):
    def call(self, x, training=None):
        self.training = training
        return x


def test_training_argument_reaches_inner_layers():
    class Outer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.third = Seen(), Seen(), Seen()

        def call(self, x):
            return self.third(self.second(self.first(x), training=False))

    x = np.ones((1, 1))
    for given, expected in ((None, [None, False, None]), (True, [True, False, True]), (False, [False] * 3)):
        layer = Outer()
        layer(x, training=given) if given is not None else layer(x)
        assert [layer.first.training, layer.second.training, layer.third.training] == expected

    class Default(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Seen()

        def call(self, x, training=True):
            return self.inner(x)

    layer = Default()
    layer(x)
    assert layer.inner.training is True
    inputs = Input((1,))
    model = Model(inputs, layers.Dropout(0.5, seed=0)(inputs))
    ones = np.ones((50, 1))
    assert (model(ones).numpy() == 1).all() and (model(ones, training=True).numpy() != 1).any()
    always = Model(inputs, layers.Dropout(0.5, seed=0)(inputs, training=True))
    assert (always(ones, training=False).numpy() != 1).any()


def test_masks_travel():
    class Uses(layers.Layer):
        def call(self, x, mask=None):
            self.mask = mask
            return x

    x = Tensor(np.ones((1, 2, 1), "float32"))
    set_mask(x, Tensor(np.array([[True, False]])))
    layer = Uses()
    with pytest.warns(UserWarning, match="does not support masking"):
        layer(x)
    assert layer.mask.numpy().tolist() == [[True, False]]
    out = layers.Dense(2)(x)
    assert get_mask(out).numpy().tolist() == [[True, False]]
    explicit = Uses()
    explicit.supports_masking = True
    explicit(x, mask=np.array([[False, False]]))
    assert explicit.mask.numpy().tolist() == [[False, False]]
    del x
    inputs = Input((2, 1))
    last = Uses()
    last.supports_masking = True
    model = Model(inputs, last(layers.Dense(3)(layers.Masking()(inputs))))
    model(np.array([[[0.0], [1.0]]]))
    assert last.mask.numpy().tolist() == [[False, True]]


def test_inputs_are_converted():
    assert layers.Identity()(np.ones((1, 2), "float64")).dtype == "float32"
    assert layers.Identity()(np.ones((1, 2), "int64")).dtype == "int64"
    assert layers.Identity(dtype="float64")(np.ones((1, 2), "float32")).dtype == "float64"
    assert layers.Identity(autocast=False)(np.ones((1, 2), "float64")).dtype == "float64"
    assert layers.Dense(2)(np.ones((1, 2), "int64")).dtype == "float32"
    assert layers.Identity()({"a": np.ones(2), "b": [np.ones(1)]})["b"][0].dtype == "float32"


def test_mixed_precision():
    layer = layers.Dense(2, dtype="mixed_float16")
    assert layer(np.ones((1, 3), "float32")).dtype == "float16"
    assert layer.kernel.dtype == "float32" and layer.compute_dtype == "float16" and layer.variable_dtype == layer.dtype == "float32"
    assert layer.dtype_policy == DTypePolicy("mixed_float16")

    class Outer(layers.Layer):
        def __init__(self):
            super().__init__(dtype="mixed_float16")
            self.inner = layers.Dense(2, dtype="float32")

        def call(self, x):
            return self.inner(x)

    assert Outer()(np.ones((1, 2))).dtype == "float32"


def test_losses():
    class Penal(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1, kernel_initializer="ones", kernel_regularizer="l2", activity_regularizer="l1")

        def call(self, x):
            self.add_loss(ops.sum(x))
            return self.dense(x)

    layer = Penal()
    assert layer.losses == []
    x = np.ones((2, 3), "float32")
    layer(x)
    assert sorted(round(float(v), 5) for v in layer.losses) == [0.03, 0.03, 6.0]
    layer(x)
    assert len(layer.losses) == 3  # those of the last call only
    with tracing(TraceScope()):
        assert len(layer.losses) == 1  # only the regularizer: no call in this trace yet
        layer(Tensor(x))
        assert len(layer.losses) == 3
    assert len(layer.losses) == 3 and all(isinstance(v, Tensor) for v in layer.losses)
    with pytest.raises(ArgumentError, match="add_loss"):
        layer.add_loss(3.0)
    with GradientTape() as tape:
        layer(x)
        total = ops.sum(ops.stack(layer.losses))
    assert tape.gradient(total, layer.dense.kernel).shape == (3, 1)


def test_stateless_call():
    model = Model(x := Input((3,)), layers.Dropout(0.5, seed=1)(Scale()(x)))
    data = np.ones((4, 3), "float32")
    before = [v.numpy() for v in model.variables]
    trainable = [v.value * 2 for v in model.trainable_variables]
    frozen = [v.value for v in model.non_trainable_variables]
    outputs, updated, losses = model.stateless_call(trainable, frozen, data, training=True, return_losses=True)
    assert set(np.unique(outputs.numpy())) == {0.0, 4.0} and losses == []
    names = [v.name for v in model.non_trainable_variables]
    assert dict(zip(names, [u.numpy().tolist() for u in updated])) == {"calls": 1, "seed_generator_state": [1, 1]}
    for old, variable in zip(before, model.variables):
        np.testing.assert_array_equal(variable.numpy(), old)
    with GradientTape() as tape:
        tape.watch(trainable)
        total = ops.sum(model.stateless_call(trainable, frozen, data)[0])
    assert tape.gradient(total, trainable)[0].numpy().tolist() == [4.0, 4.0, 4.0]
    graph = function(lambda t: model.stateless_call([t], frozen, data)[0])
    np.testing.assert_array_equal(graph(trainable[0]).numpy(), model.stateless_call(trainable, frozen, data)[0].numpy())
    with pytest.raises(ArgumentError, match="1:1"):
        model.stateless_call([], frozen, data)
    with pytest.raises(ArgumentError, match="must be built"):
        layers.Dense(1).stateless_call([], [], data)


def test_get_and_set_weights():
    layer = layers.Dense(2)
    layer.build((None, 3))
    arrays = [np.full((3, 2), 2.0), np.ones(2)]
    layer.set_weights(arrays)
    assert [a.tolist() for a in layer.get_weights()] == [a.tolist() for a in arrays]
    with pytest.raises(ArgumentError, match="weight list of length 1"):
        layer.set_weights(arrays[:1])
    with pytest.raises(ShapeError, match="not compatible with provided weight shape"):
        layer.set_weights([np.zeros((3, 2)), np.zeros(3)])
    assert layer.get_weights()[0][0, 0] == 2.0  # nothing was changed
    with pytest.raises(ArgumentError, match="isn't built"):
        layers.Dense(2).count_params()
    with pytest.raises(ArgumentError, match="never built"):
        layers.Dense(2).load_own_variables({"0": np.ones(1)})
    with pytest.raises(ArgumentError, match="expected 2 variables"):
        layer.load_own_variables({"0": np.ones(1)})


def test_automatic_config():
    class Plain(layers.Layer):
        def __init__(self, size, kind="a", **kwargs):
            super().__init__(**kwargs)

    config = Plain(3, kind="b", name="p").get_config()
    assert config["size"] == 3 and config["kind"] == "b" and config["name"] == "p" and config["trainable"] is True
    with CustomObjectScope({"Plain": Plain}):
        assert type(deserialize_keras_object(serialize_keras_object(Plain(3)))) is Plain

    class Complicated(layers.Layer):
        def __init__(self, inner):
            super().__init__()

    with pytest.raises(NotImplementedError, match="must override `get_config"):
        Complicated(layers.Dense(1)).get_config()


def test_config_has_keras_form():
    config = serialize_keras_object(layers.Dense(2, activation="relu", name="d"))
    assert config["module"] == "keras.layers" and config["class_name"] == "Dense" and config["registered_name"] is None
    assert config["config"]["dtype"]["config"] == {"name": "float32"} and config["config"]["activation"] == "relu"
    assert config["config"]["kernel_initializer"] == {
        "module": "keras.initializers",
        "class_name": "GlorotUniform",
        "config": {"seed": None, "input_axes": None, "output_axes": None},
        "registered_name": None,
    }
    with pytest.raises(ArgumentError, match="Error when deserializing class 'Dense'"):
        layers.Dense.from_config({"size": 3})


def test_input_spec():
    class Strict(layers.Layer):
        def __init__(self, spec):
            super().__init__()
            self.input_spec = spec

        def call(self, x):
            return x

    x = np.ones((2, 3), "float32")
    for spec, error, match in (
        (layers.InputSpec(ndim=3), ShapeError, "expected ndim=3, found ndim=2. Full shape received: \\(2, 3\\)"),
        (layers.InputSpec(max_ndim=1), ShapeError, "expected max_ndim=1"),
        (layers.InputSpec(min_ndim=3), ShapeError, "expected min_ndim=3"),
        (layers.InputSpec(dtype="int32"), DTypeError, "expected dtype=int32, found dtype=float32"),
        (layers.InputSpec(axes={-1: 4}), ShapeError, "expected axis -1 of input shape to have value 4"),
        (layers.InputSpec(shape=(None, 4)), ShapeError, "expected shape=\\(None, 4\\), found shape=\\(2, 3\\)"),
        ([layers.InputSpec(), layers.InputSpec()], ArgumentError, "expects 2 input\\(s\\), but it received 1"),
    ):
        with pytest.raises(error, match=match) as caught:
            Strict(spec)(x)
        assert all(part in str(caught.value) for part in ("got:", "expected:", "where:", "mend:"))
    assert Strict(layers.InputSpec(shape=(None, 3), dtype="float32"))(x).shape == (2, 3)
    with pytest.raises(ArgumentError, match="greater than the maximum"):
        layers.InputSpec(ndim=2, axes={2: 3})
    spec = layers.InputSpec(ndim=2, axes={1: 3})
    assert repr(spec) == "InputSpec(ndim=2, axes={1: 3})" and repr(layers.InputSpec.from_config(spec.get_config())) == repr(spec)


def test_wrong_calls():
    with pytest.raises(ArgumentError, match="Only input tensors may be passed as positional arguments"):
        layers.Dense(1)(layers.Dense(2))
    with pytest.raises(TypeError, match="do not fit call"):
        layers.Dense(1)(np.ones((1, 2)), bogus=3)

    class Forgot(layers.Layer):
        def __init__(self):
            self.x = 1

    with pytest.raises(ArgumentError, match="forgot to call `super"):
        Forgot()(np.ones(1))
    with pytest.raises(NotImplementedError, match="`call` method"):
        layers.Layer()(np.ones(1))
    with pytest.raises(ArgumentError, match="cannot contain character"):
        layers.Dense(1, name="a/b")
    with pytest.raises(ArgumentError, match="`name` must be passed as a keyword argument"):
        layers.Layer().add_weight("kernel")
    with pytest.raises(ArgumentError, match="shape without None"):
        layers.Dense(1)(Input((None,)))
    with pytest.raises(AttributeError, match="never been called"):
        layers.Dense(1).output  # noqa: B018


def test_errors_name_the_layer_and_the_line():
    layer = layers.Dense(4, name="head")
    layer(np.ones((1, 3)))
    with pytest.raises(ShapeError) as caught:
        layer(np.ones((1, 5)))
    text = str(caught.value)
    assert "layer 'head'" in text and "test_layer.py" in text and "received input with shape (1, 5)" in text


def test_symbolic_calls_change_nothing():
    layer = Scale()
    inputs = Input((3,), name="x")
    output = layer(inputs)
    assert output.shape == (None, 3) and current_scope() is None
    assert int(layer.calls.value) == 0
    assert layer.input is inputs and layer.output is output
    assert output._keras_history.operation is layer


def test_user_given_output_shape_is_trusted():
    class Opaque(layers.Layer):
        def call(self, x):
            return Tensor(np.repeat(np.asarray(x), 2, axis=1))

        def compute_output_shape(self, input_shape):
            return (input_shape[0], 2 * input_shape[1])

    output = Opaque()(Input((3,)))
    assert output.shape == (None, 6) and output.dtype == "float32"


def test_input_shape_argument_and_copies():
    layer = layers.Dense(2, input_shape=(3,))
    assert layer._batch_input_shape == (None, 3)
    layer.build((None, 3))
    twin = copy.deepcopy(layer)
    twin.kernel.assign(np.zeros((3, 2)))
    assert layer.kernel.numpy().any() and twin.weights[0] is twin.kernel
    fresh = copy.deepcopy(layers.Dense(2))
    fresh.build((None, 1))
    assert fresh.kernel.shape == (1, 2)


def test_default_build_warns_where_it_cannot_help():
    class Holder(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(1)

        def call(self, x):
            return self.inner(x)

    with pytest.warns(UserWarning, match="does not have a `build"):
        Holder().build((None, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer = Holder()
        layer(np.ones((1, 2)))
    assert layer.built and layer.inner.built
    assert Holder().compute_output_shape((4, 2)) == (4, 1)


def test_state_made_in_call_is_refused():
    """What `call` makes it would make anew in each trace, and training would never see it."""

    class MakesWeight(layers.Layer):
        def call(self, inputs):
            self.w = self.add_weight(shape=(), initializer="ones")
            return inputs * self.w

    class MakesLayer(models.Model):
        def call(self, inputs):
            self.dense = layers.Dense(2)
            return self.dense(inputs)

    for cls in (MakesWeight, MakesLayer):
        with pytest.raises(ValueError, match="cannot add new elements of state"):
            cls()(np.ones((2, 3)))


@pytest.mark.parametrize("trainable", ["yes", 1, None])
def test_trainable_must_be_a_boolean(trainable):
    with pytest.raises(ValueError, match="to be a boolean"):
        layers.Dense(2, trainable=trainable)


def test_input_dim_of_older_code():
    with pytest.warns(UserWarning, match="Do not pass an `input_shape`/`input_dim` argument"):
        model = models.Sequential([layers.Dense(2, input_dim=3)])
    assert model.input_shape == (None, 3) and model.built


def test_forgotten_super_init_is_a_runtime_error_too():
    class Forgets(layers.Layer):
        def __init__(self):
            self.units = layers.Dense(1)

    for error in (ValueError, RuntimeError):
        with pytest.raises(error, match="you forgot to call `super"):
            Forgets()(np.ones((2, 2)))


def test_add_weight_with_the_name_first():
    layer = layers.Layer()
    with pytest.raises(ValueError, match="`name` must be passed as a keyword argument"):
        layer.add_weight("kernel", shape=(2, 2))


def test_add_variable_is_another_name():
    layer = layers.Layer(name="own")
    variable = layer.add_variable((2,), "ones", trainable=False, name="count")
    assert (variable.path, variable.numpy().tolist(), layer.weights) == ("own/count", [1.0, 1.0], [variable])
