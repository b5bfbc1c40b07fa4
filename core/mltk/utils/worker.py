"""A worker: a process of its own for native code that may crash, which answers requests of this process.

The module that the worker runs calls `serve`; this process talks to it through a `Worker`::

    worker = Worker("my_package._worker")
    header, arrays = worker.ask({"do": "run"}, [x])
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, cast

import numpy as np

from mltk.utils.frames import read_frame, write_frame

Answer = tuple[dict[str, Any], list[np.ndarray]]

_ERRORS = 2
"""File descriptor of the messages of native code; the asking process redirects it to a file."""


class WorkerDied(Exception):  # noqa: N818 - it is an event, which the caller explains
    """The worker ended instead of answering.

    Attributes:
        signal: Number of the signal that ended it, or minus its exit code.
    """

    def __init__(self, number: int) -> None:
        super().__init__(describe_signal(number))
        self.signal = number


class Worker:
    """A process that runs a module which calls `serve`. It ends with this object.

    Args:
        module: Name of the module.
        environment: Variables to set.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        # Messages must remain readable after a crash.
        self._printed = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115 - closed by close()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env={**os.environ, **(environment or {})},
        )
        self.close = weakref.finalize(self, _close, self.process, self._printed)
        """End the process."""

    def ask(self, request: Mapping[str, object], arrays: Sequence[np.ndarray] = ()) -> Answer:
        """Send a request and return the answer.

        Args:
            request: JSON values; `do` names the method of the object in the worker.
            arrays: Numeric arrays.

        Raises:
            WorkerDied: The process ended.
        """
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        if stdin.closed:
            raise WorkerDied(0)
        try:
            write_frame(stdin, request, arrays)
            return read_frame(stdout)
        except (BrokenPipeError, EOFError):
            raise WorkerDied(-self.process.wait()) from None

    def text(self) -> str:
        """Return what the worker printed since the last request."""
        if self._printed.closed:
            return ""
        size = os.fstat(self._printed.fileno()).st_size
        return os.pread(self._printed.fileno(), size, 0).decode(errors="replace")


def _close(process: subprocess.Popen[bytes], printed: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, printed):
        if stream is not None:
            # Data that an ended process has not read can be discarded.
            try:
                stream.close()
            except BrokenPipeError:
                continue


def serve(target: object, errors: tuple[type[Exception], ...]) -> None:
    """Answer the requests of the process that started this one, until it ends.

    Args:
        target: Object with the methods that requests name. They take the header and the arrays of a request and return
            those of the answer.
        errors: Exceptions that are answers: their text is the entry `error` of the header.
    """
    _write_no_core_files()
    # The process that waits for the answer is interrupted by Ctrl-C, and ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(_ERRORS, 1)
    while True:
        try:
            request, arrays = read_frame(requests)
        except EOFError:
            return
        os.ftruncate(_ERRORS, 0)
        os.lseek(_ERRORS, 0, os.SEEK_SET)
        method: Callable[[Mapping[str, Any], list[np.ndarray]], Answer] = getattr(target, request["do"])
        write_frame(answers, *answer_of(lambda: method(request, arrays), errors))  # noqa: B023 - called here


def answer_of(function: Callable[[], Answer], errors: tuple[type[Exception], ...]) -> Answer:
    """Return what a function returns, or the answer that says why it failed."""
    try:
        return function()
    except errors as error:
        return {"error": str(error).strip() or type(error).__name__}, []


def describe_signal(number: int) -> str:
    """Return the name of a signal, or the exit code that a negative number stands for."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"exit code {-number}"


def _write_no_core_files() -> None:
    """Crashes are expected here."""
    try:
        import resource
    except ImportError:  # Windows writes none.
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
