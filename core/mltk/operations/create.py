"""Write a model specification for a data set: `mltk new`."""

from __future__ import annotations

import keyword
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from mltk.errors import DatasetError, MltkError, did_you_mean
from mltk.plugins import Draft, DraftRequest, Template, get_plugin_manager
from mltk.utils.files import atomic_write


@dataclass(frozen=True)
class NewSpecification:
    """A specification that was written."""

    path: Path
    template: str
    draft: Draft


def create_specification(
    name: str,
    data: str | Path,
    template: str | None = None,
    folder: str | Path = ".",
    overwrite: bool = False,
) -> NewSpecification:
    """Look at a data set and write a model specification that suits it.

    Nothing of the data set is executed or changed.

    Args:
        name: Name of the model: the file is `<name>.py`.
        data: Folder of the data set.
        template: Name of a template; by default the one that suits the data best.
        folder: Folder for the specification.
        overwrite: Replace an existing file.

    Raises:
        MltkError: The name is not usable, the file exists, or there is no such template.
        DatasetError: The folder does not exist, or its data suit no template.
    """
    target = Path(folder) / f"{_check_name(name)}.py"
    if target.exists() and not overwrite:
        raise MltkError(f"'{target}' exists already. Choose another name, or replace it with --force.")
    directory = Path(data).expanduser()
    if not directory.is_dir():
        raise DatasetError(f"The data set folder '{directory}' does not exist or is not a folder.")
    request = DraftRequest(name, directory.resolve(), _name_folder(directory, target.parent))
    chosen, draft = _choose(request, find_templates(), template)
    atomic_write(target, draft.text)
    return NewSpecification(target, chosen, draft)


def find_templates() -> Mapping[str, Template]:
    """Return the templates of all plugins, by name."""
    return get_plugin_manager().collect_offers("mltk_templates")


def _choose(
    request: DraftRequest, templates: Mapping[str, Template], wanted: str | None
) -> tuple[str, Draft]:
    if wanted is not None and wanted not in templates:
        raise MltkError(
            f"There is no template '{wanted}'.{did_you_mean(wanted, templates)} "
            f"Templates: {', '.join(templates) or 'none; plugins for images, audio and others have them'}."
        )
    candidates = templates if wanted is None else {wanted: templates[wanted]}
    suited, failure = {}, None
    for name, template in candidates.items():
        try:
            draft = template.draft(request)
        except DatasetError as e:
            # The files may be of another kind with the same endings.
            failure = failure or e
            continue
        if draft is not None:
            suited[name] = draft
    if not suited and failure is not None:
        raise failure
    if not suited:
        raise DatasetError(
            f"The data in '{request.data}' suit no template ({', '.join(candidates) or 'none is installed'}): "
            f"a folder with a folder of files for each class is needed, or with 'train' and 'test' that have them."
        )
    best = max(suited, key=lambda name: suited[name].suitability)
    return best, suited[best]


def _check_name(name: str) -> str:
    """Return the name of a model, which is that of a module too.

    Raises:
        MltkError: It is not an identifier, or would hide a module that specifications import.
    """
    plain = name.removesuffix(".py")
    if not plain.isidentifier() or keyword.iskeyword(plain):
        raise MltkError(f"'{name}' is not a name for a model. Use letters, digits and '_', a letter first.")
    installed = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    if plain == "mltk" or plain in sys.stdlib_module_names or PathFinder.find_spec(plain, installed):
        raise MltkError(
            f"'{plain}' is the name of a Python module, which '{plain}.py' would hide. Choose another name, "
            f"such as '{plain}_v1'."
        )
    return plain


def _name_folder(directory: Path, beside: Path) -> str:
    """Return a folder as a specification in `beside` names it."""
    resolved = directory.resolve()
    try:
        return resolved.relative_to(beside.resolve()).as_posix()
    except ValueError:
        return resolved.as_posix()
