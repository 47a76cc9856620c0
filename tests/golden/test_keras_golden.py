"""Losses, metrics, optimizers, schedules and whole trainings give what Keras gives (see make_golden.py)."""

import json
import types
from pathlib import Path

import numpy as np
import pytest

from graphkeras import layers, losses, metrics, models, ops, optimizers
from graphkeras.debug import flags
from graphkeras.trace import Variable
from tests.golden import cases

GOLDEN = json.loads((Path(__file__).parent / "keras.json").read_text())
KERAS = types.SimpleNamespace(
    Input=layers.Input,
    Sequential=models.Sequential,
    Variable=Variable,
    layers=layers,
    losses=losses,
    metrics=metrics,
    ops=ops,
    optimizers=optimizers,
)


def flat(value):
    if isinstance(value, list):
        return np.concatenate([flat(v) for v in value]) if value else np.zeros(0)
    return np.ravel(np.asarray(value, "float64"))


def check(names, function, kind, number, monkeypatch):
    monkeypatch.setattr(cases, names, [getattr(cases, names)[number]])
    (got,), want = function(KERAS), GOLDEN[kind][number]
    for g, w in zip(got, want, strict=True):
        if w is not None and not (isinstance(w, list) and isinstance(w[0], str)):
            np.testing.assert_allclose(flat(g), flat(w), rtol=2e-5, atol=2e-6)
    return got, want


@pytest.mark.parametrize("number", range(len(cases.LOSSES)), ids=lambda n: cases.LOSSES[n][0])
def test_losses(number, monkeypatch):
    check("LOSSES", cases.loss_values, "losses", number, monkeypatch)


@pytest.mark.parametrize("number", range(len(cases.METRICS)), ids=lambda n: cases.METRICS[n][0])
def test_metrics(number, monkeypatch):
    check("METRICS", cases.metric_values, "metrics", number, monkeypatch)


@pytest.mark.parametrize("number", range(len(cases.OPTIMIZERS)), ids=lambda n: cases.OPTIMIZERS[n][0])
def test_optimizers(number, monkeypatch):
    got, want = check("OPTIMIZERS", cases.optimizer_values, "optimizers", number, monkeypatch)
    # The names of variables that hold the state are part of saved files; Keras leaves the one of Nadam unnamed.
    assert [n for n in got[2] if n != "u_product"] == [n for n in want[2] if n != "variable"]


@pytest.mark.parametrize("number", range(len(cases.SCHEDULES)), ids=lambda n: cases.SCHEDULES[n][0])
def test_schedules(number, monkeypatch):
    check("SCHEDULES", cases.schedule_values, "schedules", number, monkeypatch)


@pytest.mark.parametrize("mode", ["eager", "compiled", "strict"])
@pytest.mark.parametrize("number", range(len(cases.HISTORIES)), ids=lambda n: "-".join(map(str, cases.HISTORIES[n][:2])))
def test_histories(number, mode):
    case, want = cases.HISTORIES[number], GOLDEN["histories"][number]
    with flags.EXECUTION(mode):
        got = cases.history(KERAS, *case[:-1], **case[-1])
    assert list(got["history"]) == list(want["history"])
    for name, values in want["history"].items():
        np.testing.assert_allclose(got["history"][name], values, rtol=3e-5, err_msg=name)
    np.testing.assert_allclose(got["evaluate"], want["evaluate"], rtol=3e-5)
    np.testing.assert_allclose(got["predict"], want["predict"], rtol=3e-5, atol=1e-6)
