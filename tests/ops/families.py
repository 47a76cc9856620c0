"""One check for functions that are composed of ops: eager, compiled and strict results, and results for a batch of unknown size."""

from graphkeras.ir import TensorSpec, symbol
from graphkeras.ir.dtypes import dtype_name
from graphkeras.passes import pipeline
from graphkeras.runtime.program import Program
from graphkeras.testing import sweep
from graphkeras.trace import as_tensor, trace


def check_function(fn, *arrays, batch=False, units=4096):
    """Raises AssertionError where `fn` of tensors gives different results eagerly, compiled and strictly (for the last two: by one
    bit); with `batch`, also where the leading axis is known only at run time.

    Returns:
        The eager results as arrays.
    """
    specs = [TensorSpec(a.shape, dtype_name(a.dtype)) for a in arrays]
    sweep.check_program(trace(fn, specs, name="f"), list(arrays), units=units, what="f")
    eager = fn(*map(as_tensor, arrays))
    eager = [as_tensor(t).array for t in (eager if isinstance(eager, tuple) else (eager,))]
    if batch:
        open_specs = [s.with_shape((symbol("batch"), *s.shape[1:])) for s in specs]
        program = Program(pipeline.run(trace(fn, open_specs, name="f"))[0])
        for count in (arrays[0].shape[0], 1):
            parts = [a[:count] for a in arrays]
            wanted = fn(*map(as_tensor, parts))
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            for want, got in zip(wanted, program(*parts), strict=True):
                assert not sweep.far_apart(as_tensor(want).array, got, units)
    return eager
