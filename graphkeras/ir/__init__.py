"""The intermediate representation: typed nodes, graphs, their text form, verifier and diff."""

from graphkeras.ir.diff import diff, structurally_equal
from graphkeras.ir.dims import Dim, symbol
from graphkeras.ir.graph import Graph, input_node, reachable, with_attrs, with_inputs
from graphkeras.ir.node import Attrs, ConstantArray, Node, Value, VariableRef
from graphkeras.ir.origin import Origin, current_origin, layer_scope, origin_scope
from graphkeras.ir.registry import (
    REGISTRY,
    ZERO_GRADIENT,
    ErrorSample,
    NoGradient,
    OpDef,
    Sample,
    infer_specs,
    make_node,
    op_def,
    register_op,
)
from graphkeras.ir.spec import TensorSpec
from graphkeras.ir.text import constants_of, parse_graph, parse_spec, print_graph
from graphkeras.ir.verify import verify

__all__ = [
    "REGISTRY", "ZERO_GRADIENT", "Attrs", "ConstantArray", "Dim", "ErrorSample", "Graph", "NoGradient", "Node", "OpDef",
    "Origin", "Sample", "TensorSpec", "Value", "VariableRef", "constants_of", "current_origin", "diff", "infer_specs",
    "input_node", "layer_scope", "make_node", "op_def", "origin_scope", "parse_graph", "parse_spec", "print_graph",
    "reachable", "register_op", "structurally_equal", "symbol", "verify", "with_attrs", "with_inputs",
]  # fmt: skip
