"""Random small nets with their training steps: normalisations, products and convolutions of odd sizes in a row.

The graphs of `fuzz_graphs` hold every op, but few of them hold what the compiler treats together: cheap values in front of contractions,
sums down the columns of their results, and variables that are read at the start of a step and written at its end. Where asked, some of
the layers are the pieces of `fuzz_pieces` and `fuzz_loops`: attention, embeddings, sorted values, recurrent cells, loops and branches.
"""

import numpy as np

from graphkeras.autodiff import gradients
from graphkeras.ir.dims import size, symbol
from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.graph import Graph, input_node
from graphkeras.ir.node import Value
from graphkeras.ir.spec import TensorSpec
from graphkeras.testing.fuzz_loops import random_piece
from graphkeras.trace import SymbolicTensor, TraceScope, Variable, as_value, prim, tracing

BATCHES = (0, 1, 2, 3, 63, 64, 65, 130)
_RUNS = 4  # batches that one net is run for
_RATE = 0.05


class FuzzedNet:
    """A training step with what it takes to run it.

    Attributes:
        graph: outputs are the loss, the net's result, and gradients; it writes weights and moving statistics.
        runs: lists of arguments, one for each size of the batch.
        variables: arrays by name.
    """

    def __init__(self, graph, runs, variables):
        self.graph, self.runs, self.variables = graph, runs, variables


def random_net(seed: int, pieces: float = 0.0) -> FuzzedNet:
    """A step of one to three layers, to be run for some of `BATCHES`; the same for the same arguments.

    Args:
        seed: of everything that is drawn.
        pieces: the share of layers that are one of `fuzz_loops.PIECES`.
    """
    with tracing(TraceScope()) as scope:
        return _Net(np.random.default_rng(seed), scope).step(f"net_{seed}", pieces)


class _Net:
    """A net that grows, layer by layer.

    Args:
        rng: of everything that is drawn.
        scope: of the trace that it grows in.
    """

    def __init__(self, rng, scope):
        self.rng = rng
        self.scope = scope
        self.live: list[Variable] = []
        self.sources: list[SymbolicTensor] = []  # what they are before the step
        self.written: set[int] = set()
        self.state: dict[str, np.ndarray] = {}
        self.spatial = int(rng.integers(4))  # axes of places; none for products
        most = {0: 1, 1: 90, 2: 14, 3: 6}[self.spatial]
        places = [int(self.one_of(1, most, rng.integers(1, most + 1), min(8, most))) for _ in range(self.spatial)]
        self.dtype = self.one_of("float32", "float32", "float32", "float64")
        source = self.one_of(self.dtype, self.dtype, "uint8", "float16", "bfloat16")
        self.batch = symbol("b")
        spec = TensorSpec((self.batch, *places, self.channels()), source)
        self.input = Value(input_node("x", spec))

    def one_of(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def chance(self, p):
        return self.rng.random() < p

    def channels(self):
        return int(self.one_of(1, 3, 8, 16, 32, 64, self.rng.integers(1, 71)))

    def variable(self, shape, center=0.0, spread=1.0):
        array = (center + spread * self.rng.normal(size=shape)).astype(self.dtype)
        variable = Variable(array, name=f"v{len(self.live)}")
        self.live.append(variable)
        self.sources.append(SymbolicTensor.wrap(as_value(variable)))
        self.state[as_value(variable).node.attrs["variable"].name] = array
        return self.sources[-1]

    def statistic(self, shape):
        """A variable that the step moves by other means than its gradient."""
        self.variable(shape, 0.5, 0.1)
        self.written.add(id(self.live[-1]))
        return self.live[-1]

    def move(self, variable, value):
        """Brings a statistic nearer to a value."""
        kept = prim.multiply(SymbolicTensor.wrap(as_value(variable)), self.scalar(0.9))
        variable.assign(prim.add(kept, prim.multiply(value, self.scalar(0.1))))

    def generator(self):
        """A variable that holds a key for random numbers."""
        key = np.array([self.rng.integers(1 << 32), 0], "uint32")
        variable = Variable(key, name=f"key{len(self.state)}")
        self.state[as_value(variable).node.attrs["variable"].name] = key
        return variable

    def dropped(self, x, generator):
        """x without a share of its elements; the generator moves on."""
        key = SymbolicTensor.wrap(as_value(generator))
        generator.assign(prim.add(key, np.array([0, 1], "uint32")))
        return prim.dropout(x, key, rate=0.25)

    def scalar(self, number):
        return np.asarray(number).astype(numpy_dtype(self.dtype))

    # ---- layers -----------------------------------------------------------------------------------------------------

    def _cheap(self, x):
        """Some of what stands in front of contractions."""
        if self.chance(0.4):
            x = prim.multiply(x, self.scalar(self.one_of(0.5, 1 / 255 if self.input.dtype == "uint8" else 2.0)))
        if self.chance(0.4):
            x = prim.subtract(x, self.variable(x.spec.shape[-1:], 0, 0.3))
        if self.chance(0.5):
            x = self._normalised(x)
        if self.chance(0.6):
            x = self.one_of(prim.relu, prim.square, prim.negative)(x) if self.chance(0.8) else prim.tanh(x)
        return x

    def _normalised(self, x):
        """With the batch's statistics, those of each row, or moving ones."""
        columns = x.spec.shape[-1:]
        rows = tuple(range(len(x.spec.shape) - 1))
        if self.chance(0.25):
            mean = prim.reduce_sum(x, axes=(len(rows),), keepdims=True)
            x = prim.subtract(x, prim.multiply(mean, self.scalar(1 / columns[0])))
        elif self.chance(0.3):
            x = prim.multiply(prim.subtract(x, self.variable(columns)), prim.absolute(self.variable(columns, 1, 0.1)))
        else:
            count = prim.maximum(prim.cast(prim.dim(size=size(x.spec.shape[:-1])), dtype=self.dtype), self.scalar(1))
            mean = prim.divide(prim.reduce_sum(x, axes=rows, keepdims=False), count)
            if columns[0] > 1 and self.chance(0.7):
                spread = prim.reduce_deviations(x, axes=rows, keepdims=False)
            else:
                spread = prim.reduce_sum(prim.square(prim.subtract(x, mean)), axes=rows, keepdims=False)
            spread = prim.divide(spread, count)
            for statistic in (mean, spread):
                self.move(self.statistic(columns), statistic)
            x = prim.multiply(prim.subtract(x, mean), prim.rsqrt(prim.add(spread, self.scalar(0.1))))
        if self.chance(0.7):
            x = prim.add(prim.multiply(x, self.variable(columns, 1, 0.2)), self.variable(columns, 0, 0.3))
        return x

    def _contracted(self, x):
        return self._convolved(x) if len(x.spec.shape) > 2 else self._product(x)

    def _product(self, x):
        k, n = x.spec.shape[-1], self.channels()
        turned = self.chance(0.3)
        w = self.variable((n, k) if turned else (k, n), 0, k**-0.5)
        if self.chance(0.2):
            w = self.one_of(prim.relu, prim.negative)(w)
        return prim.matmul(x, w, transpose_a=False, transpose_b=turned)

    def _convolved(self, x):
        *places, channels = x.spec.shape[1:]
        kind = self.rng.random()
        groups = channels if kind < 0.2 else self.one_of(*(d for d in range(1, channels + 1) if channels % d == 0)) if kind < 0.4 else 1
        filters = channels if groups == channels else groups * max(1, self.channels() // groups)
        window, strides, dilation, padding = [], [], [], []
        for n in places:
            k = int(self.rng.integers(1, 5))
            window.append(k)
            dilation.append(int(self.one_of(1, 1, 1, 2)))
            strides.append(int(self.one_of(1, 1, 1, 2, 3)))
            reach = (k - 1) * dilation[-1]
            same = (reach // 2, reach - reach // 2)
            padding.append((0, 0) if self.chance(0.3) and n > reach else same if self.chance(0.8) else (reach, int(self.rng.integers(3))))
        w = self.variable((*window, channels // groups, filters), 0, (np.prod(window) * channels // groups) ** -0.5)
        return prim.conv(x, w, strides=tuple(strides), padding=tuple(padding), dilation=tuple(dilation), groups=groups)

    def _followed(self, y, x):
        if self.chance(0.5):
            y = prim.add(y, self.variable(y.spec.shape[-1:], 0, 0.3))
        if x.spec == y.spec and self.chance(0.5):
            y = prim.add(y, x)
        return y

    # ---- the step ---------------------------------------------------------------------------------------------------

    def step(self, name, pieces) -> FuzzedNet:
        """Forward, gradients, and what is written."""
        x = SymbolicTensor.wrap(self.input)
        if self.input.dtype != self.dtype:
            x = prim.cast(x, dtype=self.dtype)
        for _ in range(self.rng.integers(1, 4)):
            if pieces and self.chance(pieces):
                x = random_piece(self, x)
                continue
            before = self._cheap(x)
            after = self._followed(self._contracted(before), x)
            if not all(isinstance(d, int) and d > 0 for d in after.spec.shape[1:]):
                break
            x = after
        if self.chance(0.6):
            x = self._normalised(x)
        axes = tuple(range(len(x.spec.shape)))
        sums = []
        reductions = self.rng.choice(("reduce_sum", "reduce_max", "reduce_min"), self.rng.integers(3), replace=False).tolist()
        for reduction in reductions:
            sums.append(getattr(prim, reduction)(x, axes=axes[:-1], keepdims=False))
        loss = prim.reduce_sum(prim.sin(x), axes=axes, keepdims=False)
        if sums:
            loss = prim.add(loss, prim.reduce_sum(prim.sin(sums[0]), axes=(0,), keepdims=False))
        inputs = [SymbolicTensor.wrap(self.input)] if self.input.dtype == self.dtype and self.chance(0.6) else []
        found = gradients([loss], [*self.sources, *inputs])
        rate = self.scalar(_RATE / 64)
        for variable, source, gradient in zip(self.live, self.sources, found):
            if gradient is not None and id(variable) not in self.written and self.chance(0.8):
                variable.assign(prim.subtract(source, prim.tanh(prim.multiply(gradient, rate))))
        returned = [g for g in found if g is not None and (len(g.spec.shape) < 2 or self.chance(0.3))]
        outputs = [loss, *sums, *([x] if self.chance(0.6) else []), *returned]
        graph = Graph(name, [self.input], [as_value(v) for v in outputs], self.scope.effects())
        sizes = BATCHES[bool({"reduce_max", "reduce_min"} & set(reductions)) :]  # there is no greatest of no numbers
        return FuzzedNet(graph, [[self._data(n)] for n in self.rng.choice(sizes, _RUNS, replace=False)], self.state)

    def _data(self, batch):
        shape = (batch, *self.input.shape[1:])
        if self.input.dtype == "uint8":
            return self.rng.integers(0, 256, shape).astype("uint8")
        return self.rng.normal(size=shape).astype(numpy_dtype(self.input.dtype))
