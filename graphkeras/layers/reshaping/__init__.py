"""Layers that only move elements."""
