"""Progbar: the line that shows how far a run has come."""

import os
import sys
import time

from graphkeras.ir.errors import ArgumentError

_BOLD, _GREEN, _WHITE, _PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"


def write(text: str) -> None:
    """Writes to the standard output, in plain ASCII where its encoding knows no bars."""
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write(text.replace("━", "=").encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


class Progbar:
    """Progress bar.

    Args:
        target: number of steps; None where it is not known.
        width: width of the bar in characters.
        verbose: 0 silent, 1 a bar that moves, 2 one line at the end.
        interval: least time between two updates, in seconds.
        stateful_metrics: names of metrics that are shown as they are; the others are averaged over steps.
        stateless_metrics: names of metrics that are averaged; the others are shown as they are.
        unit_name: what a step is called.

    Example:

    >>> bar = Progbar(2, verbose=2)
    >>> bar.update(2, [("loss", 0.5)])
    2/2 - 0s - ... - loss: 0.5000
    """

    def __init__(
        self,
        target,
        width=20,
        verbose=1,
        interval=0.05,
        stateful_metrics=None,
        stateless_metrics=None,
        unit_name="step",
    ):
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ArgumentError(
                "Only one of `stateful_metrics` or `stateless_metrics` can be given.",
                got=f"stateful_metrics={stateful_metrics!r}, stateless_metrics={stateless_metrics!r}",
            )
        self.target, self.width, self.verbose, self.interval, self.unit_name = target, width, verbose, interval, unit_name
        self._averaged = None if stateless_metrics is None else set(stateless_metrics)
        self._kept = set(stateful_metrics or ())
        self._moves = (
            (hasattr(sys.stdout, "isatty") and sys.stdout.isatty())
            or "ipykernel" in sys.modules
            or "posix" in sys.modules
            or "PYCHARM_HOSTED" in os.environ
        )
        self._seen = 0
        self._values: dict[str, tuple[float, float]] = {}  # name -> (sum, weight)
        self._start = time.time()
        self._last_update = 0.0
        self._after_first_step = None
        self._shown_width = 0

    def due(self) -> bool:
        """Whether a bar that moves would be drawn again now."""
        return self.verbose == 1 and time.time() - self._last_update >= self.interval

    def update(self, current, values=None, finalize=None):
        """Shows a step.

        Args:
            current: number of steps done.
            values: pairs of name and value.
            finalize: whether this is the last update; by default when the target is reached.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            self._take(name, value, current, finalize)
        self._seen = current
        now = time.time()
        per_step = self._time_per_step(current, now)
        if self.verbose == 1:
            if now - self._last_update < self.interval and not finalize:
                return
            self._draw(current, now, per_step, finalize)
        elif self.verbose == 2 and finalize and self.target:
            count = f"{current:{len(str(self.target))}d}/{self.target}"
            write(f"{count} - {now - self._start:.0f}s -{self._duration(per_step)}{self._metrics()}\n")
        self._last_update = now

    def add(self, n, values=None):
        """Shows n more steps."""
        self.update(self._seen + n, values)

    def _take(self, name, value, current, finalize):
        averaged = name in self._averaged if self._averaged is not None else name not in self._kept
        if not averaged or finalize:
            self._values[name] = (value, 1)
            return
        weight = max(current - self._seen, 1)
        total, count = self._values.get(name, (0, 0))
        self._values[name] = (total + value * weight, count + weight)

    def _draw(self, current, now, per_step, finalize):
        if self.target:
            count = f"{current:{len(str(self.target))}d}/{self.target}"
            filled = int(self.width * current / self.target)
            empty = self.width - filled
            green = f"{_GREEN}{'━' * filled}{_PLAIN}" if filled else ""
            bar, bar_width = f"{_BOLD}{count}{_PLAIN} {green}{_WHITE}{'━' * empty}{_PLAIN}", len(count) + 1 + self.width
        else:
            bar = f"{current:7d}/Unknown"
            bar_width = len(bar)
        if self.target and not finalize:
            clock = self._clock(per_step * (self.target - current))
        else:
            clock = f"{now - self._start:.0f}s"
        rest = self._duration(per_step) + self._metrics()
        width = bar_width + 1 + len(clock) + len(rest)
        text = ("\b" * self._shown_width + "\r") if self._moves else "\n"
        text += f"{bar} {_BOLD}{clock}{_PLAIN}{rest}"
        text += " " * max(self._shown_width - width, 0)
        write(text + ("\n" if finalize else ""))
        self._shown_width = width

    def _metrics(self):
        parts = []
        for name, (total, count) in self._values.items():
            mean = _number(total) / max(1, count)
            parts.append(f" - {name}: {mean:.4f}" if abs(mean) > 1e-3 else f" - {name}: {mean:.4e}")
        return "".join(parts)

    @staticmethod
    def _clock(seconds):
        if seconds > 3600:
            return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d}:{int(seconds % 60):02d}"
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}" if seconds > 60 else f"{int(seconds)}s"

    def _duration(self, per_step):
        if per_step >= 1 or per_step == 0:
            return f" {per_step:.0f}s/{self.unit_name}"
        if per_step >= 1e-3:
            return f" {per_step * 1e3:.0f}ms/{self.unit_name}"
        return f" {per_step * 1e6:.0f}us/{self.unit_name}"

    def _time_per_step(self, current, now):
        # The first step contains the compilation, so it is left out as soon as there are others.
        if not current:
            return 0
        if self._after_first_step is not None and current > 1:
            duration = (now - self._after_first_step) / (current - 1)
        else:
            duration = (now - self._start) / current
        if current == 1:
            self._after_first_step = now
        return duration


def _number(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        import numpy as np

        return float(np.mean(value))
