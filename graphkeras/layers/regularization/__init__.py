"""Layers that are active during training, and penalties."""
