"""Chunks: the runs of rows in which sums down columns are taken, and where the tiles of a convolution can be made of whole ones."""

import math

from graphkeras.ir.dims import size
from graphkeras.ir.node import Node

CHUNK_ROWS = 64
"""Sums down columns restart every so many rows; a kernel that takes them on the side has chunks of rows for units."""
_MOST_PLACES = 1024
"""More places of a convolution would not stay in a core's cache between the product and the sums."""


def whole_chunks(lines: int, width: int) -> tuple[int, int] | None:
    """The smallest block of a convolution's places that is a number of whole chunks, for images of so many lines and places a line.

    Returns:
        How many images, and how many lines of each; None if that would be too many places. Only a block of one image may have fewer
        than all lines, and these divide the image.
    """
    if lines * width % CHUNK_ROWS == 0:
        images, lines = 1, CHUNK_ROWS // math.gcd(CHUNK_ROWS, width)
    else:
        images = CHUNK_ROWS // math.gcd(CHUNK_ROWS, lines * width)
    return (images, lines) if images * lines * width <= _MOST_PLACES else None


def can_be_chunked(node: Node) -> bool:
    """Whether the places of a convolution or input gradient can be cut into blocks of whole chunks, whatever the batch."""
    *lines, width = node.specs[0].shape[1:-1]
    known = all(isinstance(d, int) and d > 0 for d in (*lines, width))
    return known and whole_chunks(size(lines), width) is not None
