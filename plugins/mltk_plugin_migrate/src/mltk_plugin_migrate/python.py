"""Helpers that specifications of the reference import: packages of others, dictionaries, exceptions."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from mltk.errors import MltkError
from mltk.utils.path import create_user_dir
from mltk_plugin_migrate.utils.values import (
    SHORT_VERSION,
    DefaultDict,
    as_list,
    contains_class_type,
    debugger_is_active,
    disable_warnings,
    flatten_list,
    forward_method_kwargs,
    get_case_insensitive,
    import_module_at_path,
    is_false,
    is_true,
    list_rindex,
    load_json_safe,
    merge_dict,
    notebook_is_active,
    set_absl_log_level,
    timeit,
)

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = [
    "INSTALL_VARIABLE",
    "SHORT_VERSION",
    "DefaultDict",
    "DictObject",
    "append_exception_msg",
    "as_list",
    "contains_class_type",
    "debugger_is_active",
    "disable_warnings",
    "flatten_list",
    "forward_method_kwargs",
    "get_case_insensitive",
    "import_module_at_path",
    "install_pip_package",
    "is_false",
    "is_true",
    "list_rindex",
    "load_json_safe",
    "merge_dict",
    "notebook_is_active",
    "prepend_exception_msg",
    "set_absl_log_level",
    "timeit",
]

INSTALL_VARIABLE = "MLTK_INSTALL_PACKAGES"
"""Environment variable: whether a specification may install packages; `ask` (default), `always` or `never`."""

# The reference needs it for networks that are built here without it; it only works with Keras 2.
_UNNECESSARY = frozenset({"tensorflow-model-optimization"})


class DictObject(dict[str, Any]):
    """A dictionary whose entries are attributes as well: `d.x` is `d["x"]`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None


def prepend_exception_msg(e: BaseException, msg: str) -> BaseException:
    """Put `msg` before the text of an exception and return the exception."""
    e.args = (", ".join([msg, *map(str, e.args)]),)
    return e


def append_exception_msg(e: BaseException, msg: str) -> BaseException:
    """Put `msg` behind the text of an exception and return the exception."""
    e.args = (", ".join([*map(str, e.args), msg]),)
    return e


def install_pip_package(
    package: str,
    module_name: str | None = None,
    logger: logging.Logger | None = None,
    install_dir: str | os.PathLike[str] | None = None,
    upgrade: bool = False,
    no_deps: bool = False,
) -> None:
    """Make sure that a package is there; install it with pip if the user agrees.

    On a terminal the user is asked. Elsewhere, and with `MLTK_INSTALL_PACKAGES=never`, the error says what to install;
    `MLTK_INSTALL_PACKAGES=always` installs without asking.

    Args:
        package: Name of a distribution, with extras and versions as in `pip install`: `librosa>=0.10`.
        module_name: What is imported, if it is called otherwise.
        logger: Told what is installed.
        install_dir: Install into this folder, and import from it; `None` is the running environment.
        upgrade: Install the newest version even if an older one is there.
        no_deps: Leave out what the package requires.

    Raises:
        MltkError: The package is missing and not to be installed, its installation failed, or its name or
            `MLTK_INSTALL_PACKAGES` is not valid.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(package)
    except InvalidRequirement as e:
        raise MltkError(
            f"'{package}' is not the name of a package, as in: pip install 'librosa>=0.10'."
        ) from e
    if install_dir is not None:
        install_dir = create_user_dir(base_dir=install_dir)
        if install_dir not in sys.path:
            sys.path.append(install_dir)
    if requirement.name in _UNNECESSARY:
        return
    if upgrade or not _is_there(requirement, module_name):
        _ask(package)
        options = ["--upgrade"] * upgrade + ["--no-deps"] * no_deps
        if install_dir is not None:
            options += ["--target", install_dir]
        _install(package, options, logger or logging.getLogger("mltk"))
    if requirement.name == "audiomentations":
        from mltk_plugin_migrate.renamed_arguments import accept_old_arguments

        accept_old_arguments(importlib.import_module("audiomentations"))


def _is_there(requirement: Requirement, module_name: str | None) -> bool:
    if requirement.specifier:
        try:
            installed = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            return False
        return requirement.specifier.contains(installed, prereleases=True)
    return importlib.util.find_spec(module_name or requirement.name.replace("-", "_")) is not None


def _ask(package: str) -> None:
    """Return if the package may be installed."""
    wanted = os.environ.get(INSTALL_VARIABLE, "") or "ask"
    if wanted not in ("ask", "always", "never"):
        raise MltkError(f"{INSTALL_VARIABLE} must be 'ask', 'always' or 'never', not '{wanted}'.")
    if wanted == "always":
        return
    if wanted == "ask" and sys.stdin.isatty() and sys.stderr.isatty():
        import click

        if click.confirm(f"The specification needs the package '{package}'. Install it?", err=True):
            return
    raise MltkError(
        f"The specification needs the package '{package}', which is not installed. "
        f"Install it with: pip install '{package}' (or set {INSTALL_VARIABLE}=always)"
    )


def _install(package: str, options: list[str], logger: logging.Logger) -> None:
    logger.info("Installing %s", package)
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *options, package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    logger.debug("%s%s", done.stdout, done.stderr)
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        reason = reasons[-1].removeprefix("ERROR: ") if reasons else f"pip ended with code {done.returncode}"
        raise MltkError(f"The package '{package}' could not be installed: {reason.rstrip('.')}.")
    importlib.invalidate_caches()
