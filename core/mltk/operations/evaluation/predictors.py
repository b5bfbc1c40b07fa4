"""Predictors: one way to run a Keras model or a `.tflite`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mltk.errors import MltkError, SpecificationError, did_you_mean
from mltk.plugins import collect_offers
from mltk.tflite import TfliteModel

if TYPE_CHECKING:
    import keras

    from mltk.plugins.types import Predictor, Runtime

LITERT = "tflite"
"""Name of the built-in runtime."""


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


def make_predictor(
    built_model: keras.Model | TfliteModel, name: str, runtime: str | None = None
) -> Predictor:
    """Return a predictor for a `keras.Model` or a `TfliteModel`.

    Args:
        built_model: The model.
        name: Its name, for files.
        runtime: Name of the runtime that runs a `TfliteModel`; LiteRT by default.

    Raises:
        SpecificationError: There is no such runtime.
        MltkError: The runtime returns a predictor of another kind.
    """
    if not isinstance(built_model, TfliteModel):
        return KerasPredictor(built_model, name)
    offers = offered_runtimes()
    runtime = runtime or LITERT
    if runtime not in offers:
        raise SpecificationError(
            f"There is no runtime named '{runtime}'.{did_you_mean(runtime, offers)} "
            f"Those offered: {', '.join(offers)}."
        )
    predictor = offers[runtime].open(built_model, name)
    if getattr(predictor, "kind", None) != runtime:
        raise MltkError(f"The predictors of the runtime '{runtime}' must have it as their kind.")
    return predictor


def offered_runtimes() -> dict[str, Runtime]:
    """Return the runtimes of mltk, of the plugins and of the active specification by name."""
    return collect_offers("mltk_runtimes")
