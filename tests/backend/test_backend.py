import numpy as np

from graphkeras import Input, backend, ops


def test_names_of_keras_backend():
    assert backend.floatx() == "float32"
    assert backend.backend() == "graphkeras" and backend.epsilon() == 1e-7 and backend.image_data_format() == "channels_last"
    assert backend.standardize_dtype(None) == "float32" and backend.standardize_dtype(np.int8) == "int8"
    assert backend.is_float_dtype("bfloat16") and backend.is_int_dtype("uint8") and not backend.is_int_dtype("bool")
    assert backend.is_keras_tensor(Input((1,))) and not backend.is_keras_tensor(ops.ones(1))
    assert backend.result_type("int32", "float16") == "float16"
    assert [backend.get_uid("some"), backend.get_uid("some"), backend.get_uid("other")] == [1, 2, 1]
