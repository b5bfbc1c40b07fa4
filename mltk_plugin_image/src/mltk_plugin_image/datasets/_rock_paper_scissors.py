"""Download and list the two versions of the data set."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from mltk.data import list_valid_filenames_in_directory as list_class_folder
from mltk.utils.archive_downloader import download_verify_extract, mirrored_url

_OTHER_SPELLING = {"scissor": "scissors", "scissors": "scissor"}


def load_data(
    url: str,
    sha256: str,
    dest_dir: str | os.PathLike[str] | None,
    dest_subdir: str,
    logger: logging.Logger | None,
    clean_dest_dir: bool,
) -> str:
    """Download and extract the archive, if it is missing, and return the folder."""
    return download_verify_extract(
        mirrored_url(url, "rock_paper_scissors"),
        dest_dir=dest_dir,
        dest_subdir=dest_subdir,
        file_hash=sha256,
        show_progress=True,
        remove_root_dir=True,
        logger=logger,
        clean_dest_dir=clean_dest_dir,
    )


def list_valid_filenames_in_directory(
    base_directory: str | os.PathLike[str],
    search_class: str,
    white_list_formats: Iterable[str] | None = None,
    split: tuple[float, float] | None = None,
    follow_links: bool = False,
    shuffle_index_directory: str | os.PathLike[str] | None = None,
) -> tuple[str, list[str]]:
    """List the images of one class; `scissor` and `scissors` are the same class.

    For the arguments see `mltk.data.list_valid_filenames_in_directory`.
    """
    other = _OTHER_SPELLING.get(search_class)
    folder = search_class
    if other and not Path(base_directory, search_class).is_dir() and Path(base_directory, other).is_dir():
        folder = other
    _, paths = list_class_folder(
        base_directory, folder, white_list_formats, split, follow_links, shuffle_index_directory
    )
    return search_class, paths
