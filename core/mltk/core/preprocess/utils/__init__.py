"""Listing, splitting and normalizing samples; plugins add `image`, `audio` and `tf_dataset`."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
