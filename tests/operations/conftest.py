"""A model that is trained once for all tests that only look at the result."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mltk.testing.pytest_plugin import MltkCli


@dataclass
class Trained:
    """A trained model: the folder of its specification, and mltk's cache."""

    work: Path
    cache: Path
    results: Any


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory, tiny_spec: str) -> Trained:
    root = tmp_path_factory.mktemp("trained")
    work, cache = root / "work", root / "cache"
    work.mkdir()
    (work / "tiny_v1.py").write_text(tiny_spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLTK_CACHE_DIR", str(cache))
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        from mltk.core import evaluate_model, train_model

        results = train_model(str(work / "tiny_v1.py"), clean=True)
        evaluate_model(results.mltk_model)
        evaluate_model(results.mltk_model, tflite=True)
    return Trained(work, cache, results)


@pytest.fixture
def trained(trained_once: Trained, private_home: Path, tmp_path: Path) -> Trained:
    """A copy of the trained model in the test's own folder."""
    shutil.copytree(trained_once.work, private_home, dirs_exist_ok=True)
    shutil.copytree(trained_once.cache, os.environ["MLTK_CACHE_DIR"])
    return Trained(private_home, tmp_path / "cache", trained_once.results)


@pytest.fixture
def cli(private_home: Path) -> MltkCli:
    """Runs `mltk` commands in this process, with the test's own folder and cache."""
    return MltkCli(private_home)
