from types import SimpleNamespace

import numpy as np
import pytest
from mltk.errors import EvaluationError
from mltk.testing import assert_imports_light

from mltk_plugin_example import plugin
from mltk_plugin_example.calibration import compare, evaluate


def evaluate_scores(*batches):
    """Evaluate a model whose outputs are its inputs."""
    predictor = SimpleNamespace(name="fixed", predict=lambda x: x)
    return evaluate(SimpleNamespace(predictor=predictor, batches=lambda: batches))


def test_gaps_are_weighted_by_the_share_of_the_samples():
    results = compare("fixed", np.array([0.5, 0.5, 0.5, 1]), np.array([True, True, True, False]))

    assert results["expected_calibration_error"] == pytest.approx(0.75 * 0.5 + 0.25 * 1)
    assert sum(results["bin_count"]) == 4


def test_integer_and_one_hot_labels():
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])

    results = evaluate_scores((scores, np.array([0, 1])), (scores, np.eye(2)))

    assert results["accuracy"] == 1
    assert "Expected calibration error: 15.00%" in results.generate_summary()


def test_a_single_output_is_the_probability_of_the_second_class():
    results = evaluate_scores((np.array([[0.2], [0.9]]), np.array([0, 1])))

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
def test_unsuitable_data_is_refused(batches, message):
    with pytest.raises(EvaluationError, match=message):
        evaluate_scores(*batches)


@pytest.mark.parametrize(("evaluator", "default"), [("classifier", True), ("autoencoder", False)])
def test_it_runs_by_default_for_classifiers_only(mltk_plugin_manager, evaluator, default):
    mltk_plugin_manager.register(plugin, "example")
    model = SimpleNamespace(default_evaluator=evaluator)

    offers = mltk_plugin_manager.collect_offers("mltk_evaluators", mltk_model=model)

    assert offers["example"].default is default


def test_loading_the_plugin_imports_nothing_heavy():
    assert_imports_light("mltk_plugin_example.plugin")
