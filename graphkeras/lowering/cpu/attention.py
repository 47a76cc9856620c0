"""Kernels of scaled dot product attention: scores exist for a panel of queries only, in a thread's scratch.

Forward, a unit is a panel of queries of one head of one sample. For one block of keys after the other: the scores as a product in
strips, their maxima and exponentials, and the product with the values, which is scaled down where a later block has a larger maximum
(Milakov and Gimelshein, Online normalizer calculation for softmax, 2018; Dao et al., FlashAttention, 2022). What is kept of the scores
is the logarithm of each query's sum of exponentials.

Backward, a unit is a head of one sample: it makes the panels of shares again from those logarithms, one after the other, and adds to
the gradients of keys and values in scratch. So the order of all sums follows from the shapes alone.

Lanes run along queries: maxima and sums of a panel are vectors that no lane needs another one for, and only the panel's own queries,
cotangents and results are transposed (see `attention_pieces`).
"""

import struct

from graphkeras.lowering.cpu.attention_pieces import row_blocks, scratch_bytes, staged
from graphkeras.lowering.cpu.attention_text import backward, forward
from graphkeras.lowering.cpu.kernel import Address, Computed, LoweredKernel
from graphkeras.lowering.cpu.source import short_dtype
from graphkeras.schedule.groups import Group

_DTYPES = ("f32", "f64")
_EXTRAS = ("bias", "mask")
_BITS = {"f32": ("<i", "<f"), "f64": ("<q", "<d")}


def lower_attention(group: Group, name: str, resolve) -> list[LoweredKernel]:
    """The kernel of `attention` or `attention_gradient`."""
    node = group.nodes[0]
    attrs, is_forward = node.attrs, node.op == "attention"
    dtype = short_dtype(node.specs[0].dtype)
    q, k, v = node.inputs[:3] if is_forward else node.inputs[1:4]
    batch, rows, heads, width = q.shape
    keys, depth = v.shape[1], v.shape[3]
    args, forms, names = [], {}, []

    def add(letter, value, shape=None, axes=(0, 1, 2)):
        base, layout = resolve(value)
        layout = layout if shape is None else layout.broadcast(shape)
        args.append(Address.of(base, layout.offset))
        args.extend(layout.strides[i] for i in axes)
        names.append(letter)
        return layout.strides

    for letter, value in zip("qkv" if is_forward else "gqkv", node.inputs):
        add(letter, value)
    if not is_forward:
        for letter, value in zip(("l", "d"), node.inputs[4:6]):
            add(letter, value)
    extras = iter(node.inputs[3 if is_forward else 6 :])
    for letter in _EXTRAS:
        if attrs[letter]:
            strides = add(letter, next(extras), (batch, heads, rows, keys), (0, 2, 1, 3))
            forms[letter] = "same" if strides[2] == 0 else "rows" if strides[3] == 0 else "dense" if strides[3] == 1 else "apart"
    args += [Address.of(value) for value in node.outputs]
    pack, kind = _BITS[dtype]
    scale = struct.unpack(pack, struct.pack(kind, attrs["scale"]))[0]
    args += [batch, heads, rows, keys, width, depth, scale]
    text = (forward if is_forward else backward)(dtype, names, attrs["causal"], forms)
    wide = int(dtype == "f64")
    units = Computed(_units, (batch, heads, rows)) if is_forward else batch * heads
    apart = [int(letter in staged(forms)) for letter in _EXTRAS]
    scratch = Computed(_scratch, (keys, width, depth, wide, int(not is_forward), *apart))
    return [LoweredKernel(name, group.kind, text, tuple(args), units, group, 1, scratch, flops=group.flops, bytes=group.bytes)]


def _units(batch, heads, rows):
    return batch * heads * row_blocks(rows)


def _scratch(keys, width, depth, wide, backward, *apart):
    names = tuple(name for name, is_apart in zip(_EXTRAS, apart) if is_apart)
    return scratch_bytes("attention_gradient" if backward else "attention", _DTYPES[wide], names, keys, width, depth)


LOWERINGS = {"attention": lower_attention, "attention_gradient": lower_attention}
