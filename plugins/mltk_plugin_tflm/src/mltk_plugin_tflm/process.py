"""TensorFlow Lite Micro, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Self, cast

import numpy as np

from mltk.errors import MltkError
from mltk_plugin_tflm._frames import read_frame, write_frame

if TYPE_CHECKING:
    from mltk.tflite import TfliteModel

ALIGNMENT = 16
"""Bytes; the arenas asked for are multiples of it, as TFLM aligns what it puts into one."""

_LARGEST_ARENA = 2**31 - ALIGNMENT
_SPARE = 16 << 20
# For each byte of the tensors; scratch buffers of some kernels hold int32 for an int8 tensor.
_PER_BYTE = 8
# For an inference, or an attempt; a damaged model may make a kernel run for ever.
_LIMIT_SECONDS = 60
_NOISE = re.compile(r"^\[RecordingMicroAllocator\]|^\s*$")


class TflmError(MltkError, RuntimeError):
    """TensorFlow Lite Micro cannot run a model."""


@dataclass(frozen=True)
class Attempt:
    """What became of a model that was tried."""

    problem: str | None
    """Why it does not work; `None` if it does."""
    text: str
    """All that TFLM printed."""
    seconds: float | None = None
    """The fastest inference, if it was timed."""


class TflmProcess:
    """Runs models with TFLM's reference kernels, outside of this process: its end by a model is an error here.

    A context manager; leaving it ends the process. One model at a time.

    Args:
        model: The first model.

    Raises:
        TflmError: `tflite-micro` cannot be loaded.
    """

    def __init__(self, model: TfliteModel) -> None:
        # Whatever the kernels print must stay readable after they have ended the process.
        self._printed = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mltk_plugin_tflm._worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            # Threads of a linear algebra library that is not used would not survive the forks.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
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
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._printed):
            if stream is not None:
                # What could not be sent to a process that has gone is of no interest any more.
                try:
                    stream.close()
                except BrokenPipeError:
                    continue

    def load(self, model: TfliteModel) -> None:
        """Take another model, for the calls that follow."""
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
        text = self._text()
        if "died" in header:
            return Attempt(_of_signal(header["died"]), text)
        return Attempt(
            _reason(text, header["error"]) if "error" in header else None, text, header.get("time")
        )

    def open(self, preserve: bool = False) -> None:
        """Make the model ready for `run`, or for `trace` if `preserve`.

        Raises:
            TflmError: It cannot be run.
        """
        self._checked(
            {
                "do": "open",
                "arena": generous_arena(self._model),
                "preserve": preserve,
                "stateful": is_stateful(self._model),
                "limit": _LIMIT_SECONDS,
            }
        )

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return all outputs of several inferences.

        Args:
            inputs: One array per input of the model, of its type and shape with one more axis in front: the
                inferences.

        Raises:
            TflmError: The model fails on them.
        """
        return self._checked({"do": "run", "outputs": self._model.n_outputs}, inputs)

    def trace(self, inputs: Sequence[np.ndarray], tensors: Sequence[int]) -> list[np.ndarray]:
        """Return the values that tensors have after one inference.

        Args:
            inputs: The model's inputs, in its own types and shapes.
            tensors: Numbers of the tensors.

        Raises:
            TflmError: The model fails on them.
        """
        return self._checked({"do": "trace", "tensors": list(tensors)}, inputs)

    def _checked(self, request: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> list[np.ndarray]:
        header, results = self._ask(request, arrays)
        if "error" in header:
            raise self.error(_reason(self._text(), header["error"]))
        return results

    def error(self, problem: str) -> TflmError:
        """Return the error that names the model and what is wrong with it."""
        return TflmError(f"TensorFlow Lite Micro cannot run {self._model.source}: {problem}.")

    def _ask(
        self, request: dict[str, Any], arrays: Sequence[np.ndarray] = ()
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            write_frame(stdin, request, arrays)
            return read_frame(stdout)
        except (BrokenPipeError, EOFError):
            code = self._process.wait()
        text = self._text()
        if not self._started:
            last = text.strip().splitlines()[-1:] or ["it ended without a word"]
            raise TflmError(f"TensorFlow Lite Micro (the package tflite-micro) cannot be started: {last[0]}")
        raise self.error(_of_signal(-code))

    def _text(self) -> str:
        """Return what was printed since the last request."""
        size = os.fstat(self._printed.fileno()).st_size
        return os.pread(self._printed.fileno(), size, 0).decode(errors="replace")


def generous_arena(model: TfliteModel) -> int:
    """Return a size of the arena that is more than enough, in bytes; what is not used of it costs nothing."""
    total = 0
    for index in range(model.n_subgraphs):
        for tensor in model.get_flatbuffer_subgraph(index).tensors or ():
            shape = () if tensor.shape is None else tensor.shape
            # Eight bytes are the most that an element has.
            total += 8 * int(np.prod(shape, dtype=np.float64)) if not _has_data(model, tensor) else 0
    return min(_LARGEST_ARENA, _SPARE + _PER_BYTE * total // ALIGNMENT * ALIGNMENT)


def is_stateful(model: TfliteModel) -> bool:
    """Return whether one inference may leave something for the next."""
    return any(tensor.is_variable for tensor in model.tensors) or any(
        layer.opcode_str == "var_handle" for layer in model.layers
    )


def _has_data(model: TfliteModel, tensor: Any) -> bool:
    data = model.flatbuffer_model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def _reason(text: str, error: str) -> str:
    """Return what TFLM printed as one line; without that, what its Python interface said."""
    lines = [line.strip().rstrip(".") for line in text.splitlines() if not _NOISE.search(line)]
    # The path of the source file stands before some messages.
    lines = [re.sub(r"^\S+/([\w.]+\.(?:cc|h))(?=[: ])", r"\1", line) for line in dict.fromkeys(lines)]
    return "; ".join(lines) or error


def _of_signal(number: int) -> str:
    if number == signal.SIGALRM:
        return f"it did not end within {_LIMIT_SECONDS} seconds"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"exit code {-number}"
    return f"it ended the process that it ran in ({name})"
