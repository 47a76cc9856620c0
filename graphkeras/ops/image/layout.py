"""What all image functions share: the checks of their input, and one layout inside, (N, H, W, C)."""

from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops.numpy_shape import expand_dims, moveaxis, squeeze
from graphkeras.trace import as_tensor
from graphkeras.trace.settings import image_data_format


def data_format_of(data_format) -> str:
    """The layout's name; that of the configuration by default."""
    name = image_data_format() if data_format is None else str(data_format).lower()
    if name not in ("channels_first", "channels_last"):
        raise ArgumentError(
            "Unknown data format.",
            got=f"data_format={data_format!r}",
            expected="'channels_first' or 'channels_last'",
            mend="correct the name; None takes that of keras.config.image_data_format()",
        )
    return name


def require_choice(name, value, choices):
    """Raises ArgumentError unless `value` is one of `choices`."""
    if value not in choices:
        raise ArgumentError(
            f"Invalid value for argument `{name}`.",
            got=f"{name}={value!r}",
            expected="one of " + ", ".join(map(repr, choices)),
            mend="correct the name",
        )


class Images:
    """Images as (N, H, W, C), and the way back to the layout in which they came.

    Args:
        images: tensor of rank 3 (one image) or 4.
        data_format: layout, or None.
        spatial: number of spatial axes; 3 for volumes.
    """

    def __init__(self, images, data_format, spatial=2):
        images = as_tensor(images)
        if images.ndim not in (spatial + 1, spatial + 2):
            raise ShapeError(
                f"Invalid images rank: expected rank {spatial + 1} (single image) or rank {spatial + 2} (batch of images).",
                got=f"images {images.spec}",
                expected=f"rank {spatial + 1} or {spatial + 2}",
                mend="add or remove axes with ops.expand_dims or ops.squeeze",
            )
        self.first = data_format_of(data_format) == "channels_first"
        self.single = images.ndim == spatial + 1
        images = expand_dims(images, 0) if self.single else images
        self.tensor = moveaxis(images, 1, -1) if self.first else images

    def restored(self, images):
        """(N, ..., C) in the layout of the input."""
        images = moveaxis(images, -1, 1) if self.first else images
        return squeeze(images, 0) if self.single else images


def known_sizes(images, what):
    """Height and width of (N, H, W, C), which must be known when the graph is built."""
    sizes = images.spec.shape[1:-1]
    if not all(isinstance(s, int) for s in sizes):
        raise ShapeError(
            f"{what}: height and width must be known when the graph is built.", got=str(images.spec), expected="fixed sizes",
            mend="give them in Input(shape=(height, width, channels))",
        )  # fmt: skip
    return sizes
