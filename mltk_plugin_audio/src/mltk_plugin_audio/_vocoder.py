"""Phase vocoder that changes duration, pitch and vocal-tract length of a recording in one pass.

The vocoder computes the spectra of short overlapping frames, maps their frequencies, and overlaps the frames again at
another distance. It propagates the phases at the peaks of the spectrum and rotates the bins around a peak with it
(Laroche & Dolson, "Improved phase vocoder time-scale modification of audio", 1999). A change of pitch is a change of
duration followed by resampling. All steps release the GIL.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy import fft

from mltk_plugin_audio._compilation import compiled
from mltk_plugin_audio._signal import resample

_WINDOW_SECONDS = 0.05
_OVERLAP = 4
_RATIO_STEPS = 512

WARP_LIMIT_HZ = 4800.0
"""Approximate upper limit of the frequencies multiplied by the vocal-tract factor; covers the formants of speech."""

_WARP_LIMIT_SHARE = 0.6


def transform_voice(
    samples: np.ndarray,
    rate: float,
    target_rate: float,
    speed: float = 1.0,
    pitch: float = 0.0,
    vocal_tract: float = 1.0,
) -> np.ndarray:
    """Change duration, pitch and vocal-tract length, and resample.

    Args:
        samples: float32 `(n,)`.
        rate: Sample rate of `samples` in Hz.
        target_rate: Sample rate of the result in Hz.
        speed: Factor of the speed; 2 halves the duration and keeps the pitch.
        pitch: Shift in semitones, positive is up, accurate to 2 cents; keeps the duration.
        vocal_tract: Factor of the frequencies up to about `WARP_LIMIT_HZ`; the rest of the band is stretched or
            compressed to fit (Jaitly & Hinton, "Vocal tract length perturbation", 2013).

    Returns:
        float32 `(n * target_rate / rate / speed,)`.
    """
    # soxr is three times faster if the ratio of the sample rates is a fraction of small integers.
    ratio = round(2.0 ** (pitch / 12) * _RATIO_STEPS) / _RATIO_STEPS or 2.0 ** (pitch / 12)
    if ratio == speed and vocal_tract == 1:
        return resample(samples, rate * ratio, target_rate)
    vocoded = _vocode(samples, rate, ratio / speed, vocal_tract, ratio)
    result = resample(vocoded, rate * ratio, target_rate)
    return result[: max(1, round(len(samples) * target_rate / rate / speed))]


def warp_map(vocal_tract: float, nyquist: float) -> tuple[float, float, float]:
    """Return `(slope, knee, end)` of the frequency map: `slope * f` up to `knee`, then a line to `end`.

    `knee`, `end` and `nyquist` are in Hz.
    """
    limit = min(WARP_LIMIT_HZ, _WARP_LIMIT_SHARE * nyquist)
    return vocal_tract, limit * min(vocal_tract, 1.0) / vocal_tract, nyquist


def _vocode(samples: np.ndarray, rate: float, stretch: float, vocal_tract: float, ratio: float) -> np.ndarray:
    size = 2 ** math.ceil(math.log2(max(rate * _WINDOW_SECONDS, 16)))
    hop = size // _OVERLAP
    window = _hann(size)
    # One sample more than needed, because resampling rounds.
    length = math.ceil(len(samples) * stretch) + 1
    frames = length // hop + 2
    positions = np.rint(np.arange(frames) * (hop / stretch)).astype(np.int64)
    now = fft.rfft(_cut_frames(samples, positions, window))
    # The phase difference to a frame one hop earlier gives the frequencies, for any distance of the frames.
    before = fft.rfft(_cut_frames(samples, positions - hop, window))
    slope, knee, end = warp_map(vocal_tract, rate / 2)
    # Resampling multiplies all frequencies by `ratio`.
    to_bins = size / rate / ratio
    out = _propagate_phases(now, before, hop, slope, knee * to_bins, end * to_bins)
    return _overlap_add(fft.irfft(out, size), window, hop, length)


@cache
def _hann(size: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


@compiled()
def _cut_frames(samples: np.ndarray, positions: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Return windowed frames centred on `positions`, rotated by half of their length: each starts with its middle."""
    size = len(window)
    half = size // 2
    frames = np.zeros((len(positions), size), np.float32)
    for m in range(len(positions)):
        for part in range(2):
            start = positions[m] - half * part
            skip = max(0, -start)
            count = min(half, len(samples) - start) - skip
            if count <= 0:
                continue
            x = samples[start + skip : start + skip + count]
            w = window[half * (1 - part) + skip : half * (1 - part) + skip + count]
            out = frames[m, half * part + skip : half * part + skip + count]
            for i in range(count):
                out[i] = x[i] * w[i]
    return frames


@compiled()
def _overlap_add(frames: np.ndarray, window: np.ndarray, hop: int, length: int) -> np.ndarray:
    """Add rotated frames (see `_cut_frames`) at a distance of `hop`, and divide by the sum of the squared windows."""
    size = len(window)
    half = size // 2
    out = np.zeros(length, np.float32)
    weight = np.zeros(length, np.float32)
    for m in range(len(frames)):
        for part in range(2):
            start = m * hop - half * part
            skip = max(0, -start)
            count = min(half, length - start) - skip
            if count <= 0:
                continue
            x = frames[m, half * part + skip : half * part + skip + count]
            w = window[half * (1 - part) + skip : half * (1 - part) + skip + count]
            sums = out[start + skip : start + skip + count]
            weights = weight[start + skip : start + skip + count]
            for i in range(count):
                sums[i] += x[i] * w[i]
                weights[i] += w[i] * w[i]
    for i in range(length):
        out[i] /= max(weight[i], np.float32(1e-3))
    return out


@compiled()
def _map_frequency(x: float, slope: float, knee: float, end: float) -> float:
    if slope == 1 or x >= end:
        return x
    if x <= knee:
        return slope * x
    return end - (end - slope * knee) / (end - knee) * (end - x)


@compiled()
def _unmap_frequency(y: float, slope: float, knee: float, end: float) -> float:
    if slope == 1 or y >= end:
        return y
    if y <= slope * knee:
        return y / slope
    return end - (end - knee) / (end - slope * knee) * (end - y)


@compiled(fastmath=True)
def _turns(y: np.float32, x: np.float32) -> np.float32:
    """Return the angle of `(x, y)` in turns, -0.5 to 0.5 (Abramowitz & Stegun 4.4.49; error below 1e-7).

    Unlike the function of the C library, a polynomial can use vector instructions.
    """
    width, height = abs(x), abs(y)
    t = min(width, height) / max(width, height, np.float32(1e-30))
    s = t * t
    r = np.float32(-0.0040540580)
    r = r * s + np.float32(0.0218612288)
    r = r * s + np.float32(-0.0559098861)
    r = r * s + np.float32(0.0964200441)
    r = r * s + np.float32(-0.1390853351)
    r = r * s + np.float32(0.1994653599)
    r = r * s + np.float32(-0.3332985605)
    r = (r * s + np.float32(0.9999993329)) * t * np.float32(1 / (2 * math.pi))
    r = np.float32(0.25) - r if height > width else r
    r = np.float32(0.5) - r if x < 0 else r
    return -r if y < 0 else r


@compiled(fastmath=True)
def _sine(turns: np.float32) -> np.float32:
    """Return the sine of an angle of -0.75 to 0.75 turns (Abramowitz & Stegun 4.3.97; error below 1e-7)."""
    t = np.float32(0.5) - turns if turns > np.float32(0.25) else turns
    t = np.float32(-0.5) - t if t < np.float32(-0.25) else t
    x = t * np.float32(2 * math.pi)
    s = x * x
    r = np.float32(-0.0000000239)
    r = r * s + np.float32(0.0000027526)
    r = r * s + np.float32(-0.0001984090)
    r = r * s + np.float32(0.0083333315)
    r = r * s + np.float32(-0.1666666664)
    return (r * s + np.float32(1)) * x


@compiled(fastmath=True)
def _find_peaks(power: np.ndarray, is_peak: np.ndarray, peaks: np.ndarray, region: np.ndarray) -> int:
    """Find the bins that are stronger than two neighbours on either side, and assign each bin to one of them.

    Args:
        power: float32 `(bins + 4,)`, not negative, with two zeros before the first bin and after the last.
        is_peak: uint8 `(bins,)`, a buffer.
        peaks: int32 `(bins + 1,)`, filled with the bins of the peaks.
        region: int32 `(bins,)`, filled with an index of `peaks`; regions meet at the weakest bin between two peaks.

    Returns:
        The number of peaks.
    """
    bins = len(power) - 4
    for k in range(bins):
        p = power[k + 2]
        is_peak[k] = (p > power[k + 1]) & (p >= power[k + 3]) & (p > power[k]) & (p >= power[k + 4])
    count = 0
    for k in range(bins):
        peaks[count] = k
        count += is_peak[k]
    first = 0
    for p in range(count):
        last = bins - 1
        if p + 1 < count:
            last = peaks[p]
            lowest = power[last + 2]
            for k in range(peaks[p], peaks[p + 1]):
                value = power[k + 2]
                last = k if value < lowest else last
                lowest = value if value < lowest else lowest
        for k in range(first, last + 1):
            region[k] = p
        first = last + 1
    return count


@compiled()
def _find_sources(
    bins: int, slope: float, knee: float, end: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each bin of the result the lower of two source bins, the share of the upper one, and the nearest."""
    lower = np.empty(bins, np.int32)
    share = np.zeros(bins, np.float32)
    nearest = np.empty(bins, np.int32)
    for k in range(bins):
        source = _unmap_frequency(k, slope, knee, end)
        lower[k] = min(int(source), bins - 2)
        share[k] = min(source - lower[k], 1.0)
        nearest[k] = min(int(source + 0.5), bins - 1)
    return lower, share, nearest


@compiled()
def _propagate_phases(
    now: np.ndarray, before: np.ndarray, hop: int, slope: float, knee: float, end: float
) -> np.ndarray:
    """Return the spectra of the result.

    Args:
        now: complex64 `(frames, bins)`: spectra of the frames, with phases relative to the middle of the frame, so
            that all bins of a lobe have the same phase.
        before: Spectra one hop earlier.
        hop: Distance of the frames in the result, in samples.
        slope: See `warp_map`.
        knee: See `warp_map`, but in bins.
        end: See `warp_map`, but in bins.
    """
    n_frames, bins = now.shape
    # Turns of the middle of bin 1 in one hop.
    turn = hop / (2 * (bins - 1))
    out = np.zeros_like(now)
    power = np.zeros(bins + 4, np.float32)
    is_peak = np.empty(bins, np.uint8)
    peaks = np.empty(bins + 1, np.int32)
    region = np.empty(bins, np.int32)
    x = np.empty(bins, np.float32)
    y = np.empty(bins, np.float32)
    angle = np.empty(bins, np.float32)
    turns = np.empty(bins, np.complex64)
    lower, share, nearest = _find_sources(bins, slope, knee, end)
    for m in range(n_frames):
        frame = now[m]
        for k in range(bins):
            power[k + 2] = frame[k].real ** 2 + frame[k].imag ** 2
        count = _find_peaks(power, is_peak, peaks, region)
        if count == 0:
            continue
        for p in range(count):
            a, b = frame[peaks[p]], before[m, peaks[p]]
            x[p] = a.real * b.real + a.imag * b.imag
            y[p] = a.imag * b.real - a.real * b.imag
        for p in range(count):
            angle[p] = _turns(y[p], x[p])
        for p in range(count):
            k = peaks[p]
            change = angle[p] - turn * k
            change -= math.floor(change + 0.5)
            # `k + change / turn` is the exact frequency of the partial, in bins.
            target = turn * _map_frequency(k + change / turn, slope, knee, end)
            angle[p] = target - math.floor(target + 0.5)
        for p in range(count):
            x[p] = _sine(angle[p] + np.float32(0.25))
            y[p] = _sine(angle[p])
        for p in range(count):
            turns[p] = 1
            if m > 0:
                k = peaks[p]
                last = out[m - 1, min(int(_map_frequency(k, slope, knee, end) + 0.5), bins - 1)]
                z = last * frame[k].conjugate()
                size = math.sqrt(z.real**2 + z.imag**2)
                if size > 0:
                    turns[p] = z * np.complex64(complex(x[p], y[p])) * np.float32(1 / size)
        if slope == 1:
            for k in range(bins):
                out[m, k] = frame[k] * turns[region[k]]
        else:
            for k in range(bins):
                i = lower[k]
                value = frame[i] * (np.float32(1) - share[k]) + frame[i + 1] * share[k]
                out[m, k] = value * turns[region[nearest[k]]]
    return out
