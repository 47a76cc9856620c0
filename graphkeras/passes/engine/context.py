"""What a pass may do, and the record of what it did."""

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from graphkeras.debug import flags

NUMERIC_CLASSES = {
    "exact": "every element keeps its bits (which NaN a NaN is does not count)",
    "sign_of_zero": "a zero may change its sign",
    "keras": "elements may round differently in the last place; TensorFlow's graph optimizer makes the same rewrite",
    "rounding": "elements may round differently; infinities and NaN stay where they are for inputs of moderate size",
    "nonfinite": "elements may also become finite where they were not, or the other way round",
}
DEFAULT_NUMERIC = frozenset({"exact", "sign_of_zero", "keras"})


@dataclass
class RuleCount:
    """How one rule fared: replacements made, matches that came to nothing, and the time it took in seconds."""

    applied: int = 0
    declined: int = 0
    seconds: float = 0.0


@dataclass
class PassReport:
    """What one pass did.

    Args:
        name: of the pass.
        nodes_before, nodes_after: number of nodes, those of sub-graphs not included.
        seconds: how long it took.
        rules: counts by name of rule (or of other kinds of change).
        notes: one line each on what a reader should know.
    """

    name: str
    nodes_before: int = 0
    nodes_after: int = 0
    seconds: float = 0.0
    rules: dict[str, RuleCount] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def applied(self) -> int:
        """Number of changes made."""
        return sum(count.applied for count in self.rules.values())

    def count(self, name: str, times: int = 1) -> None:
        """Adds changes of one kind."""
        self.rules.setdefault(name, RuleCount()).applied += times

    def __str__(self):
        lines = [f"{self.name}: {self.nodes_before} -> {self.nodes_after} nodes, {self.seconds * 1e3:.2f} ms"]
        for name, count in self.rules.items():
            if count.applied or count.declined:
                declined = f", declined {count.declined}" if count.declined else ""
                lines.append(f"  {name}: {count.applied}{declined}, {count.seconds * 1e3:.2f} ms")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


class PassContext:
    """The permissions of a run of passes: shared by all of its passes, so that a rewrite limit counts through all of them.

    Args:
        numeric: the numeric classes that may be used (see `NUMERIC_CLASSES`).
        disabled: names of passes and rules to leave out; by default those of the flag DISABLE_PASSES.
        limit: rewrites that may be made in all, -1 for any number; by default the flag REWRITE_LIMIT.
    """

    def __init__(self, numeric=DEFAULT_NUMERIC, disabled=None, limit=None):
        self.numeric = frozenset(numeric)
        self.disabled = frozenset(flags.DISABLE_PASSES.value if disabled is None else disabled)
        self.limit = flags.REWRITE_LIMIT.value if limit is None else limit
        self.made = 0
        self.report = PassReport("passes")
        self.trace = flags.DEBUG.value >= 6

    def allows(self, name: str, numeric: str = "exact") -> bool:
        """Whether a rule (or kind of change) may be used now."""
        return numeric in self.numeric and name not in self.disabled and (self.limit < 0 or self.made < self.limit)

    def made_one(self, name: str, before: str = "", after: str = "") -> None:
        """Notes one rewrite."""
        self.made += 1
        self.report.count(name)
        if self.trace:
            print(f"rewrite {self.made}: {name}: {before} -> {after}", file=sys.stderr)

    @contextmanager
    def reporting(self, name: str, graph):
        """A new report for one pass; the caller sets `nodes_after`."""
        outer, self.report = self.report, PassReport(name, nodes_before=len(graph.nodes))
        start = time.perf_counter()
        try:
            yield self.report
        finally:
            self.report.seconds = time.perf_counter() - start
            self.report = outer
