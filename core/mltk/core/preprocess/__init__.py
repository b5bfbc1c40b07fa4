"""The data path; plugins add `image` and `audio`."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
