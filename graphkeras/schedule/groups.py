"""Groups: the nodes that become one kernel (or a few), with their costs and reasons."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Node, Value
from graphkeras.schedule.layout import Layout
from graphkeras.schedule.space import REDUCTIONS, Space


@dataclass
class Group:
    """Nodes that are lowered together.

    Attributes:
        index: place in the schedule.
        kind: "pointwise", "row", "column", "contraction", or the op's name for groups of one node that is none of these.
        nodes: in topological order.
        outputs: values that others read or that the graph returns; they are stored.
        phase: 1, or 2 for groups that write variables or depend on such.
        space: the iteration space, None for groups of one node that has none.
        prologues: of a contraction: for each operand that is made as the kernel reads it, the space of the nodes that make it.
        flops, bytes: cost of one run (int or Dim).
        bodies: for a node with sub-graphs their schedules.
        bundle: number of the bundle of updates that it is in (see `schedule.bundles`); 0 where it is in none.
        rows: of a scan whose rows never meet (see `schedule.rows`), their number (int or Dim); None where a step is one of all rows.
        placed: outputs that are stored as parts of another array, and where in it (see `schedule.placing`).
        is_placed: of a concatenation: whether those who make its parts store them in their places, so that nothing is left to do.
    """

    nodes: list[Node]
    space: Space | None = None
    index: int = -1
    outputs: list[Value] = field(default_factory=list)
    phase: int = 1
    flops: object = 0
    bytes: object = 0
    bodies: tuple["Schedule", ...] = ()
    prologues: dict[int, Space] = field(default_factory=dict)
    bundle: int = 0
    rows: object = None
    placed: dict[Value, tuple[Value, Layout]] = field(default_factory=dict)
    is_placed: bool = False

    @property
    def kind(self) -> str:
        if self.space is None:
            return self.nodes[0].op
        if self.space.tiled is not None:
            return "contraction"
        if not self.space.split:
            return "pointwise"
        return "row" if self.space.reduces_rows else "column"

    @property
    def has_epilogue(self) -> bool:
        """Of a contraction: whether anything is done with its tiles but to store them."""
        return len(self.space.nodes) > 1

    @property
    def writes(self) -> list[Node]:
        """Assignments among the nodes."""
        return [n for n in self.nodes if n.op == "assign_variable"]

    def reads(self, resolve) -> Iterator[tuple[Node, Value, Layout]]:
        """Each node with an array that it reads from memory, and how. What a prologue makes is there for its own nodes alone: the
        tiles of the same contraction may read it, too."""
        parts = [self.space.nodes, *(space.nodes for space in self.prologues.values())] if self.space else [self.nodes]
        for nodes in parts:
            inside = {n.id for n in nodes}
            for node in nodes:
                made = self.prologues if self.space and node is self.space.tiled else ()
                for position, (base, layout) in enumerate(map(resolve, node.inputs)):
                    if base.node.id not in inside and position not in made:
                        yield node, base, layout

    @property
    def reductions(self) -> list[Node]:
        return [n for n in self.nodes if n.op in REDUCTIONS]

    def __repr__(self):
        return f"<{self.kind} group {self.index}: {', '.join(f'%{n.id} {n.op}' for n in self.nodes)}>"


@dataclass(frozen=True)
class Refusal:
    """A fusion that did not happen, and why; of a loop with itself: that of its steps, block of rows by block of rows."""

    node: Node
    other: Node
    reason: str

    def __str__(self):
        if self.node is self.other:
            return f"%{self.node.id} {self.node.op} takes each step with all rows: {self.reason}"
        return f"%{self.node.id} {self.node.op} stays apart from %{self.other.id} {self.other.op}: {self.reason}"


@dataclass
class Schedule:
    """Groups in the order in which they run.

    Attributes:
        graph: the graph they compute, after the schedule's own preparations.
        groups: in order; those of phase 2 come last.
        refusals: fusions that were considered and declined.
        resolve: finds the array behind a value.
    """

    graph: Graph
    groups: list[Group]
    refusals: list[Refusal]
    resolve: object

    def __str__(self):
        lines = [f"schedule of {self.graph.name}: {len(self.groups)} groups"]
        for group in self.groups:
            place = f"phase {group.phase}" + (f", bundle {group.bundle}" if group.bundle else "")
            lines.append(f"  [{group.index}] {place} {group.kind}: {group.flops} FLOP, {group.bytes} bytes")
            lines += [f"      {node!r}" for node in group.nodes]
            lines += ["    " + line for body in group.bodies for line in str(body).splitlines()]
        return "\n".join([*lines, *(f"  refused: {r}" for r in self.refusals)])
