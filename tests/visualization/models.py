"""Models as `plot_model` sees them, without layers, weights or a compiler."""


class Tensor:
    def __init__(self, *shape, dtype="float32"):
        self.shape, self.dtype = shape, dtype


class Operation:
    weights = ()
    trainable = True
    activation = None

    def __init__(self, name, input, output, **attributes):
        self.name, self.input, self.output = name, input, output
        self.__dict__.update(attributes)


def operation(kind, name, input, output, **attributes):
    return type(kind, (Operation,), {})(name, input, output, **attributes)


def one_or_all(tensors):
    return tensors[0] if len(tensors) == 1 else tensors


class Functional(Operation):
    built = True

    def __init__(self, name, operations, edges, inputs, outputs):
        super().__init__(name, one_or_all(inputs), one_or_all(outputs))
        self.operations, self.edges, self.inputs, self.outputs = operations, edges, inputs, outputs

    def _edges(self):
        return self.edges


class Sequential(Operation):
    built = True

    def __init__(self, name, layers):
        super().__init__(name, layers[0].input, layers[-1].output)
        self.layers = layers


class Subclassed(Operation):
    built = True

    def __init__(self, name):
        self.name, self.layers = name, [dense("inner", 3, 4)]


def relu(x):
    return x


def input_layer(name, units):
    tensor = Tensor(None, units)
    return operation("InputLayer", name, tensor, tensor)


def dense(name, inputs, units, **attributes):
    source = inputs if isinstance(inputs, Tensor) else Tensor(None, inputs)
    return operation("Dense", name, source, Tensor(None, units), **({"weights": ["kernel"], "activation": relu} | attributes))


def multi_io(input_names=("title", "text_body", "tags")):
    """The book's model with three inputs and two outputs."""
    inputs = [input_layer(name, units) for name, units in zip(input_names, (10000, 10000, 100))]
    joined = operation("Concatenate", "concatenate", [op.output for op in inputs], Tensor(None, 20100))
    features = dense("dense_features", joined.output, 64)
    priority = dense("priority", features.output, 1)
    department = dense("department", features.output, 4, trainable=False)
    edges = [(op, joined) for op in inputs] + [(joined, features), (features, priority), (features, department)]
    outputs = [priority.output, department.output]
    return Functional(
        "routing", [*inputs, joined, features, priority, department], edges, [op.output for op in inputs], outputs
    )


def stack(name="stack"):
    first = dense("first", 100, 64)
    drop = operation("Dropout", "drop", first.output, Tensor(None, 64))
    return Sequential(name, [first, drop, dense("last", drop.output, 4)])


def nested():
    """A functional model around `multi_io()`, whose inputs arrive in another order, and `stack()`."""
    a, b, tags = input_layer("a", 10000), input_layer("b", 10000), input_layer("tags_in", 100)
    routing, chain = multi_io(), stack()
    routing.input, routing.output = [b.output, a.output, tags.output], [Tensor(None, 1), Tensor(None, 4)]
    chain.input, chain.output = tags.output, Tensor(None, 4)
    joined = operation("Concatenate", "joined", [*routing.output, chain.output], Tensor(None, 9))
    edges = [(b, routing), (a, routing), (tags, routing), (tags, chain),
             (routing, joined, 0), (routing, joined, 1), (chain, joined, 0)]  # fmt: skip
    return Functional(
        "outer", [a, b, tags, routing, chain, joined], edges, [op.output for op in (a, b, tags)], [joined.output]
    )
