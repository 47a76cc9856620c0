"""Passes that hold before and after differentiation: they keep values and gradients."""
