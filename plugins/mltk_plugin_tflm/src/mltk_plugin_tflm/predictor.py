"""Predictor that uses TensorFlow Lite Micro."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mltk.tflite.interpreter import prepare_inputs
from mltk_plugin_tflm.process import TflmProcess
from mltk_plugin_tflm.support import check

if TYPE_CHECKING:
    from mltk.tflite import TfliteModel


class TflmPredictor:
    """A `mltk.plugins.Predictor` that runs the reference kernels of TFLM in a separate process.

    TFLM only supports the tensor shapes of the file, so samples are processed one by one.

    Args:
        model: The model; the first axis is the batch.
        name: Name for output files.

    Raises:
        TflmError: TFLM cannot run the model.
    """

    kind = "tflm"

    def __init__(self, model: TfliteModel, name: str | None = None) -> None:
        self.name = name or model.name
        self.tflite_model = model
        self._process = TflmProcess(model)
        self._finalizer = weakref.finalize(self, self._process.close)
        try:
            check(model, self._process)
            self._process.open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        self._finalizer()

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input; the batch size is `None`."""
        return (None, *self.tflite_model.inputs[0].shape[1:])

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Return the first output, float32, for a batch of any size.

        Args:
            batch: Samples, batch axis first: numbers of any type, which are quantized if the input is.

        Raises:
            EvaluationError: The shape of the batch does not match the model.
            TflmError: The inference fails.
        """
        return self.tflite_model.dequantize_output_to_float32(self.run([batch])[0])

    def run(self, inputs: Sequence[np.ndarray], raw: bool = False) -> list[np.ndarray]:
        """Return all outputs, in the types of the model, for one batch per model input.

        Args:
            inputs: One array of numbers per input, which are quantized if the input is.
            raw: The arrays hold what the inputs hold, and are not quantized.

        Raises:
            EvaluationError: The shapes of the arrays do not match the model.
            TflmError: The inference fails.
        """
        model = self.tflite_model
        arrays = prepare_inputs(model, inputs, [tensor.shape for tensor in model.inputs], raw)
        length = len(arrays[0])
        if length == 0:
            return [np.empty((0, *tensor.shape[1:]), tensor.dtype) for tensor in model.outputs]
        # If the batch size of the model is not 1, the last inference is filled up with repeated samples.
        size = model.inputs[0].shape[0]
        count = -(-length // size)
        full = [np.resize(array, (count * size, *array.shape[1:])) for array in arrays]
        outputs = self._process.run([array.reshape(count, size, *array.shape[1:]) for array in full])
        # Outputs of a model with batch size 1 may lack the batch axis.
        return [
            out.reshape(-1, *out.shape[2:])[:length] if out.shape[1:2] == (size,) else out for out in outputs
        ]
