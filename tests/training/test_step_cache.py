"""Steps found without a trace: the same training, for the same configuration only, and only where all code is the package's own."""

import functools
import json
import os
import random
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import layers, ops
from graphkeras.debug import flags
from graphkeras.ir.errors import DataError
from graphkeras.runtime import cache, program_cache
from graphkeras.runtime.errors import StaleProgramError
from graphkeras.trace.naming import reset_names
from graphkeras.training.step_cache import StepKey

ROOT = Path(__file__).resolve().parents[2]
FOUND = "program cache, without a trace"
X = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
Y = np.arange(10) % 3


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """A cache of this test's own, whoever edits the sources meanwhile."""
    monkeypatch.setattr(program_cache, "package_digest", lambda: "sources")
    monkeypatch.setattr(program_cache, "sources_state", lambda: "sources")
    monkeypatch.setattr(program_cache, "sources_stand", lambda: True)
    with flags.CACHE(str(tmp_path / "cache")):
        yield


# ---- in processes of their own ---------------------------------------------------------------------------------------

NETS = {
    "mlp": """
        inputs = keras.Input((4,))
        hidden = layers.Dropout(0.5)(layers.Dense(5, activation="relu", kernel_regularizer="l2")(inputs))
        model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
        model.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
        data = X, Y
    """,
    "stack without an input": """
        model = keras.Sequential([layers.Dense(5, activation="tanh", activity_regularizer="l1"), layers.Dense(3)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)), loss, weighted_metrics=["acc"])
        data = X, Y, np.linspace(0, 1, 10, dtype="float32")
    """,
    "two outputs and ops": """
        a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
        shared = layers.Dense(3, name="shared")
        hidden = ops.relu(shared(a) * 2.0 - shared(b))
        outputs = {"one": layers.Dense(1, name="one")(hidden), "two": layers.Dense(2, name="two")(hidden)}
        model = keras.Model({"a": a, "b": b}, outputs)
        model.compile("sgd", {"one": "mse", "two": "mae"}, loss_weights={"one": 0.5, "two": 2.0}, metrics={"two": ["mse"]})
        data = {"a": X, "b": X[::-1].copy()}, {"one": X[:, :1].copy(), "two": X[:, :2].copy()}
    """,
}
HEAD = """
import hashlib, json
import numpy as np
import graphkeras as keras
from graphkeras import layers, ops
keras.utils.set_random_seed(7)
X = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
Y = np.arange(10) % 3
"""
TAIL = """
history = model.fit(*data[:2], sample_weight=data[2] if len(data) > 2 else None, epochs=2, batch_size=4, verbose=0).history
evaluated = model.evaluate(*data[:2], verbose=0)
predicted = keras.tree.flatten(model.predict(data[0], verbose=0))
from graphkeras.trace import naming
steps = {mode: step.compiled[0].compiled for mode, step in model._steps.items()}
variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
print(json.dumps({
    "sources": [made.source for made in steps.values()],
    "why": [made.traced_for for made in steps.values()],
    "history": history, "evaluated": evaluated,
    "variables": [[v.path, v.dtype, v.shape, hashlib.sha256(v.numpy().tobytes()).hexdigest()] for v in variables],
    "metrics": model.metrics_names, "path": model.path, "names": sorted(naming._counts.items()),
    "predicted": [hashlib.sha256(p.tobytes()).hexdigest() for p in predicted],
}))
"""
# A function from elsewhere in one of the package's modules: the first level is closed then.
CLOSED = "import graphkeras.trace.settings\ngraphkeras.trace.settings.mine = lambda: 0\n"


def run(folder, net, before=""):
    code = before + HEAD + textwrap.dedent(NETS[net]) + TAIL
    environment = {**os.environ, "GRAPHKERAS_CACHE": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    if any("has changed since" in why for why in result["why"]):
        pytest.skip("the sources are being edited")
    return result


@pytest.mark.parametrize("net", NETS)
def test_all_levels_give_the_same_training_in_fresh_processes(tmp_path, net):
    cold, second, first = run(tmp_path, net), run(tmp_path, net, CLOSED), run(tmp_path, net)
    assert [set(r.pop("sources")) for r in (cold, second, first)] == [{"compiled"}, {"program cache"}, {FOUND}]
    assert all("holds code from __main__" in why for why in second["why"])
    for result in (cold, second, first):
        del result["why"]
    assert second == cold
    assert first == cold


# ---- what the key tells apart ----------------------------------------------------------------------------------------


def small_model(**changes):
    keras.utils.set_random_seed(3)
    if not changes:
        reset_names()
    inputs = keras.Input((4,))
    options = {name: changes.pop(name) for name in list(changes) if name in ("activation", "use_bias", "kernel_constraint", "name")}
    hidden = layers.Dense(5, **{"activation": "relu", **options})(inputs)
    hidden = changes.pop("noise", layers.Dropout)(changes.pop("rate", 0.5))(hidden)
    head = layers.Dense(3, activation=changes.pop("last", "softmax"), kernel_regularizer=changes.pop("regularizer", None))
    model = keras.Model(inputs, changes.pop("wrap", lambda x: x)(head(hidden)))
    head.trainable = changes.pop("trainable", True)
    given = {"optimizer": "rmsprop", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **changes}
    model.compile(**given)
    return model


def key_of(model, mode="train", data=(X, Y)):
    return StepKey(model, mode, data, True, "compiled")


LOSS = keras.losses.SparseCategoricalCrossentropy
RMS = keras.optimizers.RMSprop
DECAY = keras.optimizers.schedules.ExponentialDecay
VARIANTS = {
    "schedule": lambda: {"optimizer": RMS(DECAY(0.1, 10, 0.9))},
    "other schedule": lambda: {"optimizer": RMS(DECAY(0.1, 10, 0.8))},
    "rho": lambda: {"optimizer": RMS(rho=0.8)},
    "momentum": lambda: {"optimizer": RMS(momentum=0.5)},
    "epsilon": lambda: {"optimizer": RMS(epsilon=1e-6)},
    "clipnorm": lambda: {"optimizer": RMS(clipnorm=1.0)},
    "weight decay": lambda: {"optimizer": RMS(weight_decay=0.01)},
    "averages": lambda: {"optimizer": RMS(use_ema=True)},
    "adam": lambda: {"optimizer": "adam"},
    "from logits": lambda: {"loss": LOSS(from_logits=True)},
    "sum of losses": lambda: {"loss": LOSS(reduction="sum")},
    "ignored class": lambda: {"loss": LOSS(ignore_class=1)},
    "weight of the loss": lambda: {"loss_weights": 0.5},
    "other weight of the loss": lambda: {"loss_weights": 0.25},
    "no metrics": lambda: {"metrics": []},
    "other metric": lambda: {"metrics": [keras.metrics.SparseTopKCategoricalAccuracy(2)]},
    "its k": lambda: {"metrics": [keras.metrics.SparseTopKCategoricalAccuracy(1)]},
    "activation": lambda: {"activation": "tanh"},
    "last activation": lambda: {"last": "sigmoid"},
    "op at the end": lambda: {"wrap": lambda x: ops.square(x)},
    "number in an op": lambda: {"wrap": lambda x: x * 2.0},
    "other number in an op": lambda: {"wrap": lambda x: x * 3.0},
    "slice": lambda: {"wrap": lambda x: x[..., :2]},
    "other slice": lambda: {"wrap": lambda x: x[..., 1:]},
    "no bias": lambda: {"use_bias": False},
    "dropout rate": lambda: {"rate": 0.25},
    "other noise": lambda: {"noise": layers.GaussianNoise},
    "l2": lambda: {"regularizer": keras.regularizers.L2(0.01)},
    "stronger l2": lambda: {"regularizer": keras.regularizers.L2(0.02)},
    "constraint": lambda: {"kernel_constraint": keras.constraints.MaxNorm(2.0)},
    "other constraint": lambda: {"kernel_constraint": keras.constraints.MaxNorm(3.0)},
    "not trained": lambda: {"trainable": False},
}


def test_every_change_of_the_configuration_has_a_key_of_its_own():
    keys = {"usual": key_of(small_model()), "again": key_of(small_model())}
    assert keys.pop("again").key == keys["usual"].key
    for name, make in VARIANTS.items():
        reset_names()  # names alone must not tell the variants apart
        keys[name] = key_of(small_model(**make()))
    keys["float64 data"] = key_of(small_model(), data=(X.astype("float64"), Y))
    keys["int32 labels"] = key_of(small_model(), data=(X, Y.astype("int32")))
    keys["weights"] = key_of(small_model(), data=(X, Y, X[:, 0]))
    keys["labels of rank 2"] = key_of(small_model(), data=(X, Y[:, None]))
    keys["test"], keys["predict"] = (key_of(small_model(), mode) for mode in ("test", "predict"))
    keys["strict"] = StepKey(small_model(), "train", (X, Y), True, "strict")
    keys["batches"] = StepKey(small_model(), "train", (X, Y), False, "compiled")
    with flags.DISABLE_PASSES("cse"):
        keys["passes"] = key_of(small_model())
    for setting, value in (("epsilon", 1e-3), ("image_data_format", "channels_first"), ("floatx", "float64")):
        before = getattr(keras.config, setting)()
        getattr(keras.config, f"set_{setting}")(value)
        try:
            keys[setting] = key_of(small_model())
        finally:
            getattr(keras.config, f"set_{setting}")(before)
    assert {name: step.reason for name, step in keys.items() if not step.key} == {}
    alike = [(a, b) for a in keys for b in keys if a < b and keys[a].key == keys[b].key]
    assert alike == []


def test_lists_and_tuples_of_outputs_are_told_apart():
    keys, made = [], []
    for kind in (list, tuple):
        for _ in range(2):
            reset_names()
            inputs = keras.Input((4,))
            model = keras.Model(inputs, kind(layers.Dense(n)(inputs) for n in (2, 3)))
            keys.append(key_of(model, "predict", X).key)
            made.append(type(model.predict(X, verbose=0)))
    assert keys[0] == keys[1] != keys[2] == keys[3] and all(keys)
    assert made == [list, list, tuple, tuple]


def test_a_later_change_of_an_attribute_changes_the_key():
    model = small_model()
    keys = [key_of(model).key]
    for change in (
        lambda: setattr(model.layers[2], "rate", 0.125),
        lambda: setattr(model.optimizer, "rho", 0.5),
        lambda: setattr(model.layers[1].kernel, "trainable", False),
        lambda: setattr(model.layers[1], "activation", keras.activations.gelu),
        lambda: setattr(model.layers[3].kernel, "regularizer", keras.regularizers.L1(0.1)),
        lambda: setattr(model._compile_loss, "_dtype", "float64"),
    ):
        change()
        keys.append(key_of(model).key)
    assert len(set(keys)) == len(keys) and all(keys)


def test_the_learning_rate_is_a_value_not_a_program():
    keys = set()
    for rate in (0.1, 0.2):
        reset_names()
        keys.add(key_of(small_model(optimizer=RMS(rate))).key)
    assert len(keys) == 1 and all(keys)


# ---- what has no key -------------------------------------------------------------------------------------------------


class MyDense(layers.Dense):
    pass


class MyModel(keras.Model):
    pass


class MyMetric(keras.metrics.Mean):
    pass


class MyOptimizer(RMS):
    pass


def my_loss(y_true, y_pred):
    return ops.mean(y_pred, axis=-1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wrap": lambda x: MyDense(3)(x)}, "MyDense, which is not of graphkeras"),
        ({"wrap": lambda x: layers.Lambda(lambda t: t * 2)(x)}, "the function tests.training.test_step_cache.<lambda>"),
        ({"activation": lambda x: ops.relu(x)}, "the function tests.training.test_step_cache.<lambda>"),
        ({"activation": functools.partial(ops.relu)}, "functools.partial, which is not of graphkeras"),
        ({"loss": my_loss}, "the function tests.training.test_step_cache.my_loss"),
        ({"metrics": [MyMetric()]}, "MyMetric, which is not of graphkeras"),
        ({"metrics": [my_loss]}, "the function tests.training.test_step_cache.my_loss"),
        ({"optimizer": MyOptimizer()}, "MyOptimizer is a class of its own"),
        ({"optimizer": RMS(lambda: 0.1)}, "the function tests.training.test_step_cache.<lambda>"),
        ({"regularizer": lambda w: ops.sum(w)}, "the function tests.training.test_step_cache.<lambda>"),
    ],
)
def test_code_of_the_user_has_no_key(change, reason):
    found = key_of(small_model(**change))
    assert found.key == "" and reason in found.reason


def test_models_of_the_user_have_no_key():
    inputs = keras.Input((4,))
    model = MyModel(inputs, layers.Dense(3)(inputs))
    model.compile("sgd", "mse")
    assert "MyModel is a class of its own" in key_of(model, data=(X, X[:, :3])).reason


def halved(*args, **kwargs):
    return args[-1] * 0.5


def test_methods_put_onto_an_instance_have_no_key():
    model = small_model()
    model.layers[1].call = halved
    assert "the function tests.training.test_step_cache.halved" in key_of(model).reason


@pytest.mark.parametrize(
    ("holder", "name", "value"),
    [
        (layers.Dense, "call", halved),
        (keras.Model, "train_step", halved),
        (layers.Dense, "compute_dtype", property(halved)),
        (layers.Dense, "call", staticmethod(halved)),
        (keras.ops, "matmul", halved),
        (keras.activations, "relu", halved),
        (sys.modules["graphkeras.trace.dispatch"], "apply", halved),
        (keras.losses, "helper", MyMetric),
        (keras.losses, "ALL_OBJECTS", MyMetric()),
        (keras.ops, "relu", functools.cache(halved)),
        (keras.ops, "relu", keras.ops.vectorize(halved)),
        (layers.Dense, "compute_dtype", functools.cached_property(halved)),
    ],
    ids=lambda value: getattr(value, "__name__", None) or (value if isinstance(value, str) else type(value).__name__),
)
def test_patches_have_no_key(monkeypatch, holder, name, value):
    model = small_model()
    monkeypatch.setattr(holder, name, value, raising=False)
    assert f"holds code from tests.training.test_step_cache as '{name.partition('.')[0]}" in key_of(model).reason


@pytest.mark.parametrize(
    ("holder", "name", "value"),
    [
        (keras.ops, "relu", functools.partial(halved)),
        (keras.ops, "relu", np.vectorize(halved)),
        (keras.ops, "relu", layers.Dense(3).call),
        (keras.ops, "relu", keras.function(halved)),
        (layers.Dense, "call", functools.partialmethod(halved)),
        (layers.Dense, "compute_dtype", property(functools.partial(halved))),
        (sys.modules["graphkeras.layers.core.dense"], "ops", types.SimpleNamespace(matmul=halved)),
        (sys.modules["graphkeras.layers.core.dense"], "ops", types.ModuleType("graphkeras.ops")),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_may_hide_code_has_no_key(monkeypatch, holder, name, value):
    model = small_model()
    monkeypatch.setattr(holder, name, value)
    assert "holds a" in key_of(model).reason and f"as '{name}" in key_of(model).reason


@pytest.mark.parametrize(
    ("holder", "name", "value"),
    [
        (layers.Dense, "call", layers.Identity.call),
        (keras.ops, "relu", keras.ops.gelu),
        (keras.ops, "relu", np.maximum),
        (keras.ops, "relu", abs),
        (layers.AlphaDropout, "_LIMIT", 2.0),
        (layers.SpatialDropout2D, "_rank", 5),
        (sys.modules["graphkeras.layers.core.dense"], "ops", keras.random),
    ],
)
def test_code_of_the_package_in_another_place_changes_the_key(monkeypatch, holder, name, value):
    model = small_model()
    before = key_of(model)
    monkeypatch.setattr(holder, name, value)
    after = key_of(model)
    assert before.key and after.key and before.key != after.key


def train(**changes):
    model = small_model(**changes)
    history = model.fit(X, Y, epochs=2, batch_size=4, verbose=0).history
    return history, model.get_weights(), model


def source(model, mode="train"):
    return model._steps[mode].compiled[-1].compiled.source


def test_a_patched_layer_runs_as_patched(monkeypatch):
    usual = train()
    assert source(train()[2]) == FOUND
    plain = layers.Dense.call
    monkeypatch.setattr(layers.Dense, "call", lambda self, inputs, training=None: plain(self, inputs) * 0.5)
    patched = train()
    assert source(patched[2]) != FOUND and patched[0] != usual[0]


# ---- what is not kept ------------------------------------------------------------------------------------------------


def unconnected():
    reset_names()
    inputs = keras.Input((4,))
    outputs = ops.stop_gradient(layers.Dense(3)(inputs)) + layers.Dense(3)(inputs)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse")
    return model


def test_a_trace_that_warns_is_made_each_time():
    for _ in range(3):
        model = unconnected()
        with pytest.warns(UserWarning, match="Gradients do not exist for variables"):
            model.fit(X, X[:, :3], verbose=0)
        assert model._steps["train"].compiled[0].compiled.traced_for == "its trace warns"


def test_flags_that_look_at_the_making_pass_it_by():
    train()
    with flags.VERIFY(1):
        assert "VERIFY" in key_of(small_model()).reason
    with flags.PROGRAM_CACHE(0):
        assert "PROGRAM_CACHE" in key_of(small_model()).reason


# ---- looking inside --------------------------------------------------------------------------------------------------


def test_a_found_step_can_be_looked_into():
    want = train()
    got = train()
    assert got[0] == want[0] and all(np.array_equal(a, b) for a, b in zip(got[1], want[1]))
    (first,), (step,) = want[2]._steps["train"].compiled, got[2]._steps["train"].compiled
    assert source(got[2]) == FOUND
    assert "no process has traced it before" in first.report()
    assert "without a trace" in step.report() and "tracing, passes and lowering were skipped" in step.report()
    assert len(step.graph.nodes) == len(first.graph.nodes) and [r.name for r in step.reports] == [r.name for r in first.reports]
    assert [k.canonical for k in step.program.kernels] == [k.canonical for k in first.program.kernels]
    assert any("dense" in origin for k in step.program.kernels for origin in k.origins)


def bad_labels():
    """A model whose labels are checked by the program alone."""
    reset_names()
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(3)(inputs))
    model.compile("sgd", LOSS(from_logits=True))
    model.train_on_batch(X, Y)
    step = model._steps["train"].compiled[0]
    return model, step, lambda: step([X, np.full(10, 7)])


def test_errors_of_a_found_step_name_its_nodes():
    bad_labels()
    model, step, fail = bad_labels()
    assert step.compiled.source == FOUND
    with pytest.raises(DataError, match="7 is out of range") as caught:
        fail()
    assert "in kernel" in str(caught.value)


def test_what_has_changed_since_is_said():
    bad_labels()
    model, step, fail = bad_labels()
    model.layers[1].activation = keras.activations.tanh
    with pytest.raises(StaleProgramError, match="a trace now gives another graph"):
        step.graph  # noqa: B018
    with pytest.raises(DataError, match="out of range") as caught:
        fail()
    assert "has been changed since" in str(caught.value)


# ---- bad entries -----------------------------------------------------------------------------------------------------


def entries(folder):
    return sorted(folder.glob("*.gks"))


needs_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs root")


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(os.urandom(300)),
        pytest.param(lambda path: os.chown(path, 12345, 12345), marks=needs_root),
    ],
    ids=["truncated", "empty", "garbage", "foreign"],
)
def test_bad_entries_are_rebuilt_with_one_warning(tmp_path, change, recwarn):
    want = train()
    folder = tmp_path / "cache"
    (entry,) = entries(folder)
    change(entry)
    again = tmp_path / "again"  # opened anew, as by another process
    folder.rename(again)
    with flags.CACHE(str(again)):
        got = train()
        assert [str(w.message).count("step cache entry") for w in recwarn] == [1]
        assert source(got[2]) == "program cache" and got[0] == want[0]
        assert source(train()[2]) == FOUND
    assert len(recwarn) == 1


def test_a_program_that_is_bad_is_told_of_once(tmp_path, recwarn):
    want = train()
    (program,) = (tmp_path / "cache").glob("*.gkp")
    program.write_bytes(b"")
    got = train()
    assert [str(w.message).count("program cache entry") for w in recwarn] == [1]
    assert source(got[2]) == "compiled" and got[0] == want[0]
    assert source(train()[2]) == FOUND


def test_no_entry_makes_the_reader_do_anything_else_than_trace(tmp_path, recwarn):
    want = train()[0]
    key = key_of(small_model()).key
    kept = cache.get_cache()
    entry, rng = json.loads(kept.get(key, kind="step")), random.Random(0)
    spoilt = [None, True, -1, 1 << 70, 1.5, "os:system", [], [[]], {}, {"dict": 3}, {"eval": [0]}, [10**6, "float32", []]]
    for _ in range(60):
        changed = json.loads(json.dumps(entry))
        place = changed
        while True:
            names = list(place) if isinstance(place, dict) else list(range(len(place)))
            name = rng.choice(names)
            if isinstance(place[name], (dict, list)) and place[name] and rng.random() < 0.7:
                place = place[name]
                continue
            place[name] = rng.choice(spoilt)
            break
        kept.put(key, json.dumps(changed).encode(), {}, kind="step")
        model = small_model()
        if changed["structure"] == entry["structure"]:  # else a name may be another
            assert model.fit(X, Y, epochs=2, batch_size=4, verbose=0).history == want
    assert len(recwarn) > 20


@pytest.mark.parametrize("structure", [True, 7, 0, "x", [], {"dict": []}, {"dict": [[1, 0], [2, 0]]}, {"tuple": [0, 0, 0]}], ids=repr)
def test_what_a_step_returns_must_fit_its_program(structure):
    want = train()[0]
    key = key_of(small_model()).key
    kept = cache.get_cache()
    entry = json.loads(kept.get(key, kind="step"))
    kept.put(key, json.dumps({**entry, "structure": structure}).encode(), {}, kind="step")
    with pytest.warns(cache.CacheWarning, match="step cache entry .* is malformed"):
        got = train()
    assert got[0] == want and source(got[2]) != FOUND
