"""Data sets of sensor recordings and augmentation for mltk."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
