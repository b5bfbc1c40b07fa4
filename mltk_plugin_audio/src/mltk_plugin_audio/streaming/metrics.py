"""How often a device would have been wrong: detections against what was said."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mltk_plugin_audio.streaming.detection import (
    MAX_SCORE,
    Detection,
    DetectionSettings,
    averages,
    detect,
    detectable,
)
from mltk_plugin_audio.streaming.recordings import Event


@dataclass
class Outcome:
    """What became of the events and detections of one or more recordings."""

    n_classes: int
    events: np.ndarray = field(init=False)
    """Events per class."""
    hits: np.ndarray = field(init=False)
    """Events per class that were detected."""
    false_accepts: np.ndarray = field(init=False)
    """Detections per class with no event to it, repeated ones included."""
    repeats: np.ndarray = field(init=False)
    """Detections per class of an event that had been detected before."""
    latencies_ms: list[list[float]] = field(init=False)
    """For each class and hit, time from the end of the event to its detection; negative when it came before."""

    def __post_init__(self) -> None:
        self.events, self.hits, self.false_accepts, self.repeats = np.zeros((4, self.n_classes), np.int64)
        self.latencies_ms = [[] for _ in range(self.n_classes)]

    @property
    def false_reject_rate(self) -> float:
        """Share of the events that were not detected; NaN without events."""
        total = int(self.events.sum())
        return 1 - int(self.hits.sum()) / total if total else float("nan")

    def add(self, detections: Sequence[Detection], events: Sequence[Event], tolerance_ms: float) -> None:
        """Count one recording.

        A detection belongs to the first event of its class that it falls into, and that was not detected yet: from the
        start of the event to `tolerance_ms` after its end. Where all such events were detected before, it is a repeat.

        Args:
            detections: In the order of time.
            events: In the order of time.
            tolerance_ms: How long after its end an event may be detected.
        """
        of_class: list[list[Event]] = [[] for _ in range(self.n_classes)]
        for event in events:
            of_class[event.class_id].append(event)
            self.events[event.class_id] += 1
        starts = [[event.start_ms for event in own] for own in of_class]
        longest = max((event.end_ms - event.start_ms for event in events), default=0.0)
        used: set[tuple[int, int]] = set()
        for detection in detections:
            time, c = detection.time_ms, detection.class_id
            first = bisect.bisect_left(starts[c], time - tolerance_ms - longest)
            last = bisect.bisect_right(starts[c], time)
            fitting = [i for i in range(first, last) if time <= of_class[c][i].end_ms + tolerance_ms]
            fresh = next((i for i in fitting if (c, i) not in used), None)
            if fresh is not None:
                used.add((c, fresh))
                self.hits[c] += 1
                self.latencies_ms[c].append(time - of_class[c][fresh].end_ms)
            else:
                self.false_accepts[c] += 1
                self.repeats[c] += bool(fitting)


@dataclass(frozen=True)
class Trace:
    """The scores of a model over one recording; they do not depend on the settings of the decisions."""

    times_ms: np.ndarray
    """int64 `(n,)`"""
    scores: np.ndarray
    """uint8 `(n, classes)`"""
    events: tuple[Event, ...]
    duration_ms: float

    def outcome(self, settings: DetectionSettings, classes: Sequence[str], tolerance_ms: float) -> Outcome:
        """Decide and count, at these settings."""
        return sum_outcomes([self], settings, classes, tolerance_ms)


def sum_outcomes(
    traces: Sequence[Trace], settings: DetectionSettings, classes: Sequence[str], tolerance_ms: float
) -> Outcome:
    """Decide and count over several recordings, at these settings."""
    outcome = Outcome(len(classes))
    for trace in traces:
        averaged = averages(
            trace.times_ms, trace.scores, settings.average_window_duration_ms, settings.minimum_count
        )
        found = detect(trace.times_ms, *averaged, settings.thresholds(classes), settings.suppression_ms)
        outcome.add(found, trace.events, tolerance_ms)
    return outcome


@dataclass(frozen=True)
class Curve:
    """What each threshold from 0 to 255, the same for all classes, would have given."""

    false_accepts_per_hour: np.ndarray
    """float64 `(256, classes)`"""
    false_reject_rate: np.ndarray
    """float64 `(256, classes)`; NaN for classes without events."""
    total_false_accepts_per_hour: np.ndarray
    """float64 `(256,)`"""
    total_false_reject_rate: np.ndarray
    """float64 `(256,)`, over all events; NaN without events."""

    def recommend(self, wanted_per_hour: float) -> int | None:
        """Return the threshold to take for a rate of false accepts.

        It and all higher ones keep the rate. Of these it is one that misses the fewest events; of several, one with the
        fewest false accepts; and of several still, the middle one. `None` when the best misses everything, or where
        there are no events.
        """
        keeps = self.total_false_accepts_per_hour <= wanted_per_hour
        first = 0 if keeps.all() else MAX_SCORE + 1 - int(np.argmin(keeps[::-1]))
        rejects = self.total_false_reject_rate[first:]
        if not len(rejects) or not rejects.min() < 1:
            return None
        accepts = np.where(rejects == rejects.min(), self.total_false_accepts_per_hour[first:], np.inf)
        best = np.flatnonzero(accepts == accepts.min())
        # Others may be as good beyond worse ones; the first stretch is taken.
        length = int(np.argmax(np.append(np.diff(best) != 1, True))) + 1
        return first + int(best[(length - 1) // 2])


def threshold_curve(
    traces: Sequence[Trace], settings: DetectionSettings, classes: Sequence[str], tolerance_ms: float
) -> Curve:
    """Decide and count at every threshold, the same for all classes.

    Args:
        traces: Scores over the recordings, of at least some length together.
        settings: All other settings.
        classes: Names of the classes.
        tolerance_ms: As in `Outcome.add`.
    """
    hours = sum(trace.duration_ms for trace in traces) / 3.6e6
    averaged = [
        averages(t.times_ms, t.scores, settings.average_window_duration_ms, settings.minimum_count)
        for t in traces
    ]
    watched = detectable(classes)
    accepts = np.zeros((MAX_SCORE + 1, len(classes)))
    hits = np.zeros_like(accepts)
    events = np.zeros(len(classes))
    for threshold in range(MAX_SCORE + 1):
        outcome = Outcome(len(classes))
        limits = np.where(watched, threshold, MAX_SCORE)
        for trace, averages_of in zip(traces, averaged, strict=True):
            found = detect(trace.times_ms, *averages_of, limits, settings.suppression_ms)
            outcome.add(found, trace.events, tolerance_ms)
        accepts[threshold] = outcome.false_accepts / hours
        hits[threshold], events = outcome.hits, outcome.events
    with np.errstate(invalid="ignore", divide="ignore"):
        return Curve(
            accepts,
            1 - hits / events,
            accepts.sum(axis=1),
            1 - hits.sum(axis=1) / np.asarray(events.sum(), float),
        )


def rate_limits(count: int, hours: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact limits of a rate per hour, of which `count` were seen in `hours` (Garwood's, of Poisson)."""
    from scipy.stats import chi2

    tail = (1 - confidence) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 / hours if count else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * count + 2)) / 2 / hours
