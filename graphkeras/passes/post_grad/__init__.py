"""Passes for a graph whose gradients have all been formed."""
