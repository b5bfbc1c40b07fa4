"""The plugin `image`: loads the data of models that inherit `ImageDatasetMixin`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

from mltk.plugins import (
    AugmentationStep,
    LoadedDataset,
    Parameter,
    Subset,
    Template,
    hookimpl,
    import_on_call,
)

if TYPE_CHECKING:
    from mltk.model.model import MltkModel
    from mltk_plugin_image.mixins import ImageModel

mltk_api_version = 1


@hookimpl
def mltk_templates() -> list[Template]:
    """Offer the kinds of specifications that `mltk new` can write for images."""
    draft = import_on_call("mltk_plugin_image.templates:draft_classifier")
    return [Template("image", "Classifier of images in a folder for each class.", draft)]


@hookimpl
def mltk_load_dataset(
    mltk_model: MltkModel, subset: Subset, test: bool, options: Mapping[str, object]
) -> LoadedDataset | None:
    """Load a folder of images, or arrays of images."""
    if not _is_image_model(mltk_model):
        return None
    from mltk_plugin_image._loading import load_images

    return load_images(mltk_model, subset, test, options)


@hookimpl
def mltk_augmentations(
    mltk_model: MltkModel, subset: Subset, domain: str
) -> Sequence[AugmentationStep] | None:
    """Offer the random transforms of the data generator."""
    if domain != "image" or not _is_image_model(mltk_model):
        return None
    from mltk_plugin_image._loading import offer_steps

    return offer_steps(mltk_model, subset)


@hookimpl
def mltk_model_parameters(mltk_model: MltkModel) -> Mapping[str, Parameter] | None:
    """Tell the device how to normalize samples."""
    if not _is_image_model(mltk_model):
        return None
    from mltk.data import normalization_parameters

    datagen = mltk_model.attributes.stored.get("image.datagen")
    return None if datagen is None else normalization_parameters(datagen)


def _is_image_model(mltk_model: MltkModel) -> TypeGuard[ImageModel]:
    # A model that inherits the mixin has imported its module. Importing it for other models would take time.
    mixins = sys.modules.get("mltk_plugin_image.mixins")
    return mixins is not None and isinstance(mltk_model, mixins.ImageDatasetMixin)
