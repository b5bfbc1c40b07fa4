"""From the scores of a model, one vector per hop, to detections: the logic of the device's application.

The rules are those of TensorFlow's `micro_speech` example with the additions of the device application that reads
its settings from the `.tflite`. All arithmetic is in integers, as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any

import numpy as np

from mltk.errors import SpecificationError

MAX_SCORE = 255
SHORTEST_HOP_MS = 10
"""The application on a PC does not run the model more often."""


@dataclass(frozen=True)
class DetectionSettings:
    """The settings of the device application, with its defaults; all are model parameters of the same name."""

    average_window_duration_ms: int = 1000
    """Scores are averaged over this time."""
    minimum_count: int = 3
    """Fewer results in that time are not enough to decide on; 0 decides on each result alone, without averages."""
    detection_threshold: int = 185
    """0 to 255. An average must be greater."""
    detection_threshold_list: tuple[int, ...] | None = None
    """A threshold for each class, in place of `detection_threshold`."""
    suppression_ms: int = 1500
    """For this long after a detection, the same class is not detected again; another class is."""
    latency_ms: int = 100
    """Time from one run of the model to the next; less than 10 counts as 10."""
    volume_gain: int = 1
    """Samples are multiplied by it and clipped; 0 changes nothing, like 1."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "detection_threshold_list":
                for item in value or ():
                    _check(field.name, item, MAX_SCORE)
            else:
                _check(field.name, value, MAX_SCORE if field.name == "detection_threshold" else 2**31 - 1)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any], **overrides: int | None) -> DetectionSettings:
        """Take the settings from a model's parameters.

        Args:
            parameters: Parameters of a `.tflite` or of a specification. What is missing has its default.
            **overrides: Values that win, unless they are `None`. A `detection_threshold` replaces the list of
                thresholds, too.

        Raises:
            SpecificationError: A value is not a whole number in its range.
        """
        values = {f.name: parameters[f.name] for f in fields(cls) if parameters.get(f.name) is not None}
        given = {name: value for name, value in overrides.items() if value is not None}
        if "detection_threshold" in given:
            values.pop("detection_threshold_list", None)
        thresholds = values.get("detection_threshold_list")
        if thresholds is not None:
            if not isinstance(thresholds, list | tuple):
                raise SpecificationError(
                    f"The model parameter 'detection_threshold_list' must be a list, not {thresholds!r}."
                )
            values["detection_threshold_list"] = tuple(thresholds) or None
        return cls(**values | given)

    @property
    def hop_ms(self) -> int:
        """Time from one run of the model to the next, in milliseconds."""
        return max(self.latency_ms, SHORTEST_HOP_MS)

    def thresholds(self, classes: Sequence[str]) -> np.ndarray:
        """Return one threshold per class; that of a class that is never detected is 255, which no score exceeds.

        Args:
            classes: Names of the classes. Those that start with `_` are never detected.

        Raises:
            SpecificationError: The list of thresholds is not as long as that of the classes.
        """
        given = self.detection_threshold_list or (self.detection_threshold,) * len(classes)
        if len(given) != len(classes):
            raise SpecificationError(
                f"The model parameter 'detection_threshold_list' has {len(given)} thresholds for "
                f"{len(classes)} classes: it needs one for each."
            )
        return np.where(detectable(classes), given, MAX_SCORE)

    def with_threshold(self, threshold: int) -> DetectionSettings:
        """Return the same settings with one threshold for all classes."""
        return replace(self, detection_threshold=threshold, detection_threshold_list=None)


@dataclass(frozen=True)
class Detection:
    """The device says that it heard a class."""

    time_ms: int
    """When, in milliseconds from the start of the recording: the end of the hop after which the model ran."""
    class_id: int
    score: int
    """The average, 0 to 255."""


def detectable(classes: Sequence[str]) -> np.ndarray:
    """Tell which classes a device may report: bool, one per class. Names that start with `_` are not reported."""
    return np.array([not name.startswith("_") for name in classes], bool)


def to_scores(outputs: np.ndarray) -> np.ndarray:
    """Convert a model's outputs to the scores of the device.

    Args:
        outputs: `(n, classes)`: int8, or real numbers from 0 to 1.

    Returns:
        uint8 `(n, classes)`.
    """
    if outputs.dtype == np.int8:
        return (outputs.astype(np.int16) + 128).astype(np.uint8)
    if outputs.dtype == np.uint8:
        return outputs
    return np.asarray(np.clip(outputs * MAX_SCORE, 0, MAX_SCORE), np.uint8)


def averages(
    times_ms: np.ndarray, scores: np.ndarray, window_ms: int, minimum_count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Average each result with those before it.

    Args:
        times_ms: int64 `(n,)`, rising.
        scores: uint8 `(n, classes)`.
        window_ms: A result counts for this long.
        minimum_count: As in `DetectionSettings`.

    Returns:
        Averages, rounded down, int32 `(n, classes)`; and bool `(n,)`, whether there were enough results.
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
    """Decide on averaged scores, from the beginning of a recording.

    Args:
        times_ms: int64 `(n,)`, rising.
        averaged: int32 `(n, classes)`.
        enough: bool `(n,)`; results where it is false are passed over.
        thresholds: `(classes,)`.
        suppression_ms: As in `DetectionSettings`.

    Returns:
        The detections in the order of time.
    """
    return _Decisions(suppression_ms).decide(times_ms, averaged, enough, thresholds)


class Detector:
    """Decides while the scores come in; any division of them into pieces gives the same detections.

    Args:
        settings: The settings.
        classes: Names of the classes.
    """

    def __init__(self, settings: DetectionSettings, classes: Sequence[str]) -> None:
        self.settings = settings
        self._thresholds = settings.thresholds(classes)
        self._decisions = _Decisions(settings.suppression_ms)
        self._times = np.empty(0, np.int64)
        self._scores = np.empty((0, len(classes)), np.uint8)

    def process(self, times_ms: np.ndarray, scores: np.ndarray) -> list[Detection]:
        """Take the next results, and return the detections among them.

        Args:
            times_ms: int64 `(n,)`, rising, later than those before.
            scores: uint8 `(n, classes)`.
        """
        if not len(times_ms):
            return []
        window_ms = self.settings.average_window_duration_ms
        old = len(self._times)
        times = np.concatenate([self._times, times_ms])
        joined = np.concatenate([self._scores, scores])
        averaged, enough = averages(times, joined, window_ms, self.settings.minimum_count)
        # Only what may still be averaged with later results is kept.
        kept = np.searchsorted(times, times[-1] - window_ms)
        self._times, self._scores = times[kept:], joined[kept:]
        return self._decisions.decide(times[old:], averaged[old:], enough[old:], self._thresholds)


class _Decisions:
    def __init__(self, suppression_ms: int) -> None:
        self._suppression_ms = suppression_ms
        self._last: Detection | None = None

    def decide(
        self, times_ms: np.ndarray, averaged: np.ndarray, enough: np.ndarray, thresholds: np.ndarray
    ) -> list[Detection]:
        top = averaged.argmax(axis=1)
        score = averaged[np.arange(len(top)), top]
        above = np.flatnonzero(enough & (score > thresholds[top]))
        times, classes, scores = times_ms[above], top[above], score[above]
        # Where the next result of another class is: most results after a detection are of the same class.
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


def _check(name: str, value: Any, largest: int) -> None:
    number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not number or not 0 <= value <= largest or value != int(value):
        raise SpecificationError(
            f"The model parameter '{name}' must be a whole number from 0 to {largest}, not {value!r}."
        )
