"""Layers that compute speech features."""
