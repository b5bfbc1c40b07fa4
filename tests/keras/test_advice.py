"""What a training run is told while it can still be mended."""

import logging

import numpy as np
import pytest

from mltk.keras.advice import Advice, find_problems

FALLING = [1 / (1 + i) for i in range(12)]


def kinds(history, largest=None, patience=5):
    return [kind for kind, _ in find_problems(history, largest, patience)]


def test_a_good_run_is_left_alone():
    history = {
        "loss": FALLING,
        "val_loss": [x + 0.1 for x in FALLING],
        "accuracy": np.linspace(0.4, 0.9, 12).tolist(),
    }
    assert kinds(history, ("_unknown_", 0.45)) == []


def test_nothing_is_said_too_early():
    assert kinds({"loss": [1.0, 1.0, 1.0, 1.0]}) == []


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        ([2.3, 2.31, 2.3, 2.29, 2.3], ["flat"]),
        ([2.3, 1.0, 0.8, 5.0, 40.0], ["rising"]),
        # Warm-up: the first epochs may be slow.
        ([2.3, 2.29, 2.2, 1.5, 1.0], []),
    ],
)
def test_the_course_of_the_loss(loss, kind):
    assert kinds({"loss": loss}) == kind


def test_answering_the_largest_class_is_named_with_the_setting_that_causes_it():
    history = {"loss": FALLING[:6], "accuracy": [0.3, 0.44, 0.448, 0.448, 0.448, 0.448]}
    ((kind, text),) = find_problems(history, ("_unknown_", 0.448), 5)
    assert kind == "largest"
    assert "44.8% is no better than always answering '_unknown_'" in text
    assert "set a lower unknown_class_percentage" in text
    ((_, text),) = find_problems(history, ("cat", 0.448), 5)
    assert "class_weights = 'balanced'" in text


def test_a_rising_validation_loss_is_overfitting():
    validation = [1.0, 0.6, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    ((kind, text),) = find_problems({"loss": FALLING, "val_loss": validation}, None, 5)
    assert kind == "apart"
    assert "rose from 0.5 to 1.5 since epoch 3" in text


def test_each_problem_is_said_once(caplog):
    advice = Advice(logging.getLogger("mltk.test"), epochs=20, class_counts={"a": 9, "b": 1})
    with caplog.at_level("WARNING"):
        for epoch in range(8):
            advice.on_epoch_end(epoch, {"loss": 2.0, "accuracy": 0.9})
    assert [m[:15] for m in caplog.messages] == ["After 5 epochs:", "After 5 epochs:"]
