"""Find and load the installed plugins."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mltk import __version__, _namespace
from mltk.plugins import isolation
from mltk.plugins.types import PluginRecord, Status
from mltk.plugins.validation import first_line

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint

API_VERSION = 1
"""Version of the plugin interface. Only a change that plugins must follow raises it; a new hook does not."""


@dataclass
class FoundPlugin:
    """A plugin on its way from entry point to record. Metadata of its distribution is read only when shown."""

    name: str
    entry_point: EntryPoint | None = None
    plugin: object = None
    builtin: bool = False
    status: Status = "active"
    error: str | None = None
    details: str | None = None

    def fail(self, status: Status, error: str, cause: BaseException | None = None) -> None:
        """Record why the plugin is not used."""
        self.status, self.error = status, error
        if cause is not None:
            self.details = "".join(traceback.format_exception(cause))

    @property
    def distribution(self) -> tuple[str | None, str | None]:
        """Name and version of the distribution."""
        if self.builtin:
            return "mltk-core", __version__
        found = self.entry_point.dist if self.entry_point else None
        return (found.name, found.version) if found else (None, None)

    def record(self, hooks: tuple[str, ...]) -> PluginRecord:
        """Return the record of the plugin, which implements `hooks`."""
        distribution, version = self.distribution
        return PluginRecord(
            name=self.name,
            status=self.status,
            module=self.entry_point.value if self.entry_point else getattr(self.plugin, "__name__", ""),
            distribution=distribution,
            version=version,
            error=self.error,
            details=self.details,
            hooks=hooks,
            builtin=self.builtin,
        )

    def __str__(self) -> str:
        name, version = self.distribution
        return f"'{self.name}' ({name} {version})" if name else f"'{self.name}'"


def find_plugins() -> list[FoundPlugin]:
    """Load the modules of all installed plugins that are not blocked, sorted by name.

    If several distributions have a plugin of the same name, the project's own distribution keeps the name, else the
    first by distribution name.
    """
    from importlib_metadata import entry_points

    by_name: dict[str, list[FoundPlugin]] = {}
    for entry_point in entry_points(group=_namespace.PLUGIN_GROUP):
        by_name.setdefault(entry_point.name, []).append(FoundPlugin(entry_point.name, entry_point))
    for name, same in by_name.items():
        # Sorting by distribution reads its metadata, which is slow and only needed for equal names.
        if len(same) > 1:
            owner = _namespace.known_plugins()["plugins"].get(name)
            same.sort(key=lambda found: (found.distribution[0] != owner, found.distribution[0] or ""))
    plugins = [found for name in sorted(by_name) for found in by_name[name]]
    _load(plugins)
    return plugins


def _load(plugins: list[FoundPlugin]) -> None:
    claimed: dict[str, FoundPlugin] = {}
    modules: dict[int, FoundPlugin] = {}
    current: list[FoundPlugin] = []
    with isolation.named_when_slow(lambda: _waiting_for(current[-1]) if current else ""):
        for found in plugins:
            assert found.entry_point is not None
            if _namespace.is_blocked(found.entry_point):
                found.status = "blocked"
                continue
            first = claimed.setdefault(found.name, found)
            if first is not found:
                found.fail("broken", f"the name '{found.name}' is taken by {first.distribution[0]}")
                continue
            current.append(found)
            try:
                with isolation.contained_import():
                    found.plugin = found.entry_point.load()
                    version = getattr(found.plugin, "mltk_api_version", API_VERSION)
            # Foreign code may raise anything; `SystemExit` would end the program silently.
            except (Exception, SystemExit) as e:  # noqa: BLE001
                found.fail("broken", f"{type(e).__name__}: {first_line(e)}", e)
                continue
            twin = modules.setdefault(id(found.plugin), found)
            if version != API_VERSION:
                found.fail("incompatible", _version_advice(version, found))
            elif twin is not found:
                found.fail("broken", f"its module is already registered as '{twin.name}'")


def _waiting_for(found: FoundPlugin) -> str:
    return (
        f"still waiting for the plugin {found} to be imported. "
        f"{_namespace.BLOCK_VARIABLE}={found.name} leaves it out."
    )


def _version_advice(version: object, found: FoundPlugin) -> str:
    if isinstance(version, int) and version > API_VERSION:
        return f"it needs version {version} of the plugin interface, this is {API_VERSION}; update mltk-core"
    return (
        f"it was written for version {version!r} of the plugin interface, this is {API_VERSION}; "
        f"update {found.distribution[0] or 'it'}"
    )
