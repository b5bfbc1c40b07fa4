"""Predictor that runs a `.tflite` model with LiteRT."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from mltk.tflite.inputs import arrange_inputs, check_inputs, convert_inputs, prepare_inputs
from mltk.tflite.metrics import tflite_model_metrics
from mltk.tflite.model import TfliteModel
from mltk.tflite.runner import GraphRunner
from mltk.utils.trees import Tree

__all__ = [
    "ExactPredictor",
    "KernelDifference",
    "LiteRtPredictor",
    "RawRunner",
    "arrange_inputs",
    "check_inputs",
    "convert_inputs",
    "prepare_inputs",
]

# Samples for the comparison of kernels, and the MACs that it may take: about a second.
_COMPARED = 8
_COMPARED_MACS = 200_000_000


@runtime_checkable
class RawRunner(Protocol):
    """A predictor of a `.tflite` that can also be given what the model's inputs hold."""

    def run(
        self, inputs: Sequence[np.ndarray], raw: bool = False, all_frames: bool = False
    ) -> list[np.ndarray]:
        """Return all outputs, in the types of the model (see `GraphRunner.run`)."""
        ...


@dataclass(frozen=True)
class KernelDifference:
    """What the kernels of a predictor and the reference kernels gave for the same samples."""

    samples: int
    values: int
    """Number of output values."""
    differing: int
    """Number of values that differ."""
    largest: float
    """Largest difference: in quantization steps, or in units of the values if they are not quantized."""
    quantized: bool

    def __str__(self) -> str:
        samples = f"{self.samples} sample{'s' * (self.samples != 1)}"
        if not self.differing:
            return f"On {samples} they gave what the reference kernels give."
        unit = f" step{'s' * (self.largest != 1)}" if self.quantized else ""
        return (
            f"On {samples}, {self.differing} of {self.values} output values differ from those of the reference "
            f"kernels, by at most {self.largest:.3g}{unit}."
        )


class LiteRtPredictor(GraphRunner):
    """A `mltk.plugins.types.Predictor` that uses LiteRT's built-in kernels (see `GraphRunner`).

    Args:
        model: The model, or the content or path of a `.tflite` file.
        name: Name of the model; `None` uses the model's own.
        num_threads: Threads that share a batch; `None` means one per available core.
        exact: Use the reference kernels, which TensorFlow Lite Micro's equal, and which are several times slower.

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
        exact: bool = False,
    ) -> None:
        if isinstance(model, bytes | bytearray):
            model = TfliteModel(model)
        elif not isinstance(model, TfliteModel):
            model = TfliteModel.load_flatbuffer_file(model)
        super().__init__(model, num_threads, exact)
        self.name = name or model.name
        self.tflite_model = model
        self._first: tuple[list[np.ndarray], np.ndarray] | None = None

    def predict(self, batch: Tree) -> np.ndarray:
        """Return the first output in float32.

        Args:
            batch: Samples; the first axis is the batch, of any size. They are numbers of any type, and are
                quantized if the input is; `run` also takes quantized ones. For several inputs a list or a dictionary
                of arrays (see `arrange_inputs`).

        Returns:
            float32 array; the first axis is the batch.

        Raises:
            EvaluationError: The batch has the wrong shape, or LiteRT fails.
        """
        inputs = arrange_inputs(self.tflite_model, batch)
        outputs = self.run(inputs)[0]
        if self._first is None and len(outputs):
            count = max(
                1, min(_COMPARED, _COMPARED_MACS // (tflite_model_metrics(self.tflite_model).macs + 1))
            )
            self._first = ([np.array(array[:count]) for array in inputs], outputs[:count])
        return self.tflite_model.dequantize_output_to_float32(outputs)

    def compare_kernels(self) -> KernelDifference | None:
        """Compare with the reference kernels, on the first samples that were predicted; `None` before that.

        Raises:
            EvaluationError: The reference kernels cannot run the model.
        """
        if self._first is None:
            return None
        samples, outputs = self._first
        exact = GraphRunner(self.tflite_model, exact=True).run(samples)[0]
        step = self._steps[0] or (1 if outputs.dtype.kind in "iu" else None)
        # Differences of int8 values exceed the range of int8.
        differences = np.abs(np.subtract(outputs, exact, dtype=np.float64)) / (step or 1)
        return KernelDifference(
            samples=len(samples[0]),
            values=outputs.size,
            differing=int(np.count_nonzero(outputs != exact)),
            largest=float(np.max(differences, initial=0.0)),
            quantized=step is not None,
        )


class ExactPredictor(LiteRtPredictor):
    """A `LiteRtPredictor` that uses LiteRT's reference kernels.

    Args:
        model: The model, or the content or path of a `.tflite` file.
        name: Name of the model; `None` uses the model's own.
        num_threads: Threads that share a batch; `None` means one per available core.
    """

    kind = "exact"

    def __init__(
        self,
        model: TfliteModel | bytes | str | os.PathLike[str],
        name: str | None = None,
        num_threads: int | None = None,
    ) -> None:
        super().__init__(model, name, num_threads, exact=True)
