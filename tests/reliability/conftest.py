"""Fixtures for commands."""

from pathlib import Path

import pytest

from mltk.testing.pytest_plugin import MltkCli


@pytest.fixture
def cli(private_home: Path) -> MltkCli:
    """Runs `mltk` commands in this process, with the test's own folder and cache."""
    return MltkCli(private_home)
