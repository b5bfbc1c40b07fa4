"""The figures of a classifier against their plain definitions and against scikit-learn."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mltk.errors import EvaluationError
from mltk.results.classifier import ClassifierEvaluationResults

KEYS = [
    "classes",
    "overall_accuracy",
    "class_accuracies",
    "fpr",
    "tpr",
    "roc_auc",
    "roc_thresholds",
    "roc_auc_avg",
    "precision",
    "recall",
    "confusion_matrix",
]


def judged(y: object, scores: object, **options: object) -> ClassifierEvaluationResults:
    results = ClassifierEvaluationResults(name="m", **options)
    results.calculate(y, scores)  # type: ignore[arg-type]
    return results


def sample(n: int, k: int, seed: int = 0, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Labels and softmax scores; with `levels`, scores in steps, as from a quantized model."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    z = rng.normal(size=(n, k)) + 2 * np.eye(k)[y]
    scores = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return y, scores if levels is None else np.round(scores * levels) / levels


def by_definition(y: np.ndarray, scores: np.ndarray) -> dict[str, object]:
    """Everything with loops over thresholds, classes and samples."""
    k = scores.shape[1]
    predicted = [max(range(k), key=lambda i: row[i]) for row in scores.tolist()]
    matrix = [[0] * k for _ in range(k)]
    for actual, guess in zip(y.tolist(), predicted, strict=True):
        matrix[actual][guess] += 1
    tpr, fpr = [], []
    for i in range(k):
        own = [row[i] for row, label in zip(scores, y, strict=True) if label == i]
        others = [row[i] for row, label in zip(scores, y, strict=True) if label != i]
        for rates, members in ((tpr, own), (fpr, others)):
            rates.append([sum(s > t / 100 for s in members) / len(members) for t in range(101)])
            rates[-1][0] = 1.0
    area = [
        sum((f[j] - f[j + 1]) * (t[j] + t[j + 1]) / 2 for j in range(100))
        for t, f in zip(tpr, fpr, strict=True)
    ]
    return {
        "overall_accuracy": sum(matrix[i][i] for i in range(k)) / len(y),
        "class_accuracies": [matrix[i][i] / sum(matrix[i]) for i in range(k)],
        "fpr": fpr,
        "tpr": tpr,
        "roc_auc": area,
        "roc_auc_avg": sum(area) / k,
        "confusion_matrix": matrix,
    }


@pytest.mark.parametrize("levels", [None, 256, 20], ids=["float", "int8", "coarse"])
@pytest.mark.parametrize("k", [2, 3, 7])
def test_all_figures_are_those_of_their_definitions(k: int, levels: int | None) -> None:
    y, scores = sample(300, k, levels=levels)
    results = judged(y, scores)
    for key, expected in by_definition(y, scores).items():
        np.testing.assert_allclose(results[key], expected, rtol=1e-12, err_msg=key)


@pytest.mark.parametrize("levels", [None, 20], ids=["float", "ties"])
@pytest.mark.parametrize("k", [2, 5])
def test_precision_and_recall_are_those_of_scikit_learn(k: int, levels: int | None) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    y, scores = sample(400, k, seed=1, levels=levels)
    results = judged(y, scores)
    for i in range(k):
        precision, recall, _ = metrics.precision_recall_curve(y == i, scores[:, i], drop_intermediate=True)
        np.testing.assert_allclose(results.precision[i], precision, rtol=1e-12)
        np.testing.assert_allclose(results.recall[i], recall, rtol=1e-12)


def test_accuracy_matrix_and_area_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    y, scores = sample(3000, 4)
    results = judged(y, scores)
    assert results.overall_accuracy == metrics.accuracy_score(y, scores.argmax(axis=1))
    assert np.array_equal(results.confusion_matrix, metrics.confusion_matrix(y, scores.argmax(axis=1)))
    # With 101 thresholds instead of all, the area is a little off.
    exact = metrics.roc_auc_score(y, scores, multi_class="ovr", average="macro")
    assert results.roc_auc_avg == pytest.approx(exact, abs=2e-3)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40))
def test_precision_and_recall_agree_on_anything(pairs: list[tuple[bool, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    y = np.array([a for a, _ in pairs])
    p = np.array([b for _, b in pairs]) / 6
    results = judged(y.astype(int), p)
    for i, (own, scores) in enumerate([(~y, 1 - p), (y, p)]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns of classes without samples
            precision, recall, _ = metrics.precision_recall_curve(own, scores, drop_intermediate=True)
        np.testing.assert_allclose(results.precision[i], precision)
        np.testing.assert_allclose(results.recall[i], recall)


def test_labels_may_be_ids_a_column_of_ids_floats_or_one_hot() -> None:
    y, scores = sample(50, 3)
    expected = judged(y, scores)
    for form in (y[:, None], y.astype(np.float32), y.astype(np.uint8), np.eye(3)[y], y.tolist()):
        results = judged(form, scores)
        assert np.array_equal(results.confusion_matrix, expected.confusion_matrix)
        assert np.array_equal(results.tpr, expected.tpr)


@pytest.mark.parametrize("column", [False, True], ids=["flat", "column"])
def test_one_probability_is_that_of_the_second_class(column: bool) -> None:
    y, scores = sample(200, 2)
    p = scores[:, 1:] if column else scores[:, 1]
    results = judged(y, p, classes=["no", "yes"])
    for key, expected in by_definition(y, np.stack([1 - scores[:, 1], scores[:, 1]], axis=1)).items():
        np.testing.assert_allclose(results[key], expected, rtol=1e-12, err_msg=key)
    assert results.classes == ["no", "yes"]


def test_probability_of_a_half_is_the_first_class_as_in_keras() -> None:
    assert judged([0, 1, 1], [0.5, 0.5, 0.51]).confusion_matrix.tolist() == [[1, 0], [1, 1]]


def test_binary_labels_may_be_one_hot() -> None:
    assert judged(np.eye(2)[[0, 1, 1]], [0.1, 0.9, 0.2]).confusion_matrix.tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_a_class_without_samples_counts_nowhere(absent: int) -> None:
    y, scores = sample(300, 3)
    kept = y != absent
    results = judged(y[kept], scores[kept])
    assert results.confusion_matrix.shape == (3, 3)
    assert results.class_accuracies[absent] == 0
    assert results.roc_auc[absent] == 0
    assert results.roc_auc_avg == pytest.approx(sum(results.roc_auc) / 2)
    assert results.roc_auc_avg > 0.8
    assert len(results.precision) == 3
    json.dumps([value.tolist() for value in (*results.precision, results.tpr, results.fpr)], allow_nan=False)


def test_samples_of_a_single_class_can_be_judged() -> None:
    results = judged([1, 1], [[0.2, 0.8], [0.6, 0.4]])
    assert results.overall_accuracy == 0.5
    assert results.roc_auc == [0, 0]
    assert results.roc_auc_avg == 0
    assert np.isfinite(results.tpr).all()
    assert np.isfinite(results.fpr).all()


@pytest.mark.parametrize(
    ("y", "scores", "options", "message"),
    [
        ([0, 1], [[0.1, np.nan], [1, 0]], {}, "1 of 4 predicted values are NaN or infinite"),
        ([0, 1], [np.inf, 0.1], {}, "NaN or infinite"),
        ([0, 1, 1], [[1, 0], [0, 1]], {}, "3 labels for 2 predictions"),
        ([0, 2], [[1, 0], [0, 1]], {}, "class 2, but the model has only the classes 0 to 1"),
        ([0, -1], [[1, 0], [0, 1]], {}, "class -1"),
        (np.eye(3), np.eye(3)[:, :2], {}, "class 2"),
        ([0, 1], [[1, 0], [0, 1]], {"classes": ["a", "b", "c"]}, "has 2 classes, .* names for 3"),
        (np.zeros(0), np.zeros((0, 2)), {}, "no samples"),
        ([0.5, 1], [[1, 0], [0, 1]], {}, "must be integers"),
        (["a", "b"], [[1, 0], [0, 1]], {}, "must be integers"),
        ([0, 1], np.zeros((2, 4, 4, 2)), {}, "output has the shape \\(2, 4, 4, 2\\)"),
        (np.zeros((2, 2, 2)), [[1, 0], [0, 1]], {}, "got the shape"),
    ],
)
def test_unusable_input_is_one_clear_line(
    y: object, scores: object, options: dict[str, object], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message) as error:
        judged(y, scores, **options)
    assert "\n" not in str(error.value)


def test_keys_are_properties_and_in_the_json_file(tmp_path: Path) -> None:
    y, scores = sample(100, 3)
    results = judged(y, scores, classes=["a", "b", "c"])
    assert results.n_samples == 100
    for key in KEYS:
        assert getattr(results, key) is results[key]
    results.save(tmp_path)
    saved = json.loads((tmp_path / "eval-results.json").read_text())
    assert set(saved) == {
        "name",
        "model_type",
        *KEYS,
        "accuracy_interval",
        "class_precision",
        "class_f1",
        "largest_class",
        "largest_class_accuracy",
    }
    assert saved["model_type"] == "classification"
    assert saved["roc_thresholds"] == [i / 100 for i in range(101)]
    assert np.array_equal(saved["tpr"], results.tpr)
    assert saved["confusion_matrix"] == results.confusion_matrix.tolist()
    assert saved["precision"][1] == results.precision[1].tolist()
    assert (tmp_path / "summary.txt").read_text() == f"{results}\n"


def test_classes_without_names_are_numbered() -> None:
    assert judged([0, 1, 2], np.eye(3)).classes == ["0", "1", "2"]


def test_summary_names_the_best_classes_first() -> None:
    results = judged([0, 0, 1, 1], [[1, 0], [0, 1], [0, 1], [0, 1]], classes=["cat", "elephant"])
    assert str(results).splitlines() == [
        "Name: m",
        "Model Type: classification",
        "Overall accuracy: 75.000%",
        "Class accuracies:",
        "- elephant = 100.000%",
        "- cat      = 50.000%",
        "Average ROC AUC: 75.000%",
        "Class ROC AUC:",
        "- cat      = 75.000%",
        "- elephant = 75.000%",
        "Class precision, recall, F1 and samples:",
        "- cat      = 1.000  0.500  0.667  2",
        "- elephant = 0.667  1.000  0.800  2",
        "Measured: 75.00% accuracy on 4 samples (95% interval 30.1 to 95.4%)",
        "Baselines: 50.00% always 'cat'",
    ]
    assert "elephant" not in results.generate_summary(include_all=False)


def test_plots_are_written_under_the_names_of_the_reference(tmp_path: Path) -> None:
    y, scores = sample(60, 3)
    seen: list[str] = []
    judged(y, scores).generate_plots(
        show=False, output_dir=tmp_path / "out", on_figure=lambda name, figure: seen.append(name)
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "m-confusion_matrix.png",
        "m-fpr.png",
        "m-precision_vs_recall.png",
        "m-roc.png",
        "m-tfp_fpr.png",
        "m-tpr.png",
    ]
    assert seen == ["roc", "precision_vs_recall", "tpr", "fpr", "tpr_and_fpr", "confusion_matrix"]


def test_equal_results_give_equal_pictures_whatever_the_settings_of_matplotlib(tmp_path: Path) -> None:
    import matplotlib as mpl

    y, scores = sample(60, 2)
    for folder, settings in (
        ("a", {}),
        ("b", {"font.size": 20, "axes.facecolor": "red", "savefig.facecolor": "k"}),
    ):
        with mpl.rc_context(settings):
            judged(y, scores).generate_plots(show=False, output_dir=tmp_path / folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_plots_of_weak_models_and_absent_classes_show_their_curves(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((100, 25))
    results = judged(rng.integers(0, 24, 100), scores)
    limits: dict[str, tuple[float, float]] = {}
    legends: list[str] = []

    def look(name: str, figure: object) -> None:
        limits[name] = figure.axes[0].get_xlim()  # type: ignore[attr-defined]
        legends.extend(text.get_text() for legend in figure.legends for text in legend.get_texts())  # type: ignore[attr-defined]

    results.generate_plots(show=False, output_dir=tmp_path, on_figure=look)
    assert limits["roc"] == (0, 1)
    assert "24 (no samples)" in legends


def test_showing_without_a_display_is_said_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    import matplotlib as mpl

    mpl.use("agg")
    judged([0, 1], [0.1, 0.9]).generate_plots(show=True, logger=logging.getLogger("mltk"))
    assert "Cannot show plots" in caplog.text


@pytest.mark.slow
def test_a_hundred_thousand_samples_of_35_classes_take_seconds() -> None:
    y, scores = sample(100_000, 35)
    start = time.perf_counter()
    judged(y, scores.astype(np.float32))
    assert time.perf_counter() - start < 5


def test_the_figures_of_many_classes_are_bounded():
    from mltk.results.plots import drawing

    rng = np.random.default_rng(0)
    results = ClassifierEvaluationResults(name="many")
    results.calculate(rng.integers(0, 300, 900), rng.random((900, 300)))
    for name, _, draw in results.figures():
        with drawing(draw, show=False) as figure:
            width, height = figure.get_size_inches()
            assert width * height < 800, name
            axes = figure.axes[0]
            assert len(axes.lines) <= 40, name
            # Numbers in cells, of which there are as many as samples.
            assert len(axes.texts) == 0, name
            assert len(axes.get_xticks()) <= 40, name
            if name != "confusion_matrix":
                assert "40 worst of 300 classes" in axes.get_title()
