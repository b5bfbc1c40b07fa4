"""The public API: `import mltk.core as mltk_core`.

Every name is imported when it is first used, so that reading a `.tflite` never imports TensorFlow. Names that
plugins provide (`ImageDatasetMixin`, …) are found in the installed plugins.
"""

from mltk import lazy

__all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
