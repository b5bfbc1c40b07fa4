"""Run a `.tflite` model with LiteRT."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mltk.plugins import Runtime, hookimpl

if TYPE_CHECKING:
    from mltk.plugins.types import Predictor
    from mltk.tflite import TfliteModel


@hookimpl(trylast=True)
def mltk_runtimes() -> Iterable[Runtime]:
    """Offer `tflite`."""
    return [
        Runtime("tflite", "Evaluate the quantized model, with LiteRT, instead of the Keras model.", _open)
    ]


def _open(tflite_model: TfliteModel, name: str) -> Predictor:
    from mltk.tflite.interpreter import LiteRtPredictor

    return LiteRtPredictor(tflite_model, name=name)
