"""The program cache: a program from it is the one that would be made, and whatever could make another one changes the key."""

import functools
import json
import os
import random
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import layers, ops
from graphkeras.debug import flags
from graphkeras.ir.errors import DataError, ShapeError
from graphkeras.ir.registry import REGISTRY, register_op
from graphkeras.ir.spec import TensorSpec
from graphkeras.runtime import cache, objects, plan_codec, program_cache
from graphkeras.runtime.errors import StaleProgramError
from graphkeras.runtime.plan import make_plan
from graphkeras.runtime.program_cache import NoKey, compiled, key_of
from graphkeras.trace import BATCH, prim, trace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_entries(monkeypatch, request):
    """Programs of this test alone, whatever the cache holds and whoever edits the sources meanwhile. Steps of models are traced."""

    def no_state():
        raise NoKey("tests of the second level")

    monkeypatch.setattr(program_cache, "package_digest", lambda: f"{request.node.name} {os.getpid()}")
    monkeypatch.setattr(program_cache, "sources_stand", lambda: True)
    monkeypatch.setattr(program_cache, "sources_state", no_state)


def twice(function, *arrays):
    """Runs a function of tensors as two functions: one is compiled, the other finds the program; both results."""
    results = []
    for expected in ("compiled", "program cache"):
        f = keras.function(function)
        results.append(f(*arrays))
        (made,) = f.traces[-1].compiled.values()
        assert (made.source, made.reason) == (expected, "")
    return results


def same(a, b):
    for x, y in zip(keras.tree.flatten(a), keras.tree.flatten(b), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# ---- hits -----------------------------------------------------------------------------------------------------------


def dense(x, w):
    return ops.softmax(ops.tanh(ops.matmul(x, w)) * 3.0)


def convolution(x, w):
    return ops.max_pool(ops.relu(ops.conv(x, w, padding="same")), 2)


def loops(x, n):
    def body(carry, row):
        carry = ops.tanh(carry + row)
        return carry, ops.sum(carry)

    carry, sums = ops.scan(body, ops.zeros((3,)), x)
    count, carry = ops.while_loop(lambda i, v: i < n, lambda i, v: (i + 1, v * 2.0), (ops.zeros((), "int32"), carry))
    return ops.cond(n > 3, lambda: carry + 1.0, lambda: carry - 1.0), sums, count


def recurrent(x, w):
    return ops.scan(lambda h, row: (ops.tanh(row + h @ w), ops.concatenate([ops.exp(h), h * 2.0], -1)), x[0], x)


def table(x, i):
    return ops.take(ops.convert_to_tensor(np.arange(12, dtype="float32").reshape(4, 3)), i, axis=0) + x


@pytest.mark.parametrize(
    "function, arrays",
    [
        (dense, (normal(7, 5), normal(5, 4))),
        (convolution, (normal(2, 8, 8, 3), normal(3, 3, 3, 4, seed=1))),
        (loops, (normal(5, 3), np.int32(4))),
        (recurrent, (normal(4, 20, 24), normal(24, 24, seed=1))),
        (table, (normal(2, 3), np.array([3, 1], "int32"))),
    ],
    ids=["dense", "convolution", "loops", "recurrent", "table"],
)
def test_a_found_program_gives_the_same_bits(function, arrays):
    first, second = twice(function, *arrays)
    same(first, second)


def test_other_sizes_than_those_it_was_kept_with():
    twice(dense, normal(7, 5), normal(5, 4))
    f = keras.function(dense)
    with flags.PROGRAM_CACHE(0):
        want = keras.function(dense)(normal(3, 5), normal(5, 4))
    f(normal(7, 5), normal(5, 4))
    same(f(normal(3, 5), normal(5, 4)), want)


def small_model(**changes):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    hidden = layers.Dense(5, activation=changes.pop("activation", "relu"), use_bias=changes.pop("use_bias", True))(inputs)
    hidden = layers.Dropout(changes.pop("rate", 0.5))(hidden)
    regularizer = changes.pop("regularizer", None)
    head = layers.Dense(3, activation="softmax", kernel_regularizer=regularizer)
    model = keras.Model(inputs, head(hidden))
    head.trainable = changes.pop("trainable", True)
    given = {"optimizer": "rmsprop", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **changes}
    model.compile(**given)
    return model


X, Y = normal(10, 4), np.arange(10) % 3


def test_training_with_a_found_program_is_the_same_training():
    def train():
        model = small_model()
        history = model.fit(X, Y, epochs=3, batch_size=4, verbose=0).history
        return history, model.get_weights(), model.evaluate(X, Y, verbose=0), model.predict(X, verbose=0), model

    with flags.PROGRAM_CACHE(0):
        *want, _ = train()
    *first, _ = train()
    *second, model = train()
    for steps in model._steps.values():
        for step in steps.compiled:
            assert step.program.from_cache
    for got in (first, second):
        assert got[0] == want[0] and got[2] == want[2]
        same(got[1], want[1])
        same(got[3], want[3])


def test_a_fresh_process_imports_neither_passes_nor_lowering(tmp_path):
    script = """
        import sys
        import numpy as np
        import graphkeras as keras
        from graphkeras import ops
        f = keras.function(lambda x: ops.sum(ops.exp(x) * 2.0, axis=1))
        y = f(np.arange(6, dtype="float32").reshape(2, 3))
        (made,) = f.traces[0].compiled.values()
        heavy = [m for m in sys.modules if m.startswith(("graphkeras.passes", "graphkeras.schedule", "numba"))]
        print(made.source, made.reason, heavy[:1], y.numpy().tobytes().hex())
    """
    runs = [
        subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    ]
    if "changed since" in runs[0] + runs[1]:
        pytest.skip("the sources are being edited")
    assert runs[-1].startswith("program cache  []")
    assert runs[-1].split()[-1] == runs[0].split()[-1]


# ---- what changes the key -------------------------------------------------------------------------------------------


def step_key(model):
    """Key of the train step of a model."""
    return key_of(model._step("train").prepared((X, Y)).compiled.traced, True)


LOSS = keras.losses.SparseCategoricalCrossentropy
VARIANTS = {
    "learning rate of a schedule": {
        "optimizer": lambda: keras.optimizers.RMSprop(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9))
    },
    "rho": {"optimizer": lambda: keras.optimizers.RMSprop(rho=0.8)},
    "momentum": {"optimizer": lambda: keras.optimizers.RMSprop(momentum=0.5)},
    "epsilon": {"optimizer": lambda: keras.optimizers.RMSprop(epsilon=1e-6)},
    "clipnorm": {"optimizer": lambda: keras.optimizers.RMSprop(clipnorm=1.0)},
    "weight decay": {"optimizer": lambda: keras.optimizers.RMSprop(weight_decay=0.01)},
    "adam": {"optimizer": lambda: "adam"},
    "sum of losses": {"loss": lambda: LOSS(reduction="sum")},
    "ignored class": {"loss": lambda: LOSS(ignore_class=1)},
    "no metrics": {"metrics": list},
    "other metric": {"metrics": lambda: [keras.metrics.SparseTopKCategoricalAccuracy(2)]},
    "activation": {"activation": lambda: "tanh"},
    "activation of the user": {"activation": lambda: lambda x: ops.relu(x) * 1.5},
    "no bias": {"use_bias": lambda: False},
    "dropout rate": {"rate": lambda: 0.25},
    "regularizer": {"regularizer": lambda: keras.regularizers.L2(0.01)},
    "stronger regularizer": {"regularizer": lambda: keras.regularizers.L2(0.02)},
    "not trained": {"trainable": lambda: False},
}


def test_every_change_of_the_configuration_changes_the_key(monkeypatch):
    monkeypatch.setattr(program_cache, "compiled", lambda traced, fuse=True: _Traced(traced))
    keys = {"usual": step_key(small_model()), "again": step_key(small_model())}
    assert keys.pop("again") == keys["usual"]
    for name, changes in VARIANTS.items():
        keys[name] = step_key(small_model(**{argument: make() for argument, make in changes.items()}))
    for name, setting, value in (("epsilon of backend", "epsilon", 1e-3), ("image format", "image_data_format", "channels_first")):
        before = getattr(keras.config, setting)()
        getattr(keras.config, f"set_{setting}")(value)
        try:
            keys[name] = step_key(small_model())
        finally:
            getattr(keras.config, f"set_{setting}")(before)
    keras.config.set_floatx("float64")
    try:
        keys["floatx"] = step_key(small_model())
    finally:
        keras.config.set_floatx("float32")
    alike = [(a, b) for a in keys for b in keys if a < b and keys[a] == keys[b]]
    assert alike == []


class _Traced:
    """Stands for a compiled graph where only its trace is wanted."""

    program = None

    def __init__(self, traced):
        self.traced = traced


FACTOR = 2.0


def by_global(x):
    return x * FACTOR


def key(function, *specs, fuse=True):
    return key_of(trace(function, specs or [TensorSpec((BATCH, 3))], name="f"), fuse)


def test_code_closures_and_globals_of_the_user(monkeypatch):
    def with_factor(factor):
        return lambda x: x * factor

    keys = [key(by_global)]
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    keys.append(key(by_global))
    keys += [key(with_factor(value)) for value in (4.0, -4.0, np.float32(4.1))]
    keys += [key(lambda x: x + 2.0), key(lambda x: x * x), key(lambda x: ops.exp(x))]
    assert len(set(keys)) == len(keys)
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    assert key(by_global) == key(with_factor(4.0))  # what is the same graph is the same program
    f = keras.function(by_global)
    x = normal(2, 3)
    same(f(x), x * np.float32(4.0))
    monkeypatch.setitem(globals(), "FACTOR", 5.0)
    same(keras.function(by_global)(x), x * np.float32(5.0))


def test_operands_attributes_constants_and_sizes():
    two = [TensorSpec((BATCH, 3)), TensorSpec((BATCH, 3))]
    v, w = keras.Variable(normal(3)), keras.Variable(normal(3))
    odd = np.array([np.nan, -0.0, 0.0], "float32")
    keys = [
        key(lambda x, y: x - y, *two),
        key(lambda x, y: y - x, *two),
        key(lambda x, y: (x, y), *two),
        key(lambda x, y: (y, x), *two),
        key(lambda x, y: prim.reduce_sum(x, axes=(1,), keepdims=False), *two),
        key(lambda x, y: prim.reduce_sum(x, axes=(1,), keepdims=True), *two),
        key(lambda x, y: prim.reduce_sum(x, axes=(0,), keepdims=True), *two),
        key(lambda x: x + v + v),
        key(lambda x: x + v + w),
        key(lambda x: x + odd),
        key(lambda x: x + np.abs(odd)),
        key(lambda x: x + 1.0),
        key(lambda x: x + 1.0, TensorSpec((BATCH, 4))),
        key(lambda x: x + 1.0, TensorSpec((4, 3))),
        key(lambda x: x + 1.0, TensorSpec((BATCH, 3), "float64")),
        key(lambda x: x + 1.0, fuse=False),
        key(lambda x: ops.fori_loop(0, 3, lambda i, c: c * 2.0, x)),
        key(lambda x: ops.fori_loop(0, 3, lambda i, c: c * 2.5, x)),
        key(lambda x: ops.fori_loop(0, 4, lambda i, c: c * 2.0, x)),
    ]
    assert len(set(keys)) == len(keys)


def test_names_and_lines_do_not_change_the_key():
    def renamed(x):
        # another line, another file position, another name
        return x + keras.Variable(normal(3), name="other")

    v = keras.Variable(normal(3), name="v")
    assert key(renamed) == key(lambda x: x + v)


def test_all_that_makes_programs_of_graphs_is_in_the_key(monkeypatch):
    def now():
        return key(lambda x: x + 1.0)

    keys = [now()]
    with flags.DISABLE_PASSES("cse"):
        keys.append(now())
    with flags.OPT_LEVEL(1):
        keys.append(now())
    for module, name, value in (
        (program_cache, "package_digest", lambda: "other sources"),
        (objects, "toolchain", lambda: "other CPU"),
        (np, "__version__", "9.9"),
        (program_cache, "FORMAT", -1),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            keys.append(now())
    assert len(set(keys)) == len(keys)


def test_the_digest_follows_the_sources(monkeypatch, tmp_path):
    monkeypatch.undo()
    for folder in program_cache._DECIDING:
        (tmp_path / folder).mkdir()
    source = tmp_path / "passes" / "a.py"
    source.write_text("a = 1\n")
    monkeypatch.setattr(program_cache, "_PACKAGE", tmp_path)
    monkeypatch.setattr(flags, "imported_at", source.stat().st_mtime + 1)
    digest = program_cache.package_digest.__wrapped__
    seen = {digest()}
    source.write_text("a = 2\n")
    os.utime(source, (1, 1))
    seen.add(digest())
    source.rename(source.with_name("b.py"))
    seen.add(digest())
    assert len(seen) == 3 and program_cache.sources_stand()
    monkeypatch.setattr(flags, "imported_at", 0.0)
    assert not program_cache.sources_stand()
    with pytest.raises(NoKey, match=r"passes/b.py has changed since this process started"):
        digest()


# ---- what is not kept -----------------------------------------------------------------------------------------------


def reason_of(function, *arrays):
    f = keras.function(function)
    f(*arrays)
    (made,) = f.traces[-1].compiled.values()
    assert made.source == "compiled" and made.reason in f.report()
    return made.reason


def test_host_calls_are_not_kept():
    for _ in range(2):
        assert reason_of(ops.inv, np.eye(3, dtype="float32")) == "'inv' runs on the host (NumPy)"


def by_hand(x):
    return x + 1


def in_my_module(x):
    return x + 1


in_my_module.__module__ = "my_module"


@pytest.mark.parametrize(
    "meaning, home",
    [
        (in_my_module, "my_module"),
        (functools.wraps(REGISTRY["negative"].eager)(lambda x: x + 1), "tests.runtime.test_program_cache"),
        (functools.partial(REGISTRY["negative"].eager, by_hand), "tests.runtime.test_program_cache"),
        (np.vectorize(by_hand), "a vectorize"),
    ],
    ids=["function", "wraps", "partial", "object"],
)
def test_ops_of_the_user_have_no_key(meaning, home):
    record = REGISTRY["negative"]
    register_op(
        "negative_of_mine", kind="elementwise", infer=record.infer, eager=meaning, body=record.body, vjp=record.vjp,
    )  # fmt: skip
    try:
        with pytest.raises(NoKey, match=f"op 'negative_of_mine' is defined in {home}, outside graphkeras"):
            key(lambda x: prim.negative_of_mine(x))
    finally:
        del REGISTRY["negative_of_mine"]


def test_objects_in_attributes_have_no_key():
    @ops.custom_gradient
    def clipped(x):
        return x * 1.0, lambda *_, upstream: upstream

    assert "has no canonical text" in reason_of(lambda x: clipped(x), normal(2, 3))


@pytest.mark.parametrize("name", ["VERIFY", "VALIDATE", "CHECK_NAN"])
def test_flags_that_look_at_the_making_pass_it_by(name):
    twice(by_global, normal(2, 3))
    with flags.FLAGS[name](1):
        assert name in reason_of(by_global, normal(2, 3))
    with flags.PROGRAM_CACHE(0):
        assert "PROGRAM_CACHE" in reason_of(by_global, normal(2, 3))


# ---- looking inside -------------------------------------------------------------------------------------------------


def test_errors_of_a_found_program_name_this_run():
    def pick(x, i):
        return ops.take(x, i, axis=0)

    x = normal(4, 3)
    twice(pick, x, np.array([1, 2], "int32"))
    f = keras.function(pick)
    f(x, np.array([1, 2], "int32"))
    with pytest.raises(DataError, match="7 is out of range") as caught:
        f(x, np.array([1, 7], "int32"))
    assert "test_program_cache.py" in str(caught.value)


def test_sizes_that_do_not_fit_are_refused_by_a_found_program():
    specs = [TensorSpec((keras_dim("a"), 3)), TensorSpec((keras_dim("b"), 3))]
    graph = trace(lambda x, y: prim.add(x, y), specs, name="f")
    compiled(graph).program(normal(2, 3), normal(2, 3))
    found = compiled(graph)
    assert found.source == "program cache"
    with pytest.raises(ShapeError, match="sizes along an axis differ"):
        found.program(normal(2, 3), normal(4, 3))


def keras_dim(name):
    from graphkeras.ir.dims import symbol

    return symbol(name)


def test_a_found_program_can_be_looked_into():
    x, w = normal(7, 5), normal(5, 4)
    twice(dense, x, w)
    f = keras.function(dense)
    program = f.program(x, w)
    want = f(x, w)
    assert program.from_cache and program.plan.schedule is None
    assert "test_program_cache.py" in program.kernels[0].source
    assert program.kernels[0].origins and program.describe() and program.schedule.groups
    same(f(x, w), want)
    same(program.python(x, w), [want])
    with flags.VALIDATE(1):
        same(program(x, w), [want])
    assert "program cache" in f.report() and "skipped" in f.report()


@pytest.mark.parametrize("flag, value", [(flags.OPT_LEVEL, 1), (flags.DISABLE_PASSES, "cse")])
def test_looking_inside_goes_by_the_flags_that_the_program_was_made_under(flag, value):
    with flag(value):
        twice(dense, normal(2, 3), normal(3, 2))
        program = keras.function(dense).program(normal(2, 3), normal(3, 2))
    assert program.from_cache and len(program.kernels) == len(program.compiled)


def test_a_program_that_does_not_belong_to_its_graph_is_noticed():
    x = normal(2, 3)
    twice(by_global, x)
    program = keras.function(by_global).program(x)
    program._recover = lambda: trace(lambda x: ops.exp(x), [TensorSpec((BATCH, 3))], name="f")
    with pytest.raises(StaleProgramError, match="gives other kernels"):
        program.kernels  # noqa: B018


# ---- bad entries ----------------------------------------------------------------------------------------------------


def entry_of(function, *arrays):
    """The key, the payload, and the traced graph of a function whose program is in the cache."""
    twice(function, *arrays)
    f = keras.function(function)
    f(*arrays)
    traced = f.traces[0].traced
    number = key_of(traced, True)
    return number, cache.get_cache().get(number, kind="program"), traced


def test_an_entry_is_a_table_in_json():
    _, data, traced = entry_of(dense, normal(7, 5), normal(5, 4))
    (length,) = struct.unpack_from("<Q", data)
    document = json.loads(data[8 : 8 + length])
    assert document["name"] == "dense" and len(document["kernels"]) >= 2
    plan, keys = plan_codec.decode(data, traced.variables)
    assert [kernel.name for kernel in plan.kernels] == [kernel.name for kernel in compiled(traced).program.kernels]
    assert all(len(key) == 64 for key in keys)


def test_a_damaged_table_is_refused_and_made_again():
    number, data, _ = entry_of(dense, normal(7, 5), normal(5, 4))
    want = keras.function(dense)(normal(7, 5), normal(5, 4))
    for bad in (b"", data[:20], struct.pack("<Q", 1 << 60) + data[8:], data.replace(b'"kernels"', b'"kernals"')):
        cache.get_cache().put(number, bad, {}, kind="program")
        with pytest.warns(cache.CacheWarning, match="malformed"):
            f = keras.function(dense)
            same(f(normal(7, 5), normal(5, 4)), want)
        (made,) = f.traces[0].compiled.values()
        assert made.source == "compiled"
    f = keras.function(dense)
    f(normal(7, 5), normal(5, 4))
    assert next(iter(f.traces[0].compiled.values())).source == "program cache"


def test_no_table_makes_the_reader_do_anything_else_than_refuse():
    _, data, traced = entry_of(loops, normal(5, 3), np.int32(4))
    (length,) = struct.unpack_from("<Q", data)
    document, rng = json.loads(data[8 : 8 + length]), random.Random(0)
    spoilt = [None, True, -1, 1 << 70, 1.5, "os:system", "__import__('os')", [], [[]], {}, {"a": [0]}, {"k": 10**6}, {"c": [1]}, {"x": 0}]
    refused = 0
    for _ in range(400):
        changed = json.loads(json.dumps(document))
        place = changed
        while True:
            names = list(place) if isinstance(place, dict) else list(range(len(place)))
            name = rng.choice(names)
            if isinstance(place[name], (dict, list)) and place[name] and rng.random() < 0.8:
                place = place[name]
                continue
            place[name] = rng.choice(spoilt)
            break
        text = json.dumps(changed).encode()
        try:
            plan_codec.decode(struct.pack("<Q", len(text)) + text + data[8 + length :], traced.variables)
        except plan_codec.Malformed:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("name", ["os:system", "host:ctypes", "gemm:__import__", "..os:system", "conv:no_such"])
def test_only_functions_of_the_lowering_are_looked_up(name):
    with pytest.raises((plan_codec.Malformed, StaleProgramError)):
        plan_codec._Function(None, name, (1,), 1)(2)


def test_a_program_whose_kernels_are_gone_is_made_again(tmp_path):
    with flags.CACHE(str(tmp_path)):
        twice(by_global, normal(2, 3))
        objects._loaded.clear()
        for path in tmp_path.glob("*.gko"):
            path.unlink()
        f = keras.function(by_global)
        same(f(normal(2, 3)), normal(2, 3) * np.float32(FACTOR))
        assert next(iter(f.traces[0].compiled.values())).source == "compiled"


def test_plans_of_all_kinds_survive_the_way():
    graph = trace(lambda x: ops.softmax(x), [TensorSpec((BATCH, 3))], name="f")
    made = program_cache.Compiled(graph, True)
    plan = make_plan(made.graph, True)
    keys = [objects.KernelSource(kernel.body).key for kernel in plan.kernels]
    data = plan_codec.encode(plan, keys, graph.variables, {"batch": 2})
    read, read_keys = plan_codec.decode(data, graph.variables)
    assert read_keys == keys and read.input_specs == plan.input_specs and read.output_specs == plan.output_specs
    for new, old in zip(read.kernels, plan.kernels, strict=True):
        for name in ("name", "kind", "alignment", "called", "serial", "jumps", "flops", "bytes", "phase"):
            assert getattr(new, name) == getattr(old, name)
