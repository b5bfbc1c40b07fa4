"""Specifications of models that can be trained at once."""
