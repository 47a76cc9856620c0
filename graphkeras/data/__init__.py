"""Data pipelines, and what `fit` makes of the data it is given."""

from graphkeras.data.dataset import AUTOTUNE, Dataset
from graphkeras.data.packing import pack_x_y_sample_weight, unpack_x_y_sample_weight
from graphkeras.data.py_dataset import PyDataset

__all__ = ["AUTOTUNE", "Dataset", "PyDataset", "pack_x_y_sample_weight", "unpack_x_y_sample_weight"]
