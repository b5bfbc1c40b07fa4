"""Fixtures for tests of plugins; pytest finds them by itself when `mltk-core` is installed.

This is imported in every pytest run of the environment, so mltk is imported only where a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mltk.plugins import PluginManager


@dataclass(frozen=True)
class CliResult:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


class MltkCli:
    """Runs `mltk` commands in this process.

    Attributes:
        home: The home folder that they see; the cache is `.mltk` in it.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def invoke(self, args: Sequence[str], input: str | None = None) -> CliResult:
        """Run `mltk` with arguments.

        Args:
            args: E.g. `["plugins", "list"]`.
            input: What the command reads from stdin.

        Returns:
            Exit code and output. An exception other than the command line reports itself is raised.
        """
        import os

        from click.testing import CliRunner

        from mltk.cli.main import root_cli

        # These are the variables that options set; the runner puts them back.
        kept = {name: os.environ.get(name) for name in ("MLTK_BLOCK_PLUGINS", "CUDA_VISIBLE_DEVICES")}
        result = CliRunner(env=kept).invoke(
            root_cli, [str(arg) for arg in args], input=input, prog_name="mltk", catch_exceptions=False
        )
        return CliResult(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def mltk_plugin_manager() -> Iterator[PluginManager]:
    """A manager with mltk's own plugins and no others, used by all of mltk within the test.

    Register the plugin under test: `mltk_plugin_manager.register(my_plugin, name="mine")`.
    """
    from mltk.plugins._manager import PluginManager, use_plugin_manager

    manager = PluginManager(strict=True)
    manager.register_builtins()
    with use_plugin_manager(manager):
        yield manager


@pytest.fixture
def mltk_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MltkCli]:
    """Runs commands with a home and a cache of their own; installed plugins are found anew."""
    from mltk.plugins._manager import forget_plugins

    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("MLTK_CACHE_DIR", str(home / ".mltk"))
    forget_plugins()
    yield MltkCli(home)
    forget_plugins()
