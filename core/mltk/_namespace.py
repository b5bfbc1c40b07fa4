"""Public `mltk.*` names that other distributions provide, and those of silabs-mltk.

A distribution declares its public names in the entry-point group `mltk.namespace`: a value with `:` is an attribute of
a package of core, a value without is a module with its children. Packages of core resolve attributes in their
`__getattr__` (see `mltk.lazy`); a finder at the end of `sys.meta_path` resolves modules. Nothing is read or imported
until such a name is used.
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypedDict, cast

from mltk.errors import PluginBlockedError, PluginNotInstalledError
from mltk.reference_names import MODULES as REFERENCE_MODULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from importlib_metadata import EntryPoint

GROUP = "mltk.namespace"
PLUGIN_GROUP = "mltk.plugins"
BLOCK_VARIABLE = "MLTK_BLOCK_PLUGINS"

specification_packages: dict[str, list[str]] = {}
"""Folders of specifications that were run, by the package name of their modules.

Specifications written for silabs-mltk import modules beside them as `mltk.models.<folder>.<module>`.
"""


class KnownPlugins(TypedDict):
    """Names of the project's own plugins, each with the distribution that provides it."""

    plugins: dict[str, str]
    """Names of plugins, e.g. `audio`."""
    packages: dict[str, str]
    """Import names, e.g. `mltk_plugin_audio`."""
    names: dict[str, str]
    """Public names, e.g. `mltk.core.AudioDatasetMixin`."""
    models: dict[str, str]
    """Models, e.g. `command_words_v1`."""
    commands: dict[str, str]
    """Commands of `mltk`, e.g. `classify_audio`."""


def blocked_plugins() -> frozenset[str]:
    """Return the names in `MLTK_BLOCK_PLUGINS` (plugins or distributions; `*` is every plugin)."""
    names = os.environ.get(BLOCK_VARIABLE, "").split(",")
    return frozenset(name.strip() for name in names if name.strip())


def is_blocked(entry_point: EntryPoint) -> bool:
    """Return True if the plugin of this entry point (of either group) is blocked."""
    blocked = blocked_plugins()
    if not blocked:
        return False
    if "*" in blocked or (entry_point.group == PLUGIN_GROUP and entry_point.name in blocked):
        return True
    distribution = entry_point.dist
    if distribution is None:
        return False
    if distribution.name in blocked:
        return True
    # A namespace entry has no plugin name: it is blocked with the plugins of its distribution.
    return entry_point.group == GROUP and any(
        other.group == PLUGIN_GROUP and other.name in blocked for other in distribution.entry_points
    )


@cache
def known_plugins() -> KnownPlugins:
    """Return the names of the project's own plugins, installed or not."""
    # `tests/plugins/make_known_plugins.py` writes this file from the plugins' projects.
    text = Path(__file__).with_name("known_plugins.json").read_text(encoding="utf-8")
    known: KnownPlugins = json.loads(text)
    return known


def install_hint(name: str) -> str:
    """Return a sentence that tells which plugin to install for a name, or an empty string.

    Args:
        name: A public name, an import name, a model or a command that one of the project's own plugins provides.
    """
    known = known_plugins()
    distribution = known["models"].get(name) or known["commands"].get(name.replace("-", "_"))
    for prefix in _prefixes(name):
        distribution = distribution or known["names"].get(prefix) or known["packages"].get(prefix)
    if distribution is None or _installed_version(distribution) is not None:
        return ""
    return (
        f"'{name}' is provided by the plugin '{distribution}', which is not installed. "
        f"Install it with: pip install {distribution}"
    )


def provided_mixins(ending: str) -> list[str]:
    """Return the mixins that plugins provide as names of `mltk.core`, each with its distribution.

    Args:
        ending: Part of the name, e.g. `DatasetMixin`.
    """
    names = dict(known_plugins()["names"])
    names.update({name: _distribution_name(entry_point) for name, entry_point in provided().items()})
    prefix = "mltk.core."
    return [
        f"{name.removeprefix(prefix)} ({distribution})"
        for name, distribution in sorted(names.items())
        if name.startswith(prefix) and name.count(".") == 2 and ending in name and name.endswith("Mixin")
    ]


@cache
def provided() -> Mapping[str, EntryPoint]:
    """Return the public names that installed distributions provide.

    When two distributions provide one name, the first by distribution name keeps it.
    """
    from importlib_metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for entry_point in entry_points(group=GROUP):
        rival = found.get(entry_point.name)
        if rival is None or _distribution_name(entry_point) < _distribution_name(rival):
            found[entry_point.name] = entry_point
    return found


def resolve(package: str, name: str) -> object:
    """Return attribute `name` of a core package from the plugin that provides it.

    Raises:
        PluginNotInstalledError: The name belongs to a known plugin that is not installed, or is blocked.
        AttributeError: Nobody provides the name.
        ImportError: The plugin is installed, but importing it failed; the error is the plugin's own.
    """
    full_name = f"{package}.{name}"
    if not name.startswith("_"):
        if full_name in REFERENCE_MODULES:
            return import_module(full_name)
        entry_point = provided().get(full_name)
        if entry_point is not None:
            _refuse_blocked(full_name, entry_point)
            if not entry_point.attr:
                return import_module(full_name)
            value: object = entry_point.load()
            return value
        _refuse_known(full_name)
    raise AttributeError(f"module '{package}' has no attribute '{name}'")


def install() -> None:
    """Put the finder at the end of `sys.meta_path`, once."""
    if not any(isinstance(finder, _NamespaceFinder) for finder in sys.meta_path):
        sys.meta_path.append(_NamespaceFinder())


class _Facade(ModuleType):
    """A module under a public name that forwards everything to the module of a plugin.

    It has an empty `__path__` and forwards no dunder name but `__all__`: with the real `__path__` or `__file__`, the
    import system would load the files of the plugin a second time under the public name, with other classes.
    """

    def __getattr__(self, name: str) -> object:
        if name == "__all__":
            target = _real_module(self)
            return getattr(target, name, [n for n in vars(target) if not n.startswith("_")])
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        value: object = getattr(_real_module(self), name)
        return value

    def __setattr__(self, name: str, value: object) -> None:
        # The import system sets child modules and its own dunder names here; users set names of the plugin.
        if isinstance(value, _Facade) or name.startswith("__"):
            super().__setattr__(name, value)
        else:
            setattr(_real_module(self), name, value)

    def __delattr__(self, name: str) -> None:
        if name in vars(self):
            super().__delattr__(name)
        else:
            delattr(_real_module(self), name)

    def __dir__(self) -> list[str]:
        return sorted({*(n for n in dir(_real_module(self)) if not n.startswith("__")), *vars(self)})


def _real_module(facade: _Facade) -> ModuleType:
    return sys.modules[cast("_FacadeLoader", vars(facade)["__spec__"].loader).target]


class _FacadeLoader(Loader):
    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Facade(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        import_module(self.target)


class _NamespaceFinder:
    """Finds modules that distributions provide, after all other finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("mltk."):
            return None
        for prefix in _prefixes(fullname):
            module = _providing_module(prefix, fullname)
            if module is None:
                continue
            real_name = module + fullname.removeprefix(prefix)
            if prefix != fullname and find_spec(real_name) is None:
                return None
            spec = ModuleSpec(fullname, _FacadeLoader(real_name), is_package=True)
            spec.submodule_search_locations = []
            return spec
        folders = specification_packages.get(fullname)
        if folders is not None:
            spec = ModuleSpec(fullname, None, is_package=True)
            # The list itself, not a copy: later specifications add their folders.
            spec.submodule_search_locations = folders
            return spec
        _refuse_known(fullname)
        return None


def _providing_module(name: str, wanted: str) -> str | None:
    """Return the module behind the public module `name`, if there is one.

    Args:
        name: A public module.
        wanted: The module to import: `name` or a child of it.
    """
    if name in REFERENCE_MODULES:
        return REFERENCE_MODULES[name]
    entry_point = provided().get(name)
    if entry_point is None or entry_point.attr:
        return None
    _refuse_blocked(wanted, entry_point)
    return entry_point.module


def _prefixes(name: str) -> Iterator[str]:
    """Yield `a.b.c`, `a.b`, `a`."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _distribution_name(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist else ""


def _refuse_blocked(name: str, entry_point: EntryPoint) -> None:
    if is_blocked(entry_point):
        distribution = _distribution_name(entry_point)
        raise PluginBlockedError(
            f"'{name}' is provided by the plugin '{distribution}', which is installed but blocked. "
            f"To use it, remove it from {BLOCK_VARIABLE}, or leave out --no-plugins.",
            name=entry_point.module.partition(".")[0],
        )


def _refuse_known(name: str) -> None:
    names = known_plugins()["names"]
    distribution = next((names[prefix] for prefix in _prefixes(name) if prefix in names), None)
    if distribution is None:
        return
    found = _installed_version(distribution)
    if found is None:
        message = f"which is not installed. Install it with: pip install {distribution}"
    else:
        message = f"whose installed version {found} lacks it. Update it with: pip install -U {distribution}"
    # The import name of the plugin: `from package import child` hides an error that names the child itself.
    raise PluginNotInstalledError(
        f"'{name}' is provided by the plugin '{distribution}', {message}", name=distribution.replace("-", "_")
    )


def _installed_version(distribution: str) -> str | None:
    from importlib_metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
