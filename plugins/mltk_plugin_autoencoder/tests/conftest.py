from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with data that is not part of the repository."""
    folder = Path(__file__).resolve().parents[4] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder 'shared'")
    return folder


@pytest.fixture(autouse=True)
def private_home(tmp_path, monkeypatch):
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("MLTK_MODEL_PATHS", "MLTK_READONLY", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def without_plots(monkeypatch):
    """Leave the plots out, which take most of the time of a small evaluation."""
    monkeypatch.setattr(
        "mltk_plugin_autoencoder.results.AutoEncoderEvaluationResults.figures", lambda self: ()
    )
