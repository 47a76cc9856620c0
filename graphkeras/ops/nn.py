"""The functions of `keras.ops.nn`."""

from graphkeras.ops.calls import publish
from graphkeras.ops.fft import (
    polar,
)  # fmt: skip
from graphkeras.ops.nn_activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    swish,
    tanh_shrink,
    threshold,
)  # fmt: skip
from graphkeras.ops.nn_attention import (
    dot_product_attention,
)  # fmt: skip
from graphkeras.ops.nn_conv import (
    adaptive_average_pool,
    adaptive_max_pool,
    average_pool,
    conv,
    conv_transpose,
    depthwise_conv,
    max_pool,
    separable_conv,
)  # fmt: skip
from graphkeras.ops.nn_ctc import (
    ctc_decode,
    ctc_loss,
)  # fmt: skip
from graphkeras.ops.nn_losses import (
    binary_crossentropy,
    categorical_crossentropy,
    multi_hot,
    one_hot,
    psnr,
    sparse_categorical_crossentropy,
)  # fmt: skip
from graphkeras.ops.nn_norm import (
    batch_normalization,
    layer_normalization,
    moments,
    normalize,
    rms_normalization,
)  # fmt: skip
from graphkeras.ops.nn_patches import (
    depth_to_space,
    fold,
    space_to_depth,
    unfold,
)  # fmt: skip
from graphkeras.ops.nn_sparsemax import (
    sparsemax,
)  # fmt: skip

__all__ = [
    "adaptive_average_pool", "adaptive_max_pool", "average_pool", "batch_normalization", "binary_crossentropy",
    "categorical_crossentropy", "celu", "conv", "conv_transpose", "ctc_decode", "ctc_loss", "depth_to_space",
    "depthwise_conv", "dot_product_attention", "elu", "fold", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "layer_normalization", "leaky_relu", "log_sigmoid", "log_softmax", "max_pool", "moments",
    "multi_hot", "normalize", "one_hot", "polar", "psnr", "relu", "relu6", "rms_normalization", "selu", "separable_conv",
    "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "space_to_depth", "sparse_categorical_crossentropy",
    "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh_shrink", "threshold", "unfold",
]  # fmt: skip

publish(globals())
