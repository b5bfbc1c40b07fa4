"""`ImageDatasetMixin`: the properties of a model whose samples are images."""

from __future__ import annotations

from typing import Any

from mltk.data.batches import CLASS_MODES
from mltk.errors import SpecificationError
from mltk.model.attributes import Attribute, one_of
from mltk.model.mixins.data_generator import DataGeneratorDatasetMixin
from mltk.model.model import MltkModel
from mltk_plugin_image._files import CHANNELS, INTERPOLATIONS


def _as_datagen(value: Any) -> Any:
    if not (hasattr(value, "flow") and hasattr(value, "flow_from_directory")):
        raise SpecificationError(
            f"my_model.datagen must be a ParallelImageDataGenerator, not of type {type(value).__name__}."
        )
    return value


def _as_size(value: Any) -> tuple[int, int]:
    if len(value) < 2 or not all(isinstance(v, int) and v > 0 for v in value[:2]):
        raise SpecificationError(f"my_model.target_size must be (height, width), not {value!r}.")
    return int(value[0]), int(value[1])


class ImageDatasetMixin(DataGeneratorDatasetMixin):
    """Reads images from a folder with one folder per class, or from arrays.

    `dataset` is the folder; or a function, or a module with a function `load_data`, that returns the folder,
    `((x_train, y_train), (x_test, y_test))`, or four such arrays. The test arrays are for validation and
    evaluation; where the generator has a `validation_split`, they are for evaluation only.
    """

    datagen = Attribute(
        "image.datagen",
        convert=_as_datagen,
        doc="A `ParallelImageDataGenerator`; reads the validation data too, unless the next is set.",
    )
    validation_datagen = Attribute(
        "image.validation_datagen", default=None, convert=_as_datagen, doc="Generator of the validation data."
    )
    class_mode = Attribute(
        "image.class_mode",
        type=str,
        default="categorical",
        convert=one_of("class_mode", CLASS_MODES),
        doc="What batches hold besides images: categorical, binary, sparse, input, or None.",
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
        convert=_as_size,
        doc="(height, width) to which images are resized; by default that of `input_shape`.",
    )
    color_mode = Attribute(
        "image.color_mode",
        type=str,
        default="auto",
        convert=one_of("color_mode", ("auto", *CHANNELS)),
        doc="grayscale, rgb or rgba; auto: by the channels of `input_shape`, 1 or 3.",
    )
    interpolation = Attribute(
        "image.interpolation",
        type=str,
        default="bilinear",
        optional=True,
        convert=one_of("interpolation", (*INTERPOLATIONS, "none")),
        doc="How images are resized; `None`, like none: they have the size, or a callback brings them to it.",
    )
    follow_links = Attribute("image.follow_links", type=bool, default=True, doc="Follow links to folders.")
    shuffle_dataset_enabled = Attribute(
        "image.shuffle_dataset_enabled",
        type=bool,
        default=False,
        doc="Draw an order of each class's files once, and keep it in the log folder and in the archive.",
    )

    def summarize_dataset(self: Any) -> str:
        """Return the samples per class, and the settings of the generator that differ from the defaults."""
        from mltk.data.generator_loading import describe_subsets

        parts = [DataGeneratorDatasetMixin.summarize_dataset(self), describe_subsets(self, "Images")]
        return "\n\n".join(part for part in parts if part)
