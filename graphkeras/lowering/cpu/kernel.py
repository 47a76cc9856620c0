"""What lowering hands to the runtime: kernel source, and a description of its argument block."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from graphkeras.ir.dtypes import itemsize
from graphkeras.ir.node import Node, Value, VariableRef

if TYPE_CHECKING:
    from graphkeras.schedule.groups import Group


@dataclass(frozen=True)
class Temporary:
    """Memory that the kernels of one group share and nobody else sees.

    Args:
        name: unique in the program.
        nbytes: size (int or Dim).
    """

    name: str
    nbytes: object


@dataclass(frozen=True)
class Address:
    """Argument: address of an element of an array.

    Args:
        source: the value (or temporary) that the array holds, or the variable that is written.
        offset: element that the pointer points at (int or Dim).
        itemsize: bytes per element.
    """

    source: Value | Temporary | VariableRef
    offset: object = 0
    itemsize: int = 1

    @classmethod
    def of(cls, value: Value, offset=0) -> "Address":
        return cls(value, offset, itemsize(value.dtype))


@dataclass(frozen=True)
class KernelAddress:
    """Argument: address of another kernel of the program, which this one calls."""

    kernel: "LoweredKernel"


@dataclass(frozen=True)
class BlockAddress:
    """Argument: address of another kernel's argument block, or of one of its cells."""

    kernel: "LoweredKernel"
    cell: int = 0


@dataclass(frozen=True)
class Moving:
    """Argument: an address that a loop sets anew before each of its steps.

    Args:
        address: an element of the sub-graph's input or result.
    """

    address: Address


@dataclass(frozen=True)
class Computed:
    """Argument or size that a function finds from the sizes: `function(*dims with their values)`.

    As an argument it may be an array of 64-bit integers: its address is passed, and it lives as long as the binding.
    """

    function: object
    dims: tuple


@dataclass(frozen=True)
class ErrorSite:
    """A place in a kernel that can report an error; its code is its place in the list + 1."""

    node: Node
    low: object
    high: object
    what: str


@dataclass(eq=False)
class LoweredKernel:
    """One kernel of a program.

    Attributes:
        name: readable name.
        kind: kind of its group.
        body: canonical source; decides about the object code.
        args: what stands in its argument block after the error slot: `Address`, `Moving`, `KernelAddress`, `BlockAddress`,
            `Computed`, int or Dim.
        units: length of its range (int, Dim or Computed).
        alignment: shares of the range begin at multiples of this.
        scratch: bytes per thread (int, Dim or Computed).
        notes: for each line of `body`, what is said beside it.
        group: the group it belongs to.
        errors: places that can report an error.
        called: True for tile kernels, which other kernels call; they have no row in the table.
        serial: True where one thread must run it.
        jumps: True where it leaves in its first cell how many rows further the program goes on (see `lowering.cpu.control`).
        region: loops and branches it lies in, the outermost first.
        bundle: number of the bundle of updates that it is in: kernels of a bundle do not depend on each other, and may run at the same
            time; 0 where it is in none.
        until: the last kernel of the loop that it opens: what its arguments point to lives until then.
        flops, bytes: cost (int or Dim).
    """

    name: str
    kind: str
    body: str
    args: tuple
    units: object
    group: "Group"
    alignment: int = 1
    scratch: object = 0
    notes: dict = field(default_factory=dict)
    errors: tuple = ()
    called: bool = False
    serial: bool = False
    jumps: bool = False
    region: tuple = ()
    until: "LoweredKernel | None" = None
    bundle: int = 0
    flops: object = 0
    bytes: object = 0

    @property
    def phase(self) -> int:
        return self.group.phase

    @property
    def steps(self) -> object:
        """The most steps (int or Dim) of the loop that it opens; 0 where it opens none."""
        return self.args[2] if self.until is not None else 0

    @property
    def readable(self) -> str:
        """The source with a head that says where it comes from, and a comment above what each node becomes."""
        lines = [f"# {self.name}: {self.kind} kernel of {len(self.group.nodes)} node(s), phase {self.phase}"]
        for node in self.group.nodes:
            lines.append(f"#   {_one_line(node)}")
        lines += [f"#   args[{i}] = {_describe(arg)}" for i, arg in enumerate(self.args, 1)]
        for number, line in enumerate(self.body.splitlines()):
            indent = line[: len(line) - len(line.lstrip())]
            lines += [f"{indent}# {note}" for note in self.notes.get(number, ())]
            lines.append(line)
        return "\n".join(lines) + "\n"


def _one_line(node: Node) -> str:
    text = " ".join(f"{node!r}".split())
    origin = " ".join(str(node.origin).split())
    return f"{text}    {origin}" if origin else text


def _describe(arg) -> str:
    if isinstance(arg, Address):
        source = arg.source
        name = f"{source!r} {source.spec}" if isinstance(source, (Value, VariableRef)) else f"temporary {source.name}"
        return f"address of {name}" + (f" + {arg.offset}" if arg.offset != 0 else "")
    if isinstance(arg, KernelAddress):
        return f"address of kernel {arg.kernel.name}"
    if isinstance(arg, BlockAddress):
        return f"argument block of {arg.kernel.name}" + (f", cell {arg.cell}" if arg.cell else "")
    if isinstance(arg, Moving):
        return f"in this step, {_describe(arg.address)}"
    if isinstance(arg, Computed):
        return f"{arg.function.__name__}({', '.join(map(str, arg.dims))})"
    return str(arg)
