"""Detection of classes in long recordings as on the device, and evaluation of these detections."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
