"""The model specification: `MltkModel`, its mixins, properties and events."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
