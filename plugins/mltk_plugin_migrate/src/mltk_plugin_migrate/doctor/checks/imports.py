"""Checks of imports: names of mltk, plugins, and packages of others."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec

from mltk.errors import PluginNotInstalledError, ReferenceNameError, did_you_mean
from mltk_plugin_migrate.doctor.checks.lookup import hide_tensorflow
from mltk_plugin_migrate.doctor.patterns import Match
from mltk_plugin_migrate.doctor.source import Function, Source, constant

_DISTRIBUTIONS: Mapping[str, str] = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "wx": "wxPython",
    "yaml": "PyYAML",
}
"""Distributions of packages whose import name differs."""

KERAS_2_PACKAGES = ("keras_applications", "keras_preprocessing", "tensorflow_addons", "tf_keras")
"""Packages that only work with Keras 2."""

# Distributions that `install_pip_package` skips.
_UNNECESSARY = frozenset({"tensorflow-model-optimization"})


def plugins_missing(source: Source) -> Iterator[Match]:
    """Yield uses of public names whose plugin is not installed, or blocked."""
    for node, module, name in _mltk_names(source):
        problem = _mltk_problem(module, name)
        if problem is not None and problem[0] == "plugin":
            yield node, {"problem": problem[1]}


def mltk_names_unknown(source: Source) -> Iterator[Match]:
    """Yield uses of names below `mltk` that nobody provides."""
    for node, module, name in _mltk_names(source):
        problem = _mltk_problem(module, name)
        if problem is not None and problem[0] == "unknown":
            yield node, {"problem": problem[1]}


def packages_missing(source: Source) -> Iterator[Match]:
    """Yield imports of packages that are not installed, and that the specification does not install itself."""
    installed_by_itself = {package for _, package in _pip_calls(source)}
    for item in source.imports:
        top = item.module.partition(".")[0]
        if top in ("mltk", *KERAS_2_PACKAGES) or source.is_guarded(item.node) or _is_there(source, top):
            continue
        distribution = _DISTRIBUTIONS.get(top, top.replace("_", "-"))
        if not {top, distribution} & installed_by_itself:
            inside = source.scopes[item.node]
            later = (
                f", which '{inside.name}' needs when it is called," if isinstance(inside, Function) else ""
            )
            yield item.node, {"package": top, "distribution": distribution, "later": later}


def packages_installed_by_the_script(source: Source) -> Iterator[Match]:
    """Yield calls of `install_pip_package` for a package that is not installed yet."""
    for node, package in _pip_calls(source):
        if package not in _UNNECESSARY and not _is_there(source, package.replace("-", "_")):
            yield node, {"package": package}


def renamed_arguments(source: Source) -> Iterator[Match]:
    """Yield calls of audiomentations with old names, which nothing translates."""
    if "audiomentations" not in {package for _, package in _pip_calls(source)}:
        yield from _old_arguments(source)


def translated_arguments(source: Source) -> Iterator[Match]:
    """Yield calls of audiomentations with old names, which `install_pip_package` lets it accept."""
    if "audiomentations" in {package for _, package in _pip_calls(source)}:
        yield from _old_arguments(source)


def _old_arguments(source: Source) -> Iterator[Match]:
    for node in source.nodes:
        if isinstance(node, ast.Call) and (source.dotted(node.func) or "").startswith("audiomentations."):
            old = [k.arg for k in node.keywords if k.arg and k.arg.endswith("_in_db")]
            if old:
                new = [name.replace("_in_db", "_db") for name in old]
                yield node, {"old": ", ".join(old), "new": ", ".join(new)}


def cv2_of_cv2(source: Source) -> Iterator[Match]:
    """Yield imports of `cv2.cv2`, which old versions of OpenCV had."""
    for item in source.imports:
        if not source.is_guarded(item.node) and f"{item.module}.{item.name}.".startswith("cv2.cv2."):
            yield item.node, {}


def _pip_calls(source: Source) -> Iterator[tuple[ast.Call, str]]:
    for node in source.nodes:
        if (
            isinstance(node, ast.Call)
            and node.args
            and (source.dotted(node.func) or "").endswith(".install_pip_package")
        ):
            package = constant(node.args[0])
            if isinstance(package, str) and (name := re.match(r"[A-Za-z0-9._-]+", package)):
                yield node, name[0]


def _is_there(source: Source, top: str) -> bool:
    if source.folder is not None and (
        (source.folder / f"{top}.py").is_file() or (source.folder / top).is_dir()
    ):
        return True
    if top in sys.builtin_module_names or top in sys.modules:
        return sys.modules.get(top, True) is not None
    try:
        return find_spec(top) is not None
    # Of a module without a specification, `__main__` for instance.
    except ValueError:
        return True


def _is_beside(source: Source, module: str) -> bool:
    """Tell whether a module lies beside the specification, which may call it `mltk.models.<folder>.<module>`."""
    if source.folder is None:
        return False
    package, _, name = module.rpartition(".")
    return (
        package == f"mltk.models.{source.folder.resolve().name}"
        and name.isidentifier()
        and (source.folder / f"{name}.py").is_file()
    )


def _mltk_names(source: Source) -> Iterator[tuple[ast.AST, str, str | None]]:
    """Yield place, module and name of all that the script imports or uses of `mltk`."""
    for item in source.imports:
        if item.module.partition(".")[0] != "mltk" or source.is_guarded(item.node):
            continue
        if not _is_beside(source, item.module) and not _is_beside(source, f"{item.module}.{item.name}"):
            yield item.node, item.module, None if item.name == "*" else item.name
    seen = set()
    for node in source.nodes:
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        # `mltk_core.TrainMixin`, with `mltk_core` an imported module.
        module = source.dotted(node.value)
        if module is None or not f"{module}.".startswith("mltk.") or (module, node.attr) in seen:
            continue
        if isinstance(node.ctx, ast.Load) and _is_module(module):
            seen.add((module, node.attr))
            yield node, module, node.attr


def _is_module(name: str) -> bool:
    with hide_tensorflow():
        try:
            return find_spec(name) is not None
        # A name within a module, or a plugin that is not there or cannot be imported.
        except ImportError:
            return False


def _mltk_problem(module: str, name: str | None) -> tuple[str, str] | None:
    """Return the kind of a problem with a name below `mltk`, and a sentence, or `None` when there is none."""
    with hide_tensorflow():
        try:
            imported = import_module(module)
            if name is None or hasattr(imported, name):
                return None
            import_module(f"{module}.{name}")
        except PluginNotInstalledError as e:
            return "plugin", str(e)
        except ReferenceNameError as e:
            return "unknown", str(e)
        except ModuleNotFoundError as e:
            missing = e.name or ""
            if not missing.startswith("mltk.") and missing != "mltk":
                # A module that needs TensorFlow, or another package, when it is imported: the name may be there.
                return None
            if name is None or not _is_module(module):
                return "unknown", f"There is no module '{module}'."
            near = did_you_mean(name, (n for n in dir(imported) if not n.startswith("_")))
            return "unknown", f"'{module}' has no '{name}'.{near}"
        # A plugin's module may fail in any way when it is imported; `mltk plugins check` says why.
        except Exception:  # noqa: BLE001
            return None
    return None
