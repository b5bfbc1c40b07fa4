"""tf.data pipelines for mltk: directories, parallel Python functions, TFRecord files and the tf.data service."""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
