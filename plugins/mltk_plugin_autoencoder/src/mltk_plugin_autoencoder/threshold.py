"""The threshold as a model parameter: put into the `.tflite` by the evaluation, kept until it is quantized anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mltk.errors import ArchiveFileNotFoundError
from mltk.plugins import Parameter
from mltk.core import load_tflite_model
from mltk.tflite.parameters import TfliteModelParameters


def embedded_threshold(mltk_model: Any) -> Mapping[str, Parameter] | None:
    """Return the threshold that the archived `.tflite` holds; `None` without one, and for one that is being made.

    Args:
        mltk_model: A model that inherits `EvaluateAutoEncoderMixin`.
    """
    name = mltk_model.threshold_parameter
    if name is None or getattr(mltk_model, "_autoencoder_is_quantized", False):
        return None
    try:
        parameters = TfliteModelParameters.load_from_tflite_model(load_tflite_model(mltk_model))
    except ArchiveFileNotFoundError:
        return None
    return {name: Parameter(float(parameters[name]), "float")} if name in parameters else None
