"""Connectionist temporal classification, as in `keras.ops.nn`.

After Graves et al., Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent Neural Networks,
2006.
"""

import numpy as np

from graphkeras.ir.dtypes import FLOATS
from graphkeras.ir.errors import ArgumentError
from graphkeras.ir.registry import NoGradient, Sample, register_op
from graphkeras.ir.samples import exactly, integers, uniform
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops.core_control import scan
from graphkeras.ops.inference import require_dtype, scalar_like
from graphkeras.ops.nn_activations import log_softmax
from graphkeras.ops.numpy_index import take_along_axis
from graphkeras.ops.numpy_join import concatenate, pad, stack
from graphkeras.ops.numpy_reduce import max as _max
from graphkeras.ops.numpy_shape import broadcast_to, cut, expand_dims, reshape, transpose
from graphkeras.ops.promotion import result_type
from graphkeras.ops.sources import iota
from graphkeras.trace import as_tensor, convert_to_tensor, prim

# Stands for the logarithm of zero: differences of two such numbers are numbers, which those of two infinities are not.
_NEVER = -1e30


def ctc_loss(target, output, target_length, output_length, mask_index=0):
    """CTC loss: minus the logarithm of the probability of all ways to spell the target.

    Args:
        target: Tensor (batch, most labels) of labels.
        output: Tensor (batch, steps, classes) of logits.
        target_length: Tensor (batch,): number of labels that count.
        output_length: Tensor (batch,): number of steps that count.
        mask_index: Class of the blank. Defaults to 0.

    Returns:
        Tensor (batch,); infinite where the steps do not suffice for the labels.

    Example:

    >>> loss = ctc_loss([[1]], [[[0.0, 0.0]]], [1], [1])
    >>> f"{loss[0]:.4f}"
    '0.6931'
    """
    target = convert_to_tensor(target, "int32")
    output = as_tensor(output)
    scores = log_softmax(convert_to_tensor(output, result_type(output.dtype, "float32")), axis=-1)
    target_length, output_length = (convert_to_tensor(n, "int32") for n in (target_length, output_length))
    batch, labels = target.spec.shape
    steps, classes = scores.spec.shape[1:]
    mask_index = mask_index + classes if mask_index < 0 else mask_index
    # States: blank, label, blank, label, ..., blank. A label may follow another directly where the two differ.
    blank = broadcast_to(prim.reshape(as_tensor(np.int32(mask_index)), shape=(1, 1)), (batch, labels))
    states = concatenate([reshape(stack([blank, target], axis=2), (batch, 2 * labels)), cut(blank, 1, 0, 1)], axis=1)
    count = 2 * labels + 1
    place = iota((1, count), 1, "int32", like=scores)
    before = pad(cut(states, 1, 0, count - 2), ((0, 0), (2, 0)), constant_values=mask_index)
    skips = prim.logical_and(prim.not_equal(states, np.int32(mask_index)), prim.not_equal(states, before))
    skips = prim.logical_and(skips, prim.greater_equal(place, np.int32(2)))
    index = broadcast_to(expand_dims(states, 1), (batch, steps, count))
    emitted = transpose(take_along_axis(scores, index, axis=2), (1, 0, 2))  # (steps, batch, states)
    never = scalar_like(_NEVER, scores)

    def moved(alpha, by):
        return cut(pad(alpha, ((0, 0), (by, 0)), constant_values=_NEVER), 1, 0, count)

    def step(alpha, inputs):
        time, scores_now = inputs
        two_back = prim.select(skips, moved(alpha, 2), never)
        ways = stack([alpha, moved(alpha, 1), two_back], axis=0)
        highest = prim.stop_gradient(_max(ways, axis=0, keepdims=True))
        total = prim.log(prim.reduce_sum(prim.exp(ways - highest), axes=(0,), keepdims=False)) + reshape(highest, (batch, count))
        going_on = expand_dims(prim.less(time, output_length), 1)
        return prim.select(going_on, prim.maximum(total + scores_now, never), alpha), None

    first = cut(emitted, 0, 0, 1)
    alpha = prim.select(prim.less(place, np.int32(2)), reshape(first, (batch, count)), never)
    times = iota((steps - 1,), 0, "int32", like=scores) + 1
    alpha, _ = scan(step, alpha, (times, cut(emitted, 0, 1, steps)))
    last = expand_dims(target_length * 2, 1)
    ends = prim.logical_or(prim.equal(place, last), prim.equal(place, last - 1))
    loss = -prim.logsumexp(prim.select(ends, alpha, never), axes=(1,), keepdims=False)
    return prim.select(prim.greater(loss, scalar_like(-_NEVER / 2, loss)), scalar_like(np.inf, loss), loss)


def ctc_decode(inputs, sequence_lengths, strategy="greedy", beam_width=100, top_paths=1, merge_repeated=True, mask_index=0):
    """Decodes the output of a CTC model.

    Args:
        inputs: Tensor (batch, steps, classes) of logits.
        sequence_lengths: Tensor (batch,): number of steps that count.
        strategy: "greedy" (the best class of every step) or "beam_search".
        beam_width: How many prefixes the beam search keeps.
        top_paths: How many decodings the beam search returns.
        merge_repeated: Whether equal classes in a row count once, in the greedy strategy.
        mask_index: Class of the blank. Defaults to 0.

    Returns:
        The decodings, int32 (paths, batch, steps) padded with -1, and their scores: for "greedy" minus the sum of the best logits
        (batch, 1), for "beam_search" the logarithms of the probabilities (batch, paths).

    Example:

    >>> decoded, score = ctc_decode([[[0.0, 3.0], [0.0, 3.0], [3.0, 0.0]]], [3])
    >>> decoded.tolist(), score.tolist()
    ([[[1, -1, -1]]], [[-9.0]])
    """
    inputs = as_tensor(inputs)
    inputs = convert_to_tensor(inputs, result_type(inputs.dtype, "float32"))
    lengths = convert_to_tensor(sequence_lengths, "int32")
    classes = inputs.spec.shape[2]
    blank = classes - 1 if mask_index is None else mask_index % classes
    if strategy == "greedy":
        found = prim.ctc_greedy(inputs, lengths, merge_repeated=bool(merge_repeated), blank=blank)
    elif strategy == "beam_search":
        found = prim.ctc_beam(inputs, lengths, beam_width=int(beam_width), top_paths=int(top_paths), blank=blank)
    else:
        raise ArgumentError(
            f"Invalid strategy {strategy}. Supported values are 'greedy' and 'beam_search'.",
            got=repr(strategy),
            expected="'greedy' or 'beam_search'",
        )
    return found


def _decode_infer(paths_of, width_of):
    def infer(inputs, lengths, **attrs):
        require_dtype("ctc_decode", [inputs], FLOATS, "floating-point")
        batch, steps, _ = inputs.shape
        return TensorSpec((paths_of(attrs), batch, steps), "int32"), TensorSpec((batch, width_of(attrs)), inputs.dtype)

    return infer


def _padded(sequences, steps):
    rows = np.full((len(sequences), steps), -1, np.int32)
    for row, sequence in zip(rows, sequences):
        row[: len(sequence)] = sequence
    return rows


def _greedy(inputs, lengths, *, merge_repeated, blank):
    best, decoded = inputs.argmax(axis=2), []
    scores = np.zeros((len(inputs), 1), inputs.dtype)
    for i, length in enumerate(lengths):
        path = best[i, :length]
        scores[i] = -inputs[i, np.arange(length), path].sum()
        kept = np.ones(len(path), bool)
        if merge_repeated:
            kept[1:] = path[1:] != path[:-1]
        decoded.append(path[kept & (path != blank)])
    return _padded(decoded, inputs.shape[1])[None], scores


def _beams(scores, beam_width, top_paths, blank):
    """Prefix beam search: for each prefix the probabilities of the ways that end in a blank and in its last label."""
    beams = {(): (0.0, -np.inf)}
    for row in scores:
        grown: dict = {}

        def add(prefix, to_blank, to_label, grown=grown):
            old = grown.get(prefix, (-np.inf, -np.inf))
            grown[prefix] = (np.logaddexp(old[0], to_blank), np.logaddexp(old[1], to_label))

        for prefix, (in_blank, in_label) in beams.items():
            total = np.logaddexp(in_blank, in_label)
            add(prefix, total + row[blank], -np.inf)
            for label in range(len(row)):
                if label == blank:
                    continue
                if prefix and prefix[-1] == label:
                    add(prefix, -np.inf, in_label + row[label])
                    add((*prefix, label), -np.inf, in_blank + row[label])
                else:
                    add((*prefix, label), -np.inf, total + row[label])
        ranked = sorted(grown.items(), key=lambda item: -np.logaddexp(*item[1]))
        beams = dict(ranked[:beam_width])
    return sorted(((np.logaddexp(*ends), prefix) for prefix, ends in beams.items()), key=lambda found: -found[0])[:top_paths]


def _beam(inputs, lengths, *, beam_width, top_paths, blank):
    batch, steps, _ = inputs.shape
    decoded = np.full((top_paths, batch, steps), -1, np.int32)
    scores = np.full((batch, top_paths), -np.inf, inputs.dtype)
    logits = inputs.astype(np.float64)
    for i, length in enumerate(lengths):
        highest = logits[i].max(axis=1, keepdims=True)
        row = logits[i] - highest - np.log(np.exp(logits[i] - highest).sum(axis=1, keepdims=True))
        for path, (score, prefix) in enumerate(_beams(row[:length], beam_width, top_paths, blank)):
            decoded[path, i, : len(prefix)] = prefix
            scores[i, path] = score
    return decoded, scores


_DECODED = (uniform((2, 5, 4)), exactly([5, 3], "int32"))


def _decoded_varied(rng, **attrs):
    batch, steps, classes = (int(rng.integers(least, 5)) for least in (0, 1, 2))
    dtype = "float64" if rng.integers(2) else "float32"
    return Sample((uniform((batch, steps, classes), dtype=dtype), integers((batch,), 0, steps + 1)), attrs)


register_op(
    "ctc_greedy",
    kind="host",
    batch="decoding goes sequence by sequence",
    infer=_decode_infer(lambda attrs: 1, lambda attrs: 1),
    eager=_greedy,
    vjp=NoGradient("decoding chooses classes"),
    samples=[Sample(_DECODED, {"merge_repeated": True, "blank": 0})],
    vary=lambda rng: _decoded_varied(rng, merge_repeated=bool(rng.integers(2)), blank=0),
)
register_op(
    "ctc_beam",
    kind="host",
    batch="decoding goes sequence by sequence",
    infer=_decode_infer(lambda attrs: attrs["top_paths"], lambda attrs: attrs["top_paths"]),
    eager=_beam,
    vjp=NoGradient("decoding chooses prefixes"),
    samples=[Sample(_DECODED, {"beam_width": 10, "top_paths": 2, "blank": 0})],
    vary=lambda rng: _decoded_varied(rng, beam_width=int(rng.integers(2, 9)), top_paths=int(rng.integers(1, 3)), blank=0),
)
