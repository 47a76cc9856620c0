"""The order of passes, and why."""

import difflib
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from graphkeras.debug import flags
from graphkeras.ir.graph import Graph
from graphkeras.ir.registry import REGISTRY
from graphkeras.ir.text import print_graph
from graphkeras.ir.verify import verify as verify_graph
from graphkeras.passes.engine import PassContext, PassReport, Rule, apply_rules
from graphkeras.passes.engine.context import DEFAULT_NUMERIC
from graphkeras.passes.joint.algebra import ALGEBRA
from graphkeras.passes.joint.checkpoints import inline_checkpoints
from graphkeras.passes.joint.control import hoist_invariants, merge_scans, prune_control
from graphkeras.passes.joint.cse import cse
from graphkeras.passes.joint.dce import dce
from graphkeras.passes.joint.dims import DIMS
from graphkeras.passes.joint.folding import fold_constants
from graphkeras.passes.joint.pads import join_pads
from graphkeras.passes.joint.pools import POOLS
from graphkeras.passes.joint.views import VIEWS
from graphkeras.passes.post_grad.barriers import BARRIERS
from graphkeras.passes.post_grad.expand import expand_composites
from graphkeras.passes.pre_grad.crossentropy import CROSSENTROPY
from graphkeras.passes.pre_grad.stability import STABILITY

_MOST_ROUNDS = 20
_dump_numbers = itertools.count()


@dataclass(frozen=True)
class Pass:
    """One stage of a pipeline.

    Args:
        name: as reports and flags show it.
        apply: `(graph, context) -> graph`.
        reason: why it stands where it stands.
        kinds: names of the rules (or other kinds of change) that may be left out one by one.
        needed: whether the lowering cannot do without it.
    """

    name: str
    apply: Callable[[Graph, PassContext], Graph]
    reason: str
    kinds: tuple[str, ...] = ()
    needed: bool = False


@dataclass(frozen=True)
class Repeat:
    """Stages that are run in turn until a whole round changes nothing."""

    stages: tuple[Pass, ...]


def rules_pass(name: str, rules: Sequence[Rule], reason: str) -> Pass:
    """A pass that applies a table of rules."""
    return Pass(name, lambda graph, context: apply_rules(graph, rules, context), reason, tuple(r.name for r in rules))


SIMPLIFY = Repeat(
    (
        Pass("fold_constants", fold_constants, "first, so that rules see the constants that come out"),
        rules_pass("rules", (*DIMS, *VIEWS, *ALGEBRA, *POOLS), "one table, for each family makes work for the others: views hide operands"),
        Pass("cse", cse, "last of the round: the rules have made equal what means the same, and `f(x, x)` needs equal nodes"),
    )
)

PRE_GRAD = (
    Pass("cse", cse, "patterns with one value in two places need equal nodes to be one"),
    rules_pass(
        "crossentropy",
        CROSSENTROPY,
        "needs softmax and sigmoid as the user wrote them; the gradient is then that of the logits; off by default",
    ),
    rules_pass(
        "stability", STABILITY, "before other rules take the patterns apart; the gradients become stable, too; off by default"
    ),
    SIMPLIFY,  # what is gone now needs no gradient
    Pass("dce", dce, "writes of unchanged values need not be carried through differentiation"),
)
JOINT = (
    Pass(
        "inline_checkpoints",
        inline_checkpoints,
        "all gradients that must not see inside have been formed; what follows looks for work in the whole graph",
        needed=True,
    ),
    Pass("merge_scans", merge_scans, "before others: it knows scans of one body by the nodes in it, which they make anew"),
    SIMPLIFY,  # forward, backward and optimizer are one graph here: shared work is found across them
    Pass("join_pads", join_pads, "gradients of slices are summed up here, and their parts are whole again"),
    Pass("prune_control", prune_control, "constants that came up have made captures and results needless"),
    Pass("dce", dce, "an optimizer may have left values as they were"),
)
POST_GRAD = (
    rules_pass("barriers", BARRIERS, "all gradients exist: barriers to them only hide producers from other rules"),
    Pass(
        "expand_composites",
        expand_composites,
        "their closed-form gradients have been used; the lowering knows primitives only",
        needed=True,
    ),
    SIMPLIFY,  # what the expansions of forward and backward have in common becomes one
    Pass("prune_control", prune_control, "what is left is what runs"),
    Pass("hoist_invariants", hoist_invariants, "composites hide what does not change"),
    SIMPLIFY,  # what came out of loops may stand there already
    Pass("dce", dce, "last, so that nothing that does nothing is scheduled"),
)


# A traced step holds its gradients already: rewrites of a forward computation that the backward one cannot see come too late.
WITH_GRADIENTS = (*JOINT, *POST_GRAD)


def run(
    graph: Graph,
    stages: Iterable["Pass | Repeat"] = WITH_GRADIENTS,
    *,
    numeric=DEFAULT_NUMERIC,
    verify: bool | None = None,
    dump: str | None = None,
    context: PassContext | None = None,
) -> tuple[Graph, list[PassReport]]:
    """Runs passes.

    Args:
        graph: the graph; it stays as it is.
        stages: `PRE_GRAD` before gradients are formed, then `JOINT` and `POST_GRAD`; by default those two.
        numeric: numeric classes of the rules that may be used.
        verify: verify the graph before the first and after each pass that changed it; by default the flag VERIFY.
        dump: folder for a numbered text file per pass that changed the graph; by default the flag DUMP.
        context: instead of `numeric`, to let a rewrite limit count through several runs.

    Returns:
        The new graph, and the report of each pass in the order in which they ran.

    Raises:
        GraphError: from the verifier, naming the pass.
    """
    runner = _Runner(
        context or PassContext(numeric),
        flags.VERIFY.value if verify is None else verify,
        flags.DUMP.value if dump is None else dump,
    )
    _check_names(context.disabled if context else flags.DISABLE_PASSES.value, stages := tuple(stages))
    runner.look("the trace", graph)
    for stage in stages:
        graph = runner.repeat(stage, graph) if isinstance(stage, Repeat) else runner.once(stage, graph)
    return graph, runner.reports


def _check_names(disabled, stages):
    """Raises FlagError for names that are no pass, rule or op, and for passes that nothing can run without."""
    if not disabled:
        return
    passes = [
        p for stage in (*PRE_GRAD, *JOINT, *POST_GRAD, *stages) for p in (stage.stages if isinstance(stage, Repeat) else [stage])
    ]
    known = {name for p in passes for name in (p.name, *p.kinds)} | {
        "merge",
        "effect without effect",
        "assign own value",
        "prune",
        "hoist",
        "pads_to_concatenate",
        *REGISTRY,
    }
    for name in sorted(disabled):
        needed = any(p.needed and p.name == name for p in passes)
        if needed or name not in known:
            near = ", ".join(difflib.get_close_matches(name, known)) or "names as reports show them"
            raise flags.FlagError(
                f"{flags.DISABLE_PASSES.variable}: '{name}' {'cannot be left out' if needed else 'is no pass and no rule'}.\n"
                f"  got:      {name!r}\n  expected: {'another pass or rule' if needed else near}\n"
                "  mend:     take the name out"
            )


class _Runner:
    def __init__(self, context, verify, dump):
        self.context, self.verify, self.dump = context, verify, dump
        self.reports: list[PassReport] = []
        self.seen: dict[Callable, Graph] = {}

    def repeat(self, group, graph):
        for _ in range(_MOST_ROUNDS):
            before = graph
            for stage in group.stages:
                graph = self.once(stage, graph)
            if graph is before:
                return graph
        self.reports[-1].notes.append(f"still changing after {_MOST_ROUNDS} rounds")
        return graph

    def once(self, stage, graph):
        # Every pass is at rest after it has run: what it gave back, it need not see again.
        if stage.name in self.context.disabled or self.seen.get(stage.apply) is graph:
            return graph
        with self.context.reporting(stage.name, graph) as report:
            changed = stage.apply(graph, self.context)
            report.nodes_after = len(changed.nodes)
        self.seen[stage.apply] = changed
        self.reports.append(report)
        if changed is not graph:
            self.look(stage.name, changed)
            if flags.DEBUG.value >= 3:
                print(report, file=sys.stderr)
        return changed

    def look(self, name, graph):
        if self.verify:
            verify_graph(graph, after=f"pass {name}")
        if flags.DEBUG.value >= 5:
            print(f"# after {name}\n{graph}", file=sys.stderr)
        if self.dump:
            os.makedirs(self.dump, exist_ok=True)
            title = re.sub(r"[^A-Za-z0-9_]+", "_", f"{graph.name[:80]}_{name}")
            with open(
                os.path.join(self.dump, f"{next(_dump_numbers):04d}_{title}.txt"), "w", encoding="utf-8", errors="backslashreplace"
            ) as file:
                file.write(print_graph(graph, origins=True) + "\n")
