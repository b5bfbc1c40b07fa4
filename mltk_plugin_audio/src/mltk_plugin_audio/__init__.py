"""Audio plugin of mltk: front end, augmentation, data sets and keyword spotting."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
