"""Run a Keras model behind the interface of predictors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
        shape = self.keras_model.input_shape
        return tuple(shape[0] if isinstance(shape, list) else shape)

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Return the float32 output of the model for a batch."""
        return np.asarray(self.keras_model.predict_on_batch(batch), np.float32)
