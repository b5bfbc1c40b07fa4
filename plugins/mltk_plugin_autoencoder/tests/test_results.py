"""The figures agree with scikit-learn's, count every class, and are plain JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from mltk.errors import EvaluationError
from mltk_plugin_autoencoder import AutoEncoderEvaluationResults
from mltk_plugin_autoencoder.results import recommend, wilson_limits


def calculated(scores, classes=("normal", "abnormal"), **kwargs):
    results = AutoEncoderEvaluationResults(name="m", classes=list(classes))
    results.calculate(all_scores=scores, **kwargs)
    return results


def three_classes():
    rng = np.random.default_rng(3)
    # Rounded, so that some scores are equal.
    return [np.round(rng.normal(m, 1, n), 1) for m, n in ((0, 40), (3, 25), (0.5, 30))]


@given(
    arrays(np.float64, st.integers(1, 30), elements=st.integers(0, 12).map(float)),
    arrays(np.float64, st.integers(1, 30), elements=st.integers(0, 12).map(float)),
)
def test_curves_are_those_of_scikit_learn(normal, abnormal):
    results = calculated([normal, abnormal])
    y, scores = np.r_[np.zeros(len(normal)), np.ones(len(abnormal))], np.r_[normal, abnormal]
    stats = results.class_stats["abnormal"]
    fpr, tpr, thresholds = metrics.roc_curve(y, scores)
    assert stats["fpr"] == pytest.approx(fpr) and stats["tpr"] == pytest.approx(tpr)
    assert stats["thr"][1:] == pytest.approx(thresholds[1:])
    precision, recall, _ = metrics.precision_recall_curve(y, scores)
    assert stats["precision"] == pytest.approx(precision) and stats["recall"] == pytest.approx(recall)
    assert results.overall_roc_auc == pytest.approx(metrics.roc_auc_score(y, scores))
    best = max(((scores > t) == y).mean() for t in [-1, *scores])
    assert results.overall_accuracy == pytest.approx(best)


def test_overall_figures_are_over_all_abnormal_classes():
    scores = three_classes()
    results = calculated(scores, ("ok", "bearing", "rub"))
    y = np.repeat([0, 1, 1], [40, 25, 30])
    assert results.overall_roc_auc == pytest.approx(metrics.roc_auc_score(y, np.concatenate(scores)))
    assert list(results.class_stats) == ["bearing", "rub", "all"]
    assert results.class_stats["all"]["auc"] == results.overall_roc_auc
    for i, name in ((1, "bearing"), (2, "rub")):
        alone = metrics.roc_auc_score(np.repeat([0, 1], [40, len(scores[i])]), np.r_[scores[0], scores[i]])
        assert results.class_stats[name]["auc"] == pytest.approx(alone)
    assert results.n_samples == 95


def test_rates_at_101_thresholds_are_the_shares_above():
    scores = three_classes()
    results = calculated(scores, ("ok", "bearing", "rub"))
    everything, abnormal = np.concatenate(scores), np.concatenate(scores[1:])
    levels = results.overall_thresholds
    assert levels == pytest.approx(np.linspace(everything.min(), everything.max(), 101))
    assert results.overall_tpr[1:] == pytest.approx([(abnormal > t).mean() for t in levels[1:]])
    assert results.overall_fpr[1:] == pytest.approx([(scores[0] > t).mean() for t in levels[1:]])
    assert (results.overall_tpr[0], results.overall_fpr[0]) == (1, 1)
    assert results.overall_recall == pytest.approx([(abnormal > t).mean() for t in levels])
    above = [(abnormal > t).sum() / max((everything > t).sum(), 1) for t in levels]
    assert results.overall_precision == pytest.approx(above)
    assert results.overall_pr_accuracy == pytest.approx(
        max((p + r) / 2 for p, r in zip(above, results.overall_recall, strict=True))
    )


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.floats(0, 0.99))
def test_the_recommended_threshold_is_the_lowest_that_keeps_the_rate(scores, rate):
    threshold = recommend(scores, rate)
    values = np.array(scores)
    assert (values > threshold).mean() <= rate + 1e-9
    lower = values[values < threshold]
    if len(lower):
        assert (values > lower.max()).mean() > rate - 1e-9


def test_the_threshold_comes_with_its_rates():
    results = calculated([np.arange(100.0), np.arange(90.0, 140)], max_false_positive_rate=0.07)
    assert results.recommended_threshold == 92
    assert results["recommended_fpr"] == 0.07
    assert results["recommended_tpr"] == pytest.approx(47 / 50)
    low, high = results["recommended_fpr_limits_95"]
    # Wilson's limits of 7 in 100, from the tables.
    assert (low, high) == pytest.approx((0.0343, 0.1375), abs=5e-4)
    assert wilson_limits(0, 10)[0] == 0 and wilson_limits(10, 10)[1] == pytest.approx(1)
    assert "92" in results.generate_summary() and "7.00% of 100 normal samples" in results.generate_summary()


def test_the_file_has_the_keys_of_the_reference_and_only_numbers(tmp_path):
    calculated(three_classes(), ("ok", "bearing", "rub")).save(tmp_path)

    def refuse(token):
        raise AssertionError(token)

    found = json.loads((tmp_path / "eval-results.json").read_text(), parse_constant=refuse)
    assert set(found) >= {
        "name",
        "model_type",
        "classes",
        "all_scores",
        "thresholds",
        "overall_accuracy",
        "overall_precision",
        "overall_recall",
        "overall_pr_accuracy",
        "overall_tpr",
        "overall_fpr",
        "overall_roc_auc",
        "class_stats",
    }
    assert found["model_type"] == "auto_encoder"
    assert [len(s) for s in found["all_scores"]] == [40, 25, 30]
    for stats in found["class_stats"].values():
        assert set(stats) == {"fpr", "tpr", "thr", "auc", "precision", "recall"}
        assert None not in stats["thr"]


def test_labels_and_scores_give_the_same_as_scores_by_class():
    scores = three_classes()
    names = ["ok", "bearing", "rub"]
    results = AutoEncoderEvaluationResults(name="m", classes=names)
    results.calculate(np.repeat([0, 1, 2], [40, 25, 30]), np.concatenate(scores))
    assert results.overall_roc_auc == calculated(scores, names).overall_roc_auc


def test_plots_have_the_file_names_of_the_reference(tmp_path):
    results = calculated(three_classes(), ("ok", "bearing", "rub"))
    results.generate_plots(show=False, output_dir=tmp_path)
    expected = {"overall_roc", "overall_precision_vs_recall", "histogram", "class_roc"}
    assert {p.name for p in tmp_path.glob("*.png")} == {f"m-{name}.png" for name in expected}


def test_scores_that_are_all_equal_give_figures_and_plots(tmp_path):
    results = calculated([np.ones(3), np.ones(2)])
    assert (results.overall_roc_auc, results.overall_accuracy) == (0.5, 0.6)
    results.generate_plots(show=False, output_dir=tmp_path)


@pytest.mark.parametrize(
    ("scores", "classes", "message"),
    [
        ([[1.0]], ["normal"], "name at least two classes"),
        ([[], [1.0]], ["ok", "bad"], "no sample of the normal class 'ok'"),
        ([[1.0], []], ["ok", "bad"], "no sample of the abnormal class 'bad'"),
        ([[1.0], [np.nan, 1.0]], ["ok", "bad"], "1 of 2 scores of the class 'bad' are NaN"),
        ([[1.0], [2.0]], ["ok", "bad", "worse"], "scores of 2 classes, but 3 class names"),
        ([[1.0], [2.0], [3.0]], ["ok", "all", "bad"], "may be called 'all'"),
    ],
)
def test_what_cannot_be_judged_is_one_line(scores, classes, message):
    with pytest.raises(EvaluationError, match=message) as error:
        calculated(scores, classes)
    assert "\n" not in str(error.value)
