"""The threshold as a model parameter, stored in the `.tflite` by the evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mltk.core import load_tflite_model
from mltk.errors import ArchiveFileNotFoundError
from mltk.plugins import Parameter
from mltk.tflite.parameters import TfliteModelParameters

if TYPE_CHECKING:
    from mltk_plugin_autoencoder.mixins import AutoEncoderModel


def embedded_threshold(mltk_model: AutoEncoderModel) -> Mapping[str, Parameter] | None:
    """Return the threshold in the archived `.tflite`, or `None` without one.

    Args:
        mltk_model: A model that inherits `EvaluateAutoEncoderMixin`.
    """
    name = mltk_model.threshold_parameter
    if name is None:
        return None
    try:
        tflite_model = load_tflite_model(mltk_model)
        parameters = TfliteModelParameters.load_from_tflite_model(tflite_model)
    except ArchiveFileNotFoundError:
        return None
    return {name: Parameter(float(parameters[name]), "float")} if name in parameters else None
