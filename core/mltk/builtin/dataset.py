"""Load data with a function, or with a module or object that has `load_dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mltk.plugins import hookimpl

if TYPE_CHECKING:
    from mltk.model.model import MltkModel
    from mltk.plugins.types import LoadedDataset, Subset


@hookimpl(trylast=True)
def mltk_load_dataset(
    mltk_model: MltkModel, subset: Subset, test: bool, options: Mapping[str, object]
) -> LoadedDataset | None:
    """Call the loader of `my_model.dataset`."""
    from mltk.model.mixins.dataset import load_generic_dataset

    return load_generic_dataset(mltk_model, subset, test, options)
