"""Detection of classes from the scores of a model, as the application on the device does it.

The rules are those of TensorFlow's `micro_speech` example, with the additions of the device application that reads
its settings from the `.tflite`. Like the device, this module calculates with integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import numpy as np

from mltk.errors import SpecificationError

MAX_SCORE = 255
SHORTEST_HOP_MS = 10
"""Minimum time between two runs of the model, as in the application on a PC."""


@dataclass(frozen=True)
class DetectionSettings:
    """Settings and defaults of the device application; each is a model parameter of the same name."""

    average_window_duration_ms: int = 1000
    """Time over which scores are averaged."""
    minimum_count: int = 3
    """Minimum number of results in that time for a detection; 0 uses each result alone, without averages."""
    detection_threshold: int = 185
    """Threshold from 0 to 255 that an average must exceed."""
    detection_threshold_list: tuple[int, ...] | None = None
    """Thresholds of the classes; replaces `detection_threshold`."""
    suppression_ms: int = 1500
    """Time after a detection in which the same class is not detected again; other classes are."""
    latency_ms: int = 100
    """Time from one run of the model to the next; at least 10."""
    volume_gain: int = 1
    """Factor of the samples, which are then clipped; 0 means 1."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "detection_threshold_list":
                for item in value or ():
                    _check_integer(field.name, item, MAX_SCORE)
            else:
                _check_integer(
                    field.name, value, MAX_SCORE if field.name == "detection_threshold" else 2**31 - 1
                )

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], **overrides: int | None) -> DetectionSettings:
        """Read the settings from the parameters of a model.

        Args:
            parameters: Parameters of a `.tflite` or of a specification; missing settings have their defaults.
            **overrides: Values that take precedence unless they are `None`. `detection_threshold` also replaces
                `detection_threshold_list`.

        Raises:
            SpecificationError: A value is not an integer in its range.
        """
        values = {f.name: parameters[f.name] for f in fields(cls) if parameters.get(f.name) is not None}
        given = {name: value for name, value in overrides.items() if value is not None}
        if "detection_threshold" in given:
            values.pop("detection_threshold_list", None)
        thresholds = values.get("detection_threshold_list")
        if thresholds is not None:
            if not isinstance(thresholds, list | tuple):
                raise SpecificationError(
                    f"The model parameter 'detection_threshold_list' must be a list, got {thresholds!r}."
                )
            values["detection_threshold_list"] = tuple(thresholds) or None
        return cls(**cast("dict[str, Any]", values | given))  # `__post_init__` checks the types.

    @property
    def hop_ms(self) -> int:
        """Time from one run of the model to the next, in milliseconds."""
        return max(self.latency_ms, SHORTEST_HOP_MS)

    def get_thresholds(self, classes: Sequence[str]) -> np.ndarray:
        """Return one threshold per class; classes that are never detected get 255, which no score exceeds.

        Args:
            classes: Class names; classes that start with `_` are never detected.

        Raises:
            SpecificationError: The number of thresholds differs from the number of classes.
        """
        given = self.detection_threshold_list or (self.detection_threshold,) * len(classes)
        if len(given) != len(classes):
            raise SpecificationError(
                f"The model parameter 'detection_threshold_list' has {len(given)} thresholds for "
                f"{len(classes)} classes; it needs one for each class."
            )
        return np.where(find_detectable(classes), given, MAX_SCORE)

    def with_threshold(self, threshold: int) -> DetectionSettings:
        """Return a copy with one threshold for all classes."""
        return replace(self, detection_threshold=threshold, detection_threshold_list=None)


@dataclass(frozen=True)
class Detection:
    """A class that the device reports."""

    time_ms: int
    """Time in the recording, in milliseconds: the end of the hop after which the model ran."""
    class_id: int
    score: int
    """Averaged score, 0 to 255."""


def find_detectable(classes: Sequence[str]) -> np.ndarray:
    """Return bool `(classes,)`: the classes that a device may report, whose names do not start with `_`."""
    return np.array([not name.startswith("_") for name in classes], bool)


def to_scores(outputs: np.ndarray) -> np.ndarray:
    """Convert the outputs of a model to the scores of the device.

    Args:
        outputs: `(n, classes)`: int8, or floating point from 0 to 1.

    Returns:
        uint8 `(n, classes)`.
    """
    if outputs.dtype == np.int8:
        return (outputs.astype(np.int16) + 128).astype(np.uint8)
    if outputs.dtype == np.uint8:
        return outputs
    return np.asarray(np.clip(outputs * MAX_SCORE, 0, MAX_SCORE), np.uint8)


def average_scores(
    times_ms: np.ndarray, scores: np.ndarray, window_ms: int, minimum_count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Average each result with the results before it.

    Args:
        times_ms: int64 `(n,)`, ascending.
        scores: uint8 `(n, classes)`.
        window_ms: Time over which results are averaged.
        minimum_count: See `DetectionSettings`.

    Returns:
        `(averages, enough)`: averages rounded down, int32 `(n, classes)`, and bool `(n,)`, whether the number of
        results reached `minimum_count`.
    """
    if minimum_count == 0:
        return scores.astype(np.int32), np.ones(len(scores), bool)
    first = np.searchsorted(times_ms, times_ms - window_ms)
    last = np.arange(1, len(scores) + 1)
    sums = np.concatenate(
        [np.zeros((1, scores.shape[1]), np.int64), np.cumsum(scores, axis=0, dtype=np.int64)]
    )
    counts = last - first
    return ((sums[last] - sums[first]) // counts[:, np.newaxis]).astype(np.int32), counts >= minimum_count


def detect(
    times_ms: np.ndarray,
    averaged: np.ndarray,
    enough: np.ndarray,
    thresholds: np.ndarray,
    suppression_ms: int,
) -> list[Detection]:
    """Find the detections in the averaged scores of a whole recording.

    Args:
        times_ms: int64 `(n,)`, ascending.
        averaged: int32 `(n, classes)`.
        enough: bool `(n,)`; results where it is `False` are skipped.
        thresholds: `(classes,)`.
        suppression_ms: See `DetectionSettings`.

    Returns:
        The detections, sorted by time.
    """
    return _Suppression(suppression_ms).detect(times_ms, averaged, enough, thresholds)


class Detector:
    """Detector for a stream of scores; the detections do not depend on how the stream is divided.

    Args:
        settings: Settings of the detection.
        classes: Class names.
    """

    def __init__(self, settings: DetectionSettings, classes: Sequence[str]) -> None:
        self.settings = settings
        self.classes = tuple(classes)
        self._thresholds = settings.get_thresholds(classes)
        self._suppression = _Suppression(settings.suppression_ms)
        self._times = np.empty(0, np.int64)
        self._scores = np.empty((0, len(classes)), np.uint8)

    def process(self, times_ms: np.ndarray, scores: np.ndarray) -> list[Detection]:
        """Process the next results, and return the detections among them.

        Args:
            times_ms: int64 `(n,)`, ascending and later than the previous ones.
            scores: uint8 `(n, classes)`.
        """
        if not len(times_ms):
            return []
        window_ms = self.settings.average_window_duration_ms
        old = len(self._times)
        times = np.concatenate([self._times, times_ms])
        all_scores = np.concatenate([self._scores, scores])
        averaged, enough = average_scores(times, all_scores, window_ms, self.settings.minimum_count)
        # Later averages need only the results within the window.
        kept = np.searchsorted(times, times[-1] - window_ms)
        self._times, self._scores = times[kept:], all_scores[kept:]
        return self._suppression.detect(times[old:], averaged[old:], enough[old:], self._thresholds)


class _Suppression:
    """Decision rule with the last detection as its state."""

    def __init__(self, suppression_ms: int) -> None:
        self._suppression_ms = suppression_ms
        self._last: Detection | None = None

    def detect(
        self, times_ms: np.ndarray, averaged: np.ndarray, enough: np.ndarray, thresholds: np.ndarray
    ) -> list[Detection]:
        top = averaged.argmax(axis=1)
        score = averaged[np.arange(len(top)), top]
        above = np.flatnonzero(enough & (score > thresholds[top]))
        times, classes, scores = times_ms[above], top[above], score[above]
        # Most results after a detection are of the same class; skip to the next result of another class at once.
        changes = np.flatnonzero(classes[1:] != classes[:-1]) + 1
        found: list[Detection] = []
        i = 0
        while i < len(times):
            if self._last is not None and classes[i] == self._last.class_id:
                again = np.searchsorted(times, self._last.time_ms + self._suppression_ms, side="right")
                following = np.searchsorted(changes, i, side="right")
                other = changes[following] if following < len(changes) else len(times)
                i = max(i, min(int(again), int(other)))
                if i == len(times):
                    break
            self._last = Detection(int(times[i]), int(classes[i]), int(scores[i]))
            found.append(self._last)
            i += 1
        return found


def _check_integer(name: str, value: object, maximum: int) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.integer | np.floating)
        or not 0 <= value <= maximum
        or value != int(value)
    ):
        raise SpecificationError(
            f"The model parameter '{name}' must be an integer from 0 to {maximum}, got {value!r}."
        )
