"""What specifications written for Keras 2 use, and Keras 3 has under another name or not at all."""

from __future__ import annotations

import re
from itertools import count
from typing import Any


class _Shape:
    """`layer.input_shape` or `layer.output_shape`; what a layer sets itself by this name stays."""

    def __init__(self, tensor: str) -> None:
        self.tensor = tensor

    def __get__(self, layer: Any, owner: type) -> Any:
        return self if layer is None else tuple(getattr(layer, self.tensor).shape)


def add_shapes_of_layers() -> None:
    """Give Keras' layers, in this process, `input_shape` and `output_shape`, unless they have them."""
    import keras

    for tensor in ("input", "output"):
        if not hasattr(keras.layers.Layer, f"{tensor}_shape"):
            setattr(keras.layers.Layer, f"{tensor}_shape", _Shape(tensor))


def name_learning_rate(optimizer: Any) -> None:
    """Let callbacks read and set the learning rate of an optimizer as `optimizer.lr`."""
    variable = getattr(getattr(optimizer, "learning_rate", None), "value", None)
    if hasattr(variable, "assign") and not hasattr(optimizer, "lr"):
        # Keras would count an attribute that it knows of among the weights.
        object.__setattr__(optimizer, "lr", variable)


def name_inner_models(keras_model: Any) -> None:
    """Name models inside a model as Keras 2 did (`model`, `model_1`, …) where Keras 3 chose the name."""
    import keras

    taken = {layer.name for layer in keras_model.layers}
    free = (name for i in count() if (name := f"model_{i}" if i else "model") not in taken)
    for layer in keras_model.layers:
        if isinstance(layer, keras.Model) and re.fullmatch(r"functional(_\d+)?", layer.name):
            layer.name = next(free)
