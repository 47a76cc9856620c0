"""The sweep over every registered op, as a table: the largest error of compiled results per family.

    python -m graphkeras.testing.survey [--samples N] [OP ...]

Each op is checked on its hand-written samples, N random ones, and special values where it is elementwise: inference, tracing, text
form, expansion and gradients of first and second order; compiled, fused and strict, with 1, 2 and 3 threads; compiled against
NumPy. Ends with an error where anything is not as it must be.
"""

import argparse
import sys
import warnings
from dataclasses import dataclass, field

from graphkeras.ir.registry import REGISTRY, OpDef, Sample
from graphkeras.testing import sweep, variations
from graphkeras.testing.accuracy import Error, family
from graphkeras.testing.compiled import THREADS, check_compiled


@dataclass
class Row:
    """One family.

    Attributes:
        ops: names of its ops.
        samples: how many were compiled.
        ulps, share: the largest error in ULP, and as a share of its bound, each with the op where it occurred.
    """

    ops: list[str] = field(default_factory=list)
    samples: int = 0
    ulps: tuple[float, str] = (0.0, "")
    share: tuple[float, str] = (0.0, "")

    def add(self, name: str, errors: list[Error]) -> None:
        """Takes in one op."""
        self.ops += [] if name in self.ops else [name]
        self.samples += len(errors)
        for error in errors:
            which = "ulps" if error.unit == "ULP" else "share"
            if error.amount > getattr(self, which)[0]:
                setattr(self, which, (error.amount, name))


def compiled_samples(record: OpDef, count: int = variations.COUNT) -> list[Sample]:
    """All samples of an op to compile: hand-written, random, and special values."""
    special = variations.special_samples(record) if record.kind == "elementwise" and record.name != "check_range" else ()
    return [*sweep.all_samples(record, count), *special]


def check_meaning(record: OpDef, sample: Sample) -> None:
    """All that can be checked without compiling."""
    sweep.check_inference(record, sample)
    sweep.check_tracing(record, sample)
    sweep.check_sample_gradients(record, sample)
    if record.kind == "composite":
        sweep.check_expansion(record, sample)


def survey(names=None, count: int = variations.COUNT, tell=lambda line: None) -> tuple[dict[str, Row], list[str]]:
    """Runs the sweep.

    Args:
        names: ops; all by default.
        count: random samples per op.
        tell: gets a line per op.

    Returns:
        Family -> row, and what failed.
    """
    rows: dict[str, Row] = {}
    failures = []
    for name in sorted(REGISTRY) if not names else names:
        record = REGISTRY[name]
        for number, sample in enumerate(sweep.all_samples(record, count)):
            try:
                check_meaning(record, sample)
            except Exception as error:
                failures.append(f"{name}, sample {number}: {type(error).__name__}: {error}")
        samples = compiled_samples(record, count)
        if not samples:
            continue
        try:
            errors = check_compiled(record, samples)
        except Exception as error:
            failures.append(f"{name}, compiled: {type(error).__name__}: {error}")
            continue
        rows.setdefault(family(record), Row()).add(name, errors)
        worst = max(errors, key=lambda e: e.amount)
        tell(f"{name:<24} {len(samples):>4} samples  {worst.amount:.3g} {worst.unit}")
    return rows, failures


def table(rows: dict[str, Row]) -> str:
    """The rows as text."""
    lines = [f"{'family':<20} {'ops':>4} {'samples':>8} {'ULP':>6}  {'in':<18} {'error/bound':>11}  in"]
    for name, row in sorted(rows.items()):
        (ulps, at), (share, where) = row.ulps, row.share
        lines.append(
            f"{name:<20} {len(row.ops):>4} {row.samples:>8} {ulps:>6.2f}  {at or '-':<18} {f'{share:.3f}' if where else '-':>11}  {where}"
        )
    lines.append(f"{'all':<20} {sum(len(r.ops) for r in rows.values()):>4} {sum(r.samples for r in rows.values()):>8}")
    return "\n".join(lines)


def main(arguments=None) -> int:
    """The command."""
    import graphkeras.ops  # noqa: F401  (fills the registry)

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ops", nargs="*", help="names of ops; all by default")
    parser.add_argument("--samples", type=int, default=variations.COUNT, help="random samples per op")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", RuntimeWarning)
    rows, failures = survey(options.ops, options.samples, lambda line: print(line, flush=True))
    print(f"\nthreads {', '.join(map(str, THREADS))}, fused and strict\n{table(rows)}")
    for failure in failures:
        print(f"\nFAILED {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
