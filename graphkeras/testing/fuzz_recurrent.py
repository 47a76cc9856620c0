"""Loops and branches as pieces of random training steps: recurrent cells in scans, loops around products, and branches of them.

A piece is drawn first, with its variables, and called afterwards: a body may be traced more than once.
"""

import numpy as np

from graphkeras import ops
from graphkeras.autodiff import checkpoint
from graphkeras.ops.numpy_shape import cut
from graphkeras.trace import SymbolicTensor, prim

_MOST_STEPS = 6
_MOST_PLACES = 9  # that a scan over places goes through
_MOST_UNITS = 24


def product(a, b):
    """`a @ b`."""
    return prim.matmul(a, b, transpose_a=False, transpose_b=False)


def sequence(net, x, most: int = _MOST_PLACES):
    """(batch, places, channels) with a few of the places of x."""
    batch, *places, channels = x.spec.shape
    if not places:
        count = net.one_of(*(d for d in range(1, min(most, channels) + 1) if channels % d == 0))
        return prim.reshape(x, shape=(batch, count, channels // count))
    x = prim.reshape(x, shape=(batch, int(np.prod(places)), channels))
    count = x.spec.shape[1]
    stride = -(-count // most)
    start = int(net.rng.integers(stride)) if stride <= count else 0
    return cut(x, 1, start, count, stride) if stride > 1 or net.chance(0.2) else x


def counted(net):
    """An integer that depends on the data: how many of them are above one half."""
    x = SymbolicTensor.wrap(net.input)
    above = prim.cast(prim.greater(prim.cast(x, dtype="float32"), np.float32(0.5)), dtype="int32")
    return prim.reduce_sum(above, axes=tuple(range(len(x.spec.shape))), keepdims=False)


# ---- cells ----------------------------------------------------------------------------------------------------------


class _Cell:
    """A recurrent cell.

    Args:
        net: the net it is drawn for.
        channels: of its inputs.
        units: of its states.

    Attributes:
        states: how many arrays (rows, units) it carries.
    """

    gates, states = 1, 1

    def __init__(self, net, channels, units):
        self.net, self.units = net, units
        gates = self.gates * units
        self._kernel = net.variable((channels, gates), 0, channels**-0.5)
        self._recurrent = net.variable((units, gates), 0, units**-0.5)
        self._bias = net.variable((gates,), 0, 0.3)
        self._activation = net.one_of(prim.tanh, prim.tanh, prim.relu, prim.sigmoid)
        self._centred = net.chance(0.2)
        self._moving = net.statistic((units,)) if net.chance(0.2) else None
        self._generator = net.generator() if net.chance(0.2) else None

    def project(self, x):
        """What the inputs add to the gates."""
        return prim.add(product(x, self._kernel), self._bias)

    def step(self, z, states):
        """The new states, from what the inputs add to the gates."""
        if self._generator is not None:
            states = (self.net.dropped(states[0], self._generator), *states[1:])
        new = self._next(z, states)
        if self._centred:
            mean = prim.reduce_sum(new[0], axes=(1,), keepdims=True)
            new = (prim.subtract(new[0], prim.multiply(mean, self.net.scalar(1 / self.units))), *new[1:])
        if self._moving is not None:
            self.net.move(self._moving, prim.tanh(prim.reduce_sum(new[0], axes=(0,), keepdims=False)))
        return new

    def _gate(self, z, number, activation=prim.sigmoid):
        return activation(cut(z, 1, number * self.units, (number + 1) * self.units))

    def _next(self, z, states):
        return (self._activation(prim.add(z, product(states[0], self._recurrent))),)


class _Lstm(_Cell):
    gates, states = 4, 2

    def _next(self, z, states):
        h, c = states
        z = prim.add(z, product(h, self._recurrent))
        kept = prim.multiply(self._gate(z, 1), c)
        c = prim.add(kept, prim.multiply(self._gate(z, 0), self._gate(z, 2, prim.tanh)))
        return prim.multiply(self._gate(z, 3), prim.tanh(c)), c


class _Gru(_Cell):
    gates = 3

    def __init__(self, net, channels, units):
        super().__init__(net, channels, units)
        self._reset_after = net.chance(0.5)

    def _next(self, z, states):
        (h,) = states
        units = self.units
        if self._reset_after:
            inner = product(h, self._recurrent)
            gates = prim.add(cut(z, 1, 0, 2 * units), cut(inner, 1, 0, 2 * units))
            update, reset = self._gate(gates, 0), self._gate(gates, 1)
            candidate = prim.add(cut(z, 1, 2 * units, 3 * units), prim.multiply(reset, cut(inner, 1, 2 * units, 3 * units)))
        else:
            gates = prim.add(cut(z, 1, 0, 2 * units), product(h, cut(self._recurrent, 1, 0, 2 * units)))
            update, reset = self._gate(gates, 0), self._gate(gates, 1)
            inner = product(prim.multiply(reset, h), cut(self._recurrent, 1, 2 * units, 3 * units))
            candidate = prim.add(cut(z, 1, 2 * units, 3 * units), inner)
        candidate = self._activation(candidate)
        return (prim.add(candidate, prim.multiply(update, prim.subtract(h, candidate))),)


# ---- scans ----------------------------------------------------------------------------------------------------------


class _Scan:
    """A cell that goes through the places of (batch, places, channels).

    Args:
        net: the net it is drawn for.
        channels, units: of the inputs and of the states.
        whole: whether the states of all places are asked for, not just the last ones.
        reverse: whether the last place comes first.
    """

    def __init__(self, net, channels, units, whole, reverse):
        self._net, self._whole, self._reverse = net, whole, reverse
        self._cell = net.one_of(_Cell, _Lstm, _Gru)(net, channels, units)
        self._ahead, self._masked = net.chance(0.5), net.chance(0.3)
        learnt = net.chance(0.3)
        self._starts = [net.variable((units,), 0, 0.5) if learnt else net.scalar(0) for _ in range(self._cell.states)]

    def __call__(self, x):
        """(batch, places, units), or (batch, units)."""
        last, states = self.over(prim.transpose(x, perm=(1, 0, 2)))
        return prim.transpose(states, perm=(1, 0, 2)) if self._whole else last

    def over(self, rows):
        """The last states (rows, units), and those of all places, (places, rows, units)."""
        start = [prim.broadcast_to(s, shape=(rows.spec.shape[1], self._cell.units)) for s in self._starts]
        taken = prim.greater(cut(rows, 2, 0, 1), self._net.scalar(-0.2))
        if self._ahead:
            rows = self._cell.project(rows)

        def step(states, row):
            z, seen = row
            new = self._cell.step(z if self._ahead else self._cell.project(z), states)
            if self._masked:
                new = tuple(prim.select(prim.broadcast_to(seen, shape=a.spec.shape), a, b) for a, b in zip(new, states))
            return new, new[0]

        last, states = ops.scan(step, tuple(start), (rows, taken), reverse=self._reverse)
        return last[0], states


def _units(net):
    return int(net.one_of(1, 3, 8, 16, net.rng.integers(1, _MOST_UNITS + 1)))


def recurrent(net, x):
    """A recurrent layer, in one direction or in both."""
    x = sequence(net, x)
    units, whole, reverse = _units(net), net.chance(0.6), net.chance(0.3)
    first = _Scan(net, x.spec.shape[2], units, whole, reverse)(x)
    if net.chance(0.7):
        return first
    second = _Scan(net, x.spec.shape[2], units, whole, not reverse)(x)
    return prim.add(first, second) if net.chance(0.5) else ops.concatenate([first, second], axis=-1)


def recurrent_over_batch(net, x):
    """A recurrent layer that takes one sample after the other: as many steps as the batch has."""
    x = sequence(net, x, 4)
    scan = _Scan(net, x.spec.shape[2], _units(net), True, net.chance(0.3))
    last, states = scan.over(x)
    return prim.add(states, last) if net.chance(0.3) else states


def recurrent_again(net, x):
    """A loop around a scan: the same weights time and again."""
    x = sequence(net, x)
    channels = x.spec.shape[2]
    scan = _Scan(net, channels, channels, True, net.chance(0.3))
    return ops.fori_loop(0, int(net.rng.integers(1, 4)), lambda _, states: scan(states), x)


def scan_by_halves(net, x):
    """A linear recurrence, sums, or the greatest so far."""
    x = prim.tanh(sequence(net, x))
    axis, reverse = int(net.one_of(1, 1, 2)), net.chance(0.4)
    kind = net.one_of(prim.add, prim.maximum, "recurrence")
    if kind != "recurrence":
        return ops.associative_scan(kind, x, reverse=reverse, axis=axis)

    def combined(first, second):
        return prim.multiply(first[0], second[0]), prim.add(prim.multiply(second[0], first[1]), second[1])

    factors = prim.sigmoid(prim.multiply(x, net.variable(x.spec.shape[2:])))
    return ops.associative_scan(combined, (factors, x), reverse=reverse, axis=axis)[1]


# ---- loops and branches -----------------------------------------------------------------------------------------------


def _layer(net, channels, units):
    """A product with what stands around it, as a function of (..., channels) with at least two axes."""
    kernel, bias = net.variable((channels, units), 0, channels**-0.5), net.variable((units,), 0, 0.3)
    activation = net.one_of(prim.tanh, prim.relu, prim.sigmoid)
    scaled, centred = net.chance(0.4), net.chance(0.3)
    moving = net.statistic((units,)) if net.chance(0.2) else None
    generator = net.generator() if net.chance(0.2) else None

    def layer(x):
        if generator is not None:
            x = net.dropped(x, generator)
        y = prim.add(product(prim.multiply(x, net.scalar(0.5)) if scaled else x, kernel), bias)
        axes = tuple(range(len(y.spec.shape)))
        if centred:
            mean = prim.reduce_sum(y, axes=axes[-1:], keepdims=True)
            y = prim.subtract(y, prim.multiply(mean, net.scalar(1 / units)))
        y = activation(y)
        if moving is not None:
            net.move(moving, prim.tanh(prim.reduce_sum(y, axes=axes[:-1], keepdims=False)))
        return y

    return layer


def fori_loop(net, x):
    """A layer time and again: so often, or as often as the batch has samples."""
    channels = x.spec.shape[-1]
    layer = _layer(net, channels, channels)
    times = net.batch if net.chance(0.2) else int(net.rng.integers(_MOST_STEPS))
    residual = net.chance(0.5)

    def step(i, state):
        new = layer(prim.multiply(state, prim.sin(prim.cast(i, dtype=net.dtype))) if residual else state)
        return prim.add(prim.multiply(state, net.scalar(0.5)), new) if residual else new

    return ops.fori_loop(0, times, step, x)


def while_loop(net, x):
    """A layer until a count or a norm says otherwise; without a limit, no gradient flows through it."""
    channels = x.spec.shape[-1]
    last = prim.remainder(counted(net), np.int32(_MOST_STEPS))
    axes = tuple(range(len(x.spec.shape)))
    by_norm = net.chance(0.3)

    def going(i, state):
        if by_norm:
            norm = prim.reduce_sum(prim.square(state), axes=axes, keepdims=False)
            return prim.logical_and(prim.less(i, last), prim.less(norm, net.scalar(30.0)))
        return prim.less(i, last)

    if net.chance(0.3):
        still = prim.stop_gradient(x)
        step = lambda i, s: (prim.add(i, np.int32(1)), prim.tanh(prim.add(prim.multiply(s, net.scalar(1.3)), still)))
        return prim.multiply(x, ops.while_loop(going, step, (np.int32(0), still))[1])
    layer = _layer(net, channels, channels)
    limit = int(net.rng.integers(1, _MOST_STEPS))
    return ops.while_loop(going, lambda i, s: (prim.add(i, np.int32(1)), layer(s)), (np.int32(0), x), limit)[1]


def branches(net, x):
    """One of two or three layers, one of which may be behind a loop."""
    channels, units = x.spec.shape[-1], _units(net)
    layers = [_layer(net, channels, units) for _ in range(net.rng.integers(2, 4))]
    before, times = _layer(net, channels, channels), int(net.rng.integers(4))
    if net.chance(0.4):
        after = layers[0]
        layers[0] = lambda x: after(ops.fori_loop(0, times, lambda _, state: before(state), x))
    which = prim.remainder(counted(net), np.int32(len(layers)))
    if len(layers) == 2:
        return ops.cond(prim.equal(which, np.int32(0)), lambda: layers[0](x), lambda: layers[1](x))
    return ops.switch(which, layers, x)


def mapped(net, x):
    """A layer of each sample on its own."""
    units = _units(net)
    layer = _layer(net, x.spec.shape[-1], units)

    def one(row):
        if len(row.spec.shape) > 1:
            return layer(row)
        return prim.reshape(layer(prim.reshape(row, shape=(1, *row.spec.shape))), shape=(units,))

    return ops.map(one, x)


def checkpointed(net, x):
    """A layer that its gradient computes again."""
    return checkpoint(_layer(net, x.spec.shape[-1], _units(net)))(x)
