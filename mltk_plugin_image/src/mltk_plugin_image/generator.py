"""`ParallelImageDataGenerator`: the settings of an image data path, and the iterators made with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from mltk.data import settings
from mltk.data.batches import CLASS_MODES, GeneratorIterator, GeneratorSettings, Labels
from mltk.data.seeding import batch_rng
from mltk.data.settings import Range
from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_image._augmentation import FILL_MODES, NOISES, RandomTransforms, Shift
from mltk_plugin_image._batches import ArraySamples, FileSamples, ImageBatches, Samples, SaveSettings
from mltk_plugin_image._files import CHANNELS, FILE_FORMATS, INTERPOLATIONS

_FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ParallelProcessParams:
    """What callbacks are told about the data set they work for: their first argument.

    The settings of the generator are attributes too.
    """

    image_data_generator: ParallelImageDataGenerator
    subset: str | None = None
    """`training`, `validation`, or `None` for a data set that is not split."""
    split: tuple[float, float] | None = None
    """First and last fraction of each class that the subset is."""
    directory: str | None = None
    """Folder of the data set; `None` for arrays."""
    class_indices: Mapping[str, int] | None = None
    """Class name to id."""
    class_mode: str | None = None
    target_size: tuple[int, int] | None = None
    """`(height, width)`."""
    color_mode: str | None = None
    interpolation: str | None = None
    batch_shape: tuple[int, ...] | None = None
    """Shape of a whole batch before standardisation."""
    dtype: np.dtype[Any] = _FLOAT32

    def __getattr__(self, name: str) -> Any:
        # A copy that is being made has no attributes yet.
        if name.startswith("_") or name == "image_data_generator":
            raise AttributeError(name)
        return getattr(self.image_data_generator, name)


@dataclass(kw_only=True, eq=False)
class ParallelImageDataGenerator(GeneratorSettings):
    """Reads, augments and standardises images in batches, on threads.

    Images are float32 on the scale of `value_range` until they are standardised. Transforms are drawn for
    each batch from the seed of the iterator, the epoch and the position of the batch alone: neither the
    number of threads nor an interruption changes anything.

    Order: read and resize, `noaug_preprocessing_function`, rotation with shift, shear and zoom, channel
    shift, flips, brightness, contrast, one noise, `preprocessing_function`, standardisation.

    A callback gets `(params, x)`: `ParallelProcessParams`, and an image `(height, width, channels)`; and
    those of `class_id`, `filename`, `batch_index`, `batch_class_ids`, `batch_filenames` that its signature
    names. It returns the image. Callbacks run on several threads at once.

    Raises:
        SpecificationError: A setting does not exist, has the wrong type, or is out of its range.
    """

    rotation_range: float = 0
    """Greatest angle, in degrees, to either side."""
    width_shift_range: float | Sequence[float] = 0.0
    """Greatest shift to either side: below 1 a part of the width; a float of 1 or more is pixels; an int `n`
    means whole pixels from 1 - n to n - 1. A list holds the values to choose from, with either sign."""
    height_shift_range: float | Sequence[float] = 0.0
    """The same, up and down."""
    brightness_range: Sequence[float] | None = None
    """Least and greatest factor of the pixel values; 1 leaves them."""
    contrast_range: Sequence[float] | None = None
    """Least and greatest factor of the distance to the image's mean brightness; 1 leaves them."""
    noise: Sequence[str] | None = None
    """Kinds of noise, of which each image gets one: `gauss`, `poisson`, `s&p`, `speckle`."""
    noise_strength: float | Mapping[str, float] = 1.0
    """Factor of the usual amount of noise, or one for each kind. Usual are: gauss, a standard deviation of
    4 % of the value range; poisson, of 6 % at full brightness; speckle, of 10 % of the pixel's value; s&p,
    0.4 % of the pixels."""
    horizontal_flip: bool = False
    """Swap left and right in half of the images."""
    vertical_flip: bool = False
    """Swap top and bottom in half of the images."""
    shear_range: float = 0.0
    """Greatest shear angle, in degrees, to either side."""
    zoom_range: float | Sequence[float] = 0.0
    """Least and greatest factor of the part of the image that is seen, so 0.5 enlarges twice; a number z
    means (1 - z, 1 + z). Height and width are drawn by themselves."""
    channel_shift_range: float = 0.0
    """Greatest value that is added to all channels, to either side; kept within the image's own extremes."""
    fill_mode: str = "nearest"
    """What appears at the edges: `nearest`, `constant`, `reflect` or `wrap`."""
    cval: float = 0.0
    """Value for the fill mode `constant`."""
    interpolation_order: int = 1
    """0 nearest pixel, 1 bilinear, 2 and above bicubic."""
    featurewise_center: bool = False
    """Subtract the data set's mean (of each channel); needs `fit`."""
    featurewise_std_normalization: bool = False
    """Divide by the data set's standard deviation; switches `featurewise_center` on; needs `fit`."""
    zca_whitening: bool = False
    """Decorrelate the pixels; switches `featurewise_center` on and `featurewise_std_normalization` off; needs
    `fit`."""
    zca_epsilon: float = 1e-6
    """Keeps ZCA whitening from dividing by zero."""
    data_format: str | None = None
    """`channels_last` (also for `None`) or `channels_first`: of the batches, and of arrays given to `flow`
    and `fit`."""
    dtype: Any = None
    """Of the images in a batch; `None` means float32. Integers are rounded and cut off."""
    value_range: Sequence[float] = (0.0, 255.0)
    """Least and greatest pixel value before standardisation: brightness, contrast and noise stay within."""
    random_transforms_enabled: bool = True
    """Apply random transforms at all."""
    save_to_dir: str | os.PathLike[str] | None = None
    """Folder into which each image is written before it is standardised."""
    save_prefix: str | None = None
    """Start of the names of the files written."""
    save_format: str | None = None
    """Format of the files written; `None` means png."""

    def __post_init__(self) -> None:
        self.mean: np.ndarray | None = None
        """Of each channel of the data given to `fit`: `(1, 1, channels)`."""
        self.std: np.ndarray | None = None
        """Of each channel of the data given to `fit`: `(1, 1, channels)`."""
        self.zca_whitening_matrix: np.ndarray | None = None
        self.featurewise_std_normalization = self.featurewise_std_normalization and not self.zca_whitening
        self.featurewise_center |= self.featurewise_std_normalization or self.zca_whitening
        super().__post_init__()

    def check(self) -> None:
        """Check all settings; also done when an iterator is made, since settings may be changed.

        Raises:
            SpecificationError: A setting has the wrong type, or is out of its range.
        """
        super().check()
        self.random_transforms()
        settings.number("zca_epsilon", self.zca_epsilon, least=0)
        settings.choice("data_format", self.data_format, (None, "channels_last", "channels_first"))
        settings.data_type("dtype", self.dtype)
        if self.save_format is not None:
            settings.choice("save_format", self.save_format, ("png", "jpg", "jpeg", "bmp"))

    def random_transforms(self) -> RandomTransforms:
        """Return the random transforms that the settings describe.

        Raises:
            SpecificationError: One of these settings has the wrong type, or is out of its range.
        """
        low, high = settings.ascending("value_range", self.value_range)
        if not low < high:
            raise SpecificationError(f"value_range must be (least, greatest), not {self.value_range!r}.")
        return RandomTransforms(
            rotation=settings.number("rotation_range", self.rotation_range, least=0),
            width_shift=_shift("width_shift_range", self.width_shift_range),
            height_shift=_shift("height_shift_range", self.height_shift_range),
            shear=settings.number("shear_range", self.shear_range, least=0),
            zoom=_zoom(self.zoom_range),
            channel_shift=settings.number("channel_shift_range", self.channel_shift_range, least=0),
            horizontal_flip=bool(self.horizontal_flip),
            vertical_flip=bool(self.vertical_flip),
            brightness=settings.factors("brightness_range", self.brightness_range),
            contrast=settings.factors("contrast_range", self.contrast_range),
            noise=_noise(self.noise, self.noise_strength),
            fill_mode=settings.choice("fill_mode", self.fill_mode, FILL_MODES),
            fill_value=settings.number("cval", self.cval),
            interpolation_order=settings.whole("interpolation_order", self.interpolation_order, least=0),
            value_range=(low, high),
        )

    def flow_from_directory(
        self,
        directory: str | os.PathLike[str],
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        batch_shape: tuple[int, ...] | None = None,
        shuffle: bool = True,
        shuffle_index_dir: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "bilinear",
        max_samples_per_class: int = -1,
        list_valid_filenames_in_directory_function: Callable[..., Any] | None = None,
        class_counts: MutableMapping[str, int] | None = None,
        augment: bool | None = None,
        only: Sequence[str] | None = None,
    ) -> ImageIterator:
        """Return an iterator over the images in `<directory>/<class>/`.

        Args:
            directory: Folder with a folder for each class.
            target_size: `(height, width)` to which images are resized.
            color_mode: `grayscale`, `rgb` or `rgba`.
            classes: Class names in the order of their ids; `None`: all folders, sorted.
            class_mode: What a batch holds besides the images: `categorical` (one-hot), `binary` or `sparse`
                (ids), `input` (the images), `None`.
            batch_size: Images in a batch.
            batch_shape: `(batch, height, width, channels)`; if given, takes the place of `target_size`.
            shuffle: Take images in a new order in each epoch; else class by class.
            shuffle_index_dir: Folder that keeps an order of the files of each class, drawn once.
            seed: Of order and transforms; `None` means 42.
            save_to_dir: Folder into which each image is written before it is standardised.
            save_prefix: Start of the names of the files written.
            save_format: Format of the files written.
            follow_links: Follow links to folders below the class folders.
            subset: `training` or `validation`, the parts that `validation_split` makes; `None` for
                everything. The validation subset is the same in every epoch.
            interpolation: `nearest`, `bilinear`, `bicubic`, `lanczos`, `box`, `hamming`, or `none` where all
                files have the target size or `preprocessing_function` brings them to it.
            max_samples_per_class: Upper limit; -1: that of the generator.
            list_valid_filenames_in_directory_function: Lists the files of a class, see
                `mltk.core.preprocess.utils.list_dataset_directory`. It may give a tuple of files, e.g. a pair, for
                each sample: x is then a tuple of as many arrays.
            class_counts: Filled with the number of images of each class.
            augment: Apply the random transforms; `None`: as the settings say for this subset.
            only: Those of `classes` to read; ids stay those of `classes`.

        Raises:
            DatasetError: A folder is missing, or a class has no image.
            SpecificationError: An argument or a setting is not valid.
        """
        from mltk.data.listing import list_dataset_directory

        self._check_ready()
        settings.choice("subset", subset, settings.SUBSETS)
        settings.choice("color_mode", color_mode, tuple(CHANNELS))
        settings.choice("interpolation", interpolation, (*INTERPOLATIONS, "none"))
        settings.choice("class_mode", class_mode, CLASS_MODES)
        if batch_shape is not None:
            batch_size, target_size = batch_shape[0], (batch_shape[1], batch_shape[2])
        size = (int(target_size[0]), int(target_size[1]))
        root = os.path.abspath(directory)  # noqa: PTH100 (keeps links as the user wrote them)
        classes = list(classes) if classes is not None else _class_folders(root)
        wanted = (
            classes if only is None else [settings.choice("classes", name, tuple(classes)) for name in only]
        )
        split = settings.split_of(subset, self.validation_split)
        limit = max_samples_per_class if max_samples_per_class >= 0 else self.max_samples_per_class
        counts: dict[str, int] = {}
        names, ids = list_dataset_directory(
            root,
            wanted,
            class_counts=counts,
            split=split,
            max_samples_per_class=limit,
            white_list_formats=FILE_FORMATS,
            follow_links=follow_links,
            shuffle_index_directory=shuffle_index_dir,
            list_valid_filenames_in_directory_function=list_valid_filenames_in_directory_function,
        )
        if class_counts is not None:
            class_counts.update(counts)
        files = [name for name in names if name is not None]
        # A callback may bring images to their size.
        sized_later = interpolation == "none" and self.preprocessing_function is not None
        samples = FileSamples(
            root, files, None if sized_later else size, color_mode, interpolation, self.cache_bytes
        )
        params = ParallelProcessParams(
            image_data_generator=self,
            subset=subset,
            split=split,
            directory=root,
            class_indices={name: i for i, name in enumerate(classes)},
            class_mode=class_mode,
            target_size=size,
            color_mode=color_mode,
            interpolation=interpolation,
            batch_shape=(self._batch_size(batch_size), *size, CHANNELS[color_mode]),
            dtype=np.dtype(self.dtype or np.float32),
        )
        return self._iterator(
            params,
            samples,
            Labels(np.array([classes.index(name) for name in wanted])[ids], class_mode, len(classes)),
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            augment=augment,
            save=self._save(save_to_dir, save_prefix, save_format),
        )

    def flow(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        seed: int | None = None,
        save_to_dir: str | os.PathLike[str] | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
        augment: bool | None = None,
    ) -> ImageIterator:
        """Return an iterator over images in memory.

        Args:
            x: `(n, height, width, channels)`, any numeric type, on the scale of `value_range`; or a tuple of
                it and `y`.
            y: Labels, `(n,)` or `(n, …)`; batches hold them as they are.
            batch_size: Images in a batch.
            shuffle: Take images in a new order in each epoch.
            sample_weight: Weight of each image, `(n,)`.
            seed: Of order and transforms; `None` means 42.
            save_to_dir: Folder into which each image is written before it is standardised.
            save_prefix: Start of the names of the files written.
            save_format: Format of the files written.
            ignore_class_split: Accept that a class is in one part of the split only.
            subset: `validation` for the first part that `validation_split` makes, `training` for the rest,
                `None` for everything. The validation subset is the same in every epoch.
            augment: Apply the random transforms; `None`: as the settings say for this subset.

        Raises:
            DatasetError: Shapes do not fit, or a class is in one part of the split only.
            SpecificationError: An argument or a setting is not valid.
        """
        self._check_ready()
        settings.choice("subset", subset, settings.SUBSETS)
        if isinstance(x, tuple) and len(x) == 2 and y is None:
            x, y = x
        images = self._channels_last(np.asarray(x))
        labels = None if y is None else np.asarray(y)
        weights = None if sample_weight is None else np.asarray(sample_weight)
        for name, array in (("y", labels), ("sample_weight", weights)):
            if array is not None and len(array) != len(images):
                raise DatasetError(f"x holds {len(images)} images, but {name} {len(array)} values.")
        if subset is not None:
            cut = int(len(images) * self.validation_split)
            part = slice(cut) if subset == "validation" else slice(cut, None)
            if labels is not None and not ignore_class_split:
                _check_classes_in_both(class_ids(labels), cut)
            images = images[part]
            labels = None if labels is None else labels[part]
            weights = None if weights is None else weights[part]
        if not len(images):
            raise DatasetError(
                f"There is no image in the subset '{subset}'." if subset else "x holds no image."
            )
        ids = np.full(len(images), -1) if labels is None else class_ids(labels)
        return self._flow_labelled(
            images,
            Labels(ids, None, values=labels, weights=weights),
            subset=subset,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            augment=augment,
            save=self._save(save_to_dir, save_prefix, save_format),
        )

    def _flow_labelled(
        self,
        images: np.ndarray,
        labels: Labels,
        *,
        subset: str | None,
        batch_size: int,
        shuffle: bool,
        seed: int | None,
        augment: bool | None,
        classes: Sequence[str] | None = None,
        save: SaveSettings | None = None,
    ) -> ImageIterator:
        n_classes = labels.n_classes or (int(labels.ids.max()) + 1 if len(labels.ids) else 0)
        names = classes or [str(i) for i in range(n_classes)]
        params = ParallelProcessParams(
            image_data_generator=self,
            subset=subset,
            split=settings.split_of(subset, self.validation_split),
            class_indices={name: i for i, name in enumerate(names)},
            class_mode=labels.mode,
            target_size=images.shape[1:3],
            batch_shape=(self._batch_size(batch_size), *images.shape[1:]),
            dtype=np.dtype(self.dtype or np.float32),
        )
        return self._iterator(
            params,
            ArraySamples(images),
            labels,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            augment=augment,
            save=save,
        )

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Learn the mean, the deviation and the whitening that the feature-wise settings need.

        Args:
            x: Images, `(n, height, width, channels)`.
            augment: Learn from randomly transformed images.
            rounds: How often each image is transformed then.
            seed: Of the transforms; `None` means 42.

        Raises:
            DatasetError: `x` does not have four axes.
        """
        images = self._channels_last(np.asarray(x)).astype(np.float32)
        if augment:
            transforms = self.random_transforms()
            images = np.concatenate(
                [
                    transforms(images.copy(), batch_rng(settings.seed(seed), epoch, 0, "fit"))
                    for epoch in range(rounds)
                ]
            )
        if self.rescale:
            images *= np.float32(self.rescale)
        if self.featurewise_center:
            self.mean = images.mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)[None, None]
            images -= self.mean
        if self.featurewise_std_normalization:
            self.std = images.std(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)[None, None]
            images /= self.std + 1e-6
        if self.zca_whitening:
            flat = images.reshape(len(images), -1)
            u, s, _ = np.linalg.svd(flat.T, full_matrices=False)
            self.zca_whitening_matrix = (u * (np.sqrt(len(flat)) / (s + self.zca_epsilon))) @ u.T

    def random_transform(self, x: np.ndarray, seed: int | None = None) -> np.ndarray:
        """Return one image, `(height, width, channels)`, randomly transformed; float32."""
        image = self._channels_last(np.asarray(x)[None]).astype(np.float32)
        transformed = self.random_transforms()(image, batch_rng(settings.seed(seed), 0, 0))
        return np.asarray(self._in_data_format(transformed)[0])

    def standardize(self, x: np.ndarray) -> np.ndarray:
        """Return one image, `(height, width, channels)`, or a batch, standardised as in the iterators."""
        batch = np.asarray(x)
        single = batch.ndim == 3
        standardized = self.standardized(
            self._channels_last(batch[None] if single else batch).astype(np.float32)
        )
        return np.asarray(standardized[0]) if single else standardized

    def standardized(self, x: np.ndarray) -> np.ndarray:
        """Standardise a float32 batch, channels last, which may be overwritten.

        The result has the type and the layout that the settings say.
        """
        if self.rescale:
            x *= np.float32(self.rescale)
        flat = x.reshape(len(x), -1)
        if self.samplewise_center:
            flat -= flat.mean(axis=1, keepdims=True)
        if self.samplewise_std_normalization:
            # The mean is zero here; numpy's std would subtract it once more.
            deviation = np.sqrt(np.einsum("ij,ij->i", flat, flat) / np.float32(flat.shape[1]))
            flat /= deviation[:, None] + np.float32(1e-6)
        x = flat.reshape(x.shape)
        if self.featurewise_center and self.mean is not None:
            x -= self.mean
        if self.featurewise_std_normalization and self.std is not None:
            x /= self.std + np.float32(1e-6)
        if self.zca_whitening and self.zca_whitening_matrix is not None:
            x = (x.reshape(len(x), -1) @ self.zca_whitening_matrix).reshape(x.shape)
        return self._in_data_format(self._as_dtype(x))

    def _as_dtype(self, x: np.ndarray) -> np.ndarray:
        dtype = np.dtype(self.dtype or np.float32)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            x = np.clip(np.rint(x), limits.min, limits.max)
        return np.asarray(x, dtype)

    def _in_data_format(self, x: np.ndarray) -> np.ndarray:
        if self.data_format != "channels_first":
            return x
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    def _channels_last(self, x: np.ndarray) -> np.ndarray:
        if x.ndim != 4:
            wanted = (
                "(n, height, width, channels)" if self.data_format != "channels_first" else "(n, channels, …)"
            )
            hint = " Add the axis of channels with x[..., None]." if x.ndim == 3 else ""
            raise DatasetError(f"Images must have the shape {wanted}, not {x.shape}.{hint}")
        return x.transpose(0, 2, 3, 1) if self.data_format == "channels_first" else x

    def _check_ready(self) -> None:
        self.check()
        needed = {
            "featurewise_center": self.mean,
            "featurewise_std_normalization": self.std,
            "zca_whitening": self.zca_whitening_matrix,
        }
        for name, learned in needed.items():
            if getattr(self, name) and learned is None:
                raise SpecificationError(
                    f"{name} needs the data set's statistics: call datagen.fit(x) first."
                )

    def _batch_size(self, given: int) -> int:
        return settings.batch_size(given if self.batch_size is None else self.batch_size)

    def _save(self, directory: Any, prefix: str, file_format: str) -> SaveSettings | None:
        directory = directory if directory is not None else self.save_to_dir
        if directory is None:
            return None
        return SaveSettings(
            os.fspath(directory), prefix or self.save_prefix or "", self.save_format or file_format
        )

    def _iterator(
        self,
        params: ParallelProcessParams,
        samples: Samples,
        labels: Labels,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int | None,
        augment: bool | None,
        save: SaveSettings | None,
    ) -> ImageIterator:
        validation = params.subset == "validation"
        if augment is None:
            augment = self.validation_augmentation_enabled or not validation
        return ImageIterator(
            ImageBatches(
                self,
                params,
                samples,
                labels,
                batch_size=self._batch_size(batch_size),
                shuffle=shuffle,
                seed=settings.seed(seed),
                augment=augment and self.random_transforms_enabled,
                same_every_epoch=validation,
                save=save,
            )
        )


class ImageIterator(GeneratorIterator):
    """Batches of images in the order of the seed: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Every image comes exactly once in an epoch; the last batch holds what is left.
    """

    def __init__(self, source: ImageBatches) -> None:
        super().__init__(source, source.params.class_indices)
        self.batches = source

    @property
    def filepaths(self) -> list[str]:
        """Absolute paths of the files, in the order of `filenames`."""
        samples = self.batches.samples
        return [samples.path(i) for i in range(self.samples)] if isinstance(samples, FileSamples) else []

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(height, width, channels)`."""
        shape = self.batches.params.batch_shape
        return () if shape is None else shape[1:]


def class_ids(labels: np.ndarray) -> np.ndarray:
    """Return int64 `(n,)` class ids of one-hot rows or of ids; -1 for labels that are neither."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        return np.asarray(labels.argmax(axis=1))
    flat = labels.reshape(len(labels), -1)
    if flat.shape[1] == 1 and flat.dtype.kind in "biuf" and (flat == np.rint(flat)).all():
        return flat[:, 0].astype(np.int64)
    return np.full(len(labels), -1, np.int64)


def _check_classes_in_both(ids: np.ndarray, cut: int) -> None:
    missing = set(ids[:cut].tolist()) ^ set(ids[cut:].tolist())
    if missing:
        raise DatasetError(
            f"Class {min(missing)} is on one side of the validation split only: arrays are cut in one place, "
            f"so shuffle them first (or give ignore_class_split=True)."
        )


def _class_folders(root: str) -> list[str]:
    if not Path(root).is_dir():
        raise DatasetError(f"The data set folder '{root}' does not exist or is not a folder.")
    found = sorted(
        p.name for p in Path(root).iterdir() if p.is_dir() and not p.name.startswith((".", "_", "~"))
    )
    if not found:
        raise DatasetError(f"The data set folder '{root}' has no folders: one for each class is needed.")
    return found


def _shift(name: str, value: Any) -> Shift:
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        choices = tuple(settings.number(name, v) for v in value)
        return Shift(choices=choices, relative=max(map(abs, choices), default=0) < 1)
    bound = settings.number(name, value, least=0)
    return Shift(bound=bound, whole=isinstance(value, Integral), relative=bound < 1)


def _zoom(value: Any) -> Range:
    if isinstance(value, Real):
        zoom = settings.number("zoom_range", value, least=0)
        low, high = 1 - zoom, 1 + zoom
    else:
        low, high = settings.ascending("zoom_range", value)
    if low <= 0:
        raise SpecificationError(f"zoom_range holds factors above 0, not {value!r}.")
    return low, high


def _noise(kinds: Any, strength: Any) -> tuple[tuple[str, float], ...]:
    kinds = [kinds] if isinstance(kinds, str) else list(kinds or ())
    for name in [*kinds, *(strength if isinstance(strength, Mapping) else ())]:
        settings.choice("noise", name, tuple(NOISES))
    factors = strength if isinstance(strength, Mapping) else dict.fromkeys(kinds, strength)
    amounts = tuple(
        (name, NOISES[name] * settings.number("noise_strength", factors.get(name, 1.0), least=0))
        for name in kinds
    )
    if dict(amounts).get("s&p", 0) > 1:
        raise SpecificationError(
            f"noise_strength of s&p must be at most {1 / NOISES['s&p']:.0f}: every pixel."
        )
    return amounts
