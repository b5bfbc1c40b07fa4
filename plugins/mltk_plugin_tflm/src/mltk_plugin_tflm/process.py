"""TensorFlow Lite Micro in a separate process."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mltk.errors import MltkError
from mltk.utils.worker import Worker, WorkerDied, describe_signal

if TYPE_CHECKING:
    from mltk.tflite import TfliteModel

ALIGNMENT = 16
"""Alignment of the arena size, in bytes; TFLM aligns its contents."""

_LARGEST_ARENA = 2**31 - ALIGNMENT
_SPARE = 16 << 20
# Bytes of the arena per byte of the tensors: scratch buffers of some kernels are int32 for int8 tensors.
_PER_BYTE = 8
# Per inference or attempt; a damaged model may cause an endless loop.
_LIMIT_SECONDS = 60
_NOISE = re.compile(r"^\[RecordingMicroAllocator\]|^\s*$")


class TflmError(MltkError, RuntimeError):
    """TensorFlow Lite Micro cannot run a model.

    Attributes:
        refused: Reasons by the index of the layers that it rejects, if they are known.
    """

    refused: Mapping[int, str] = {}


class TflmCrashError(TflmError):
    """TensorFlow Lite Micro ended its process."""


@dataclass(frozen=True)
class Attempt:
    """Result of an attempt to run a model."""

    problem: str | None
    """Reason of the failure; `None` if the attempt succeeded."""
    text: str
    """Output of TFLM."""
    seconds: float | None = None
    """Minimum time of an inference, if measured."""


class TflmProcess:
    """A process that runs models with the reference kernels of TFLM; a crash is an error in this process.

    It is a context manager, and holds one model at a time.

    Args:
        model: The first model.

    Raises:
        TflmError: `tflite-micro` cannot be imported.
    """

    def __init__(self, model: TfliteModel) -> None:
        # Threads of linear algebra libraries do not survive a fork.
        self._worker = Worker(
            "mltk_plugin_tflm._worker", {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        )
        self._started = False
        try:
            self.load(model)
            self._started = True
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def load(self, model: TfliteModel) -> None:
        """Load another model for the following calls."""
        self._model = model
        self._ask({"do": "load"}, [np.frombuffer(model.flatbuffer_data, np.uint8)])

    def attempt(
        self,
        arena: int | None = None,
        inputs: Sequence[np.ndarray] = (),
        invoke: bool = True,
        seconds: float = 0,
        allocations: bool = False,
    ) -> Attempt:
        """Try the model in a process that may end by it.

        Args:
            arena: Bytes; more than enough by default.
            inputs: The model's inputs, in its own types and shapes; what stands in the arena otherwise.
            invoke: Whether to run it; else it is only prepared.
            seconds: About how long to repeat the inference, to time it; 0 runs it once.
            allocations: Let the allocator print what it recorded into `Attempt.text`.
        """
        header, _ = self._ask(
            {
                "do": "attempt",
                "arena": arena or generous_arena(self._model),
                "invoke": invoke,
                "seconds": seconds,
                "allocations": allocations,
                "limit": _LIMIT_SECONDS,
            },
            inputs,
        )
        text = self._worker.text()
        if "died" in header:
            return Attempt(_describe_signal(header["died"]), text)
        return Attempt(
            _reason(text, header["error"]) if "error" in header else None, text, header.get("time")
        )

    def open(self, preserve: bool = False) -> None:
        """Prepare the model for `run`, or for `trace` if `preserve` is set.

        Raises:
            TflmError: TFLM cannot run the model.
        """
        self._request(
            {
                "do": "open",
                "arena": generous_arena(self._model),
                "preserve": preserve,
                "limit": _LIMIT_SECONDS,
            }
        )

    def run(self, inputs: Sequence[np.ndarray], frames: int = 1) -> list[np.ndarray]:
        """Run several inferences; return all outputs.

        Args:
            inputs: One array per model input, with the type of the input and an additional first axis for inferences.
            frames: Number of inferences in a row between which the model keeps its state.

        Raises:
            TflmError: The inference fails.
        """
        return self._request({"do": "run", "outputs": self._model.n_outputs, "frames": frames}, inputs)

    def trace(
        self, inputs: Sequence[np.ndarray], tensors: Sequence[int], reset: bool = True
    ) -> list[np.ndarray]:
        """Run one inference; return the values of tensors.

        Args:
            inputs: Model inputs, with their types and shapes.
            tensors: Indices of tensors that hold numbers.
            reset: Forget the state of the previous inference.

        Raises:
            TflmError: The inference fails.
        """
        return self._request({"do": "trace", "tensors": list(tensors), "reset": reset}, inputs)

    def _request(self, request: Mapping[str, object], arrays: Sequence[np.ndarray] = ()) -> list[np.ndarray]:
        header, results = self._ask(request, arrays)
        if "error" in header:
            raise self.error(_reason(self._worker.text(), header["error"]))
        return results

    def error(self, problem: str) -> TflmError:
        """Return an error that names the model and the problem."""
        return TflmError(f"TensorFlow Lite Micro cannot run {self._model.source}: {problem}.")

    def _ask(
        self, request: Mapping[str, object], arrays: Sequence[np.ndarray] = ()
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        try:
            return self._worker.ask(request, arrays)
        except WorkerDied as end:
            died = end
        if not self._started:
            last = self._worker.text().strip().splitlines()[-1:] or ["it ended without a message"]
            raise TflmError(f"TensorFlow Lite Micro (the package tflite-micro) cannot be started: {last[0]}")
        raise TflmCrashError(str(self.error(_describe_signal(died.signal)))) from None


def generous_arena(model: TfliteModel) -> int:
    """Return an arena size in bytes that is sufficient for the model; unused memory costs nothing."""
    total = 0
    for index in range(model.n_subgraphs):
        for tensor in model.get_flatbuffer_subgraph(index).tensors or ():
            shape = () if tensor.shape is None else tensor.shape
            # An element has at most 8 bytes.
            total += 8 * int(np.prod(shape, dtype=np.float64)) if not _has_data(model, tensor.buffer) else 0
    return min(_LARGEST_ARENA, _SPARE + _PER_BYTE * total // ALIGNMENT * ALIGNMENT)


def _has_data(model: TfliteModel, buffer: int) -> bool:
    data = model.flatbuffer_model.buffers[buffer].data
    return data is not None and len(data) > 0


def _reason(text: str, error: str) -> str:
    """Return the messages of TFLM in one line, or the Python error if there are none."""
    lines = [line.strip().rstrip(".") for line in text.splitlines() if not _NOISE.search(line)]
    # Some messages begin with the path of the source file.
    lines = [re.sub(r"^\S+/([\w.]+\.(?:cc|h))(?=[: ])", r"\1", line) for line in dict.fromkeys(lines)]
    return "; ".join(lines) or error


def _describe_signal(number: int) -> str:
    if number == signal.SIGALRM:
        return f"it did not finish within {_LIMIT_SECONDS} seconds"
    return f"it crashed its process ({describe_signal(number)})"
