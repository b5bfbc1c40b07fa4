"""Keras layers that plugins provide."""

from mltk._namespace import lazy_names

__getattr__, __dir__ = lazy_names(__name__, {})
