"""The command `mltk`, and the helpers that commands and specifications use: `from mltk import cli`."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
