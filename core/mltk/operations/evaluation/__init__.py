"""Evaluate a model."""
