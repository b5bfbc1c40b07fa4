"""Keras losses: those of core, and those that plugins provide."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
