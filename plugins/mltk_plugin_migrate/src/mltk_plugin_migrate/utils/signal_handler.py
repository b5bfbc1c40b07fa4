"""Signals of the system: `mltk.utils.signal_handler`."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Self


class SignalHandler:
    """Notes a signal instead of ending the program, in a `with` block of the main thread.

    Args:
        sig: The signal; Ctrl-C by default.
        callback: Called at the first signal.
        resignal_on_exit: Send the signal again at the end of the block.
    """

    def __init__(
        self,
        sig: signal.Signals = signal.SIGINT,
        callback: Callable[[], object] | None = None,
        resignal_on_exit: bool = False,
        **_: object,
    ) -> None:
        self.sig = sig
        self.callback = callback
        self.resignal_on_exit = resignal_on_exit
        self.interrupted = False
        self._original: object = None

    def __enter__(self) -> Self:
        self.interrupted = False
        self._original = signal.signal(self.sig, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        if self.interrupted and self.resignal_on_exit:
            signal.raise_signal(self.sig)

    def release(self) -> None:
        """Let the signal act as before."""
        signal.signal(self.sig, self._original)  # type: ignore[arg-type]  # what `signal.signal` returned

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.interrupted:
            self.interrupted = True
            if self.callback is not None:
                self.callback()
