"""Functions of images, as in `keras.ops.image`: compositions of gathers, products and sums, so they compile and have gradients."""

from graphkeras.ops.calls import publish
from graphkeras.ops.image.colors import hsv_to_rgb, rgb_to_grayscale, rgb_to_hsv
from graphkeras.ops.image.elastic import elastic_transform
from graphkeras.ops.image.resizing import resize, scale_and_translate
from graphkeras.ops.image.sampling import affine_transform, map_coordinates, perspective_transform
from graphkeras.ops.image.windows import (
    crop_images,
    extract_patches,
    extract_patches_3d,
    gaussian_blur,
    pad_images,
    sobel_edges,
    ssim,
)

__all__ = [
    "affine_transform", "crop_images", "elastic_transform", "extract_patches", "extract_patches_3d", "gaussian_blur", "hsv_to_rgb",
    "map_coordinates", "pad_images", "perspective_transform", "resize", "rgb_to_grayscale", "rgb_to_hsv", "scale_and_translate",
    "sobel_edges", "ssim",
]  # fmt: skip

publish(globals())
