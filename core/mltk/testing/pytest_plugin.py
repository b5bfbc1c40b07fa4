"""Fixtures for tests of plugins, which pytest finds if `mltk-core` is installed.

Every pytest run of the environment imports this module, so it imports mltk only in the fixtures.
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
    """Result of a command."""

    exit_code: int
    """0 for success."""
    stdout: str
    """Output."""
    stderr: str
    """Messages."""


class MltkCli:
    """Runner for `mltk` commands in this process.

    Attributes:
        home: Home folder of the commands; the cache is `.mltk` in it.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def invoke(self, args: Sequence[str], input: str | None = None) -> CliResult:
        """Run `mltk` with arguments.

        Args:
            args: E.g. `["plugins", "list"]`.
            input: Text for stdin.

        Returns:
            Exit code and output. Exceptions that the command line does not report are raised.
        """
        import os

        from click.testing import CliRunner

        from mltk.cli.main import root_cli

        # The runner restores these variables, which options set.
        kept = {name: os.environ.get(name) for name in ("MLTK_BLOCK_PLUGINS", "CUDA_VISIBLE_DEVICES")}
        result = CliRunner(env=kept).invoke(
            root_cli, [str(arg) for arg in args], input=input, prog_name="mltk", catch_exceptions=False
        )
        return CliResult(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def mltk_plugin_manager() -> Iterator[PluginManager]:
    """A strict manager with only mltk's own plugins, which mltk uses during the test.

    Register the plugin under test: `mltk_plugin_manager.register(my_plugin, name="mine")`.
    """
    from mltk.plugins import PluginManager, use_plugin_manager

    manager = PluginManager(strict=True)
    manager.register_builtins()
    with use_plugin_manager(manager):
        yield manager


@pytest.fixture
def mltk_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MltkCli]:
    """Run commands with their own home and cache folder; installed plugins are found again."""
    from mltk.plugins import forget_plugins

    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("MLTK_CACHE_DIR", str(home / ".mltk"))
    forget_plugins()
    yield MltkCli(home)
    forget_plugins()
