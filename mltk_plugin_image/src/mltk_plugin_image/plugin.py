"""The plugin `image`: loads the data of models that inherit `ImageDatasetMixin`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mltk.plugins import LoadedDataset, Parameter, Subset, hookimpl

if TYPE_CHECKING:
    from mltk.model.model import MltkModel

mltk_api_version = 1


@hookimpl
def mltk_load_dataset(
    mltk_model: MltkModel, subset: Subset, test: bool, options: Mapping[str, Any]
) -> LoadedDataset | None:
    """Load a folder of images, or arrays of images."""
    if not _has_images(mltk_model):
        return None
    from mltk_plugin_image._loading import load_images

    return load_images(mltk_model, subset, test, options)


@hookimpl
def mltk_model_parameters(mltk_model: MltkModel) -> Mapping[str, Parameter] | None:
    """Tell the device how samples are normalised."""
    if not _has_images(mltk_model):
        return None
    from mltk.data.generator_loading import normalization_parameters

    datagen = mltk_model.attributes.stored.get("image.datagen")
    return None if datagen is None else normalization_parameters(datagen)


def _has_images(mltk_model: MltkModel) -> bool:
    # A model that inherits the mixin has imported it; importing it for every other model would take time.
    mixins = sys.modules.get("mltk_plugin_image.mixins")
    return mixins is not None and isinstance(mltk_model, mixins.ImageDatasetMixin)
