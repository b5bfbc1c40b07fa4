"""A `.tflite` file: its layers, tensors, description, metadata and predictions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from mltk.errors import EvaluationError
from mltk.tflite.graph import TfliteGraph
from mltk.tflite.runner import GraphRunner
from mltk.tflite.summary import summarize
from mltk.tflite.types import TfliteOpCode

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["TfliteModel", "TfliteOpCode"]


class TfliteModel(TfliteGraph):
    """A `.tflite` model in memory.

    Reading needs no TensorFlow. The whole file is checked first. Changes are made to the model in memory; `save`
    writes them.

    Args:
        flatbuffer_data: The content of the file.
        path: Path of the file, which is the default of `save`.

    Raises:
        FileFormatError: The content is damaged, or is not a `.tflite`.
    """

    _runner: GraphRunner | None = None

    def _forget(self) -> None:
        super()._forget()
        self._forget_runner()

    def _forget_runner(self) -> None:
        self._runner = None

    def predict(
        self, x: np.ndarray | Iterable[np.ndarray | tuple[object, ...]], y_dtype: DTypeLike | None = None
    ) -> np.ndarray:
        """Run the model on the CPU with LiteRT.

        Input of the type of the model's first input is used as it is; other numbers are real values and are
        quantized if the model takes integers.

        Args:
            x: One sample, a batch (first axis), or an iterable of batches or of tuples `(batch, …)`.
            y_dtype: Type of the result; a floating-point type dequantizes integers. `None` is the model's
                own.

        Returns:
            The first output, without the batch axis if `x` was one sample.

        Raises:
            EvaluationError: The input does not fit the model, or LiteRT cannot run the model.
        """
        if self._runner is None:
            self._runner = GraphRunner(self)
        if not isinstance(x, np.ndarray):
            batches = [batch[0] if isinstance(batch, tuple) else batch for batch in x]
            if not batches:
                raise EvaluationError("There is no input to predict: the iterable is empty.")
            return np.concatenate([self.predict(np.asarray(batch), y_dtype) for batch in batches])
        tensor = self.get_input_tensor()
        single = x.ndim == len(tensor.shape) - 1
        output = self._runner.run([x[np.newaxis] if single else x], raw=x.dtype == tensor.dtype)[0]
        if y_dtype is not None:
            if np.issubdtype(y_dtype, np.floating):
                output = self.dequantize_output_to_float32(output)
            output = output.astype(y_dtype)
        return output[0] if single else output

    def summary(self) -> str:
        """Return the table of layers, the numbers of operations, the parameters and the size, as text."""
        return summarize(self)
