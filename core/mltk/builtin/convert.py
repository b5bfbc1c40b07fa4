"""Convert with TensorFlow's converter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mltk.plugins._manager import hookimpl

if TYPE_CHECKING:
    import keras

    from mltk.model.model import MltkModel
    from mltk.plugins.types import RepresentativeDataset


@hookimpl(trylast=True)
def mltk_convert_model(
    mltk_model: MltkModel,
    keras_model: keras.Model,
    settings: Mapping[str, Any],
    representative_dataset: RepresentativeDataset | None,
) -> bytes:
    """Run `tf.lite.TFLiteConverter` with the specification's settings."""
    from mltk.operations.conversion.converter import convert

    return convert(mltk_model, keras_model, settings, representative_dataset)
