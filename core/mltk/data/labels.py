"""The labels of a data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLASS_MODES = ("categorical", "binary", "sparse", "input", None)
"""Content of a batch besides the samples: one-hot, class ids (two names for it), the samples, nothing."""


@dataclass(frozen=True)
class Labels:
    """The target of each sample."""

    ids: np.ndarray
    """int64 `(n,)`: class id of each sample, -1 where there are no classes."""
    mode: str | None = "categorical"
    """One of `CLASS_MODES`."""
    n_classes: int = 0
    values: np.ndarray | None = None
    """Labels to return unchanged, whatever the mode."""
    weights: np.ndarray | None = None
    """Weight of each sample."""

    def batch(self, indices: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return `()`, `(y,)` or `(y, sample_weight)` for the samples at `indices`, whose batch is `x`."""
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        if self.values is not None:
            y = self.values[indices]
        elif self.mode is None:
            return ()
        elif self.mode == "input":
            y = x.copy()
        elif self.mode == "categorical":
            y = np.zeros((len(indices), self.n_classes), dtype)
            y[np.arange(len(indices)), self.ids[indices]] = 1
        else:
            y = self.ids[indices].astype(dtype)
        return (y,) if self.weights is None else (y, self.weights[indices])
