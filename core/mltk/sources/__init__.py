"""Find and load what the user names: specifications, archives and model files."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
