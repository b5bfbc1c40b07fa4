"""Settings of the audio data generator, and the transforms that follow from them."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from mltk.data import (
    GeneratorSettings,
    Range,
    check_callback,
    check_choice,
    check_dtype,
    check_factors,
    check_integer,
    check_number,
    check_range,
    describe_settings,
    normalize_batch,
)
from mltk.errors import SpecificationError
from mltk.plugins import AugmentationStep
from mltk_plugin_audio._augmentation import AUGMENTATIONS, NOISE_COLORS, RandomTransforms
from mltk_plugin_audio._files import ReadingRules
from mltk_plugin_audio._microphone import CODECS
from mltk_plugin_audio._noise_and_rooms import find_folder, load_impulse_responses, load_noises
from mltk_plugin_audio.frontend import AudioFeatureGenerator, AudioFeatureGeneratorSettings

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

AUDIO_STEP = "audio_transforms"
"""Name of the built-in augmentation step for clips."""

MASK_STEP = "spectrogram_masks"
"""Name of the built-in augmentation step for spectrograms."""

ROOM_STEP, FILTER_STEP, CODEC_STEP = "room", "filter", "codec"
"""Names of the built-in augmentation steps for rooms, microphones and transmissions."""

_FRONTEND_TYPES = ("uint16", "float32", "int8")

logger = logging.getLogger("mltk.audio")


class _SampleShape:
    """The field `sample_shape`: computed with the front end, stored without it."""

    def __get__(self, instance: AudioGeneratorSettings | None, owner: type) -> tuple[int, ...] | None:
        if instance is None:
            return None
        if instance.frontend_enabled:
            return instance.frontend_settings.spectrogram_shape
        return instance.__dict__.get("_sample_shape")

    def __set__(self, instance: AudioGeneratorSettings, value: Sequence[int] | None) -> None:
        instance.__dict__["_sample_shape"] = None if value is None else tuple(value)


@dataclass(kw_only=True, eq=False)
class AudioGeneratorSettings(GeneratorSettings):
    """Settings of `ParallelAudioDataGenerator`."""

    frontend_settings: AudioFeatureGeneratorSettings = None  # type: ignore[assignment]  # set in __post_init__
    """Settings of the front end, with sample rate and length of clips; `None` means the defaults: 1 s at 16 kHz."""
    frontend_enabled: bool = True
    """Convert clips to spectrograms; otherwise x holds the samples, and `sample_shape` is required."""
    sample_shape: Sequence[int] | None = _SampleShape()  # type: ignore[assignment]  # a descriptor
    """Shape of one sample of x without front end; with it the shape of a spectrogram, read-only."""
    add_channel_dimension: bool = True
    """Add a last axis of length 1 to spectrograms."""
    offset_range: Sequence[float] | None = (0.0, 1.0)
    """Minimum and maximum position of a short recording in the padding, or of the part cut out of a long one, as a
    fraction of the possible range; `None` means (0, 1)."""
    clip_position: float = 0.0
    """Position of a recording without augmentation, as in evaluation, on the scale of `offset_range`: 0 is the start of
    the clip, 0.5 its middle."""
    noise_floor_db: float | None = None
    """Level of white noise that every clip gets, also in evaluation, in dB relative to full scale, e.g. -70: padding
    and silence are then as quiet as a microphone, not digital zeros. `None` adds none."""
    trim_threshold_db: float | None = 20.0
    """Trim sound at both ends that is quieter than the loudest 25 ms by more than this; 0 or `None` trims nothing.
    20 dB, as in the reference, cuts off consonants at the beginning or end of many words, of which a warning tells."""
    channel: int | str | None = None
    """Channel that is used of recordings with several: its number, counted from 0, or `'mean'` of all. `None` means the
    first, with a warning if it is silent and another one is not."""
    float_scale: float = 1.0
    """Full scale of recordings of real numbers, such as 32768 if they were integers of 16 bits. A recording that is 16
    times louder is refused."""
    noise_colors: Sequence[str] | str | None = None
    """Kinds of generated noise, one of which is added to each clip: white, pink (-3 dB of power per octave), brown
    (-6), blue (+3), violet (+6), or `'all'`."""
    noise_color_range: Sequence[float] | None = None
    """Minimum and maximum root mean square of the generated noise, relative to full scale; `None` means 0."""
    bg_noise_dir: str | os.PathLike[str] | None = None
    """Folder with recordings of background noise; each clip gets a random part of a random recording. Absolute, or
    relative to the working directory or to the folder of the data set."""
    bg_noise_range: Sequence[float] | None = None
    """Minimum and maximum factor of the background noise; `None` means 0."""
    loudness_range: Sequence[float] | None = None
    """Minimum and maximum factor of the samples, after noise is added."""
    speed_range: Sequence[float] | None = None
    """Minimum and maximum factor of the speed; keeps the pitch."""
    pitch_range: Sequence[float] | None = None
    """Minimum and maximum change of the pitch; keeps the duration. Integers are semitones, drawn as integers with
    both ends included; floats are fractions of an octave."""
    vtlp_range: Sequence[float] | None = None
    """Minimum and maximum factor of the vocal tract, by which frequencies up to about 4.8 kHz are multiplied."""
    unknown_class_percentage: float = 1.0
    """Size of the class `_unknown_` relative to the mean size of the named classes."""
    silence_class_percentage: float = 0.6
    """Size of the class `_silence_` relative to the mean size of the named classes."""
    disable_random_transforms: bool = False
    """Disable augmentation: only trim clips, and pad or crop them at offset 0."""
    samplewise_normalize_range: Sequence[float] | None = None
    """Range to which the minimum and maximum of each sample are mapped."""
    dtype: DTypeLike = np.float32
    """Type of x. Integers are rounded and clipped."""
    frontend_dtype: DTypeLike | None = None
    """Output type of the front end: uint16, float32 or int8. `None` means `dtype`, or float32 for other types."""
    postprocessing_function: Callable[..., object] | None = None
    """Callback for the spectrogram."""
    bg_noise_snr_db_range: Sequence[float] | None = None
    """Minimum and maximum signal-to-noise ratio in dB; replaces `bg_noise_range`. The power of the recording is
    measured over the part of the clip that it fills; silence gets the noise at its recorded level."""
    impulse_response_dir: str | os.PathLike[str] | None = None
    """Folder with impulse responses of rooms, one of which is applied to each clip; found like `bg_noise_dir`."""
    time_shift_range_ms: Sequence[float] | None = None
    """Minimum and maximum shift within the clip, in milliseconds; samples shifted out of the clip are lost."""
    frequency_masks: Sequence[int] = (0, 0)
    """Number of masked frequency bands in a spectrogram, and their maximum width in channels (SpecAugment)."""
    time_masks: Sequence[int] = (0, 0)
    """Number of masked time spans in a spectrogram, and their maximum width in frames."""
    room_rt60_range: Sequence[float] | None = None
    """Minimum and maximum time in seconds in which the reverberation of a computed room decays by 60 dB: 0.3 is a small
    room, 1 a hall. Step `room`."""
    room_direct_db_range: Sequence[float] = (0.0, 15.0)
    """Minimum and maximum level of the direct sound relative to this reverberation, in dB; 0 is far away."""
    equalizer_db: float = 0.0
    """Maximum gain to either side, in dB, of an equalizer with a drawn gain in each octave, like the uneven response of
    microphones and housings. Step `filter`."""
    highpass_range_hz: Sequence[float] | None = None
    """Minimum and maximum frequency below which sound is weakened by 12 dB per octave, as by a small microphone. Step
    `filter`."""
    lowpass_range_hz: Sequence[float] | None = None
    """Minimum and maximum frequency above which sound is weakened by 24 dB per octave. Step `filter`."""
    codecs: Sequence[str] | None = None
    """What a clip is sent through, one of: `telephone` (300 to 3,400 Hz, 8 bits of the mu-law), `8bit` (linear), and
    `overdrive` (peaks cut off 3 to 12 dB below the highest). Step `codec`."""
    probabilities: Mapping[str, float] | None = None
    """Probability from 0 to 1 that an augmentation is applied to a clip, by name; 1 by default. Names: offset, speed,
    pitch, vtlp, loudness, noise_color, bg_noise, impulse_response, time_shift, frequency_mask, time_mask, room, filter,
    codec."""
    class_augmentations: Mapping[str, Sequence[str]] | None = None
    """Augmentations allowed for the clips of a class, by class name; other classes allow all."""

    def __post_init__(self) -> None:
        self.frontend_settings = self.frontend_settings or AudioFeatureGeneratorSettings()
        self._frontend: tuple[AudioFeatureGeneratorSettings, AudioFeatureGenerator] | None = None
        self._transforms: RandomTransforms | None = None
        self._directory: str | None = None
        super().__post_init__()

    def check(self) -> None:
        """Check all settings; called again for each new iterator, since settings may be changed.

        Raises:
            SpecificationError: A setting has the wrong type, or is out of range.
        """
        super().check()
        if not isinstance(self.frontend_settings, AudioFeatureGeneratorSettings):
            raise SpecificationError(
                f"frontend_settings must be AudioFeatureGeneratorSettings, got {self.frontend_settings!r}."
            )
        if self.frontend_enabled:
            self.frontend_settings.validate()
        elif self.sample_shape is None:
            raise SpecificationError(
                f"With frontend_enabled=False, sample_shape is required, e.g. ({self.sample_length},)."
            )
        self._describe_transforms()
        if self.bg_noise_range is not None and self.bg_noise_snr_db_range is not None:
            raise SpecificationError(
                "bg_noise_range and bg_noise_snr_db_range exclude each other; set only one of them."
            )
        self.reading_rules()
        check_number("clip_position", self.clip_position, 0, 1)
        if self.noise_floor_db is not None:
            check_number("noise_floor_db", self.noise_floor_db, maximum=0)
        if self.trim_threshold_db is not None:
            check_number("trim_threshold_db", self.trim_threshold_db, minimum=0)
        for name in ("unknown_class_percentage", "silence_class_percentage"):
            check_number(name, getattr(self, name), minimum=0)
        if self.samplewise_normalize_range is not None:
            check_range("samplewise_normalize_range", self.samplewise_normalize_range)
        check_callback("postprocessing_function", self.postprocessing_function)
        for label, names in (self.class_augmentations or {}).items():
            for name in names:
                check_choice(f"class_augmentations of '{label}'", name, AUGMENTATIONS)
        check_dtype("dtype", self.dtype)
        if self.frontend_dtype is not None:
            name = check_dtype("frontend_dtype", self.frontend_dtype).name
            check_choice("frontend_dtype", name, _FRONTEND_TYPES)

    def reading_rules(self) -> ReadingRules:
        """Return how to read recordings that can be read in more than one way.

        Raises:
            SpecificationError: One of these settings has the wrong type, or is out of range.
        """
        if isinstance(self.channel, str):
            check_choice("channel", self.channel, ("mean",))
        elif self.channel is not None:
            check_integer("channel", self.channel, minimum=0)
        scale = check_number("float_scale", self.float_scale, minimum=0)
        if not scale:
            raise SpecificationError("float_scale must be above 0.")
        return ReadingRules(self.channel, scale)

    @property
    def augmentation_enabled(self) -> bool:
        """Whether to augment at all."""
        return not self.disable_random_transforms

    def built_in_steps(self) -> list[AugmentationStep]:
        """Return the random transforms as steps: for clips and, if masks are set, one for spectrograms."""
        random = self.get_transforms()
        steps = [AugmentationStep(AUDIO_STEP, "transform", random.mix, "audio", "noise")]
        if random.room_rt60 is not None:
            # Noise is not in the room's sound: it is recorded, or that of the microphone.
            steps.insert(0, AugmentationStep(ROOM_STEP, "transform", random.reverberate, "audio"))
        if random.filters:
            steps.append(AugmentationStep(FILTER_STEP, "transform", random.filter, "audio"))
        if random.codecs:
            steps.append(AugmentationStep(CODEC_STEP, "transform", random.encode, "audio"))
        if self.frontend_enabled and (random.frequency_masks[0] or random.time_masks[0]):
            steps.append(AugmentationStep(MASK_STEP, "transform", random.mask, "spectrogram", "mask"))
        return steps

    def get_transforms(self) -> RandomTransforms:
        """Return the random transforms; recordings are included once an iterator has been made."""
        return self._transforms or self._describe_transforms()

    def random_transforms(self, directory: str | None = None) -> RandomTransforms:
        """Return the random transforms with the recordings that they need, read from their folders.

        Args:
            directory: Folder of the data set, which folders of recordings may be relative to.

        Raises:
            SpecificationError: A setting of the transforms has the wrong type, or is out of range.
            DatasetError: A folder of recordings is missing or empty, or a recording cannot be read.
        """
        return self._describe_transforms(directory or self._directory, load_recordings=True)

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
        """Sample rate of clips in Hz."""
        return self.frontend_settings.sample_rate_hz

    @sample_rate_hz.setter
    def sample_rate_hz(self, value: int) -> None:
        self.frontend_settings.sample_rate_hz = value

    @property
    def batch_sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample of x, with the channel axis."""
        shape = tuple(self.sample_shape or ())
        return (*shape, 1) if self.frontend_enabled and self.add_channel_dimension else shape

    @property
    def frontend(self) -> AudioFeatureGenerator:
        """The front end with the current settings."""
        if self._frontend is None or self._frontend[0] != self.frontend_settings:
            own = self.frontend_settings.copy()
            self._frontend = (own, AudioFeatureGenerator(own))
        return self._frontend[1]

    @property
    def frontend_output_dtype(self) -> np.dtype:
        """Type requested from the front end."""
        wanted = np.dtype(self.dtype if self.frontend_dtype is None else self.frontend_dtype)
        return wanted if wanted.name in _FRONTEND_TYPES else np.dtype(np.float32)

    def finish_batch(self, x: np.ndarray) -> np.ndarray:
        """Normalize a batch, and convert it to the type and shape of x."""
        x = self._normalize(x)
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
        """Return the settings that differ from the defaults, one `name: value` per line."""
        shown = copy.copy(self)
        shown.frontend_settings = default = AudioFeatureGeneratorSettings()
        lines = describe_settings(shown)
        changed = {k: v for k, v in self.frontend_settings.items() if v != default[k]}
        return "\n".join(filter(None, (f"frontend_settings: {changed}" if changed else "", lines)))

    def _warn_about_unused_settings(self) -> None:
        noise = (self.bg_noise_range, self.bg_noise_snr_db_range)
        if self.noise_colors and self.noise_color_range is None:
            logger.warning("noise_colors has no effect: noise_color_range is not set.")
        if self.bg_noise_dir is not None and noise == (None, None):
            logger.warning(
                "bg_noise_dir has no effect: neither bg_noise_range nor bg_noise_snr_db_range is set."
            )
        if self.bg_noise_dir is None and noise != (None, None):
            logger.warning("The range of the background noise has no effect: bg_noise_dir is not set.")

    def _describe_transforms(
        self, directory: str | None = None, load_recordings: bool = False
    ) -> RandomTransforms:
        """Check the settings of the random transforms and return them; `load_recordings` reads their folders, too."""
        rate = self.sample_rate_hz
        probabilities = dict(self.probabilities or {})
        for name in probabilities:
            check_choice("probabilities", name, AUGMENTATIONS)
        noises = responses = None
        if load_recordings and self.bg_noise_dir is not None:
            noises = load_noises(find_folder("bg_noise_dir", self.bg_noise_dir, directory), rate)
        if load_recordings and self.impulse_response_dir is not None:
            folder = find_folder("impulse_response_dir", self.impulse_response_dir, directory)
            responses = load_impulse_responses(folder, rate)
        offset = self.offset_range if self.offset_range is not None else (0.0, 1.0)
        pitch, whole_semitones = _check_pitch(self.pitch_range)
        return RandomTransforms(
            rate=rate,
            offset=check_range("offset_range", offset, minimum=0, maximum=1),
            speed=_check_positive("speed_range", self.speed_range),
            pitch=pitch,
            whole_semitones=whole_semitones,
            vtlp=_check_positive("vtlp_range", self.vtlp_range),
            loudness=check_factors("loudness_range", self.loudness_range),
            noise_colors=_check_colors(self.noise_colors),
            noise_color=check_factors("noise_color_range", self.noise_color_range) or (0.0, 0.0),
            noises=noises,
            noise=check_factors("bg_noise_range", self.bg_noise_range) or (0.0, 0.0),
            noise_snr_db=_check_optional("bg_noise_snr_db_range", self.bg_noise_snr_db_range),
            impulse_responses=responses,
            time_shift_ms=_check_optional("time_shift_range_ms", self.time_shift_range_ms),
            frequency_masks=_check_masks("frequency_masks", self.frequency_masks),
            time_masks=_check_masks("time_masks", self.time_masks),
            room_rt60=_check_positive("room_rt60_range", self.room_rt60_range),
            room_direct_db=check_range("room_direct_db_range", self.room_direct_db_range),
            equalizer_db=check_number("equalizer_db", self.equalizer_db, minimum=0),
            highpass_hz=_check_positive("highpass_range_hz", self.highpass_range_hz),
            lowpass_hz=_check_positive("lowpass_range_hz", self.lowpass_range_hz),
            codecs=_check_names("codecs", self.codecs, tuple(CODECS)),
            probabilities=tuple(
                check_number(f"probabilities of '{name}'", probabilities.get(name, 1.0), 0, 1)
                for name in AUGMENTATIONS
            ),
        )

    def _normalize(self, x: np.ndarray) -> np.ndarray:
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


def _check_colors(value: Sequence[str] | str | None) -> tuple[str, ...]:
    return tuple(NOISE_COLORS) if value == "all" else _check_names("noise_colors", value, tuple(NOISE_COLORS))


def _check_names(setting: str, value: Sequence[str] | str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(value, str):
        every = ", or 'all'" if setting == "noise_colors" else ""
        raise SpecificationError(
            f"{setting} must be a list of {', '.join(known)}{every}, or None; got {value!r}."
        )
    return tuple(check_choice(setting, name, known) for name in value or ())


def _check_optional(name: str, value: Sequence[float] | None) -> Range | None:
    return None if value is None else check_range(name, value)


def _check_positive(name: str, value: Sequence[float] | None) -> Range | None:
    limits = check_factors(name, value)
    if limits is not None and limits[0] <= 0:
        raise SpecificationError(f"{name} must hold factors above 0, got {value!r}.")
    return limits


def _check_pitch(value: Sequence[float] | None) -> tuple[Range | None, bool]:
    """Return the range in semitones, and whether only integers are drawn."""
    if value is None:
        return None, False
    low, high = check_range("pitch_range", value)
    whole = all(isinstance(v, Integral) for v in value)
    semitones = 1 if whole else 12
    if max(abs(low), abs(high)) * semitones > 36:
        raise SpecificationError(
            f"pitch_range must be within 36 semitones (integers) or 3.0 octaves (floats), got {value!r}."
        )
    return (low * semitones, high * semitones), whole


def _check_masks(name: str, value: object) -> tuple[int, int]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise SpecificationError(f"{name} must be (number, maximum width), got {value!r}.")
    return check_integer(name, value[0], minimum=0), check_integer(name, value[1], minimum=0)
