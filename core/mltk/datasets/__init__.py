"""Data sets by name; plugins add theirs, e.g. `mltk.datasets.image` and `mltk.datasets.audio`."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
