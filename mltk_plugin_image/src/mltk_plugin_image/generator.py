"""`ParallelImageDataGenerator`: iterators over images in folders or arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from mltk.data import (
    FlowOptions,
    GeneratorIterator,
    Labels,
    ListFilenamesFunction,
    batch_rng,
    check_choice,
    check_seed,
    get_class_ids,
    get_split,
    list_directory,
)
from mltk.errors import DatasetError, SpecificationError, did_you_mean
from mltk_plugin_image._augmentation import UNCHANGED, TransformValue
from mltk_plugin_image._batches import (
    ArrayImages,
    FileImages,
    ImageBatches,
    ParallelProcessParams,
    SaveSettings,
)
from mltk_plugin_image._files import CHANNELS, FILE_FORMATS, INTERPOLATIONS
from mltk_plugin_image._settings import ImageSettings

__all__ = ["ImageIterator", "ParallelImageDataGenerator", "ParallelProcessParams"]


class ImageIterator(GeneratorIterator[ImageBatches]):
    """Batches of images in seeded order: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Each epoch has every image exactly once; the last batch holds the remaining images.
    """

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(height, width, channels)`."""
        return (self.batches.batch_shape or (0,))[1:]


class ParallelImageDataGenerator(ImageSettings):
    """Read, augment and standardize images in batches, on threads.

    Images are float32 on the scale of `value_range` until they are standardized. The random draws of a batch
    depend only on the seed of the iterator, the epoch and the position of the batch: neither the number of
    threads nor an interruption changes anything.

    Order: read and resize, `noaug_preprocessing_function`, augmentation steps of the stage `before`, the
    built-in step `image_transforms` (rotation with shift, shear and zoom, channel shift, flips, brightness,
    contrast, one noise), steps of the stage `after`, `preprocessing_function`, standardization.

    A callback receives `(params, x)`: `ParallelProcessParams`, and an image `(height, width, channels)`; and
    those of `class_id`, `filename`, `batch_index`, `batch_class_ids`, `batch_filenames` that its signature
    names. It returns the image. Callbacks run on several threads at once.

    Raises:
        SpecificationError: A setting does not exist, has the wrong type, or is out of range.
    """

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
        list_valid_filenames_in_directory_function: ListFilenamesFunction | None = None,
        class_counts: MutableMapping[str, int] | None = None,
        augment: bool | None = None,
        only: Sequence[str] | None = None,
    ) -> ImageIterator:
        """Return an iterator over the images in `<directory>/<class>/`.

        Args:
            directory: Folder with a folder for each class.
            target_size: `(height, width)` to resize images to.
            color_mode: `grayscale`, `rgb` or `rgba`.
            classes: Class names in the order of their ids; `None`: all folders, sorted.
            class_mode: Content of a batch besides the images: `categorical` (one-hot), `binary` or `sparse`
                (ids), `input` (the images), `None`.
            batch_size: Images in a batch.
            batch_shape: `(batch, height, width, channels)`; overrides `batch_size` and `target_size`.
            shuffle: Take images in a new order in each epoch; else class by class.
            shuffle_index_dir: Folder that keeps a shuffled order of the files of each class.
            seed: Seed of the order and of the augmentation; `None` means 42.
            save_to_dir: Folder to write each image to before it is standardized.
            save_prefix: Prefix of the names of these files.
            save_format: Format of these files.
            follow_links: Follow links to folders below the class folders.
            subset: `training` or `validation`, the parts that `validation_split` makes; `None` for
                everything. The validation subset is the same in every epoch.
            interpolation: `nearest`, `bilinear`, `bicubic`, `lanczos`, `box`, `hamming`, or `none` if all
                files have the target size or `preprocessing_function` resizes them to it.
            max_samples_per_class: Maximum number of images of each class; -1: that of the generator.
            list_valid_filenames_in_directory_function: Lists the files of a class, see
                `mltk.data.list_dataset_directory`. It may return a tuple of files, e.g. a pair, for each sample:
                x is then a tuple of as many arrays.
            class_counts: Receives the number of images of each class.
            augment: Apply the augmentation steps; `None`: as the settings say for this subset.
            only: Those of `classes` to read; ids stay those of `classes`.

        Raises:
            DatasetError: A folder is missing, or a class has no image.
            SpecificationError: An argument or a setting is not valid.
        """
        self._check_ready()
        check_choice("color_mode", color_mode, tuple(CHANNELS))
        check_choice("interpolation", interpolation, (*INTERPOLATIONS, "none"))
        if batch_shape is not None:
            batch_size, target_size = batch_shape[0], (batch_shape[1], batch_shape[2])
        size = (int(target_size[0]), int(target_size[1]))
        flow = self.resolve_flow(subset, batch_size, shuffle, seed, augment)
        listing = list_directory(
            self,
            directory,
            formats=FILE_FORMATS,
            flow=flow,
            classes=classes,
            class_mode=class_mode,
            only=only,
            max_samples_per_class=max_samples_per_class,
            follow_links=follow_links,
            shuffle_index_dir=shuffle_index_dir,
            list_function=list_valid_filenames_in_directory_function,
            class_counts=class_counts,
        )
        files = [name for name in listing.names if name is not None]
        # A callback may resize the images.
        is_resized_later = interpolation == "none" and self.preprocessing_function is not None
        cached_size = None if is_resized_later else size
        params = ParallelProcessParams(
            generator=self,
            subset=subset,
            split=listing.split,
            directory=listing.directory,
            class_indices=listing.class_indices,
            class_mode=class_mode,
            target_size=size,
            color_mode=color_mode,
            interpolation=interpolation,
            batch_shape=(flow.batch_size, *size, CHANNELS[color_mode]),
            dtype=np.dtype(self.dtype or np.float32),
        )
        samples = FileImages(
            listing.directory,
            files,
            cached_size,
            color_mode,
            interpolation,
            self.cache_bytes,
            self.reading_rules(),
        )
        save = self._make_save_settings(save_to_dir, save_prefix, save_format)
        return ImageIterator(ImageBatches(self, params, samples, listing.labels, flow, save))

    def flow(
        self,
        x: ArrayLike | tuple[ArrayLike, ArrayLike],
        y: ArrayLike | None = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: ArrayLike | None = None,
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
            y: Labels, `(n,)` or `(n, …)`; batches hold them unchanged.
            batch_size: Images in a batch.
            shuffle: Take images in a new order in each epoch.
            sample_weight: Weight of each image, `(n,)`.
            seed: Seed of the order and of the augmentation; `None` means 42.
            save_to_dir: Folder to write each image to before it is standardized.
            save_prefix: Prefix of the names of these files.
            save_format: Format of these files.
            ignore_class_split: Accept classes that are in one part of the split only.
            subset: `validation` for the first part that `validation_split` makes, `training` for the rest,
                `None` for everything. The validation subset is the same in every epoch.
            augment: Apply the augmentation steps; `None`: as the settings say for this subset.

        Raises:
            DatasetError: Shapes do not fit, or a class is in one part of the split only.
            SpecificationError: An argument or a setting is not valid.
        """
        flow = self.resolve_flow(subset, batch_size, shuffle, seed, augment)
        if isinstance(x, tuple) and len(x) == 2 and y is None:
            x, y = x
        images = self.to_channels_last(np.asarray(x))
        labels = None if y is None else np.asarray(y)
        weights = None if sample_weight is None else np.asarray(sample_weight)
        for name, array in (("y", labels), ("sample_weight", weights)):
            if array is not None and len(array) != len(images):
                raise DatasetError(f"x has {len(images)} images, but {name} has {len(array)} values.")
        if subset is not None:
            cut = int(len(images) * self.validation_split)
            part = slice(cut) if subset == "validation" else slice(cut, None)
            if labels is not None and not ignore_class_split:
                _check_classes_in_both(get_class_ids(labels), cut)
            images = images[part]
            labels = None if labels is None else labels[part]
            weights = None if weights is None else weights[part]
        if not len(images):
            raise DatasetError(f"The subset '{subset}' has no image." if subset else "x has no image.")
        ids = np.full(len(images), -1) if labels is None else get_class_ids(labels)
        save = self._make_save_settings(save_to_dir, save_prefix, save_format)
        return self.flow_labels(images, Labels(ids, None, values=labels, weights=weights), flow, save=save)

    def flow_labels(
        self,
        images: np.ndarray,
        labels: Labels,
        flow: FlowOptions,
        classes: Sequence[str] | None = None,
        save: SaveSettings | None = None,
    ) -> ImageIterator:
        """Return an iterator over the images of one subset.

        Args:
            images: `(n, height, width, channels)`.
            labels: Their labels.
            flow: Options of the iterator.
            classes: Class names; `None`: the ids as text.
            save: Write the images to files, too.

        Raises:
            SpecificationError: A setting is not valid.
        """
        self._check_ready()
        n_classes = labels.n_classes or (int(labels.ids.max()) + 1 if len(labels.ids) else 0)
        names = classes or [str(i) for i in range(n_classes)]
        params = ParallelProcessParams(
            generator=self,
            subset=flow.subset,
            split=get_split(flow.subset, self.validation_split),
            class_indices={name: i for i, name in enumerate(names)},
            class_mode=labels.mode,
            target_size=(images.shape[1], images.shape[2]),
            batch_shape=(flow.batch_size, *images.shape[1:]),
            dtype=np.dtype(self.dtype or np.float32),
        )
        return ImageIterator(ImageBatches(self, params, ArrayImages(images), labels, flow, save))

    def fit(self, x: ArrayLike, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Compute the mean, the deviation and the whitening matrix that the feature-wise settings need.

        Args:
            x: Images, `(n, height, width, channels)`.
            augment: Use randomly transformed images.
            rounds: Number of transforms of each image, if `augment` is set.
            seed: Seed of the transforms; `None` means 42.

        Raises:
            DatasetError: `x` does not have four axes.
        """
        images = self.to_channels_last(np.asarray(x)).astype(np.float32)
        if augment:
            transforms = self.random_transforms()
            rngs = [batch_rng(check_seed(seed), epoch, 0, "fit") for epoch in range(rounds)]
            images = np.concatenate([transforms(images.copy(), rng) for rng in rngs])
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
        image = self.to_channels_last(np.asarray(x)[None]).astype(np.float32)
        transformed = self.random_transforms()(image, batch_rng(check_seed(seed), 0, 0))
        return np.asarray(self.to_data_format(transformed)[0])

    @property
    def default_transform(self) -> dict[str, TransformValue]:
        """The parameters, by name, that leave an image unchanged.

        `theta` and `shear` in degrees, `tx` (down) and `ty` (sideways) in pixels, zooms `zx` (height) and `zy`
        (width), `flip_horizontal`, `flip_vertical`, and `channel_shift_intensity`, `brightness`, `contrast` and
        `noise` (a name), which may be `None`.
        """
        return dict(UNCHANGED)

    def get_random_transform(
        self, img_shape: Sequence[int], seed: int | None = None
    ) -> dict[str, TransformValue]:
        """Draw the parameters of a transform: a dictionary with the keys of `default_transform`.

        Args:
            img_shape: Shape of the image, in the `data_format` of the generator.
            seed: Seed of the draw; `None` means that of the generator, whose draws differ.
        """
        if not self.random_transforms_enabled:
            return self.default_transform
        height, width, _ = self.to_channels_last(np.empty((1, *img_shape), np.bool_)).shape[1:]
        rng = self._rng if seed is None else batch_rng(check_seed(seed), 0, 0)
        return self.random_transforms().draw_one(height, width, rng)

    def apply_transform(
        self, x: np.ndarray, transform_parameters: Mapping[str, TransformValue]
    ) -> np.ndarray:
        """Return one image, `(height, width, channels)`, transformed; float32.

        Args:
            x: The image.
            transform_parameters: Parameters by name, see `default_transform`; missing ones change nothing.

        Raises:
            SpecificationError: There is no parameter or noise of that name.
        """
        transforms = self.random_transforms()
        noises = [name for name, _ in transforms.noise]
        noise = transform_parameters.get("noise")
        for name, known in ((noise, [None, *noises]), *((n, UNCHANGED) for n in transform_parameters)):
            if name not in known:
                raise SpecificationError(f"There is no transform '{name}'.{did_you_mean(str(name), known)}")
        image = self.to_channels_last(np.asarray(x)[None]).astype(np.float32)[0]
        transformed = transforms.apply_one(image, transform_parameters, self._rng)
        return np.asarray(self.to_data_format(transformed[None])[0])

    @cached_property
    def _rng(self) -> np.random.Generator:
        return batch_rng(check_seed(None), 0, 0)

    def standardize(self, x: np.ndarray) -> np.ndarray:
        """Return one image, `(height, width, channels)`, or a batch, standardized as in the iterators."""
        batch = np.asarray(x)
        is_single = batch.ndim == 3
        batch = self.to_channels_last(batch[None] if is_single else batch)
        standardized = self.standardize_batch(batch.astype(np.float32))
        return np.asarray(standardized[0]) if is_single else standardized

    def _check_ready(self) -> None:
        self.check()
        needed = {
            "featurewise_center": self.mean,
            "featurewise_std_normalization": self.std,
            "zca_whitening": self.zca_whitening_matrix,
        }
        for name, statistics in needed.items():
            if getattr(self, name) and statistics is None:
                raise SpecificationError(
                    f"{name} needs the statistics of the data set: call datagen.fit(x) first."
                )

    def _make_save_settings(
        self, directory: str | os.PathLike[str] | None, prefix: str, file_format: str
    ) -> SaveSettings | None:
        directory = directory if directory is not None else self.save_to_dir
        if directory is None:
            return None
        return SaveSettings(
            os.fspath(directory), prefix or self.save_prefix or "", self.save_format or file_format
        )


def _check_classes_in_both(ids: np.ndarray, cut: int) -> None:
    missing = set(ids[:cut].tolist()) ^ set(ids[cut:].tolist())
    if missing:
        raise DatasetError(
            f"Class {min(missing)} is in one part of the validation split only: arrays are cut in one place. "
            f"Shuffle them first, or set ignore_class_split=True."
        )
