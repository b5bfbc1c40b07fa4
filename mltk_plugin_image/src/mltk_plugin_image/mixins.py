"""`ImageDatasetMixin`: the properties of a model whose samples are images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from mltk.data import CLASS_MODES
from mltk.errors import SpecificationError
from mltk.model.attributes import Attribute, one_of
from mltk.model.mixins.data_generator import DataGeneratorDatasetMixin
from mltk.model.model import MltkModel
from mltk_plugin_image._files import CHANNELS, INTERPOLATIONS

Datagen = TypeVar("Datagen")


def _check_datagen(value: Datagen) -> Datagen:
    if not (hasattr(value, "flow") and hasattr(value, "flow_from_directory")):
        raise SpecificationError(
            f"my_model.datagen must be a ParallelImageDataGenerator, got a {type(value).__name__}."
        )
    return value


def _check_size(value: Sequence[int]) -> tuple[int, int]:
    if len(value) < 2 or not all(isinstance(v, int) and v > 0 for v in value[:2]):
        raise SpecificationError(f"my_model.target_size must be (height, width), got {value!r}.")
    return int(value[0]), int(value[1])


class ImageDatasetMixin(DataGeneratorDatasetMixin):
    """Reads images from a folder with one folder per class, or from arrays.

    `dataset` is the folder; or a function, or a module with a function `load_data`, that returns the folder,
    `((x_train, y_train), (x_test, y_test))`, or four such arrays. The test arrays are for validation and
    evaluation; if the generator has a `validation_split`, they are for evaluation only.
    """

    samples_name = "Images"

    datagen = Attribute(
        "image.datagen",
        convert=_check_datagen,
        doc="A `ParallelImageDataGenerator`; reads the validation data too, unless the next is set.",
    )
    validation_datagen = Attribute(
        "image.validation_datagen",
        default=None,
        convert=_check_datagen,
        doc="Generator of the validation data.",
    )
    class_mode = Attribute(
        "image.class_mode",
        type=str,
        default="categorical",
        convert=one_of("class_mode", CLASS_MODES),
        doc="Content of a batch besides the images: categorical, binary, sparse, input, or None.",
    )
    image_classes = Attribute(
        MltkModel.classes.key,
        type=MltkModel.classes.type,
        convert=MltkModel.classes.convert,
        doc="The same as `classes`.",
    )
    image_input_shape = Attribute(
        MltkModel.input_shape.key,
        type=MltkModel.input_shape.type,
        lazy=True,
        doc="The same as `input_shape`: (height, width, channels).",
    )
    target_size = Attribute(
        "image.target_size",
        type=(list, tuple),
        default=None,
        convert=_check_size,
        doc="(height, width) to resize images to; by default that of `input_shape`.",
    )
    color_mode = Attribute(
        "image.color_mode",
        type=str,
        default="auto",
        convert=one_of("color_mode", ("auto", *CHANNELS)),
        doc="grayscale, rgb or rgba; auto: by the number of channels of `input_shape`, 1 or 3.",
    )
    interpolation = Attribute(
        "image.interpolation",
        type=str,
        default="bilinear",
        optional=True,
        convert=one_of("interpolation", (*INTERPOLATIONS, "none")),
        doc="Method to resize images; `None` or none: they have the size already, or a callback resizes them.",
    )
    follow_links = Attribute("image.follow_links", type=bool, default=True, doc="Follow links to folders.")
    shuffle_dataset_enabled = Attribute(
        "image.shuffle_dataset_enabled",
        type=bool,
        default=False,
        doc="Shuffle the files of each class once, and keep the order in the log folder and in the archive.",
    )


if TYPE_CHECKING:

    class ImageModel(MltkModel, ImageDatasetMixin):
        """A specification that inherits `ImageDatasetMixin`."""
else:
    ImageModel = MltkModel
