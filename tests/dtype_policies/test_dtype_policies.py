import numpy as np
import pytest

from graphkeras import config, dtype_policies, layers
from graphkeras.dtype_policies import DTypePolicy
from graphkeras.ir.errors import ArgumentError, UnknownNameError


def test_policies():
    mixed = DTypePolicy("mixed_bfloat16")
    assert (mixed.name, mixed.compute_dtype, mixed.variable_dtype) == ("mixed_bfloat16", "bfloat16", "float32")
    assert mixed == dtype_policies.get("mixed_bfloat16") and hash(mixed) == hash(DTypePolicy("mixed_bfloat16"))
    assert dtype_policies.deserialize(dtype_policies.serialize(mixed)) == mixed
    assert dtype_policies.get(np.float64).compute_dtype == "float64" and dtype_policies.get(mixed) is mixed
    assert repr(mixed) == '<DTypePolicy "mixed_bfloat16">' and mixed.quantization_mode is None
    with pytest.raises(ArgumentError, match="Cannot convert 'int4x'"):
        DTypePolicy("int4x")
    with pytest.raises(ArgumentError, match="must be a string"):
        DTypePolicy(3)
    with pytest.raises(UnknownNameError, match="Cannot interpret `dtype`"):
        dtype_policies.get(object())


def test_global_policy():
    assert config.dtype_policy().name == "float32"
    try:
        config.set_dtype_policy("mixed_float16")
        assert layers.Dense(1).compute_dtype == "float16" and DTypePolicy().name == "mixed_float16"
        with pytest.raises(ArgumentError, match="Invalid `policy`"):
            config.set_dtype_policy(3)
    finally:
        config.set_dtype_policy("float32")


def test_plain_kinds_are_dtypes():
    assert (DTypePolicy("int").compute_dtype, DTypePolicy("float").variable_dtype) == ("int32", "float32")
