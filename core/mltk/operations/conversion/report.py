"""Report the quantization error of each tensor."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from mltk.operations.conversion.converter import (
    convertible,
    create_converter,
    for_one_sample,
    hide_converter_output,
)
from mltk.tflite import TfliteModel
from mltk.tflite.postprocess import repair_lstm_scales

if TYPE_CHECKING:
    import keras

    from mltk.operations.conversion.settings import ConverterSettings
    from mltk.plugins.types import RepresentativeDataset


def quantization_report(
    keras_model: keras.Model, settings: ConverterSettings, representative: RepresentativeDataset
) -> bytes:
    """Return the statistics of TensorFlow's quantization debugger per tensor as CSV, largest errors first.

    The added column `rmse/scale` is the ratio of the error to the quantization step; rounding alone gives about 0.29.
    """
    import tensorflow as tf

    with convertible(keras_model, settings, representative):
        converter = create_converter(for_one_sample(keras_model), settings, representative)
        with hide_converter_output():
            content = tf.lite.experimental.QuantizationDebugger(
                converter=converter, debug_dataset=representative
            ).get_debug_quantized_model()
            model = TfliteModel(bytes(content))
            repair_lstm_scales(model)
            model.regenerate_flatbuffer()
            debugger = tf.lite.experimental.QuantizationDebugger(
                quant_debug_model_content=model.flatbuffer_data, debug_dataset=representative
            )
            debugger.run()
    text = io.StringIO()
    debugger.layer_statistics_dump(text)
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    for row in rows:
        scale = float(row["scale"])
        row["rmse/scale"] = str((float(row["mean_squared_error"]) ** 0.5) / scale if scale else 0.0)
    rows.sort(key=lambda row: -float(row["rmse/scale"]))
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else ["op_name"])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
