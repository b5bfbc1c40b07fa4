"""Batches of an audio data generator, as a pure function of seed, epoch and position."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mltk.data import (
    BatchPosition,
    FileReport,
    FileSamples,
    Finding,
    FlowOptions,
    GeneratorBatches,
    Labels,
    ProcessParams,
    describe_callback,
    standard_normal,
)
from mltk.errors import DatasetError
from mltk_plugin_audio._augmentation import AUGMENTATIONS, Transforms, default_transforms
from mltk_plugin_audio._files import read_recording
from mltk_plugin_audio._settings import (
    AUDIO_STEP,
    CODEC_STEP,
    FILTER_STEP,
    MASK_STEP,
    ROOM_STEP,
    AudioGeneratorSettings,
)
from mltk_plugin_audio._signal import cuts_sound, find_speech, pad_or_crop, resample, to_float
from mltk_plugin_audio._vocoder import transform_voice

SILENCE = "_silence_"
"""Name of the class whose samples have no file, and of each of its samples."""

UNKNOWN = "_unknown_"
"""Name of the class whose samples come from all folders that are not named as classes."""

_STEP_FIELDS = {
    MASK_STEP: ("frequency_mask", "time_mask"),
    ROOM_STEP: ("room_rt60",),
    FILTER_STEP: ("filter",),
    CODEC_STEP: ("codec",),
}
"""Drawn parameters of the built-in steps besides `AUDIO_STEP`, which has the others."""

_PADDED = Finding(
    "Recordings that, trimmed, are shorter than a clip and padded with digital zeros, which no microphone gives",
    "Set noise_floor_db of the data generator, e.g. to -70.",
)

_FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ParallelProcessParams(ProcessParams):
    """Description of a data set: the first argument of callbacks.

    The settings of the generator are attributes too.
    """

    generator: AudioGeneratorSettings
    sample_rate: int = 16000
    """Sample rate of clips in Hz."""
    sample_length_ms: int = 1000
    """Length of clips in milliseconds."""
    sample_shape: tuple[int, ...] | None = None
    """Shape of one sample of x."""
    dtype: np.dtype = _FLOAT32
    """Type of x."""
    frontend_dtype: np.dtype = _FLOAT32
    """Output type of the front end."""

    @property
    def audio_data_generator(self) -> AudioGeneratorSettings:
        """The generator, under the name of the reference."""
        return self.generator


class AudioSamples(FileSamples):
    """Recordings in files, with a cache of decoded recordings.

    Args:
        root: Folder that the names are relative to.
        names: Paths of the files; `None` for silence.
        generator: Settings.
    """

    def __init__(self, root: str, names: Sequence[str | None], generator: AudioGeneratorSettings) -> None:
        super().__init__(root, names, missing=SILENCE)
        self._generator = generator
        self._rules = generator.reading_rules()
        self._room = generator.cache_bytes
        self._cache: dict[int, tuple[np.ndarray, int]] = {}
        self._lock = threading.Lock()

    def read(self, index: int) -> tuple[np.ndarray, int]:
        """Return a recording as float32 `(n,)`, which the caller may overwrite, and its sample rate."""
        if not self.files[index]:
            return np.zeros(self._generator.sample_length, np.float32), self._generator.sample_rate_hz
        cached = self._cache.get(index)
        if cached is None:
            cached = self.load(index, self._read_file)
            with self._lock:
                size = cached[0].nbytes
                if index not in self._cache and size <= self._room:
                    self._cache[index] = cached
                    self._room -= size
        samples, rate = cached
        return to_float(samples) if samples.dtype == np.int16 else samples.copy(), rate

    def _read_file(self, path: str, name: str, report: FileReport) -> tuple[np.ndarray, int]:
        samples, rate = read_recording(path, self._rules, report, name)
        if not report.is_closed:
            report_clip(samples, rate, self._generator, report, name)
        return samples, rate


class AudioBatches(GeneratorBatches[AudioGeneratorSettings, AudioSamples]):
    """The `BatchSource` of an audio generator.

    Args:
        generator: Settings.
        params: First argument of callbacks.
        samples: The recordings.
        labels: Their labels.
        flow: Options of the iterator.
    """

    params: ParallelProcessParams

    def __init__(
        self,
        generator: AudioGeneratorSettings,
        params: ParallelProcessParams,
        samples: AudioSamples,
        labels: Labels,
        flow: FlowOptions,
    ) -> None:
        super().__init__(generator, params, samples, labels, flow)
        self._allowed = _allow_augmentations(generator, tuple(params.class_indices or ()))
        self._steps = {
            (domain, stage): [s for s in self.select_steps(stage) if (s.domain or "audio") == domain]
            for domain in ("audio", "spectrogram")
            for stage in ("before", "transform", "after")
        }

    def samples_of_batch(self, position: BatchPosition) -> np.ndarray:
        """Return x of a batch; see `GeneratorBatches`."""
        transforms = self.draw_transforms(position)
        x = self.make_clips(position, transforms)
        if self.generator.frontend_enabled:
            x = self.make_spectrograms(x, position, transforms)
        else:
            x = self.apply_callback(self.generator.postprocessing_function, x, position)
        return self.generator.finish_batch(x)

    def draw_transforms(self, position: BatchPosition) -> Transforms:
        """Draw the parameters of the random transforms of each clip of a batch."""
        count = len(position.indices)
        offset = np.full(count, self.generator.clip_position, np.float32)
        unchanged = replace(default_transforms(count), offset_percentage=offset)
        active = {
            step.name for domain in ("audio", "spectrogram") for step in self._steps[domain, "transform"]
        }
        if not active & {AUDIO_STEP, *_STEP_FIELDS}:
            return unchanged
        allowed = None if self._allowed is None else self._allowed[self.labels.ids[position.indices]]
        drawn = self.generator.get_transforms().draw(count, self.rng(position), allowed)
        if AUDIO_STEP in active:
            return drawn
        names = [name for step, fields in _STEP_FIELDS.items() if step in active for name in fields]
        return replace(unchanged, **{name: getattr(drawn, name) for name in names})

    def make_clips(self, position: BatchPosition, transforms: Transforms) -> np.ndarray:
        """Return float32 `(n, samples)` from -1 to 1 at the target sample rate: the input of the front end."""
        generator = self.generator
        x, spans = self._read_clips(position, transforms)
        if generator.noise_floor_db is not None:
            noise = standard_normal(x.size, self.rng(position, "noise floor"))
            x += np.float32(10 ** (generator.noise_floor_db / 20)) * noise.reshape(x.shape)
        for stage in ("before", "transform", "after"):
            steps = self._steps["audio", stage]
            x = self.apply_steps(steps, x, position, spans=spans, transforms=transforms)
        if generator.preprocessing_function is not None or not generator.frontend_enabled:
            # The front end clips by itself.
            x = np.clip(x, -1, 1, out=x)
        x = self.apply_callback(generator.preprocessing_function, x, position)
        if generator.frontend_enabled and x.shape[1:] != (generator.sample_length,):
            raise DatasetError(
                f"{describe_callback(generator.preprocessing_function)} returned shape {x.shape[1:]}; "
                f"the front end takes {generator.sample_length} samples."
            )
        return x

    def make_spectrograms(self, x: np.ndarray, position: BatchPosition, transforms: Transforms) -> np.ndarray:
        """Return `(n, frames, channels)` of clips, after the augmentation steps and the callback."""
        generator = self.generator
        x = generator.frontend.process_batch(x, generator.frontend_output_dtype)
        for stage in ("before", "transform", "after"):
            if steps := self._steps["spectrogram", stage]:
                x = x.astype(np.float32, copy=False)
                x = self.apply_steps(steps, x, position, transforms=transforms)
        return self.apply_callback(generator.postprocessing_function, x, position)

    def _read_clips(self, position: BatchPosition, transforms: Transforms) -> tuple[np.ndarray, np.ndarray]:
        """Return the clips, and int64 `(n, 2)`: start and stop of the recording in each clip."""
        generator = self.generator
        rates: list[int] = []

        def read() -> Iterator[np.ndarray]:
            for number in position.indices.tolist():
                recording, rate = self.samples.read(number)
                rates.append(rate)
                yield recording

        # One recording at a time: recordings may be much longer than clips.
        recordings = self.iterate_callback(generator.noaug_preprocessing_function, read(), position)
        count = len(position.indices)
        x = np.zeros((count, generator.sample_length), np.float32)
        spans = np.zeros((count, 2), np.int64)
        for i, recording in enumerate(recordings):
            if recording.ndim != 1:
                raise DatasetError(
                    f"{describe_callback(generator.noaug_preprocessing_function)} returned shape {recording.shape} "
                    f"for '{self.names[position.indices[i]]}'; it must return one row of samples."
                )
            clip = transform_recording(recording, rates[i], generator, transforms, i)
            spans[i] = pad_or_crop(clip, x.shape[1], float(transforms.offset_percentage[i]), x[i])
        return x, spans


def report_clip(
    samples: np.ndarray, rate: int, generator: AudioGeneratorSettings, report: FileReport, name: str
) -> None:
    """Report a recording that loses sound by trimming, or is padded with digital zeros."""
    length = len(samples)
    threshold = generator.trim_threshold_db
    if threshold:
        start, stop = find_speech(to_float(samples), rate, threshold)
        length = stop - start
        if length < len(samples) and cuts_sound(to_float(samples), rate, threshold):
            report.add(
                Finding(
                    f"Recordings of which trimming at {threshold:g} dB cuts off 0.1 s or more of sound, perhaps the "
                    f"beginning or end of a word",
                    "Set trim_threshold_db of the data generator higher (40), or to None.",
                ),
                name,
            )
    if generator.noise_floor_db is None and length / rate < 0.9 * generator.sample_length_ms / 1000:
        report.add(_PADDED, name)


def transform_recording(
    samples: np.ndarray, rate: int, generator: AudioGeneratorSettings, transforms: Transforms, i: int
) -> np.ndarray:
    """Trim a recording, change its speed, pitch and vocal tract, and resample it.

    Args:
        samples: float32 `(n,)`.
        rate: Sample rate of `samples` in Hz.
        generator: Settings.
        transforms: Drawn parameters.
        i: Index of the clip in `transforms`.
    """
    threshold = generator.trim_threshold_db
    if threshold is not None and threshold > 0 and len(samples):
        start, stop = find_speech(samples, rate, threshold)
        samples = samples[start:stop]
    target = generator.sample_rate_hz
    if not transforms.changes_voice(i) or not samples.any():
        return resample(samples, rate, target)
    return transform_voice(
        samples,
        rate,
        target,
        float(transforms.speed_factor[i]),
        float(transforms.pitch_factor[i]),
        float(transforms.vtlp_factor[i]),
    )


def _allow_augmentations(generator: AudioGeneratorSettings, classes: Sequence[str]) -> np.ndarray | None:
    """Return bool `(classes, len(AUGMENTATIONS))`: augmentations allowed for each class; `None` for all."""
    if not generator.class_augmentations:
        return None
    allowed = np.ones((len(classes), len(AUGMENTATIONS)), bool)
    for label, names in generator.class_augmentations.items():
        if label in classes:
            allowed[list(classes).index(label)] = [name in names for name in AUGMENTATIONS]
    return allowed
