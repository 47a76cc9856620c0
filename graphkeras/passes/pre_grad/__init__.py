"""Passes that see a graph before it is differentiated."""
