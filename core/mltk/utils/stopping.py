"""Ctrl-C, SIGTERM and SIGHUP: the first signal ends a program cleanly, the second immediately."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_requested = False
_in_steps = 0


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Raise `KeyboardInterrupt` on the first Ctrl-C, SIGTERM or SIGHUP within the block; end the process on the second.

    Within `in_steps` the exception waits for the next `stop_here`. Signals that are ignored, as under nohup, stay so.
    """
    global _requested
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread can have handlers.
        yield
        return
    usual: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    if hasattr(signal, "SIGHUP"):
        # The terminal is gone.
        usual[signal.SIGHUP] = signal.SIG_DFL
    taken = [number for number, handler in usual.items() if signal.getsignal(number) == handler]

    def stop(number: int, frame: FrameType | None) -> None:
        global _requested
        for other in taken:
            signal.signal(other, signal.SIG_DFL)
        _requested = True
        if not _in_steps:
            raise KeyboardInterrupt
        # Not by way of sys.stderr, in whose midst the signal may have come.
        with contextlib.suppress(OSError):
            os.write(2, b"\nStopping after this step. Once more ends it at once.\n")

    _requested = False
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        _requested = False
        for number in taken:
            signal.signal(number, usual[number])


@contextlib.contextmanager
def in_steps() -> Iterator[None]:
    """Delay the signals of `stop_signals` until the block calls `stop_here`."""
    global _in_steps
    _in_steps += 1
    try:
        yield
    finally:
        _in_steps -= 1
    stop_here()


def stop_here() -> None:
    """Raise `KeyboardInterrupt` if a signal was received."""
    if _requested:
        raise KeyboardInterrupt
