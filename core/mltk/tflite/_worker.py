"""The process that runs LiteRT on files that others made (see `RemotePool`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from mltk.tflite._interpreters import InterpreterPool, PoolOptions
from mltk.utils.worker import Answer, serve


class _Worker:
    def load(self, request: Mapping[str, Any], arrays: list[np.ndarray]) -> Answer:
        """Set the model for the following requests."""
        self._pool = InterpreterPool(arrays[0].tobytes(), PoolOptions(**request["options"]))
        return asdict(self._pool.details), []

    def run(self, request: Mapping[str, Any], arrays: list[np.ndarray]) -> Answer:
        """Return the outputs for one array per input."""
        return {}, self._pool.run(arrays, frames=request["frames"])

    def trace(self, request: Mapping[str, Any], arrays: list[np.ndarray]) -> Answer:
        """Run one inference; return tensors by index."""
        return {}, self._pool.trace(arrays, request["tensors"], request["reset"])


if __name__ == "__main__":
    serve(_Worker(), (ValueError, RuntimeError, MemoryError))
