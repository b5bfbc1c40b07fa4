import logging
from types import SimpleNamespace

import numpy as np
import pytest
from mltk.errors import EvaluationError
from mltk.plugins import EvaluationContext
from mltk.testing import assert_imports_light

from mltk_plugin_example import plugin
from mltk_plugin_example.calibration import calibration, evaluate


class FixedScores:
    """A predictor whose samples are the scores."""

    name = "fixed"
    kind = "tflite"
    input_shape = (None, 2)

    def predict(self, batch):
        return batch


def context_for(batches, folder):
    return EvaluationContext(FixedScores(), lambda: iter(batches), folder, logging.getLogger("test"))


def test_a_model_that_is_right_as_often_as_it_says_has_no_error():
    confidence = np.full(10, 0.7)
    correct = np.arange(10) < 7

    figures = calibration(confidence, correct)

    assert figures["expected_calibration_error"] == pytest.approx(0, abs=1e-12)
    assert figures["bin_count"][10] == 10


def test_errors_are_weighted_with_the_share_of_the_samples():
    confidence = np.array([0.5] * 3 + [1.0])
    correct = np.array([True, True, True, False])

    figures = calibration(confidence, correct)

    assert figures["expected_calibration_error"] == pytest.approx(0.75 * 0.5 + 0.25 * 1.0)
    assert figures["maximum_calibration_error"] == pytest.approx(1.0)


def test_the_evaluator_takes_ids_and_one_hot_labels_and_writes_the_diagram(tmp_path):
    scores = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    ids, one_hot = np.array([0, 1]), np.eye(2)

    results = evaluate(context_for([(scores, ids), (scores, one_hot)], tmp_path))

    assert results["accuracy"] == 1
    assert results["expected_calibration_error"] == pytest.approx(0.15)
    assert "Expected calibration error: 15.00%" in results.generate_summary()
    assert (tmp_path / "fixed-reliability.png").read_bytes().startswith(b"\x89PNG")


def test_a_single_output_is_the_probability_of_the_second_class(tmp_path):
    results = evaluate(context_for([(np.array([[0.2], [0.9]]), np.array([0, 1]))], tmp_path))

    assert results["mean_confidence"] == pytest.approx(0.85)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([(np.array([[3.0, -1.0]]), np.array([0]))], "probabilities"),
        ([(np.array([[0.5, 0.5]]), None)], "labels"),
        ([], "at least one sample"),
    ],
    ids=["logits", "no labels", "no data"],
)
def test_what_cannot_be_judged_is_refused(batches, message, tmp_path):
    with pytest.raises(EvaluationError, match=message):
        evaluate(context_for(batches, tmp_path))


def test_mltk_gets_the_evaluator_from_the_hook(mltk_plugin_manager):
    mltk_plugin_manager.register(plugin, "example")

    assert "example" in mltk_plugin_manager.collect_offers("mltk_evaluators", mltk_model=None)
    no_classifier = SimpleNamespace(default_evaluator="autoencoder")
    assert "example" not in mltk_plugin_manager.collect_offers("mltk_evaluators", mltk_model=no_classifier)


def test_loading_the_plugin_imports_nothing_heavy():
    assert_imports_light("mltk_plugin_example.plugin")
