"""The threshold as a model parameter, stored in the `.tflite` by the evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mltk.core import load_tflite_model
from mltk.errors import ArchiveFileNotFoundError
from mltk.plugins import Parameter
from mltk.tflite.parameters import TfliteModelParameters

if TYPE_CHECKING:
    from mltk.tflite import TfliteModel
    from mltk_plugin_autoencoder.mixins import AutoEncoderModel


def embedded_threshold(
    mltk_model: AutoEncoderModel, tflite_model: TfliteModel | None
) -> Mapping[str, Parameter] | None:
    """Return the threshold in the archived `.tflite`, or `None` without one.

    Args:
        mltk_model: A model that inherits `EvaluateAutoEncoderMixin`.
        tflite_model: The model to put it in; one with other weights has other scores, and gets none.
    """
    name = mltk_model.threshold_parameter
    if name is None:
        return None
    try:
        archived = load_tflite_model(mltk_model)
    except ArchiveFileNotFoundError:
        return None
    parameters = TfliteModelParameters.load_from_tflite_model(archived)
    if name not in parameters:
        return None
    if tflite_model is not None and tflite_model.network_hash() != archived.network_hash():
        return None
    return {name: Parameter(float(parameters[name]), "float")}
