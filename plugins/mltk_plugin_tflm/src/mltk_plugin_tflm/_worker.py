"""The process that runs TensorFlow Lite Micro.

TFLM kernels check little, so an unsupported model may crash their process. mltk therefore runs them in this process
(see `process`), which does not import TensorFlow. Attempts that may fail run in a fork, so that the next
attempt does not import everything again.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tflite_micro import runtime

from mltk.utils.frames import read_frame, write_frame
from mltk.utils.worker import Answer, answer_of, serve

Request = Mapping[str, Any]

_ERRORS = (RuntimeError, ValueError, MemoryError)
"""An unsupported model is a valid answer; TFLM prints the reasons."""
_MAX_INVOCATIONS = 1000
_PLAN = b"OfflineMemoryAllocation"
"""Name of a metadata entry: addresses of tensors in the arena."""
_NO_PLAN = b"-" * len(_PLAN)


class _Worker:
    def __init__(self) -> None:
        self._model = b""
        self._interpreter: runtime.Interpreter = None
        self._limit = 0

    def load(self, request: Request, arrays: list[np.ndarray]) -> Answer:
        """Set the model for the following requests."""
        self._model = arrays[0].tobytes()
        self._interpreter = None
        return {}, []

    def attempt(self, request: Request, arrays: list[np.ndarray]) -> Answer:
        """Prepare the model in a fork; run it once if `invoke` is set, then measure its time for `seconds`."""
        return _run_in_fork(lambda: self._try(request, arrays), request["limit"])

    def _try(self, request: Request, arrays: list[np.ndarray]) -> Answer:
        interpreter = self._make(request["arena"], preserve=False)
        if not request["invoke"]:
            return {}, []
        _set_inputs(interpreter, arrays)
        interpreter.invoke()
        times: list[float] = []
        end = time.perf_counter() + request["seconds"]
        while request["seconds"] and len(times) < _MAX_INVOCATIONS:
            start = time.perf_counter()
            interpreter.invoke()
            now = time.perf_counter()
            times.append(now - start)
            if now >= end and len(times) >= 3:
                break
        if request["allocations"]:
            interpreter.print_allocations()
        # The minimum is the time without interruptions.
        return {"time": min(times, default=None)}, []

    def open(self, request: Request, arrays: list[np.ndarray]) -> Answer:
        """Create the interpreter for `run` and `trace`."""
        self._interpreter = self._make(request["arena"], preserve=request["preserve"])
        self._limit = request["limit"]
        return {}, []

    def run(self, request: Request, arrays: list[np.ndarray]) -> Answer:
        """Run one inference per element of the first axis of the inputs; return all outputs.

        With `frames`, the model keeps its state for so many inferences in a row.
        """
        count, frames = request["outputs"], request["frames"]
        results: list[list[np.ndarray]] = [[] for _ in range(count)]
        for i in range(len(arrays[0])):
            self._invoke([array[i] for array in arrays], reset=i % frames == 0)
            for k in range(count):
                results[k].append(np.array(self._interpreter.get_output(k)))
        return {}, [np.stack(result) for result in results]

    def trace(self, request: Request, arrays: list[np.ndarray]) -> Answer:
        """Run one inference; return tensors by index."""
        self._invoke(arrays, request["reset"])
        found = (self._interpreter.GetTensor(index, 0)["tensor_data"] for index in request["tensors"])
        return {}, [np.array(tensor) for tensor in found]

    def _make(self, arena: int, preserve: bool) -> runtime.Interpreter:
        kinds = runtime.InterpreterConfig
        # A plan made before, in which tensors share memory, and keeping all of them exclude each other.
        content = self._model.replace(_PLAN, _NO_PLAN) if preserve else self._model
        return runtime.Interpreter.from_bytes(
            content,
            arena_size=arena,
            intrepreter_config=kinds.kPreserveAllTensors if preserve else kinds.kAllocationRecording,
        )

    def _invoke(self, inputs: Sequence[np.ndarray], reset: bool = True) -> None:
        signal.alarm(self._limit)
        if reset:
            # Variables, and what signal operators and other custom ones keep.
            self._interpreter.reset()
        _set_inputs(self._interpreter, inputs)
        self._interpreter.invoke()
        signal.alarm(0)


def _set_inputs(interpreter: runtime.Interpreter, inputs: Sequence[np.ndarray]) -> None:
    for i, array in enumerate(inputs):
        interpreter.set_input(np.asarray(array), i)


def _run_in_fork(function: Callable[[], Answer], limit: int) -> Answer:
    """Call `function` in a fork of this process; return its result, or `{"died": signal}` if it crashes.

    Args:
        function: Function that may crash its process.
        limit: Maximum seconds before SIGALRM ends the fork.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(limit)
        with os.fdopen(writing, "wb") as out:
            write_frame(out, *answer_of(function, _ERRORS))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        try:
            answer = read_frame(answers)
        except EOFError:
            answer = None
    _, status = os.waitpid(child, 0)
    return answer or ({"died": os.WTERMSIG(status)}, [])


if __name__ == "__main__":
    serve(_Worker(), _ERRORS)
