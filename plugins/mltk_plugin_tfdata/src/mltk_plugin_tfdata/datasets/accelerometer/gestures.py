"""Simulated gestures of a wand: 3-axis acceleration while it draws a figure in the air.

The licence is that of this plugin. A figure is a path of minimum-jerk strokes (Flash & Hogan, "The coordination of arm
movements", 1985). Its acceleration is rotated into the axes of the wand; gravity, tremor, sensor noise and offset are
added. Persons differ in size, speed, tilt and overlap of strokes. Training and test data have different persons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Subset = tuple[NDArray[np.float32], NDArray[np.int32]]

CLASSES = ("wing", "ring", "slope", "negative")
"""Class labels, by class id: a W, a circle, an angle, and anything else."""

INPUT_SHAPE = (128, 3, 1)
"""Samples at 64 Hz, axes, channels."""

RATE = 64.0
"""Samples per second."""

_GRAVITY = 9.81
_STROKES = {
    "wing": ((0.0, 0.0), (0.25, -1.0), (0.5, -0.1), (0.75, -1.0), (1.0, 0.0)),
    "slope": ((0.0, 0.0), (-0.7, -1.0), (0.6, -1.0)),
}


def load_data(samples_per_class: int = 600, seed: int = 1) -> tuple[Subset, Subset]:
    """Generate `((x_train, y_train), (x_test, y_test))`.

    x is float32 `(n, 128, 3, 1)`, in m/s²; y is int32 `(n,)`, the class id; the classes alternate.

    Args:
        samples_per_class: Training samples per class; there are a third as many test samples.
        seed: Seed of the generator, at least 0.
    """
    rng = np.random.default_rng(seed)
    return _subset(samples_per_class, 16, rng), _subset(-(-samples_per_class // 3), 8, rng)


def _subset(per_class: int, n_persons: int, rng: np.random.Generator) -> Subset:
    persons = [_Person(rng) for _ in range(n_persons)]
    n = per_class * len(CLASSES)
    y = (np.arange(n) % len(CLASSES)).astype(np.int32)
    x = np.stack([_sample(CLASSES[c], persons[i // len(CLASSES) % n_persons], rng) for i, c in enumerate(y)])
    return x[..., np.newaxis].astype(np.float32), y


class _Person:
    def __init__(self, rng: np.random.Generator) -> None:
        self.size = rng.uniform(0.15, 0.35)
        """Height of a figure, in m."""
        self.seconds = rng.uniform(0.8, 1.5)
        """Duration of a figure."""
        self.tilt = rng.normal(0.0, (0.35, 0.35, 0.25))
        """Roll, pitch and yaw of the hand, in radians."""
        self.slur = rng.uniform(0.0, 0.25)
        """Overlap of consecutive strokes, as a fraction of their duration."""


def _sample(label: str, person: _Person, rng: np.random.Generator) -> NDArray[np.float64]:
    n = INPUT_SHAPE[0]
    t = np.arange(n) / RATE
    if label == "negative":
        plane = _other_motion(t, rng)
    else:
        seconds = person.seconds * rng.uniform(0.85, 1.15)
        start = rng.uniform(0.05, t[-1] - seconds - 0.05)
        path = _figure(label, (t - start) / seconds, person.slur) * person.size * rng.uniform(0.8, 1.25)
        plane = np.gradient(np.gradient(path, t, axis=0), t, axis=0)
    # The figure is in the vertical plane: x to the right, z up.
    world = np.stack([plane[:, 0], rng.normal(0.0, 0.3) * plane[:, 1], plane[:, 1] + _GRAVITY], axis=1)
    turned = world @ _rotation(person.tilt + rng.normal(0.0, 0.12, 3))
    tremor = 0.15 * np.sin(2 * np.pi * rng.uniform(8, 11) * t[:, None] + rng.uniform(0, 6.3, 3))
    return turned + tremor + rng.normal(0.0, 0.12, (n, 3)) + rng.normal(0.0, 0.15, 3)


def _figure(label: str, phase: NDArray[np.float64], slur: float) -> NDArray[np.float64]:
    """Return positions `(n, 2)`; the figure begins at phase 0 and ends at 1."""
    if label == "ring":
        angle = 2 * np.pi * _minimum_jerk(phase)
        return np.stack([np.sin(angle), np.cos(angle) - 1], axis=1) / 2
    corners = np.asarray(_STROKES[label])
    strokes = len(corners) - 1
    path = np.tile(corners[0], (len(phase), 1))
    for i, way in enumerate(np.diff(corners, axis=0)):
        begin, end = (i - slur * (i > 0)) / strokes, (i + 1 + slur * (i < strokes - 1)) / strokes
        path += _minimum_jerk((phase - begin) / (end - begin))[:, None] * way
    return path


def _minimum_jerk(phase: NDArray[np.float64]) -> NDArray[np.float64]:
    s = np.clip(phase, 0.0, 1.0)
    return s**3 * (10 - 15 * s + 6 * s * s)


def _other_motion(t: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the acceleration `(n, 2)` of a still, walking or moving person."""
    kind = rng.integers(3)
    if kind == 0:
        return np.zeros((len(t), 2))
    if kind == 1:
        step = 2 * np.pi * rng.uniform(1.4, 2.2) * t + rng.uniform(0, 6.3)
        return np.stack([np.sin(step / 2), np.cos(step) + 0.4 * np.cos(2 * step)], axis=1) * rng.uniform(
            1.0, 4.0
        )
    waves = [
        rng.normal(0.0, 2.5, 2) * np.sin(2 * np.pi * rng.uniform(0.3, 3.0) * t + rng.uniform(0, 6.3))[:, None]
        for _ in range(4)
    ]
    total: NDArray[np.float64] = np.sum(waves, axis=0)
    return total


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    (sr, sp, sy), (cr, cp, cy) = np.sin(angles), np.cos(angles)
    roll = np.array([[cr, 0, sr], [0, 1, 0], [-sr, 0, cr]])
    pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return np.asarray(yaw @ pitch @ roll)
