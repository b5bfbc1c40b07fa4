"""Read images, and make batches of them as a pure function of seed, epoch and position."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from mltk.data import (
    BatchPosition,
    FileReport,
    FileSamples,
    FlowOptions,
    GeneratorBatches,
    Labels,
    ProcessParams,
    Samples,
)
from mltk.errors import DatasetError
from mltk_plugin_image._files import CHANNELS, DEFAULT_RULES, ReadingRules, read_image
from mltk_plugin_image._settings import ImageSettings
from mltk_plugin_image.utils import write_image_file

_FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ParallelProcessParams(ProcessParams):
    """Description of a data set: the first argument of callbacks.

    The settings of the generator are attributes too.
    """

    target_size: tuple[int, int] | None = None
    """`(height, width)`."""
    color_mode: str | None = None
    interpolation: str | None = None
    batch_shape: tuple[int, ...] | None = None
    """Shape of a whole batch before standardization."""
    dtype: np.dtype[np.generic] = _FLOAT32

    @property
    def image_data_generator(self) -> ImageSettings:
        """The data generator."""
        assert isinstance(self.generator, ImageSettings)
        return self.generator


class ImageSamples(Samples, Protocol):
    """Images that are read by their number."""

    images_per_sample: int
    """More than 1 if a sample is a pair of images, or a longer tuple."""

    def read(self, indices: np.ndarray, part: int = 0) -> np.ndarray | list[np.ndarray]:
        """Return float32 `(n, height, width, channels)` that the caller may overwrite, or a list of different sizes.

        Args:
            indices: Numbers of the samples.
            part: Position of the image in each sample.
        """
        ...


class ArrayImages:
    """Images in memory."""

    images_per_sample = 1

    def __init__(self, images: np.ndarray) -> None:
        self._images = images
        self.names = self.files = [f"sample {i}" for i in range(len(images))]

    def read(self, indices: np.ndarray, part: int = 0) -> np.ndarray:
        """Return the images as `ImageSamples` describes."""
        return np.ascontiguousarray(self._images[indices], np.float32)

    def close_report(self) -> None:
        """Do nothing: there are no files."""

    def path(self, index: int) -> str:
        """Return an empty string: there are no files."""
        return ""

    def fingerprint(self) -> str:
        """Return a hex digest of the pixels."""
        images = np.ascontiguousarray(self._images)
        digest = hashlib.sha256(f"{images.shape} {images.dtype}".encode())
        digest.update(images.data)
        return digest.hexdigest()


class FileImages:
    """Images in files; decoded and resized, they stay in memory as far as there is room.

    Args:
        root: Folder that the names are relative to.
        names: Paths of the files; or a tuple of paths for each sample.
        size: `(height, width)` to resize images to; `None` keeps the size of each.
        color_mode: Key of `CHANNELS`.
        interpolation: See `read_image`.
        cache_bytes: Memory for decoded images.
        rules: How to read what is ambiguous.
    """

    def __init__(
        self,
        root: str,
        names: Sequence[str],
        size: tuple[int, int] | None,
        color_mode: str,
        interpolation: str,
        cache_bytes: int,
        rules: ReadingRules = DEFAULT_RULES,
    ) -> None:
        self.names = self.files = names
        first = names[0] if names else ""
        self.images_per_sample = 1 if isinstance(first, str) else len(first)
        flat = [file for name in names for file in ((name,) if isinstance(name, str) else name)]
        self._images = FileSamples(root, flat)
        self._size = size
        self._color_mode = color_mode
        self._interpolation = interpolation
        self._rules = rules
        self._shape = (*(size or (0, 0)), CHANNELS[color_mode])
        # The system gives memory to an empty array only where it is written.
        room = min(len(flat), cache_bytes // int(np.prod(self._shape))) if size else 0
        self._cache = np.empty((room, *self._shape), np.uint8)
        self._cached = np.zeros(len(flat), bool)

    def read(self, indices: np.ndarray, part: int = 0) -> np.ndarray | list[np.ndarray]:
        """Return the images as `ImageSamples` describes."""
        files = indices * self.images_per_sample + part
        if self._size is None:
            images = [self._read(i).astype(np.float32) for i in files]
            return np.stack(images) if len({image.shape for image in images}) == 1 else images
        cached = self._cached[files]
        if cached.all():
            return np.asarray(self._cache[files], np.float32)
        batch = np.empty((len(files), *self._shape), np.float32)
        batch[cached] = self._cache[files[cached]]
        for row in np.flatnonzero(~cached):
            index = files[row]
            image = self._read(index)
            batch[row] = image
            if index < len(self._cache) and image.dtype == np.uint8:
                self._cache[index] = image
                self._cached[index] = True
        return batch

    def _read(self, index: int) -> np.ndarray:
        return self._images.load(index, self._read_file)

    def _read_file(self, path: str, name: str, report: FileReport) -> np.ndarray:
        return read_image(path, self._color_mode, self._size, self._interpolation, self._rules, report, name)

    def close_report(self) -> None:
        """Give the warnings about the files that have been read."""
        self._images.close_report()

    def path(self, index: int) -> str:
        """Return the path of a file."""
        return self._images.path(index)

    def fingerprint(self) -> str:
        """Return a hex digest of the names and sizes of the files."""
        return self._images.fingerprint()


@dataclass(frozen=True)
class SaveSettings:
    """Destination of augmented images, before they are standardized."""

    directory: str
    prefix: str = ""
    format: str = "png"


class ImageBatches(GeneratorBatches[ImageSettings, ImageSamples]):
    """The `BatchSource` of an image generator.

    Args:
        generator: The settings.
        params: First argument of callbacks.
        samples: The images.
        labels: Their labels.
        flow: Batch size, order, seed, and whether to augment.
        save: Write the images to files, too.
    """

    def __init__(
        self,
        generator: ImageSettings,
        params: ParallelProcessParams,
        samples: ImageSamples,
        labels: Labels,
        flow: FlowOptions,
        save: SaveSettings | None = None,
    ) -> None:
        super().__init__(generator, params, samples, labels, flow)
        self.batch_shape = params.batch_shape
        self.save = save
        stages = ("before", "transform", "after")
        self._steps = [step for stage in stages for step in self.select_steps(stage, "image")]

    def samples_of_batch(self, position: BatchPosition) -> np.ndarray | tuple[np.ndarray, ...]:
        """Return x of a batch, or a tuple of as many as there are images in a sample; see `GeneratorBatches`."""
        parts = range(self.samples.images_per_sample)
        batches = tuple(self._make_images(position, part) for part in parts)
        return batches if len(batches) > 1 else batches[0]

    def _make_images(self, position: BatchPosition, part: int) -> np.ndarray:
        x = self.samples.read(position.indices, part)
        stream = f" {part}" if part else ""
        if isinstance(x, np.ndarray):
            x = self._augment(x, position, stream)
        else:
            images = [
                self._augment(image[None], position.select(slice(i, i + 1)), f"{stream} image {i}")
                for i, image in enumerate(x)
            ]
            for i, image in zip(position.indices, images, strict=True):
                if image.shape != images[0].shape:
                    raise DatasetError(
                        f"The image '{self.names[i]}' has the shape {image.shape[1:]}, and another of the same "
                        f"batch {images[0].shape[1:]}: with interpolation 'none' nothing is resized, so "
                        f"preprocessing_function must resize all images to one size."
                    )
            x = np.concatenate(images)
        if self.save is not None:
            numbers = position.indices * self.samples.images_per_sample + part
            self._save(self.save, x, position.epoch, numbers)
        return self.generator.standardize_batch(x)

    def _augment(self, x: np.ndarray, position: BatchPosition, stream: str) -> np.ndarray:
        generator = self.generator
        x = self.apply_callback(generator.noaug_preprocessing_function, x, position)
        x = self.apply_steps(self._steps, x, position, stream)
        return self.apply_callback(generator.preprocessing_function, x, position)

    def _save(self, save: SaveSettings, x: np.ndarray, epoch: int, indices: np.ndarray) -> None:
        low, high = self.generator.value_range
        scaled = np.clip((x - low) * (255 / (high - low)), 0, 255)
        prefix = f"{save.prefix}_" if save.prefix else ""
        for image, index in zip(scaled, indices.tolist(), strict=True):
            path = Path(save.directory, f"{prefix}{index}_{epoch}.{save.format}")
            write_image_file(str(path), image, auto_scale=False)
