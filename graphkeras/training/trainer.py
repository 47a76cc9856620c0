"""Trainer: compile, fit, evaluate and predict; a base class of `Model`."""

import warnings

import numpy as np

from graphkeras import config, ops, optimizers
from graphkeras import metrics as metrics_module
from graphkeras.autodiff import GradientTape
from graphkeras.callbacks import CallbackList
from graphkeras.callbacks.callback_list import floats
from graphkeras.data.arrays import arrays_of, class_weight_to_sample_weights, number_of_samples, train_validation_split
from graphkeras.data.packing import pack_x_y_sample_weight, unpack_x_y_sample_weight
from graphkeras.data.sources import make_source
from graphkeras.ir.errors import ArgumentError
from graphkeras.layers.tracking import not_tracking
from graphkeras.trace import StatelessScope, convert_to_tensor, settings
from graphkeras.training.building import symbolic_build
from graphkeras.training.checks import check_labels
from graphkeras.training.compile_loss import CompileLoss
from graphkeras.training.compile_metrics import CompileMetrics
from graphkeras.training.legacy import CompiledLoss, CompiledMetrics
from graphkeras.training.runner import PredictRunner, Runner
from graphkeras.training.step import Step, leaves_of


class Trainer:
    """What a model needs to be trained.

    Subclasses may override `train_step(data)`, `test_step(data)` and `predict_step(data)` (or in JAX style with `state, data`),
    `compute_loss`, `compute_metrics` and the property `metrics`. All of them are traced and compiled unless `run_eagerly`.
    """

    def __init__(self):
        with not_tracking():
            self._run_eagerly = False
            self.compiled = False
            self.loss = None
            self.optimizer = None
            self.steps_per_execution = 1
            self.stop_training = self.stop_evaluating = self.stop_predicting = False
            self._compile_loss = self._compile_metrics = self._loss_tracker = None
            self._compile_arguments = {}
            self._steps = {}

    # Compile

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
        auto_scale_loss=True,
    ):
        """Configures the model for training.

        Args:
            optimizer: an optimizer, or its name.
            loss: a loss, its name, or a function of targets and predictions; for several outputs a list of them, or a dict
                from names of outputs.
            loss_weights: factors of the losses in their sum.
            metrics: a list of metrics, names or functions; for several outputs a list of lists, or a dict.
            weighted_metrics: like `metrics`, for metrics that take sample weights into account.
            run_eagerly: whether steps run op by op, e.g. to debug them.
            steps_per_execution: number of steps between two calls of the hooks of callbacks for batches.
            jit_compile: kept for compatibility: steps are compiled unless `run_eagerly`.
            auto_scale_loss: kept for compatibility.

        Example:

        >>> import graphkeras as keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer="sgd", loss="mse", metrics=["mae"])
        >>> model.compiled
        True
        """
        if jit_compile is True and run_eagerly:
            warnings.warn(
                "If `run_eagerly` is True, then `jit_compile` cannot also be True. Disabling `jit_compile`.", stacklevel=2
            )
            jit_compile = False
        names = getattr(self, "output_names", None)
        arguments = {
            "optimizer": optimizers.get(optimizer),
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        }
        has_metrics = metrics is not None or weighted_metrics is not None
        compile_loss = None if loss is None else CompileLoss(loss, loss_weights, output_names=names)
        compile_metrics = CompileMetrics(metrics, weighted_metrics, output_names=names) if has_metrics else None
        with not_tracking():
            self.optimizer = arguments["optimizer"]
            self.loss = loss
            self._compile_loss, self._compile_metrics = compile_loss, compile_metrics
            self._loss_tracker = metrics_module.Mean(name="loss")
            self._run_eagerly = run_eagerly
            self.jit_compile = jit_compile
            self.steps_per_execution = steps_per_execution
            self.stop_training = False
            self._compile_arguments = arguments
            self._steps = {}
        self.compiled = True

    @property
    def run_eagerly(self) -> bool:
        """Whether steps run op by op."""
        return self._run_eagerly

    @run_eagerly.setter
    def run_eagerly(self, value):
        self._run_eagerly = bool(value)

    def get_compile_config(self):
        """The arguments of `compile`, as plain data; empty where it was not called."""
        from graphkeras.saving import serialize_keras_object

        return serialize_keras_object(dict(self._compile_arguments))

    def compile_from_config(self, config):
        """Calls `compile` with the arguments of a config, and makes the optimizer's variables."""
        from graphkeras.saving import deserialize_keras_object

        self._compile_again(deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def _compile_again(self, arguments):
        """Calls `compile` with the arguments of another model; says so where a class has a `compile` of its own."""
        if type(self).compile is Trainer.compile:
            self.compile(**arguments)
            return
        warnings.warn(
            "`compile()` was not called as part of model loading because the model's `compile()` method is custom. "
            "Override `get_compile_config()` and `compile_from_config(config)` too, or call `compile()` after loading.",
            stacklevel=3,
        )

    def _assert_compiled(self, method):
        if not self.compiled:
            raise ArgumentError(
                "You must call `compile()` before using the model.",
                got=f"{method}() of model '{self.name}', which is not compiled",
                mend="call model.compile(optimizer=..., loss=...) first",
            )

    # Metrics

    @property
    def metrics(self):
        """All metrics: the mean of the loss, those given to `compile`, those of single losses, and those held by layers."""
        found = []
        if self.compiled:
            found.append(self._loss_tracker)
            if self._compile_metrics is not None:
                found.append(self._compile_metrics)
            if self._compile_loss is not None:
                found.extend(self._compile_loss.metrics)
        found += [m for layer in self._flat_layers() for m in layer._metrics]
        return list({id(m): m for m in found}.values())

    @property
    def metrics_names(self):
        """The names of `metrics`."""
        return [metric.name for metric in self.metrics]

    @property
    def metrics_variables(self):
        """The variables of `metrics`, in order."""
        return [v for metric in self.metrics for v in metric.variables]

    def reset_metrics(self):
        """Starts all metrics anew."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self):
        """The results of all metrics by name."""
        results = {}
        for metric in self.metrics:
            if isinstance(metric, CompileMetrics) and not metric.built:
                continue
            result = metric.result()
            results.update(result if isinstance(result, dict) else {metric.name: result})
        return results

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the metrics given to `compile` by a batch, and returns the results of all metrics."""
        if self._compile_metrics is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of a batch: that given to `compile`, plus those that layers have added."""
        terms = []
        if self._compile_loss is not None:
            loss = self._compile_loss(y, y_pred, sample_weight)
            if loss is not None:
                terms.append(loss)
        terms += [ops.sum(convert_to_tensor(loss, settings.floatx())) for loss in self.losses]
        if not terms:
            raise ArgumentError(
                "No loss to compute.",
                got="neither a loss in compile() nor one added by a layer",
                expected="a loss",
                mend="provide a `loss` argument in `compile()`",
            )
        total = terms[0]
        for term in terms[1:]:
            total = ops.add(total, term)
        return total

    def stateless_compute_loss(
        self,
        trainable_variables,
        non_trainable_variables,
        metrics_variables,
        x=None,
        y=None,
        y_pred=None,
        sample_weight=None,
        training=True,
    ):
        """`compute_loss` for given values of all variables; returns the loss and the new values of the three groups."""
        groups = [self.trainable_variables, self.non_trainable_variables, self.metrics_variables]
        values = [trainable_variables, non_trainable_variables, metrics_variables]
        mapping = [pair for group, given in zip(groups, values) for pair in zip(group, given)]
        with StatelessScope(state_mapping=mapping) as scope:
            loss = self._call_compute_loss(x, y, y_pred, sample_weight, training)
        return loss, (trainable_variables, *([scope.get_current_value(v) for v in group] for group in groups[1:]))

    def _call_compute_loss(self, x, y, y_pred, sample_weight, training):
        import inspect

        if "training" in inspect.signature(self.compute_loss).parameters:
            return self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        return self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)

    @property
    def compiled_loss(self):
        """The loss given to `compile`, as in older versions of Keras: it also updates the mean of the loss."""
        return CompiledLoss(self)

    @property
    def compiled_metrics(self):
        """The metrics given to `compile`, as in older versions of Keras."""
        return CompiledMetrics(self)

    # Steps

    def train_step(self, data):
        """Trains on one batch: forward, loss, gradients, update of the weights and metrics. Returns the metrics by name."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with GradientTape() as tape:
            y_pred = self._call_model(x, training=True)
            loss = self._tracked_loss(x, y, y_pred, sample_weight, training=True)
            scaled = loss if self.optimizer is None else self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        if weights:
            self.optimizer.apply_gradients(zip(tape.gradient(scaled, weights), weights))
        else:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, data):
        """Evaluates one batch. Returns the metrics by name."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self._call_model(x, training=False)
        self._tracked_loss(x, y, y_pred, sample_weight, training=False)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data):
        """The outputs for one batch."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self._call_model(x, training=False)

    def _call_model(self, x, training):
        return self(x, training=training) if self._call_takes_training() else self(x)

    def _call_takes_training(self) -> bool:
        import inspect

        parameters = inspect.signature(self.call).parameters.values()
        return any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters)

    def _tracked_loss(self, x, y, y_pred, sample_weight, training):
        loss = self._call_compute_loss(x, y, y_pred, sample_weight, training)
        batch = convert_to_tensor(leaves_of(x)[0].spec.shape[0], self._loss_tracker.dtype)
        self._loss_tracker.update_state(loss, sample_weight=batch)
        return loss

    def _step(self, mode) -> Step:
        if mode not in self._steps:
            self._steps[mode] = Step(self, mode)
        return self._steps[mode]

    def _symbolic_build(self, batch):
        symbolic_build(self, batch)

    def _result_as_logs(self, result) -> dict:
        return floats(result if isinstance(result, dict) else {} if result is None else {"loss": result})

    def _epoch_logs(self, runner) -> dict:
        """Runs an epoch; results of the metrics where the step returned those of the same names, else what it returned."""
        logs = self._result_as_logs(runner.epoch())
        if runner.is_undisturbed and self._returns_metrics(runner.step.mode):
            return logs  # the last step has returned what the metrics hold
        own = floats(self.get_metrics_result())
        return own if set(own) == set(logs) else logs

    def _returns_metrics(self, mode) -> bool:
        names = (f"{mode}_step", "compute_metrics", "get_metrics_result", "metrics")
        return all(getattr(type(self), name) is getattr(Trainer, name) and name not in self.__dict__ for name in names)

    # Fit, evaluate, predict

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
    ):
        """Trains the model.

        Args:
            x: arrays (or nested lists, tuples, dicts of them), a `data.Dataset`, a `PyDataset`, or an iterable of batches.
            y: targets, where x are arrays.
            batch_size: samples per step; 32 where None.
            epochs: number of the last epoch.
            verbose: "auto" or 1: a bar, 2: a line per epoch, 0: nothing.
            callbacks: list of callbacks.
            validation_split: share of the arrays, from their end, that is kept for validation.
            validation_data: data for validation: `(x, y)`, `(x, y, sample_weight)`, or anything x may be.
            shuffle: whether samples have another order in each epoch.
            class_weight: dict from class number to the weight of its samples.
            sample_weight: one weight per sample, or per output and sample.
            initial_epoch: number of the first epoch.
            steps_per_epoch: steps per epoch; all that the data give where None.
            validation_steps, validation_batch_size: as above, for validation.
            validation_freq: validation after every so many epochs, or a list of numbers of epochs (from 1).

        Returns:
            A `History`; its `history` is a dict of lists, one entry per epoch.

        Raises:
            DataError, ArgumentError: for data and arguments that do not fit; nothing has been changed then.
        """
        self._assert_compiled("fit")
        if config.max_epochs() and config.max_epochs() < epochs:
            epochs = config.max_epochs()
            warnings.warn(f"Limiting epochs to {epochs}", stacklevel=2)
        if validation_split and validation_data is None:
            x, y = arrays_of(x, "x"), None if y is None else arrays_of(y, "y")
            sample_weight = None if sample_weight is None else arrays_of(sample_weight, "sample_weight")
            (x, y, sample_weight), validation_data = train_validation_split(x, y, sample_weight, validation_split)
        source = make_source(x, y, sample_weight, batch_size, steps_per_epoch, shuffle, class_weight)
        validation = self._validation_source(validation_data, validation_batch_size or batch_size, validation_steps)
        self._check_validation_freq(validation_freq)
        callbacks = self._callback_list(callbacks, verbose, epochs, source.num_batches, add_history=True)
        runner = Runner(self, self._step("train"), source, callbacks, "stop_training")
        runner.prepare()
        evaluation = None
        if validation is not None:
            evaluation = Runner(self, self._step("test"), validation, callbacks, "stop_evaluating")
            evaluation.prepare()
        self.stop_training = False
        callbacks.on_train_begin()
        logs = {}
        for epoch in range(initial_epoch, epochs):
            self.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            logs = self._epoch_logs(runner)
            if evaluation is not None and _is_due(epoch + 1, validation_freq):
                logs.update({f"val_{name}": value for name, value in self._evaluate(evaluation).items()})
            callbacks.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        for each in (runner, evaluation):
            if each is not None:
                each.close()
        if isinstance(self.optimizer, optimizers.Optimizer) and epochs > 0:
            self.optimizer.finalize_variable_values(self.trainable_weights)
        callbacks.on_train_end(logs)
        return self.history

    def _validation_source(self, validation_data, batch_size, steps):
        if validation_data is None:
            return None
        if isinstance(validation_data, (tuple, list)):
            x, y, sample_weight = unpack_x_y_sample_weight(validation_data)
            return make_source(x, y, sample_weight, batch_size, steps)
        return make_source(validation_data, steps=steps)

    @staticmethod
    def _check_validation_freq(validation_freq):
        if not isinstance(validation_freq, (int, list, tuple, set)):
            raise ArgumentError(
                "Expected `validation_freq` to be a list or int.",
                got=f"validation_freq={validation_freq!r} of type {type(validation_freq).__name__}",
            )

    def _callback_list(self, callbacks, verbose, epochs, steps, add_history=False):
        if isinstance(callbacks, CallbackList):
            return callbacks
        return CallbackList(
            callbacks,
            add_history=add_history,
            add_progbar=verbose != 0,
            model=self,
            verbose=verbose,
            epochs=epochs,
            steps=steps,
        )

    def _evaluate(self, runner) -> dict:
        callbacks = runner.callbacks
        self.stop_evaluating = False
        callbacks.on_test_begin()
        self.reset_metrics()
        runner.source.reset()
        logs = self._epoch_logs(runner)
        callbacks.on_test_end(logs)
        return logs

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """The loss and metrics on data.

        Args:
            x, y, batch_size, verbose, sample_weight, callbacks: as for `fit`.
            steps: number of batches; all where None.
            return_dict: whether a dict is returned.

        Returns:
            The loss, or a list of the loss and the metrics in the order of `metrics_names`, or a dict.
        """
        self._assert_compiled("evaluate")
        if kwargs:
            raise ArgumentError(f"Arguments not recognized: {kwargs}", got=str(sorted(kwargs)))
        source = make_source(x, y, sample_weight, batch_size, steps)
        callbacks = self._callback_list(callbacks, verbose, 1, source.num_batches)
        runner = Runner(self, self._step("test"), source, callbacks, "stop_evaluating")
        runner.prepare()
        logs = self._evaluate(runner)
        runner.close()
        return logs if return_dict else self._in_order(logs)

    def _in_order(self, logs):
        names = []
        for metric in self.metrics:
            names += [m.name for m in metric.metrics] if isinstance(metric, CompileMetrics) else [metric.name]
        values = [logs[name] for name in names if name in logs]
        values += [logs[name] for name in sorted(logs) if name not in names]
        return values[0] if len(values) == 1 else values

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """The outputs of the model for all samples, as NumPy arrays.

        Args:
            x, batch_size, verbose, steps, callbacks: as for `evaluate`.
        """
        source = make_source(x, batch_size=batch_size, steps=steps)
        callbacks = self._callback_list(callbacks, verbose, 1, source.num_batches)
        runner = PredictRunner(self, self._step("predict"), source, callbacks, "stop_predicting")
        self.stop_predicting = False
        callbacks.on_predict_begin()
        outputs = runner.outputs()
        callbacks.on_predict_end()
        return outputs

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One step of training on one batch; returns loss and metrics of this batch like `evaluate`."""
        return self._on_batch("train", x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Loss and metrics of one batch, like `evaluate`."""
        return self._on_batch("test", x, y, sample_weight, None, return_dict)

    def _on_batch(self, mode, x, y, sample_weight, class_weight, return_dict):
        self._assert_compiled(f"{mode}_on_batch")
        if class_weight is not None and sample_weight is not None:
            raise ArgumentError("Arguments `sample_weight` and `class_weight` cannot be specified at the same time.")
        x, y = arrays_of(x, "x"), None if y is None else arrays_of(y, "y")
        if class_weight is not None:
            sample_weight = class_weight_to_sample_weights(y, class_weight)
        elif sample_weight is not None:
            sample_weight = arrays_of(sample_weight, "sample_weight")
        number_of_samples(x, y, sample_weight)
        data = pack_x_y_sample_weight(x, y, sample_weight)
        step = self._step(mode)
        if step.prepared(data) is None:
            self._symbolic_build(data)
        check_labels(self._compile_loss, data)
        self.reset_metrics()
        logs = self._result_as_logs(step(data))
        return logs if return_dict else self._in_order(logs)

    def predict_on_batch(self, x):
        """The outputs for one batch, as NumPy arrays."""
        x = arrays_of(x, "x")
        return self._step("predict")(pack_x_y_sample_weight(x))


def _is_due(epoch, validation_freq) -> bool:
    return epoch % validation_freq == 0 if isinstance(validation_freq, (int, np.integer)) else epoch in validation_freq
