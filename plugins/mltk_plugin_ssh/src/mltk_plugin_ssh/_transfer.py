"""Select the files to send, and put received files in place."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath, PurePosixPath
from typing import IO

from mltk.errors import FileFormatError, SpecificationError
from mltk.utils.files import atomic_path
from mltk.utils.model_archive import ModelArchive

_CHUNK = 1 << 20
_CODE = (".py", ".pyc", ".pyd", ".pyw", ".pth", ".so", ".dll", ".dylib", ".sh", ".ipynb")


@dataclass(frozen=True)
class Upload:
    """Files to send."""

    work: Mapping[str, Path]
    """Files by their path in the model's folder on the other machine."""
    elsewhere: Mapping[str, Path]
    """Files by any other path on the other machine: absolute, or in the home folder (`~/`)."""

    @property
    def size(self) -> int:
        """Total size in bytes."""
        return sum(path.stat().st_size for path in (*self.work.values(), *self.elsewhere.values()))


def find_uploads(script: Path, patterns: Iterable[str], archive: Path | None) -> Upload:
    """Return the specification, the modules it imported from its folder, the files of the patterns, and the archive.

    Args:
        script: The specification, loaded.
        patterns: `ssh_upload_files`: paths and patterns relative to the specification's folder, or `here|there`.
        archive: The model's archive.

    Raises:
        SpecificationError: A pattern matches nothing, or leaves the folder.
    """
    folder = script.parent
    work = {path.relative_to(folder).as_posix(): path for path in (script, *_modules_beside(script))}
    if archive is not None:
        work[archive.name] = archive
    elsewhere = {}
    for pattern in patterns:
        here, separator, there = pattern.partition("|")
        if separator:
            path = folder / Path(here).expanduser()
            if not path.is_file():
                raise SpecificationError(f"ssh_upload_files names '{here}', but there is no file {path}.")
            if there.startswith(("/", "~/")):
                elsewhere[there] = path
            else:
                work[_relative(there, "ssh_upload_files")] = path
            continue
        found = [path for path in folder.glob(_relative(pattern, "ssh_upload_files")) if path.is_file()]
        if not found:
            raise SpecificationError(f"ssh_upload_files names '{pattern}', but no file in {folder} matches.")
        work |= {path.relative_to(folder).as_posix(): path for path in found}
    return Upload(work, elsewhere)


def check_downloads(patterns: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Split `ssh_download_files` into patterns, and a mapping from remote paths to local paths.

    Raises:
        SpecificationError: A pattern leaves the folder.
    """
    plain, pairs = [], {}
    for pattern in patterns:
        there, separator, here = pattern.partition("|")
        if separator:
            pairs[there] = here
        else:
            plain.append(_relative(pattern, "ssh_download_files"))
    return plain, pairs


def _relative(pattern: str, where: str) -> str:
    path = PurePosixPath(pattern)
    if not pattern or path.is_absolute() or pattern.startswith("~") or ".." in path.parts:
        raise SpecificationError(
            f"{where} names '{pattern}', which is outside the specification's folder. "
            f"Write 'from|to' for other places."
        )
    return path.as_posix()


def _modules_beside(script: Path) -> Iterator[Path]:
    """Yield the files of the loaded modules and packages that lie in the specification's own folder."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        path = Path(file).resolve() if file else None
        if path is None or path == script or not path.is_relative_to(script.parent):
            continue
        # Skip packages that are installed in a virtual environment below the folder.
        top = script.parent / name.partition(".")[0]
        if path == top.with_suffix(".py") or ((top / "__init__.py").is_file() and path.is_relative_to(top)):
            yield path


def write_tar(stream: IO[bytes], files: Mapping[str, Path], texts: Mapping[str, str]) -> None:
    """Write a tar archive of files and texts by their names in it."""
    with tarfile.open(fileobj=stream, mode="w|", dereference=True) as archive:
        for name, text in texts.items():
            info = tarfile.TarInfo(name)
            content = text.encode()
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, path in files.items():
            info = archive.gettarinfo(path, name)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            with path.open("rb") as file:
                archive.addfile(info, file)


def read_tar(stream: io.BufferedReader, folder: Path) -> list[Path]:
    """Extract the regular files of a tar archive below a folder.

    Returns:
        Their paths relative to the folder; empty if the stream is empty.

    Raises:
        FileFormatError: The archive is damaged, or a name is outside the folder.
    """
    paths = []
    if not stream.peek(1):
        return []
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if not member.isreg():
                    continue
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise FileFormatError(
                        f"The received archive has a file with an unsafe name: {member.name!r}."
                    )
                content = archive.extractfile(member)
                assert content is not None
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file, _CHUNK)
                os.utime(target, (member.mtime, member.mtime))
                paths.append(Path(name))
    except tarfile.TarError as e:
        raise FileFormatError(f"The received archive is damaged: {e}.") from e
    return paths


def is_code(path: PurePath) -> bool:
    """Return whether a file can run when a specification beside it does, or is one."""
    return path.suffix.lower() in _CODE


def is_asked_for(path: PurePath, patterns: Iterable[str]) -> bool:
    """Return whether a received file matches one of the patterns that were asked for.

    A pattern that names a folder stands for everything in it. Code must be named in full, without a wildcard.

    Args:
        path: The file, relative to the model's folder.
        patterns: Patterns of bash, with `**` for any folders.
    """
    if is_code(path):
        return path.as_posix() in patterns
    return any(_matches(path.parts, PurePosixPath(pattern).parts) for pattern in patterns)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return True
    if pattern[0] == "**":
        # Hidden folders are not entered.
        ends = (n for n in range(len(parts) + 1) if not any(p.startswith(".") for p in parts[:n]))
        return any(_matches(parts[n:], pattern[1:]) for n in ends)
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def replace_entries(folder: Path, entries: Path, old: Path) -> None:
    """Move each file and folder in `entries` to `folder`, replacing entries of the same name.

    Code is not moved. A folder with code here stays, and gets the files.

    Args:
        folder: The target folder.
        entries: A folder on the same file system.
        old: Another one, for the replaced entries.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for entry in sorted(entries.iterdir()):
        target = folder / entry.name
        files = [path for path in (entry, *entry.rglob("*")) if path.is_file()]
        if any(map(is_code, files)) or any(map(is_code, target.rglob("*"))):
            for path in files:
                moved = folder / path.relative_to(entries)
                if not is_code(path):
                    moved.parent.mkdir(parents=True, exist_ok=True)
                    path.replace(moved)
            continue
        if target.exists():
            target.rename(old / entry.name)
        entry.rename(target)


def save_stream(stream: IO[bytes], path: Path) -> None:
    """Write a stream to a file atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(stream, file, _CHUNK)


def holds_specification(path: Path, script: Path) -> bool:
    """Return whether the specification in an archive is the script, but for the line with the version of mltk."""

    def lines(text: bytes) -> list[bytes]:
        return [line for line in text.splitlines() if line and not line.startswith(b"__mltk_version__")]

    return lines(ModelArchive(path).read(script.name)) == lines(script.read_bytes())


def check_archive(path: Path, members: Sequence[str]) -> None:
    """Check that a model archive is complete and readable.

    Raises:
        FileFormatError: The archive is damaged or lacks one of the members.
    """
    archive = ModelArchive(path)
    names = archive.names()
    for name in members:
        if name not in names:
            raise FileFormatError(f"The archive {path.name} that came back does not contain '{name}'.")
    for name in names:
        archive.read(name)


def describe_size(n_files: int, n_bytes: int) -> str:
    """Return e.g. `3 files (1,204.1 kB)`."""
    return f"{n_files} file{'' if n_files == 1 else 's'} ({n_bytes / 1000:,.1f} kB)"
