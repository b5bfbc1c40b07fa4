"""Comparison of detections with labels: false accepts, false rejects and latencies."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mltk_plugin_audio.streaming.detection import (
    MAX_SCORE,
    Detection,
    DetectionSettings,
    average_scores,
    detect,
    find_detectable,
)
from mltk_plugin_audio.streaming.labels import Event


@dataclass
class Outcome:
    """Counts of events and detections in one or more recordings."""

    n_classes: int
    events: np.ndarray = field(init=False)
    """Events per class."""
    hits: np.ndarray = field(init=False)
    """Detected events per class."""
    false_accepts: np.ndarray = field(init=False)
    """Detections per class that match no event, including repeats."""
    repeats: np.ndarray = field(init=False)
    """Detections per class of events that had already been detected."""
    latencies_ms: list[list[float]] = field(init=False)
    """Time from the end of an event to its detection, for each class and hit; negative for earlier detections."""

    def __post_init__(self) -> None:
        self.events, self.hits, self.false_accepts, self.repeats = np.zeros((4, self.n_classes), np.int64)
        self.latencies_ms = [[] for _ in range(self.n_classes)]

    @property
    def false_reject_rate(self) -> float:
        """Fraction of the events that were not detected; NaN without events."""
        total = int(self.events.sum())
        return 1 - int(self.hits.sum()) / total if total else float("nan")

    def add(self, detections: Sequence[Detection], events: Sequence[Event], tolerance_ms: float) -> None:
        """Add the counts of one recording.

        An event can be detected from its start to `tolerance_ms` after its end. A detection counts for the first
        event of its class that it matches and that has not been detected yet. If all matching events have been
        detected, it is a repeat.

        Args:
            detections: Detections, sorted by time.
            events: Events, sorted by time.
            tolerance_ms: Time after the end of an event in which it may be detected.
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
            matching = [i for i in range(first, last) if time <= of_class[c][i].end_ms + tolerance_ms]
            fresh = next((i for i in matching if (c, i) not in used), None)
            if fresh is not None:
                used.add((c, fresh))
                self.hits[c] += 1
                self.latencies_ms[c].append(time - of_class[c][fresh].end_ms)
            else:
                self.false_accepts[c] += 1
                self.repeats[c] += bool(matching)


@dataclass(frozen=True)
class Trace:
    """Scores of a model for one recording; they do not depend on the detection settings."""

    times_ms: np.ndarray
    """int64 `(n,)`"""
    scores: np.ndarray
    """uint8 `(n, classes)`"""
    events: tuple[Event, ...]
    duration_ms: float


def count_outcomes(
    traces: Sequence[Trace], settings: DetectionSettings, classes: Sequence[str], tolerance_ms: float
) -> Outcome:
    """Count the outcomes of several recordings with the given settings."""
    outcome = Outcome(len(classes))
    for trace in traces:
        averaged = average_scores(
            trace.times_ms, trace.scores, settings.average_window_duration_ms, settings.minimum_count
        )
        found = detect(trace.times_ms, *averaged, settings.get_thresholds(classes), settings.suppression_ms)
        outcome.add(found, trace.events, tolerance_ms)
    return outcome


@dataclass(frozen=True)
class Curve:
    """Rates at each threshold from 0 to 255, with the same threshold for all classes."""

    false_accepts_per_hour: np.ndarray
    """float64 `(256, classes)`"""
    false_reject_rate: np.ndarray
    """float64 `(256, classes)`; NaN for classes without events."""
    total_false_accepts_per_hour: np.ndarray
    """float64 `(256,)`"""
    total_false_reject_rate: np.ndarray
    """float64 `(256,)`, over all events; NaN without events."""

    def recommend(self, wanted_per_hour: float) -> int | None:
        """Return the recommended threshold for a rate of false accepts.

        Candidates are thresholds that keep the rate, as do all higher ones. Among them, the method prefers the fewest
        missed events, then the fewest false accepts, then the middle one. It returns `None` if each candidate misses
        all events, or if there are no events.
        """
        keeps = self.total_false_accepts_per_hour <= wanted_per_hour
        first = 0 if keeps.all() else MAX_SCORE + 1 - int(np.argmin(keeps[::-1]))
        rejects = self.total_false_reject_rate[first:]
        if not len(rejects) or not rejects.min() < 1:
            return None
        accepts = np.where(rejects == rejects.min(), self.total_false_accepts_per_hour[first:], np.inf)
        best = np.flatnonzero(accepts == accepts.min())
        # Use the first run of consecutive thresholds; equally good ones may follow after worse ones.
        length = int(np.argmax(np.append(np.diff(best) != 1, True))) + 1
        return first + int(best[(length - 1) // 2])


def compute_curve(
    traces: Sequence[Trace], settings: DetectionSettings, classes: Sequence[str], tolerance_ms: float
) -> Curve:
    """Count the outcomes at each threshold, with the same threshold for all classes.

    Args:
        traces: Scores of the recordings; their total duration is positive.
        settings: All other detection settings.
        classes: Class names.
        tolerance_ms: See `Outcome.add`.
    """
    hours = sum(trace.duration_ms for trace in traces) / 3.6e6
    averaged = [
        average_scores(t.times_ms, t.scores, settings.average_window_duration_ms, settings.minimum_count)
        for t in traces
    ]
    watched = find_detectable(classes)
    accepts = np.zeros((MAX_SCORE + 1, len(classes)))
    hits = np.zeros_like(accepts)
    events = np.zeros(len(classes))
    for threshold in range(MAX_SCORE + 1):
        outcome = Outcome(len(classes))
        limits = np.where(watched, threshold, MAX_SCORE)
        for trace, averages in zip(traces, averaged, strict=True):
            found = detect(trace.times_ms, *averages, limits, settings.suppression_ms)
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


def compute_rate_limits(count: int, hours: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact confidence limits of a Poisson rate per hour, from `count` events in `hours` (Garwood, 1936)."""
    from scipy.stats import chi2

    tail = (1 - confidence) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 / hours if count else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * count + 2)) / 2 / hours
