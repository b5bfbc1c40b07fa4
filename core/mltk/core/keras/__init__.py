"""Keras: how it is loaded, its files, and the layers, losses, models and callbacks that mltk adds to it.

Every name is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk._namespace import lazy_names

if TYPE_CHECKING:
    import keras
    import tensorflow.keras.preprocessing.image as images
    from keras.utils import array_to_img as array_to_img
    from keras.utils import img_to_array as img_to_array
    from keras.utils import load_img as load_img

    from mltk.core.keras.saving import load_keras_model as load_keras_model

    DataSequence = keras.utils.PyDataset
    ImageDataGenerator = images.ImageDataGenerator
    ImageIterator = images.Iterator
    KerasModel = keras.Model

# Keras 3 keeps the image generators of Keras 2 under TensorFlow's name only.
_IMAGE = "tensorflow.keras.preprocessing.image"

_NAMES = {
    "DataSequence": "keras.utils:PyDataset",
    "ImageDataGenerator": _IMAGE,
    "ImageIterator": f"{_IMAGE}:Iterator",
    "KerasModel": "keras:Model",
    "array_to_img": "keras.utils",
    "img_to_array": "keras.utils",
    "load_img": "keras.utils",
    "load_keras_model": "mltk.core.keras.saving",
}

__all__ = [*_NAMES]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
