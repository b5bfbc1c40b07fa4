"""Load the data of a model that inherits `ImageDatasetMixin`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mltk.data.batches import Labels
from mltk.data.generator_loading import GeneratorLoader, resolve_data
from mltk.errors import DatasetError, SpecificationError
from mltk.plugins import LoadedDataset
from mltk_plugin_image.generator import ImageIterator, ParallelImageDataGenerator, class_ids


@dataclass(frozen=True)
class _Arrays:
    """Images in memory with their labels."""

    x: np.ndarray
    y: np.ndarray | None


@dataclass(frozen=True)
class _Data:
    """What the data set of a model turned out to be: a folder, or arrays."""

    directory: str | None = None
    train: _Arrays | None = None
    test: _Arrays | None = None


def load_images(mltk_model: Any, subset: str, test: bool, options: Mapping[str, Any]) -> LoadedDataset | None:
    """Load a subset; the answer of this plugin to `mltk_load_dataset`.

    Returns:
        `None` when `my_model.dataset` has a `load_dataset` of its own, or is not set.

    Raises:
        DatasetError: The data is missing or not usable.
        SpecificationError: A property of the model is missing or does not fit the data.
    """
    dataset = mltk_model.dataset
    if dataset is None or hasattr(dataset, "load_dataset"):
        return None
    # Which order of the files holds depends on it, see `get_shuffle_index_dir`.
    mltk_model.loaded_subset = subset
    data = _resolve(mltk_model, subset, test)
    return LoadedDataset() if data is None else _Loader(mltk_model, data, test, options).load(subset)


class _Loader(GeneratorLoader):
    """Makes the iterators of one load."""

    def __init__(self, mltk_model: Any, data: _Data, test: bool, options: Mapping[str, Any]) -> None:
        names = mltk_model.attributes.stored.get("dataset.classes")
        if names is None and (data.directory is not None or mltk_model.class_mode not in ("input", None)):
            names = mltk_model.classes  # Raises, with advice.
        super().__init__(mltk_model, list(names or ()), test, options, held_out=data.test is not None)
        self._data = data

    def iterator(self, subset: str, augment: bool | None = None) -> Any:
        datagen = self.model.get_datagen_creator(subset)()
        if not isinstance(datagen, ParallelImageDataGenerator):
            return self._of_keras(datagen, subset)
        self.prepare(datagen, subset, "image")
        common = self.iterator_arguments(subset, augment)
        if self._data.directory is not None:
            return self._of_files(datagen, subset, common)
        return self._of_arrays(datagen, subset, common)

    def _of_files(
        self, datagen: ParallelImageDataGenerator, subset: str, common: dict[str, Any]
    ) -> ImageIterator:
        model = self.model
        assert self._data.directory is not None
        return datagen.flow_from_directory(
            self._data.directory,
            target_size=_target_size(model),
            color_mode=_color_mode(model),
            classes=self.classes,
            only=self.options.get("classes"),
            class_mode=model.class_mode,
            shuffle_index_dir=model.get_shuffle_index_dir(),
            follow_links=model.follow_links,
            subset=self.part(subset),
            interpolation=model.interpolation or "none",
            list_valid_filenames_in_directory_function=getattr(
                model.dataset, "list_valid_filenames_in_directory", None
            ),
            **common,
        )

    def _of_arrays(
        self, datagen: ParallelImageDataGenerator, subset: str, common: dict[str, Any]
    ) -> ImageIterator:
        arrays = self._arrays(subset)
        ids = _checked_ids(arrays, self.model.class_mode, self.classes)
        chosen = np.ones(len(arrays.x), bool)
        part = self.part(subset)
        if part is not None and not self._is_held_out(subset):
            chosen = _first_of_each_class(ids, lambda n: math.ceil(n * self.split))
            chosen = chosen if part == "validation" else ~chosen
        only = self.options.get("classes")
        if only:
            chosen &= np.isin(ids, [self.classes.index(name) for name in only])
        limit = datagen.max_samples_per_class
        rows = np.flatnonzero(chosen)
        if limit >= 0:
            rows = rows[_first_of_each_class(ids[rows], lambda _: limit)]
        if not len(rows):
            raise DatasetError(f"The data set of '{self.model.name}' has no sample for '{subset}'.")
        return datagen._flow_labelled(
            arrays.x[rows] if len(rows) < len(arrays.x) else arrays.x,
            Labels(ids[rows], self.model.class_mode, len(self.classes), values=_soft_labels(arrays, rows)),
            subset=part,
            classes=self.classes,
            **common,
        )

    def _of_keras(self, datagen: Any, subset: str) -> Any:
        """Make an iterator of Keras' own generator, which draws from NumPy's global generator."""
        model = self.model
        part = self.part(subset)
        common = {
            "batch_size": getattr(model, "batch_size", 32),
            "shuffle": subset != "evaluation",
            "seed": model.seed,
            "subset": part,
        }
        if self._data.directory is None:
            arrays = self._arrays(subset)
            ids = _checked_ids(arrays, model.class_mode, self.classes)
            y = Labels(ids, model.class_mode, len(self.classes)).batch(np.arange(len(ids)), arrays.x)
            iterator = datagen.flow(arrays.x, *y, **common, ignore_class_split=True)
            iterator.classes = ids
            return iterator
        return datagen.flow_from_directory(
            self._data.directory,
            target_size=_target_size(model),
            color_mode=_color_mode(model),
            classes=self.classes,
            class_mode=model.class_mode,
            follow_links=model.follow_links,
            interpolation=model.interpolation or "nearest",
            **common,
        )

    def _arrays(self, subset: str) -> _Arrays:
        arrays = self._data.test if self._is_held_out(subset) else self._data.train
        assert arrays is not None
        return _Arrays(_checked_images(arrays.x, self.model), arrays.y)

    def _is_held_out(self, subset: str) -> bool:
        """Tell whether a subset is the second of two pairs of arrays."""
        return self._data.test is not None and (
            subset == "evaluation" or (subset == "validation" and self.split == 0)
        )


def _resolve(mltk_model: Any, subset: str, test: bool) -> _Data | None:
    """Find out what `my_model.dataset` is; `None` when it set the model's properties itself."""
    found = resolve_data(mltk_model, subset, test)
    if found is None:
        return None
    if isinstance(found, Path):
        return _Data(directory=str(found))
    if isinstance(found, tuple | list):
        if len(found) == 2 and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in found):
            return _Data(train=_arrays(*found[0]), test=_arrays(*found[1]))
        if len(found) == 4:
            a, b, c, d = found
            images_first = np.ndim(b) >= 3
            return _Data(
                train=_arrays(a, c if images_first else b), test=_arrays(b if images_first else c, d)
            )
        if len(found) == 2:
            return _Data(train=_arrays(*found))
    raise DatasetError(
        f"The data set of '{mltk_model.name}' is of type {type(found).__name__}; it must be a folder, "
        f"((x_train, y_train), (x_test, y_test)), or four arrays."
    )


def _arrays(x: Any, y: Any) -> _Arrays:
    images, labels = np.asarray(x), None if y is None else np.asarray(y)
    if labels is not None and len(images) != len(labels):
        raise DatasetError(f"The data set has {len(images)} images but {len(labels)} labels.")
    return _Arrays(images, labels)


def _checked_images(x: np.ndarray, mltk_model: Any) -> np.ndarray:
    wanted = tuple(mltk_model.input_shape)
    if x.ndim == 3:
        x = x[:, :, :, None]
    if x.shape[1:] != wanted:
        raise DatasetError(
            f"The images of the data set have the shape {x.shape[1:]}, but my_model.input_shape is {wanted}."
        )
    return x


def _checked_ids(arrays: _Arrays, class_mode: str | None, classes: Sequence[str]) -> np.ndarray:
    if arrays.y is None:
        if class_mode in ("input", None):
            return np.full(len(arrays.x), -1, np.int64)
        raise DatasetError(f"The data set has no labels, which my_model.class_mode = '{class_mode}' needs.")
    ids = class_ids(arrays.y)
    if class_mode in ("input", None):
        return ids
    wide = arrays.y.shape[1] if arrays.y.ndim == 2 and arrays.y.shape[1] > 1 else None
    if wide not in (None, len(classes)) or ids.min(initial=0) < 0 or ids.max(initial=0) >= len(classes):
        found = f"rows of {wide} values" if wide else f"values from {arrays.y.min()} to {arrays.y.max()}"
        raise DatasetError(
            f"The labels of the data set are {found}, but my_model.classes names {len(classes)} classes."
        )
    return ids


def _soft_labels(arrays: _Arrays, rows: np.ndarray) -> np.ndarray | None:
    """Return labels that are shares of classes, which class ids cannot express; else `None`."""
    y = arrays.y
    if y is None or y.ndim != 2 or y.shape[1] < 2 or bool(np.isin(y, (0, 1)).all()):
        return None
    return np.asarray(y[rows])


def _first_of_each_class(ids: np.ndarray, count: Callable[[int], int]) -> np.ndarray:
    """Return a mask of the first `count(n)` of the `n` samples of each class."""
    mask = np.zeros(len(ids), bool)
    for class_id in np.unique(ids):
        rows = np.flatnonzero(ids == class_id)
        mask[rows[: count(len(rows))]] = True
    return mask


def _target_size(mltk_model: Any) -> tuple[int, int]:
    if mltk_model.target_size is not None:
        return mltk_model.target_size  # type: ignore[no-any-return]
    height, width, _ = _input_shape(mltk_model)
    return height, width


def _color_mode(mltk_model: Any) -> str:
    if mltk_model.color_mode != "auto":
        return str(mltk_model.color_mode)
    channels = _input_shape(mltk_model)[2]
    modes = {1: "grayscale", 3: "rgb"}
    if channels not in modes:
        raise SpecificationError(
            f"my_model.input_shape has {channels} channels, so my_model.color_mode cannot be 'auto': "
            f"set it, e.g. to 'rgba'."
        )
    return modes[channels]


def _input_shape(mltk_model: Any) -> tuple[int, int, int]:
    shape = tuple(mltk_model.input_shape)
    if len(shape) != 3:
        raise SpecificationError(f"my_model.input_shape must be (height, width, channels), not {shape}.")
    return shape
