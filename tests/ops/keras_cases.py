"""Calls of `keras.ops` functions with fixed arguments: evaluated once by Keras for the golden file, by graphkeras in the tests."""

import numpy as np


def _arrays():
    rng = np.random.default_rng(7)
    f = lambda *shape: rng.normal(size=shape).astype("float32")
    return {
        "x": f(3, 4),
        "y": f(3, 4),
        "v": f(4),
        "pos": (np.abs(f(3, 4)) + 0.1).astype("float32"),
        "unit": rng.uniform(-0.9, 0.9, (3, 4)).astype("float32"),
        "t3": f(2, 3, 4),
        "t4": f(2, 3, 4, 5),
        "sq": f(4, 4),
        "i": rng.integers(-5, 6, (3, 4)).astype("int32"),
        "j": rng.integers(1, 5, (3, 4)).astype("int32"),
        "u8": rng.integers(0, 9, (3, 4)).astype("uint8"),
        "i8": rng.integers(-9, 9, (3, 4)).astype("int8"),
        "i64": rng.integers(-5, 6, (3, 4)).astype("int64"),
        "b": rng.integers(0, 2, (3, 4)).astype(bool),
        "c": rng.integers(0, 2, (3, 4)).astype(bool),
        "h": f(3, 4).astype("float16"),
        "d": f(3, 4).astype("float64"),
        "special": np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.5, -2.5], "float32"),
        "nans": np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]], "float32"),
        "zero": np.zeros((3, 4), "float32"),
        "ids": np.array([0, 2, 0], "int32"),
        "steps": np.array([-8.0, -3.0, -1.0, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0, 3.0, 8.0, 40.0], "float32"),
    }


A = _arrays()
UNARY = (
    "abs absolute negative sign square exp expm1 sin cos tan tanh sinh cosh floor ceil trunc round isnan isinf isfinite isposinf "
    "isneginf isreal logical_not fabs exp2 deg2rad rad2deg arcsinh sinc cbrt nan_to_num signbit"
).split()
POSITIVE = "sqrt log log10 log1p log2 rsqrt reciprocal".split()
ACTIVATIONS = (
    "relu relu6 sigmoid silu swish softplus softsign elu selu gelu leaky_relu hard_sigmoid hard_silu hard_swish hard_tanh "
    "log_sigmoid celu soft_shrink hard_shrink tanh_shrink sparse_plus sparse_sigmoid squareplus erf"
).split()
BINARY = "add subtract multiply divide true_divide maximum minimum fmax fmin mod floor_divide divide_no_nan".split()
COMPARISONS = "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor isclose".split()
REDUCTIONS = "sum mean var std max min prod amax amin ptp nansum nanmean nanmax nanmin nanprod nanstd nanvar logsumexp".split()


def cases() -> list[tuple]:
    """(name, positional arguments, keyword arguments); a string argument "@x" stands for the array x."""
    found = []
    add = lambda name, *args, **kwargs: found.append((name, args, kwargs))
    for name in UNARY:
        for array in ("@x", "@special"):
            add(name, array)
    for name in sorted(set(UNARY) - {"cbrt", "signbit", "sinc", "tan", "negative"}):
        add(name, "@i")
    for name in POSITIVE:
        add(name, "@pos")
    for name in ("sqrt", "log", "log1p", "log2", "log10"):
        add(name, "@j")
        add(name, "@special")
    add("arctanh", "@unit")
    add("erfinv", "@unit")
    add("erfc", "@x")
    add("arccosh", "@j")
    for name in ACTIVATIONS:
        add(name, "@x")
        add(name, "@steps")
    add("gelu", "@steps", approximate=False)
    add("elu", "@steps", alpha=0.5)
    add("leaky_relu", "@steps", negative_slope=0.05)
    add("celu", "@steps", alpha=2.0)
    add("glu", "@x")
    add("threshold", "@x", 0.1, -3.0)
    for name in BINARY:
        for pair in (("@x", "@y"), ("@x", "@v"), ("@x", 2.5), ("@i", "@j"), ("@i", 2), ("@x", "@j"), ("@h", "@x")):
            add(name, *pair)
        if name != "mod":  # The traced form of Keras's mod keeps float16 beside 1.5, as we do; its eager form does not.
            add(name, "@h", 1.5)
    for name in ("add", "subtract", "multiply", "divide", "maximum"):
        for pair in (
            ("@i", 2.5),
            ("@u8", 3),
            ("@u8", "@i8"),
            ("@i64", "@i"),
            ("@i64", 0.5),
            ("@d", "@x"),
            ("@d", 2),
            ("@b", 1),
            ("@b", 2.0),
        ):
            add(name, *pair)
    for pair in (("@pos", "@y"), ("@x", 2), ("@j", 2), ("@pos", -0.5), ("@zero", 0.0), ("@j", "@j")):
        add("power", *pair)
    for name in COMPARISONS:
        for pair in (("@x", "@y"), ("@i", "@j"), ("@x", 0.5), ("@u8", 300)):
            add(name, *pair)
        if name != "isclose":  # Keras on TensorFlow finds inf and inf not close; NumPy, and we, do.
            add(name, "@special", "@special")
    for name in ("equal", "not_equal", "logical_and", "logical_or", "logical_xor"):
        add(name, "@b", "@c")
    add("fmod", "@i", "@j")
    add("hypot", "@x", "@y")
    add("logaddexp", "@x", "@y")
    add("logaddexp2", "@x", "@y")
    add("heaviside", "@x", 0.5)
    add("allclose", "@x", "@x")
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        add(name, "@i", "@j")
    add("left_shift", "@j", 2)
    add("right_shift", "@i", 1)
    add("bitwise_not", "@i")
    add("clip", "@x", -0.5, 0.5)
    add("clip", "@special", -1.0, 1.0)
    add("clip", "@i", -2, 2)
    for name in REDUCTIONS:
        for kwargs in ({}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 1)}):
            add(name, "@x", **kwargs)
        add(name, "@t3", axis=(0, 2))
    for name in ("sum", "mean", "var", "std", "max", "min", "prod"):
        for array in ("@i", "@u8", "@h", "@b", "@i64", "@special"):
            add(name, array)
    for name in ("nansum", "nanmean", "nanmax", "nanmin", "nanprod", "nanstd", "nanvar", "nanargmax", "nanargmin"):
        add(name, "@nans", axis=1)
    add("max", "@x", initial=5.0)
    for name in ("any", "all"):
        add(name, "@b", axis=1)
        add(name, "@i")
    add("count_nonzero", "@i", axis=0)
    for name in ("argmax", "argmin"):
        for kwargs in ({}, {"axis": 1}, {"axis": 0, "keepdims": True}):
            add(name, "@x", **kwargs)
        add(name, "@u8", axis=1)
    add("average", "@x", axis=1, weights="@v")
    add("average", "@x", axis=0)
    for pair in (
        ("@x", "@sq"),
        ("@v", "@sq"),
        ("@x", "@v"),
        ("@v", "@v"),
        ("@t3", "@sq"),
        ("@t4", "@t4:T"),
        ("@i", "@i:T"),
        ("@i8", "@i8:T"),
    ):
        add("matmul", *pair)
    add("dot", "@x", "@sq")
    add("dot", "@t3", "@sq")
    add("dot", "@v", 3.0)
    add("tensordot", "@t3", "@x", axes=2)
    add("tensordot", "@t3", "@x", axes=[[1, 2], [0, 1]])
    add("inner", "@x", "@y")
    add("vdot", "@x", "@y")
    add("outer", "@v", "@x")
    add("kron", "@x", "@sq")
    add("cross", "@t3:C", "@t3:C")
    for subscripts, args in (
        ("ij,jk->ik", ("@x", "@sq")),
        ("abc,cd->abd", ("@t3", "@sq")),
        ("ij,ij->i", ("@x", "@y")),
        ("ii->i", ("@sq",)),
        ("abcd,aecd->aceb", ("@t4", "@t4")),
        ("...ij,jk->...ik", ("@t3", "@sq")),
        ("ij->ji", ("@x",)),
        ("ij,jk,kl->il", ("@x", "@sq", "@sq")),
    ):
        add("einsum", subscripts, *args)
    add("reshape", "@x", (2, -1))
    add("transpose", "@t3")
    add("transpose", "@t3", axes=(1, 0, -1))
    add("swapaxes", "@t3", 0, -1)
    add("moveaxis", "@t4", (0, 1), (-1, -2))
    add("expand_dims", "@x", (0, -1))
    add("squeeze", "@x:1")
    add("ravel", "@t3")
    add("broadcast_to", "@v", (2, 4))
    add("concatenate", ["@x", "@y"], axis=1)
    add("concatenate", ["@x", "@i"])
    add("stack", ["@x", "@y"], axis=-1)
    add("append", "@x", "@v")
    add("hstack", ["@x", "@y"])
    add("vstack", ["@x", "@y"])
    add("dstack", ["@x", "@y"])
    add("split", "@t4", 2, axis=2)
    add("split", "@x", [1, 3], axis=1)
    add("array_split", "@x", 3, axis=1)
    add("flip", "@t3", axis=(0, 2))
    add("flip", "@x")
    add("roll", "@x", 2)
    add("roll", "@x", -1, axis=1)
    add("rot90", "@x")
    add("rot90", "@t3", k=3, axes=(0, 2))
    add("repeat", "@x", 2, axis=1)
    add("repeat", "@x", [1, 0, 2], axis=0)
    add("repeat", "@x", 3)
    add("tile", "@x", (2, 1, 2))
    add("pad", "@x", ((1, 2), (0, 1)))
    add("pad", "@x", ((1, 1), (2, 2)), mode="reflect")
    add("pad", "@x", ((1, 1), (2, 2)), mode="symmetric")
    add("pad", "@x", ((1, 1), (1, 1)), constant_values=7)
    add("zeros", (2, 3))
    add("ones", (2,), dtype="int8")
    add("full", (2, 2), 3)
    add("full_like", "@i", 2.7)
    add("zeros_like", "@i")
    add("ones_like", "@x", dtype="int32")
    for args in ((5,), (1, 7, 2), (0.0, 1.0, 0.25), (5, 0, -2)):
        add("arange", *args)
    add("linspace", 0, 1, 5)
    add("linspace", "@v", 2.0, 4, axis=1)
    add("linspace", 0.0, 1.0, 4, endpoint=False)
    add("logspace", 0.0, 2.0, 5)
    for kwargs in ({}, {"k": 1}, {"k": -2}):
        add("eye", 3, 4, **kwargs)
        add("tri", 3, 4, **kwargs)
        add("tril", "@t3", **kwargs)
        add("triu", "@t3", **kwargs)
        add("diag", "@v", **kwargs)
        add("diag", "@sq", **kwargs)
    add("identity", 3)
    add("diagonal", "@t4", offset=1, axis1=1, axis2=3)
    add("diagflat", "@x:2", k=1)
    add("trace", "@sq", offset=-1)
    add("meshgrid", "@v", "@unit:V")
    add("meshgrid", "@v", "@unit:V", indexing="ij")
    add("vander", "@v", N=3)
    for name in ("hanning", "hamming", "blackman", "bartlett"):
        add(name, 7)
    add("kaiser", 7, 3.0)
    add("take", "@x", [2, 0, -1], axis=0)
    add("take", "@t3", [[0, 1], [2, 0]], axis=1)
    add("take", "@x", [5, 11])
    add("take_along_axis", "@x", [[0, 3, -1], [1, 1, 1], [2, 0, 3]], axis=1)
    add("take_along_axis", "@x", [[0, 2, 1, 0]], axis=0)
    add("where", "@b", "@x", "@y")
    add("where", "@b", "@i", 0.5)
    add("where", "@b", 1, 0)
    add("select", ["@b", "@c"], ["@x", "@y"], 7.0)
    add("nonzero", "@b")
    add("unravel_index", [3, 7, 11], (3, 4))
    add("isin", "@u8", [1, 3, 5])
    add("diff", "@x", n=2)
    add("diff", "@x", axis=0)
    add("digitize", "@x", [-1.0, 0.0, 1.0])
    add("searchsorted", [-1.0, 0.0, 1.0], "@v", side="right")
    add("trapezoid", "@x")
    add("cast", "@x", "int32")
    add("cast", "@special", "bool")
    add("saturate_cast", np.array([-1.5, 3.7, 300.0], "float32"), "uint8")
    add("one_hot", [[0, 2], [1, -1]], 3)
    add("one_hot", "@ids", 3, axis=0, dtype="int32")
    add("multi_hot", np.array([[0, 2], [1, 1]], "int32"), 4)
    for axis in (-1, 0, (0, 1)):
        add("softmax", "@x", axis=axis)
    add("softmax", "@t3", axis=1)
    add("softmax", np.array([[1000.0, 0.0, -1000.0], [-np.inf, 0.0, 0.0]], "float32"))
    add("log_softmax", "@x")
    add("log_softmax", [[1000.0, 0.0, -1000.0]])
    add("logsumexp", [[1000.0, 1000.0], [-np.inf, -np.inf]], axis=1)
    add("normalize", "@x")
    add("normalize", "@x", axis=0, order=3)
    add("normalize", "@zero")
    add("moments", "@t3", axes=[0, 1])
    add("moments", "@h", axes=[0], keepdims=True)
    add("batch_normalization", "@x", "@v", "@v:A", -1, offset="@v", scale="@v", epsilon=1e-3)
    add("batch_normalization", "@t3", "@ids:F", "@ids:P", 1)
    add("layer_normalization", "@x", "@v", "@v")
    add("layer_normalization", "@t3", axis=(1, 2))
    add("rms_normalization", "@x", "@v")
    add("segment_sum", "@x", "@ids", num_segments=4)
    add("in_top_k", "@ids", "@x", 2)
    add("cdist", "@x", "@sq")
    for kwargs in ({}, {"axis": 1}, {"ord": 1, "axis": 0}, {"ord": np.inf, "axis": 1, "keepdims": True}, {"ord": 3, "axis": 1}):
        add("norm", "@x", **kwargs)
    for kwargs in ({"ord": "fro"}, {"ord": 1}, {"ord": -np.inf, "keepdims": True}):
        add("norm", "@x", **kwargs)
    add("slice", "@t3", [0, 1, 2], [2, 2, 2])
    add("unstack", "@x", axis=1)
    add("scatter", [[0, 1], [1, 1], [0, 1]], "@ids:F", (2, 3))
    add("psnr", "@x", "@y", 2.0)
    _crossentropies(add)
    _inverse_functions(add)
    _integers_and_sequences(add)
    _patches(add)
    _attention(add)
    _temporal_classification(add)
    return found


def _inverse_functions(add):
    for array in ("@unit", "@special", "@b"):
        for name in ("arcsin", "arccos"):
            add(name, array)
    for array in ("@x", "@special", "@i", "@d"):
        add("arctan", array)
    for pair in (("@x", "@y"), ("@special", "@special"), ("@special", 0.0), ("@i", "@j"), ("@x", 2), ("@h", "@h")):
        add("arctan2", *pair)
    for array in ("@x", "@steps", "@i", "@i64", "@d"):
        add("i0", array)


def _integers_and_sequences(add):
    for name in ("gcd", "lcm"):
        for pair in (("@i", "@j"), ("@j", 6), ("@u8", "@j")):
            add(name, *pair)
    add("geomspace", 1.0, 1000.0, 7)
    add("geomspace", "@pos", 5.0, 4)
    add("geomspace", -2.0, -16.0, num=4, endpoint=False)
    add("corrcoef", "@x")
    add("corrcoef", "@i")
    short = np.array([1.0, -2.0, 0.5], "float32")
    for mode in ("valid", "same", "full"):
        add("correlate", "@v", short, mode=mode)
        add("correlate", "@v", np.array([3, 1], "int32"), mode=mode)
    add("view", "@x", "int32")
    add("view", "@i", "float32")
    add("view", "@u8", "int16")
    add("view", "@x", dtype="uint8")
    add("view", "@x")


def _patches(add):
    rng = np.random.default_rng(8)
    f = lambda *shape: rng.normal(size=shape).astype("float32")
    add("depth_to_space", f(2, 2, 3, 8), 2)
    add("depth_to_space", f(2, 8, 2, 3), 2, data_format="channels_first")
    add("space_to_depth", f(2, 4, 6, 3), 2)
    add("space_to_depth", f(2, 3, 4, 6), 2, data_format="channels_first")
    image = f(2, 3, 7, 6)
    for kwargs in ({}, {"stride": 2}, {"padding": 1, "stride": (1, 2)}, {"dilation": (2, 1), "padding": (1, 0)}):
        add("unfold", image, (3, 2), **kwargs)
    add("fold", f(2, 18, 25), (6, 7), (2, 3))
    add("fold", f(2, 12, 12), (6, 7), 2, stride=2, padding=(0, 1))
    add("fold", f(1, 4, 16), (6, 7), 2, dilation=(2, 3))
    add("rearrange", "@t4", "b h w c -> b (h w) c")
    add("rearrange", "@t4", "b h w c -> c (b w) h")
    add("rearrange", "@t4", "b h (w1 w2) c -> (b w2) (w1 c) h", w1=2)
    add("rearrange", "@x", "a b -> b a")


def _attention(add):
    rng = np.random.default_rng(9)
    f = lambda *shape: rng.normal(size=shape).astype("float32")
    query, key, value = f(2, 3, 4, 5), f(2, 6, 4, 5), f(2, 6, 4, 5)
    mask = rng.integers(0, 2, (2, 1, 3, 6)).astype(bool)
    mask[..., 0] = True
    add("dot_product_attention", query, key, value)
    add("dot_product_attention", query, key, value, mask=mask, scale=0.3)
    add("dot_product_attention", query, key, value, bias=f(1, 4, 3, 6), is_causal=True)
    add("dot_product_attention", query, key, value, mask=mask, is_causal=True)
    add("dot_product_attention", query, f(2, 6, 2, 5), f(2, 6, 2, 5))
    half = lambda x: x.astype("float16")
    add("dot_product_attention", half(query), half(key), half(value))


def _temporal_classification(add):
    rng = np.random.default_rng(10)
    logits = rng.normal(size=(3, 7, 5)).astype("float32") * 2
    target = np.array([[1, 2, 2], [3, 1, 0], [4, 0, 0]], "int32")
    labels, steps = np.array([3, 2, 1], "int32"), np.array([7, 5, 6], "int32")
    add("ctc_loss", target, logits, labels, steps)
    add("ctc_loss", target % 4, logits, labels, steps, mask_index=4)
    add("ctc_decode", logits, steps)
    add("ctc_decode", logits, steps, merge_repeated=False, mask_index=2)
    add("ctc_decode", logits, steps, strategy="beam_search", beam_width=100, top_paths=2, mask_index=4)


def _crossentropies(add):
    rows = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [2.0, 1.0, 1.0]], "float32")
    hot = np.eye(3, dtype="float32")[[0, 1, 2, 1]]
    labels = np.array([0, 1, 2, 1], "int32")
    logits = np.array([[2.0, -1.0, 0.5], [100.0, -100.0, 0.0], [0.0, 0.0, 0.0], [-50.0, 3.0, 80.0]], "float32")
    soft = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0], [0.3, 0.3, 0.4]], "float32")
    for target in (hot, soft):
        add("categorical_crossentropy", target, rows)
        add("categorical_crossentropy", target, logits, from_logits=True)
        add("categorical_crossentropy", target.T.copy(), rows.T.copy(), axis=0)
        add("categorical_crossentropy", target.T.copy(), logits.T.copy(), from_logits=True, axis=0)
    for target in (labels, labels[:, None], labels.astype("uint8")):
        add("sparse_categorical_crossentropy", target, rows)
        add("sparse_categorical_crossentropy", target, logits, from_logits=True)
    probabilities = np.array([0.0, 1e-9, 0.3, 0.999, 1.0, 0.5], "float32")
    binary = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.5], "float32")
    add("binary_crossentropy", binary, probabilities)
    add("binary_crossentropy", binary, np.array([-200.0, 30.0, 0.0, 40.0, 0.5, -0.5], "float32"), from_logits=True)


def resolve(value):
    """An argument with "@x" replaced by arrays; a letter behind a colon asks for a variant."""
    if isinstance(value, str) and value.startswith("@"):
        name, _, variant = value[1:].partition(":")
        array = A[name]
        return {
            "": lambda: array,
            "T": lambda: np.ascontiguousarray(np.swapaxes(array, -1, -2)),
            "C": lambda: np.ascontiguousarray(array[..., :3]),
            "1": lambda: array[:, None, :, None],
            "2": lambda: array[:2, :2].copy(),
            "V": lambda: array[0],
            "A": lambda: np.abs(array),
            "F": lambda: array.astype("float32"),
            "P": lambda: array.astype("float32") + 1,
        }[variant]()
    if isinstance(value, list):
        return [resolve(v) for v in value] if any(isinstance(v, str) for v in value) else value
    return value


def call(functions, case):
    """Evaluates a case with a module of functions; a list of arrays comes back."""
    name, args, kwargs = case
    result = getattr(functions, name)(*map(resolve, args), **{k: resolve(v) for k, v in kwargs.items()})
    parts = result if isinstance(result, (list, tuple)) else [result]
    return [np.asarray(p) for p in parts]


def label(number, case) -> str:
    """A readable identifier of a case."""
    name, args, kwargs = case
    shown = [a if isinstance(a, (str, int, float)) else type(a).__name__ for a in args] + [f"{k}={v}" for k, v in kwargs.items()]
    return f"{number}-{name}({', '.join(map(str, shown))})"
