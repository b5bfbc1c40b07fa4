"""Data sets by name; plugins add theirs, e.g. `mltk.datasets.image` and `mltk.datasets.audio`."""

from mltk._namespace import lazy_names

__getattr__, __dir__ = lazy_names(__name__, {})
