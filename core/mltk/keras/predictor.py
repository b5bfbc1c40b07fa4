"""Run a Keras model behind the interface of predictors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mltk.keras.inputs import input_specs
from mltk.utils.trees import Tree, leaves_of

if TYPE_CHECKING:
    import keras


class KerasPredictor:
    """Run a Keras model.

    Args:
        keras_model: The model.
        name: Name for files.
    """

    kind = "h5"

    def __init__(self, keras_model: keras.Model, name: str) -> None:
        self.keras_model = keras_model
        self.name = name

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input, batch axis included."""
        specs = input_specs(self.keras_model)
        return specs[0].shape if specs else tuple(self.keras_model.input_shape)

    def predict(self, batch: Tree) -> np.ndarray:
        """Return the first output of the model in float32.

        Args:
            batch: Samples; for several inputs a list or a dictionary of arrays.
        """
        return np.asarray(leaves_of(self.keras_model.predict_on_batch(batch))[0], np.float32)
