"""Loops and branches as pieces of random training steps: recurrent cells in scans, and loops and branches around other pieces."""

import numpy as np

from graphkeras import ops
from graphkeras.ops.numpy_shape import cut
from graphkeras.testing import fuzz_pieces
from graphkeras.testing.fuzz_pieces import STEADY, any_units, counted, layer, product, sequence, words
from graphkeras.trace import prim

_MOST_STEPS = 6
_FEW_NUMBERS = 64


def random_piece(net, x):
    """Something that no plain layer is."""
    return net.one_of(*PIECES)(net, x.spec.shape)(x)


# ---- cells ----------------------------------------------------------------------------------------------------------


class _Cell:
    """A recurrent cell, as in a simple recurrent layer.

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

    def _part(self, z, first, last):
        return cut(z, 1, first * self.units, last * self.units)

    def _gate(self, z, number, activation=prim.sigmoid):
        return activation(self._part(z, number, number + 1))

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
        if self._reset_after:
            inner = product(h, self._recurrent)
            gates = prim.add(self._part(z, 0, 2), self._part(inner, 0, 2))
            inner = prim.multiply(self._gate(gates, 1), self._part(inner, 2, 3))
        else:
            gates = prim.add(self._part(z, 0, 2), product(h, self._part(self._recurrent, 0, 2)))
            inner = product(prim.multiply(self._gate(gates, 1), h), self._part(self._recurrent, 2, 3))
        candidate = self._activation(prim.add(self._part(z, 2, 3), inner))
        return (prim.add(candidate, prim.multiply(self._gate(gates, 0), prim.subtract(h, candidate))),)


# ---- scans ----------------------------------------------------------------------------------------------------------


class _Scan:
    """A cell that goes through places.

    Args:
        net: the net it is drawn for.
        channels, units: of the inputs and of the states.
        reverse: whether the last place comes first.
        count: of the words that the places hold, each of which has `channels` numbers in a table; without it, places hold channels.
    """

    def __init__(self, net, channels, units, reverse, count=None):
        self._net, self._reverse = net, reverse
        self._cell = net.one_of(_Cell, _Lstm, _Gru)(net, channels, units)
        self._table = None if count is None else net.variable((count, channels))
        self._ahead, self._masked, learnt = net.chance(0.5), net.chance(0.3), net.chance(0.3)
        self._starts = [net.variable((units,), 0, 0.5) if learnt else net.scalar(0) for _ in range(self._cell.states)]

    def __call__(self, rows):
        """The last states (samples, units), and those of all places (places, samples, units), from (places, samples, channels) or words
        (places, samples)."""
        places, samples = rows.spec.shape[:2]
        start = [prim.broadcast_to(s, shape=(samples, self._cell.units)) for s in self._starts]
        if self._table is None:
            taken = prim.greater(cut(rows, 2, 0, 1), self._net.scalar(-0.2))
        else:
            taken = prim.reshape(prim.greater(rows, np.int32(0)), shape=(places, samples, 1))
        if self._ahead:
            rows = self._projected(rows)

        def step(states, row):
            z, seen = row
            new = self._cell.step(z if self._ahead else self._projected(z), states)
            if self._masked:
                new = tuple(prim.select(prim.broadcast_to(seen, shape=a.spec.shape), a, b) for a, b in zip(new, states))
            return new, new[0]

        last, states = ops.scan(step, tuple(start), (rows, taken), reverse=self._reverse)
        return last[0], states

    def _projected(self, row):
        return self._cell.project(row if self._table is None else ops.take(self._table, row, axis=0))


def _both_ways(net, channels, count=None):
    """A function of (places, samples, ...) that gives (samples, [places,] units), from one scan or two."""
    units, whole, reverse = any_units(net), net.chance(0.6), net.chance(0.3)
    scans = [_Scan(net, channels, units, r, count) for r in (reverse, not reverse)[: net.one_of(1, 1, 2)]]
    joined = net.chance(0.5)

    def of(rows):
        found = [scan(rows)[whole] for scan in scans]
        y = found[0] if len(found) == 1 else ops.concatenate(found, axis=-1) if joined else prim.add(*found)
        return prim.transpose(y, perm=(1, 0, 2)) if whole else y

    return of


def recurrent(net, shape):
    """A recurrent layer, in one direction or in both."""
    places_of, (_, channels) = sequence(net, shape)
    scanned = _both_ways(net, channels)
    return lambda x: scanned(prim.transpose(places_of(x), perm=(1, 0, 2)))


def recurrent_words(net, shape):
    """A recurrent layer that finds what it reads in a table, place by place. It knows nothing of x."""
    numbers, _, count = words(net)
    scanned = _both_ways(net, any_units(net), count)
    return lambda x: scanned(prim.transpose(numbers(), perm=(1, 0)))


def recurrent_over_batch(net, shape):
    """A recurrent layer that takes one sample after the other: as many steps as the batch has."""
    places_of, (_, channels) = sequence(net, shape, 4)
    scan, joined = _Scan(net, channels, any_units(net), net.chance(0.3)), net.chance(0.3)

    def of(x):
        last, states = scan(places_of(x))
        return prim.add(states, last) if joined else states

    return of


def recurrent_again(net, shape):
    """A loop around a scan: the same weights time and again."""
    places_of, (_, channels) = sequence(net, shape)
    scan, times = _Scan(net, channels, channels, net.chance(0.3)), int(net.rng.integers(1, 4))
    return lambda x: ops.fori_loop(0, times, lambda _, rows: scan(rows)[1], places_of(x))


def scan_by_halves(net, shape):
    """A linear recurrence, sums, or the greatest so far."""
    places_of, (_, channels) = sequence(net, shape)
    axis, reverse = int(net.one_of(1, 1, 2)), net.chance(0.4)
    kind = net.one_of(prim.add, prim.maximum, "recurrence")
    rate = net.variable((channels,))

    def combined(first, second):
        return prim.multiply(first[0], second[0]), prim.add(prim.multiply(second[0], first[1]), second[1])

    def of(x):
        x = prim.tanh(places_of(x))
        factors = prim.sigmoid(prim.multiply(x, rate))
        if kind == "recurrence":
            return ops.associative_scan(combined, (factors, x), reverse=reverse, axis=axis)[1]
        return ops.associative_scan(kind, prim.multiply(x, factors), reverse=reverse, axis=axis)

    return of


# ---- loops and branches around other pieces ---------------------------------------------------------------------------


def _steady(net, shape):
    """A piece that gives the shape that it takes, and stays small when it is run time and again."""
    inner = layer(net, shape, shape[-1])
    outer = net.one_of(*STEADY)(net, shape) if net.chance(0.3) else prim.tanh
    return lambda x: inner(outer(x))


def fori_loop(net, shape):
    """A piece time and again: so often, or as often as the batch has samples."""
    step, residual = _steady(net, shape), net.chance(0.5)
    # Each of these steps takes the whole batch: their time goes with its square.
    small = np.prod(shape[1:]) <= _FEW_NUMBERS
    times = net.batch if small and net.chance(0.3) else int(net.rng.integers(_MOST_STEPS))

    def next_state(i, state):
        if not residual:
            return step(state)
        new = step(prim.multiply(state, prim.sin(prim.cast(i, dtype=net.dtype))))
        return prim.add(prim.multiply(state, net.scalar(0.5)), new)

    return lambda x: ops.fori_loop(0, times, next_state, x)


def while_loop(net, shape):
    """A piece until a count or a norm says otherwise; without a limit, no gradient flows through it."""
    step, by_norm, limited = _steady(net, shape), net.chance(0.3), net.chance(0.7)
    axes, limit = tuple(range(len(shape))), int(net.rng.integers(1, _MOST_STEPS))

    def of(x):
        last = prim.remainder(counted(net), np.int32(_MOST_STEPS))
        still = prim.stop_gradient(x)

        def going(i, state):
            if not by_norm:
                return prim.less(i, last)
            norm = prim.reduce_sum(prim.square(state), axes=axes, keepdims=False)
            return prim.logical_and(prim.less(i, last), prim.less(norm, net.scalar(30.0)))

        def freely(i, state):
            return prim.add(i, np.int32(1)), prim.tanh(prim.add(prim.multiply(state, net.scalar(1.3)), still))

        if limited:
            return ops.while_loop(going, lambda i, s: (prim.add(i, np.int32(1)), step(s)), (np.int32(0), x), limit)[1]
        return prim.multiply(x, ops.while_loop(going, freely, (np.int32(0), still))[1])

    return of


def branches(net, shape):
    """One of two or three layers, the first of which may be behind a loop."""
    units = any_units(net)
    layers = [layer(net, shape, units) for _ in range(net.rng.integers(2, 4))]
    if net.chance(0.4):
        before, after = fori_loop(net, shape), layers[0]
        layers[0] = lambda x: after(before(x))

    def of(x):
        which = prim.remainder(counted(net), np.int32(len(layers)))
        if len(layers) == 2:
            return ops.cond(prim.equal(which, np.int32(0)), lambda: layers[0](x), lambda: layers[1](x))
        return ops.switch(which, layers, x)

    return of


def mapped(net, shape):
    """A piece for each sample on its own."""
    one = net.one_of(layer, layer, *_ALONE)(net, (1, *shape[1:]))

    def row(x):
        y = one(prim.reshape(x, shape=(1, *shape[1:])))
        return prim.reshape(y, shape=y.spec.shape[1:])

    return lambda x: ops.map(row, x)


_ALONE = (
    fuzz_pieces.attention,
    fuzz_pieces.in_order,
    fuzz_pieces.added_up,
    fuzz_pieces.picked,
    fuzz_pieces.greatest,
    fuzz_pieces.pooled,
    recurrent,
    scan_by_halves,
)

PIECES = (
    *fuzz_pieces.PIECES,
    recurrent,
    recurrent,
    recurrent,
    recurrent_words,
    recurrent_over_batch,
    recurrent_again,
    scan_by_halves,
    fori_loop,
    while_loop,
    branches,
    branches,
    mapped,
)
