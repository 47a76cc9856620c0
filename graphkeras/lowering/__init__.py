"""Lowering: a scheduled group of nodes becomes kernel source."""
