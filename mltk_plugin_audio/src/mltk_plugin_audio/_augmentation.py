"""Random transforms of clips: parameters are drawn for a whole batch and then applied to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Final

import numpy as np
from scipy import fft

from mltk.data import Range, standard_normal
from mltk_plugin_audio._microphone import CODECS, EQUALIZER_HZ, filter_clips, reverberate
from mltk_plugin_audio._noise_and_rooms import RecordingSet

AUGMENTATIONS = (
    "offset",
    "speed",
    "pitch",
    "vtlp",
    "loudness",
    "noise_color",
    "bg_noise",
    "impulse_response",
    "time_shift",
    "frequency_mask",
    "time_mask",
    "room",
    "filter",
    "codec",
)
"""Names for `probabilities` and `class_augmentations`."""

NOISE_COLORS: Final[Mapping[str, float]] = {
    "white": 0.0,
    "pink": -3.0,
    "brown": -6.0,
    "blue": 3.0,
    "violet": 6.0,
}
"""Slope of the power of each noise color in dB per octave, rounded (6 dB stand for a factor of 4)."""

_FLAT_BELOW_HZ = 20.0

TransformValue = float | int | bool | str | None
"""Value of one parameter of one clip."""


@dataclass(frozen=True)
class Transforms:
    """Drawn parameters of each clip of a batch: `(n,)` arrays. The settings of the generator document the units."""

    offset_percentage: np.ndarray
    """Fraction of the padding or of the cropped part that comes first, 0 to 1."""
    loudness_factor: np.ndarray
    noise_color: np.ndarray
    """Index of the color in the settings, -1 for none."""
    noise_color_factor: np.ndarray
    bg_noise: np.ndarray
    """Index of the recording, -1 for none."""
    bg_noise_factor: np.ndarray
    bg_noise_start: np.ndarray
    """Position in the recording, 0 to 1."""
    bg_noise_snr_db: np.ndarray
    """NaN if `bg_noise_factor` applies."""
    speed_factor: np.ndarray
    pitch_factor: np.ndarray
    """Semitones."""
    vtlp_factor: np.ndarray
    impulse_response: np.ndarray
    """Index of the recording, -1 for none."""
    time_shift_ms: np.ndarray
    frequency_mask: np.ndarray
    """bool."""
    time_mask: np.ndarray
    """bool."""
    room_rt60: np.ndarray
    """Seconds; 0 for no room."""
    filter: np.ndarray
    """bool."""
    codec: np.ndarray
    """Index of the codec in the settings, -1 for none."""

    def __len__(self) -> int:
        return len(self.offset_percentage)

    def changes_voice(self, i: int) -> bool:
        """Return whether duration, pitch or vocal tract of a clip change."""
        return bool(self.speed_factor[i] != 1 or self.pitch_factor[i] != 0 or self.vtlp_factor[i] != 1)


@dataclass(frozen=True)
class RandomTransforms:
    """Ranges of the random transforms; the defaults change nothing. See the settings of the generator."""

    rate: int = 16000
    offset: Range = (0.0, 0.0)
    speed: Range | None = None
    pitch: Range | None = None
    """Semitones."""
    whole_semitones: bool = False
    vtlp: Range | None = None
    loudness: Range | None = None
    noise_colors: tuple[str, ...] = ()
    noise_color: Range = (0.0, 0.0)
    noises: RecordingSet | None = None
    noise: Range = (0.0, 0.0)
    noise_snr_db: Range | None = None
    impulse_responses: RecordingSet | None = None
    time_shift_ms: Range | None = None
    frequency_masks: tuple[int, int] = (0, 0)
    """Number, and maximum width in channels."""
    time_masks: tuple[int, int] = (0, 0)
    """Number, and maximum width in frames."""
    room_rt60: Range | None = None
    room_direct_db: Range = (0.0, 15.0)
    equalizer_db: float = 0.0
    highpass_hz: Range | None = None
    lowpass_hz: Range | None = None
    codecs: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = (1.0,) * len(AUGMENTATIONS)
    """In the order of `AUGMENTATIONS`."""

    def draw(self, n: int, rng: np.random.Generator, allowed: np.ndarray | None = None) -> Transforms:
        """Draw the parameters of `n` clips.

        Args:
            n: Number of clips.
            rng: Random generator. The draws of one augmentation do not depend on the use of others.
            allowed: bool `(n, len(AUGMENTATIONS))`: augmentations allowed for each clip; `None` allows all.
        """
        u = rng.random((len(AUGMENTATIONS), 4, n))
        on = u[:, 0] < np.array(self.probabilities)[:, None]
        if allowed is not None:
            on &= allowed.T
        rows = dict(zip(AUGMENTATIONS, zip(on, u[:, 1], u[:, 2], u[:, 3], strict=True), strict=True))

        def draw_between(name: str, limits: Range | None, neutral: float) -> np.ndarray:
            enabled, first, _, _ = rows[name]
            if limits is None:
                return np.full(n, neutral)
            return np.where(enabled, limits[0] + first * (limits[1] - limits[0]), neutral)

        def draw_index(name: str, count: int) -> np.ndarray:
            enabled, _, second, _ = rows[name]
            return np.where(enabled & (count > 0), (second * count).astype(np.int64), -1)

        pitch = draw_between("pitch", self.pitch, 0.0)
        if self.whole_semitones and self.pitch is not None:
            enabled, first, _, _ = rows["pitch"]
            low, high = self.pitch
            pitch = np.where(enabled, low + np.floor(first * (high - low + 1)), 0.0)
        noises = len(self.noises.names) if self.noises else 0
        return Transforms(
            offset_percentage=draw_between("offset", self.offset, 0.0),
            loudness_factor=draw_between("loudness", self.loudness, 1.0),
            noise_color=draw_index("noise_color", len(self.noise_colors)),
            noise_color_factor=draw_between("noise_color", self.noise_color, 0.0),
            bg_noise=draw_index("bg_noise", noises),
            bg_noise_factor=draw_between("bg_noise", (1.0, 1.0) if self.noise_snr_db else self.noise, 0.0),
            bg_noise_start=rows["bg_noise"][3],
            bg_noise_snr_db=draw_between("bg_noise", self.noise_snr_db, np.nan),
            speed_factor=draw_between("speed", self.speed, 1.0),
            pitch_factor=pitch,
            vtlp_factor=draw_between("vtlp", self.vtlp, 1.0),
            impulse_response=draw_index(
                "impulse_response", len(self.impulse_responses.names) if self.impulse_responses else 0
            ),
            time_shift_ms=draw_between("time_shift", self.time_shift_ms, 0.0),
            frequency_mask=rows["frequency_mask"][0] & (self.frequency_masks[0] > 0),
            time_mask=rows["time_mask"][0] & (self.time_masks[0] > 0),
            room_rt60=draw_between("room", self.room_rt60, 0.0),
            filter=rows["filter"][0] & self.filters,
            codec=draw_index("codec", len(self.codecs)),
        )

    @property
    def filters(self) -> bool:
        """Whether clips are filtered."""
        return bool(self.equalizer_db or self.highpass_hz or self.lowpass_hz)

    def reverberate(self, x: np.ndarray, rng: np.random.Generator, transforms: Transforms) -> np.ndarray:
        """Put clips into rooms that are computed; arguments as for `mix`, and likewise below."""
        chosen = np.flatnonzero(transforms.room_rt60 > 0)
        if len(chosen):
            direct = rng.uniform(*self.room_direct_db, len(x))
            x[chosen] = reverberate(x[chosen], transforms.room_rt60[chosen], direct[chosen], self.rate, rng)
        return x

    def filter(self, x: np.ndarray, rng: np.random.Generator, transforms: Transforms) -> np.ndarray:
        """Filter clips like microphones with different frequency responses."""
        n = len(x)
        gains = rng.uniform(-self.equalizer_db, self.equalizer_db, (n, len(EQUALIZER_HZ)))
        high = rng.uniform(*(self.highpass_hz or (0.0, 0.0)), n)
        low = rng.uniform(*self.lowpass_hz, n) if self.lowpass_hz else np.full(n, np.inf)
        on = np.flatnonzero(transforms.filter)
        if len(on):
            x[on] = filter_clips(x[on], gains[on], high[on], low[on], self.rate)
        return x

    def encode(self, x: np.ndarray, rng: np.random.Generator, transforms: Transforms) -> np.ndarray:
        """Send clips through a codec or an amplifier."""
        for index, name in enumerate(self.codecs):
            chosen = np.flatnonzero(transforms.codec == index)
            if len(chosen):
                x[chosen] = CODECS[name](x[chosen], self.rate, rng)
        return x

    def transform_clips(
        self, x: np.ndarray, rng: np.random.Generator, spans: np.ndarray, transforms: Transforms
    ) -> np.ndarray:
        """Apply all transforms of clips, in their order."""
        x = self.mix(self.reverberate(x, rng, transforms), rng, spans, transforms)
        return self.encode(self.filter(x, rng, transforms), rng, transforms)

    def mix(
        self, x: np.ndarray, rng: np.random.Generator, spans: np.ndarray, transforms: Transforms
    ) -> np.ndarray:
        """Shift clips in time, add reverberation and noise, and scale the loudness.

        Args:
            x: float32 `(n, samples)`; may be overwritten.
            rng: Random generator of the noise.
            spans: int64 `(n, 2)`: start and stop of the recording in each row; may be overwritten.
            transforms: See `draw`.
        """
        _shift(x, spans, np.rint(transforms.time_shift_ms * (self.rate / 1000)).astype(np.int64))
        if self.impulse_responses is not None:
            _reverberate(x, self.impulse_responses, transforms.impulse_response)
        self._add_colored_noise(x, transforms, rng)
        if self.noises is not None:
            self._add_recorded_noise(x, spans, transforms)
        if self.loudness is not None:
            x *= transforms.loudness_factor.astype(np.float32)[:, None]
        return x

    def mask(self, x: np.ndarray, rng: np.random.Generator, transforms: Transforms) -> np.ndarray:
        """Replace channels and frames of spectrograms by the mean (Park et al., "SpecAugment", 2019).

        Args:
            x: float32 `(n, frames, channels)`; may be overwritten.
            rng: Random generator of positions and widths.
            transforms: See `draw`.
        """
        hidden = np.zeros(x.shape, bool)
        for (count, widest), on, axis in (
            (self.frequency_masks, transforms.frequency_mask, 2),
            (self.time_masks, transforms.time_mask, 1),
        ):
            size = x.shape[axis]
            for _ in range(count):
                width = np.floor(rng.random(len(x)) * (min(widest, size) + 1))
                first = np.floor(rng.random(len(x)) * (size - width + 1))
                place = np.arange(size)
                stripe = (place >= first[:, None]) & (place < (first + width)[:, None]) & on[:, None]
                hidden |= stripe[:, None, :] if axis == 2 else stripe[:, :, None]
        if hidden.any():
            mean = x.mean(axis=(1, 2), keepdims=True)
            x = np.where(hidden, mean, x)
        return x

    def _add_colored_noise(self, x: np.ndarray, transforms: Transforms, rng: np.random.Generator) -> None:
        noisy = np.flatnonzero((transforms.noise_color >= 0) & (transforms.noise_color_factor > 0))
        if len(noisy):
            colors = [self.noise_colors[i] for i in transforms.noise_color[noisy]]
            noise = make_colored_noise(colors, x.shape[1], self.rate, rng)
            x[noisy] += noise * transforms.noise_color_factor[noisy].astype(np.float32)[:, None]

    def _add_recorded_noise(self, x: np.ndarray, spans: np.ndarray, transforms: Transforms) -> None:
        assert self.noises is not None
        length = x.shape[1]
        for i in np.flatnonzero((transforms.bg_noise >= 0) & (transforms.bg_noise_factor > 0)):
            which, where = int(transforms.bg_noise[i]), transforms.bg_noise_start[i]
            factor = transforms.bg_noise_factor[i]
            snr = transforms.bg_noise_snr_db[i]
            if not np.isnan(snr):
                start, stop = spans[i]
                signal, level = (
                    _compute_level(x[i, start:stop]),
                    _compute_level(self.noises.get_segment(which, where, length)),
                )
                # Silence has no signal-to-noise ratio; its noise keeps the recorded level.
                if signal and level:
                    factor = signal / level * 10 ** (-snr / 20)
            self.noises.add_segment(which, where, factor, x[i])


def default_transforms(n: int) -> Transforms:
    """Return parameters that leave `n` clips unchanged."""
    return RandomTransforms().draw(n, np.random.default_rng(0))


def make_colored_noise(colors: list[str], length: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise with a root mean square of 1: float32 `(len(colors), length)`.

    The spectrum is flat below 20 Hz; otherwise most of the power of brown noise would be inaudible.

    Args:
        colors: Keys of `NOISE_COLORS`.
        length: Number of samples.
        rate: Sample rate in Hz.
        rng: Random generator.
    """
    size = fft.next_fast_len(length, real=True)
    bins = size // 2 + 1
    normal = standard_normal(2 * bins * len(colors), rng).reshape(len(colors), bins, 2)
    # Noise in the frequency domain is noise in the time domain, too, which saves one of the two transforms.
    spectrum = normal.view(np.complex64)[..., 0]
    spectrum *= np.stack([_compute_amplitudes(color, size, rate) for color in colors])
    noise: np.ndarray = fft.irfft(spectrum, size)[:, :length]
    noise /= np.sqrt(np.mean(np.square(noise), axis=1, keepdims=True))
    return noise


@lru_cache(maxsize=32)
def _compute_amplitudes(color: str, size: int, rate: float) -> np.ndarray:
    frequencies = np.maximum(np.arange(size // 2 + 1) * (rate / size), _FLAT_BELOW_HZ)
    amplitudes = frequencies ** (NOISE_COLORS[color] / 6)
    amplitudes[0] = 0
    return np.asarray(amplitudes / amplitudes.max(), np.float32)


def _reverberate(x: np.ndarray, responses: RecordingSet, chosen: np.ndarray) -> None:
    length = x.shape[1]
    for index in np.unique(chosen[chosen >= 0]):
        rows = np.flatnonzero(chosen == index)
        response = responses.samples[index][:length]
        size = fft.next_fast_len(length + len(response) - 1, real=True)
        dry = x[rows]
        wet = fft.irfft(fft.rfft(dry, size) * fft.rfft(response, size), size)[:, :length]
        before, after = _compute_row_levels(dry), _compute_row_levels(wet)
        # The room must not change the loudness of the clip relative to the noise.
        x[rows] = wet * np.divide(before, after, out=np.ones_like(before), where=after > 0)


def _shift(x: np.ndarray, spans: np.ndarray, shifts: np.ndarray) -> None:
    length = x.shape[1]
    for i in np.flatnonzero(shifts):
        shift = int(np.clip(shifts[i], -length, length))
        if shift > 0:
            x[i, shift:] = x[i, : length - shift].copy()
            x[i, :shift] = 0
        else:
            x[i, : length + shift] = x[i, -shift:].copy()
            x[i, length + shift :] = 0
        spans[i] = np.clip(spans[i] + shift, 0, length)


def _compute_level(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if len(x) else 0.0


def _compute_row_levels(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.mean(np.square(x), axis=1, keepdims=True)))


def to_dictionary(transforms: Transforms, i: int, random: RandomTransforms) -> dict[str, TransformValue]:
    """Return the parameters of one clip by the names of the reference, with names in place of indices."""
    result: dict[str, TransformValue] = {
        f.name: getattr(transforms, f.name)[i].item() for f in fields(transforms)
    }
    for key, names in _list_names(random).items():
        index = int(getattr(transforms, key)[i])
        result[key] = names[index] if index >= 0 else None
    result["noise_color"] = result["noise_color"] or "none"
    return result


def from_dictionary(params: Mapping[str, TransformValue], random: RandomTransforms) -> Transforms:
    """Return the parameters of one clip; values missing in `params` leave the clip unchanged.

    Raises:
        KeyError: A parameter, color or recording does not exist.
    """
    default = default_transforms(1)
    values: dict[str, TransformValue] = {f.name: getattr(default, f.name)[0] for f in fields(default)}
    for name in params:
        if name not in values:
            raise KeyError(name)
    values.update(params)
    for key, known in _list_names(random).items():
        value = values[key]
        if value is None or value == "none":
            values[key] = -1
        elif isinstance(value, str):
            if value not in known:
                raise KeyError(value)
            values[key] = known.index(value)
    return Transforms(**{name: np.array([value]) for name, value in values.items()})


def _list_names(random: RandomTransforms) -> dict[str, tuple[str, ...]]:
    """Return the names that the indices of `Transforms` stand for."""
    return {
        "noise_color": random.noise_colors,
        "bg_noise": random.noises.names if random.noises else (),
        "impulse_response": random.impulse_responses.names if random.impulse_responses else (),
        "codec": random.codecs,
    }
