"""Recordings, and the batches that are made of them as a pure function of seed, epoch and position."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.data.batches import GeneratorBatches, Labels, callback_name
from mltk.data.seeding import batch_rng
from mltk.errors import DatasetError
from mltk_plugin_audio._augmentation import AUGMENTATIONS, RandomTransforms, Transforms, default_transforms
from mltk_plugin_audio._files import as_float, fitted, read_recording, resampled, speech_bounds
from mltk_plugin_audio._vocoder import transformed

if TYPE_CHECKING:
    from mltk_plugin_audio.generator import ParallelAudioDataGenerator, ParallelProcessParams

SILENCE = "_silence_"
"""Class whose samples have no file, and the name of each of them."""

UNKNOWN = "_unknown_"
"""Class whose samples come from the folders that are not named as classes."""


class FileSamples:
    """Recordings in files; they stay in memory after the first epoch, as far as there is room.

    Args:
        root: Folder that the names are relative to.
        names: Paths of the files; `None` for silence.
        rate: Of silence, in Hz.
        length: Of silence, in samples.
        cache_bytes: Memory for decoded recordings.
    """

    def __init__(
        self, root: str, names: Sequence[str | None], rate: int, length: int, cache_bytes: int
    ) -> None:
        self.names = [SILENCE if name is None else name for name in names]
        self._root = root
        self._silent = [name is None for name in names]
        self._rate = rate
        self._length = length
        self._room = cache_bytes
        self._cache: dict[int, tuple[np.ndarray, int]] = {}
        self._lock = threading.Lock()

    def read(self, index: int) -> tuple[np.ndarray, int]:
        """Return float32 `(n,)` that the caller may overwrite, and its rate."""
        if self._silent[index]:
            return np.zeros(self._length, np.float32), self._rate
        cached = self._cache.get(index)
        if cached is None:
            cached = read_recording(self.path(index))
            with self._lock:
                size = cached[0].nbytes
                if index not in self._cache and size <= self._room:
                    self._cache[index] = cached
                    self._room -= size
        samples, rate = cached
        return as_float(samples) if samples.dtype == np.int16 else samples.copy(), rate

    def path(self, index: int) -> str:
        """Return the path of a file; empty for silence."""
        if self._silent[index]:
            return ""
        return os.path.join(self._root, self.names[index])  # noqa: PTH118 (100,000 times quicker matters)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for index in np.argsort(np.array(self.names)):
            size = 0 if self._silent[index] else Path(self.path(index)).stat().st_size
            digest.update(f"{self.names[index]}\0{size}\n".encode())
        return digest.hexdigest()


class AudioBatches(GeneratorBatches):
    """The `BatchSource` of an audio generator.

    Args:
        generator: Settings.
        params: Given to callbacks.
        samples: The recordings.
        labels: Their labels.
        random: The random transforms.
        allowed: bool `(classes, len(AUGMENTATIONS))`: which of them are applied to which class.
        **common: See `GeneratorBatches`.
    """

    def __init__(
        self,
        generator: ParallelAudioDataGenerator,
        params: ParallelProcessParams,
        samples: FileSamples,
        labels: Labels,
        *,
        random: RandomTransforms,
        allowed: np.ndarray | None = None,
        **common: Any,
    ) -> None:
        super().__init__(generator, params, samples, labels, **common)
        self.generator = generator
        self.samples = samples
        self.random = random
        self._allowed = allowed
        audio = generator.augmentation_steps if self.augment else ()
        spectrogram = generator.spectrogram_augmentation_steps if self.augment else ()
        self._steps = {
            (domain, stage): [step for step in steps if step.stage == stage]
            for domain, steps in (("audio", audio), ("spectrogram", spectrogram))
            for stage in ("before", "after")
        }

    def files(self, indices: np.ndarray) -> list[Any]:
        """Return names of files, empty for silence; see `GeneratorBatches`."""
        return [self.names[i] if self.samples.path(i) else "" for i in indices]

    def samples_of_batch(self, epoch: int, index: int, indices: np.ndarray) -> np.ndarray:
        """Return x of a batch; see `GeneratorBatches`."""
        transforms = self.transforms(epoch, index, indices)
        x = self.waveforms(epoch, index, indices, transforms)
        if self.generator.frontend_enabled:
            x = self.spectrograms(x, epoch, index, indices, transforms)
        else:
            x = self.called_on_batch(self.generator.postprocessing_function, x, index, indices)
        return self.generator.finished(x)

    def transforms(self, epoch: int, index: int, indices: np.ndarray) -> Transforms:
        """Draw what happens to each clip of a batch."""
        if not self.augment:
            return default_transforms(len(indices))
        allowed = None if self._allowed is None else self._allowed[self.labels.ids[indices]]
        return self.random.draw(len(indices), batch_rng(self.seed, epoch, index), allowed)

    def waveforms(self, epoch: int, index: int, indices: np.ndarray, transforms: Transforms) -> np.ndarray:
        """Return float32 `(n, samples)`, -1 to 1, at the target rate, as the front end gets them."""
        generator = self.generator
        rates: list[int] = []

        def recordings() -> Iterator[np.ndarray]:
            for number in indices.tolist():
                recording, rate = self.samples.read(number)
                rates.append(rate)
                yield recording

        # One at a time: recordings may be long, of which only a part is wanted.
        clips = self.each_called(generator.noaug_preprocessing_function, recordings(), index, indices)
        x = np.zeros((len(indices), generator.sample_length), np.float32)
        spans = np.zeros((len(indices), 2), np.int64)
        for i, clip in enumerate(clips):
            if clip.ndim != 1:
                raise DatasetError(
                    f"{callback_name(generator.noaug_preprocessing_function)} returned shape {clip.shape} for "  # type: ignore[arg-type]
                    f"'{self.names[indices[i]]}'; it must return one row of samples."
                )
            spans[i] = placed(clip, rates[i], generator, transforms, i, x[i])
        if self.augment:
            x = self.stepped(self._steps["audio", "before"], x, epoch, index)
            x = self.random.mix(x, spans, transforms, batch_rng(self.seed, epoch, index, "noise"))
            x = self.stepped(self._steps["audio", "after"], x, epoch, index)
        if generator.preprocessing_function is not None or not generator.frontend_enabled:
            # The front end clips by itself.
            x = np.clip(x, -1, 1, out=x)
        x = self.called_on_batch(generator.preprocessing_function, x, index, indices)
        if generator.frontend_enabled and x.shape[1:] != (generator.sample_length,):
            raise DatasetError(
                f"{callback_name(generator.preprocessing_function)} returned shape {x.shape[1:]}; "  # type: ignore[arg-type]
                f"the front end takes {generator.sample_length} samples."
            )
        return x

    def spectrograms(
        self, x: np.ndarray, epoch: int, index: int, indices: np.ndarray, transforms: Transforms
    ) -> np.ndarray:
        """Return `(n, frames, channels)` of clips, after masks, steps and callback."""
        generator = self.generator
        x = generator.frontend.process_batch(x, generator.output_of_frontend)
        if self.augment:
            masks = self.random.frequency_masks[0] or self.random.time_masks[0]
            before, after = self._steps["spectrogram", "before"], self._steps["spectrogram", "after"]
            x = self.stepped(before, x.astype(np.float32), epoch, index) if before else x
            if masks:
                rng = batch_rng(self.seed, epoch, index, "mask")
                x = self.random.mask(x.astype(np.float32, copy=False), transforms, rng)
            x = self.stepped(after, x.astype(np.float32), epoch, index) if after else x
        return self.called_on_batch(generator.postprocessing_function, x, index, indices)


def placed(
    clip: np.ndarray,
    rate: int,
    generator: ParallelAudioDataGenerator,
    transforms: Transforms,
    i: int,
    out: np.ndarray,
) -> tuple[int, int]:
    """Trim, stretch, resample, and pad or crop a recording into `out`; return where it begins and ends."""
    clip = adjusted(clip, rate, generator, transforms, i)
    return fitted(clip, len(out), float(transforms.offset_percentage[i]), out)


def adjusted(
    clip: np.ndarray, rate: int, generator: ParallelAudioDataGenerator, transforms: Transforms, i: int
) -> np.ndarray:
    """Trim, stretch and resample a recording."""
    threshold = generator.trim_threshold_db
    if threshold is not None and threshold > 0 and len(clip):
        start, stop = speech_bounds(clip, rate, threshold)
        clip = clip[start:stop]
    target = generator.sample_rate_hz
    if not transforms.stretches(i) or not clip.any():
        return resampled(clip, rate, target)
    return transformed(
        clip,
        rate,
        target,
        float(transforms.speed_factor[i]),
        float(transforms.pitch_factor[i]),
        float(transforms.vtlp_factor[i]),
    )


def allowed_augmentations(switches: Mapping[str, Sequence[str]], classes: Sequence[str]) -> np.ndarray | None:
    """Return bool `(classes, len(AUGMENTATIONS))`: what may be applied to each class; `None` for all."""
    if not switches:
        return None
    allowed = np.ones((len(classes), len(AUGMENTATIONS)), bool)
    for label, names in switches.items():
        if label in classes:
            allowed[list(classes).index(label)] = [name in names for name in AUGMENTATIONS]
    return allowed
