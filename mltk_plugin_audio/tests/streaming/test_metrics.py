from __future__ import annotations

import numpy as np
import pytest

from mltk_plugin_audio.streaming import Detection, DetectionSettings, Event
from mltk_plugin_audio.streaming.metrics import Curve, Outcome, Trace, compute_curve, compute_rate_limits

CLASSES = ("yes", "no", "_silence_")


def count(detections, events, tolerance_ms=500):
    outcome = Outcome(3)
    outcome.add([Detection(t, c, 200) for t, c in detections], [Event(*e) for e in events], tolerance_ms)
    return outcome


def test_a_detection_belongs_to_an_event_from_its_start_to_the_tolerance_after_its_end():
    events = [(1000, 1500, 0)]
    for time, right in ((999, False), (1000, True), (2000, True), (2001, False)):
        outcome = count([(time, 0)], events)
        assert outcome.hits[0] == right
        assert outcome.false_accepts[0] == (not right)
    assert count([(1700, 0)], events).latencies_ms[0] == [200]
    assert count([(1400, 0)], events).latencies_ms[0] == [-100]


def test_another_class_is_a_false_accept_and_the_event_is_missed():
    outcome = count([(1700, 1)], [(1000, 1500, 0)])
    assert outcome.false_accepts.tolist() == [0, 1, 0]
    assert outcome.false_reject_rate == 1


def test_a_second_detection_of_one_event_is_a_repeat():
    outcome = count([(1200, 0), (1800, 0)], [(1000, 1500, 0)])
    assert (outcome.hits[0], outcome.false_accepts[0], outcome.repeats[0]) == (1, 1, 1)


def test_two_near_events_take_one_detection_each():
    outcome = count([(1600, 0), (1900, 0)], [(1000, 1500, 0), (1550, 1800, 0)])
    assert (outcome.hits[0], outcome.false_accepts[0]) == (2, 0)
    assert outcome.latencies_ms[0] == [100, 100]


def test_a_long_event_is_found_behind_short_ones():
    outcome = count([(9000, 0)], [(0, 9500, 0), (100, 200, 0), (300, 400, 0)])
    assert outcome.hits[0] == 1


def trace(scores, events=(), hop=100):
    scores = np.array(scores, np.uint8)
    times = hop * np.arange(1, len(scores) + 1)
    return Trace(times, scores, tuple(Event(*e) for e in events), float(hop * len(scores)))


def test_the_curve_counts_per_hour_at_every_threshold():
    # Half an hour: one false accept with a score of 100, one of 200, and one event with a score of 150.
    scores = np.zeros((18_000, 3), np.uint8)
    scores[:, 2] = 1
    scores[1000, 0], scores[5000, 1], scores[9000, 0] = 100, 200, 150
    settings = DetectionSettings(minimum_count=0, suppression_ms=0)
    curve = compute_curve([trace(scores, [(900_000, 900_050, 0), (0, 10, 1)])], settings, CLASSES, 100)
    assert curve.total_false_accepts_per_hour[[1, 99, 100, 199, 200, 255]].tolist() == [4, 4, 2, 2, 0, 0]
    assert curve.false_accepts_per_hour[99].tolist() == [2, 2, 0]
    assert curve.total_false_reject_rate[[1, 149, 150, 255]].tolist() == [0.5, 0.5, 1, 1]
    assert np.isnan(curve.false_reject_rate[:, 2]).all()
    # Up to 149 the event is heard, and from 100 on there is one false accept less.
    assert curve.recommend(4) == curve.recommend(2) == 124
    assert curve.recommend(0) is None


def curve_of(accepts, rejects):
    accepts, rejects = (
        np.concatenate([values, np.full(256 - len(values), values[-1])]) for values in (accepts, rejects)
    )
    return Curve(accepts[:, None], rejects[:, None], accepts, rejects)


def test_the_recommended_threshold_and_all_above_it_keep_the_rate():
    rejects = np.linspace(0.1, 1, 256)
    assert curve_of([9.0, 0.2, 9.0, 0.5, 0.4, 0.0], rejects).recommend(0.5) == 3
    assert curve_of([0.0], rejects).recommend(0.5) == 0


def test_the_rate_has_the_exact_limits_of_a_poisson_process():
    assert compute_rate_limits(0, 1) == (0, pytest.approx(3.6889, abs=1e-4))
    assert compute_rate_limits(10, 2) == (
        pytest.approx(4.7954 / 2, abs=1e-4),
        pytest.approx(18.3904 / 2, abs=1e-4),
    )
