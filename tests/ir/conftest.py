"""Two ops that no model needs: one with several outputs, one with a sub-graph."""

import pytest

from graphkeras.ir import REGISTRY, register_op


@pytest.fixture
def registry_with_test_ops():
    half = lambda x: x.with_shape((x.shape[0] // 2,))
    register_op("test_split", kind="view", infer=lambda x: (half(x), half(x)))
    register_op("test_apply", kind="control", infer=lambda x, subgraphs: subgraphs[0].outputs[0].spec)
    yield
    del REGISTRY["test_split"], REGISTRY["test_apply"]
