"""Download, extraction and resampling for the audio data sets."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mltk.utils.archive_downloader import download_url, download_verify_extract, mirrored_url
from mltk.utils.folders import write_folder_once
from mltk.utils.path import fullpath
from mltk_plugin_audio._files import read_recording
from mltk_plugin_audio._noise_and_rooms import list_recordings
from mltk_plugin_audio._signal import resample, to_float
from mltk_plugin_audio.utils import write_audio_file

__all__ = ["SyntheticWords", "download", "download_and_extract", "download_archive", "resample_folder"]


@dataclass(frozen=True)
class SyntheticWords:
    """Function that downloads one archive of synthetic words."""

    name: str
    """Name of the data set on a mirror, and of its folder in mltk's cache folder."""
    url: str
    sha1: str

    def __call__(
        self,
        dest_dir: str | os.PathLike[str] | None = None,
        dest_subdir: str | None = None,
        logger: logging.Logger | None = None,
        clean_dest_dir: bool = True,
    ) -> str:
        """Download and extract the data set, unless already done.

        Args:
            dest_dir: New or empty folder; `None` means `dest_subdir` in mltk's cache folder.
            dest_subdir: Path in mltk's cache folder; `None` means `datasets/<name>`.
            logger: Logger for progress; `None` means the logger of mltk.
            clean_dest_dir: Replace previously extracted files instead of adding to them.

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
    """Download and extract an archive, unless already done.

    Args:
        dataset: Name of the data set on a mirror.
        url: Address of the archive.
        file_hash: Checksum of the archive.
        dest_dir: Folder to extract to; `None` means `dest_subdir` in mltk's cache folder.
        dest_subdir: Path in mltk's cache folder.
        archive_fname: Name of the downloaded file; `None` means that of `url`.
        remove_root_dir: If the archive contains a single folder, extract only the content of that folder.
        clean_dest_dir: Replace previously extracted files instead of adding to them.
        logger: Logger for progress; `None` means the logger of mltk.

    Returns:
        The folder.

    Raises:
        DownloadError: The address cannot be reached, or the checksum is wrong.
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
    """Download single recordings, resample them, and return their paths.

    Their checksums are unknown, so the log reports each as not verified.

    Args:
        dest_dir: Folder to write into.
        urls: Addresses of the recordings.
        sample_rate_hertz: Sample rate of the result.
        logger: Logger for progress; `None` means the logger of mltk.
    """
    folder = Path(fullpath(dest_dir))
    paths: list[str] = []
    for url in [urls] if isinstance(urls, str) else urls:
        name = url.rpartition("/")[2]
        original = download_url(url, folder / "original" / name, logger=logger)
        target = folder / name
        if not target.exists():
            _resample_file(Path(original), target, sample_rate_hertz)
        paths.append(target.as_posix())
    return paths


def download_and_extract(
    dest_dir: str | os.PathLike[str],
    urls: str | tuple[str, str] | Sequence[str | tuple[str, str]],
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = False,
) -> list[str]:
    """Download archives and extract all of them into one folder; return the folder once per archive.

    Args:
        dest_dir: Folder to extract to.
        urls: Addresses, or tuples of address and checksum.
        logger: Logger for progress; `None` means the logger of mltk.
        clean_dest_dir: Replace the content of the folder instead of adding to it.
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


def resample_folder(source: str | os.PathLike[str], target: str | os.PathLike[str], rate: int) -> str:
    """Resample the recordings of a folder to WAV files in a new folder, unless already done, and return it."""
    files = list_recordings(Path(source))

    def write(folder: Path) -> None:
        for path in files:
            _resample_file(path, folder / f"{path.stem}.wav", rate)

    content = {"source": str(source), "rate": rate, "recordings": len(files)}
    return write_folder_once(target, content, write)


def _resample_file(source: Path, target: Path, rate: int) -> None:
    samples, original_rate = read_recording(source)
    write_audio_file(str(target), resample(to_float(samples), original_rate, rate), rate)
