"""Rooms, microphones and transmissions that are computed, not recorded.

All functions take float32 clips `(n, samples)` from -1 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from scipy import fft

from mltk.data import standard_normal

EQUALIZER_HZ = (60.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
"""Frequencies at which the gain of an equalizer is drawn."""

_DIRECT_SECONDS = 0.002
_MU = 255.0


def reverberate(
    x: np.ndarray, rt60: np.ndarray, direct_db: np.ndarray, rate: float, rng: np.random.Generator
) -> np.ndarray:
    """Return clips in rooms: white noise that decays exponentially follows the direct sound (Moorer, 1979).

    The level of a clip stays as it is.

    Args:
        x: The clips.
        rt60: Time in seconds in which the reverberation decays by 60 dB: `(n,)`.
        direct_db: Level of the direct sound relative to the reverberation: `(n,)`.
        rate: Sample rate in Hz.
        rng: Random generator of the reverberation.
    """
    length = x.shape[1]
    responses = make_responses(rt60, direct_db, min(length, int(rate * rt60.max()) + 1), rate, rng)
    size = fft.next_fast_len(length + responses.shape[1] - 1, real=True)
    wet = fft.irfft(fft.rfft(x, size) * fft.rfft(responses, size), size)[:, :length]
    before, after = (np.sqrt(np.mean(np.square(part), axis=1, keepdims=True)) for part in (x, wet))
    return np.asarray(wet * np.divide(before, after, out=np.ones_like(before), where=after > 0), np.float32)


def make_responses(
    rt60: np.ndarray, direct_db: np.ndarray, length: int, rate: float, rng: np.random.Generator
) -> np.ndarray:
    """Return impulse responses of rooms: float32 `(n, length)`, which begin with a direct sound of 1."""
    n = len(rt60)
    seconds = np.arange(length, dtype=np.float32) / np.float32(rate)
    decay = 10 ** (-3 * seconds / rt60[:, None].astype(np.float32))
    decay[:, seconds < _DIRECT_SECONDS] = 0
    tail = standard_normal(n * length, rng).reshape(n, length) * decay
    energy = np.sqrt(np.sum(np.square(tail), axis=1, keepdims=True))
    level = (10 ** (-direct_db / 20))[:, None].astype(np.float32)
    tail *= np.divide(level, energy, out=np.zeros_like(energy), where=energy > 0)
    tail[:, 0] = 1
    return np.asarray(tail, np.float32)


def filter_clips(
    x: np.ndarray, gains_db: np.ndarray, highpass: np.ndarray, lowpass: np.ndarray, rate: float
) -> np.ndarray:
    """Return clips as a microphone with an uneven frequency response records them; phases stay as they are.

    Args:
        x: The clips.
        gains_db: Gain at each of `EQUALIZER_HZ`: `(n, 8)`; in between, it is interpolated over the octave.
        highpass: Frequency in Hz below which the response falls by 12 dB per octave: `(n,)`; 0 for none.
        lowpass: Frequency in Hz above which it falls by 24 dB per octave: `(n,)`; infinity for none.
        rate: Sample rate in Hz.
    """
    length = x.shape[1]
    size = fft.next_fast_len(2 * length, real=True)
    hertz = np.maximum(np.arange(size // 2 + 1) * (rate / size), 1.0)
    place = np.interp(np.log2(hertz), np.log2(EQUALIZER_HZ), np.arange(len(EQUALIZER_HZ)))
    below = np.minimum(place.astype(int), len(EQUALIZER_HZ) - 2)
    part = place - below
    decibels = gains_db[:, below] * (1 - part) + gains_db[:, below + 1] * part
    response = 10 ** (decibels / 20)
    response /= np.sqrt(1 + (highpass[:, None] / hertz) ** 4)
    response /= np.sqrt(1 + (hertz / lowpass[:, None]) ** 8)
    spectrum = fft.rfft(x, size) * response.astype(np.float32)
    return np.asarray(fft.irfft(spectrum, size)[:, :length], np.float32)


def _telephone(x: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """G.711: 300 to 3,400 Hz, 8 bits of the mu-law."""
    n = len(x)
    flat = np.zeros((n, len(EQUALIZER_HZ)))
    x = np.clip(filter_clips(x, flat, np.full(n, 300.0), np.full(n, 3400.0), rate), -1, 1)
    code = np.rint(np.sign(x) * np.log1p(_MU * np.abs(x)) / np.log1p(_MU) * 127) / 127
    return np.asarray(np.sign(code) * np.expm1(np.abs(code) * np.log1p(_MU)) / _MU, np.float32)


def _eight_bits(x: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Linear samples of 8 bits."""
    return np.asarray(np.clip(np.rint(x * 128), -128, 127) / 128, np.float32)


def _overdrive(x: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """The peaks are cut off 3 to 12 dB below the highest one, as by an amplifier at its limit."""
    peak = np.abs(x).max(axis=1, keepdims=True)
    limit = peak * 10 ** (-rng.uniform(3, 12, (len(x), 1)) / 20)
    return np.asarray(np.clip(x, -limit, limit), np.float32)


CODECS: Final[Mapping[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]]] = {
    "telephone": _telephone,
    "8bit": _eight_bits,
    "overdrive": _overdrive,
}
"""Transmissions and recorders that change the sound, by name."""
