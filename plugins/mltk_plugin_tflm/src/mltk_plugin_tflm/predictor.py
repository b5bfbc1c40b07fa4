"""Predictions by TensorFlow Lite Micro."""

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
    """A `mltk.plugins.Predictor` over TFLM's reference kernels, in a process that ends with the predictor.

    TFLM knows one shape for each tensor, the one in the file, so samples go through the model one by one.

    Args:
        model: The model; its first axis is the batch.
        name: Its name, for files.

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
        """Shape of the first input; `None` for the batch."""
        return (None, *self.tflite_model.inputs[0].shape[1:])

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Return the first output, in float32, for a batch of any size.

        Args:
            batch: Samples, first axis the batch. Values of the type of the model's input are used as they are;
                others are real numbers and are quantized if the model takes integers.

        Raises:
            EvaluationError: The batch does not fit the model.
            TflmError: The model fails on it.
        """
        return self.tflite_model.dequantize_output_to_float32(self.run([batch])[0])

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return all outputs, in the types of the model, for one batch per input of the model.

        Args:
            inputs: One array per input; converted as `predict` does.

        Raises:
            EvaluationError: The arrays do not fit the model.
            TflmError: The model fails on them.
        """
        model = self.tflite_model
        arrays = prepare_inputs(model, inputs, [tensor.shape for tensor in model.inputs])
        length = len(arrays[0])
        if length == 0:
            return [np.empty((0, *tensor.shape[1:]), tensor.dtype) for tensor in model.outputs]
        # A model may be made for more samples than one; the last ones of an inference are then repeated.
        size = model.inputs[0].shape[0]
        count = -(-length // size)
        full = [np.resize(array, (count * size, *array.shape[1:])) for array in arrays]
        outputs = self._process.run([array.reshape(count, size, *array.shape[1:]) for array in full])
        # A model made for one sample may leave the batch axis out of its result.
        return [
            out.reshape(-1, *out.shape[2:])[:length] if out.shape[1:2] == (size,) else out for out in outputs
        ]
