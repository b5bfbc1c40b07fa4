"""Results of any kind, as text and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mltk.errors import EvaluationError
from mltk.results.evaluation import EvaluationResults


def test_results_are_a_dictionary_with_name_and_kind() -> None:
    results = EvaluationResults({"latency": 1.5}, name="m")
    assert results == {"name": "m", "model_type": "generic", "latency": 1.5}
    assert (results.name, results.model_type, results.others) == ("m", "generic", {})


def test_summary_is_brief() -> None:
    results = EvaluationResults(
        name="m", ratio=0.123456789, scores=np.zeros((30, 2)), few=[1, 2], many=[0] * 99
    )
    assert str(results).splitlines() == [
        "Name: m",
        "Model Type: generic",
        "ratio: 0.123457",
        "scores: array of shape (30, 2)",
        "few: [1, 2]",
        "many: 99 values",
    ]
    assert results.generate_summary(include_all=False) == "Name: m\nModel Type: generic"


def test_json_has_plain_values_and_no_nan(tmp_path: Path) -> None:
    results = EvaluationResults(
        name="m",
        i=np.int8(3),
        f=np.float32(0.5),
        b=np.bool_(True),
        nan=float("nan"),
        inf=[np.inf, -np.inf, 1.0],
        array=np.array([[1.0, np.nan]]),
        scalar=np.array(2),
        nested={"a": (1, np.arange(2)), 3: None},
        path=Path("x"),
    )
    results.save(tmp_path / "new")
    text = (tmp_path / "new/eval-results.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text) == {
        "name": "m",
        "i": 3,
        "f": 0.5,
        "b": True,
        "nan": None,
        "inf": [None, None, 1.0],
        "array": [[1.0, None]],
        "scalar": 2,
        "nested": {"a": [1, [0, 1]], "3": None},
        "path": "x",
        "model_type": "generic",
    }
    assert (tmp_path / "new/summary.txt").read_text() == f"{results}\n"


def test_what_json_cannot_express_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"'model\.inner' has the type object"):
        EvaluationResults(model={"inner": object()}).save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_results_without_plots_write_none(tmp_path: Path) -> None:
    EvaluationResults(name="m").generate_plots(show=False, output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()
