import runpy
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest


@pytest.fixture(autouse=True)
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run every test in a folder of its own, with mltk's cache in it."""
    monkeypatch.setenv("MLTK_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("MLTK_MODEL_PATHS", "MLTK_BLOCK_PLUGINS", "MLTK_INSTALL_PACKAGES"):
        monkeypatch.delenv(name, raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def write_spec(private_home: Path) -> Callable[..., Path]:
    """Write the specification of core's tests into the test's folder: `write_spec(name, more=text)`."""
    tiny_spec = runpy.run_path(str(Path(__file__).parents[3] / "tests" / "conftest.py"))["TINY_SPEC"]

    def write(name: str = "tiny_v1", text: str = tiny_spec, more: str = "") -> Path:
        path = private_home / f"{name}.py"
        path.write_text(dedent(text) + dedent(more), encoding="utf-8")
        return path

    return write
