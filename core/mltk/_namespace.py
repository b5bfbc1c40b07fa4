"""Public `mltk.*` names that other distributions provide, and those of silabs-mltk.

A distribution declares its public names in the entry-point group `mltk.namespace`: a value with `:` is an attribute of
a package of core, a value without is a module with its children. Packages of core resolve attributes in their
`__getattr__` (see `mltk.lazy`); a finder at the end of `sys.meta_path` resolves modules. Nothing is read or imported
until such a name is used.
"""

from __future__ import annotations

import json
import os
import re
import sys
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypedDict, cast

from mltk.errors import PluginBlockedError, PluginNotInstalledError, ReferenceNameError, did_you_mean
from mltk.reference_names import MODULES as REFERENCE_MODULES
from mltk.reference_names import reason_of_absence, set_resolver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from importlib.abc import Loader

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


def _normalized(name: str) -> str:
    """Return a name as PEP 503 compares names of distributions: `My_Plugin` is `my-plugin`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def blocked_plugins() -> frozenset[str]:
    """Return the normalized names in `MLTK_BLOCK_PLUGINS` (plugins or distributions; `*` is every plugin)."""
    names = os.environ.get(BLOCK_VARIABLE, "").split(",")
    return frozenset(_normalized(name.strip()) for name in names if name.strip())


def unmatched_blocks() -> str:
    """Return a sentence about the names in `MLTK_BLOCK_PLUGINS` that no installed plugin has, or an empty string."""
    blocked = blocked_plugins() - {"*"}
    if not blocked:
        return ""
    from importlib_metadata import entry_points

    installed = set()
    for entry_point in (*entry_points(group=PLUGIN_GROUP), *entry_points(group=GROUP)):
        if entry_point.group == PLUGIN_GROUP:
            installed.add(_normalized(entry_point.name))
        installed.add(_normalized(_distribution_name(entry_point)))
    unmatched = sorted(blocked - installed)
    if not unmatched:
        return ""
    names = ", ".join(f"'{name}'" for name in unmatched)
    hint = did_you_mean(unmatched[0], installed) if len(unmatched) == 1 else ""
    return f"{BLOCK_VARIABLE} names {names}, which no installed plugin or distribution is called.{hint}"


def is_blocked(entry_point: EntryPoint) -> bool:
    """Return True if the plugin of this entry point (of either group) is blocked."""
    blocked = blocked_plugins()
    if not blocked:
        return False
    if "*" in blocked or (entry_point.group == PLUGIN_GROUP and _normalized(entry_point.name) in blocked):
        return True
    distribution = entry_point.dist
    if distribution is None:
        return False
    if _normalized(distribution.name) in blocked:
        return True
    # A namespace entry has no plugin name: it is blocked with the plugins of its distribution.
    return entry_point.group == GROUP and any(
        other.group == PLUGIN_GROUP and _normalized(other.name) in blocked
        for other in distribution.entry_points
    )


@cache
def known_plugins() -> KnownPlugins:
    """Return the names of the project's own plugins, installed or not."""
    # `tests/plugins/make_known_plugins.py` writes this file from the plugins' projects.
    text = Path(__file__).with_name("known_plugins.json").read_text(encoding="utf-8")
    known: KnownPlugins = json.loads(text)
    return known


def install_hint(name: str) -> str:
    """Return a sentence that tells which plugin to install for a name, or that it is blocked; or an empty string.

    Args:
        name: A public name, an import name, a model or a command that one of the project's own plugins provides.
    """
    known = known_plugins()
    distribution = known["models"].get(name) or known["commands"].get(name.replace("-", "_"))
    for prefix in _prefixes(name):
        distribution = distribution or known["names"].get(prefix) or known["packages"].get(prefix)
    if distribution is None:
        return ""
    if _installed_version(distribution) is not None:
        if any(is_blocked(e) for e in _plugins_of(distribution)):
            return _blocked_message(name, distribution)
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


def provided() -> Mapping[str, EntryPoint]:
    """Return the public names that installed distributions provide.

    A name of one of the project's own plugins, or below such a name, stays with that plugin if it is installed. Of
    other distributions that provide one name, the first by distribution name keeps it.
    """
    return _providers()[0]


def taken_names() -> list[str]:
    """Return a sentence for each public name that a distribution provides although another one has it or owns it."""
    return _providers()[1]


@cache
def _providers() -> tuple[dict[str, EntryPoint], list[str]]:
    from importlib_metadata import entry_points

    offers: dict[str, dict[str, EntryPoint]] = {}
    names: dict[int, str] = {}
    for entry_point in entry_points(group=GROUP):
        # Reading the metadata of a distribution is slow.
        distribution = names.setdefault(id(entry_point.dist), "") or _distribution_name(entry_point)
        names[id(entry_point.dist)] = distribution
        offers.setdefault(entry_point.name, {}).setdefault(distribution, entry_point)
    installed = {_normalized(name) for name in names.values()}
    owners = known_plugins()["names"]
    found: dict[str, EntryPoint] = {}
    notes = []
    for name, rivals in offers.items():
        owner = next((owners[prefix] for prefix in _prefixes(name) if prefix in owners), None)
        own = next((rival for rival in rivals if owner and _normalized(rival) == owner), None)
        keeper = own or (None if owner in installed else min(rivals))
        if keeper is not None:
            found[name] = rivals[keeper]
        for taker in sorted(rivals.keys() - {own} if owner else rivals.keys() - {keeper}):
            used = "is used, because the owner is not installed" if taker == keeper else "is not used"
            notes.append(f"'{name}' of {owner or keeper} is also provided by {taker}, which {used}.")
    return found, notes


def forget_names() -> None:
    """Let the next use of a public name find the installed distributions again."""
    _providers.cache_clear()


def resolve(package: str, name: str) -> object:
    """Return attribute `name` of a core package from the plugin that provides it.

    Raises:
        PluginNotInstalledError: The name belongs to a known plugin that is not installed, or is blocked.
        ReferenceNameError: silabs-mltk has the name, and mltk does not; the error says why.
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
        _refuse_absent(full_name)
    raise AttributeError(f"module '{package}' has no attribute '{name}'")


def install() -> None:
    """Put the finder at the end of `sys.meta_path`, once."""
    set_resolver(resolve)
    if not any(isinstance(finder, _NamespaceFinder) for finder in sys.meta_path):
        sys.meta_path.append(_NamespaceFinder())


class Facade(ModuleType):
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
        try:
            value: object = getattr(_real_module(self), name)
        except AttributeError:
            _refuse_absent(f"{self.__name__}.{name}")
            raise
        return value

    def __setattr__(self, name: str, value: object) -> None:
        # The import system sets child modules and its own dunder names here; users set names of the plugin.
        if isinstance(value, Facade) or name.startswith("__"):
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


def _real_module(facade: Facade) -> ModuleType:
    return sys.modules[cast("_FacadeLoader", vars(facade)["__spec__"].loader).target]


class _FacadeLoader:
    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Facade(spec.name)

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
            if prefix != fullname and not _exists(real_name):
                _refuse_absent(fullname)
                return None
            spec = ModuleSpec(fullname, cast("Loader", _FacadeLoader(real_name)), is_package=True)
            spec.submodule_search_locations = []
            return spec
        folders = specification_packages.get(fullname)
        if folders is not None:
            spec = ModuleSpec(fullname, None, is_package=True)
            # The list itself, not a copy: later specifications add their folders.
            spec.submodule_search_locations = folders
            return spec
        _refuse_known(fullname)
        _refuse_absent(fullname)
        return None


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # Its parent is no package.
        return False


def _providing_module(name: str, wanted: str) -> str | None:
    """Return the module behind the public module `name`, if there is one.

    Args:
        name: A public module.
        wanted: The module to import: `name` or a child of it.
    """
    if name in REFERENCE_MODULES:
        return REFERENCE_MODULES[name]
    entry_point = provided().get(name)
    # In silabs-mltk, a function of `mltk.core` is in a module of its name.
    if entry_point is None or (entry_point.attr and not name.rpartition(".")[2].islower()):
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


def _plugins_of(distribution: str) -> list[EntryPoint]:
    from importlib_metadata import entry_points

    found = entry_points(group=PLUGIN_GROUP)
    return [e for e in found if _normalized(_distribution_name(e)) == distribution]


def _blocked_message(name: str, distribution: str) -> str:
    return (
        f"'{name}' is provided by the plugin '{distribution}', which is installed but blocked. "
        f"To use it, remove it from {BLOCK_VARIABLE}, or leave out --no-plugins."
    )


def _refuse_blocked(name: str, entry_point: EntryPoint) -> None:
    if is_blocked(entry_point):
        distribution = _distribution_name(entry_point)
        raise PluginBlockedError(
            _blocked_message(name, distribution),
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


def _refuse_absent(name: str) -> None:
    reason = reason_of_absence(name)
    if reason is not None:
        # `from package import child` hides an error that names the child.
        raise ReferenceNameError(f"'{name}' of silabs-mltk is not part of mltk: {reason}", name="silabs_mltk")


def _installed_version(distribution: str) -> str | None:
    from importlib_metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
