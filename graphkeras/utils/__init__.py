"""Helpers around models and data, as `keras.utils` has them."""

from graphkeras.visualization.model_dot import model_to_dot, plot_model

__all__ = ["model_to_dot", "plot_model"]
