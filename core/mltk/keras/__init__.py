"""Keras: loading, files, callbacks and what conversion needs of it."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
