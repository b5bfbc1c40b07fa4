"""Samples, and the batches that are made of them as a pure function of seed, epoch and position."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mltk.data.batches import GeneratorBatches, Labels
from mltk.data.batches import Samples as NamedSamples
from mltk.data.seeding import batch_rng
from mltk.errors import DatasetError
from mltk_plugin_image._files import CHANNELS, read_image

if TYPE_CHECKING:
    from mltk_plugin_image.generator import ParallelImageDataGenerator, ParallelProcessParams


class Samples(NamedSamples, Protocol):
    """Images that can be read by their number."""

    images_per_sample: int
    """More than 1 where a sample is a pair of images, or a longer tuple."""

    def read(self, indices: np.ndarray, part: int = 0) -> np.ndarray | list[np.ndarray]:
        """Return float32 `(n, height, width, channels)` that the caller may overwrite, or a list of different sizes.

        Args:
            indices: Numbers of the samples.
            part: Which of the images of each sample.
        """
        ...


class ArraySamples:
    """Images in memory."""

    images_per_sample = 1

    def __init__(self, images: np.ndarray) -> None:
        self._images = images
        self.names = [f"sample {i}" for i in range(len(images))]

    def read(self, indices: np.ndarray, part: int = 0) -> np.ndarray:
        return np.ascontiguousarray(self._images[indices], np.float32)

    def fingerprint(self) -> str:
        return _digest(np.ascontiguousarray(self._images))


class FileSamples:
    """Images in files; the first ones stay in memory after the first epoch, decoded and resized.

    Args:
        root: Folder that the names are relative to.
        names: Paths of the files; or a tuple of paths for each sample.
        size: `(height, width)` to which images are resized; `None` leaves each as it is.
        color_mode: Key of `CHANNELS`.
        interpolation: See `read_image`.
        cache_bytes: Memory for decoded images.
    """

    def __init__(
        self,
        root: str,
        names: Sequence[Any],
        size: tuple[int, int] | None,
        color_mode: str,
        interpolation: str,
        cache_bytes: int,
    ) -> None:
        self.names = names
        first = names[0] if names else ""
        self.images_per_sample = 1 if isinstance(first, str) else len(first)
        self._files = [f for name in names for f in ((name,) if isinstance(name, str) else name)]
        self._root = root
        self._size = size
        self._color_mode = color_mode
        self._interpolation = interpolation
        self._shape = (*(size or (0, 0)), CHANNELS[color_mode])
        # The system gives memory to an empty array only where it is written.
        room = min(len(self._files), cache_bytes // int(np.prod(self._shape))) if size else 0
        self._cache = np.empty((room, *self._shape), np.uint8)
        self._cached = np.zeros(len(self._files), bool)

    def read(self, indices: np.ndarray, part: int = 0) -> np.ndarray | list[np.ndarray]:
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
        return read_image(self.path(index), self._color_mode, self._size, self._interpolation)

    def path(self, index: int) -> str:
        """Return the path of a file."""
        return os.path.join(self._root, self._files[index])  # noqa: PTH118 (100,000 times quicker matters)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for index in np.argsort(np.array(self._files)):
            size = Path(self.path(index)).stat().st_size
            digest.update(f"{self._files[index]}\0{size}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class SaveSettings:
    """Where augmented images are written, before they are standardised."""

    directory: str
    prefix: str = ""
    format: str = "png"


class ImageBatches(GeneratorBatches):
    """The `BatchSource` of an image generator.

    Args:
        generator: Settings.
        params: Given to callbacks.
        samples: The images.
        labels: Their labels.
        save: Write the images to files, too.
        **common: See `GeneratorBatches`.
    """

    def __init__(
        self,
        generator: ParallelImageDataGenerator,
        params: ParallelProcessParams,
        samples: Samples,
        labels: Labels,
        *,
        save: SaveSettings | None = None,
        **common: Any,
    ) -> None:
        super().__init__(generator, params, samples, labels, **common)
        self.generator = generator
        self.samples = samples
        self.save = save
        steps = generator.augmentation_steps if self.augment else ()
        self._transforms = generator.random_transforms() if self.augment else None
        self._before = [s for s in steps if s.stage == "before"]
        self._after = [s for s in steps if s.stage == "after"]

    def samples_of_batch(
        self, epoch: int, index: int, indices: np.ndarray
    ) -> np.ndarray | tuple[np.ndarray, ...]:
        """Return x of a batch, or a tuple of as many as there are images in a sample; see `GeneratorBatches`."""
        parts = range(self.samples.images_per_sample)
        batches = tuple(self._images_of_batch(epoch, index, indices, part) for part in parts)
        return batches if len(batches) > 1 else batches[0]

    def _images_of_batch(self, epoch: int, index: int, indices: np.ndarray, part: int) -> np.ndarray:
        x = self.samples.read(indices, part)
        stream = f" {part}" if part else ""
        if isinstance(x, np.ndarray):
            x = self._augmented(x, epoch, index, indices, stream)
        else:
            images = [
                self._augmented(image[None], epoch, index, indices[i : i + 1], f"{stream} image {i}")
                for i, image in enumerate(x)
            ]
            for i, image in zip(indices, images, strict=True):
                if image.shape != images[0].shape:
                    raise DatasetError(
                        f"The image '{self.names[i]}' has the shape {image.shape[1:]}, and another of the same "
                        f"batch {images[0].shape[1:]}: with interpolation 'none' nothing is resized, so "
                        f"preprocessing_function must bring all images to one size."
                    )
            x = np.concatenate(images)
        if self.save is not None:
            self._save(self.save, x, epoch, indices * self.samples.images_per_sample + part)
        return self.generator.standardized(x)

    def _augmented(
        self, x: np.ndarray, epoch: int, index: int, indices: np.ndarray, stream: str
    ) -> np.ndarray:
        generator = self.generator
        x = self.called_on_batch(generator.noaug_preprocessing_function, x, index, indices)
        x = self.stepped(self._before, x, epoch, index, stream)
        if self._transforms is not None:
            x = self._transforms(x, batch_rng(self.seed, epoch, index, f"transform{stream}"))
        x = self.stepped(self._after, x, epoch, index, stream)
        return self.called_on_batch(generator.preprocessing_function, x, index, indices)

    def _save(self, save: SaveSettings, x: np.ndarray, epoch: int, indices: np.ndarray) -> None:
        from mltk_plugin_image.utils import write_image_file

        low, high = self.generator.value_range
        scaled = np.clip((x - low) * (255 / (high - low)), 0, 255)
        prefix = f"{save.prefix}_" if save.prefix else ""
        for image, index in zip(scaled, indices.tolist(), strict=True):
            path = Path(save.directory, f"{prefix}{index}_{epoch}.{save.format}")
            write_image_file(str(path), image, auto_scale=False)


def _digest(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.shape} {array.dtype}".encode())
    digest.update(array.data)
    return digest.hexdigest()
