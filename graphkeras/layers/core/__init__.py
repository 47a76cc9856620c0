"""Layers everything else is made of."""
