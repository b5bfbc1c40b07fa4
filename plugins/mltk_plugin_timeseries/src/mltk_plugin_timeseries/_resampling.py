"""Bring recordings to one sample rate; fill what is missing, or refuse it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mltk.errors import DatasetError

JITTER = 0.2
"""Intervals that differ from their median by less than this fraction are regular: times are often rounded."""

_SAME_RATE = 0.005
"""Rates that differ by less than this fraction are the same."""


class Resampled(NamedTuple):
    """Rows at regular times."""

    values: np.ndarray
    """float32 `(rows, channels)`."""
    rate: float | None
    """Rows per second, if it is known."""


@dataclass(frozen=True)
class ResamplingRules:
    """What to do with rates, irregular times and missing values."""

    sample_rate: float | None = None
    """Rows per second of the result; `None` keeps those of the recording."""
    recorded_rate: float | None = None
    """Rows per second of recordings without times."""
    irregular: str = "refuse"
    """`refuse`, or `resample` by linear interpolation."""
    missing: str = "refuse"
    """`refuse`, or `interpolate` linearly."""
    max_gap: int = 10
    """Most successive rows to fill."""

    def apply(self, values: np.ndarray, times: np.ndarray | None) -> Resampled:
        """Return a recording without missing values, at regular times.

        Args:
            values: float64 `(rows, channels)`; NaN where a value is missing.
            times: Seconds, float64 `(rows,)`; `None` if they are not recorded.

        Raises:
            DatasetError: The rules refuse the recording; the message begins with a verb, without the file's name.
        """
        values = self._fill(values)
        rate = self.recorded_rate
        if times is not None and len(times) > 1:
            values, rate = self._make_regular(values, times)
        if rate is None or self.sample_rate is None or abs(rate / self.sample_rate - 1) < _SAME_RATE:
            return Resampled(values.astype(np.float32), self.sample_rate or rate)
        return Resampled(
            change_rate(values, rate, self.sample_rate).astype(np.float32), float(self.sample_rate)
        )

    def _fill(self, values: np.ndarray) -> np.ndarray:
        """Return the values with missing ones interpolated."""
        if np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values).any(axis=1))[0])
            raise DatasetError(f"holds an infinite value in row {row + 1}")
        missing = np.isnan(values)
        if not missing.any():
            return values
        row = int(np.flatnonzero(missing.any(axis=1))[0])
        if self.missing == "refuse":
            raise DatasetError(
                f"lacks {int(missing.sum()):,} values, the first in row {row + 1}; "
                f"missing='interpolate' fills them"
            )
        filled = values.copy()
        for channel in range(values.shape[1]):
            known = np.flatnonzero(~missing[:, channel])
            bounds = np.concatenate([[-1], known, [len(values)]])
            longest = int(np.diff(bounds).max()) - 1
            if not len(known) or longest > self.max_gap:
                start = int(bounds[np.diff(bounds).argmax()]) + 1
                raise DatasetError(
                    f"lacks {longest:,} successive values of channel {channel + 1} from row {start + 1} on; "
                    f"more than max_gap={self.max_gap} are not filled"
                )
            filled[:, channel] = np.interp(np.arange(len(values)), known, values[known, channel])
        return filled

    def _make_regular(self, values: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, float]:
        """Return rows at regular times, and their rate."""
        intervals = np.diff(times)
        if not np.isfinite(times).all():
            raise DatasetError(f"lacks the time of row {int(np.flatnonzero(~np.isfinite(times))[0]) + 1}")
        if intervals.min() <= 0:
            row = int(np.flatnonzero(intervals <= 0)[0]) + 2
            raise DatasetError(f"has times that do not increase, in row {row}")
        period = float(np.median(intervals))
        deviation = np.abs(intervals / period - 1)
        if deviation.max() < JITTER:
            return values, (len(times) - 1) / float(times[-1] - times[0])
        worst = int(deviation.argmax())
        if self.irregular == "refuse":
            raise DatasetError(
                f"has irregular times: {intervals[worst]:.4g} s after row {worst + 1}, "
                f"{period:.4g} s in the median; irregular='resample' interpolates them"
            )
        longest = int(intervals.argmax())
        missed = intervals[longest] / period - 1
        if missed > self.max_gap + 0.5:
            raise DatasetError(
                f"has a gap of {intervals[longest]:.4g} s after row {longest + 1}, about {missed:.0f} rows; "
                f"more than max_gap={self.max_gap} are not filled. Cut the recording there"
            )
        return _interpolate(values, times, 1 / period), 1 / period


def change_rate(values: np.ndarray, rate: float, new_rate: float) -> np.ndarray:
    """Return regular rows at another rate; a lower one first removes what would alias.

    Args:
        values: `(rows, channels)`.
        rate: Their rows per second.
        new_rate: Rows per second of the result, which begins at the same time.
    """
    if new_rate < rate:
        values = low_pass(values, 0.45 * new_rate / rate)
    return _interpolate(values, np.arange(len(values)) / rate, new_rate)


def low_pass(values: np.ndarray, cutoff: float) -> np.ndarray:
    """Apply a windowed-sinc filter without delay; the ends are continued with their values.

    Args:
        values: `(rows, channels)`.
        cutoff: Cycles per row, below 0.5.
    """
    half = int(np.ceil(2 / cutoff))
    taps = np.sinc(2 * cutoff * np.arange(-half, half + 1)) * np.hanning(2 * half + 3)[1:-1]
    taps /= taps.sum()
    padded = np.pad(values, ((half, half), (0, 0)), mode="edge")
    columns = [np.convolve(column, taps, mode="valid") for column in padded.T]
    return np.stack(columns, axis=1)


def _interpolate(values: np.ndarray, times: np.ndarray, rate: float) -> np.ndarray:
    seconds = times - times[0]
    grid = np.arange(int(np.floor(seconds[-1] * rate + 1e-6)) + 1) / rate
    return np.stack([np.interp(grid, seconds, column) for column in values.T], axis=1)
