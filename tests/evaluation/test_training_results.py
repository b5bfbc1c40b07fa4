"""The history of a training run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mltk.results.training import TrainingResults

HISTORY = {"loss": [2.0, 1.0], "accuracy": [0.5, 0.75], "val_loss": [2.5, 1.5], "val_accuracy": [0.7, 0.6]}


def results(history: dict[str, object], epochs: int = 2) -> TrainingResults:
    return TrainingResults(
        None, None, {"epoch": range(epochs), "params": {"epochs": epochs}, "history": history}
    )


def test_history_of_keras_and_of_the_json_file_are_taken(tmp_path: Path) -> None:
    keras_history = SimpleNamespace(
        epoch=[0, 1],
        params={"verbose": 0, "epochs": 2, "steps": 9},
        history={key: [np.float32(v) for v in values] for key, values in HISTORY.items()},
    )
    first = TrainingResults(None, None, keras_history)
    first.save(tmp_path)
    saved = json.loads((tmp_path / "training-history.json").read_text())
    assert list(saved) == ["epochs", "params", "history"]
    assert saved["epochs"] == [0, 1]
    assert saved["params"] == {"verbose": 0, "epochs": 2, "steps": 9}
    assert TrainingResults(None, None, saved).asdict() == first.asdict() == saved


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (HISTORY, ("val_accuracy", 0.7)),
        ({"accuracy": [0.1, 0.2], "val_mse": [1.0, 2.0]}, ("accuracy", 0.2)),
        ({"mae": [1.0], "val_mae": [3.0, 2.0], "loss": [1.0]}, ("val_mae", 2.0)),
        ({"mean_squared_error": [4.0, 3.0]}, ("mean_squared_error", 3.0)),
        ({"val_accuracy": [math.nan, 0.4]}, ("val_accuracy", 0.4)),
        ({"val_accuracy": [math.nan], "accuracy": [0.3]}, ("accuracy", 0.3)),
        ({"loss": [1.0]}, (None, 0)),
        ({}, (None, 0)),
    ],
)
def test_best_metric(history: dict[str, list[float]], expected: tuple[str | None, float]) -> None:
    assert results(history).get_best_metric() == expected


@pytest.mark.parametrize(
    ("history", "epochs", "expected"),
    [
        (HISTORY, 2, "2 epochs, best val_accuracy 70.00%"),
        ({"mae": [0.123456]}, 1, "1 epoch, best mae 0.12346"),
        ({"loss": [2.0, 1.0]}, 2, "2 epochs, best loss 1"),
    ],
)
def test_text_is_one_line(history: dict[str, object], epochs: int, expected: str) -> None:
    assert str(results(history, epochs)) == expected


@pytest.mark.parametrize(
    "history", [HISTORY, {"loss": [1.0, math.nan]}, {"loss": [1.0], "val_loss": [2.0]}, {}], ids=range(4)
)
def test_plot_is_written_and_the_same_every_time(tmp_path: Path, history: dict[str, object]) -> None:
    epochs = len(history.get("loss", ()))  # type: ignore[arg-type]
    for folder in "ab":
        results(history, epochs).save(tmp_path / folder)
    a, b = ((tmp_path / folder / "training-history.png").read_bytes() for folder in "ab")
    assert a == b
    assert a.startswith(b"\x89PNG")


def test_nan_is_null_in_the_file_and_nan_again_when_read(tmp_path: Path) -> None:
    results({"loss": [1.0, math.nan]}).save(tmp_path)
    saved = json.loads((tmp_path / "training-history.json").read_text())
    assert saved["history"] == {"loss": [1.0, None]}
    assert math.isnan(TrainingResults(None, None, saved).history["loss"][1])
