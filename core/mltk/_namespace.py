"""Public `mltk.*` names that other distributions provide, and those of silabs-mltk.

A distribution declares in the entry-point group `mltk.namespace` which public names it provides: a value with
`:` is an attribute of a core package, one without is a module whose children follow. Core's packages resolve
attributes in their `__getattr__` (see `mltk.lazy`); a finder at the end of `sys.meta_path` answers for
modules. Nothing is read or imported until such a name is asked for.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mltk.errors import MltkError
from mltk.reference_names import MODULES as REFERENCE_MODULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from importlib_metadata import EntryPoint

GROUP = "mltk.namespace"
PLUGIN_GROUP = "mltk.plugins"
BLOCK_VARIABLE = "MLTK_BLOCK_PLUGINS"

KNOWN_PROVIDERS: Mapping[str, str] = {
    "mltk.core.AudioDatasetMixin": "mltk-plugin-audio",
    "mltk.core.AutoEncoderEvaluationResults": "mltk-plugin-autoencoder",
    "mltk.core.EvaluateAutoEncoderMixin": "mltk-plugin-autoencoder",
    "mltk.core.ImageDatasetMixin": "mltk-plugin-image",
    "mltk.core.SshMixin": "mltk-plugin-ssh",
    "mltk.core.WeightsAndBiasesMixin": "mltk-plugin-wandb",
    "mltk.core.evaluate_autoencoder": "mltk-plugin-autoencoder",
    "mltk.core.keras.layers.Conv2DTranspose_tied": "mltk-plugin-autoencoder",
    "mltk.core.keras.layers.DenseTranspose_tied": "mltk-plugin-autoencoder",
    "mltk.core.keras.losses.Correlation": "mltk-plugin-autoencoder",
    "mltk.core.keras.losses.StructuralSimilarity": "mltk-plugin-autoencoder",
    "mltk.core.keras.losses.corr": "mltk-plugin-autoencoder",
    "mltk.core.keras.losses.mae": "mltk-plugin-autoencoder",
    "mltk.core.keras.losses.mse": "mltk-plugin-autoencoder",
    "mltk.core.keras.losses.ssim": "mltk-plugin-autoencoder",
    "mltk.core.model.AudioDatasetMixin": "mltk-plugin-audio",
    "mltk.core.model.EvaluateAutoEncoderMixin": "mltk-plugin-autoencoder",
    "mltk.core.model.ImageDatasetMixin": "mltk-plugin-image",
    "mltk.core.model.SshMixin": "mltk-plugin-ssh",
    "mltk.core.model.WeightsAndBiasesMixin": "mltk-plugin-wandb",
    "mltk.core.preprocess.audio": "mltk-plugin-audio",
    "mltk.core.preprocess.image": "mltk-plugin-image",
    "mltk.core.preprocess.utils.audio": "mltk-plugin-audio",
    "mltk.core.preprocess.utils.image": "mltk-plugin-image",
    "mltk.core.preprocess.utils.tf_dataset": "mltk-plugin-tfdata",
    "mltk.datasets.accelerometer": "mltk-plugin-tfdata",
    "mltk.datasets.audio": "mltk-plugin-audio",
    "mltk.datasets.image": "mltk-plugin-image",
    "mltk.models.image": "mltk-plugin-image",
    "mltk.models.shared.DepthwiseSeparableConv2D_ARM": "mltk-plugin-models",
    "mltk.models.shared.FullyConnectedAutoEncoder": "mltk-plugin-autoencoder",
    "mltk.models.shared.MobileNetV1": "mltk-plugin-models",
    "mltk.models.shared.MobileNetV2": "mltk-plugin-models",
    "mltk.models.shared.ResNet10V1": "mltk-plugin-models",
    "mltk.models.shared.bc_resnet": "mltk-plugin-models",
    "mltk.models.shared.kws_streaming": "mltk-plugin-models",
    "mltk.models.shared.tenet": "mltk-plugin-models",
}
"""Names that the project's own plugins provide, so that an error can say what to install."""

specification_packages: dict[str, list[str]] = {}
"""Packages whose modules are files beside the specifications that were run: name to folders.

Specifications written for the reference import such modules by the path they had there:
`mltk.models.<folder>.<module>`.
"""


class PluginNotInstalledError(MltkError, ModuleNotFoundError):
    """A public name belongs to a plugin that is not installed; `name` is the plugin's import name."""


class PluginBlockedError(PluginNotInstalledError):
    """A public name belongs to a plugin that is installed and blocked."""


def blocked_plugins() -> frozenset[str]:
    """Return the names in `MLTK_BLOCK_PLUGINS` (plugins or distributions; `*` is every plugin)."""
    names = os.environ.get(BLOCK_VARIABLE, "").split(",")
    return frozenset(name.strip() for name in names if name.strip())


def is_blocked(entry_point: EntryPoint) -> bool:
    """Return whether the plugin that this entry point (of either group) belongs to is blocked."""
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
    # A namespace entry has no plugin name of its own: it is blocked with the plugins of its distribution.
    return entry_point.group == GROUP and any(
        other.group == PLUGIN_GROUP and other.name in blocked for other in distribution.entry_points
    )


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


def resolve(package: str, name: str) -> Any:
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
            return entry_point.load() if entry_point.attr else import_module(full_name)
        _refuse_known(full_name)
    raise AttributeError(f"module '{package}' has no attribute '{name}'")


def install() -> None:
    """Put the finder at the end of `sys.meta_path`, once."""
    if not any(isinstance(finder, _NamespaceFinder) for finder in sys.meta_path):
        sys.meta_path.append(_NamespaceFinder())


class _Facade(ModuleType):
    """A module under a public name that hands everything on to a plugin's module.

    It has an empty `__path__` and hands on no dunder but `__all__`: with the real `__path__`, or `__file__`,
    the import system would load the plugin's files a second time under the public name, as other classes.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            target = _real_module(self)
            return getattr(target, name, [n for n in vars(target) if not n.startswith("_")])
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        return getattr(_real_module(self), name)

    def __setattr__(self, name: str, value: object) -> None:
        # The import system binds child modules and its own dunders here; what a user sets is meant for the
        # plugin.
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
    loader: _FacadeLoader = vars(facade)["__spec__"].loader
    return sys.modules[loader.target]


class _FacadeLoader:
    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Facade(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        import_module(self.target)


class _NamespaceFinder:
    """Finds modules that distributions provide; asked only when every other finder has found nothing."""

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
            loader: Any = _FacadeLoader(real_name)
            spec = ModuleSpec(fullname, loader, is_package=True)
            spec.submodule_search_locations = []
            return spec
        folders = specification_packages.get(fullname)
        if folders is not None:
            spec = ModuleSpec(fullname, None, is_package=True)
            # The list itself, not a copy: a later specification may add its folder.
            spec.submodule_search_locations = folders
            return spec
        _refuse_known(fullname)
        return None


def _providing_module(name: str, wanted: str) -> str | None:
    """Return the module that stands for the public module `name`, if there is one.

    Args:
        name: Public module.
        wanted: The module that is being imported: `name` or a child of it.
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
            f"Take it out of {BLOCK_VARIABLE}, or leave out --no-plugins, to use it.",
            name=entry_point.module.partition(".")[0],
        )


def _refuse_known(name: str) -> None:
    distribution = next((KNOWN_PROVIDERS[p] for p in _prefixes(name) if p in KNOWN_PROVIDERS), None)
    if distribution is None:
        return
    from importlib_metadata import PackageNotFoundError, version

    try:
        found = version(distribution)
    except PackageNotFoundError:
        message = f"which is not installed. Install it with: pip install {distribution}"
    else:
        message = f"whose installed version {found} lacks it. Update it with: pip install -U {distribution}"
    # The import name of the plugin: `from package import child` swallows an error that names the child
    # itself.
    raise PluginNotInstalledError(
        f"'{name}' is provided by the plugin '{distribution}', {message}", name=distribution.replace("-", "_")
    )
