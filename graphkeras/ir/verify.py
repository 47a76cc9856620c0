"""The verifier: checks every rule that a graph must keep, and shows the lines around a fault."""

from graphkeras.ir.dims import Dim, dim_symbols
from graphkeras.ir.errors import GraphError, GraphKerasError
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Attrs, Node, Value
from graphkeras.ir.registry import REGISTRY, arity, infer_specs, node_symbols
from graphkeras.ir.text import graph_lines, spec_text

ORDERED_EFFECTS = frozenset({"write", "print"})  # what a graph must list; reads see the state before the program runs
_CONTEXT = 3


def verify(graph: Graph, after: str = "") -> Graph:
    """Checks a graph and returns it.

    Checked: every op is registered, every spec is what its op infers from its inputs and attributes, arities, references to outputs
    that exist and to nodes made earlier, placeholders (each an input, each once, names unique), effects (listed once, after what
    they depend on), symbols of sizes (each bound by an input whose shape names it, of the graph or of one around it),
    attributes (hashable), and all of it inside sub-graphs.

    Args:
        graph: the graph.
        after: what has just been done to it, for the message ("pass cse").

    Raises:
        GraphError: with the lines around the first fault.

    Example:

    >>> from graphkeras.ir import Graph, TensorSpec, Value, input_node
    >>> x = Value(input_node("x", TensorSpec((2,))))
    >>> verify(Graph("f", [], [x]))
    Traceback (most recent call last):
    ...
    graphkeras.ir.errors.GraphError: graph 'f': placeholder 'x' is used, but is not an input of the graph.
    ...
    """
    _Checker(graph, after).check()
    return graph


class _Checker:
    def __init__(self, graph, after, around=frozenset()):
        self.graph = graph
        self.bound = around | {
            str(d) for v in graph.inputs for d in v.spec.shape if isinstance(d, Dim) and dim_symbols(d) == {str(d)}
        }
        self.after = f" (after {after})" if after else ""

    def fail(self, problem, node: Node | None = None, *, got="", expected="", mend=""):
        excerpt = self._excerpt(node)
        origin = f"{node.origin}" if node is not None else ""
        raise GraphError(
            f"graph '{self.graph.name}'{self.after}: {problem}.",
            got=got,
            expected=expected,
            where=(origin + "\n" if origin else "") + excerpt,
            mend=mend,
        )

    def _excerpt(self, node):
        try:
            lines = graph_lines(self.graph)
        except Exception as error:  # a graph so broken that it cannot be printed must still be reported
            return f"(the graph cannot be printed: {error})"
        marked = next((i for i, (n, _) in enumerate(lines) if n is not None and n is node), None)
        if marked is None:  # a scalar constant has no line of its own: show its first user
            users = [i for i, (n, _) in enumerate(lines) if n is not None and any(v.node is node for v in n.inputs)]
            marked = users[0] if users else (0 if node is None or node.op == "input" else len(lines) - 2)
        first, last = max(0, marked - _CONTEXT), marked + _CONTEXT + 1
        shown = [f"  {'>' if i == marked else ' '} {text}" for i, (_, text) in enumerate(lines) if first <= i < last]
        return "\n".join([*(["    ..."] if first else []), *shown, *(["    ..."] if last < len(lines) else [])])

    def check(self):
        self._check_inputs()
        self._check_references()
        for node in self.graph.nodes:
            self._check_node(node)
        self._check_effects()
        self._check_symbols()

    def _check_inputs(self):
        names, seen = set(), set()
        for value in self.graph.inputs:
            name = value.node.attrs["name"]
            if value.node.id in seen:
                self.fail(f"placeholder '{name}' is an input twice", value.node)
            if name in names:
                self.fail(f"two inputs are called '{name}'", value.node, mend="give each input a name of its own")
            seen.add(value.node.id)
            names.add(name)

    def _check_references(self):
        placeholders = {v.node.id for v in self.graph.inputs}
        for user, value in [*((n, v) for n in self.graph.nodes for v in n.inputs), *((None, v) for v in self.graph.outputs)]:
            if not isinstance(value, Value):
                self.fail(f"{value!r} stands where a value must stand", user)
            node = value.node
            if not 0 <= value.index < len(node.specs):
                self.fail(f"output {value.index} of {node.op} is used, which has {len(node.specs)}", user or node)
            if user is not None and node.id >= user.id:
                self.fail(f"{user.op} reads a node that was made after it", user, got=f"inputs {user.inputs}")
            if node.op == "input" and node.id not in placeholders:
                self.fail(
                    f"placeholder '{node.attrs['name']}' is used, but is not an input of the graph",
                    user or node,
                    expected="every placeholder among graph.inputs (a sub-graph may not read values of the graph around it)",
                )

    def _check_node(self, node):
        if node.op not in REGISTRY:
            self.fail(f"op '{node.op}' is not registered", node)
        if not isinstance(node.attrs, Attrs):
            self.fail(f"the attributes of {node.op} are not frozen", node, got=type(node.attrs).__name__, expected="Attrs")
        try:
            hash(node.attrs)
        except TypeError as error:
            self.fail(f"an attribute of {node.op} cannot be hashed: {error}", node)
        if arity(node.op) not in (None, len(node.inputs)):
            self.fail(f"{node.op} takes {arity(node.op)} inputs, not {len(node.inputs)}", node)
        try:
            specs = infer_specs(node.op, [v.spec for v in node.inputs], node.attrs, node.subgraphs)
        except GraphKerasError as error:
            self.fail(f"{node.op} refuses its inputs: {error.summary.rstrip('.')}", node, got=error.got, expected=error.expected)
        except TypeError as error:
            self.fail(f"{node.op} does not take {len(node.inputs)} inputs with attributes ({', '.join(node.attrs)}): {error}", node)
        if specs != node.specs:
            self.fail(f"{node.op} has other specs than its op infers", node, got=_specs(node.specs), expected=_specs(specs))
        missing = REGISTRY[node.op].effects - node.effects
        if missing:
            self.fail(f"{node.op} lost its effect '{min(missing)}'", node)
        for sub in node.subgraphs:
            _Checker(sub, f" inside {node.op}{self.after}", self.bound).check()

    def _check_effects(self):
        listed = set()
        for node in self.graph.effects:
            if not node.effects & ORDERED_EFFECTS:
                self.fail(f"{node.op} is listed as an effect, but writes and prints nothing", node)
            if node.id in listed:
                self.fail(f"{node.op} is listed as an effect twice", node)
            listed.add(node.id)
        order = {node.id: i for i, node in enumerate(self.graph.effects)}
        latest: dict[int, int] = {}  # the last effect that a node depends on
        for node in self.graph.nodes:
            before = max((latest.get(v.node.id, -1) for v in node.inputs), default=-1)
            if node.effects & ORDERED_EFFECTS:
                if node.id not in order:
                    self.fail(f"{node.op} has an effect, but is not among graph.effects", node)
                if before > order[node.id]:
                    self.fail(f"{node.op} is listed before an effect that it depends on", node)
            latest[node.id] = max(before, order.get(node.id, -1))

    def _check_symbols(self):
        for node in (*(v.node for v in self.graph.inputs), *self.graph.nodes):
            unknown = node_symbols(node) - self.bound
            if unknown:
                self.fail(
                    f"nothing gives the size '{min(unknown)}' of {node.op} a value",
                    node,
                    got=_specs(node.specs),
                    expected=f"an input with '{min(unknown)}' alone as a size; bound: {', '.join(sorted(self.bound)) or 'none'}",
                )


def _specs(specs) -> str:
    try:
        return ", ".join(map(spec_text, specs)) or "()"
    except KeyError as error:
        return f"an unknown dtype {error}"
