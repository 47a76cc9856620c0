"""Pictures of models (`plot_model`), of IR graphs (`draw_graph`) and of a program's memory (`draw_memory`); nothing but Python packages
is needed to draw them."""

from graphkeras.visualization.graph_dot import draw_graph
from graphkeras.visualization.memory import draw_memory
from graphkeras.visualization.model_dot import model_to_dot, plot_model

__all__ = ["draw_graph", "draw_memory", "model_to_dot", "plot_model"]
