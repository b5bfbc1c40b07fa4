"""Load the data of a model that inherits `ImageDatasetMixin`."""

from __future__ import annotations

import hashlib
import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mltk.core.model.mixins.data_generator import (
    TEST_BATCH_SIZE,
    TEST_SAMPLES_PER_CLASS,
    DataGeneratorContext,
)
from mltk.errors import DatasetError, SpecificationError
from mltk.plugins import LoadedDataset, Parameter, collect_offers
from mltk_plugin_image._batches import Labels
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
    if data is None:
        return LoadedDataset()
    loader = _Loader(mltk_model, data, test, options)
    context = DataGeneratorContext(subset)
    if subset == "training":
        context.train_datagen = loader.iterator("training")
        context.validation_datagen = loader.iterator("validation") if loader.has_validation else None
    elif subset == "validation" and loader.has_validation:
        # Calibrates the quantization: the ranges of what the device will see.
        context.validation_datagen = loader.iterator("validation", augment=False)
    elif subset == "validation":
        context.train_datagen = loader.iterator("training", augment=False)
    else:
        context.evaluation_datagen = loader.iterator("evaluation")
    context.train_class_counts = loader.class_counts(context.train_datagen)
    context.validation_class_counts = loader.class_counts(context.validation_datagen)
    context.evaluation_class_counts = loader.class_counts(context.evaluation_datagen)
    mltk_model.datagen_context = context
    counts = {
        "training": context.train_class_counts,
        "validation": context.validation_class_counts,
        "evaluation": context.evaluation_class_counts,
    }
    iterators = [context.train_datagen, context.validation_datagen, context.evaluation_datagen]
    return LoadedDataset(
        x=context.evaluation_datagen if subset == "evaluation" else context.train_datagen,
        validation_data=context.validation_datagen,
        class_counts={name: n for name, n in counts.items() if n},
        fingerprint=_fingerprint(iterators),
        close=context.shutdown,
    )


def normalization_parameters(mltk_model: Any) -> dict[str, Parameter]:
    """Return the parameters that tell a device how to normalise its samples."""
    datagen = mltk_model.attributes.stored.get("image.datagen")
    if datagen is None:
        return {}
    both = bool(datagen.samplewise_center and datagen.samplewise_std_normalization)
    rescale = Parameter(float(datagen.rescale), "float") if datagen.rescale else Parameter(0.0, "double")
    return {
        "samplewise_norm.rescale": rescale,
        "samplewise_norm.mean_and_std": Parameter(both, "bool"),
    }


def describe_images(mltk_model: Any) -> str:
    """Return what happens to the images of each loaded subset: the settings that differ from the defaults."""
    context = mltk_model.datagen_context
    iterators = {
        "training": context and context.train_datagen,
        "validation": context and context.validation_datagen,
        "evaluation": context and context.evaluation_datagen,
    }
    parts: list[str] = []
    described: list[str] = []
    for subset, iterator in iterators.items():
        if not isinstance(iterator, ImageIterator):
            continue
        augmented = "" if iterator.batches.augment else " (not augmented)"
        settings = iterator.batches.generator.describe().splitlines()
        if settings and settings != described:
            parts += [f"Images for {subset}{augmented}:", *(f"  {line}" for line in settings)]
            described = settings
        else:
            parts.append(f"Images for {subset}{augmented or ': the same' if described else ': as they are'}")
    return "\n".join(parts)


class _Loader:
    """Makes the iterators of one load."""

    def __init__(self, mltk_model: Any, data: _Data, test: bool, options: Mapping[str, Any]) -> None:
        self._model = mltk_model
        self._data = data
        self._test = test or mltk_model.test_mode_enabled
        self._options = options
        self._split = _validation_split(mltk_model.datagen) or _validation_split(
            mltk_model.validation_datagen
        )
        names = mltk_model.attributes.stored.get("dataset.classes")
        if names is None and (data.directory is not None or mltk_model.class_mode not in ("input", None)):
            names = mltk_model.classes  # Raises, with advice.
        self._classes: list[str] = list(names or ())

    @property
    def has_validation(self) -> bool:
        return self._split > 0 or self._data.test is not None

    def iterator(self, subset: str, augment: bool | None = None) -> Any:
        model = self._model
        datagen = model.get_datagen_creator(subset)()
        if not isinstance(datagen, ParallelImageDataGenerator):
            return self._of_keras(datagen, subset)
        datagen.validation_split = self._split
        if self._test:
            datagen.debug = True
            datagen.batch_size = TEST_BATCH_SIZE
        limit = self._limit(subset)
        if limit >= 0:
            datagen.max_samples_per_class = limit
        offers = collect_offers("mltk_augmentations", mltk_model=model, subset=subset, domain="image")
        datagen.augmentation_steps = (*datagen.augmentation_steps, *offers.values())
        if subset == "evaluation":
            augment = bool(getattr(model, "eval_augment", False))
        common = {
            "batch_size": getattr(model, "batch_size", 32),
            "shuffle": bool(getattr(model, "eval_shuffle", False)) if subset == "evaluation" else True,
            "seed": model.seed,
            "augment": augment,
        }
        if self._data.directory is not None:
            return self._of_files(datagen, subset, common)
        return self._of_arrays(datagen, subset, common)

    def class_counts(self, iterator: Any) -> dict[str, int]:
        """Return the samples per class of an iterator; empty without an iterator or classes."""
        if iterator is None or not self._classes:
            return {}
        ids = np.asarray(iterator.classes)
        return {name: int((ids == i).sum()) for i, name in enumerate(self._classes)}

    def _of_files(
        self, datagen: ParallelImageDataGenerator, subset: str, common: dict[str, Any]
    ) -> ImageIterator:
        model = self._model
        assert self._data.directory is not None
        return datagen.flow_from_directory(
            self._data.directory,
            target_size=_target_size(model),
            color_mode=_color_mode(model),
            classes=self._classes,
            only=self._options.get("classes"),
            class_mode=model.class_mode,
            shuffle_index_dir=model.get_shuffle_index_dir(),
            follow_links=model.follow_links,
            subset=self._part(subset),
            interpolation=model.interpolation,
            list_valid_filenames_in_directory_function=getattr(
                model.dataset, "list_valid_filenames_in_directory", None
            ),
            **common,
        )

    def _of_arrays(
        self, datagen: ParallelImageDataGenerator, subset: str, common: dict[str, Any]
    ) -> ImageIterator:
        arrays = self._arrays(subset)
        ids = _checked_ids(arrays, self._model.class_mode, self._classes)
        chosen = np.ones(len(arrays.x), bool)
        part = self._part(subset)
        if part is not None and not self._is_held_out(subset):
            chosen = _first_of_each_class(ids, lambda n: math.ceil(n * self._split))
            chosen = chosen if part == "validation" else ~chosen
        only = self._options.get("classes")
        if only:
            chosen &= np.isin(ids, [self._classes.index(name) for name in only])
        limit = datagen.max_samples_per_class
        rows = np.flatnonzero(chosen)
        if limit >= 0:
            rows = rows[_first_of_each_class(ids[rows], lambda _: limit)]
        if not len(rows):
            raise DatasetError(f"The data set of '{self._model.name}' has no sample for '{subset}'.")
        return datagen._flow_labelled(
            arrays.x[rows] if len(rows) < len(arrays.x) else arrays.x,
            Labels(ids[rows], self._model.class_mode, len(self._classes), values=_soft_labels(arrays, rows)),
            subset=part,
            classes=self._classes,
            **common,
        )

    def _of_keras(self, datagen: Any, subset: str) -> Any:
        """Make an iterator of Keras' own generator, which draws from NumPy's global generator."""
        model = self._model
        part = self._part(subset)
        common = {
            "batch_size": getattr(model, "batch_size", 32),
            "shuffle": subset != "evaluation",
            "seed": model.seed,
            "subset": part,
        }
        if self._data.directory is None:
            arrays = self._arrays(subset)
            ids = _checked_ids(arrays, model.class_mode, self._classes)
            y = Labels(ids, model.class_mode, len(self._classes)).batch(np.arange(len(ids)), arrays.x)
            iterator = datagen.flow(arrays.x, *y, **common, ignore_class_split=True)
            iterator.classes = ids
            return iterator
        return datagen.flow_from_directory(
            self._data.directory,
            target_size=_target_size(model),
            color_mode=_color_mode(model),
            classes=self._classes,
            class_mode=model.class_mode,
            follow_links=model.follow_links,
            interpolation=model.interpolation,
            **common,
        )

    def _part(self, subset: str) -> str | None:
        """Return the part of the (unsplit) data that a subset is; `None` for the whole."""
        if self._split == 0:
            return "validation" if subset == "validation" else None
        return "training" if subset == "training" else "validation"

    def _arrays(self, subset: str) -> _Arrays:
        arrays = self._data.test if self._is_held_out(subset) else self._data.train
        assert arrays is not None
        return _Arrays(_checked_images(arrays.x, self._model), arrays.y)

    def _is_held_out(self, subset: str) -> bool:
        """Tell whether a subset is the second of two pairs of arrays."""
        return self._data.test is not None and (
            subset == "evaluation" or (subset == "validation" and self._split == 0)
        )

    def _limit(self, subset: str) -> int:
        limit = self._options.get("max_samples_per_class")
        if (limit is None or limit < 0) and subset == "evaluation":
            limit = getattr(self._model, "eval_max_samples_per_class", -1)
        limit = -1 if limit is None else int(limit)
        if self._test:
            return TEST_SAMPLES_PER_CLASS if limit < 0 else min(limit, TEST_SAMPLES_PER_CLASS)
        return limit


def _resolve(mltk_model: Any, subset: str, test: bool) -> _Data | None:
    """Find out what `my_model.dataset` is; `None` when it set the model's properties itself."""
    dataset = mltk_model.dataset
    loader = getattr(dataset, "load_data", None) or (dataset if callable(dataset) else None)
    if loader is None:
        found = dataset
    else:
        found = _call(loader, {"subset": subset, "test": test, "mltk_model": mltk_model})
        if found is None:
            return None
    if isinstance(found, str | os.PathLike):
        directory = os.path.expanduser(os.fspath(found))  # noqa: PTH111 (keeps a str a str)
        if not os.path.isdir(directory):  # noqa: PTH112
            raise DatasetError(f"The data set folder '{directory}' does not exist or is not a folder.")
        return _Data(directory=directory)
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


def _call(function: Callable[..., Any], available: Mapping[str, Any]) -> Any:
    """Call `function` with those of the arguments that it takes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # Some built-in functions have no signature.
        return function()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return function(**available)
    return function(**{name: value for name, value in available.items() if name in parameters})


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


def _validation_split(datagen: Any) -> float:
    # Keras' own generator has it under a private name.
    return float(
        getattr(datagen, "validation_split", None) or getattr(datagen, "_validation_split", None) or 0
    )


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


def _fingerprint(iterators: Iterable[Any]) -> str | None:
    digests = [i.batches.samples.fingerprint() for i in iterators if isinstance(i, ImageIterator)]
    return hashlib.sha256("".join(digests).encode()).hexdigest() if digests else None
