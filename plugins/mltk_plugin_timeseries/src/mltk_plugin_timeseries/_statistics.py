"""Mean and standard deviation of the channels of the training data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mltk.errors import DatasetError
from mltk.utils.files import atomic_write

FILE_NAME = "channel_statistics.json"


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean and standard deviation of each channel."""

    mean: np.ndarray
    """float32 `(channels,)`."""
    std: np.ndarray
    """float32 `(channels,)`; 1 for a channel that does not change."""

    @classmethod
    def of(cls, parts: Iterable[np.ndarray]) -> ChannelStatistics:
        """Compute them, over all rows.

        Args:
            parts: Arrays `(rows, channels)`.

        Raises:
            DatasetError: There are no rows.
        """
        count, mean, squares = 0, np.float64(0), np.float64(0)
        for part in parts:
            rows = part.astype(np.float64)
            own_mean = rows.mean(axis=0)
            # Chan et al., 1983: combine parts without subtracting large sums of squares.
            total = count + len(rows)
            delta = own_mean - mean
            squares = squares + ((rows - own_mean) ** 2).sum(axis=0) + delta**2 * (count * len(rows) / total)
            mean = mean + delta * (len(rows) / total)
            count = total
        if not count:
            raise DatasetError("There are no rows to compute the mean of the channels from.")
        std = np.sqrt(squares / count)
        # Rounding errors of a constant channel are not a deviation.
        std = np.where(std > 1e-6 * np.abs(mean), std, 1)
        return cls(np.asarray(mean, np.float32), np.asarray(np.where(std > 0, std, 1), np.float32))

    def check(self, channels: int) -> None:
        """Check the number of channels.

        Raises:
            DatasetError: There are others.
        """
        if len(self.mean) != channels:
            raise DatasetError(
                f"The mean and deviation of {len(self.mean)} channels are known, but the recordings have "
                f"{channels}: train again after changing the channels."
            )

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write them to a file in `folder`."""
        content = {"mean": self.mean.tolist(), "std": self.std.tolist()}
        atomic_write(Path(folder, FILE_NAME), json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ChannelStatistics | None:
        """Read what `save` wrote; `None` if there is no such file.

        Raises:
            DatasetError: The file is damaged.
        """
        path = Path(folder, FILE_NAME)
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            mean, std = (np.array(content[key], np.float32) for key in ("mean", "std"))
        except (ValueError, KeyError, TypeError) as e:
            raise DatasetError(f"'{path}' is damaged: {e}. Train the model again.") from e
        if mean.ndim != 1 or mean.shape != std.shape or not (std > 0).all():
            raise DatasetError(f"'{path}' is damaged. Train the model again.")
        return cls(mean, std)
