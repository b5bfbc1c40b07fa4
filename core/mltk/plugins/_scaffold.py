"""Write a new plugin from the template."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from mltk import __version__
from mltk.errors import MltkError
from mltk.plugins import API_VERSION
from mltk.plugins.manager import BUILTIN

_TEMPLATE = Path(__file__).parent / "_template"
# Without this suffix, installers would compile the template's modules, and linters would check them.
_SUFFIX = ".tmpl"


@dataclass(frozen=True)
class PluginNames:
    """The names of a new plugin."""

    name: str
    """The entry point, and the evaluator of the template: `my_metric`."""

    @property
    def package(self) -> str:
        """The import name: `mltk_plugin_my_metric`."""
        return f"mltk_plugin_{self.name}"

    @property
    def distribution(self) -> str:
        """The name of the distribution: `mltk-plugin-my-metric`."""
        return self.package.replace("_", "-")

    @classmethod
    def from_user(cls, text: str, taken: Iterable[str] = ()) -> PluginNames:
        """Return the names for user input, which may begin with `mltk-plugin-`.

        Args:
            text: Letters, digits, `-` and `_`.
            taken: Names of plugins that exist.

        Raises:
            MltkError: The text is not a valid name, or the name is taken.
        """
        name = text.lower().replace("-", "_").removeprefix("mltk_plugin_")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise MltkError(
                f"'{text}' is not a name for a plugin. Use letters, digits, '-' and '_', a letter first."
            )
        if name in {*taken, *BUILTIN}:
            raise MltkError(f"There is a plugin '{name}' already. Choose another name.")
        return cls(name)


def render_plugin(names: PluginNames) -> Iterator[tuple[Path, str]]:
    """Yield the files of a new plugin: relative path and text."""
    major, minor = (int(part) for part in __version__.split(".")[:2])
    values = {
        "name": names.name,
        "package": names.package,
        "distribution": names.distribution,
        "requirement": f"mltk-core>={major}.{minor},<{major}.{minor + 1}",
        "api_version": str(API_VERSION),
    }
    for source in sorted(_TEMPLATE.rglob(f"*{_SUFFIX}")):
        path = source.relative_to(_TEMPLATE).as_posix().removesuffix(_SUFFIX)
        yield (
            Path(path.replace("PACKAGE", names.package).replace("NAME", names.name)),
            Template(source.read_text(encoding="utf-8")).substitute(values),
        )


def write_plugin(names: PluginNames, folder: Path) -> None:
    """Write a new plugin into `folder`. After an error nothing is left there.

    Raises:
        MltkError: The folder exists and is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MltkError(f"{folder} exists already. Give another folder with --dir.")
    staging = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        for path, text in render_plugin(names):
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).write_text(text, encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        staging.rename(folder)
    except OSError as e:
        raise MltkError(f"The plugin cannot be written to {folder}: {e}.") from e
    finally:
        shutil.rmtree(staging, ignore_errors=True)
