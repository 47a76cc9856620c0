"""Bundles: many small updates are few rows of the table, with the same bits, and everything that they read is there until they ran."""

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import layers
from graphkeras.debug import flags
from graphkeras.runtime import program_cache, team
from graphkeras.runtime.frame import buffers, stretches
from graphkeras.runtime.memory import plan
from graphkeras.schedule.bundles import BUNDLE_BYTES, UPDATE_BYTES

X = np.random.default_rng(0).normal(size=(40, 8)).astype("float32")
Y = np.arange(40) % 3


def net(count=12, units=8, optimizer="adam"):
    keras.utils.set_random_seed(1)
    hidden = [layers.Dense(units, activation="tanh") for _ in range(count)]
    model = keras.Sequential([keras.Input((8,)), *hidden, layers.Dense(3, activation="softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def step_of(model):
    return model._step("train").prepared((X[:16], Y[:16]))


def rows_of(program, size=16):
    return program.bind([(size, 8), (size,)]).rows


def trained(threads, mode="compiled"):
    before = team.get_num_threads()
    team.set_num_threads(threads)
    try:
        with flags.EXECUTION(mode):
            model = net()
            history = model.fit(X, Y, epochs=3, batch_size=16, verbose=0).history
    finally:
        team.set_num_threads(before)
    return history["loss"], [w.numpy().tobytes() for w in (*model.variables, *model.optimizer.variables)]


def test_many_small_updates_are_one_row():
    program = step_of(net()).program
    kernels = [k for k in program.look().kernels if not k.called]
    parts = [k for k in kernels if k.bundle]
    assert len(parts) >= 26  # a kernel and a bias of each layer
    assert len(rows_of(program)) == len(kernels) - len(parts) + 1
    assert f"bundle {parts[0].bundle}" in str(program.schedule) and f"bundle {parts[0].bundle}" in program.describe()
    assert {k.phase for k in parts} == {2}


def test_bits_do_not_depend_on_bundles_or_threads():
    want = trained(1, "strict")
    for threads in (1, 2, 3, 8):
        assert trained(threads) == want


def test_strict_execution_has_none():
    with flags.EXECUTION("strict"):
        program = step_of(net(3)).program
    assert not any(k.bundle for k in program.look().kernels)


def test_nobody_reads_what_a_bundle_makes():
    schedule = step_of(net()).program.schedule
    bundled = {n.id for g in schedule.groups if g.bundle for n in g.nodes}
    for group in schedule.groups:
        inside = {n.id for n in group.nodes}
        for node in group.nodes:
            made_by = {schedule.resolve(v)[0].node.id for v in node.inputs}
            assert not (made_by - inside) & bundled


def test_arrays_live_until_the_whole_bundle_ran():
    program = step_of(net()).program
    found = buffers(program, {"batch": 16})
    offsets, _ = plan(found)
    (step,) = [i for i, kernels in enumerate(stretches(program)) if any(k.bundle for k in kernels)]
    alive = sorted((offsets[b.key], b.nbytes) for b in found if b.first <= step <= b.last)
    assert len(alive) > 12  # the gradients of all layers
    assert all(begin + nbytes <= following for (begin, nbytes), (following, _) in zip(alive, alive[1:]))


def usual(nbytes):
    return nbytes if isinstance(nbytes, int) else nbytes.evaluate({"batch": 128})


def test_large_updates_stay_apart_and_full_bundles_are_closed():
    program = step_of(net(2, 400)).program
    assert any("has a row of its own" in refusal.reason for refusal in program.schedule.refusals)
    assert all(usual(g.bytes) <= UPDATE_BYTES for g in program.schedule.groups if g.bundle)
    schedule = step_of(net(60, 32)).program.schedule
    numbers = [g.bundle for g in schedule.groups if g.bundle]
    assert len(set(numbers)) > 1 and numbers == sorted(numbers)
    for number in set(numbers):
        assert sum(usual(g.bytes) for g in schedule.groups if g.bundle == number) <= BUNDLE_BYTES


def test_a_bundle_is_shared_where_it_is_worth_it():
    program = step_of(net(4, 8)).program
    parts = sum(k.bundle > 0 for k in program.look().kernels)
    for size, shared in ((1, 0), (1000, 1)):
        (bundle,) = [row for row in rows_of(program, size) if row.kernel == program.bundler.address]
        assert (bundle.units, bundle.alignment, bundle.shared) == (parts, 1, shared) and bundle.grain < parts


def test_times_and_memory_show_each_part(capsys):
    with flags.DEBUG(2):
        model = net()
        model.train_on_batch(X[:16], Y[:16])
    program = model._steps["train"].compiled[0].program
    names = [k.name for k in program.lowered if not k.called]
    shown = capsys.readouterr().err
    assert all(f"  {name} " in shown for name in names)
    rows = " ".join(program.memory_map(X[:16], Y[:16]).rows).split()
    assert rows == names


@pytest.mark.parametrize("flag", [flags.VALIDATE, flags.CHECK_NAN])
def test_other_ways_of_running_give_the_same(flag):
    usual = net(4)
    usual.train_on_batch(X[:16], Y[:16])
    with flag(1):
        watched = net(4)
        watched.train_on_batch(X[:16], Y[:16])
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(usual.variables, watched.variables))


def test_a_program_from_the_cache_has_them_too(monkeypatch, tmp_path):
    for name in ("package_digest", "sources_state"):
        monkeypatch.setattr(program_cache, name, lambda: "sources")
    monkeypatch.setattr(program_cache, "sources_stand", lambda: True)
    with flags.CACHE(str(tmp_path)):
        made = net()
        made.train_on_batch(X[:16], Y[:16])
        found = net()
        found.train_on_batch(X[:16], Y[:16])
    first, second = (model._steps["train"].compiled[0].program for model in (made, found))
    assert second.from_cache and len(rows_of(first)) == len(rows_of(second))
