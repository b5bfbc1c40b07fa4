"""Convert with TensorFlow's converter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk.plugins import hookimpl

if TYPE_CHECKING:
    import keras

    from mltk.model.model import MltkModel
    from mltk.operations.conversion.settings import ConverterSettings
    from mltk.plugins.types import RepresentativeDataset


@hookimpl(trylast=True)
def mltk_convert_model(
    mltk_model: MltkModel,
    keras_model: keras.Model,
    settings: ConverterSettings,
    representative_dataset: RepresentativeDataset | None,
) -> bytes:
    """Run `tf.lite.TFLiteConverter` with the specification's settings."""
    from mltk.operations.conversion.converter import convert

    return convert(mltk_model, keras_model, settings, representative_dataset)
