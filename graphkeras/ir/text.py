"""The text form of a graph: one compact notation that is printed, parsed, diffed and pasted into tests and bug reports.

    f(x: f32[b,3], w: f32[3,4]) {
      %0: f32[b,4] = matmul(x, w)
      %1: f32[b,4] = add(%0, 0.5)
      return %1
    }

- Statements stand on lines of their own or are separated by `;`. `#` starts a comment.
- Scalar constants stand where they are used: `0.5` is f32, `3` is i32, `true` is b1; all others carry their dtype: `0.5:f64`.
- Arrays: `f32[2,2]{1.0, 2.0, 3.0, 4.0}`, elements in row-major order; large ones by digest, `f32[64,64]{sha:0011223344556677}`, and
  `constants_of` gives the side table that `parse_graph` needs to bring them back. `0x...` among float elements is a bit pattern.
- Variables: `read_variable(variable=@dense/kernel: f32[3,4])`. Nodes that write come last: `return %1; effects %5, %6`.
- A node with several outputs gives `%3.0`, `%3.1`; one with none has the spec `()`. Sub-graphs follow in braces.
- Names of users that are not plain identifiers are JSON strings; symbols of sizes that are not become `_q_<hex>`.
"""

import json
import keyword
import re

import numpy as np

from graphkeras.ir.dims import Dim, dim_symbols, substitute, symbol
from graphkeras.ir.dtypes import COMPLEX, FLOATS, SHORT, is_integer
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import ConstantArray, Node, Value, VariableRef
from graphkeras.ir.parser import RESERVED, parse_graph
from graphkeras.ir.spec import TensorSpec

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9_./\-]+\Z", re.ASCII)
_NO_SUFFIX = ("float32", "int32", "bool")


def print_graph(graph: Graph, *, origins: bool = False, inline: int = 16) -> str:
    """The text of a graph.

    Args:
        graph: the graph; faulty graphs print too.
        origins: add each node's origin as a comment.
        inline: arrays of up to this many elements are written out, larger ones by digest.

    Example:

    >>> from graphkeras.ir import Graph, TensorSpec, Value, input_node
    >>> x = Value(input_node("x", TensorSpec((2, 3))))
    >>> print(print_graph(Graph("f", [x], [x])))
    f(x: f32[2,3]) {
      return x
    }
    """
    return "\n".join(line for _, line in graph_lines(graph, origins=origins, inline=inline))


def graph_lines(graph: Graph, *, origins: bool = False, inline: int = 16, indent: str = "") -> list[tuple[Node | None, str]]:
    """The lines of the text, each with the node it defines (None for the first and the last lines)."""
    names = ValueNames(graph, inline)
    arguments = ", ".join(f"{names.inputs[v.node.id]}: {spec_text(v.spec)}" for v in graph.inputs)
    name = graph.name if _IDENTIFIER.match(graph.name) else json.dumps(graph.name)
    lines: list[tuple[Node | None, str]] = [(None, f"{indent}{name}({arguments}) {{")]
    for node in graph.nodes:
        if node.id not in names.numbers:
            continue
        comment = f"  # {json.dumps(str(node.origin))[1:-1]}" if origins and str(node.origin) else ""
        text = f"{indent}  {node_text(node, names)}"
        if not node.subgraphs:
            lines.append((node, text + comment))
            continue
        lines.append((node, text + " {" + comment))
        for sub in node.subgraphs:
            lines += graph_lines(sub, origins=origins, inline=inline, indent=indent + "    ")
        lines.append((None, indent + "  }"))
    result = ", ".join(map(names, graph.outputs))
    effects = "; effects " + ", ".join(f"%{names.numbers[n.id]}" for n in graph.effects) if graph.effects else ""
    lines.append((None, f"{indent}  return {result}".rstrip() + effects))
    lines.append((None, indent + "}"))
    return lines


class ValueNames:
    """How the values of one graph are written.

    Attributes:
        numbers: the `%` number of each node by its id; scalar constants have none.
    """

    def __init__(self, graph: Graph, inline: int = 16):
        self.inline = inline
        self.inputs: dict[int, str] = {}
        taken: dict[str, int] = {}
        for value in graph.inputs:
            name = str(value.node.attrs.get("name", ""))
            taken[name] = taken.get(name, 0) + 1
            again = f"~{taken[name]}" if taken[name] > 1 else ""  # a fault, which the verifier shows
            self.inputs[value.node.id] = _quoted(name) + again
        self.numbers: dict[int, int] = {}
        for node in graph.nodes:
            if scalar_text(node) is None:
                self.numbers[node.id] = len(self.numbers)

    def __call__(self, value: Value) -> str:
        node = value.node
        if node.id in self.inputs:
            return self.inputs[node.id]
        if node.id not in self.numbers:
            return scalar_text(node) or f"%?{node.id}"
        return f"%{self.numbers[node.id]}" + (f".{value.index}" if len(node.specs) != 1 or value.index else "")


def node_text(node: Node, names: ValueNames) -> str:
    """One line for a node, without its sub-graphs."""
    operands = [names(v) for v in node.inputs]
    operands += [f"{k}={attr_text(v, names.inline)}" for k, v in node.attrs.items()]
    specs = ", ".join(map(spec_text, node.specs)) or "()"
    return f"%{names.numbers[node.id]}: {specs} = {node.op}({', '.join(operands)})"


def spec_text(spec: TensorSpec) -> str:
    """`f32[b,3]`."""
    return f"{SHORT[spec.dtype]}[{','.join(map(dim_text, spec.shape))}]"


def dim_text(dim) -> str:
    """A dimension, with symbols that are no plain identifiers escaped."""
    if not isinstance(dim, Dim):
        return str(dim)
    odd = {s: symbol("_q_" + s.encode("utf-8", "surrogatepass").hex()) for s in dim_symbols(dim) if not _plain_symbol(s)}
    return str(substitute(dim, odd) if odd else dim)


def _plain_symbol(name: str) -> bool:
    return bool(_IDENTIFIER.match(name)) and not keyword.iskeyword(name) and name not in RESERVED and name[:3] != "_q_"


def _quoted(name: str) -> str:
    return name if _IDENTIFIER.match(name) and name not in RESERVED else json.dumps(name)


def attr_text(value, inline: int = 16) -> str:
    """An attribute."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return repr(value)  # 0.5, 1e-07, inf, nan, -0.0: always told apart from an integer
    if isinstance(value, (int, Dim)):
        return dim_text(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, tuple):
        return "(" + ", ".join(attr_text(v, inline) for v in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, TensorSpec):
        return spec_text(value)
    if isinstance(value, VariableRef):
        return "@" + (value.name if _PATH.match(value.name) else json.dumps(value.name)) + ": " + spec_text(value.spec)
    if isinstance(value, ConstantArray):
        return array_text(value, inline)
    return f"<{value!r}>"  # shown, but not readable back


def array_text(constant: ConstantArray, inline: int = 16) -> str:
    """`f32[2]{1.0, 2.0}`, or the digest where there are more than `inline` elements."""
    array, spec = constant.array, constant.spec
    if array.size > inline and spec.dtype != "string":
        return f"{spec_text(spec)}{{sha:{constant.digest}}}"
    return f"{spec_text(spec)}{{{', '.join(element_text(x, spec.dtype) for x in array.reshape(-1))}}}"


def element_text(element, dtype: str) -> str:
    """One element: the shortest decimal that reads back to the same bits, else the bits themselves."""
    if dtype == "bool":
        return "true" if element else "false"
    if dtype == "string":
        return json.dumps(element if isinstance(element, str) else bytes(element).decode("latin-1"))
    if is_integer(dtype):
        return str(int(element))
    exact = np.asarray(element)
    bits = exact.tobytes()
    if dtype in FLOATS:
        for text in (str(element), repr(float(element)), *(["-nan"] if element != element else [])):
            text = text if re.search(r"[.en]", text) else text + ".0"
            with np.errstate(all="ignore"):
                if np.asarray(float(text)).astype(exact.dtype).tobytes() == bits:
                    return text
    return "0x" + bits.hex()


def scalar_text(node: Node) -> str | None:
    """The literal that stands for a node which is a scalar constant, None for any other node."""
    if node.op != "constant" or tuple(node.attrs) != ("value",) or not isinstance(node.attrs["value"], ConstantArray):
        return None
    constant = node.attrs["value"]
    spec = constant.spec
    if spec.shape or spec.dtype in COMPLEX or spec.dtype == "string" or node.specs != (spec,):
        return None
    text = element_text(constant.array[()], spec.dtype)
    if text.startswith("0x"):
        return None
    return text if spec.dtype in _NO_SUFFIX else f"{text}:{SHORT[spec.dtype]}"


def constants_of(graph: Graph) -> dict[str, np.ndarray]:
    """All array constants of a graph and its sub-graphs by digest: the side table for `parse_graph`."""
    table: dict[str, np.ndarray] = {}

    def visit(value):
        if isinstance(value, tuple):
            for part in value:
                visit(part)
        elif isinstance(value, ConstantArray):
            table[value.digest] = value.array

    for node in graph.nodes:
        for value in node.attrs.values():
            visit(value)
        for sub in node.subgraphs:
            table.update(constants_of(sub))
    return table


def parse_spec(text: str) -> TensorSpec:
    """Reads `f32[b,3]`.

    >>> parse_spec("i32[2*b,3]")
    i32[2*b,3]
    """
    graph = parse_graph(f"spec(x: {text}) {{ return x }}")
    return graph.inputs[0].spec


__all__ = [
    "ValueNames", "attr_text", "constants_of", "dim_text", "graph_lines", "node_text", "parse_graph", "parse_spec", "print_graph",
    "spec_text",
]  # fmt: skip
