"""Every registered op on every one of its samples: a new op is tested on the day it is registered."""

import re

import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.ir import REGISTRY, ErrorSample, infer_specs
from graphkeras.testing import sweep

CASES = list(sweep.cases())
COMPOSITES = [case for case in CASES if REGISTRY[case[0]].kind == "composite"]
# Each sample of each op is a kernel or two to compile: three of each op are part of the quick run, all of the slow one.
COMPILED = [
    pytest.param(*case, marks=[pytest.mark.slow] if case[1] >= 3 else [])
    for case in CASES
    if REGISTRY[case[0]].kind not in ("host", "control")
]
ERRORS = [(name, i) for name, record in sorted(REGISTRY.items()) for i in range(len(record.errors))]
# Its gradient at a zero is right, but not the gradient of that: the rule tells zeros apart by comparisons, whose slope is zero.
FIRST_ORDER_ONLY = {("reduce_prod", 8)}
# Made by the tracer, with arguments of their own.
WITHOUT_SAMPLES = {"input", "read_variable", "assign_variable", "layer_call"}


@pytest.mark.parametrize(("name", "number"), CASES)
def test_inference(name, number):
    sweep.check_inference(REGISTRY[name], REGISTRY[name].samples[number])


@pytest.mark.parametrize(("name", "number"), CASES)
def test_tracing(name, number):
    sweep.check_tracing(REGISTRY[name], REGISTRY[name].samples[number])


@pytest.mark.parametrize(("name", "number"), CASES)
def test_gradients(name, number):
    order = 1 if (name, number) in FIRST_ORDER_ONLY else 2
    sweep.check_sample_gradients(REGISTRY[name], REGISTRY[name].samples[number], order)


@pytest.mark.parametrize(("name", "number"), COMPOSITES)
def test_expansion(name, number):
    sweep.check_expansion(REGISTRY[name], REGISTRY[name].samples[number])


@pytest.mark.parametrize(("name", "number"), COMPILED)
def test_compiled(name, number):
    sweep.check_compiled(REGISTRY[name], REGISTRY[name].samples[number])


@pytest.mark.parametrize(("name", "number"), ERRORS)
def test_errors(name, number):
    case: ErrorSample = REGISTRY[name].errors[number]
    with pytest.raises(case.raises, match=case.match) as caught:
        infer_specs(name, sweep.specs_of(sweep.sample_arrays(case)), case.attrs)
    assert re.search(r"^  got: ", str(caught.value), re.MULTILINE)


def test_every_op_has_samples():
    without = {name for name, record in REGISTRY.items() if not record.samples and record.kind != "control"}
    assert without <= WITHOUT_SAMPLES  # sub-graphs are no sample: control flow is tested in test_control.py
