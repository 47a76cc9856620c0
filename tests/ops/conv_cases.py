"""Calls of convolutions and pooling: evaluated once by Keras for the golden file, by graphkeras in the tests."""

import numpy as np

# (name, shapes of the arrays, keyword arguments)
CASES = [
    *(
        ("conv", shapes, {"strides": strides, "padding": padding, "dilation_rate": dilation})
        for shapes in [((2, 9, 3), (3, 3, 4)), ((2, 7, 8, 3), (3, 2, 3, 5)), ((1, 5, 6, 4, 2), (2, 3, 2, 2, 3))]
        for strides, dilation in [(1, 1), (2, 1), (3, 1), (1, 2)]
        for padding in ("valid", "same")
    ),
    ("conv", ((2, 7, 8, 4), (3, 3, 2, 6)), {"padding": "same"}),
    ("conv", ((2, 4, 7, 8), (3, 3, 4, 5)), {"padding": "same", "strides": 2, "data_format": "channels_first"}),
    ("conv", ((2, 3, 9), (3, 3, 4)), {"data_format": "channels_first"}),
    *(
        (name, ((2, 9, 3), (3, 3, 2), *more), {"strides": strides, "padding": padding, "dilation_rate": dilation})
        for name, more in (("depthwise_conv", ()), ("separable_conv", ((1, 6, 5),)))
        for strides, dilation in [(1, 1), (2, 1), (1, 2), (2, 2)]
        for padding in ("valid", "same")
    ),
    *(
        (name, ((2, 8, 7, 3), (3, 2, 3, 1), *more), {"strides": strides, "padding": padding})
        for name, more in (("depthwise_conv", ()), ("separable_conv", ((1, 1, 3, 5),)))
        for strides in (1, 2)
        for padding in ("valid", "same")
    ),
    ("depthwise_conv", ((2, 3, 8, 7), (3, 2, 3, 2)), {"padding": "same", "data_format": "channels_first"}),
    *(
        ("conv_transpose", shapes, {"strides": strides, "padding": padding, "output_padding": extra})
        for shapes in [((2, 5, 3), (3, 4, 3)), ((1, 4, 3, 2), (2, 3, 3, 2)), ((1, 3, 2, 3, 2), (2, 2, 3, 2, 2))]
        for strides, extra in [(1, None), (2, None), (3, None), (2, 1)]
        for padding in ("valid", "same")
    ),
    ("conv_transpose", ((2, 3, 5), (3, 4, 3)), {"strides": 2, "padding": "same", "data_format": "channels_first"}),
    *(
        (name, shapes, {"pool_size": size, "strides": strides, "padding": padding})
        for name in ("max_pool", "average_pool")
        for shapes in [((2, 9, 3),), ((2, 7, 8, 3),), ((1, 5, 6, 4, 2),)]
        for size, strides in [(2, None), (3, 2), (3, 1), (2, 3)]
        for padding in ("valid", "same")
    ),
    ("max_pool", ((2, 3, 7, 8),), {"pool_size": (3, 2), "strides": (2, 1), "padding": "same", "data_format": "channels_first"}),
    ("average_pool", ((2, 3, 9),), {"pool_size": 2, "data_format": "channels_first"}),
    *(
        (name, shapes, {"output_size": size})
        for name in ("adaptive_average_pool", "adaptive_max_pool")
        for shapes, size in [
            (((2, 10, 3),), (7,)),
            (((2, 8, 7, 3),), (3, 7)),
            (((2, 8, 6, 3),), (4, 3)),
            (((1, 5, 6, 4, 2),), (2, 4, 3)),
        ]
    ),
]


def arrays(case) -> list[np.ndarray]:
    """The float32 arrays of a case; values on a coarse grid, so that windows have ties."""
    name, shapes, _ = case
    rng = np.random.default_rng(sum(map(len, shapes)) + shapes[0][1])
    if "max_pool" in name and len(shapes[0]) == 5:  # TensorFlow's 3D gradient goes to all maxima of a window, not to the first
        return [rng.permutation(int(np.prod(shapes[0]))).reshape(shapes[0]).astype("float32")]
    return [(rng.integers(-8, 9, shape) / 4).astype("float32") for shape in shapes]


def weights(shape) -> np.ndarray:
    """What a result is multiplied by before its gradient is taken."""
    return np.float32([1.0, -2.0, 3.0])[np.arange(int(np.prod(shape))) % 3].reshape(shape)


def label(number, case) -> str:
    """Name of a case in the golden file."""
    return f"{number:03d}_{case[0]}"


def result_and_gradients(ops, tape, case, tensors):
    """What the golden file holds for a case, computed by `ops` under a gradient tape."""
    name, _, kwargs = case
    with tape() as recorded:
        for tensor in tensors:
            recorded.watch(tensor)
        y = getattr(ops, name)(*tensors, **kwargs)
        total = ops.sum(y * weights(np.shape(y)))
    return [y, *recorded.gradient(total, tensors)]
