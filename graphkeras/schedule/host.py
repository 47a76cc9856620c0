"""Which nodes run on the host, through NumPy, instead of in a kernel of ours."""

from graphkeras.ir.dtypes import COMPLEX
from graphkeras.ir.node import Node
from graphkeras.ir.registry import op_def


def runs_on_host(node: Node) -> bool:
    """Ops of kind "host", and everything on complex numbers: the kernels' vectors hold real ones only."""
    return op_def(node.op).kind == "host" or any(s.dtype in COMPLEX for s in (*node.specs, *(v.spec for v in node.inputs)))
