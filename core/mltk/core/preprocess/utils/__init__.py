"""Listing, splitting and normalising samples; plugins add `image`, `audio` and `tf_dataset`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mltk._namespace import lazy_names

if TYPE_CHECKING:
    from mltk.core.preprocess.utils.listing import list_dataset_directory as list_dataset_directory
    from mltk.core.preprocess.utils.listing import (
        list_valid_filenames_in_directory as list_valid_filenames_in_directory,
    )
    from mltk.core.preprocess.utils.listing import shuffle_file_list_by_group as shuffle_file_list_by_group
    from mltk.core.preprocess.utils.listing import split_file_list as split_file_list
    from mltk.core.preprocess.utils.normalize import normalize as normalize

_LISTING = "mltk.core.preprocess.utils.listing"

_NAMES = {
    "list_dataset_directory": _LISTING,
    "list_valid_filenames_in_directory": _LISTING,
    "normalize": "mltk.core.preprocess.utils.normalize",
    "shuffle_file_list_by_group": _LISTING,
    "split_file_list": _LISTING,
}

__all__ = [*_NAMES]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
