"""Runner: takes a step over the batches of an epoch, natively for arrays, and calls back as often as is asked for."""

import time

import numpy as np

from graphkeras.data.sources import ArraySource
from graphkeras.trace import BATCH, tree
from graphkeras.training.checks import check_labels
from graphkeras.training.step import leaves_of

# A progress bar is drawn again after this many seconds of native steps.
_BAR_SECONDS = 0.1


class Runner:
    """Runs epochs of a step over a source of data.

    Args:
        model: the model; its attribute `stop_<...>` ends the epoch.
        step: the `Step`.
        source: `ArraySource` or `IterableSource`.
        callbacks: a `CallbackList`.
        stop: name of the model's attribute that ends the epoch.

    Attributes:
        is_undisturbed: whether the last epoch ran natively, and no code of others since its last step.
    """

    def __init__(self, model, step, source, callbacks, stop):
        self.model, self.step, self.source, self.callbacks = model, step, source, callbacks
        self._stop = stop
        self._epoch = self._compiled = None
        self.is_undisturbed = False

    def prepare(self):
        """Traces and compiles the step for the data, and checks the data, before anything is changed."""
        first = self.source.first
        self._compiled = self.step.prepared(first, isinstance(self.source, ArraySource))
        if self._compiled is None and self.step.mode != "predict":
            self.model._symbolic_build(first)
        self._check(self.source.data if isinstance(self.source, ArraySource) else first)

    def _check(self, data):
        if self.step.mode != "predict":
            check_labels(self.model._compile_loss, data)

    @property
    def _stopped(self) -> bool:
        return getattr(self.model, self._stop, False)

    def epoch(self):
        """One epoch; returns what the last step returned (None where there was no batch)."""
        self.is_undisturbed = False
        if not isinstance(self.source, ArraySource):
            return self._iterate(self.source.epoch(), check=True)
        order, numbers = self.source.epoch_batches()
        self._compiled = self.step.prepared(self.source.first, is_whole=True)
        if self._compiled is None:
            return self._iterate((self.source.batch(i, order) for i in numbers), check=False)
        return self._native(order, numbers)

    def _iterate(self, batches, check):
        """Runs the step batch by batch, with the hooks around each `steps_per_execution` batches."""
        first, group, result = 0, [], None
        for number, batch in enumerate(batches):
            if check:
                self._check(batch)
            if not group:
                first = number
                self._begin(first)
            group.append(self.step(batch))
            if len(group) == self._hooked_steps:
                result, group = self._ended(first, group), []
                if self._stopped:
                    break
        return self._ended(first, group) if group else result

    @property
    def _hooked_steps(self) -> int:
        """Number of batches between two calls of the hooks."""
        return max(1, self.model.steps_per_execution)

    def _ended(self, first, group):
        self._end(first + self._hooked_steps - 1, group[-1])
        return group[-1]

    def _native(self, order, numbers):
        program = self._compiled.program
        if self._epoch is None or self._epoch.program is not program:
            self._epoch = program.epoch(leaves_of(self.source.data), batch_size=self.source.batch_size)
        self._epoch.take_order(order)
        total, done, result = len(numbers), 0, None
        hooks = self.callbacks.wants_batches(self.step.mode)
        self.is_undisturbed = not hooks and total > 0
        bar = None if hooks else self.callbacks.progress
        chunk = self._hooked_steps if hooks else (1 if bar is not None and bar.verbose == 1 else total)
        while done < total and not self._stopped:
            steps = min(chunk, total - done)
            first = done
            if hooks:
                self._begin(first)
            start = time.perf_counter()
            outcome = self._epoch.run_steps(numbers.start + done, steps)
            seconds = time.perf_counter() - start
            done += outcome.steps
            result = self._compiled.packed(outcome.outputs)
            if hooks:
                self._end(first + chunk - 1, result)
            elif bar is not None and bar.verbose == 1:
                self._end(done - 1, result)
                chunk = max(1, int(steps * min(_BAR_SECONDS / max(seconds, 1e-9), 8)))
        return result

    def close(self):
        """Gives back what the next run over data of the same form can use."""
        if self._epoch is not None:
            self._epoch.program.keep_epoch(self._epoch)
            self._epoch = None

    def _begin(self, number):
        getattr(self.callbacks, f"on_{self.step.mode}_batch_begin")(number)

    def _end(self, number, result):
        logs = {"outputs": result} if self.step.mode == "predict" else self._logs(result)
        getattr(self.callbacks, f"on_{self.step.mode}_batch_end")(number, logs)

    def _logs(self, result):
        return self.model._result_as_logs(result)


class PredictRunner(Runner):
    """Collects the outputs of all batches."""

    def outputs(self):
        """Runs all batches; returns the outputs, joined along the first axis."""
        source = self.source
        if isinstance(source, ArraySource):
            if source.available == 1 and not self.callbacks.wants_batches("predict"):
                compiled = self._compiled = self.step.prepared(source.first)
                if compiled is not None:
                    return self._shown(compiled(leaves_of(source.data)))
            joined = self._collected()
            if joined is not None:
                return self._shown(joined)
            batches = (source.batch(i, None) for i in range(min(source.num_batches, source.available)))
        else:
            batches = source.epoch()
        self._parts = []
        self._iterate(batches, check=False)
        return tree.map_structure(_joined, *self._parts)

    def _ended(self, first, group):
        outputs = tree.map_structure(_joined, *group)
        self._parts.append(outputs)
        self._end(first + self._hooked_steps - 1, outputs)
        return outputs

    def _shown(self, outputs):
        if self.callbacks.progress is not None:
            self.callbacks.on_predict_batch_end(self.source.num_batches - 1, {})
        return outputs

    def _collected(self):
        """All outputs from one native call, where each has the batch as its first axis and nobody asks for single batches."""
        source = self.source
        if source.num_batches < source.available or self.callbacks.wants_batches("predict"):
            return None
        compiled = self._compiled = self.step.prepared(source.first, is_whole=True)
        if compiled is None or not all(spec.rank and spec.shape[0] == BATCH for spec in compiled.program.output_specs):
            return None
        epoch = compiled.program.epoch(leaves_of(source.data), batch_size=source.batch_size, collect=True)
        outputs = compiled.packed(epoch.run(None).outputs)
        compiled.program.keep_epoch(epoch)
        return outputs


def _joined(*parts):
    return parts[0] if len(parts) == 1 else np.concatenate([np.atleast_1d(p) for p in parts])
