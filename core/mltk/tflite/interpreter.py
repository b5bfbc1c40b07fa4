"""A predictor over LiteRT, for a `.tflite` model."""

from __future__ import annotations

import os

import numpy as np

from mltk.tflite.model import TfliteModel
from mltk.tflite.runner import GraphRunner, check_inputs, convert_inputs, prepare_inputs

__all__ = ["LiteRtPredictor", "check_inputs", "convert_inputs", "prepare_inputs"]


class LiteRtPredictor(GraphRunner):
    """A `mltk.plugins.types.Predictor` over LiteRT's built-in kernels (see `GraphRunner`).

    Args:
        model: The model, the content of a `.tflite`, or its path.
        name: The model's name; `None` takes it from the model.
        num_threads: Threads that share a batch; `None` is one for each core that the process may use.

    Raises:
        EvaluationError: LiteRT cannot run the model.
        FileFormatError: The `.tflite` is damaged.
        ModelNotFoundError: There is no such file.
    """

    kind = "tflite"

    def __init__(
        self,
        model: TfliteModel | bytes | str | os.PathLike[str],
        name: str | None = None,
        num_threads: int | None = None,
    ) -> None:
        if isinstance(model, bytes | bytearray):
            model = TfliteModel(model)
        elif not isinstance(model, TfliteModel):
            model = TfliteModel.load_flatbuffer_file(model)
        super().__init__(model, num_threads)
        self.name = name or model.name
        self.tflite_model = model

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Return the first output, in float32, for a batch of any size.

        Args:
            batch: Samples, first axis the batch. Values of the type of the model's input are used as they
                are; others are real numbers and are quantized if the model takes integers.

        Returns:
            float32, first axis the batch.

        Raises:
            EvaluationError: The batch does not fit the model, or the model fails on it.
        """
        return self.tflite_model.dequantize_output_to_float32(self.run([batch])[0])
