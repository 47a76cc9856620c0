"""Calls that are made in the same way with graphkeras and, for the golden file, with Keras."""

import numpy as np


def _rng():
    return np.random.default_rng(7)


def numbers():
    """Arrays that the cases share."""
    rng = _rng()
    probabilities = rng.uniform(0.05, 0.95, (6, 4)).astype("float32")
    probabilities /= probabilities.sum(-1, keepdims=True)
    return {
        "real": rng.normal(size=(6, 4)).astype("float32"),
        "other": rng.normal(size=(6, 4)).astype("float32"),
        "p": probabilities,
        "q": rng.uniform(0.05, 0.95, (6, 4)).astype("float32"),
        "binary": rng.integers(0, 2, (6, 4)).astype("float32"),
        "onehot": np.eye(4, dtype="float32")[rng.integers(0, 4, 6)],
        "labels": rng.integers(0, 4, (6,)).astype("int32"),
        "weight": rng.uniform(0.5, 1.5, (6,)).astype("float32"),
    }


# class name, arguments, target, prediction
LOSSES = [
    ("MeanSquaredError", {}, "other", "real"),
    ("MeanSquaredError", {"reduction": "sum"}, "other", "real"),
    ("MeanSquaredError", {"reduction": "none"}, "other", "real"),
    ("MeanSquaredError", {"reduction": "mean"}, "other", "real"),
    ("MeanSquaredError", {"reduction": "mean_with_sample_weight"}, "other", "real"),
    ("MeanAbsoluteError", {}, "other", "real"),
    ("MeanAbsolutePercentageError", {}, "other", "real"),
    ("MeanSquaredLogarithmicError", {}, "q", "p"),
    ("CosineSimilarity", {}, "other", "real"),
    ("Huber", {"delta": 0.7}, "other", "real"),
    ("LogCosh", {}, "other", "real"),
    ("Hinge", {}, "binary", "real"),
    ("SquaredHinge", {}, "binary", "real"),
    ("CategoricalHinge", {}, "onehot", "real"),
    ("KLDivergence", {}, "p", "q"),
    ("Poisson", {}, "q", "p"),
    ("BinaryCrossentropy", {}, "binary", "q"),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "binary", "real"),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True}, "binary", "q"),
    ("CategoricalCrossentropy", {}, "onehot", "p"),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, "onehot", "real"),
    ("CategoricalFocalCrossentropy", {}, "onehot", "p"),
    ("SparseCategoricalCrossentropy", {}, "labels", "p"),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, "labels", "real"),
    ("Dice", {}, "binary", "q"),
    ("Dice", {"axis": (1,)}, "binary", "q"),
    ("Tversky", {"alpha": 0.3, "beta": 0.7}, "binary", "q"),
]

METRICS = [
    ("Accuracy", {}, "binary", "binary"),
    ("BinaryAccuracy", {}, "binary", "q"),
    ("BinaryAccuracy", {"threshold": 0.3}, "binary", "q"),
    ("CategoricalAccuracy", {}, "onehot", "p"),
    ("SparseCategoricalAccuracy", {}, "labels", "p"),
    ("TopKCategoricalAccuracy", {"k": 2}, "onehot", "p"),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "labels", "p"),
    ("MeanSquaredError", {}, "other", "real"),
    ("RootMeanSquaredError", {}, "other", "real"),
    ("MeanAbsoluteError", {}, "other", "real"),
    ("MeanAbsolutePercentageError", {}, "other", "real"),
    ("MeanSquaredLogarithmicError", {}, "q", "p"),
    ("CosineSimilarity", {}, "other", "real"),
    ("LogCoshError", {}, "other", "real"),
    ("Hinge", {}, "binary", "real"),
    ("SquaredHinge", {}, "binary", "real"),
    ("CategoricalHinge", {}, "onehot", "real"),
    ("KLDivergence", {}, "p", "q"),
    ("Poisson", {}, "q", "p"),
    ("BinaryCrossentropy", {}, "binary", "q"),
    ("CategoricalCrossentropy", {}, "onehot", "p"),
    ("SparseCategoricalCrossentropy", {}, "labels", "p"),
    ("TruePositives", {"thresholds": [0.2, 0.5, 0.8]}, "binary", "q"),
    ("FalsePositives", {}, "binary", "q"),
    ("TrueNegatives", {}, "binary", "q"),
    ("FalseNegatives", {}, "binary", "q"),
    ("Precision", {}, "binary", "q"),
    ("Precision", {"top_k": 2}, "onehot", "p"),
    ("Recall", {"thresholds": [0.3, 0.6]}, "binary", "q"),
    ("Recall", {"class_id": 2}, "binary", "q"),
    ("AUC", {"num_thresholds": 20}, "binary", "q"),
    ("AUC", {"num_thresholds": 20, "curve": "PR"}, "binary", "q"),
    ("AUC", {"num_thresholds": 20, "summation_method": "minoring"}, "binary", "q"),
    ("AUC", {"thresholds": [0.1, 0.4, 0.9], "curve": "PR", "summation_method": "majoring"}, "binary", "q"),
]

OPTIMIZERS = [
    ("SGD", {"learning_rate": 0.1}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"learning_rate": 0.1, "weight_decay": 0.1}),
    ("SGD", {"learning_rate": 0.1, "clipnorm": 0.5}),
    ("SGD", {"learning_rate": 0.1, "clipvalue": 0.3}),
    ("SGD", {"learning_rate": 0.1, "global_clipnorm": 0.5}),
    ("SGD", {"learning_rate": 0.1, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}),
    ("SGD", {"learning_rate": 0.1, "gradient_accumulation_steps": 2}),
    ("SGD", {"learning_rate": 0.1, "loss_scale_factor": 4.0}),
    ("RMSprop", {"learning_rate": 0.05}),
    ("RMSprop", {"learning_rate": 0.05, "centered": True, "momentum": 0.5}),
    ("Adam", {"learning_rate": 0.05}),
    ("Adam", {"learning_rate": 0.05, "amsgrad": True}),
    ("Adam", {"learning_rate": 0.05, "gradient_accumulation_steps": 2}),
    ("AdamW", {"learning_rate": 0.05}),
    ("Adagrad", {"learning_rate": 0.05}),
    ("Adadelta", {"learning_rate": 0.5}),
    ("Adamax", {"learning_rate": 0.05}),
    ("Nadam", {"learning_rate": 0.05}),
    ("Ftrl", {"learning_rate": 0.05, "l1_regularization_strength": 0.01, "l2_regularization_strength": 0.02, "beta": 0.1}),
    ("Lion", {"learning_rate": 0.05}),
    ("Lamb", {"learning_rate": 0.05}),
    ("Adafactor", {"learning_rate": 0.05}),
]

SCHEDULES = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [5, 20], "values": [0.1, 0.05, 0.01]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 15, "power": 2.0}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "cycle": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 20, "alpha": 0.1}),
    ("CosineDecay", {"initial_learning_rate": 0.0, "decay_steps": 20, "warmup_target": 0.1, "warmup_steps": 7}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 7, "m_mul": 0.9}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 7, "t_mul": 1.0}),
]
STEPS = [0, 1, 5, 6, 7, 12, 20, 21, 33]


def loss_values(keras):
    data = numbers()
    found = []
    for name, arguments, target, prediction in LOSSES:
        loss = getattr(keras.losses, name)(**arguments)
        plain = np.asarray(loss(data[target], data[prediction]))
        weighted = None
        if name not in ("Dice", "Tversky"):
            weighted = np.asarray(loss(data[target], data[prediction], sample_weight=data["weight"])).tolist()
        found.append([plain.tolist(), weighted])
    return found


def metric_values(keras):
    data = numbers()
    found = []
    for name, arguments, target, prediction in METRICS:
        metric = getattr(keras.metrics, name)(**arguments)
        metric.update_state(data[target][:4], data[prediction][:4])
        first = np.asarray(metric.result()).tolist()
        metric.update_state(data[target][4:], data[prediction][4:], sample_weight=data["weight"][4:])
        found.append([first, np.asarray(metric.result()).tolist()])
    return found


def optimizer_values(keras):
    found = []
    for name, arguments in OPTIMIZERS:
        rng = _rng()
        variables = [
            keras.Variable(rng.normal(size=(2, 3)).astype("float32"), name="w"),
            keras.Variable(rng.normal(size=(3,)).astype("float32"), name="b"),
        ]
        optimizer = getattr(keras.optimizers, name)(**arguments)
        for _ in range(4):
            gradients = [keras.ops.convert_to_tensor(rng.normal(size=v.shape).astype("float32")) for v in variables]
            optimizer.apply(gradients, variables)
        state = [np.asarray(v.numpy(), "float64").tolist() for v in optimizer.variables]
        found.append([[v.numpy().tolist() for v in variables], state, [v.name for v in optimizer.variables]])
    return found


def schedule_values(keras):
    found = []
    for name, arguments in SCHEDULES:
        schedule = getattr(keras.optimizers.schedules, name)(**arguments)
        found.append([float(schedule(step)) for step in STEPS])
    return found


def history(keras, optimizer, loss, metrics, target, units, activation, **fit):
    """History and evaluation of a small model whose weights are fixed."""
    rng = _rng()
    x = rng.normal(size=(50, 5)).astype("float32")
    y = {
        "labels": rng.integers(0, 3, (50,)),
        "column": rng.integers(0, 3, (50, 1)),
        "onehot": np.eye(3, dtype="float32")[rng.integers(0, 3, 50)],
        "real": rng.normal(size=(50, 2)).astype("float32"),
        "binary": rng.integers(0, 2, (50, 1)).astype("float32"),
    }[target]
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(7, activation="tanh"), keras.layers.Dense(units, activation=activation)]
    )
    model.set_weights([rng.normal(size=w.shape).astype("float32") * 0.3 for w in model.get_weights()])
    model.compile(optimizer=optimizer, loss=loss, metrics=metrics)
    done = model.fit(x, y, epochs=3, batch_size=16, shuffle=False, verbose=0, **fit)
    result = model.evaluate(x, y, verbose=0)
    return {
        "history": {name: [float(v) for v in values] for name, values in done.history.items()},
        "evaluate": [float(v) for v in np.atleast_1d(result)],
        "predict": model.predict(x[:3], verbose=0).tolist(),
    }


HISTORIES = [
    ("adam", "sparse_categorical_crossentropy", ["accuracy"], "labels", 3, "softmax", {}),
    ("rmsprop", "sparse_categorical_crossentropy", ["acc"], "column", 3, "softmax", {"validation_split": 0.2}),
    ("sgd", "categorical_crossentropy", ["accuracy", "mse"], "onehot", 3, "softmax", {"class_weight": {0: 2.0, 1: 0.5}}),
    ("sgd", "mse", ["mae", "root_mean_squared_error"], "real", 2, None, {"steps_per_epoch": 2}),
    ("adam", "binary_crossentropy", ["accuracy"], "binary", 1, "sigmoid", {}),
    ("adamw", "crossentropy", ["accuracy"], "labels", 3, "softmax", {}),
]


def histories(keras):
    return [history(keras, *case[:-1], **case[-1]) for case in HISTORIES]


def everything(keras):
    return {
        "losses": loss_values(keras),
        "metrics": metric_values(keras),
        "optimizers": optimizer_values(keras),
        "schedules": schedule_values(keras),
        "histories": histories(keras),
    }
