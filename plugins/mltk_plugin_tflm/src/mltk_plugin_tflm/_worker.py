"""The process that TensorFlow Lite Micro runs in.

Its kernels check little: a model that they cannot run may end the process that they run in. So mltk's own never
loads them; it starts this one (see `process`), which imports neither TensorFlow nor mltk. What may well fail is
tried in a fork of it, so that the next attempt need not import everything again.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import IO, Any

import numpy as np
from tflite_micro import runtime

from mltk_plugin_tflm._frames import read_frame, write_frame

Answer = tuple[dict[str, Any], list[np.ndarray]]

_ERRORS = 2
"""The file descriptor that the kernels write their messages to; the parent made it a file."""
_MOST_INVOCATIONS = 1000


class _Worker:
    def __init__(self) -> None:
        self._model = b""
        self._interpreter: Any = None
        self._stateful = False
        self._limit = 0

    def load(self, request: dict[str, Any], arrays: list[np.ndarray]) -> Answer:
        """Take the model that the following requests are about."""
        self._model = arrays[0].tobytes()
        self._interpreter = None
        return {}, []

    def attempt(self, request: dict[str, Any], arrays: list[np.ndarray]) -> Answer:
        """Prepare the model in a fork, run it once if `invoke`, and again for `seconds` to time it."""
        return _in_a_fork(lambda: self._attempt(request, arrays), request["limit"])

    def _attempt(self, request: dict[str, Any], arrays: list[np.ndarray]) -> Answer:
        interpreter = self._make(request["arena"], preserve=False)
        if not request["invoke"]:
            return {}, []
        _set_inputs(interpreter, arrays)
        interpreter.invoke()
        times: list[float] = []
        end = time.perf_counter() + request["seconds"]
        while request["seconds"] and len(times) < _MOST_INVOCATIONS:
            start = time.perf_counter()
            interpreter.invoke()
            now = time.perf_counter()
            times.append(now - start)
            if now >= end and len(times) >= 3:
                break
        if request["allocations"]:
            interpreter.print_allocations()
        # The fastest is the one that was not interrupted.
        return {"time": min(times, default=None)}, []

    def open(self, request: dict[str, Any], arrays: list[np.ndarray]) -> Answer:
        """Make the interpreter that `run` and `trace` use."""
        self._interpreter = self._make(request["arena"], preserve=request["preserve"])
        self._stateful = request["stateful"]
        self._limit = request["limit"]
        return {}, []

    def run(self, request: dict[str, Any], arrays: list[np.ndarray]) -> Answer:
        """Return all outputs for inputs with one more axis in front: one inference per element of it."""
        count = request["outputs"]
        results: list[list[np.ndarray]] = [[] for _ in range(count)]
        for i in range(len(arrays[0])):
            self._invoke([array[i] for array in arrays])
            for k in range(count):
                results[k].append(np.array(self._interpreter.get_output(k)))
        return {}, [np.stack(result) for result in results]

    def trace(self, request: dict[str, Any], arrays: list[np.ndarray]) -> Answer:
        """Return the tensors of one inference by their numbers."""
        self._invoke(arrays)
        found = (self._interpreter.GetTensor(index, 0)["tensor_data"] for index in request["tensors"])
        return {}, [np.array(tensor) for tensor in found]

    def _make(self, arena: int, preserve: bool) -> Any:
        kinds = runtime.InterpreterConfig
        return runtime.Interpreter.from_bytes(
            self._model,
            arena_size=arena,
            intrepreter_config=kinds.kPreserveAllTensors if preserve else kinds.kAllocationRecording,
        )

    def _invoke(self, inputs: Sequence[np.ndarray]) -> None:
        signal.alarm(self._limit)
        if self._stateful:
            self._interpreter.reset()
        _set_inputs(self._interpreter, inputs)
        self._interpreter.invoke()
        signal.alarm(0)


def _set_inputs(interpreter: Any, inputs: Sequence[np.ndarray]) -> None:
    for i, array in enumerate(inputs):
        interpreter.set_input(array, i)


def _in_a_fork(function: Callable[[], Answer], limit: int) -> Answer:
    """Return what `function` returns in a copy of this process, or `{"died": signal}` if it ends that.

    Args:
        function: What may end its process.
        limit: Seconds after which it is ended by the signal ALRM.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(limit)
        with os.fdopen(writing, "wb") as out:
            write_frame(out, *_answer(function))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        try:
            answer = read_frame(answers)
        except EOFError:
            answer = None
    _, status = os.waitpid(child, 0)
    return answer or ({"died": os.WTERMSIG(status)}, [])


def _answer(function: Callable[[], Answer]) -> Answer:
    try:
        return function()
    # What TensorFlow Lite Micro refuses is an answer; its reasons are in the file of its messages.
    except (RuntimeError, ValueError, MemoryError) as error:
        return {"error": f"{type(error).__name__}: {error}"}, []


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    worker = _Worker()
    while True:
        try:
            request, arrays = read_frame(requests)
        except EOFError:
            return
        os.ftruncate(_ERRORS, 0)
        os.lseek(_ERRORS, 0, os.SEEK_SET)
        write_frame(answers, *_answer(partial(getattr(worker, request["do"]), request, arrays)))


if __name__ == "__main__":
    # A crash is expected here; it must not leave a core file behind.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _answers = os.fdopen(os.dup(1), "wb")
    os.dup2(_ERRORS, 1)
    _serve(sys.stdin.buffer, _answers)
