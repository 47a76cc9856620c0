"""Makes all variables of a model, its losses and metrics, without running anything."""

from graphkeras.data.packing import unpack_x_y_sample_weight
from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.errors import TraceError
from graphkeras.ir.spec import TensorSpec
from graphkeras.trace import BATCH, trace_call


def symbolic_build(model, batch) -> None:
    """Builds what is not built yet: layers, the containers of losses and metrics, and the optimizer.

    A model whose call decides by values of tensors is left to be built by its first step.
    """
    from graphkeras.training.step import leaves_of, with_leaves

    optimizer = getattr(model, "optimizer", None)
    containers = [c for c in (model._compile_loss, model._compile_metrics) if c is not None]
    if not all(layer.built for layer in model._flat_layers()) or not all(c.built for c in containers):
        specs = [TensorSpec((BATCH, *a.shape[1:]), dtype_name(a.dtype)) for a in leaves_of(batch)]

        def forward(*tensors):
            x, y, _ = unpack_x_y_sample_weight(with_leaves(batch, tensors))
            y_pred = model._call_model(x, training=False)
            for container in containers:
                if y is not None and not container.built:
                    container.build(y, y_pred)
            return y_pred

        try:
            trace_call(forward, specs)
        except TraceError:
            return
        except NotImplementedError:
            # A model with a train_step of its own need not have a call.
            if type(model).train_step is _base_train_step():
                raise
    if optimizer is not None and not optimizer.built and model.trainable_variables:
        optimizer.build(model.trainable_variables)


def _base_train_step():
    from graphkeras.training.trainer import Trainer

    return Trainer.train_step
