"""Samples, and the batches that are made of them as a pure function of seed, epoch and position."""

from __future__ import annotations

import hashlib
import inspect
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mltk.core.preprocess.seeding import batch_rng, epoch_permutation
from mltk.errors import DatasetError, SpecificationError, did_you_mean
from mltk_plugin_image._files import CHANNELS, read_image

if TYPE_CHECKING:
    from mltk.plugins.types import AugmentationStep
    from mltk_plugin_image.generator import ParallelImageDataGenerator, ParallelProcessParams

CLASS_MODES = ("categorical", "binary", "sparse", "input", None)
"""What a batch holds besides the images: one-hot, class ids (two names for it), the images, nothing."""

CALLBACK_ARGUMENTS = ("class_id", "filename", "batch_index", "batch_class_ids", "batch_filenames")
"""What a callback may ask for by naming it, after its two positional arguments `(params, x)`."""


class Samples(Protocol):
    """Images that can be read by their number."""

    @property
    def names(self) -> Sequence[str]:
        """What each image is called in callbacks and error messages."""
        ...

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Return float32 `(n, height, width, channels)` that the caller may overwrite."""
        ...

    def fingerprint(self) -> str:
        """Return a hex digest over the identity of all samples."""
        ...


class ArraySamples:
    """Images in memory."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = images
        self.names = [f"sample {i}" for i in range(len(images))]

    def read(self, indices: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self._images[indices], np.float32)

    def fingerprint(self) -> str:
        return _digest(np.ascontiguousarray(self._images))


class FileSamples:
    """Images in files; the first ones stay in memory after the first epoch, decoded and resized.

    Args:
        root: Folder that the names are relative to.
        names: Paths of the files.
        size: `(height, width)` to which images are resized.
        color_mode: Key of `CHANNELS`.
        interpolation: See `read_image`.
        cache_bytes: Memory for decoded images.
    """

    def __init__(
        self,
        root: str,
        names: Sequence[str],
        size: tuple[int, int],
        color_mode: str,
        interpolation: str,
        cache_bytes: int,
    ) -> None:
        self.names = names
        self._root = root
        self._size = size
        self._color_mode = color_mode
        self._interpolation = interpolation
        self._shape = (*size, CHANNELS[color_mode])
        # The system gives memory to an empty array only where it is written.
        room = min(len(names), cache_bytes // int(np.prod(self._shape)))
        self._cache = np.empty((room, *self._shape), np.uint8)
        self._cached = np.zeros(len(names), bool)

    def read(self, indices: np.ndarray) -> np.ndarray:
        cached = self._cached[indices]
        if cached.all():
            return np.asarray(self._cache[indices], np.float32)
        batch = np.empty((len(indices), *self._shape), np.float32)
        batch[cached] = self._cache[indices[cached]]
        for row in np.flatnonzero(~cached):
            index = indices[row]
            image = read_image(self.path(index), self._color_mode, self._size, self._interpolation)
            batch[row] = image
            if index < len(self._cache) and image.dtype == np.uint8:
                self._cache[index] = image
                self._cached[index] = True
        return batch

    def path(self, index: int) -> str:
        """Return the path of a file."""
        return os.path.join(self._root, self.names[index])  # noqa: PTH118 (100,000 times quicker matters)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for index in np.argsort(np.array(self.names)):
            size = Path(self.path(index)).stat().st_size
            digest.update(f"{self.names[index]}\0{size}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Labels:
    """What the model is to learn from each image."""

    ids: np.ndarray
    """int64 `(n,)`: class id of each sample, -1 where there are no classes."""
    mode: str | None = "categorical"
    """One of `CLASS_MODES`."""
    n_classes: int = 0
    values: np.ndarray | None = None
    """Labels that are given as they are, whatever the mode."""
    weights: np.ndarray | None = None
    """Weight of each sample."""

    def batch(self, indices: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return `()`, `(y,)` or `(y, sample_weight)` for a batch of samples."""
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        if self.values is not None:
            y = self.values[indices]
        elif self.mode is None:
            return ()
        elif self.mode == "input":
            y = x.copy()
        elif self.mode == "categorical":
            y = np.zeros((len(indices), self.n_classes), dtype)
            y[np.arange(len(indices)), self.ids[indices]] = 1
        else:
            y = self.ids[indices].astype(dtype)
        return (y,) if self.weights is None else (y, self.weights[indices])


@dataclass(frozen=True)
class SaveSettings:
    """Where augmented images are written, before they are standardised."""

    directory: str
    prefix: str = ""
    format: str = "png"


class ImageBatches:
    """The `BatchSource` of an image generator.

    Args:
        generator: Settings.
        params: Given to callbacks.
        samples: The images.
        labels: Their labels.
        batch_size: Samples in a batch; the last one holds what is left.
        shuffle: Take samples in a new order in each epoch.
        seed: Of order and transforms.
        augment: Apply the random transforms and the steps of plugins.
        same_every_epoch: Draw the same numbers, hence give the same batches, in every epoch.
        steps: Augmentation steps of plugins.
        save: Write the images to files, too.
    """

    def __init__(
        self,
        generator: ParallelImageDataGenerator,
        params: ParallelProcessParams,
        samples: Samples,
        labels: Labels,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        augment: bool,
        same_every_epoch: bool,
        steps: Sequence[AugmentationStep] = (),
        save: SaveSettings | None = None,
    ) -> None:
        self.generator = generator
        self.params = params
        self.samples = samples
        self.labels = labels
        self.n = len(labels.ids)
        self.batch_size = batch_size if batch_size > 0 else self.n
        self.shuffle = shuffle
        self.seed = seed
        self.augment = augment
        self.same_every_epoch = same_every_epoch
        self.steps = steps
        self.save = save
        self._transforms = generator.random_transforms() if augment else None
        self._before = [s for s in steps if augment and s.stage == "before"]
        self._after = [s for s in steps if augment and s.stage == "after"]
        self._order: tuple[int, np.ndarray] = (-1, np.arange(self.n))
        self._order_lock = threading.Lock()

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def batch(self, epoch: int, index: int) -> tuple[np.ndarray, ...]:
        """Return `(x,)`, `(x, y)` or `(x, y, sample_weight)`; see `BatchSource`."""
        if self.same_every_epoch:
            epoch = 0
        indices = self.order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        custom = self.generator.get_batch_function
        if custom is not None:
            names = [self.samples.names[i] for i in indices]
            return tuple(custom(index, names, self.labels.ids[indices], self.params)[1])
        x = self._transformed(epoch, index, indices)
        if self.save is not None:
            self._save(self.save, x, epoch, indices)
        x = self.generator.standardized(x)
        return (x, *self.labels.batch(indices, x))

    def order(self, epoch: int) -> np.ndarray:
        """Return the sample numbers of an epoch in the order in which they come."""
        if not self.shuffle:
            return self._order[1]
        with self._order_lock:
            if self._order[0] != epoch:
                self._order = (epoch, epoch_permutation(self.n, self.seed, epoch))
            return self._order[1]

    def _transformed(self, epoch: int, index: int, indices: np.ndarray) -> np.ndarray:
        generator = self.generator
        x = self.samples.read(indices)
        x = self._called(generator.noaug_preprocessing_function, x, index, indices)
        x = self._stepped(self._before, x, epoch, index)
        if self._transforms is not None:
            x = self._transforms(x, batch_rng(self.seed, epoch, index))
        x = self._stepped(self._after, x, epoch, index)
        return self._called(generator.preprocessing_function, x, index, indices)

    def _stepped(
        self, steps: Sequence[AugmentationStep], x: np.ndarray, epoch: int, index: int
    ) -> np.ndarray:
        for step in steps:
            # A stream of its own: a plugin that is installed or removed does not move any other draw.
            result = step.apply(x, batch_rng(self.seed, epoch, index, f"step {step.name}"))
            if np.shape(result)[:1] != x.shape[:1]:
                raise DatasetError(
                    f"The augmentation step '{step.name}' returned shape {np.shape(result)} for a batch of "
                    f"shape {x.shape}; it must keep the number of images."
                )
            x = np.array(result, np.float32, order="C")
        return x

    def _called(
        self, function: Callable[..., Any] | None, x: np.ndarray, index: int, indices: np.ndarray
    ) -> np.ndarray:
        if function is None:
            return x
        wanted = callback_arguments(function)
        class_ids = self.labels.ids[indices]
        names = [self.samples.names[i] for i in indices]
        results: list[np.ndarray] = []
        for image, class_id, name in zip(x, class_ids.tolist(), names, strict=True):
            available = {
                "class_id": class_id,
                "filename": name,
                "batch_index": index,
                "batch_class_ids": class_ids,
                "batch_filenames": names,
            }
            try:
                result = np.asarray(
                    function(self.params, image, **{k: available[k] for k in wanted}), np.float32
                )
            except Exception as e:
                e.add_note(f"Raised by {_name(function)} for '{name}'.")
                raise
            if results and result.shape != results[0].shape:
                raise DatasetError(
                    f"{_name(function)} returned shape {result.shape} for '{name}', and {results[0].shape} "
                    f"for another image of the same batch."
                )
            results.append(result)
        return np.stack(results)

    def _save(self, save: SaveSettings, x: np.ndarray, epoch: int, indices: np.ndarray) -> None:
        from mltk_plugin_image.utils import write_image_file

        low, high = self.generator.value_range
        scaled = np.clip((x - low) * (255 / (high - low)), 0, 255)
        prefix = f"{save.prefix}_" if save.prefix else ""
        for image, index in zip(scaled, indices.tolist(), strict=True):
            path = Path(save.directory, f"{prefix}{index}_{epoch}.{save.format}")
            write_image_file(str(path), image, auto_scale=False)


def callback_arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return those of `CALLBACK_ARGUMENTS` that the signature of a callback names.

    Raises:
        SpecificationError: It does not take `(params, x)`, or needs something that does not exist.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # Some built-in functions have no signature.
        return ()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        named = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    elif len([p for p in parameters if p.kind in positional]) >= 2:
        named = parameters[2:]
    else:
        raise SpecificationError(f"{_name(function)} must take two positional arguments, (params, x).")
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in named):
        return CALLBACK_ARGUMENTS
    for parameter in named:
        if parameter.name not in CALLBACK_ARGUMENTS and parameter.default is inspect.Parameter.empty:
            raise SpecificationError(
                f"{_name(function)} asks for '{parameter.name}'. Besides (params, x) a callback may name: "
                f"{', '.join(CALLBACK_ARGUMENTS)}.{did_you_mean(parameter.name, CALLBACK_ARGUMENTS)}"
            )
    return tuple(p.name for p in named if p.name in CALLBACK_ARGUMENTS)


def _name(function: Callable[..., Any]) -> str:
    return f"The callback '{getattr(function, '__name__', None) or type(function).__name__}'"


def _digest(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.shape} {array.dtype}".encode())
    digest.update(array.data)
    return digest.hexdigest()
