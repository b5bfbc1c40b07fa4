"""Keras names that specifications import from here, and what mltk adds to Keras."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
