"""Plans as bytes and back. The format is JSON for the tables and raw bytes for constants: reading it builds numbers, tuples and our own
records, and never runs anything.

A function of sizes (`Computed`) is stored as its name, with its value for the sizes that the program was first used with: a process
that uses it with the same sizes need not import the lowering. Only functions of `graphkeras.lowering.cpu` are looked up.
"""

import importlib
import json
import math
import struct
import sys
from dataclasses import fields
from types import FunctionType

import numpy as np

from graphkeras.ir.dims import Dim, ordered_dim
from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.node import Value, VariableRef
from graphkeras.ir.spec import TensorSpec
from graphkeras.lowering.cpu.kernel import (
    Address,
    BlockAddress,
    Computed,
    KernelAddress,
    LoweredKernel,
    Moving,
    Temporary,
)
from graphkeras.runtime.errors import StaleProgramError
from graphkeras.runtime.memory import aligned_copy
from graphkeras.runtime.plan import Plan
from graphkeras.runtime.sizes import Equal, evaluated

_LENGTH = struct.Struct("<Q")
_MOST_CONSTANT_BYTES = 16 << 20
_FUNCTIONS = "graphkeras.lowering.cpu."
_LEFT_OUT = {"body", "notes", "group", "errors"}  # for people, and for messages: made again when somebody looks
_STORED = [f.name for f in fields(LoweredKernel) if f.name not in _LEFT_OUT]


class NotStorable(Exception):
    """A plan holds something that cannot be written down; the text says what."""


class Malformed(ValueError):
    """Bytes are no plan."""


def encode(plan: Plan, keys: list[str], variables, sizes: dict[str, int]) -> bytes:
    """A plan as bytes.

    Args:
        plan: the plan.
        keys: of its kernels in the kernel cache.
        variables: references in the order in which the reader will give them.
        sizes: symbol -> size, of a typical use.

    Raises:
        NotStorable: with the reason.
    """
    return _Encoder(plan, keys, list(variables), sizes).data()


def decode(data: bytes, variables) -> tuple[Plan, list[str]]:
    """The plan that `encode` wrote, and the keys of its kernels.

    Raises:
        Malformed: the bytes are something else.
    """
    try:
        return _Decoder(data, list(variables)).plan()
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error, RecursionError) as error:
        raise Malformed(f"{type(error).__name__}: {error}") from error


class _Encoder:
    def __init__(self, plan, keys, variables, sizes):
        self.plan, self.keys, self.variables, self.sizes = plan, keys, variables, sizes
        self.numbers = {kernel: i for i, kernel in enumerate(plan.kernels)}
        self.dims: dict[Dim, int] = {}
        self.dim_rows: list = []
        self.arrays: dict = {}
        self.array_rows: list = []
        self.regions: dict[int, int] = {}
        self.blobs: list[bytes] = []

    def data(self) -> bytes:
        plan = self.plan
        for kernel in plan.kernels:
            for site in kernel.errors:
                if hasattr(site, "call"):
                    raise NotStorable(f"'{site.node.op}' runs on the host (NumPy)")
        document = {
            "name": plan.name,
            "inputs": [[name, *self.spec(spec)] for name, spec in zip(plan.input_names, plan.input_specs)],
            "outputs": [self.spec(spec) for spec in plan.output_specs],
            "variables": [self.variable(reference) for reference in plan.variables],
            "written": [self.variable(reference) for reference in plan.written],
            "kernels": [
                [key, kernel.phase, *(self.value(getattr(kernel, name)) for name in _STORED)]
                for key, kernel in zip(self.keys, plan.kernels, strict=True)
            ],
            "in_place": [
                [self.numbers[kernel], [[self.array(new), self.array(old)] for new, old in pairs]]
                for kernel, pairs in plan.in_place.items()
                if pairs
            ],
            "constraints": [[self.value(c.left), self.value(c.right)] for c in plan.constraints],
            "arrays": self.array_rows,
            "dims": self.dim_rows,
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        return b"".join([_LENGTH.pack(len(text)), text, *self.blobs])

    def variable(self, reference):
        return self.variables.index(reference)

    def spec(self, spec):
        return [spec.dtype, self.value(spec.shape)]

    def value(self, value):
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if isinstance(value, np.integer):
            return int(value)
        if kind is float and math.isfinite(value):
            return value
        if kind is tuple:
            return [self.value(v) for v in value]
        if kind is Dim:
            return {"d": self.dim(value)}
        if kind is Address:
            return {"a": [self.array(value.source), self.value(value.offset), value.itemsize]}
        if kind is Moving:
            return {"m": self.value(value.address)}
        if kind is KernelAddress:
            return {"k": self.numbers[value.kernel]}
        if kind is BlockAddress:
            return {"b": [self.numbers[value.kernel], value.cell]}
        if kind is Computed:
            known = [int(evaluated(dim, self.sizes)) for dim in value.dims]
            result = value.function(*known)
            if isinstance(result, np.ndarray):
                result = -1  # a table: made when it is asked for
            return {"c": [self.function(value.function), self.value(tuple(value.dims)), known, int(result)]}
        if kind is LoweredKernel:
            return {"l": self.numbers[value]}
        if kind.__name__ == "Region":
            return {"r": self.regions.setdefault(id(value), len(self.regions))}
        raise NotStorable(f"a kernel's table holds a {kind.__name__}")

    def function(self, function):
        inner = getattr(function, "function", None)
        if inner is not None:
            return [function.dtype, self.function(inner)[1]]
        module, name = function.__module__, function.__qualname__
        if not module.startswith(_FUNCTIONS) or getattr(sys.modules[module], name, None) is not function:
            raise NotStorable(f"a size is computed by {module}.{name}, which has no name to find it by")
        return [None, f"{module[len(_FUNCTIONS) :]}:{name}"]

    def dim(self, dim):
        if dim not in self.dims:
            terms = [[c, [[self.atom(atom), power] for atom, power in monomial]] for monomial, c in dim.terms]
            self.dims[dim] = len(self.dim_rows)  # after the dimensions in it
            self.dim_rows.append(terms)
        return self.dims[dim]

    def atom(self, atom):
        return atom if isinstance(atom, str) else [atom[0], self.value(atom[1]), self.value(atom[2])]

    def array(self, source):
        if source not in self.arrays:
            self.arrays[source] = len(self.array_rows)
            self.array_rows.append(self.array_row(source))
        return self.arrays[source]

    def array_row(self, source):
        place = self.plan.sources.get(source)
        if isinstance(source, VariableRef):
            return ["variable", place, self.variable(source)]
        constant = self.plan.constants.get(source)
        if constant is not None:
            begin = sum(map(len, self.blobs))
            if begin + constant.nbytes > _MOST_CONSTANT_BYTES:
                raise NotStorable(f"its constants take more than {_MOST_CONSTANT_BYTES >> 20} MB")
            self.blobs.append(constant.tobytes())
            return ["constant", place, source.spec.dtype, list(constant.shape), begin]
        nbytes = source.spec.nbytes if isinstance(source, Value) else source.nbytes
        return ["array", place, self.value(nbytes)]


class _Group:
    """What a kernel from the cache still knows of its group."""

    __slots__ = ("nodes", "phase")

    def __init__(self, phase):
        self.phase, self.nodes = phase, ()


class _Function:
    """A function of `graphkeras.lowering.cpu`, found when it is first called."""

    def __init__(self, dtype, name, sizes, value):
        self._dtype, self.__name__ = dtype, name
        self._known = {sizes: value} if value >= 0 else {}
        module, _, function = name.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), function)):
            raise Malformed(f"no name of a function: {name!r}")
        self._found = None

    def __call__(self, *sizes):
        value = self._known.get(sizes)
        if value is not None:
            return value
        if self._found is None:
            self._found = self._look_up()
        return self._found(*sizes)

    def _look_up(self):
        module, _, name = self.__name__.partition(":")
        try:
            found = getattr(importlib.import_module(_FUNCTIONS + module), name)
        except (ImportError, AttributeError):
            found = None
        if type(found) is not FunctionType or found.__module__ != _FUNCTIONS + module:
            raise StaleProgramError(
                "a program from the cache asks for a function of sizes that there is not.",
                got=self.__name__,
                expected="a function of graphkeras.lowering.cpu",
                mend="empty the cache: python -m graphkeras cache clear",
            )
        if self._dtype is None:
            return found
        from graphkeras.lowering.cpu.conv_geometry import OfWalk

        return OfWalk(found, self._dtype)


class _Decoder:
    def __init__(self, data, variables):
        (length,) = _LENGTH.unpack_from(data)
        if length > len(data) - _LENGTH.size:
            raise Malformed("the table is cut off")
        self.document = json.loads(data[_LENGTH.size : _LENGTH.size + length])
        self.blob = memoryview(data)[_LENGTH.size + length :]
        self.variables = variables
        self.dims: list[Dim] = []
        self.regions: dict[int, object] = {}

    def plan(self):
        document = self.document
        for terms in document["dims"]:
            self.dims.append(ordered_dim(tuple((tuple((self.atom(a), p) for a, p in m), _int(c)) for c, m in terms)))
        self.kernels = [LoweredKernel("", "", "", (), 0, _Group(_int(row[1]))) for row in document["kernels"]]
        self.sources, self.constants = {}, {}
        self.arrays = [self.array(number, row) for number, row in enumerate(document["arrays"])]
        for kernel, row in zip(self.kernels, document["kernels"]):
            if row[1] not in (1, 2):
                raise Malformed(f"phase {row[1]}")
            for name, value in zip(_STORED, row[2:], strict=True):
                setattr(kernel, name, self.value(value))
        plan = Plan(
            name=_str(document["name"]),
            input_names=tuple(_str(row[0]) for row in document["inputs"]),
            input_specs=tuple(self.spec(row[1:]) for row in document["inputs"]),
            output_specs=tuple(self.spec(row) for row in document["outputs"]),
            variables=tuple(self.at(self.variables, i) for i in document["variables"]),
            written=tuple(self.at(self.variables, i) for i in document["written"]),
            kernels=self.kernels,
            sources=self.sources,
            constants=self.constants,
            in_place={
                self.at(self.kernels, i): [(self.at(self.arrays, new), self.at(self.arrays, old)) for new, old in pairs]
                for i, pairs in document["in_place"]
            },
            constraints=[Equal(self.value(left), self.value(right)) for left, right in document["constraints"]],
        )
        # References have places of their own, also those that are written only through other arrays.
        first = len(plan.input_specs) + len(plan.output_specs)
        for i, reference in enumerate(plan.variables):
            self.sources[reference] = first + i
        return plan, [_str(row[0]) for row in document["kernels"]]

    @staticmethod
    def at(things, index):
        if type(index) is not int or not 0 <= index < len(things):
            raise Malformed(f"index {index!r} of {len(things)}")
        return things[index]

    def atom(self, atom):
        if isinstance(atom, str):
            return atom
        operator, left, right = atom
        if operator not in ("//", "%", "max"):
            raise Malformed(f"operator {operator!r}")
        return (operator, self.value(left), self.value(right))

    def spec(self, row):
        dtype, shape = row
        numpy_dtype(dtype)
        return TensorSpec(self.value(shape), dtype)

    def value(self, value):
        kind = type(value)
        if kind is list:
            return tuple([self.value(v) for v in value])
        if kind is not dict:
            return value
        ((tag, held),) = value.items()
        if tag == "d":
            return self.at(self.dims, held)
        if tag == "a":
            array, offset, itemsize = held
            return Address(self.at(self.arrays, array), self.value(offset), _int(itemsize))
        if tag == "m":
            return Moving(self.value(held))
        if tag == "k":
            return KernelAddress(self.at(self.kernels, held))
        if tag == "b":
            return BlockAddress(self.at(self.kernels, held[0]), _int(held[1]))
        if tag == "c":
            (dtype, name), dims, sizes, value = held
            return Computed(_Function(dtype, _str(name), tuple(map(_int, sizes)), _int(value)), self.value(dims))
        if tag == "l":
            return self.at(self.kernels, held)
        if tag == "r":
            return self.regions.setdefault(_int(held), object())
        raise Malformed(f"tag {tag!r}")

    def array(self, number, row):
        kind, place = row[:2]
        if kind == "variable":
            return self.at(self.variables, row[2])
        if kind == "constant":
            dtype, shape, begin = row[2:]
            dtype = numpy_dtype(dtype)
            nbytes = math.prod(map(_int, shape)) * dtype.itemsize
            if begin < 0 or nbytes < 0 or begin + nbytes > len(self.blob):
                raise Malformed("a constant lies outside the data")
            source = Temporary(f"constant {number}", nbytes)
            self.constants[source] = aligned_copy(np.frombuffer(self.blob[begin : begin + nbytes], dtype).reshape(shape))
        else:
            source = Temporary(f"array {number}", self.value(row[2]))
        if place is not None:
            self.sources[source] = _int(place)
        return source


def _int(value):
    if type(value) is not int:
        raise Malformed(f"{value!r} is no integer")
    return value


def _str(value):
    if type(value) is not str:
        raise Malformed(f"{value!r} is no text")
    return value
