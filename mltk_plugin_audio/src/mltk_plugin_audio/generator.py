"""`ParallelAudioDataGenerator`: the settings of an audio data path, and the iterators made with them."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.data import settings
from mltk.data.batches import (
    CLASS_MODES,
    GeneratorIterator,
    GeneratorSettings,
    Labels,
    check_callback,
)
from mltk.data.normalize import normalize_batch
from mltk.errors import DatasetError, SpecificationError, did_you_mean
from mltk_plugin_audio._augmentation import (
    AUGMENTATIONS,
    NOISE_COLORS,
    RandomTransforms,
    as_dictionary,
    default_transforms,
    from_dictionary,
)
from mltk_plugin_audio._batches import (
    SILENCE,
    UNKNOWN,
    AudioBatches,
    FileSamples,
    adjusted,
    allowed_augmentations,
)
from mltk_plugin_audio._files import FILE_FORMATS, as_float, fitted
from mltk_plugin_audio._listing import list_valid_filenames_in_directory
from mltk_plugin_audio._recordings import Recordings, find_folder, load_impulse_responses, load_noises
from mltk_plugin_audio.preprocess.audio_feature_generator import AudioFeatureGeneratorSettings

if TYPE_CHECKING:
    from mltk.plugins.types import AugmentationStep
    from mltk_plugin_audio.preprocess.audio_feature_generator import AudioFeatureGenerator

_FLOAT32 = np.dtype(np.float32)
_FRONTEND_TYPES = ("uint16", "float32", "int8")

logger = logging.getLogger("mltk.audio")


class _SampleShape:
    """The field `sample_shape`: computed while the front end is enabled, given while it is not."""

    def __get__(self, instance: ParallelAudioDataGenerator | None, owner: type) -> tuple[int, ...] | None:
        if instance is None:
            return None
        if instance.frontend_enabled:
            return instance.frontend_settings.spectrogram_shape
        return instance.__dict__.get("_sample_shape")

    def __set__(self, instance: ParallelAudioDataGenerator, value: Sequence[int] | None) -> None:
        instance.__dict__["_sample_shape"] = None if value is None else tuple(value)


@dataclass(frozen=True, kw_only=True)
class ParallelProcessParams:
    """What callbacks are told about the data set they work for: their first argument.

    The settings of the generator are attributes too.
    """

    audio_data_generator: ParallelAudioDataGenerator
    subset: str | None = None
    """`training`, `validation`, or `None` for a data set that is not split."""
    split: tuple[float, float] | None = None
    """First and last fraction of each class that the subset is."""
    directory: str | None = None
    """Folder of the data set."""
    class_indices: Mapping[str, int] | None = None
    """Class name to id."""
    class_mode: str | None = None
    sample_rate: int = 16000
    """Of the recordings after augmentation, in Hz."""
    sample_length_ms: int = 1000
    sample_shape: tuple[int, ...] | None = None
    """Shape of one sample of x."""
    dtype: np.dtype[Any] = _FLOAT32
    frontend_dtype: np.dtype[Any] = _FLOAT32

    def __getattr__(self, name: str) -> Any:
        # A copy that is being made has no attributes yet.
        if name.startswith("_") or name == "audio_data_generator":
            raise AttributeError(name)
        return getattr(self.audio_data_generator, name)


@dataclass(kw_only=True, eq=False)
class ParallelAudioDataGenerator(GeneratorSettings):
    """Reads, augments and transforms recordings into spectrograms in batches, on threads.

    Transforms are drawn for each batch from the seed of the iterator, the epoch and the position of the batch
    alone: neither the number of threads nor an interruption changes anything.

    Order: read, `noaug_preprocessing_function`, trim silence, speed with pitch and vocal tract, resample, pad or
    crop, time shift, room, coloured noise, background noise, loudness, `preprocessing_function`, front end,
    masks, `postprocessing_function`, rescale and normalise, channel axis.

    A callback gets `(params, x)`: `ParallelProcessParams`, and samples `(n,)` or a spectrogram `(frames,
    channels)`; and those of `class_id`, `filename`, `batch_index`, `batch_class_ids`, `batch_filenames` that its
    signature names. It returns the new x. Callbacks run on several threads at once.

    In a `validation_split`, speakers stay whole where file names tell them.

    Raises:
        SpecificationError: A setting does not exist, has the wrong type, or is out of its range.
    """

    frontend_settings: AudioFeatureGeneratorSettings = None  # type: ignore[assignment]
    """Of the front end, and sample rate and length of clips; `None` means the defaults: 1 s at 16 kHz."""
    frontend_enabled: bool = True
    """Make spectrograms; else x is the samples themselves, and `sample_shape` is needed."""
    sample_shape: Any = _SampleShape()
    """Shape of one sample of x while the front end is disabled; else that of a spectrogram, read-only."""
    add_channel_dimension: bool = True
    """Give spectrograms a last axis of length 1."""
    offset_range: Sequence[float] | None = (0.0, 1.0)
    """Least and greatest fraction of the slack: where a short recording sits in the clip, or where a long one is
    cut. `None` means (0, 1)."""
    trim_threshold_db: float | None = 20.0
    """What is quieter than the loudest 25 ms by more than this is cut off at both ends; 0 or `None` cuts nothing."""
    noise_colors: Sequence[str] | str | None = None
    """Kinds of noise of which each clip gets one: white, pink (-3 dB of power per octave), brown (-6), blue
    (+3), violet (+6); `'all'` for all of them."""
    noise_color_range: Sequence[float] | None = None
    """Least and greatest root mean square of that noise, where 1 is full scale; `None` means 0."""
    bg_noise_dir: str | os.PathLike[str] | None = None
    """Folder with recordings of background noise, of which each clip gets a random piece of a random one. It is
    absolute, or relative to the working directory or to the folder of the data set."""
    bg_noise_range: Sequence[float] | None = None
    """Least and greatest factor of the background noise; `None` means 0."""
    loudness_range: Sequence[float] | None = None
    """Least and greatest factor of the samples, noise included."""
    speed_range: Sequence[float] | None = None
    """Least and greatest factor of the speed, without a change of pitch."""
    pitch_range: Sequence[float] | None = None
    """Least and greatest change of pitch, without a change of duration: ints are semitones (whole ones are drawn,
    both ends included), floats are fractions of an octave."""
    vtlp_range: Sequence[float] | None = None
    """Least and greatest factor of the vocal tract: frequencies up to about 4.8 kHz are multiplied by it."""
    unknown_class_percentage: float = 1.0
    """Size of the class `_unknown_` relative to the mean of the named classes."""
    silence_class_percentage: float = 0.6
    """Size of the class `_silence_` relative to the mean of the named classes."""
    disable_random_transforms: bool = False
    """Only trim, and pad or crop at offset 0."""
    samplewise_normalize_range: Sequence[float] | None = None
    """Map each sample's least and greatest value to these."""
    dtype: Any = np.float32
    """Of x. Integers are rounded and cut off."""
    frontend_dtype: Any = None
    """What the front end puts out: uint16, float32 or int8; `None` means `dtype`, or float32 if it is another."""
    postprocessing_function: Callable[..., Any] | None = None
    """Callback on the spectrogram."""
    bg_noise_snr_db_range: Sequence[float] | None = None
    """Least and greatest ratio of the recording to the background noise, in dB; in place of `bg_noise_range`.
    The power of the recording is that of the part of the clip that it fills; silence gets the noise as it is."""
    impulse_response_dir: str | os.PathLike[str] | None = None
    """Folder with impulse responses of rooms, of which each clip gets one; found like `bg_noise_dir`."""
    time_shift_range_ms: Sequence[float] | None = None
    """Least and greatest shift within the clip, in milliseconds; what leaves it is lost."""
    frequency_masks: Sequence[int] = (0, 0)
    """How many bands of a spectrogram are hidden, and greatest width of each in channels (SpecAugment)."""
    time_masks: Sequence[int] = (0, 0)
    """How many pieces of time are hidden, and greatest width of each in frames."""
    probabilities: Mapping[str, float] | None = None
    """How likely each augmentation is applied to a clip: name to 0…1; 1 for those not named. Names: offset, speed,
    pitch, vtlp, loudness, noise_color, bg_noise, impulse_response, time_shift, frequency_mask, time_mask."""
    class_augmentations: Mapping[str, Sequence[str]] | None = None
    """Class name to the augmentations that its clips may get; other classes get all."""
    spectrogram_augmentation_steps: Sequence[AugmentationStep] = ()
    """Like `augmentation_steps`, which are on clips and come `before` the time shift or `after` the loudness: steps on
    spectrograms, `before` or `after` the masks."""

    def __post_init__(self) -> None:
        self.frontend_settings = self.frontend_settings or AudioFeatureGeneratorSettings()
        self._frontend: tuple[AudioFeatureGeneratorSettings, AudioFeatureGenerator] | None = None
        self._rng = np.random.default_rng(settings.DEFAULT_SEED)
        self._directory: str | None = None
        self._bg_noises: dict[str, np.ndarray] | None = None
        super().__post_init__()

    def check(self) -> None:
        """Check all settings; also done when an iterator is made, since settings may be changed.

        Raises:
            SpecificationError: A setting has the wrong type, or is out of its range.
        """
        super().check()
        if not isinstance(self.frontend_settings, AudioFeatureGeneratorSettings):
            raise SpecificationError(
                f"frontend_settings must be AudioFeatureGeneratorSettings, not {self.frontend_settings!r}."
            )
        if self.frontend_enabled:
            self.frontend_settings.validate()
        elif self.sample_shape is None:
            raise SpecificationError(
                f"With frontend_enabled=False, sample_shape is needed, e.g. ({self.sample_length},)."
            )
        self._random(None)
        if self.bg_noise_range is not None and self.bg_noise_snr_db_range is not None:
            raise SpecificationError("bg_noise_range and bg_noise_snr_db_range exclude each other: set one.")
        if self.trim_threshold_db is not None:
            settings.number("trim_threshold_db", self.trim_threshold_db, least=0)
        for name in ("unknown_class_percentage", "silence_class_percentage"):
            settings.number(name, getattr(self, name), least=0)
        if self.samplewise_normalize_range is not None:
            settings.ascending("samplewise_normalize_range", self.samplewise_normalize_range)
        check_callback("postprocessing_function", self.postprocessing_function)
        for label, names in (self.class_augmentations or {}).items():
            for name in names:
                settings.choice(f"class_augmentations of '{label}'", name, AUGMENTATIONS)
        settings.data_type("dtype", self.dtype)
        if self.frontend_dtype is not None:
            name = settings.data_type("frontend_dtype", self.frontend_dtype).name
            settings.choice("frontend_dtype", name, _FRONTEND_TYPES)

    def random_transforms(self, directory: str | None = None) -> RandomTransforms:
        """Return the random transforms that the settings describe, with the recordings that they need.

        Args:
            directory: Folder of the data set, which folders of recordings may be relative to.

        Raises:
            SpecificationError: One of these settings has the wrong type, or is out of its range.
            DatasetError: A folder of recordings is missing or has none, or one of them cannot be read.
        """
        return self._random(directory or self._directory, recordings=True)

    @property
    def bg_noises(self) -> dict[str, np.ndarray]:
        """The recordings of `bg_noise_dir` at the target rate, by the names of their files without endings.

        Float32 `(n,)`, -1 to 1. A callback may add others, to name them as the `bg_noise` of `apply_transform`.
        """
        if self._bg_noises is None:
            noises = self.random_transforms().noises
            found = zip(noises.names, noises.samples, strict=True) if noises else ()
            self._bg_noises = {Path(name).stem: as_float(samples) for name, samples in found}
        return self._bg_noises

    def _named_transforms(self) -> RandomTransforms:
        noises = Recordings(tuple(self.bg_noises), tuple(self.bg_noises.values()))
        return replace(self.random_transforms(), noises=noises if noises.names else None)

    @property
    def sample_length(self) -> int:
        """Length of a clip in samples."""
        return self.frontend_settings.sample_length

    @property
    def sample_length_ms(self) -> int:
        """Length of a clip in milliseconds."""
        return self.frontend_settings.sample_length_ms

    @sample_length_ms.setter
    def sample_length_ms(self, value: int) -> None:
        self.frontend_settings.sample_length_ms = value

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of clips."""
        return self.frontend_settings.sample_rate_hz

    @sample_rate_hz.setter
    def sample_rate_hz(self, value: int) -> None:
        self.frontend_settings.sample_rate_hz = value

    @property
    def batch_sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample of x, with the axis of channels."""
        shape = tuple(self.sample_shape)
        return (*shape, 1) if self.frontend_enabled and self.add_channel_dimension else shape

    @property
    def frontend(self) -> AudioFeatureGenerator:
        """The front end of the present settings."""
        if self._frontend is None or self._frontend[0] != self.frontend_settings:
            from mltk_plugin_audio.preprocess.audio_feature_generator import AudioFeatureGenerator

            own = self.frontend_settings.copy()
            self._frontend = (own, AudioFeatureGenerator(own))
        return self._frontend[1]

    @property
    def output_of_frontend(self) -> np.dtype[Any]:
        """Type that is asked of the front end."""
        wanted = np.dtype(self.dtype if self.frontend_dtype is None else self.frontend_dtype)
        return wanted if wanted.name in _FRONTEND_TYPES else np.dtype(np.float32)

    @property
    def default_transform(self) -> dict[str, Any]:
        """The transform, by name, that leaves a recording as it is."""
        return as_dictionary(default_transforms(1), 0, RandomTransforms())

    def get_random_transform(self, rng: np.random.Generator | None = None) -> dict[str, Any]:
        """Draw a transform: a dictionary with the keys of `default_transform`.

        Args:
            rng: Source of randomness; `None` means one of the generator's own, which always begins alike.
        """
        if self.disable_random_transforms:
            return self.default_transform
        random = self._named_transforms()
        return as_dictionary(random.draw(1, rng or self._rng), 0, random)

    def apply_transform(
        self,
        sample: Any,
        orignal_sr: int,
        params: Mapping[str, Any],
        whole_sample: bool = False,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        """Return a recording, transformed, at the target rate.

        Args:
            sample: `(n,)`, float from -1 to 1, or integers.
            orignal_sr: Its rate in Hz.
            params: Like `default_transform`; what is missing in it is left as it is.
            whole_sample: Neither pad nor crop.
            rng: Source of the coloured noise; `None` means the generator's own.

        Raises:
            SpecificationError: `params` names something that does not exist.
        """
        random = self._named_transforms()
        try:
            transforms = from_dictionary(params, random)
        except KeyError as e:
            known = [*self.default_transform, *random.noise_colors]
            raise SpecificationError(
                f"There is no transform {e}.{did_you_mean(str(e.args[0]), known)}"
            ) from None
        clip = adjusted(as_float(np.asarray(sample)), orignal_sr, self, transforms, 0)
        x = np.zeros((1, len(clip) if whole_sample else self.sample_length), np.float32)
        span = fitted(clip, x.shape[1], float(transforms.offset_percentage[0]), x[0])
        mixed = random.mix(x, np.array([span]), transforms, rng or self._rng)
        return np.asarray(np.clip(mixed[0], -1, 1))

    def adjust_length(
        self,
        sample: Any,
        orignal_sr: int,
        offset: float = 0,
        whole_sample: bool = False,
        out_length: int | None = None,
    ) -> np.ndarray:
        """Return a recording trimmed, resampled, and padded or cropped.

        Args:
            sample: `(n,)`, float from -1 to 1, or integers.
            orignal_sr: Its rate in Hz.
            offset: Fraction of the slack, 0 to 1.
            whole_sample: Neither pad nor crop.
            out_length: In samples; `None` means that of the settings.
        """
        clip = adjusted(as_float(np.asarray(sample)), orignal_sr, self, default_transforms(1), 0)
        if whole_sample:
            return clip
        out = np.zeros(self.sample_length if out_length is None else out_length, np.float32)
        fitted(clip, len(out), offset, out)
        return out

    def apply_frontend(self, sample: np.ndarray, dtype: Any = np.float32) -> np.ndarray:
        """Return the spectrogram `(frames, channels)` of a clip of `sample_length` samples."""
        return self.frontend.process_sample(sample, dtype)

    def standardize(self, sample: np.ndarray) -> np.ndarray:
        """Return a spectrogram, or samples, rescaled, normalised and of type `dtype`."""
        return np.asarray(self._normalized(np.asarray(sample)[None])[0])

    def finished(self, x: np.ndarray) -> np.ndarray:
        """Normalise a batch, and bring it to the type and the shape of x."""
        x = self._normalized(x)
        shape = self.batch_sample_shape
        if not self.frontend_enabled:
            if int(np.prod(x.shape[1:])) != int(np.prod(shape)):
                raise SpecificationError(
                    f"sample_shape is {shape}, but samples have the shape {x.shape[1:]} "
                    f"({self.sample_length_ms} ms at {self.sample_rate_hz} Hz)."
                )
            return x.reshape(len(x), *shape)
        return x[..., None] if self.add_channel_dimension and x.ndim == 3 else x

    def describe(self) -> str:
        """Return the settings that differ from the defaults, one `name: value` on a line."""
        shown = copy.copy(self)
        shown.frontend_settings = default = AudioFeatureGeneratorSettings()
        lines = settings.describe_settings(shown)
        changed = {k: v for k, v in self.frontend_settings.items() if v != default[k]}
        return "\n".join(filter(None, (f"frontend_settings: {changed}" if changed else "", lines)))

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
        list_valid_filenames_in_directory_function: Callable[..., Any] | None = None,
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
            batch_size: Clips in a batch.
            shuffle: Take clips in a new order in each epoch; else class by class.
            shuffle_index_dir: Folder that keeps an order of the files of each class, drawn once.
            seed: Of order, transforms and choice of the unknown samples; `None` means 42.
            follow_links: Follow links to folders below the class folders.
            subset: `training` or `validation`, the parts that `validation_split` makes; `None` for
                everything. The validation subset is the same in every epoch.
            max_samples_per_class: Upper limit; -1: that of the generator.
            list_valid_filenames_in_directory_function: Lists the files of a class, see
                `mltk.core.preprocess.utils.list_dataset_directory`.
            class_counts: Filled with the number of clips of each class.
            augment: Apply the random transforms; `None`: as the settings say for this subset.
            only: Those of `classes` to read; ids stay those of `classes`.

        Raises:
            DatasetError: A folder is missing, or a class has no recording.
            SpecificationError: An argument or a setting is not valid.
        """
        self.check()
        settings.choice("subset", subset, settings.SUBSETS)
        settings.choice("class_mode", class_mode, CLASS_MODES)
        own = copy.copy(self)
        # What is changed in the settings later must not change batches that are being made.
        own.frontend_settings = self.frontend_settings.copy()
        root = os.path.abspath(Path(directory).expanduser())  # noqa: PTH100 (keeps links as the user wrote them)
        own._directory, own._bg_noises = root, None
        split = settings.split_of(subset, self.validation_split)
        limit = max_samples_per_class if max_samples_per_class >= 0 else self.max_samples_per_class
        counts: dict[str, int] = {}
        names, ids = own._list(
            root,
            list(classes),
            counts,
            seed=settings.seed(seed),
            split=split,
            limit=limit,
            follow_links=follow_links,
            index_dir=shuffle_index_dir,
            list_function=list_valid_filenames_in_directory_function,
            only=only,
        )
        if class_counts is not None:
            class_counts.update(counts)
        validation = subset == "validation"
        if augment is None:
            augment = self.validation_augmentation_enabled or not validation
        augment = augment and not self.disable_random_transforms
        if augment:
            self._warn_of_what_has_no_effect()
        params = ParallelProcessParams(
            audio_data_generator=own,
            subset=subset,
            split=split,
            directory=root,
            class_indices={name: i for i, name in enumerate(classes)},
            class_mode=class_mode,
            sample_rate=self.sample_rate_hz,
            sample_length_ms=self.sample_length_ms,
            sample_shape=self.batch_sample_shape,
            dtype=np.dtype(self.dtype),
            frontend_dtype=self.output_of_frontend,
        )
        return AudioIterator(
            AudioBatches(
                own,
                params,
                FileSamples(root, names, self.sample_rate_hz, self.sample_length, self.cache_bytes),
                Labels(ids, class_mode, len(classes)),
                random=self.random_transforms(root)
                if augment
                else RandomTransforms(rate=self.sample_rate_hz),
                allowed=allowed_augmentations(self.class_augmentations or {}, classes),
                batch_size=settings.batch_size(batch_size if self.batch_size is None else self.batch_size),
                shuffle=shuffle,
                seed=settings.seed(seed),
                augment=augment,
                same_every_epoch=validation,
            )
        )

    def preview(
        self,
        directory: str | os.PathLike[str],
        out_dir: str | os.PathLike[str],
        n: int = 8,
        classes: Sequence[str] | None = None,
        seed: int | None = None,
    ) -> list[str]:
        """Write clips as the network gets them: `<number>-<class>-<name>.wav`, and spectrograms as `.png`.

        Args:
            directory: The data set's folder.
            out_dir: Folder to write into.
            n: How many clips.
            classes: Class names; `None` means all folders.
            seed: Of choice and transforms; `None` means 42.

        Returns:
            The paths written.
        """
        from mltk_plugin_audio._preview import write_preview

        labels = list(classes) if classes is not None else _class_folders(directory)
        iterator = self.flow_from_directory(directory, labels, batch_size=max(n, 1), seed=seed)
        return write_preview(iterator.batches, labels, Path(out_dir), n)

    def _warn_of_what_has_no_effect(self) -> None:
        noise = (self.bg_noise_range, self.bg_noise_snr_db_range)
        if self.noise_colors and self.noise_color_range is None:
            logger.warning("noise_colors has no effect: noise_color_range is not set.")
        if self.bg_noise_dir is not None and noise == (None, None):
            logger.warning(
                "bg_noise_dir has no effect: neither bg_noise_range nor bg_noise_snr_db_range is set."
            )
        if self.bg_noise_dir is None and noise != (None, None):
            logger.warning("The range of the background noise has no effect: bg_noise_dir is not set.")

    def _list(
        self,
        root: str,
        classes: list[str],
        counts: dict[str, int],
        *,
        seed: int,
        split: settings.Range | None,
        limit: int,
        follow_links: bool,
        index_dir: str | os.PathLike[str] | None,
        list_function: Callable[..., Any] | None,
        only: Sequence[str] | None,
    ) -> tuple[list[str | None], np.ndarray]:
        from mltk.data.listing import list_dataset_directory

        wanted = classes if only is None else [settings.choice("classes", c, tuple(classes)) for c in only]
        # A folder of that name is an ordinary class; some data sets come with one.
        special = {label: None if Path(root, label).is_dir() else label for label in (UNKNOWN, SILENCE)}
        # The sizes of the two special classes, and what is unknown, depend on all of them.
        names, ids = list_dataset_directory(
            root,
            classes,
            unknown_class_percentage=self.unknown_class_percentage,
            unknown_class_label=special[UNKNOWN],
            empty_class_percentage=self.silence_class_percentage,
            empty_class_label=special[SILENCE],
            class_counts=counts,
            seed=seed,
            split=split,
            max_samples_per_class=limit,
            white_list_formats=FILE_FORMATS,
            follow_links=follow_links,
            shuffle_index_directory=index_dir,
            list_valid_filenames_in_directory_function=list_function or list_valid_filenames_in_directory,
        )
        if only is None:
            return names, np.array(ids)
        for label in set(classes) - set(wanted):
            del counts[label]
        chosen = [i for i, class_id in enumerate(ids) if classes[class_id] in wanted]
        return [names[i] for i in chosen], np.array([ids[i] for i in chosen])

    def _random(self, directory: str | None, recordings: bool = False) -> RandomTransforms:
        rate = self.sample_rate_hz
        probabilities = dict(self.probabilities or {})
        for name in probabilities:
            settings.choice("probabilities", name, AUGMENTATIONS)
        noises = responses = None
        noise = settings.factors("bg_noise_range", self.bg_noise_range) or (0.0, 0.0)
        snr = None
        if self.bg_noise_snr_db_range is not None:
            snr = settings.ascending("bg_noise_snr_db_range", self.bg_noise_snr_db_range)
        if recordings and self.bg_noise_dir is not None:
            folder = find_folder("bg_noise_dir", self.bg_noise_dir, directory)
            noises = load_noises(folder, rate)
        if recordings and self.impulse_response_dir is not None:
            folder = find_folder("impulse_response_dir", self.impulse_response_dir, directory)
            responses = load_impulse_responses(folder, rate)
        offset = self.offset_range if self.offset_range is not None else (0.0, 1.0)
        pitch, whole_semitones = _pitch(self.pitch_range)
        shift = self.time_shift_range_ms
        return RandomTransforms(
            rate=rate,
            offset=settings.ascending("offset_range", offset, least=0, most=1),
            speed=_positive("speed_range", self.speed_range),
            pitch=pitch,
            whole_semitones=whole_semitones,
            vtlp=_positive("vtlp_range", self.vtlp_range),
            loudness=settings.factors("loudness_range", self.loudness_range),
            noise_colors=_colors(self.noise_colors),
            noise_color=settings.factors("noise_color_range", self.noise_color_range) or (0.0, 0.0),
            noises=noises,
            noise=noise,
            noise_snr_db=snr,
            impulse_responses=responses,
            time_shift_ms=None if shift is None else settings.ascending("time_shift_range_ms", shift),
            frequency_masks=_masks("frequency_masks", self.frequency_masks),
            time_masks=_masks("time_masks", self.time_masks),
            probabilities=tuple(
                settings.number(f"probabilities of '{name}'", probabilities.get(name, 1.0), 0, 1)
                for name in AUGMENTATIONS
            ),
        )

    def _normalized(self, x: np.ndarray) -> np.ndarray:
        dtype = np.dtype(self.dtype)
        normalizes = self.samplewise_center or self.samplewise_std_normalization
        if self.rescale or normalizes or self.samplewise_normalize_range is not None:
            limits = self.samplewise_normalize_range
            x = normalize_batch(
                x,
                rescale=self.rescale or None,
                samplewise_center=self.samplewise_center,
                samplewise_std_normalization=self.samplewise_std_normalization,
                samplewise_normalize_range=None if limits is None else (limits[0], limits[1]),
            )
        if dtype.kind in "iu" and x.dtype != dtype:
            bounds = np.iinfo(dtype)
            x = np.clip(np.rint(x), bounds.min, bounds.max)
        return np.asarray(x, dtype)


class AudioIterator(GeneratorIterator):
    """Batches of clips in the order of the seed: `(x,)` or `(x, y)`.

    Every clip comes exactly once in an epoch; the last batch holds what is left.
    """

    def __init__(self, source: AudioBatches) -> None:
        super().__init__(source, source.params.class_indices)
        self.batches = source

    @property
    def filepaths(self) -> list[str]:
        """Absolute paths of the files, in the order of `filenames`; empty for silence."""
        return [self.batches.samples.path(i) for i in range(self.samples)]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample of x."""
        return self.batches.generator.batch_sample_shape


def _class_folders(directory: str | os.PathLike[str]) -> list[str]:
    root = Path(directory)
    if not root.is_dir():
        raise DatasetError(f"The data set folder '{root}' does not exist or is not a folder.")
    return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "_", "~")))


def _colors(value: Any) -> tuple[str, ...]:
    if value is None or value == "all":
        return () if value is None else tuple(NOISE_COLORS)
    if isinstance(value, str):
        raise SpecificationError(
            f"noise_colors must be a list of {', '.join(NOISE_COLORS)}, or 'all', or None; not {value!r}."
        )
    return tuple(settings.choice("noise_colors", color, tuple(NOISE_COLORS)) for color in value)


def _positive(name: str, value: Any) -> settings.Range | None:
    limits = settings.factors(name, value)
    if limits is not None and limits[0] <= 0:
        raise SpecificationError(f"{name} holds factors above 0, not {value!r}.")
    return limits


def _pitch(value: Any) -> tuple[settings.Range | None, bool]:
    if value is None:
        return None, False
    low, high = settings.ascending("pitch_range", value)
    whole = all(isinstance(v, Integral) for v in value)
    semitones = 1 if whole else 12
    if max(abs(low), abs(high)) * semitones > 36:
        raise SpecificationError(
            f"pitch_range is {value!r}: at most 36 semitones (ints), which are 3.0 octaves (floats)."
        )
    return (low * semitones, high * semitones), whole


def _masks(name: str, value: Any) -> tuple[int, int]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise SpecificationError(f"{name} must be (how many, greatest width), not {value!r}.")
    return settings.whole(name, value[0], least=0), settings.whole(name, value[1], least=0)
