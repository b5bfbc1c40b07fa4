"""Search for models by name."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path

from mltk._namespace import install_hint
from mltk.errors import FileFormatError, ModelNotFoundError, SpecificationError, did_you_mean
from mltk.model.mixins.archive import shipped_model_folders
from mltk.model.model import check_model_name
from mltk.utils.files import cache_dir
from mltk.utils.model_archive import ARCHIVE_EXTENSION
from mltk.utils.structured import parse_yaml

_TAG = re.compile(rb"(?:^|[\s#])@mltk_model(?:\s|\Z)", re.MULTILINE)
_MAX_LIST_DEPTH = 5
_FIRST_READ = 16384
MAX_SCRIPT_BYTES = 8 << 20
"""Maximum size of a specification."""
# A pipe without a writer would wait for one.
_READ_BYTES = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


def user_settings() -> dict[str, object]:
    """Return the contents of the user's settings file; an empty dict without one.

    Raises:
        FileFormatError: The file is not a YAML mapping.
    """
    path = Path(os.environ.get("MLTK_USER_SETTINGS_PATH") or cache_dir() / "user_settings.yaml").expanduser()
    if not path.is_file():
        return {}
    settings = parse_yaml(path.read_bytes(), f"The settings file {path}")
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise FileFormatError(f"The settings file {path} must hold a mapping of names to values.")
    return settings


def model_search_path() -> list[tuple[Path, bool]]:
    """Return the folders to search for models, in order, each with whether to search it recursively.

    These are `model_paths` of the user settings, the current folder (top level only), `MLTK_MODEL_PATHS`, and the
    models shipped with mltk and its plugins.
    """
    configured = user_settings().get("model_paths") or []
    configured = [configured] if isinstance(configured, str) else configured
    if not isinstance(configured, list) or not all(isinstance(p, str) for p in configured):
        raise FileFormatError("'model_paths' in the settings file must be a folder or a list of folders.")
    paths = [(Path(p).expanduser(), True) for p in configured]
    # It may have been removed.
    with contextlib.suppress(FileNotFoundError):
        paths.append((Path.cwd(), False))
    variable = os.environ.get("MLTK_MODEL_PATHS", "")
    paths += [(Path(p).expanduser(), True) for p in variable.split(os.pathsep) if p]
    paths += [(folder, True) for folder in shipped_model_folders()]
    return paths


def _walk(folder: Path, depth: int | None) -> Iterator[os.DirEntry[str]]:
    """Yield the regular files below a folder, sorted by folder; follow links, but enter each folder once."""
    seen: set[tuple[int, int]] = set()
    pending: list[tuple[str, int]] = [(str(folder), 0)]
    while pending:
        path, level = pending.pop()
        try:
            status = os.stat(path)  # noqa: PTH116 - thousands of them; a Path each would double the time
            entries = sorted(os.scandir(path), key=attrgetter("name"))
        except OSError:
            # A search path may name missing or unreadable folders.
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        folders = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            if _is(entry.is_dir):
                if depth is None or level < depth:
                    folders.append((entry.path, level + 1))
            # No pipe, socket or device.
            elif entry.name.endswith((".py", ARCHIVE_EXTENSION)) and _is(entry.is_file):
                yield entry
        pending += reversed(folders)


def _is(kind: Callable[[], bool]) -> bool:
    """Return whether an entry, or what it links to, is of a kind; a link to itself is of none."""
    try:
        return kind()
    except OSError:
        return False


def read_script(path: str | os.PathLike[str]) -> bytes:
    """Return the text of a specification.

    Raises:
        SpecificationError: It is larger than 8 MB.
    """
    with Path(path).open("rb") as file:
        text = file.read(MAX_SCRIPT_BYTES + 1)
    if len(text) > MAX_SCRIPT_BYTES:
        raise SpecificationError(
            f"{path} is larger than {MAX_SCRIPT_BYTES >> 20} MB: it is no model specification."
        )
    return text


def list_mltk_models(
    test: bool = False, for_utests: bool = False, logger: logging.Logger | None = None
) -> list[str]:
    """Return the sorted names of all models on the search path.

    A script is a model if its text contains the tag `@mltk_model`; archives are models too. No script is imported.
    Pipes, devices and files above 8 MB are left out.

    Args:
        test: List only archives of trial runs (`<name>-test.mltk.zip`).
        for_utests: Skip scripts with the tag `@mltk_utest_disabled`.
        logger: Receives a warning for each unreadable file.
    """
    names: set[str] = set()
    for folder, recursive in model_search_path():
        for entry in _walk(folder, _MAX_LIST_DEPTH if recursive else 0):
            if entry.name.endswith(ARCHIVE_EXTENSION):
                name = entry.name.removesuffix(ARCHIVE_EXTENSION)
                if name.endswith("-test") == test:
                    names.add(name.removesuffix("-test"))
            elif entry.name.endswith(".py") and not test:
                try:
                    text = _read(entry.path)
                except OSError as e:
                    if logger:
                        logger.warning(f"{entry.path} could not be read: {e.strerror}")
                    continue
                # Searching for the substring first is many times faster, and nearly all files lack it.
                tag = text.find(b"@mltk_model")
                if tag >= 0 and _TAG.search(text, max(tag - 1, 0)):
                    if for_utests and b"@mltk_utest_disabled" in text:
                        continue
                    names.add(entry.name.removesuffix(".py"))
    return sorted(names)


def _read(path: str) -> bytes:
    """Return the contents of a file, or nothing of a larger one; for small files in half the time of a file object."""
    descriptor = os.open(path, _READ_BYTES)
    try:
        text = os.read(descriptor, _FIRST_READ)
        while len(text) >= _FIRST_READ and (more := os.read(descriptor, len(text))):
            text += more
            if len(text) > MAX_SCRIPT_BYTES:
                return b""
        return text
    finally:
        os.close(descriptor)


def find_model_specification_file(
    name: str, test: bool = False, logger: logging.Logger | None = None
) -> str | None:
    """Return the first script `<name>.py` on the search path, else the first archive, else `None`.

    Raises:
        SpecificationError: `name` is not a valid model name.
    """
    check_model_name(name)
    archive_name = f"{name}{'-test' if test else ''}{ARCHIVE_EXTENSION}"
    archive = None
    for folder, recursive in model_search_path():
        for entry in _walk(folder, None if recursive else 0):
            if entry.name == f"{name}.py":
                return entry.path
            if entry.name == archive_name and archive is None:
                archive = entry.path
    return archive


def split_test_suffix(model: str) -> tuple[str, bool]:
    """Split `'x-test'` into `('x', True)`; return other names with `False`."""
    return (model.removesuffix("-test"), True) if model.endswith("-test") else (model, False)


def model_not_found(name: str) -> ModelNotFoundError:
    """Return the error for an unknown model name, with near matches."""
    hint = (
        install_hint(name)
        or did_you_mean(name, list_mltk_models())
        or " MLTK_MODEL_PATHS may name further folders to search."
    )
    return ModelNotFoundError(f"There is no model named '{name}' on the model search path.{hint}")
