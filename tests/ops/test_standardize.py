"""The gradient of standardization where numbers are large for their dtype."""

import numpy as np
import pytest

import graphkeras as keras
from graphkeras.debug import flags
from graphkeras.trace import convert_to_tensor, prim


@pytest.mark.parametrize("mode", ["eager", "strict", "compiled"])
def test_products_of_large_deviations_do_not_overflow_in_half_precision(mode):
    x = np.linspace(-2e4, 2e4, 12).reshape(2, 6)
    ct = np.where(np.arange(12).reshape(2, 6) % 2, 9.0, -8.0)

    def slopes(x, ct):
        with keras.GradientTape() as tape:
            tape.watch(x)
            y = prim.standardize(x, axes=(1,), epsilon=1e-3)
        return tape.gradient(y, x, output_gradients=ct)

    found = {}
    for dtype in ("float16", "float64"):
        with flags.EXECUTION(mode):
            found[dtype] = np.asarray(keras.function(slopes)(convert_to_tensor(x, dtype), convert_to_tensor(ct, dtype)))
    np.testing.assert_allclose(found["float16"], found["float64"], rtol=2e-2)
