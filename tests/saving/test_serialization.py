import numpy as np
import pytest

from graphkeras import config, layers, ops, saving
from graphkeras.ir.errors import ArgumentError, UnknownNameError
from graphkeras.trace import SymbolicTensor


@saving.register_keras_serializable(package="tests")
class Thing:
    def __init__(self, size):
        self.size = size

    def get_config(self):
        return {"size": self.size}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@saving.register_keras_serializable(package="tests", name="twice")
def double(x):
    return 2 * x


@pytest.fixture(autouse=True)
def safe_again():
    yield
    saving.serialization_lib._settings["unsafe"] = False


def there_and_back(obj, **options):
    return saving.deserialize_keras_object(saving.serialize_keras_object(obj), **options)


def test_plain_and_nested_values():
    value = {"a": [1, 2.5, None, True, "x"], "b": (1, (2,)), "c": {"d": b"bytes"}, "e": slice(1, None, 2), "f": Ellipsis}
    assert there_and_back(value) == value
    assert there_and_back(np.float32(2.5)) == 2.5 and there_and_back(np.dtype("float32")) == "float32"
    np.testing.assert_array_equal(there_and_back(np.eye(2, dtype="int8")), np.eye(2))
    tensor = there_and_back(ops.ones((2,), "float16"))
    assert tensor.dtype == "float16" and tensor.numpy().tolist() == [1.0, 1.0]
    symbolic = there_and_back(SymbolicTensor((None, 3), "int32"))
    assert symbolic.shape == (None, 3) and symbolic.dtype == "int32"


def test_registered_objects():
    config_ = saving.serialize_keras_object(Thing(3))
    assert config_["registered_name"] == "tests>Thing" and config_["class_name"] == "Thing"
    assert there_and_back(Thing(3)).size == 3 and there_and_back(double) is double
    assert saving.get_registered_name(double) == "tests>twice" and saving.get_registered_object("tests>Thing") is Thing
    assert layers.Activation.from_config(layers.Activation(double).get_config()).activation is double
    with pytest.raises(ArgumentError, match="get_config"):
        saving.register_keras_serializable()(type("Empty", (), {}))


def test_custom_object_scope():
    class Mine(Thing):
        pass

    config_ = saving.serialize_keras_object(Mine(2))
    with pytest.raises(UnknownNameError, match="Could not locate class 'Mine'") as caught:
        saving.deserialize_keras_object(config_)
    assert "register_keras_serializable" in str(caught.value)
    with saving.custom_object_scope({"Mine": Mine}):
        assert type(saving.deserialize_keras_object(config_)) is Mine
    assert type(saving.deserialize_keras_object(config_, custom_objects={"Mine": Mine})) is Mine
    saving.get_custom_objects()["Mine"] = Mine
    try:
        assert type(saving.deserialize_keras_object(config_)) is Mine
    finally:
        del saving.get_custom_objects()["Mine"]


def test_functions_and_lambdas():
    assert there_and_back(layers.Activation("tanh")).get_config()["activation"] == "tanh"
    with pytest.warns(UserWarning, match="lambda"):
        config_ = saving.serialize_keras_object(lambda x, y=2: ops.add(x, y))
    with pytest.raises(ArgumentError, match="Python lambda"):
        saving.deserialize_keras_object(config_)
    assert float(saving.deserialize_keras_object(config_, safe_mode=False)(1.0)) == 3.0
    with saving.SafeModeScope(False):
        assert callable(saving.deserialize_keras_object(config_))
    config.enable_unsafe_deserialization()
    assert callable(saving.deserialize_keras_object(config_))


def test_only_modelling_classes_are_built():
    for module, name in (
        ("keras.utils", "plot_model"),
        ("keras.saving", "serialize_keras_object"),
        ("os", "system"),
        ("keras.datasets", "mnist"),
    ):
        with pytest.raises(UnknownNameError, match="Could not locate"):
            saving.deserialize_keras_object({"module": module, "class_name": name, "config": {}, "registered_name": None})


def test_what_cannot_be_serialized():
    with pytest.raises(ArgumentError, match="Cannot serialize object"):
        saving.serialize_keras_object(object())
    with pytest.raises(ArgumentError, match="Could not parse config"):
        saving.deserialize_keras_object(object())
    broken = {"module": "keras.layers", "class_name": "Dropout", "config": {"rat": 1}, "registered_name": None}
    with pytest.raises(ArgumentError, match="Error when deserializing class 'Dropout'"):
        saving.deserialize_keras_object(broken)


def test_schedules_are_found_where_keras_writes_them():
    from graphkeras.optimizers import schedules

    written = saving.serialize_keras_object(schedules.ExponentialDecay(0.1, 2, 0.5))
    assert written["module"] == "keras.optimizers.schedules"
    assert saving.deserialize_keras_object(written).get_config() == written["config"]
