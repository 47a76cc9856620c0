"""Calls of array functions that are made in the same way with graphkeras and, for the golden file `arrays.json`, with Keras.

Each case takes an `ops` module and returns a tensor or a tuple of them. What is unique up to a sign only (eigenvectors, singular
vectors) is compared by what it is good for.
"""

import numpy as np

R = np.random.default_rng(11)
A = R.normal(size=(2, 4, 3)).astype("float32")
LINE = R.normal(size=(3, 9)).astype("float32")
WITH_NAN = np.where(R.random((3, 9)) < 0.3, np.nan, LINE).astype("float32")
TIES = R.integers(-3, 4, (3, 9)).astype("int32")
SQUARE = (R.normal(size=(2, 4, 4)) + 3 * np.eye(4)).astype("float32")
DEFINITE = (SQUARE @ SQUARE.swapaxes(-1, -2) + np.eye(4)).astype("float32")
TALL = R.normal(size=(5, 3)).astype("float32")
RIGHT = R.normal(size=(2, 4, 2)).astype("float32")
SEGMENTS = np.array([0, 2, 2, 0, 3], "int32")
IMAGES = R.uniform(0, 1, (2, 6, 8, 3)).astype("float32")
GREY = IMAGES[..., :1]
BYTES = R.integers(0, 256, (5, 7, 3)).astype("uint8")
SIGNAL = R.normal(size=(2, 40)).astype("float32")
WAVE = (R.normal(size=(2, 6, 8)).astype("float32"), R.normal(size=(2, 6, 8)).astype("float32"))
PLACES = np.stack([R.uniform(-3, 9, 12), R.uniform(-3, 11, 12)]).astype("float32")
AFFINE = np.array([[0.9, 0.2, -1.0, -0.1, 1.1, 0.5, 0.01, -0.02], [1, 0, 2.5, 0, 1, -3.25, 0, 0]], "float32")
CORNERS = np.array([[0.0, 0.0], [0.0, 5.0], [7.0, 0.0], [7.0, 5.0]], "float32")
MOVED = CORNERS + np.array([[0.5, 1.0], [1.0, -0.5], [-1.5, 0.25], [-0.25, -1.0]], "float32")


def _product(ops, *factors):
    result = factors[0]
    for factor in factors[1:]:
        result = ops.matmul(result, factor)
    return result


def _qr(ops, x, mode):
    q, r = ops.qr(x, mode=mode)
    return ops.matmul(q, r), ops.matmul(ops.swapaxes(q, -1, -2), q), ops.abs(r)


def _svd(ops, x):
    u, s, vh = ops.svd(x, full_matrices=False)
    return s, ops.matmul(u * ops.expand_dims(s, -2), vh)


def _eigh(ops, x):
    w, v = ops.eigh(x)
    return w, ops.matmul(v * ops.expand_dims(w, -2), ops.swapaxes(v, -1, -2))


CASES = {
    # order
    "sort": lambda ops: ops.sort(LINE),
    "sort_axis": lambda ops: ops.sort(A, axis=1),
    "sort_none": lambda ops: ops.sort(TIES, axis=None),
    "argsort_ties": lambda ops: ops.argsort(TIES),
    "argsort_axis": lambda ops: ops.argsort(A, axis=0),
    "top_k": lambda ops: tuple(ops.top_k(LINE, 4)),
    "top_k_ties": lambda ops: tuple(ops.top_k(TIES, 5)),
    "in_top_k": lambda ops: ops.in_top_k(np.array([1, 4, 8]), LINE, 3),
    "searchsorted": lambda ops: ops.searchsorted(np.sort(LINE[0]), LINE[1]),
    "searchsorted_right": lambda ops: ops.searchsorted(np.sort(TIES[0]), TIES[1], side="right"),
    "digitize": lambda ops: ops.digitize(LINE, [-1.0, 0.0, 0.5]),
    "bincount": lambda ops: ops.bincount(np.array([1, 5, 1, 0], "int32"), minlength=4),
    "bincount_rows": lambda ops: ops.bincount(np.array([[1, 2], [0, 2]], "int32"), minlength=4),
    "bincount_weights": lambda ops: ops.bincount(np.array([1, 3, 1], "int32"), weights=np.array([0.5, 1.0, 2.0], "float32")),
    "histogram": lambda ops: tuple(ops.histogram(LINE.reshape(-1), bins=5)),
    "histogram_range": lambda ops: tuple(ops.histogram(LINE.reshape(-1), bins=4, range=(-1.0, 0.5))),
    "unique": lambda ops: tuple(ops.unique(TIES, return_index=True, return_inverse=True, return_counts=True)),
    "unique_unsorted": lambda ops: tuple(ops.unique(TIES, sorted=False, return_index=True, return_inverse=True)),
    "unique_axis": lambda ops: ops.unique(np.array([[1, 0], [1, 0], [0, 2]], "int32"), axis=0),
    "unique_size": lambda ops: tuple(ops.unique(TIES, return_counts=True, size=9, fill_value=-7)),
    "median": lambda ops: ops.median(A, axis=1),
    "median_even": lambda ops: ops.median(A, axis=(0, 1), keepdims=True),
    "median_nan": lambda ops: ops.median(WITH_NAN, axis=1),
    "quantile": lambda ops: ops.quantile(A, [0.1, 0.5, 0.95], axis=1),
    "quantile_keep": lambda ops: ops.quantile(A, [0.1, 0.5], axis=(0, 2), keepdims=True),
    "quantile_all": lambda ops: ops.quantile(TIES, 0.3),
    **{
        f"quantile_{method}": lambda ops, method=method: ops.quantile(LINE, [0.2, 0.77], axis=1, method=method)
        for method in ("lower", "higher", "nearest", "midpoint")
    },
    "percentile": lambda ops: ops.percentile(LINE, 35, axis=0),
    "nanmedian": lambda ops: ops.nanmedian(WITH_NAN, axis=1),
    "nanquantile": lambda ops: ops.nanquantile(WITH_NAN, 0.3),
    "nanpercentile": lambda ops: ops.nanpercentile(WITH_NAN, [20, 70], axis=1),
    # cumulative
    "cumsum": lambda ops: ops.cumsum(A, axis=1),
    "cumsum_flat": lambda ops: ops.cumsum(A),
    "cumsum_bool": lambda ops: ops.cumsum(TIES > 0, axis=1),
    "cumprod": lambda ops: ops.cumprod(A, axis=-1),
    "nancumsum": lambda ops: ops.nancumsum(WITH_NAN, axis=1),
    "nancumprod": lambda ops: ops.nancumprod(WITH_NAN, axis=0),
    # segments and places
    **{
        f"segment_{how}": lambda ops, how=how: getattr(ops, f"segment_{how}")(TALL, SEGMENTS, num_segments=5)
        for how in ("sum", "max", "min", "prod")
    },
    "segment_max_ints": lambda ops: ops.segment_max(np.arange(5, dtype="int32"), SEGMENTS, num_segments=5),
    "segment_negative": lambda ops: ops.segment_max(TALL, np.array([0, -1, 2, 0, -1], "int32"), num_segments=3),
    **{
        f"scatter_update_{how}": lambda ops, how=how: ops.scatter_update(
            TALL, np.array([[0, 1], [4, 2], [0, 0]], "int32"), np.array([5.0, -2.0, 0.5], "float32"), reduction=how
        )
        for how in (None, "add", "max", "min", "mul")
    },
    "scatter_update_rows": lambda ops: ops.scatter_update(TALL, np.array([[3], [1]], "int32"), TALL[:2]),
    "slice_update": lambda ops: ops.slice_update(TALL, [1, 1], np.ones((2, 2), "float32")),
    # linear algebra
    "cholesky": lambda ops: ops.cholesky(DEFINITE),
    "cholesky_upper": lambda ops: ops.cholesky(DEFINITE, upper=True),
    "cholesky_inverse": lambda ops: ops.cholesky_inverse(np.linalg.cholesky(DEFINITE)),
    "cholesky_inverse_upper": lambda ops: ops.cholesky_inverse(np.linalg.cholesky(DEFINITE).swapaxes(-1, -2), upper=True),
    "det": lambda ops: ops.det(SQUARE),
    "slogdet": lambda ops: tuple(ops.slogdet(-SQUARE)),
    "logdet": lambda ops: ops.logdet(DEFINITE),
    "eigh": lambda ops: _eigh(ops, DEFINITE),
    "inv": lambda ops: ops.inv(SQUARE),
    "lu_factor": lambda ops: tuple(ops.lu_factor(SQUARE[0])),
    "norm": lambda ops: tuple(
        ops.norm(TALL, ord=order, axis=(0, 1)) for order in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
    ),
    "norm_keep": lambda ops: ops.norm(A, ord="nuc", axis=(0, 2), keepdims=True),
    "norm_vector": lambda ops: tuple(ops.norm(A, ord=order, axis=1) for order in (None, 0, 1, 2, 3, np.inf, -np.inf)),
    "qr": lambda ops: _qr(ops, TALL, "reduced"),
    "qr_complete": lambda ops: _qr(ops, TALL, "complete"),
    "solve": lambda ops: ops.solve(SQUARE, RIGHT),
    "solve_vector": lambda ops: ops.solve(SQUARE[0], RIGHT[0, :, 0]),
    "solve_triangular": lambda ops: ops.solve_triangular(SQUARE, RIGHT),
    "solve_triangular_lower": lambda ops: ops.solve_triangular(SQUARE, RIGHT, lower=True),
    "svd": lambda ops: _svd(ops, A),
    "svd_values": lambda ops: ops.svd(A, compute_uv=False),
    "lstsq": lambda ops: ops.lstsq(TALL, RIGHT.reshape(-1)[:5]),
    "lstsq_columns": lambda ops: ops.lstsq(TALL.T, TALL[:3, :2]),
    "pinv": lambda ops: ops.pinv(A),
    "matrix_rank": lambda ops: ops.matrix_rank(np.array([[1.0, 2.0], [2.0, 4.0]], "float32")),
    # Fourier transforms
    "fft": lambda ops: tuple(ops.fft(WAVE)),
    "fft2": lambda ops: tuple(ops.fft2(WAVE)),
    "ifft2": lambda ops: tuple(ops.ifft2(WAVE)),
    "rfft": lambda ops: tuple(ops.rfft(SIGNAL)),
    "rfft_length": lambda ops: tuple(ops.rfft(SIGNAL, fft_length=50)),
    "irfft": lambda ops: ops.irfft(WAVE),
    "irfft_length": lambda ops: ops.irfft(WAVE, fft_length=9),
    "extract_sequences": lambda ops: ops.extract_sequences(SIGNAL, 12, 5),
    "stft": lambda ops: tuple(ops.stft(SIGNAL, 10, 4, 16)),
    "stft_hamming": lambda ops: tuple(ops.stft(SIGNAL, 10, 4, 10, window="hamming", center=False)),
    "stft_none": lambda ops: tuple(ops.stft(SIGNAL, 10, 4, 16, window=None)),
    "istft": lambda ops: ops.istft(ops.stft(SIGNAL, 12, 4, 16), 12, 4, 16),
    "istft_length": lambda ops: ops.istft(ops.stft(SIGNAL, 12, 4, 16), 12, 4, 16, length=30),
    "istft_plain": lambda ops: ops.istft(
        ops.stft(SIGNAL, 12, 4, 12, window=None, center=False), 12, 4, 12, window=None, center=False
    ),
    "angle": lambda ops: ops.angle(LINE),
    "view_as_real": lambda ops: ops.view_as_real(ops.view_as_complex(WAVE[0].reshape(-1, 2))),
    # images
    **{
        f"resize_{how}_{size}{'_antialias' if smooth else ''}": lambda ops, how=how, size=size, smooth=smooth: ops.image.resize(
            GREY, size, interpolation=how, antialias=smooth, data_format="channels_last"
        )
        for how in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area")
        for size in ((12, 16), (3, 4), (5, 9))
        for smooth in (False, True)
        if how != "bicubic" or smooth or size != (5, 9)  # TensorFlow rounds places to 1/1024 there
    },
    "resize_bytes": lambda ops: ops.image.resize(BYTES, (8, 4), data_format="channels_last"),
    "resize_bytes_nearest": lambda ops: ops.image.resize(BYTES, (8, 4), interpolation="nearest", data_format="channels_last"),
    "resize_first": lambda ops: ops.image.resize(IMAGES.transpose(0, 3, 1, 2), (4, 5), data_format="channels_first"),
    "resize_crop": lambda ops: ops.image.resize(IMAGES, (4, 4), crop_to_aspect_ratio=True, data_format="channels_last"),
    "resize_pad": lambda ops: ops.image.resize(
        IMAGES, (4, 4), pad_to_aspect_ratio=True, fill_value=0.5, data_format="channels_last"
    ),
    **{
        f"scale_{method}": lambda ops, method=method: ops.image.scale_and_translate(
            GREY, (2, 9, 4, 1), np.array([1.6, 0.45], "float32"), np.array([-0.7, 0.3], "float32"), (1, 2), method
        )
        for method in ("linear", "cubic", "lanczos3", "lanczos5")
    },
    "scale_plain": lambda ops: ops.image.scale_and_translate(
        BYTES.astype("float32"), (5, 4, 3), np.array([0.6], "float32"), np.array([0.0], "float32"), (1,), "linear", antialias=False
    ),
    **{
        f"affine_{how}_{fill}": lambda ops, how=how, fill=fill: ops.image.affine_transform(
            GREY, AFFINE, interpolation=how, fill_mode=fill, fill_value=0.25, data_format="channels_last"
        )
        for how in ("nearest", "bilinear")
        for fill in ("constant", "nearest", "wrap", "reflect")
    },
    "perspective": lambda ops: ops.image.perspective_transform(GREY, CORNERS, MOVED, fill_value=0.1, data_format="channels_last"),
    "perspective_nearest": lambda ops: ops.image.perspective_transform(
        GREY, CORNERS, MOVED, interpolation="nearest", data_format="channels_last"
    ),
    **{
        f"map_{order}_{fill}": lambda ops, order=order, fill=fill: ops.image.map_coordinates(
            IMAGES[0, :, :, 0], PLACES, order, fill_mode=fill, fill_value=0.3
        )
        for order in (0, 1)
        for fill in ("constant", "nearest", "wrap")  # on TensorFlow "mirror" and "reflect" fail or read other places
    },
    "map_ints": lambda ops: ops.image.map_coordinates(TIES, PLACES[:, :5], 1, fill_mode="nearest"),
    "patches": lambda ops: ops.image.extract_patches(IMAGES[:1], (3, 2), data_format="channels_last"),
    "patches_same": lambda ops: ops.image.extract_patches(IMAGES[:1], 3, strides=2, padding="same", data_format="channels_last"),
    "patches_dilated": lambda ops: ops.image.extract_patches(
        IMAGES[:1], 2, strides=1, dilation_rate=2, data_format="channels_last"
    ),
    "patches_3d": lambda ops: ops.image.extract_patches_3d(
        IMAGES[:1, ..., None], (1, 2, 2), strides=(1, 2, 1), data_format="channels_last"
    ),
    "pad_images": lambda ops: ops.image.pad_images(IMAGES, 1, 2, target_height=9, target_width=12, data_format="channels_last"),
    "crop_images": lambda ops: ops.image.crop_images(IMAGES, 1, 2, target_height=3, target_width=4, data_format="channels_last"),
    "grayscale": lambda ops: ops.image.rgb_to_grayscale(IMAGES, data_format="channels_last"),
    "hsv": lambda ops: ops.image.rgb_to_hsv(IMAGES, data_format="channels_last"),
    "rgb": lambda ops: ops.image.hsv_to_rgb(IMAGES, data_format="channels_last"),
    "blur": lambda ops: ops.image.gaussian_blur(IMAGES, (3, 3), (0.7, 1.5), data_format="channels_last"),
    "blur_large": lambda ops: ops.image.gaussian_blur(IMAGES, (5, 5), (1.0, 1.0), data_format="channels_last"),
    "sobel": lambda ops: ops.image.sobel_edges(IMAGES, data_format="channels_last"),
    "ssim": lambda ops: ops.image.ssim(IMAGES, np.roll(IMAGES, 1, 1), filter_size=5, data_format="channels_last"),
}


def results(ops, name):
    """The results of one case as NumPy arrays."""
    found = CASES[name](ops)
    return [np.asarray(ops.convert_to_numpy(part)) for part in (found if isinstance(found, tuple) else (found,))]
