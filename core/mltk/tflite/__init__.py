"""Read, change and run `.tflite` files, without TensorFlow."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
