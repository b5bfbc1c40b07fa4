"""Random transforms of recordings: drawn for a whole batch, then applied to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

import numpy as np
from scipy import fft

from mltk.data.seeding import standard_normal
from mltk.data.settings import Range
from mltk_plugin_audio._recordings import Recordings

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
)
"""What `probabilities` and `class_augmentations` may name."""

NOISE_COLORS: Final[Mapping[str, float]] = {
    "white": 0.0,
    "pink": -3.0,
    "brown": -6.0,
    "blue": 3.0,
    "violet": 6.0,
}
"""Kinds of noise, and how their power changes, in dB per octave (of which 6 stands for a factor of 4)."""

_FLAT_BELOW_HZ = 20.0


@dataclass(frozen=True)
class Transforms:
    """What happens to each clip of a batch: `(n,)` arrays. The documentation of the generator has the units."""

    offset_percentage: np.ndarray
    """Fraction of the slack, 0 to 1."""
    loudness_factor: np.ndarray
    noise_color: np.ndarray
    """Index of the colour among those of the settings, -1 for none."""
    noise_color_factor: np.ndarray
    bg_noise: np.ndarray
    """Index of the recording, -1 for none."""
    bg_noise_factor: np.ndarray
    bg_noise_start: np.ndarray
    """Where in the recording, 0 to 1."""
    bg_noise_snr_db: np.ndarray
    """NaN where the factor counts."""
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

    def __len__(self) -> int:
        return len(self.offset_percentage)

    def stretches(self, i: int) -> bool:
        """Tell whether duration, pitch or vocal tract of a clip change."""
        return bool(self.speed_factor[i] != 1 or self.pitch_factor[i] != 0 or self.vtlp_factor[i] != 1)


@dataclass(frozen=True)
class RandomTransforms:
    """What may happen to a clip; the defaults leave it as it is. Values: `ParallelAudioDataGenerator`."""

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
    noises: Recordings | None = None
    noise: Range = (0.0, 0.0)
    noise_snr_db: Range | None = None
    impulse_responses: Recordings | None = None
    time_shift_ms: Range | None = None
    frequency_masks: tuple[int, int] = (0, 0)
    """How many, and greatest width in channels."""
    time_masks: tuple[int, int] = (0, 0)
    """How many, and greatest width in frames."""
    probabilities: tuple[float, ...] = (1.0,) * len(AUGMENTATIONS)
    """In the order of `AUGMENTATIONS`."""

    def draw(self, n: int, rng: np.random.Generator, allowed: np.ndarray | None = None) -> Transforms:
        """Draw the transforms of `n` clips.

        Args:
            n: Number of clips.
            rng: Source of randomness. The same numbers are drawn for one augmentation whether or not others
                are in use.
            allowed: bool `(n, len(AUGMENTATIONS))`: which may be applied to which clip; `None` for all.
        """
        u = rng.random((len(AUGMENTATIONS), 4, n))
        on = u[:, 0] < np.array(self.probabilities)[:, None]
        if allowed is not None:
            on &= allowed.T
        rows = dict(zip(AUGMENTATIONS, zip(on, u[:, 1], u[:, 2], u[:, 3], strict=True), strict=True))

        def between(name: str, limits: Range | None, neutral: float) -> np.ndarray:
            enabled, first, _, _ = rows[name]
            if limits is None:
                return np.full(n, neutral)
            return np.where(enabled, limits[0] + first * (limits[1] - limits[0]), neutral)

        def one_of(name: str, count: int) -> np.ndarray:
            enabled, _, second, _ = rows[name]
            return np.where(enabled & (count > 0), (second * count).astype(np.int64), -1)

        pitch = between("pitch", self.pitch, 0.0)
        if self.whole_semitones and self.pitch is not None:
            enabled, first, _, _ = rows["pitch"]
            low, high = self.pitch
            pitch = np.where(enabled, low + np.floor(first * (high - low + 1)), 0.0)
        noises = len(self.noises.names) if self.noises else 0
        snr = between("bg_noise", self.noise_snr_db, np.nan) if self.noise_snr_db else np.full(n, np.nan)
        return Transforms(
            offset_percentage=between("offset", self.offset, 0.0),
            loudness_factor=between("loudness", self.loudness, 1.0),
            noise_color=one_of("noise_color", len(self.noise_colors)),
            noise_color_factor=between("noise_color", self.noise_color, 0.0),
            bg_noise=one_of("bg_noise", noises),
            bg_noise_factor=between("bg_noise", (1.0, 1.0) if self.noise_snr_db else self.noise, 0.0),
            bg_noise_start=rows["bg_noise"][3],
            bg_noise_snr_db=snr,
            speed_factor=between("speed", self.speed, 1.0),
            pitch_factor=pitch,
            vtlp_factor=between("vtlp", self.vtlp, 1.0),
            impulse_response=one_of(
                "impulse_response", len(self.impulse_responses.names) if self.impulse_responses else 0
            ),
            time_shift_ms=between("time_shift", self.time_shift_ms, 0.0),
            frequency_mask=rows["frequency_mask"][0] & (self.frequency_masks[0] > 0),
            time_mask=rows["time_mask"][0] & (self.time_masks[0] > 0),
        )

    def mix(
        self, x: np.ndarray, spans: np.ndarray, transforms: Transforms, rng: np.random.Generator
    ) -> np.ndarray:
        """Shift, reverberate, add noise, and set the loudness.

        Args:
            x: float32 `(n, samples)`; may be overwritten.
            spans: int64 `(n, 2)`: where the recording begins and ends in each row.
            transforms: See `draw`.
            rng: Source of the noise.
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

    def mask(self, x: np.ndarray, transforms: Transforms, rng: np.random.Generator) -> np.ndarray:
        """Hide channels and frames of spectrograms behind their mean (Park et al., "SpecAugment", 2019).

        Args:
            x: float32 `(n, frames, channels)`; may be overwritten.
            transforms: See `draw`.
            rng: Source of place and width.
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
            noise = colored_noise(colors, x.shape[1], self.rate, rng)
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
                signal, level = _rms(x[i, start:stop]), _rms(self.noises.segment(which, where, length))
                # Beside silence there is no ratio; there the noise keeps its level.
                if signal and level:
                    factor = signal / level * 10 ** (-snr / 20)
            self.noises.add(which, where, factor, x[i])


def default_transforms(n: int) -> Transforms:
    """Return the transforms that leave `n` clips as they are."""
    return RandomTransforms().draw(n, np.random.default_rng(0))


def colored_noise(colors: list[str], length: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise of a root mean square of 1: float32 `(len(colors), length)`.

    The slope of the spectrum begins at 20 Hz; most of the power of brown noise would be inaudible otherwise.

    Args:
        colors: Keys of `NOISE_COLORS`.
        length: In samples.
        rate: In Hz.
        rng: Source of randomness.
    """
    size = fft.next_fast_len(length, real=True)
    bins = size // 2 + 1
    normal = standard_normal(2 * bins * len(colors), rng).reshape(len(colors), bins, 2)
    # Noise of its own level is made by noise in frequency, which saves one of the two transforms.
    spectrum = normal.view(np.complex64)[..., 0]
    spectrum *= np.stack([_amplitudes(color, size, rate) for color in colors])
    noise = fft.irfft(spectrum, size)[:, :length]
    noise /= np.sqrt(np.mean(np.square(noise), axis=1, keepdims=True))
    return noise  # type: ignore[no-any-return]


@lru_cache(maxsize=32)
def _amplitudes(color: str, size: int, rate: float) -> np.ndarray:
    frequencies = np.maximum(np.arange(size // 2 + 1) * (rate / size), _FLAT_BELOW_HZ)
    amplitudes = frequencies ** (NOISE_COLORS[color] / 6)
    amplitudes[0] = 0
    return np.asarray(amplitudes / amplitudes.max(), np.float32)


def _reverberate(x: np.ndarray, responses: Recordings, chosen: np.ndarray) -> None:
    length = x.shape[1]
    for index in np.unique(chosen[chosen >= 0]):
        rows = np.flatnonzero(chosen == index)
        response = responses.samples[index][:length]
        size = fft.next_fast_len(length + len(response) - 1, real=True)
        dry = x[rows]
        wet = fft.irfft(fft.rfft(dry, size) * fft.rfft(response, size), size)[:, :length]
        before, after = _rms_of_rows(dry), _rms_of_rows(wet)
        # The room must not change how loud the clip is beside the noise.
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


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if len(x) else 0.0


def _rms_of_rows(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.mean(np.square(x), axis=1, keepdims=True)))


def as_dictionary(transforms: Transforms, i: int, random: RandomTransforms) -> dict[str, Any]:
    """Return the transforms of one clip under the names of the reference, with names for indices."""
    result: dict[str, Any] = {f.name: getattr(transforms, f.name)[i].item() for f in fields(transforms)}
    result["noise_color"] = _name(result["noise_color"], random.noise_colors) or "none"
    result["bg_noise"] = _name(result["bg_noise"], random.noises.names if random.noises else ())
    result["impulse_response"] = _name(
        result["impulse_response"], random.impulse_responses.names if random.impulse_responses else ()
    )
    return result


def from_dictionary(params: Mapping[str, Any], random: RandomTransforms) -> Transforms:
    """Return the transforms of one clip; what `params` does not name is left as it is.

    Raises:
        KeyError: A transform, a colour or a recording does not exist.
    """
    default = default_transforms(1)
    values: dict[str, Any] = {f.name: getattr(default, f.name)[0] for f in fields(default)}
    for name in params:
        values[name]  # Raises.
    values.update(params)
    names = {
        "noise_color": random.noise_colors,
        "bg_noise": random.noises.names if random.noises else (),
        "impulse_response": random.impulse_responses.names if random.impulse_responses else (),
    }
    for key, known in names.items():
        value = values[key]
        if value is None or value == "none":
            values[key] = -1
        elif isinstance(value, str):
            if value not in known:
                raise KeyError(value)
            values[key] = known.index(value)
    return Transforms(**{name: np.array([value]) for name, value in values.items()})


def _name(index: int, names: tuple[str, ...]) -> str | None:
    return names[index] if index >= 0 else None
