"""Predictors: one way to run a Keras model or a `.tflite`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk.errors import MltkError, SpecificationError, did_you_mean
from mltk.keras.predictor import KerasPredictor
from mltk.plugins import get_plugin_manager
from mltk.tflite import TfliteModel

if TYPE_CHECKING:
    import keras

    from mltk.plugins.types import Predictor, Runtime

LITERT = "tflite"
"""Name of the built-in runtime."""


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
    return get_plugin_manager().collect_offers("mltk_runtimes")
