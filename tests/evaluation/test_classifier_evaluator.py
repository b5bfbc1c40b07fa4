"""The built-in evaluator for classifiers."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mltk.builtin import classifier
from mltk.data.samples import iterate_batches
from mltk.errors import EvaluationError
from mltk.model.mixins.evaluate import EvaluateClassifierMixin
from mltk.model.model import MltkModel
from mltk.plugins.types import EvaluationContext


class Echo:
    """Predicts what it is given."""

    name = "echo"
    kind = "tflite"
    input_shape = (None, 3)

    def predict(self, batch: np.ndarray) -> np.ndarray:
        return batch.astype(np.float32)


class Model(MltkModel, EvaluateClassifierMixin):
    """Records its events."""

    events: list[tuple[str, dict[str, Any]]] = []

    def __init__(self) -> None:
        super().__init__()
        self.events = []

    def trigger_event(self, event: Any, logger: Any = None, **details: Any) -> None:
        self.events.append((event.name, details))


def context(folder: Path, x: Any, y: Any, model: Any = None, **options: Any) -> EvaluationContext:
    return EvaluationContext(
        predictor=Echo(),
        batches=lambda: iterate_batches(x, y, batch_size=4),
        output_dir=folder,
        logger=logging.getLogger("mltk"),
        model=model,
        classes=("a", "b", "c"),
        options=options,
    )


def evaluate(*args: Any, **kwargs: Any) -> Any:
    (offer,) = classifier.mltk_evaluators(mltk_model=None)
    return offer.evaluate(context(*args, **kwargs))


def test_it_is_offered_to_classifiers_and_bare_tflite_files() -> None:
    (offer,) = classifier.mltk_evaluators(mltk_model=None)
    assert (offer.name, offer.default, offer.folder) == ("classifier", True, "")
    (offer,) = classifier.mltk_evaluators(mltk_model=Model())  # type: ignore[arg-type]
    assert offer.default
    assert list(classifier.mltk_evaluators(mltk_model=object())) == []  # type: ignore[arg-type]


def test_it_steps_back_for_a_function_of_the_specification_and_another_default() -> None:
    model = Model()
    model.eval_custom_function = print
    (offer,) = classifier.mltk_evaluators(mltk_model=model)  # type: ignore[arg-type]
    assert not offer.default

    class AutoEncoder(Model):
        default_evaluator = "autoencoder"

    (offer,) = classifier.mltk_evaluators(mltk_model=AutoEncoder())  # type: ignore[arg-type]
    assert not offer.default


def test_results_and_plots_are_written_and_each_sample_counts_once(tmp_path: Path) -> None:
    y = np.arange(10) % 3
    results = evaluate(tmp_path, np.eye(3)[y], y)
    assert results.overall_accuracy == 1
    assert results.n_samples == 10
    assert results.name == "echo"
    saved = json.loads((tmp_path / "eval-results.json").read_text())
    assert saved["classes"] == ["a", "b", "c"]
    assert len(list(tmp_path.glob("echo-*.png"))) == 6
    assert (tmp_path / "summary.txt").is_file()


def test_each_plot_is_an_event_of_the_model(tmp_path: Path) -> None:
    model = Model()
    evaluate(tmp_path, np.eye(3), np.arange(3), model=model)
    assert {event for event, _ in model.events} == {"GENERATE_EVALUATE_PLOT"}
    assert [details["name"] for _, details in model.events][-2:] == ["tpr_and_fpr", "confusion_matrix"]
    assert all(details["tflite"] and details["fig"].axes for _, details in model.events)


def test_the_number_of_samples_per_class_can_be_limited(tmp_path: Path) -> None:
    y = np.array([0, 0, 0, 1, 0, 0, 1, 2, 0])
    results = evaluate(tmp_path, np.eye(3)[y], y, max_samples_per_class=2)
    assert results.confusion_matrix.tolist() == [[2, 0, 0], [0, 2, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.eye(3), None, "no labels"),
        (np.zeros((0, 3)), np.zeros(0), "no data"),
        (np.full((2, 3), np.nan), np.zeros(2), "NaN"),
        (np.eye(2), np.arange(2), "has 2 classes"),
    ],
)
def test_unusable_data_leave_no_files(tmp_path: Path, x: Any, y: Any, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate(tmp_path / "out", x, y)
    assert not (tmp_path / "out").exists()


def test_scores_that_are_no_probabilities_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    evaluate(tmp_path, np.eye(3) * 9 - 4, np.arange(3))
    assert "no probabilities" in caplog.text


def test_offering_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mltk.builtin.classifier import mltk_evaluators; "
        "list(mltk_evaluators(mltk_model=None)); "
        "print([m for m in ('numpy', 'matplotlib', 'keras', 'sklearn') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_evaluating_imports_neither_tensorflow_nor_scikit_learn_nor_pyplot(tmp_path: Path) -> None:
    code = (
        "import sys; from mltk.results.classifier import ClassifierEvaluationResults as C; "
        "c = C(name='m'); c.calculate([0, 1], [0.1, 0.9]); "
        f"c.generate_plots(show=False, output_dir={str(tmp_path)!r}); "
        "print([m for m in ('tensorflow', 'keras', 'sklearn', 'matplotlib.pyplot') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
