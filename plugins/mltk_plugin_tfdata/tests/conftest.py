from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with development data beside the checkout; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[4] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder with development data is not beside this checkout")
    return folder


@pytest.fixture(autouse=True)
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run every test in a folder of its own, with mltk's cache in it."""
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MLTK_MODEL_PATHS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def load_spec(tmp_path: Path) -> Callable:
    """Write a specification and load it: `load_spec(name, text)`."""
    from mltk.core import load_mltk_model

    def load(name: str, text: str):
        path = tmp_path / f"{name}.py"
        path.write_text(dedent(text), encoding="utf-8")
        return load_mltk_model(path)

    return load
