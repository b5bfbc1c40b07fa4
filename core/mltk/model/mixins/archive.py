"""The model's archive, as methods of the model."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from mltk import __version__, models
from mltk._namespace import provided
from mltk.errors import ArchiveFileNotFoundError, MltkError
from mltk.model.base import ModelBase
from mltk.utils.files import cache_dir
from mltk.utils.model_archive import ARCHIVE_EXTENSION, ModelArchive
from mltk.utils.temporary import kept_temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FUTURE_IMPORT = re.compile(r"^from\s+__future__\s+import\b(?:\s*\([^)]*\).*|.*)$", re.MULTILINE)
_VERSION_LINE = re.compile(r"\A__mltk_version__ = (['\"])([^'\"\n]*)\1\n\n?")


def archived_specification(text: str, version: str) -> str:
    """Return a specification's text as it is archived, with a line that names the version of mltk.

    It is the first line, as the reference writes it, except where that would break the script: nothing may stand before
    `from __future__ import …`, so there it follows.
    """
    line = f"__mltk_version__ = '{version}'\n"
    imports = list(_FUTURE_IMPORT.finditer(text))
    if not imports:
        return line + "\n" + text
    end = imports[-1].end()
    return text[:end] + "\n" + line + text[end:].removeprefix("\n")


def original_specification(archived: str) -> str:
    """Undo what the reference's archiver and ours put at the top of a specification."""
    return _VERSION_LINE.sub("", archived, count=1)


def shipped_model_folders() -> list[Path]:
    """Return the folders with the models that mltk and its plugins ship."""
    folders = [Path(p) for p in models.__path__]
    for name, offer in sorted(provided().items()):
        if name.startswith("mltk.models."):
            spec = importlib.util.find_spec(offer.value)
            folders += [Path(p) for p in (spec.submodule_search_locations or () if spec else ())]
    return folders


def archive_path_of(specification: str | Path, test: bool = False) -> Path:
    """Return where the archive of a specification is, whether or not it exists."""
    script = Path(specification).resolve()
    name = script.stem + ("-test" if test else "")
    if any(script.is_relative_to(folder.resolve()) for folder in shipped_model_folders()):
        return cache_dir() / "models" / name / f"{name}{ARCHIVE_EXTENSION}"
    return script.parent / f"{name}{ARCHIVE_EXTENSION}"


class ArchiveMixin(ModelBase):
    """The archive of a model."""

    _archive_override: Path | None = None
    _staged_archive: Path | None = None

    @contextlib.contextmanager
    def staged_archive(self) -> Iterator[None]:
        """Write a new archive beside the log, within the block, and put it in place of the old one when the block ends.

        If the block fails, the old archive stays; where there is none, the new one takes its place as it is.
        """
        final = ModelArchive(self.archive_path)
        staged = Path(self.log_dir) / "new" / final.path.name
        staged.unlink(missing_ok=True)
        staged.parent.mkdir(parents=True, exist_ok=True)
        self._staged_archive = staged
        is_kept = True
        try:
            yield
            is_kept = False
        except Exception as e:
            if staged.exists() and final.path.exists():
                e.add_note(f"The archive is that of the earlier training run: {final.path}.")
            raise
        finally:
            self._staged_archive = None
            if staged.exists() and not (is_kept and final.path.exists()):
                final.replace_with(staged)
            shutil.rmtree(staged.parent, ignore_errors=True)

    def use_archive(self, path: Path) -> None:
        """Use the archive at `path`, which the model was loaded from."""
        self._archive_override = path

    @property
    def archive_path(self) -> str:
        """`<name>[-test].mltk.zip` beside the specification, or the archive the model was loaded from.

        While the model is trained, it is a new file in the log folder, which then replaces that archive.
        For specifications that mltk and its plugins ship, it is in the log folder: installed packages stay as they are.
        """
        if self._staged_archive:
            return str(self._staged_archive)
        if self._archive_override:
            return str(self._archive_override)
        return str(archive_path_of(self.model_specification_path or self.name, self.test_mode_enabled))

    @property
    def archive(self) -> ModelArchive:
        """The archive as an object."""
        return ModelArchive(self.archive_path)

    @property
    def h5_archive_path(self) -> str:
        """A temporary copy of the archived `.h5` file."""
        return self.get_archive_file(f"{self.name}{'.test' if self.test_mode_enabled else ''}.h5")

    @property
    def tflite_archive_path(self) -> str:
        """A temporary copy of the archived `.tflite` file."""
        return self.get_archive_file(f"{self.name}{'.test' if self.test_mode_enabled else ''}.tflite")

    @property
    def keras_archive_path(self) -> str:
        """A temporary copy of the archived Keras model: `.keras` where there is one, else `.h5`."""
        name = f"{self.name}{'.test' if self.test_mode_enabled else ''}.keras"
        return self.get_archive_file(name) if name in self.archive.names() else self.h5_archive_path

    def check_archive_file_is_writable(self, throw_exception: bool = False) -> bool:
        """Return whether the archive can be written.

        Args:
            throw_exception: Raise `MltkError` with the reason instead of returning `False`.
        """
        archive = self.archive
        if archive.path.is_relative_to(cache_dir()):
            archive.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            archive.check_writable()
        except MltkError:
            if throw_exception:
                raise
            return False
        return True

    def get_archive_file(self, name: str, dest_dir: str | None = None) -> str:
        """Extract a member and return its path.

        Args:
            name: Member.
            dest_dir: Folder; by default a temporary one, which lives as long as the model object.

        Raises:
            ArchiveFileNotFoundError: There is no archive, or no such member.
        """
        folder = Path(dest_dir) if dest_dir else self._temporary_folder()
        if not self.archive.path.exists():
            test = " --test" if self.test_mode_enabled else ""
            raise ArchiveFileNotFoundError(
                f"There is no model archive {self.archive_path}. "
                f"Train the model first: mltk train {self.name}{test}"
            )
        return str(self.archive.extract([name], folder)[0])

    def get_archive_dir(self, name: str, dest_dir: str | None = None) -> str:
        """Extract all members below a folder of the archive and return the path of the extracted folder.

        Raises:
            ArchiveFileNotFoundError: There is no archive, or nothing below `name`.
        """
        prefix = name.rstrip("/") + "/"
        members = [n for n in self.archive.names() if n.startswith(prefix)]
        if not members:
            raise ArchiveFileNotFoundError(f"The archive {self.archive_path} has no folder '{name}'.")
        folder = Path(dest_dir) if dest_dir else self._temporary_folder()
        self.archive.extract(members, folder)
        return str(folder / name)

    def add_archive_file(self, path: str) -> None:
        """Add a file under its name relative to `log_dir`; `'__mltk_model_spec__'` adds the specification."""
        if path == "__mltk_model_spec__":
            self.archive.update(self.specification_member())
            return
        file = Path(path)
        log_dir = Path(self.log_dir)
        name = file.relative_to(log_dir).as_posix() if file.is_relative_to(log_dir) else file.name
        self.archive.update({name: file})

    def add_archive_dir(self, base_dir: str, create_new: bool = False, recursive: bool = False) -> None:
        """Add the files of a folder below `log_dir`, in place of what the archive had of it.

        Args:
            base_dir: The folder, absolute or relative to `log_dir`.
            create_new: Start a new archive.
            recursive: Also files in sub-folders.
        """
        log_dir = Path(self.log_dir)
        folder = log_dir / base_dir
        prefix = folder.relative_to(log_dir).as_posix()
        prefix = "" if prefix == "." else prefix + "/"
        self.archive.update(
            {prefix + name: path for name, path in files_of(folder, recursive)},
            remove=[""] if create_new else [prefix] if prefix else [],
        )

    def specification_member(self) -> dict[str, bytes]:
        """Return the archive member that holds the specification."""
        path = Path(self.model_specification_path)
        if not self.model_specification_path or not path.is_file():
            return {}
        text = original_specification(path.read_text(encoding="utf-8"))
        return {f"{self.name}.py": archived_specification(text, __version__).encode()}

    def _temporary_folder(self) -> Path:
        return kept_temporary_folder(self)


def files_of(folder: Path, recursive: bool) -> Iterable[tuple[str, Path]]:
    """Yield the files of a folder with their relative names, sorted; names with a dot in front are left out."""
    for path in sorted(folder.rglob("*") if recursive else folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            yield path.relative_to(folder).as_posix(), path
