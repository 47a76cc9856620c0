"""Every registered op on its hand-written samples and on random ones: a new op is tested on the day it is registered.

`python -m graphkeras.testing.survey` does all of the slow part, and prints the largest errors.
"""

import re

import numpy as np
import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.ir import REGISTRY, ErrorSample, infer_specs
from graphkeras.testing import survey, sweep, variations
from graphkeras.testing.accuracy import family
from graphkeras.testing.compiled import check_compiled

CASES = list(sweep.cases())
COMPOSITES = [case for case in CASES if REGISTRY[case[0]].kind == "composite"]
ERRORS = [(name, i) for name, record in sorted(REGISTRY.items()) for i in range(len(record.errors))]
# Made by the tracer, with arguments of their own.
WITHOUT_SAMPLES = {"input", "read_variable", "assign_variable", "layer_call"}
NEVER_EMPTY = {"batch_norm", "standardize"}  # there is no mean of nothing
SAMPLED = sorted(set(REGISTRY) - WITHOUT_SAMPLES)
# Each sample of each op is a few kernels to compile: the quick run takes two.
COMPILED_BY_HAND = COMPILED_AT_RANDOM = 1


@pytest.mark.parametrize(("name", "number"), CASES)
def test_inference(name, number):
    sweep.check_inference(REGISTRY[name], REGISTRY[name].samples[number])


@pytest.mark.parametrize(("name", "number"), CASES)
def test_tracing(name, number):
    sweep.check_tracing(REGISTRY[name], REGISTRY[name].samples[number])


@pytest.mark.parametrize(("name", "number"), CASES)
def test_gradients(name, number):
    sweep.check_sample_gradients(REGISTRY[name], REGISTRY[name].samples[number])


@pytest.mark.parametrize(("name", "number"), COMPOSITES)
def test_expansion(name, number):
    sweep.check_expansion(REGISTRY[name], REGISTRY[name].samples[number])


@pytest.mark.parametrize("name", SAMPLED)
def test_random_samples(name):
    for sample in variations.samples(REGISTRY[name]):
        survey.check_meaning(REGISTRY[name], sample)


@pytest.mark.parametrize("name", SAMPLED)
def test_compiled(name):
    record = REGISTRY[name]
    check_compiled(record, [*record.samples[:COMPILED_BY_HAND], *variations.samples(record, COMPILED_AT_RANDOM)])


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLED)
def test_all_compiled(name):
    check_compiled(REGISTRY[name], survey.compiled_samples(REGISTRY[name]))


@pytest.mark.parametrize(("name", "number"), ERRORS)
def test_errors(name, number):
    case: ErrorSample = REGISTRY[name].errors[number]
    with pytest.raises(case.raises, match=case.match) as caught:
        infer_specs(name, sweep.specs_of(sweep.sample_arrays(case)), case.attrs)
    assert re.search(r"^  got: ", str(caught.value), re.MULTILINE)


@pytest.mark.parametrize("name", SAMPLED)
def test_random_samples_are_many_and_of_all_sizes(name):
    record = REGISTRY[name]
    assert record.samples or record.kind == "control"
    inputs = [sweep.sample_arrays(sample) for sample in variations.samples(record)]
    assert len(inputs) >= 20
    if not inputs[0] or name == "random_bits":  # what they make has a size, given as an attribute
        return
    arrays = [a for sample in inputs for a in sample]
    assert {1, int(name in NEVER_EMPTY)} <= {d for a in arrays for d in a.shape}
    assert len({a.shape for a in arrays}) > 5
    assert len({a.dtype.name for a in arrays}) > 1 or all(a.dtype == bool for a in arrays)


def test_random_samples_are_the_same_every_time():
    for name in ("add", "conv", "qr"):
        first, second = (variations.samples(REGISTRY[name]) for _ in range(2))
        for a, b in zip(first, second, strict=True):
            assert a.attrs == b.attrs
            assert all(np.array_equal(x, y) for x, y in zip(sweep.sample_arrays(a), sweep.sample_arrays(b)))


def test_the_survey_counts_per_family():
    rows, failures = survey.survey(["tanh", "reduce_sum", "sort"], count=2)
    assert not failures and set(rows) == {"elementwise", "reduction", "sorting"}
    assert 0 < rows["elementwise"].ulps[0] <= 4 and rows["elementwise"].ulps[1] == "tanh"
    assert 0 < rows["reduction"].share[0] <= 1 and rows["sorting"].ulps[0] == 0
    lines = survey.table(rows).splitlines()
    assert len(lines) == 5 and lines[1].startswith("elementwise") and "tanh" in lines[1]
    assert family(REGISTRY["conv"]) == "convolution"
