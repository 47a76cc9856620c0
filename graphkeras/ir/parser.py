"""Reads the text form of a graph (see `graphkeras.ir.text`)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from graphkeras.ir.dims import Dim, dim_max, symbol
from graphkeras.ir.dtypes import LONG, is_integer, numpy_dtype
from graphkeras.ir.errors import GraphError, GraphKerasError
from graphkeras.ir.graph import Graph, input_node
from graphkeras.ir.node import ConstantArray, Node, Value, VariableRef
from graphkeras.ir.origin import Origin
from graphkeras.ir.registry import REGISTRY, arity, make_node
from graphkeras.ir.spec import TensorSpec

RESERVED = frozenset({"true", "false", "none", "inf", "nan", "max", "return", "effects"})

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)
      | (?P<end>[\n;])
      | (?P<sha>sha:[0-9a-f]{16}\b)
      | (?P<hex>0x[0-9a-f]+)
      | (?P<float>\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+)
      | (?P<int>\d+)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<path>@(?:[A-Za-z0-9_./\-]+|"(?:[^"\\\n]|\\.)*"))
      | (?P<ref>%\d+(?:\.\d+)?)
      | (?P<mark>//|[-+*%(){}\[\],:=])""",
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


def parse_graph(text: str, constants: Mapping[str, np.ndarray] | None = None, variables: Mapping | None = None) -> Graph:
    """Reads a graph.

    Args:
        text: what `print_graph` prints; specs of nodes may be left out (`%0 = add(x, y)`).
        constants: arrays by digest, for constants that the text names by digest only (see `constants_of`).
        variables: `VariableRef`s by name, for a graph that shall use live variables.

    Raises:
        GraphError: with line and column, where the text cannot be read or a spec is not what its op infers.
    """
    return _Parser(text, constants or {}, variables or {}).read()


class _Parser:
    def __init__(self, text, constants, variables):
        self.text, self.constants, self.variables = text, constants, variables
        self.tokens = self._tokenize()
        self.position = 0

    # Tokens

    def _tokenize(self):
        tokens, offset, depth = [], 0, 0
        while offset < len(self.text):
            match = _TOKEN.match(self.text, offset)
            if match is None:
                self._fail(f"unexpected character {self.text[offset]!r}", offset)
            kind, text = match.lastgroup, match.group()
            if kind == "ref" and tokens and (tokens[-1].text == ")" or tokens[-1].kind in ("int", "name")):
                if tokens[-1].text not in RESERVED:  # a remainder such as (b)%3, not a reference
                    kind, text = "mark", "%"
            if kind != "space" and not (text == "\n" and depth):
                tokens.append(_Token(kind, text, offset))
            depth += (text in ("(", "[")) - (text in (")", "]"))
            offset += len(text)
        tokens.append(_Token("eof", "end of text", len(self.text)))
        return tokens

    def _fail(self, problem, offset, *, expected="", mend=""):
        line = self.text.count("\n", 0, offset) + 1
        start = self.text.rfind("\n", 0, offset) + 1
        stop = self.text.find("\n", offset)
        source = self.text[start : stop if stop >= 0 else len(self.text)]
        column = offset - start + 1
        raise GraphError(
            f"Graph text, line {line}, column {column}: {problem}.",
            got=f"{source}\n{' ' * (12 + column - 1)}^",
            expected=expected,
            where=f"line {line}, column {column}",
            mend=mend,
        )

    @property
    def here(self) -> _Token:
        return self.tokens[self.position]

    def at(self, text) -> bool:
        return self.here.text == text and self.here.kind in ("mark", "name", "end")

    def take(self, kind, what) -> _Token:
        token = self.here
        if token.kind != kind:
            self._fail(f"{what} expected, found {token.text!r}", token.offset)
        self.position += 1
        return token

    def accept(self, text) -> bool:
        if self.at(text):
            self.position += 1
            return True
        return False

    def need(self, text) -> None:
        if not self.accept(text):
            self._fail(f"'{text}' expected, found {self.here.text!r}", self.here.offset)

    def skip_ends(self) -> None:
        while self.here.kind == "end":
            self.position += 1

    def list_until(self, closing, item) -> list:
        items = []
        self.skip_ends()
        while not self.accept(closing):
            items.append(item())
            self.skip_ends()
            if not self.accept(","):
                self.need(closing)
                break
            self.skip_ends()
        return items

    # Graphs and statements

    def read(self) -> Graph:
        self.skip_ends()
        graph = self.graph()
        self.skip_ends()
        if self.here.kind != "eof":
            self._fail(f"nothing more expected after the graph, found {self.here.text!r}", self.here.offset)
        return graph

    def graph(self) -> Graph:
        name = self.name("the name of a graph")
        scope = _Scope()
        self.need("(")
        self.list_until(")", lambda: self.argument(scope))
        self.need("{")
        self.skip_ends()
        while not self.at("return"):
            self.statement(scope)
            if not self.at("}"):
                self.end_of_statement()
        self.need("return")
        outputs = []
        if self.here.kind not in ("end", "eof") and not self.at("}"):
            outputs.append(self.operand(scope))
            while self.accept(","):
                outputs.append(self.operand(scope))
        self.skip_ends()
        effects = []
        if self.accept("effects"):
            effects.append(self.reference(scope)[0])
            while self.accept(","):
                effects.append(self.reference(scope)[0])
            self.skip_ends()
        self.need("}")
        return Graph(name, scope.order, outputs, effects)

    def end_of_statement(self):
        if self.here.kind != "end":
            self._fail(f"end of statement expected, found {self.here.text!r}", self.here.offset)
        self.skip_ends()

    def name(self, what) -> str:
        if self.here.kind == "string":
            return self.string(self.take("string", what))
        return self.take("name", what).text

    def string(self, token) -> str:
        try:
            return json.loads(token.text.removeprefix("@"))
        except ValueError:
            self._fail(f"not a JSON string: {token.text}", token.offset)

    def argument(self, scope):
        token = self.here
        name = self.name("the name of an input")
        self.need(":")
        spec = self.spec()
        if name in scope.inputs:
            self._fail(f"two inputs are called {name!r}", token.offset)
        scope.inputs[name] = Value(input_node(name, spec))
        scope.order.append(scope.inputs[name])

    def statement(self, scope):
        token = self.take("ref", "'%number: spec = op(...)' or 'return'")
        if "." in token.text or token.text in scope.nodes:
            self._fail(
                f"{token.text} cannot be defined here", token.offset, expected="a number that is not in use, without '.index'"
            )
        declared = self.specs() if self.accept(":") else None
        self.need("=")
        op = self.take("name", "the name of an op")
        if op.text not in REGISTRY:
            self._fail(f"op '{op.text}' is not registered", op.offset, mend="import graphkeras.ops first, or correct the name")
        self.need("(")
        inputs, attrs = [], {}
        self.list_until(")", lambda: self.operand_or_attr(scope, inputs, attrs))
        subgraphs = []
        if self.accept("{"):
            self.skip_ends()
            while not self.accept("}"):
                subgraphs.append(self.graph())
                self.skip_ends()
        scope.nodes[token.text] = self.node(op, inputs, attrs, subgraphs, declared)

    def node(self, op, inputs, attrs, subgraphs, declared) -> Node:
        origin = Origin(file="<text>", line=self.text.count("\n", 0, op.offset) + 1)
        if arity(op.text) not in (None, len(inputs)):
            self._fail(f"{op.text} takes {arity(op.text)} inputs, not {len(inputs)}", op.offset)
        try:
            node = make_node(op.text, inputs, attrs, origin=origin, subgraphs=subgraphs)
        except GraphKerasError as error:
            self._fail(
                f"{op.text} refuses its inputs: {error.summary.rstrip('.')}", op.offset, expected=error.expected, mend=error.mend
            )
        except TypeError as error:
            self._fail(f"{op.text} does not take these inputs and attributes ({error})", op.offset)
        if declared is not None and node.specs != declared:
            self._fail(
                f"the spec of {op.text} is {_specs_text(node.specs)}, not {_specs_text(declared)}",
                op.offset,
                expected=_specs_text(node.specs),
            )
        return node

    def specs(self):
        if self.accept("("):
            self.need(")")
            return ()
        specs = [self.spec()]
        while self.accept(","):
            specs.append(self.spec())
        return tuple(specs)

    def reference(self, scope):
        token = self.take("ref", "a reference such as %0")
        number, _, index = token.text.partition(".")
        if number not in scope.nodes:
            self._fail(f"{number} is not defined above", token.offset)
        return scope.nodes[number], int(index or 0), token

    def operand(self, scope) -> Value:
        token = self.here
        if token.kind == "ref":
            node, index, token = self.reference(scope)
            if index >= len(node.specs):
                self._fail(f"{token.text.partition('.')[0]} has {len(node.specs)} outputs", token.offset)
            return Value(node, index)
        if token.kind == "string" or (token.kind == "name" and token.text not in RESERVED):
            name = self.name("an input")
            if name not in scope.inputs:
                self._fail(f"there is no input called {name!r}", token.offset, expected="one of " + ", ".join(scope.inputs))
            return scope.inputs[name]
        return scope.constant(self.literal())

    def operand_or_attr(self, scope, inputs, attrs):
        following = self.tokens[self.position + 1]
        if self.here.kind == "name" and following.text == "=":
            key = self.take("name", "an attribute")
            self.need("=")
            if key.text in attrs:
                self._fail(f"attribute '{key.text}' is given twice", key.offset)
            attrs[key.text] = self.value()
        else:
            inputs.append(self.operand(scope))

    # Literals, specs and attributes

    def literal(self) -> ConstantArray:
        """A scalar constant: `0.5`, `3`, `true`, `-inf`, `0.5:f64`."""
        token = self.here
        value = self.number()
        if self.accept(":"):
            dtype = self.dtype()
        else:
            dtype = "bool" if isinstance(value, bool) else "int32" if isinstance(value, int) else "float32"
        return ConstantArray(self.element(value, dtype, token).reshape(()))

    def number(self):
        """A signed number or a truth value, with Python's type."""
        negative = self.accept("-")
        token = self.here
        self.position += 1
        if token.kind in ("int", "float") or token.text in ("inf", "nan"):
            value = int(token.text) if token.kind == "int" else float(token.text)
            return -value if negative else value
        if token.text in ("true", "false") and not negative:
            return token.text == "true"
        self._fail(f"a value expected, found {token.text!r}", token.offset)

    def element(self, value, dtype, token) -> np.ndarray:
        fits = (
            isinstance(value, bool) if dtype == "bool" else type(value) is int if is_integer(dtype) else type(value) in (int, float)
        )
        try:
            if not fits:
                raise OverflowError
            if is_integer(dtype) or dtype == "bool":
                return np.array(value, dtype=numpy_dtype(dtype))
            with np.errstate(all="ignore"):
                return np.asarray(float(value)).astype(numpy_dtype(dtype))
        except OverflowError:
            self._fail(f"{token.text} is not a {dtype} value", token.offset)

    def dtype(self) -> str:
        token = self.take("name", "a dtype such as f32")
        if token.text not in LONG:
            self._fail(f"unknown dtype '{token.text}'", token.offset, expected="one of " + ", ".join(LONG))
        return LONG[token.text]

    def spec(self) -> TensorSpec:
        dtype = self.dtype()
        self.need("[")
        return TensorSpec(tuple(self.list_until("]", self.dim)), dtype)

    def dim(self):
        token = self.here
        value = self.sum()
        if type(value) is not int and not isinstance(value, Dim):
            self._fail("a size expected", token.offset)
        return value

    def value(self):
        """The value of an attribute."""
        token = self.here
        following = self.tokens[self.position + 1]
        if token.kind == "string":
            return self.string(self.take("string", "a string"))
        if token.kind == "path":
            return self.variable()
        if token.kind == "name" and token.text in LONG and following.text == "[":
            return self.spec_or_array()
        return self.sum()

    def variable(self) -> VariableRef:
        token = self.take("path", "a variable")
        name = self.string(token) if token.text[1] == '"' else token.text[1:]
        self.need(":")
        spec = self.spec()
        known = self.variables.get(name)
        if known is None:
            return VariableRef(name, spec)
        if known.spec != spec:
            self._fail(f"variable '{name}' is {known.spec}, not {spec}", token.offset)
        return known

    def spec_or_array(self):
        spec = self.spec()
        if not self.accept("{"):
            return spec
        token = self.here
        dtype = numpy_dtype(spec.dtype)
        if token.kind == "sha":
            self.position += 1
            self.need("}")
            return self.side_table(token, spec, dtype)
        elements = self.list_until("}", lambda: self.array_element(spec.dtype, dtype))
        if not spec.is_static or len(elements) != spec.size:
            self._fail(f"{len(elements)} elements for {spec}", token.offset)
        return ConstantArray(np.array(elements, dtype=dtype).reshape(spec.shape))

    def array_element(self, name, dtype):
        token = self.here
        if token.kind == "string" and name == "string":
            return self.string(self.take("string", "a string"))
        if token.kind == "hex":
            self.position += 1
            raw = bytes.fromhex(token.text[2:])
            if len(raw) != dtype.itemsize:
                self._fail(f"{len(raw)} bytes for one {name}", token.offset)
            return np.frombuffer(raw, dtype=dtype)[0]
        return self.element(self.number(), name, token)[()]

    def side_table(self, token, spec, dtype):
        digest = token.text.removeprefix("sha:")
        if digest not in self.constants:
            mend = "pass parse_graph(text, constants=constants_of(graph)), or print with a larger inline="
            self._fail(f"no array with digest {digest}", token.offset, mend=mend)
        raw = np.ascontiguousarray(self.constants[digest])
        if not spec.is_static or raw.nbytes != spec.size * dtype.itemsize:
            self._fail(f"the array with digest {digest} has {raw.nbytes} bytes, which do not fit {spec}", token.offset)
        constant = ConstantArray(raw.reshape(-1).view(dtype).reshape(spec.shape))
        if constant.digest != digest:
            self._fail(f"the array given for digest {digest} has digest {constant.digest}", token.offset)
        return constant

    # Integers, floats, sizes and tuples: expressions with the usual precedence

    def sum(self):
        value = self.product()
        while self.at("+") or self.at("-"):
            value = self.combine(value, self.product)
        return value

    def product(self):
        value = self.factor()
        while self.at("*") or self.at("//") or self.at("%"):
            value = self.combine(value, self.factor)
        return value

    def combine(self, left, read_right):
        token = self.take("mark", "an operator")
        right = read_right()
        for operand in (left, right):
            if type(operand) is not int and not isinstance(operand, Dim):
                self._fail(f"'{token.text}' needs sizes on both sides", token.offset)
        if token.text in ("//", "%") and type(right) is int and right == 0:
            self._fail("division by zero", token.offset)
        operators = {"+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right,
                     "//": lambda: left // right, "%": lambda: left % right}  # fmt: skip
        return operators[token.text]()

    def factor(self):
        token = self.here
        if self.accept("-"):
            value = self.factor()
            if type(value) not in (int, float) and not isinstance(value, Dim):
                self._fail("'-' needs a number", token.offset)
            return -value
        if self.accept("("):
            return self.tuple_or_group()
        if token.kind == "name":
            following = self.tokens[self.position + 1].text
            if token.text == "max" and following == "(":
                return self.maximum()
            if token.text in LONG and following == "[":
                return self.spec_or_array()
            if token.text in ("true", "false", "inf", "nan"):
                return self.number()
            self.position += 1
            return None if token.text == "none" else symbol(_unescaped(token.text))
        if token.kind in ("string", "path"):
            return self.value()
        return self.number()

    def maximum(self):
        self.need("max")
        self.need("(")
        sizes = self.list_until(")", self.dim)
        if len(sizes) != 2:
            self._fail("max takes two sizes", self.here.offset)
        return dim_max(*sizes)

    def tuple_or_group(self):
        if self.accept(")"):
            return ()
        first = self.sum()
        if self.accept(")"):
            return first
        self.need(",")
        return (first, *self.list_until(")", self.sum))


class _Scope:
    """What the statements of one graph can refer to."""

    def __init__(self):
        self.inputs: dict[str, Value] = {}
        self.order: list[Value] = []
        self.nodes: dict[str, Node] = {}
        self._constants: dict[ConstantArray, Value] = {}

    def constant(self, array: ConstantArray) -> Value:
        if array not in self._constants:
            self._constants[array] = Value(make_node("constant", (), {"value": array}, origin=Origin()))
        return self._constants[array]


def _unescaped(name: str) -> str:
    return bytes.fromhex(name[3:]).decode("utf-8", "surrogatepass") if re.match(r"_q_([0-9a-f]{2})*\Z", name) else name


def _specs_text(specs) -> str:
    return ", ".join(map(str, specs)) or "()"
