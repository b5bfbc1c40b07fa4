"""Predictor that runs a `.tflite` model with LiteRT."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from mltk.tflite.model import TfliteModel
from mltk.tflite.runner import GraphRunner, check_inputs, convert_inputs, prepare_inputs

__all__ = ["LiteRtPredictor", "RawRunner", "check_inputs", "convert_inputs", "prepare_inputs"]


@runtime_checkable
class RawRunner(Protocol):
    """A predictor of a `.tflite` that can also be given what the model's inputs hold."""

    def run(self, inputs: Sequence[np.ndarray], raw: bool = False) -> list[np.ndarray]:
        """Return all outputs, in the types of the model (see `GraphRunner.run`)."""
        ...


class LiteRtPredictor(GraphRunner):
    """A `mltk.plugins.types.Predictor` that uses LiteRT's built-in kernels (see `GraphRunner`).

    Args:
        model: The model, or the content or path of a `.tflite` file.
        name: Name of the model; `None` uses the model's own.
        num_threads: Threads that share a batch; `None` means one per available core.

    Raises:
        EvaluationError: LiteRT cannot run the model.
        FileFormatError: The `.tflite` is damaged.
        ModelNotFoundError: The file does not exist.
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
        """Return the first output in float32.

        Args:
            batch: Samples; the first axis is the batch, of any size. They are numbers of any type, and are
                quantized if the input is; `run` also takes quantized ones.

        Returns:
            float32 array; the first axis is the batch.

        Raises:
            EvaluationError: The batch has the wrong shape, or LiteRT fails.
        """
        return self.tflite_model.dequantize_output_to_float32(self.run([batch])[0])
