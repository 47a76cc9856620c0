"""Small data sets, as `keras.datasets` has them, and samples that need no network."""

from graphkeras.datasets import mnist

__all__ = ["mnist"]
