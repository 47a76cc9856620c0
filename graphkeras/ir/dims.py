"""Symbolic dimensions: integer polynomials over named sizes, so that one graph serves every batch size.

A dimension of a shape is an `int` or a `Dim`. Sizes are never negative; comparisons use that, and raise when it does not
decide them. Sums and products are kept in normal form, so equal polynomials are equal objects in every sense; quotients,
remainders and maxima are opaque atoms with the usual rules for exact division.
"""

import ast
from collections.abc import Iterable, Mapping

import numpy as np

from graphkeras.ir.errors import ShapeError

# A monomial is a sorted tuple of (atom, power); an atom is a symbol's name or an opaque (operator, left, right).


def _atom_text(atom) -> str:
    if isinstance(atom, str):
        return atom
    operator, left, right = atom
    if operator == "max":
        return f"max({left}, {right})"
    return f"({left}){operator}({right})"


class Dim:
    """A size known only when the program runs.

    Example:

    >>> b = symbol("b")
    >>> 2 * b + 1 - b
    b + 1
    >>> (b * 6) // 3, b == symbol("b"), b + 1 > b
    (2*b, True, True)
    >>> (2 * b + 1).evaluate({"b": 4})
    9
    """

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: Mapping):
        self.terms = tuple(sorted(terms.items(), key=lambda t: (-sum(p for _, p in t[0]), str(t[0]))))
        self._hash = hash(self.terms)

    def __hash__(self):
        return self._hash

    def __reduce__(self):
        return Dim, (dict(self.terms),)  # hashes of names differ from process to process

    def __eq__(self, other):
        return isinstance(other, Dim) and self.terms == other.terms

    def __add__(self, other):
        return _sum((self, 1), (other, 1)) if _is_size(other) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other):
        return _sum((self, 1), (other, -1)) if _is_size(other) else NotImplemented

    def __rsub__(self, other):
        return _sum((other, 1), (self, -1)) if _is_size(other) else NotImplemented

    def __neg__(self):
        return _sum((self, -1))

    def __mul__(self, other):
        if type(other) is int:  # most often, and then the order of the terms stays
            if other in (0, 1):
                return self if other else 0
            return ordered_dim(tuple((monomial, other * coefficient) for monomial, coefficient in self.terms))
        if not _is_size(other):
            return NotImplemented
        terms: dict = {}
        for m1, c1 in self.terms:
            for m2, c2 in _terms(other):
                powers = dict(m1)
                for atom, power in m2:
                    powers[atom] = powers.get(atom, 0) + power
                key = tuple(sorted(powers.items(), key=str))
                terms[key] = terms.get(key, 0) + c1 * c2
        return _normal(terms)

    __rmul__ = __mul__

    def __floordiv__(self, other):
        if not _is_size(other):
            return NotImplemented
        _refuse_zero(other, f"{self} // {other}")
        exact = divide_exactly(self, other)
        return _opaque("//", self, other) if exact is None else exact

    def __rfloordiv__(self, other):
        return _opaque("//", other, self) if _is_size(other) else NotImplemented

    def __mod__(self, other):
        if not _is_size(other):
            return NotImplemented
        _refuse_zero(other, f"{self} % {other}")
        return 0 if divide_exactly(self, other) is not None else _opaque("%", self, other)

    def __rmod__(self, other):
        return _opaque("%", other, self) if _is_size(other) else NotImplemented

    def __ge__(self, other):
        return _decide(self - other, f"{self} >= {other}")

    def __gt__(self, other):
        return _decide(self - other - 1, f"{self} > {other}")

    def __le__(self, other):
        return _decide(other - self, f"{self} <= {other}")

    def __lt__(self, other):
        return _decide(other - self - 1, f"{self} < {other}")

    def __bool__(self):
        return _decide(self - 1, f"{self} > 0")

    def __index__(self):
        raise ShapeError(
            f"The size '{self}' is known only when the program runs, so it cannot be used as a Python integer.",
            got=f"dimension {self}",
            expected="a size that is fixed when the graph is built",
            mend="use ops.shape(x)[axis] inside ops, or give the size in Input(shape=...) / batch_shape=...",
        )

    __int__ = __index__

    def symbols(self) -> frozenset[str]:
        """Names of all symbols in this dimension."""
        names: set[str] = set()
        for monomial, _ in self.terms:
            for atom, _ in monomial:
                if isinstance(atom, str):
                    names.add(atom)
                else:
                    names |= dim_symbols(atom[1]) | dim_symbols(atom[2])
        return frozenset(names)

    def evaluate(self, env: Mapping[str, int]) -> int:
        """The size for given values of the symbols. Raises KeyError for a missing symbol."""
        return int(self.substitute(env)) if self.symbols() <= env.keys() else self._missing(env)

    def _missing(self, env):
        raise KeyError(sorted(self.symbols() - env.keys())[0])

    def substitute(self, env: Mapping[str, "int | Dim"]) -> "int | Dim":
        """The dimension with symbols replaced by sizes or other dimensions."""
        total: int | Dim = 0
        for monomial, coefficient in self.terms:
            product: int | Dim = coefficient
            for atom, power in monomial:
                product = product * _atom_value(atom, env) ** power
            total = total + product
        return total

    def __pow__(self, power: int):
        if not isinstance(power, int) or power < 0:
            return NotImplemented
        result: int | Dim = 1
        for _ in range(power):
            result = self * result
        return result

    def __repr__(self):
        text = ""
        for monomial, coefficient in self.terms:
            factors = [_atom_text(atom) for atom, power in monomial for _ in range(power)]
            if abs(coefficient) != 1 or not factors:
                factors.insert(0, str(abs(coefficient)))
            if len(factors) > 1 or coefficient < 0:  # 2*((b)//(3)) is not 2*(b)//(3), nor -((b)//(3)) the same as -(b)//(3)
                factors = [f"({f})" if f.startswith("(") else f for f in factors]
            sign = "-" if coefficient < 0 else "+"
            text += (f" {sign} " if text else ("-" if coefficient < 0 else "")) + "*".join(factors)
        return text


def ordered_dim(terms) -> Dim:
    """The dimension of terms that are in order already."""
    dim = Dim.__new__(Dim)
    dim.terms, dim._hash = terms, hash(terms)
    return dim


def _is_size(value) -> bool:
    return isinstance(value, (int, Dim, np.integer)) and not isinstance(value, bool)


def _atom_value(atom, env):
    if isinstance(atom, str):
        return env.get(atom, symbol(atom))
    operator, left, right = atom[0], substitute(atom[1], env), substitute(atom[2], env)
    if operator == "max":
        return dim_max(left, right)
    return left // right if operator == "//" else left % right


def _terms(value):
    if isinstance(value, Dim):
        return value.terms
    return (((), int(value)),) if value else ()


def _normal(terms):
    terms = {m: c for m, c in terms.items() if c}
    if not terms:
        return 0
    if tuple(terms) == ((),):
        return terms[()]
    return Dim(terms)


def _sum(*scaled):
    terms: dict = {}
    for value, scale in scaled:
        for monomial, coefficient in _terms(value):
            terms[monomial] = terms.get(monomial, 0) + scale * coefficient
    return _normal(terms)


def _opaque(operator, left, right):
    return Dim({(((operator, left, right), 1),): 1})


def _refuse_zero(divisor, question):
    if not isinstance(divisor, Dim) and divisor == 0:
        raise ShapeError(f"A size is divided by zero: {question}.", got=question, expected="a divisor that is not zero")


def _lower_bound(dim) -> int | float:
    """A number that the dimension is never below, as large as is easily seen; sizes are never negative."""
    bound = 0
    for monomial, coefficient in _terms(dim):
        if not monomial:
            bound += coefficient
            continue
        least = 1
        for atom, power in monomial:
            low = _atom_lower_bound(atom)
            if low < 0:
                return float("-inf")
            least *= low**power
        if coefficient < 0:
            return float("-inf")
        bound += coefficient * least
    return bound


def _atom_lower_bound(atom) -> int | float:
    if isinstance(atom, str):
        return 0
    operator, left, right = atom
    if operator == "max":
        return max(_lower_bound(left), _lower_bound(right))
    if _lower_bound(right) < 0 or right == 0:
        return float("-inf")
    if operator == "%":
        return 0  # has the sign of its divisor
    low = _lower_bound(left)
    return low if low < 0 else (low // right if not isinstance(right, Dim) else 0)


def _decide(difference, question) -> bool:
    if not isinstance(difference, Dim):
        return difference >= 0
    if _lower_bound(difference) >= 0:
        return True
    if _lower_bound(-difference) >= 1:
        return False
    raise ShapeError(
        f"Whether {question} holds depends on sizes that are known only when the program runs.",
        got=question,
        expected="sizes that decide it when the graph is built",
        mend="fix the size in Input(shape=...) / batch_shape=..., or avoid the comparison",
    )


def symbol(name: str) -> Dim:
    """The dimension with this name."""
    return Dim({((name, 1),): 1})


def divide_exactly(dividend, divisor):
    """dividend / divisor where the polynomial division leaves no remainder, else None.

    >>> divide_exactly(6 * symbol("b"), 2 * symbol("b")), divide_exactly(symbol("b"), 2)
    (3, None)
    """
    if not isinstance(dividend, Dim) and not isinstance(divisor, Dim):
        return dividend // divisor if divisor and dividend % divisor == 0 else None
    divisor_terms = _terms(divisor)
    if len(divisor_terms) != 1:
        if dividend == divisor:
            return 1
        return None
    (monomial, coefficient) = divisor_terms[0]
    if not monomial:
        if any(c % coefficient for _, c in dividend.terms):
            return None
        return ordered_dim(tuple((m, c // coefficient) for m, c in dividend.terms))
    terms: dict = {}
    for m, c in _terms(dividend):
        powers = dict(m)
        for atom, power in monomial:
            powers[atom] = powers.get(atom, 0) - power
        if c % coefficient or any(p < 0 for p in powers.values()):
            return None
        terms[tuple(sorted(((a, p) for a, p in powers.items() if p), key=str))] = c // coefficient
    return _normal(terms)


def dim_max(left, right):
    """The larger of two dimensions, decided now where possible."""
    if not isinstance(left, Dim) and not isinstance(right, Dim):
        return max(left, right)
    try:
        return left if left >= right else right
    except ShapeError:
        return _opaque("max", left, right)


def dim_symbols(value) -> frozenset[str]:
    """Symbols of a dimension, an int, or any nesting of tuples and lists of them (slices too)."""
    if isinstance(value, Dim):
        return value.symbols()
    if isinstance(value, (tuple, list)):
        return frozenset().union(*map(dim_symbols, value)) if value else frozenset()
    return frozenset()


def substitute(value, env: Mapping[str, "int | Dim"]):
    """`value` (dimension, or nested tuples of anything) with symbols replaced."""
    if isinstance(value, Dim):
        return value.substitute(env)
    if isinstance(value, tuple):
        return tuple(substitute(v, env) for v in value)
    return value


def size(shape: Iterable) -> "int | Dim":
    """Number of elements of a shape.

    >>> size((symbol("b"), 3, 2))
    6*b
    """
    total: int | Dim = 1
    for dim in shape:
        total = dim * total
    return total


def parse_dim(text: str) -> "int | Dim":
    """Reads what `repr` of a dimension prints.

    >>> parse_dim("2*b + 1") == 2 * symbol("b") + 1
    True
    """
    operators = {ast.Add: "__add__", ast.Sub: "__sub__", ast.Mult: "__mul__", ast.FloorDiv: "__floordiv__", ast.Mod: "__mod__"}

    def read(node):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.Name):
            return symbol(node.id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -read(node.operand)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "max" and len(node.args) == 2:
            return dim_max(*map(read, node.args))
        if isinstance(node, ast.BinOp) and type(node.op) in operators:
            left, right = read(node.left), read(node.right)
            name = operators[type(node.op)]
            if isinstance(left, int) and isinstance(right, Dim):
                return getattr(right, "__r" + name[2:])(left)
            return getattr(left, name)(right)
        raise ShapeError(f"'{text}' is not a dimension.", got=text, expected="a polynomial such as 2*b + 1")

    try:
        return read(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError):
        raise ShapeError(f"'{text}' is not a dimension.", got=text, expected="a polynomial such as 2*b + 1") from None
