"""What the data sets that are downloaded have in common."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mltk.utils.archive_downloader import download_url, download_verify_extract, mirrored_url
from mltk.utils.folders import write_folder_once
from mltk.utils.path import fullpath
from mltk_plugin_audio._files import FILE_FORMATS, as_float, read_recording, resampled
from mltk_plugin_audio.utils import write_audio_file

__all__ = ["SyntheticWords", "download", "download_and_extract", "download_archive", "resampled_copy"]


@dataclass(frozen=True)
class SyntheticWords:
    """Downloads one of the archives of synthetic words."""

    name: str
    """Name of the data set on a mirror, and of its folder in mltk's own."""
    url: str
    sha1: str

    def __call__(
        self,
        dest_dir: str | os.PathLike[str] | None = None,
        dest_subdir: str | None = None,
        logger: logging.Logger | None = None,
        clean_dest_dir: bool = True,
    ) -> str:
        """Download and extract the data set, unless that was done before.

        Args:
            dest_dir: A new or empty folder; `None` means `dest_subdir` in mltk's own folder.
            dest_subdir: Path below mltk's own folder; `None` means `datasets/<name>`.
            logger: Where to report; `None` means mltk's own.
            clean_dest_dir: Replace what was extracted there before; else add to it.

        Returns:
            The folder with one folder of recordings per class.
        """
        return download_archive(
            self.name,
            self.url,
            self.sha1,
            dest_dir,
            dest_subdir or f"datasets/{self.name}",
            clean_dest_dir=clean_dest_dir,
            logger=logger,
        )


def download_archive(
    dataset: str,
    url: str,
    file_hash: str,
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str | None = None,
    *,
    archive_fname: str | None = None,
    remove_root_dir: bool = False,
    clean_dest_dir: bool = True,
    logger: logging.Logger | None = None,
) -> str:
    """Download and extract an archive, unless that was done before.

    Args:
        dataset: Name of the data set on a mirror.
        url: Address of the archive.
        file_hash: Its checksum.
        dest_dir: Folder to extract to; `None` means `dest_subdir` in mltk's own folder.
        dest_subdir: Path below mltk's own folder.
        archive_fname: Name of the downloaded file; `None` means its name in `url`.
        remove_root_dir: If everything in the archive is in one folder, extract its content instead of it.
        clean_dest_dir: Replace what was extracted there before; else add to it.
        logger: Where to report; `None` means mltk's own.

    Returns:
        The folder.

    Raises:
        DownloadError: The address cannot be reached, or the checksum differs.
    """
    return download_verify_extract(
        mirrored_url(url, dataset),
        dest_dir=dest_dir,
        dest_subdir=None if dest_dir else dest_subdir,
        archive_fname=archive_fname,
        file_hash=file_hash.lower(),
        show_progress=True,
        remove_root_dir=remove_root_dir,
        clean_dest_dir=clean_dest_dir,
        logger=logger,
    )


def download(
    dest_dir: str | os.PathLike[str],
    urls: str | Sequence[str],
    sample_rate_hertz: int = 16000,
    logger: logging.Logger | None = None,
) -> list[str]:
    """Download single recordings and bring them to a sample rate; return their paths.

    No checksum is known of them, so the log says for each that it is not verified.

    Args:
        dest_dir: Folder to write into.
        urls: Addresses.
        sample_rate_hertz: Wanted rate.
        logger: Where to report; `None` means mltk's own.
    """
    folder = Path(fullpath(dest_dir))
    paths: list[str] = []
    for url in [urls] if isinstance(urls, str) else urls:
        name = url.rpartition("/")[2]
        original = download_url(url, folder / "original" / name, logger=logger)
        target = folder / name
        if not target.exists():
            _write_resampled(Path(original), target, sample_rate_hertz)
        paths.append(target.as_posix())
    return paths


def download_and_extract(
    dest_dir: str | os.PathLike[str],
    urls: str | tuple[str, str] | Sequence[str | tuple[str, str]],
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = False,
) -> list[str]:
    """Download archives and extract each into one folder; return that folder once for each of them.

    Args:
        dest_dir: The folder.
        urls: Addresses, or tuples `(address, checksum)`.
        logger: Where to report; `None` means mltk's own.
        clean_dest_dir: Replace what the folder had before; else add to it.
    """
    given = [urls] if isinstance(urls, str | tuple) else urls
    folders: list[str] = []
    for entry in given:
        url, file_hash = (entry, None) if isinstance(entry, str) else entry
        folders.append(
            download_verify_extract(
                url,
                dest_dir=dest_dir,
                file_hash=file_hash and file_hash.lower(),
                clean_dest_dir=clean_dest_dir and not folders,
                logger=logger,
            )
        )
    return folders


def resampled_copy(source: str | os.PathLike[str], target: str | os.PathLike[str], rate: int) -> str:
    """Write the recordings of a folder as WAV at another rate into a new folder, once; return it."""
    files = [p for p in sorted(Path(source).iterdir()) if p.suffix.lower() in FILE_FORMATS]

    def write(folder: Path) -> None:
        for path in files:
            _write_resampled(path, folder / f"{path.stem}.wav", rate)

    content = {"source": str(source), "rate": rate, "recordings": len(files)}
    return write_folder_once(target, content, write)


def _write_resampled(source: Path, target: Path, rate: int) -> None:
    samples, original_rate = read_recording(source)
    write_audio_file(str(target), resampled(as_float(samples), original_rate, rate), rate)
