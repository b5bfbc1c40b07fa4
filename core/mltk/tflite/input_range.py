"""Set the range of a model's inputs between calibration and quantization."""

from __future__ import annotations

import numpy as np

from mltk.tflite.flatbuffer import to_integers
from mltk.tflite.model import TfliteModel


def set_input_range(model: TfliteModel, low: float, high: float) -> list[int]:
    """Let the inputs be quantized for a range, whatever range the samples for calibration had.

    The ranges of the tensors behind the inputs stay those of the samples.

    Args:
        model: A calibrated model in float32, whose tensors have `min` and `max`; changed, `regenerate_flatbuffer` is
            the caller's.
        low: Minimum of the inputs.
        high: Maximum of the inputs.

    Returns:
        The indices of the inputs, for `separate_scales`.
    """
    inputs = to_integers(model.flatbuffer_subgraph.inputs)
    for index in inputs:
        quantization = model.flatbuffer_subgraph.tensors[index].quantization
        if quantization is not None and quantization.min is not None:
            quantization.min, quantization.max = np.array([low], np.float32), np.array([high], np.float32)
    return inputs
