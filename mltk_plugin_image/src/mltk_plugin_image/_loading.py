"""Load the data of a model that inherits `ImageDatasetMixin`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mltk.data import ArrayParts, GeneratorLoader, Labels, load_generator_dataset
from mltk.errors import DatasetError, SpecificationError
from mltk.plugins import AugmentationStep, LoadedDataset
from mltk_plugin_image.generator import ImageIterator, ParallelImageDataGenerator
from mltk_plugin_image.mixins import ImageModel


def load_images(
    mltk_model: ImageModel, subset: str, test: bool, options: Mapping[str, object]
) -> LoadedDataset | None:
    """Load a subset: the answer of this plugin to `mltk_load_dataset`.

    Returns:
        `None` if `my_model.dataset` has its own `load_dataset`, or is not set.

    Raises:
        DatasetError: The data is missing or not usable.
        SpecificationError: A property of the model is missing or does not fit the data.
    """

    def make_loader(found: object) -> _ImageLoader:
        data = found if isinstance(found, Path) else ArrayParts.of(found, mltk_model.name)
        return _ImageLoader(mltk_model, data, test, options)

    return load_generator_dataset(mltk_model, subset, test, make_loader)


def offer_steps(mltk_model: ImageModel, subset: str) -> Sequence[AugmentationStep]:
    """Return the built-in augmentation step: the answer of this plugin to `mltk_augmentations`."""
    datagen = mltk_model.get_datagen_creator(subset)()
    return datagen.built_in_steps() if isinstance(datagen, ParallelImageDataGenerator) else ()


class _ImageLoader(GeneratorLoader):
    """Makes the iterators of one load."""

    def __init__(
        self, mltk_model: ImageModel, data: Path | ArrayParts, test: bool, options: Mapping[str, object]
    ) -> None:
        names = mltk_model.attributes.stored.get("dataset.classes")
        if names is None and (isinstance(data, Path) or mltk_model.class_mode not in ("input", None)):
            names = mltk_model.classes  # Raises, with advice.
        super().__init__(
            mltk_model,
            names or (),
            test,
            options,
            held_out=isinstance(data, ArrayParts) and data.test is not None,
            folder=data if isinstance(data, Path) else None,
        )
        self._image_model = mltk_model
        self._arrays = data if isinstance(data, ArrayParts) else None

    def iterator(self, subset: str, augment: bool | None = None) -> Any:  # or an iterator of Keras
        model = self._image_model
        datagen = model.get_datagen_creator(subset)()
        if not isinstance(datagen, ParallelImageDataGenerator):
            return self._make_keras_iterator(datagen, subset)
        self.prepare(datagen, subset, "image")
        if self._arrays is not None:
            return self._flow_arrays(self._arrays, datagen, subset, augment)
        return datagen.flow_from_directory(
            self.part_folder(subset),
            target_size=_get_target_size(model),
            color_mode=_get_color_mode(model),
            interpolation=model.interpolation or "none",
            **self.directory_arguments(subset, augment),
        )

    def _flow_arrays(
        self, arrays: ArrayParts, datagen: ParallelImageDataGenerator, subset: str, augment: bool | None
    ) -> ImageIterator:
        x, labels = arrays.select(self, subset, datagen.max_samples_per_class)
        return datagen.flow_labels(
            _check_images(x, self._image_model),
            labels,
            datagen.resolve_flow(subset=self.get_part(subset), **self.flow_arguments(subset, augment)),
            self.classes,
        )

    def _make_keras_iterator(self, datagen: Any, subset: str) -> Any:
        """Return an iterator of Keras' own generator, which draws from NumPy's global generator."""
        model = self._image_model
        common = {
            "batch_size": getattr(model, "batch_size", 32),
            "shuffle": subset != "evaluation",
            "seed": model.seed,
            "subset": self.get_part(subset),
        }
        if self._arrays is not None:
            arrays = self._arrays.of_subset(subset, self.split)
            images = _check_images(arrays.x, model)
            ids = arrays.check_ids(model.class_mode, self.classes)
            y = Labels(ids, model.class_mode, len(self.classes)).batch(np.arange(len(ids)), images)
            iterator = datagen.flow(images, *y, **common, ignore_class_split=True)
            iterator.classes = ids
            return iterator
        return datagen.flow_from_directory(
            self.part_folder(subset),
            target_size=_get_target_size(model),
            color_mode=_get_color_mode(model),
            classes=self.classes,
            class_mode=model.class_mode,
            follow_links=model.follow_links,
            interpolation=model.interpolation or "nearest",
            **common,
        )


def _check_images(x: np.ndarray, mltk_model: ImageModel) -> np.ndarray:
    wanted = tuple(mltk_model.input_shape)
    if x.ndim == 3:
        x = x[:, :, :, None]
    if x.shape[1:] != wanted:
        raise DatasetError(
            f"The images of the data set have the shape {x.shape[1:]}, but my_model.input_shape is {wanted}."
        )
    return x


def _get_target_size(mltk_model: ImageModel) -> tuple[int, int]:
    if mltk_model.target_size is not None:
        height, width = mltk_model.target_size
        return height, width
    height, width, _ = _get_input_shape(mltk_model)
    return height, width


def _get_color_mode(mltk_model: ImageModel) -> str:
    if mltk_model.color_mode != "auto":
        return str(mltk_model.color_mode)
    channels = _get_input_shape(mltk_model)[2]
    modes = {1: "grayscale", 3: "rgb"}
    if channels not in modes:
        raise SpecificationError(
            f"my_model.input_shape has {channels} channels, so my_model.color_mode cannot be 'auto': "
            f"set it, e.g. to 'rgba'."
        )
    return modes[channels]


def _get_input_shape(mltk_model: ImageModel) -> tuple[int, int, int]:
    shape = tuple(mltk_model.input_shape)
    if len(shape) != 3:
        raise SpecificationError(f"my_model.input_shape must be (height, width, channels), got {shape}.")
    return shape
