from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mltk.errors import SpecificationError
from mltk_plugin_audio.streaming.detection import (
    DetectionSettings,
    Detector,
    average_scores,
    to_scores,
)

CLASSES = ("yes", "no", "_unknown_")


def run(scores, classes=CLASSES, hop=100, **settings):
    """Return (time, class, score) of the detections; the first result is at `hop` ms."""
    values = {
        "average_window_duration_ms": 200,
        "minimum_count": 1,
        "detection_threshold": 100,
        "suppression_ms": 0,
    }
    detector = Detector(DetectionSettings(**values | settings), classes)
    scores = np.array(scores, np.uint8)
    times = hop * np.arange(1, len(scores) + 1)
    return [(d.time_ms, d.class_id, d.score) for d in detector.process(times, scores)]


def test_scores_are_averaged_over_the_window_and_rounded_down():
    scores = np.array([[10], [20], [31], [41], [0]], np.uint8)
    times = 100 * np.arange(1, 6)
    averaged, enough = average_scores(times, scores, window_ms=200, minimum_count=3)
    # A result that is exactly as old as the window still counts.
    assert averaged[:, 0].tolist() == [10, 15, 20, 30, 24]
    assert enough.tolist() == [False, False, True, True, True]


def test_without_a_minimum_count_nothing_is_averaged():
    averaged, enough = average_scores(np.array([100, 200]), np.array([[10], [200]], np.uint8), 1000, 0)
    assert averaged[:, 0].tolist() == [10, 200]
    assert enough.all()


def test_an_average_must_exceed_the_threshold():
    assert run([[100, 0, 0]]) == []
    assert run([[101, 0, 0]]) == [(100, 0, 101)]


def test_too_few_results_give_no_detection():
    loud = [[255, 0, 0]] * 4
    assert run(loud, minimum_count=3, suppression_ms=10_000) == [(300, 0, 255)]
    assert run(loud, minimum_count=4, average_window_duration_ms=200) == []


def test_only_the_highest_class_can_be_detected():
    assert run([[150, 200, 0]]) == [(100, 1, 200)]
    # The threshold of the highest counts, even where another would be above its own.
    assert run([[150, 200, 0]], detection_threshold_list=(100, 220, 0)) == []
    assert run([[150, 200, 0]], detection_threshold_list=(220, 100, 0)) == [(100, 1, 200)]


def test_equal_scores_go_to_the_first_class():
    assert run([[150, 150, 0]]) == [(100, 0, 150)]


def test_classes_with_an_underscore_are_never_detected():
    assert run([[0, 0, 255]] * 5) == []
    assert run([[0, 0, 255]] * 5, detection_threshold_list=(0, 0, 0)) == []


def test_the_same_class_is_suppressed_for_the_suppression_time():
    loud = [[255, 0, 0]] * 9
    assert [t for t, _, _ in run(loud, suppression_ms=300)] == [100, 500, 900]
    assert [t for t, _, _ in run(loud, suppression_ms=299)] == [100, 400, 700]
    assert [t for t, _, _ in run(loud, suppression_ms=0)] == [100 * i for i in range(1, 10)]


def test_another_class_is_not_suppressed():
    yes, no = [255, 0, 0], [0, 255, 0]
    found = run([yes, no, no, yes, yes], minimum_count=0, suppression_ms=1000)
    assert [(t, c) for t, c, _ in found] == [(100, 0), (200, 1), (400, 0)]


def test_the_last_detection_suppresses_across_silence():
    yes, nothing = [255, 0, 0], [0, 0, 255]
    found = run([yes, nothing, nothing, yes, nothing, yes], minimum_count=0, suppression_ms=400)
    assert [t for t, _, _ in found] == [100, 600]


@given(
    st.lists(st.tuples(*[st.integers(0, 255)] * 3), max_size=60),
    st.lists(st.integers(0, 60), max_size=6),
    st.integers(0, 4),
    st.integers(0, 900),
)
def test_detections_do_not_depend_on_the_division_of_the_scores(rows, cuts, count, suppression):
    settings = DetectionSettings(
        average_window_duration_ms=350,
        minimum_count=count,
        detection_threshold=90,
        suppression_ms=suppression,
    )
    scores = np.array(rows, np.uint8).reshape(-1, 3)
    times = 100 * np.arange(1, len(scores) + 1)
    whole = Detector(settings, CLASSES).process(times, scores)
    detector, parts = Detector(settings, CLASSES), []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(rows)], strict=True):
        parts += detector.process(times[start:stop], scores[start:stop])
    assert parts == whole
    assert [(d.time_ms, d.class_id, d.score) for d in whole] == list(one_at_a_time(settings, times, scores))


def one_at_a_time(settings, times, scores):
    """The rules, as a device follows them: one result after the other."""
    queue, last_class, last_time = [], None, 0
    for time, row in zip(times.tolist(), scores.tolist(), strict=True):
        queue.append((time, row))
        queue = [(t, r) for t, r in queue if t >= time - settings.average_window_duration_ms]
        if settings.minimum_count:
            if len(queue) < settings.minimum_count:
                continue
            average = [sum(r[i] for _, r in queue) // len(queue) for i in range(len(row))]
        else:
            average = row
        top = average.index(max(average))
        new = top != last_class or time - last_time > settings.suppression_ms
        if average[top] > settings.detection_threshold and not CLASSES[top].startswith("_") and new:
            last_class, last_time = top, time
            yield time, top, average[top]


def test_scores_are_those_of_the_device():
    assert to_scores(np.array([[-128, 0, 127]], np.int8)).tolist() == [[0, 128, 255]]
    assert to_scores(np.array([[0.0, 0.5, 0.999, 1.0]], np.float32)).tolist() == [[0, 127, 254, 255]]
    assert to_scores(np.array([[-3.0, 7.0]], np.float32)).tolist() == [[0, 255]]


def test_overrides_take_precedence_over_model_parameters():
    parameters = {
        "detection_threshold": 90,
        "detection_threshold_list": [1, 2, 3],
        "suppression_ms": 5,
        "classes": [],
    }
    settings = DetectionSettings.from_parameters(parameters, suppression_ms=None, latency_ms=0)
    assert settings.detection_threshold_list == (1, 2, 3)
    assert (settings.suppression_ms, settings.hop_ms) == (5, 10)
    assert DetectionSettings.from_parameters(parameters, detection_threshold=7).get_thresholds(
        CLASSES
    ).tolist() == [7, 7, 255]
    assert DetectionSettings.from_parameters({}) == DetectionSettings(1000, 3, 185, None, 1500, 100, 1)


@pytest.mark.parametrize(
    "parameters",
    [{"detection_threshold": 256}, {"suppression_ms": -1}, {"minimum_count": 2.5}, {"latency_ms": "fast"}],
)
def test_a_setting_out_of_range_is_named(parameters):
    with pytest.raises(SpecificationError, match=next(iter(parameters))):
        DetectionSettings.from_parameters(parameters)


def test_each_class_needs_a_threshold():
    with pytest.raises(SpecificationError, match="2 thresholds for 3 classes"):
        DetectionSettings(detection_threshold_list=(1, 2)).get_thresholds(CLASSES)
