"""Model specifications that come with mltk and its plugins, and networks to build on (`mltk.models.shared`)."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
