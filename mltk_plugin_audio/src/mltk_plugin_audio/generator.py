"""`ParallelAudioDataGenerator`: reads, augments and converts recordings in batches."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mltk.data import (
    DEFAULT_SEED,
    GeneratorIterator,
    ListFilenamesFunction,
    list_class_folders,
    list_directory,
)
from mltk.errors import SpecificationError, did_you_mean
from mltk_plugin_audio._augmentation import (
    RandomTransforms,
    TransformValue,
    default_transforms,
    from_dictionary,
    to_dictionary,
)
from mltk_plugin_audio._batches import (
    SILENCE,
    UNKNOWN,
    AudioBatches,
    AudioSamples,
    ParallelProcessParams,
    transform_recording,
)
from mltk_plugin_audio._files import FILE_FORMATS
from mltk_plugin_audio._noise_and_rooms import RecordingSet
from mltk_plugin_audio._preview import write_preview
from mltk_plugin_audio._settings import AudioGeneratorSettings
from mltk_plugin_audio._signal import pad_or_crop, to_float
from mltk_plugin_audio._speakers import SpeakerLister

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

__all__ = ["AudioIterator", "ParallelAudioDataGenerator", "ParallelProcessParams"]


class AudioIterator(GeneratorIterator[AudioBatches]):
    """Batches of clips in seeded order: `(x,)` or `(x, y)`.

    Each epoch has every clip exactly once; the last batch holds the remaining clips.
    """

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample of x."""
        return self.batches.generator.batch_sample_shape


@dataclass(kw_only=True, eq=False)
class ParallelAudioDataGenerator(AudioGeneratorSettings):
    """Data generator that reads, augments and converts recordings to spectrograms in batches, on threads.

    The random transforms of a batch depend only on the seed of the iterator, the epoch and the position of the batch,
    whatever the number of threads.

    Order: read, `noaug_preprocessing_function`, trim silence, change speed, pitch and vocal tract, resample, pad or
    crop, shift in time, apply a room, add generated noise, add background noise, scale the loudness,
    `preprocessing_function`, front end, masks, `postprocessing_function`, rescale and normalize, add the channel
    axis.

    A callback receives `(params, x)`: `ParallelProcessParams`, and samples `(n,)` or a spectrogram `(frames,
    channels)`. It also receives the arguments among `class_id`, `filename`, `batch_index`, `batch_class_ids` and
    `batch_filenames` that its signature names. It returns the new x. Callbacks run on several threads at once.

    `validation_split` keeps each speaker in one subset if the file names tell the speaker.

    Raises:
        SpecificationError: A setting does not exist, has the wrong type, or is out of range.
    """

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(DEFAULT_SEED)
        self._bg_noises: dict[str, np.ndarray] | None = None
        super().__post_init__()

    @property
    def bg_noises(self) -> dict[str, np.ndarray]:
        """The recordings of `bg_noise_dir` at the target sample rate, by file name without ending.

        Float32 `(n,)` from -1 to 1. A callback may add recordings and name them as `bg_noise` in `apply_transform`.
        """
        if self._bg_noises is None:
            noises = self.random_transforms().noises
            found = zip(noises.names, noises.samples, strict=True) if noises else ()
            self._bg_noises = {Path(name).stem: to_float(samples) for name, samples in found}
        return self._bg_noises

    @property
    def default_transform(self) -> dict[str, TransformValue]:
        """The parameters, by name, that leave a recording unchanged."""
        return to_dictionary(default_transforms(1), 0, RandomTransforms())

    def get_random_transform(self, rng: np.random.Generator | None = None) -> dict[str, TransformValue]:
        """Draw the parameters of a transform: a dictionary with the keys of `default_transform`.

        Args:
            rng: Random generator; `None` means that of the data generator, which has a fixed seed.
        """
        if self.disable_random_transforms:
            return self.default_transform
        random = self._name_noises()
        return to_dictionary(random.draw(1, rng or self._rng), 0, random)

    def apply_transform(
        self,
        sample: ArrayLike,
        orignal_sr: int,
        params: Mapping[str, TransformValue],
        whole_sample: bool = False,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        """Return a transformed recording at the target sample rate.

        Args:
            sample: `(n,)`: float from -1 to 1, or integers.
            orignal_sr: Sample rate of `sample` in Hz.
            params: Parameters by name, see `default_transform`; missing ones change nothing.
            whole_sample: Neither pad nor crop.
            rng: Random generator of the noise; `None` means that of the data generator.

        Raises:
            SpecificationError: `params` has an unknown name or value.
        """
        random = self._name_noises()
        try:
            transforms = from_dictionary(params, random)
        except KeyError as e:
            known = [*self.default_transform, *random.noise_colors]
            raise SpecificationError(
                f"There is no transform {e}.{did_you_mean(str(e.args[0]), known)}"
            ) from None
        clip = transform_recording(to_float(np.asarray(sample)), orignal_sr, self, transforms, 0)
        x = np.zeros((1, len(clip) if whole_sample else self.sample_length), np.float32)
        span = pad_or_crop(clip, x.shape[1], float(transforms.offset_percentage[0]), x[0])
        mixed = random.transform_clips(x, rng or self._rng, np.array([span]), transforms)
        return np.asarray(np.clip(mixed[0], -1, 1))

    def adjust_length(
        self,
        sample: ArrayLike,
        orignal_sr: int,
        offset: float = 0,
        whole_sample: bool = False,
        out_length: int | None = None,
    ) -> np.ndarray:
        """Return a recording trimmed, resampled, and padded or cropped.

        Args:
            sample: `(n,)`: float from -1 to 1, or integers.
            orignal_sr: Sample rate of `sample` in Hz.
            offset: Fraction of the padding, or of the cropped part, that comes first.
            whole_sample: Neither pad nor crop.
            out_length: Number of samples; `None` means that of the settings.
        """
        clip = transform_recording(to_float(np.asarray(sample)), orignal_sr, self, default_transforms(1), 0)
        if whole_sample:
            return clip
        out = np.zeros(self.sample_length if out_length is None else out_length, np.float32)
        pad_or_crop(clip, len(out), offset, out)
        return out

    def apply_frontend(self, sample: np.ndarray, dtype: DTypeLike = np.float32) -> np.ndarray:
        """Return the spectrogram `(frames, channels)` of a clip of `sample_length` samples."""
        return self.frontend.process_sample(sample, dtype)

    def standardize(self, sample: np.ndarray) -> np.ndarray:
        """Return a spectrogram, or samples, rescaled, normalized and converted to `dtype`."""
        return np.asarray(self._normalize(np.asarray(sample)[None])[0])

    def flow_from_directory(
        self,
        directory: str | os.PathLike[str],
        classes: Sequence[str],
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        shuffle_index_dir: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        follow_links: bool = False,
        subset: str | None = None,
        max_samples_per_class: int = -1,
        list_valid_filenames_in_directory_function: ListFilenamesFunction | None = None,
        class_counts: MutableMapping[str, int] | None = None,
        augment: bool | None = None,
        only: Sequence[str] | None = None,
    ) -> AudioIterator:
        """Return an iterator over the recordings in `<directory>/<class>/`.

        Args:
            directory: Folder with a folder for each class.
            classes: Class names in the order of their ids. `_unknown_` has samples of the folders that are not
                named, `_silence_` has samples of zeros.
            class_mode: What a batch holds besides x: `categorical` (one-hot), `binary` or `sparse` (ids),
                `input` (x), `None`.
            batch_size: Number of clips in a batch.
            shuffle: Shuffle the clips anew in each epoch; otherwise they come class by class.
            shuffle_index_dir: Folder that keeps a shuffled order of the files of each class.
            seed: Seed of the order, the transforms and the choice of unknown samples; `None` means 42.
            follow_links: Follow links to folders below the class folders.
            subset: `training` or `validation`, the parts that `validation_split` makes; `None` for
                everything. The validation subset is the same in every epoch.
            max_samples_per_class: Maximum number of samples of each class; -1: that of the generator.
            list_valid_filenames_in_directory_function: Lists the files of a class, see
                `mltk.core.preprocess.utils.list_dataset_directory`.
            class_counts: Receives the number of clips of each class.
            augment: Apply the augmentation steps; `None`: as the settings say for this subset.
            only: Those of `classes` to read; ids stay those of `classes`.

        Raises:
            DatasetError: A folder is missing, or a class has no recording.
            SpecificationError: An argument or a setting is not valid.
        """
        self.check()
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
            list_function=list_valid_filenames_in_directory_function or SpeakerLister(),
            class_counts=class_counts,
            unknown_class=UNKNOWN,
            unknown_class_percentage=self.unknown_class_percentage,
            empty_class=SILENCE,
            empty_class_percentage=self.silence_class_percentage,
        )
        if flow.augment:
            self._warn_about_unused_settings()
        own = self._freeze(listing.directory, load_recordings=flow.augment)
        params = ParallelProcessParams(
            generator=own,
            subset=subset,
            split=listing.split,
            directory=listing.directory,
            class_indices=listing.class_indices,
            class_mode=class_mode,
            sample_rate=self.sample_rate_hz,
            sample_length_ms=self.sample_length_ms,
            sample_shape=self.batch_sample_shape,
            dtype=np.dtype(self.dtype),
            frontend_dtype=self.frontend_output_dtype,
        )
        samples = AudioSamples(listing.directory, listing.names, own)
        return AudioIterator(AudioBatches(own, params, samples, listing.labels, flow))

    def preview(
        self,
        directory: str | os.PathLike[str],
        out_dir: str | os.PathLike[str],
        n: int = 8,
        classes: Sequence[str] | None = None,
        seed: int | None = None,
    ) -> list[str]:
        """Write clips as the model receives them: `<number>-<class>-<name>.wav`, and spectrograms as `.png`.

        Args:
            directory: Folder of the data set.
            out_dir: Folder to write to.
            n: Number of clips.
            classes: Class names; `None` means all folders.
            seed: Seed of the choice of clips and of the transforms; `None` means 42.

        Returns:
            The paths of the files written.
        """
        labels = list(classes) if classes is not None else list_class_folders(directory)
        iterator = self.flow_from_directory(directory, labels, batch_size=max(n, 1), seed=seed)
        return write_preview(iterator.batches, labels, Path(out_dir), n)

    def _freeze(self, directory: str, load_recordings: bool) -> ParallelAudioDataGenerator:
        """Return a copy for one iterator, which later changes of the settings do not affect."""
        own = copy.copy(self)
        own.frontend_settings = self.frontend_settings.copy()
        own._directory, own._bg_noises = directory, None
        if load_recordings:
            own._transforms = self.random_transforms(directory)
        # The hook offers the built-in steps before the folder of the data set, and with it the recordings, are known.
        own.augmentation_steps = tuple(
            step
            for step in self.augmentation_steps
            if not isinstance(getattr(step.apply, "__self__", None), RandomTransforms)
        )
        return own

    def _name_noises(self) -> RandomTransforms:
        """Return the random transforms with the recordings of `bg_noises`."""
        noises = RecordingSet(tuple(self.bg_noises), tuple(self.bg_noises.values()))
        return replace(self.random_transforms(), noises=noises if noises.names else None)
