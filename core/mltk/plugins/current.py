"""The plugin manager in use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from mltk import _namespace
from mltk.plugins.manager import PluginManager

STRICT_VARIABLE = "MLTK_STRICT_PLUGINS"


@cache
def _discovered(strict: bool, warn: bool) -> PluginManager:
    manager = PluginManager(strict)
    manager.discover(warn)
    return manager


_substitutes: list[PluginManager] = []


def get_plugin_manager(strict: bool | None = None, warn: bool = True) -> PluginManager:
    """Return the manager of the installed plugins; the first call finds and loads them.

    Args:
        strict: Raise where a plugin would be left out; by default the value of `MLTK_STRICT_PLUGINS`.
        warn: Print a line to stderr for each plugin that is left out.
    """
    if strict is None:
        strict = os.environ.get(STRICT_VARIABLE, "") not in ("", "0")
    return _substitutes[-1] if _substitutes else _discovered(strict, warn)


def forget_plugins() -> None:
    """Let the next `get_plugin_manager()` find the installed plugins again."""
    _discovered.cache_clear()
    _namespace.forget_names()


@contextmanager
def use_plugin_manager(manager: PluginManager) -> Iterator[PluginManager]:
    """Make `get_plugin_manager()` return `manager` within the block."""
    _substitutes.append(manager)
    try:
        yield manager
    finally:
        _substitutes.remove(manager)
