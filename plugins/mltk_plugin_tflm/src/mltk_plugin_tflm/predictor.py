"""Predictor that uses TensorFlow Lite Micro."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mltk.tflite import arrange_inputs, as_frames, find_batch_axis, prepare_inputs
from mltk.utils.trees import Tree
from mltk_plugin_tflm.process import TflmCrashError, TflmProcess
from mltk_plugin_tflm.support import check, explain

if TYPE_CHECKING:
    from mltk.tflite import TfliteModel, TfliteTensor


class TflmPredictor:
    """A `mltk.plugins.Predictor` that runs the reference kernels of TFLM in a separate process.

    TFLM only supports the tensor shapes of the file, so samples are processed one by one. Sequences for models with
    state are those of `GraphRunner`.

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
        shapes = [tensor.shape for tensor in model.inputs]
        self._size, self._has_batch_axis = find_batch_axis(shapes)
        self._shapes = [
            list(shape[1:] if has else shape) for shape, has in zip(shapes, self._has_batch_axis, strict=True)
        ]
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
        return (None, *self._shapes[0])

    def predict(self, batch: Tree) -> np.ndarray:
        """Return the first output, float32, for a batch of any size.

        Args:
            batch: Samples, batch axis first: numbers of any type, which are quantized if the input is. For several
                inputs a list or a dictionary of arrays.

        Raises:
            EvaluationError: The shape of the batch does not match the model.
            TflmError: The inference fails.
        """
        return self.tflite_model.dequantize_output_to_float32(
            self.run(arrange_inputs(self.tflite_model, batch))[0]
        )

    def run(
        self, inputs: Sequence[np.ndarray], raw: bool = False, all_frames: bool = False
    ) -> list[np.ndarray]:
        """Return all outputs, in the types of the model, for one batch per model input.

        Args:
            inputs: One array of numbers per input, which are quantized if the input is.
            raw: The arrays hold what the inputs hold, and are not quantized.
            all_frames: For sequences, return the outputs of all frames, `(n, frames, …)`, not of the last one.

        Raises:
            EvaluationError: The shapes of the arrays do not match the model.
            TflmError: The inference fails.
        """
        model = self.tflite_model
        sequences = as_frames(model, inputs, self._shapes)
        given = sequences or inputs
        if sequences is not None:
            given = [array.reshape(-1, *array.shape[2:]) for array in sequences]
        arrays = prepare_inputs(model, given, [[-1, *shape] for shape in self._shapes], raw)
        if len(arrays[0]) == 0:
            return [np.empty((0, *self._sample_shape(tensor)), tensor.dtype) for tensor in model.outputs]
        if sequences is None:
            return self._run(arrays, frames=1)
        frames = sequences[0].shape[1]
        outputs = [out.reshape(-1, frames, *out.shape[1:]) for out in self._run(arrays, frames)]
        return outputs if all_frames else [out[:, -1] for out in outputs]

    def _run(self, arrays: Sequence[np.ndarray], frames: int) -> list[np.ndarray]:
        """Return the outputs for samples, or for the frames of samples one after the other."""
        size, length = self._size, len(arrays[0])
        # If the batch size of the model is not 1, the last inference is filled up with repeated samples.
        count = -(-length // size)
        full = [np.resize(array, (count * size, *array.shape[1:])) for array in arrays]
        batches = [
            array.reshape(count, size, *array.shape[1:]) if has else array
            for array, has in zip(full, self._has_batch_axis, strict=True)
        ]
        try:
            outputs = self._process.run(batches, frames)
        except TflmCrashError as crash:
            with TflmProcess(self.tflite_model) as process:
                explained = explain(self.tflite_model, process, str(crash))
            raise explained if explained.refused else crash from None
        # Outputs of a model with batch size 1 may lack the batch axis.
        return [
            out.reshape(-1, *out.shape[2:])[:length] if out.shape[1:2] == (size,) else out for out in outputs
        ]

    def _sample_shape(self, output: TfliteTensor) -> tuple[int, ...]:
        return output.shape[1:] if output.shape[:1] == (self._size,) else output.shape
