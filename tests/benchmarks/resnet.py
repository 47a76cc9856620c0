"""Milliseconds of a training step of a small residual network with batch normalisation, in raw ops, beside torch doing the same.

    python -m tests.benchmarks.resnet [--peers PYTHON] [--rounds N] [--threads 1 2] [--times]

Three blocks of norm, ReLU, convolution, norm, ReLU, convolution, max pool, and a strided convolution around them, on 32x32x3 images;
the mean over places; a dense layer; softmax cross-entropy; Adam; moving statistics. The same batch again and again.
"""

import os

from tests.benchmarks.convnet import main

BATCH, FILTERS, MOMENTUM, EPSILON = 64, (32, 64, 128), 0.9, 1e-3


def data():
    import numpy as np

    rng = np.random.default_rng(0)
    x, y = rng.random((BATCH, 32, 32, 3), dtype="float32"), rng.integers(0, 10, BATCH)
    shapes, before = [(3, 3, 3, 32)], 32
    for filters in FILTERS:
        shapes += [(3, 3, before, filters), (3, 3, filters, filters), (1, 1, before, filters)]
        before = filters
    shapes.append((before, 10))
    return x, y, [(rng.normal(size=s) / np.sqrt(np.prod(s[:-1]))).astype("float32") for s in shapes]


def own_step(threads):
    os.environ["GRAPHKERAS_NUM_THREADS"] = str(threads)
    import numpy as np

    from graphkeras import ops, optimizers
    from graphkeras.autodiff import GradientTape
    from graphkeras.runtime.function import function
    from graphkeras.trace import Variable

    x, y, weights = data()
    kernels = [Variable(w) for w in weights]
    sizes = [n for before, filters in zip((32, *FILTERS), FILTERS) for n in (before, filters)]
    norms = [[Variable(np.full(n, v, "float32")) for v in (1, 0)] for n in sizes]
    moving = [[Variable(np.full(n, v, "float32"), trainable=False) for v in (0, 1)] for n in sizes]
    bias = Variable(np.zeros(10, "float32"))
    trained = [*kernels, *(v for pair in norms for v in pair), bias]
    optimizer = optimizers.Adam()
    optimizer.build(trained)

    def normalised(h, number):
        found = ops.moments(h, axes=[0, 1, 2])
        for variable, value in zip(moving[number], found):
            variable.assign(MOMENTUM * variable + (1 - MOMENTUM) * value)
        scale, offset = norms[number]
        return ops.relu(ops.batch_normalization(h, *found, -1, offset, scale, EPSILON))

    def logits_of(x):
        first, *blocks, last = kernels
        h = ops.conv(x, first, padding="same")
        for i in range(3):
            a, b, around = blocks[3 * i : 3 * i + 3]
            inner = ops.conv(normalised(h, 2 * i), a, padding="same")
            inner = ops.conv(normalised(inner, 2 * i + 1), b, padding="same")
            h = ops.max_pool(inner, 3, 2, "same") + ops.conv(h, around, strides=2)
        return ops.matmul(ops.mean(h, axis=(1, 2)), last) + bias

    @function
    def step(x, y):
        with GradientTape() as tape:
            loss = ops.mean(ops.sparse_categorical_crossentropy(y, logits_of(x), from_logits=True))
        optimizer.apply_gradients(zip(tape.gradient(loss, trained), trained))
        return loss

    return lambda: float(step(x, y))


def torch_step(threads):
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(threads)
    x, y, weights = data()
    x, y = torch.tensor(x).permute(0, 3, 1, 2), torch.tensor(y)
    *kernels, last = [torch.tensor(w) for w in weights]
    kernels = [nn.Parameter(w.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)) for w in kernels]
    last, bias = nn.Parameter(last), nn.Parameter(torch.zeros(10))
    sizes = [n for before, filters in zip((32, *FILTERS), FILTERS) for n in (before, filters)]
    norms = nn.ModuleList(nn.BatchNorm2d(n, eps=EPSILON, momentum=1 - MOMENTUM) for n in sizes)
    optimizer = torch.optim.Adam([*kernels, last, bias, *norms.parameters()])

    def step():
        optimizer.zero_grad()
        first, *blocks = kernels
        h = functional.conv2d(x, first, padding=1)
        for i in range(3):
            a, b, around = blocks[3 * i : 3 * i + 3]
            inner = functional.conv2d(functional.relu(norms[2 * i](h)), a, padding=1)
            inner = functional.conv2d(functional.relu(norms[2 * i + 1](inner)), b, padding=1)
            h = functional.max_pool2d(inner, 3, 2, 1) + functional.conv2d(h, around, stride=2)
        loss = functional.cross_entropy(h.mean((2, 3)) @ last + bias, y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    main(__doc__.splitlines()[0], __file__, {"graphkeras": own_step, "torch": torch_step})
