"""Pictures of models (`plot_model`) and of IR graphs (`draw_graph`); nothing but Python packages is needed to draw them."""

from graphkeras.visualization.graph_dot import draw_graph
from graphkeras.visualization.model_dot import model_to_dot, plot_model

__all__ = ["draw_graph", "model_to_dot", "plot_model"]
