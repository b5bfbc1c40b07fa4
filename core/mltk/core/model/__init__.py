"""The model specification under the path of silabs-mltk: `MltkModel`, its mixins and events."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
