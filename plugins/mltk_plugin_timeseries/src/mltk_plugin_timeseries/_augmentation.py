"""Random transforms of a batch of windows: draw parameters for the whole batch, then apply them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from mltk.data import standard_normal


@dataclass(frozen=True)
class RandomTransforms:
    """Random transforms of windows; the defaults change nothing. For the values see `TimeSeriesSettings`.

    Windows are float32 `(n, rows, channels)` in the units of the recordings.
    """

    rotation: float = 0.0
    """Standard deviation of the angle, in radians."""
    axes: tuple[tuple[int, int, int], ...] = ()
    """Channels of each three-axis sensor; all sensors of a window turn together."""
    shift: float = 0.0
    """Largest shift, as a fraction of the window."""
    time_warp: float = 0.0
    """Standard deviation of the speed's logarithm."""
    scale: float = 0.0
    """Standard deviation of the factor of each channel."""
    magnitude_warp: float = 0.0
    """Standard deviation of a factor that changes during the window."""
    drift: float = 0.0
    """Standard deviation of an offset that changes during the window, in `unit`."""
    jitter: float = 0.0
    """Standard deviation of noise, in `unit`."""
    cutout: float = 0.0
    """Largest part of the window that is replaced by `center`, as a fraction."""
    knots: int = 4
    """Number of random values of the smooth curves."""
    center: np.ndarray | None = None
    """Mean of each channel, float32 `(channels,)`; 0 if unknown."""
    unit: np.ndarray | None = None
    """Standard deviation of each channel, float32 `(channels,)`; 1 if unknown."""

    def __call__(self, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Transform a batch, which may be overwritten."""
        n, rows, channels = batch.shape
        center = np.zeros(channels, np.float32) if self.center is None else self.center
        unit = np.ones(channels, np.float32) if self.unit is None else self.unit
        if self.rotation:
            turns = draw_rotations(n, self.rotation, rng)
            for axes in self.axes:
                part = list(axes)
                batch[:, :, part] = np.einsum("nij,nrj->nri", turns, batch[:, :, part])
        if self.shift or self.time_warp:
            batch = read_at(batch, self._draw_positions(n, rows, rng))
        if self.scale or self.magnitude_warp:
            factors: np.ndarray = np.ones((n, 1, channels), np.float32)
            if self.scale:
                factors = factors + self.scale * _normal((n, 1, channels), rng)
            if self.magnitude_warp:
                factors = factors * (1 + self.magnitude_warp * self._draw_curves(n, rows, channels, rng))
            batch = center + (batch - center) * factors
        if self.drift:
            batch = batch + self.drift * unit * self._draw_curves(n, rows, channels, rng)
        if self.jitter:
            batch = batch + self.jitter * unit * _normal(batch.shape, rng)
        if self.cutout:
            batch = np.where(self._draw_stretches(n, rows, rng)[:, :, None], center, batch)
        return np.asarray(batch, np.float32)

    def _draw_positions(self, n: int, rows: int, rng: np.random.Generator) -> np.ndarray:
        """Return the row of the source for each row of the result: float32 `(n, rows)`."""
        shift = rng.uniform(-self.shift, self.shift, (n, 1)).astype(np.float32) * np.float32(rows)
        positions = np.broadcast_to(np.arange(rows, dtype=np.float32), (n, rows))
        if self.time_warp:
            speed = np.exp(self.time_warp * self._draw_curves(n, rows, 1, rng)[:, :, 0])
            positions = np.cumsum(speed, axis=1, dtype=np.float32)
            middle = positions[:, rows // 2, None]
            positions = positions - middle + np.float32(rows // 2)
        return np.asarray(positions + shift)

    def _draw_curves(self, n: int, rows: int, channels: int, rng: np.random.Generator) -> np.ndarray:
        """Return smooth curves, float32 `(n, rows, channels)`, with a standard deviation of 1 in each row."""
        values = _normal((n, self.knots, channels), rng)
        return np.asarray(np.einsum("rk,nkc->nrc", smooth_basis(rows, self.knots), values))

    def _draw_stretches(self, n: int, rows: int, rng: np.random.Generator) -> np.ndarray:
        """Return bool `(n, rows)`: one stretch of each window."""
        length = rng.uniform(0, self.cutout, (n, 1)) * rows
        start = rng.uniform(0, 1, (n, 1)) * (rows - length)
        row = np.arange(rows)[None] + 0.5
        return np.asarray((row >= start) & (row < start + length))


def draw_rotations(n: int, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Return rotations about random axes: float32 `(n, 3, 3)`.

    Args:
        n: Number of rotations.
        deviation: Standard deviation of the angle, in radians.
        rng: Random generator.
    """
    axis = rng.standard_normal((n, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angle = (deviation * rng.standard_normal(n))[:, None, None]
    cross = np.zeros((n, 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross -= cross.transpose(0, 2, 1)
    # Rodrigues' formula.
    turned = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return np.asarray(turned, np.float32)


def read_at(batch: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return windows read at fractional rows, interpolated linearly; the ends are continued with their values.

    Args:
        batch: `(n, rows, channels)`.
        positions: `(n, any)`.
    """
    last = batch.shape[1] - 1
    positions = np.clip(positions, 0, last)
    before = np.minimum(positions.astype(np.int64), max(last - 1, 0))
    part = (positions - before).astype(np.float32)[:, :, None]
    low = np.take_along_axis(batch, before[:, :, None], axis=1)
    high = np.take_along_axis(batch, np.minimum(before + 1, last)[:, :, None], axis=1)
    return np.asarray(low + part * (high - low))


@cache
def smooth_basis(rows: int, knots: int) -> np.ndarray:
    """Return float32 `(rows, knots)`: weights that make smooth curves of random values at the knots.

    The squares of a row's weights add up to 1, so that the curve varies as much in each row as the values do.
    """
    positions = np.linspace(0, knots - 1, rows)[:, None]
    weights = np.exp(-2 * (positions - np.arange(knots)) ** 2)
    return np.asarray(weights / np.linalg.norm(weights, axis=1, keepdims=True), np.float32)


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return standard_normal(int(np.prod(shape)), rng).reshape(shape)
