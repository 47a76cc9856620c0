"""Tensors, variables and the tracer: how Python calls become graphs, or values at once."""

from graphkeras.trace.dispatch import apply, as_tensor, as_value, convert_to_tensor, is_tensor, prim
from graphkeras.trace.recorders import not_recording, recorders, start_recording, stop_recording
from graphkeras.trace.scope import TraceScope, current_scope, tracing
from graphkeras.trace.stateless import StatelessScope, get_stateless_scope, in_stateless_scope
from graphkeras.trace.symbolic import BATCH, KerasTensor, SymbolicTensor, symbolic_shape
from graphkeras.trace.tensor import Tensor
from graphkeras.trace.tracer import trace, trace_call
from graphkeras.trace.variable import Variable, aligned_empty, autocast_scope, outside

__all__ = [
    "BATCH", "KerasTensor", "StatelessScope", "SymbolicTensor", "Tensor", "TraceScope", "Variable", "aligned_empty",
    "apply", "as_tensor", "as_value", "autocast_scope", "convert_to_tensor", "current_scope", "get_stateless_scope",
    "in_stateless_scope", "is_tensor", "not_recording", "outside", "prim", "recorders", "start_recording",
    "stop_recording", "symbolic_shape", "trace", "trace_call", "tracing",
]  # fmt: skip
