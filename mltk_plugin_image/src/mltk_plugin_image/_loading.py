"""Load the data of a model that inherits `ImageDatasetMixin`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mltk.data import GeneratorLoader, Labels, load_generator_dataset
from mltk.errors import DatasetError, SpecificationError
from mltk.plugins import AugmentationStep, LoadedDataset
from mltk_plugin_image.generator import ImageIterator, ParallelImageDataGenerator, get_class_ids
from mltk_plugin_image.mixins import ImageModel


@dataclass(frozen=True)
class _Arrays:
    """Images in memory with their labels."""

    x: np.ndarray
    y: np.ndarray | None


@dataclass(frozen=True)
class _Data:
    """The data set of a model: a folder, or arrays."""

    directory: str | None = None
    train: _Arrays | None = None
    test: _Arrays | None = None


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
        return _ImageLoader(mltk_model, _to_data(found, mltk_model.name), test, options)

    return load_generator_dataset(mltk_model, subset, test, make_loader)


def offer_steps(mltk_model: ImageModel, subset: str) -> Sequence[AugmentationStep]:
    """Return the built-in augmentation step: the answer of this plugin to `mltk_augmentations`."""
    datagen = mltk_model.get_datagen_creator(subset)()
    return datagen.built_in_steps() if isinstance(datagen, ParallelImageDataGenerator) else ()


class _ImageLoader(GeneratorLoader):
    """Makes the iterators of one load."""

    def __init__(
        self, mltk_model: ImageModel, data: _Data, test: bool, options: Mapping[str, object]
    ) -> None:
        names = mltk_model.attributes.stored.get("dataset.classes")
        if names is None and (data.directory is not None or mltk_model.class_mode not in ("input", None)):
            names = mltk_model.classes  # Raises, with advice.
        super().__init__(
            mltk_model,
            names or (),
            test,
            options,
            held_out=data.test is not None,
            folder=None if data.directory is None else Path(data.directory),
        )
        self._image_model = mltk_model
        self._data = data

    def iterator(self, subset: str, augment: bool | None = None) -> Any:  # or an iterator of Keras
        model = self._image_model
        datagen = model.get_datagen_creator(subset)()
        if not isinstance(datagen, ParallelImageDataGenerator):
            return self._make_keras_iterator(datagen, subset)
        self.prepare(datagen, subset, "image")
        if self._data.directory is None:
            return self._flow_arrays(datagen, subset, augment)
        return datagen.flow_from_directory(
            self.part_folder(subset),
            target_size=_get_target_size(model),
            color_mode=_get_color_mode(model),
            interpolation=model.interpolation or "none",
            **self.directory_arguments(subset, augment),
        )

    def _flow_arrays(
        self, datagen: ParallelImageDataGenerator, subset: str, augment: bool | None
    ) -> ImageIterator:
        arrays = self._get_arrays(subset)
        ids = _get_checked_ids(arrays, self.model.class_mode, self.classes)
        chosen = np.ones(len(arrays.x), bool)
        part = self.get_part(subset)
        if part is not None and not self._is_held_out(subset):
            chosen = _select_first(ids, lambda n: math.ceil(n * self.split))
            chosen = chosen if part == "validation" else ~chosen
        only = self.options.get("classes")
        if only:
            chosen &= np.isin(ids, [self.classes.index(name) for name in only])
        limit = datagen.max_samples_per_class
        rows = np.flatnonzero(chosen)
        if limit >= 0:
            rows = rows[_select_first(ids[rows], lambda _: limit)]
        if not len(rows):
            raise DatasetError(f"The data set of '{self.model.name}' has no sample for '{subset}'.")
        return datagen.flow_labels(
            arrays.x[rows] if len(rows) < len(arrays.x) else arrays.x,
            Labels(
                ids[rows], self.model.class_mode, len(self.classes), values=_get_soft_labels(arrays, rows)
            ),
            datagen.resolve_flow(subset=part, **self.flow_arguments(subset, augment)),
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
        if self._data.directory is None:
            arrays = self._get_arrays(subset)
            ids = _get_checked_ids(arrays, model.class_mode, self.classes)
            y = Labels(ids, model.class_mode, len(self.classes)).batch(np.arange(len(ids)), arrays.x)
            iterator = datagen.flow(arrays.x, *y, **common, ignore_class_split=True)
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

    def _get_arrays(self, subset: str) -> _Arrays:
        arrays = self._data.test if self._is_held_out(subset) else self._data.train
        assert arrays is not None
        return _Arrays(_check_images(arrays.x, self._image_model), arrays.y)

    def _is_held_out(self, subset: str) -> bool:
        """Return whether a subset is the second of two pairs of arrays."""
        return self._data.test is not None and (
            subset == "evaluation" or (subset == "validation" and self.split == 0)
        )


def _to_data(found: object, name: str) -> _Data:
    """Return the folder or the arrays that the data set of the model `name` is."""
    if isinstance(found, Path):
        return _Data(directory=str(found))
    if isinstance(found, tuple | list):
        if len(found) == 2 and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in found):
            return _Data(train=_make_arrays(*found[0]), test=_make_arrays(*found[1]))
        if len(found) == 4:
            a, b, c, d = found
            images_first = np.ndim(b) >= 3
            return _Data(
                train=_make_arrays(a, c if images_first else b),
                test=_make_arrays(b if images_first else c, d),
            )
        if len(found) == 2:
            return _Data(train=_make_arrays(*found))
    raise DatasetError(
        f"The data set of '{name}' is of type {type(found).__name__}; it must be a folder, "
        f"((x_train, y_train), (x_test, y_test)), or four arrays."
    )


def _make_arrays(x: ArrayLike, y: ArrayLike | None) -> _Arrays:
    images, labels = np.asarray(x), None if y is None else np.asarray(y)
    if labels is not None and len(images) != len(labels):
        raise DatasetError(f"The data set has {len(images)} images but {len(labels)} labels.")
    return _Arrays(images, labels)


def _check_images(x: np.ndarray, mltk_model: ImageModel) -> np.ndarray:
    wanted = tuple(mltk_model.input_shape)
    if x.ndim == 3:
        x = x[:, :, :, None]
    if x.shape[1:] != wanted:
        raise DatasetError(
            f"The images of the data set have the shape {x.shape[1:]}, but my_model.input_shape is {wanted}."
        )
    return x


def _get_checked_ids(arrays: _Arrays, class_mode: str | None, classes: Sequence[str]) -> np.ndarray:
    if arrays.y is None:
        if class_mode in ("input", None):
            return np.full(len(arrays.x), -1, np.int64)
        raise DatasetError(f"The data set has no labels, which my_model.class_mode = '{class_mode}' needs.")
    ids = get_class_ids(arrays.y)
    if class_mode in ("input", None):
        return ids
    wide = arrays.y.shape[1] if arrays.y.ndim == 2 and arrays.y.shape[1] > 1 else None
    if wide not in (None, len(classes)) or ids.min(initial=0) < 0 or ids.max(initial=0) >= len(classes):
        found = f"rows of {wide} values" if wide else f"values from {arrays.y.min()} to {arrays.y.max()}"
        raise DatasetError(
            f"The labels of the data set are {found}, but my_model.classes names {len(classes)} classes."
        )
    return ids


def _get_soft_labels(arrays: _Arrays, rows: np.ndarray) -> np.ndarray | None:
    """Return labels that are shares of classes, which class ids cannot express; else `None`."""
    y = arrays.y
    if y is None or y.ndim != 2 or y.shape[1] < 2 or bool(np.isin(y, (0, 1)).all()):
        return None
    return np.asarray(y[rows])


def _select_first(ids: np.ndarray, count: Callable[[int], int]) -> np.ndarray:
    """Return a mask of the first `count(n)` of the `n` samples of each class."""
    mask = np.zeros(len(ids), bool)
    for class_id in np.unique(ids):
        rows = np.flatnonzero(ids == class_id)
        mask[rows[: count(len(rows))]] = True
    return mask


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
