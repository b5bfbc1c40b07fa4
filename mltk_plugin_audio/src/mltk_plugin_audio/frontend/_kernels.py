"""Compiled integer arithmetic of the audio front end.

Every shift, rounding and overflow is that of the firmware: TensorFlow's "microfrontend" with the 16-bit transform of
KISS FFT, with a notch filter before it and an activity detector within. `amplitudes`, which keeps no state from one
row to the next, processes `COUNT` windows at once.

Arrays must be contiguous, aligned and writable; numba compiles again for any other layout. Its cache only notices
changes of this file: touch it after a change of `_lanes.py` or `_tables.py`.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mltk_plugin_audio._compilation import compiled
from mltk_plugin_audio.frontend._lanes import COUNT, Lanes, load, resize, spread, store
from mltk_plugin_audio.frontend._tables import (
    NOISE_BITS,
    SNR_BITS,
    WINDOW_BITS,
    Int16s,
    Int32s,
    Levels,
    Spectrum,
    UInt32s,
)

Floats = npt.NDArray[np.floating]
Int64s = npt.NDArray[np.int64]
UInt16s = npt.NDArray[np.uint16]
Pair: TypeAlias = tuple[Lanes, Lanes]
"""Real and imaginary part."""

_ROUND = 1 << 14
"""Added before the shift, to round a product of numbers in units of 1/32768."""

_QUARTER, _HALF = 32767 // 4, 32767 // 2
"""Factors that divide by 4 and by 2, in units of 1/32768; slightly less than exact, as in the firmware."""

_PCAN_OUTPUT_BITS = 6

_LN2 = 45426
"""Natural logarithm of 2 in units of 1/65536."""

_compiled = compiled(error_model="numpy")


@_compiled
def to_int16(samples: Floats, out: Int16s) -> bool:
    """Convert `samples` `(n,)` from -1 to 1 to clipped int16, and return whether all of them are finite."""
    finite = True
    for i in range(samples.size):
        value = samples[i] * np.float32(32768)
        finite &= abs(value) < np.inf
        out[i] = np.int16(min(max(value, -32768), 32767))
    return finite


@_compiled
def notch(signals: Int16s, coefficient: int, memory: Int16s, out: Int16s) -> None:
    """Remove the constant component of `signals` `(clips, samples)`.

    `memory` `(clips, 2)` holds the last input and output of each clip between calls.
    """
    for clip in range(signals.shape[0]):
        before, last = np.int64(memory[clip, 0]), np.int64(memory[clip, 1])
        for i in range(signals.shape[1]):
            sample = np.int64(signals[clip, i])
            change = np.int64(np.int16(sample - before))
            last = np.int64(np.int16(change + (((last * coefficient >> 14) + 1) >> 1)))
            out[clip, i] = last
            before = sample
        memory[clip, 0], memory[clip, 1] = before, last


@_compiled
def amplitudes(signals: Int16s, tables: Spectrum, out: UInt32s) -> None:
    """Write the amplitudes of `signals` `(clips, samples)` to `out` `(clips, rows, channels)`."""
    clips, rows, channels = out.shape
    time = np.zeros(2 * tables.order.size * COUNT, np.int16)
    real = np.empty(tables.order.size * COUNT, np.int16)
    imaginary = np.empty(tables.order.size * COUNT, np.int16)
    energy = np.empty(tables.ends[-1] * COUNT, np.int32)
    sums = np.empty(channels * COUNT, np.int64)
    shifts = np.zeros(COUNT, np.uint32)
    for first in range(0, clips * rows, COUNT):
        windows = min(COUNT, clips * rows - first)
        for lane in range(windows):
            clip, row = divmod(first + lane, rows)
            begin = row * tables.step
            samples = signals[clip, begin : begin + tables.window.size]
            shifts[lane] = _take_window(samples, tables.window, lane, time)
        _transform(time, tables.order, tables.twiddles, real, imaginary)
        _measure(real, imaginary, tables.split_twiddles, tables.start, tables.ends[-1], energy)
        _accumulate(energy, tables.start, tables.ends, tables.weights, tables.unweights, sums)
        for lane in range(windows):
            clip, row = divmod(first + lane, rows)
            for channel in range(channels):
                root = _square_root(np.uint64(sums[channel * COUNT + lane]))
                out[clip, row, channel] = root >> shifts[lane]


@_compiled
def _take_window(samples: Int16s, window: Int16s, lane: int, time: Int16s) -> np.uint32:
    """Apply the window, scale to 16 bits, write the result to a lane of `time`, and return the shift."""
    peak = np.int32(0)
    for i in range(window.size):
        value = (np.int32(samples[i]) * np.int32(window[i])) >> WINDOW_BITS
        # The firmware ignores -32768, whose absolute value does not fit into 16 bits.
        peak = max(peak, np.int32(abs(value)) if value != -32768 else np.int32(0))
    shift = 15 - _bit_length(np.uint32(peak))
    for i in range(window.size):
        value = (np.int32(samples[i]) * np.int32(window[i])) >> WINDOW_BITS
        time[i * COUNT + lane] = np.int16(value << shift)
    return np.uint32(shift)


@_compiled
def _transform(time: Int16s, order: Int32s, twiddles: Int16s, real: Int16s, imaginary: Int16s) -> None:
    """Compute the Fourier transform of pairs of samples, read as complex numbers."""
    if _bit_length(np.uint32(order.size)) % 2 == 0:
        _first_butterflies_of_2(time, order, real, imaginary)
        size = 2
    else:
        _first_butterflies_of_4(time, order, real, imaginary)
        size = 4
    while size < order.size:
        _butterflies_of_4(twiddles, size, real, imaginary)
        size *= 4


@_compiled
def _scale(a: Lanes, factor: int) -> Lanes:
    return resize((resize(a, 32) * factor + _ROUND) >> 15, 16)


@_compiled
def _rotate(r: Lanes, i: Lanes, cosine: int, sine: int) -> Pair:
    """Multiply by a point on the unit circle."""
    r, i = resize(r, 32), resize(i, 32)
    turned_r = resize((r * cosine - i * sine + _ROUND) >> 15, 16)
    turned_i = resize((r * sine + i * cosine + _ROUND) >> 15, 16)
    return turned_r, turned_i


@_compiled
def _first_butterflies_of_2(time: Int16s, order: Int32s, real: Int16s, imaginary: Int16s) -> None:
    for i in range(0, order.size, 2):
        at0, at1 = 2 * COUNT * order[i], 2 * COUNT * order[i + 1]
        r0, i0 = _scale(load(time, at0), _HALF), _scale(load(time, at0 + COUNT), _HALF)
        r1, i1 = _scale(load(time, at1), _HALF), _scale(load(time, at1 + COUNT), _HALF)
        store(real, i * COUNT, r0 + r1)
        store(imaginary, i * COUNT, i0 + i1)
        store(real, (i + 1) * COUNT, r0 - r1)
        store(imaginary, (i + 1) * COUNT, i0 - i1)


@_compiled
def _first_butterflies_of_4(time: Int16s, order: Int32s, real: Int16s, imaginary: Int16s) -> None:
    for i in range(0, order.size, 4):
        at0, at1 = 2 * COUNT * order[i], 2 * COUNT * order[i + 1]
        at2, at3 = 2 * COUNT * order[i + 2], 2 * COUNT * order[i + 3]
        r0, i0 = _scale(load(time, at0), _QUARTER), _scale(load(time, at0 + COUNT), _QUARTER)
        r1, i1 = _scale(load(time, at1), _QUARTER), _scale(load(time, at1 + COUNT), _QUARTER)
        r2, i2 = _scale(load(time, at2), _QUARTER), _scale(load(time, at2 + COUNT), _QUARTER)
        r3, i3 = _scale(load(time, at3), _QUARTER), _scale(load(time, at3 + COUNT), _QUARTER)
        _combine(real, imaginary, i * COUNT, COUNT, r0, i0, r1, i1, r2, i2, r3, i3)


@_compiled
def _butterflies_of_4(twiddles: Int16s, size: int, real: Int16s, imaginary: Int16s) -> None:
    """Combine four transforms of length `size` into one of four times the length."""
    pairs = twiddles.shape[0]
    stride = pairs // (4 * size)
    row = size * COUNT
    for k in range(size):
        c1, s1 = twiddles[k * stride, 0], twiddles[k * stride, 1]
        c2, s2 = twiddles[2 * k * stride, 0], twiddles[2 * k * stride, 1]
        c3, s3 = twiddles[3 * k * stride, 0], twiddles[3 * k * stride, 1]
        for at in range(k * COUNT, pairs * COUNT, 4 * row):
            r0, i0 = _quarter(real, imaginary, at)
            r1, i1 = _quarter(real, imaginary, at + row)
            r2, i2 = _quarter(real, imaginary, at + 2 * row)
            r3, i3 = _quarter(real, imaginary, at + 3 * row)
            r1, i1 = _rotate(r1, i1, c1, s1)
            r2, i2 = _rotate(r2, i2, c2, s2)
            r3, i3 = _rotate(r3, i3, c3, s3)
            _combine(real, imaginary, at, row, r0, i0, r1, i1, r2, i2, r3, i3)


@_compiled
def _quarter(real: Int16s, imaginary: Int16s, at: int) -> Pair:
    return _scale(load(real, at), _QUARTER), _scale(load(imaginary, at), _QUARTER)


@_compiled
def _combine(
    real: Int16s,
    imaginary: Int16s,
    at: int,
    row: int,
    r0: Lanes,
    i0: Lanes,
    r1: Lanes,
    i1: Lanes,
    r2: Lanes,
    i2: Lanes,
    r3: Lanes,
    i3: Lanes,
) -> None:
    """Write the transform of four numbers to `at` and to three places at multiples of `row` after it."""
    even_r, even_i, odd_r, odd_i = r0 + r2, i0 + i2, r0 - r2, i0 - i2
    sum_r, sum_i, difference_r, difference_i = r1 + r3, i1 + i3, r1 - r3, i1 - i3
    store(real, at, even_r + sum_r)
    store(imaginary, at, even_i + sum_i)
    store(real, at + row, odd_r + difference_i)
    store(imaginary, at + row, odd_i - difference_r)
    store(real, at + 2 * row, even_r - sum_r)
    store(imaginary, at + 2 * row, even_i - sum_i)
    store(real, at + 3 * row, odd_r - difference_i)
    store(imaginary, at + 3 * row, odd_i + difference_r)


@_compiled
def _measure(
    real: Int16s, imaginary: Int16s, twiddles: Int16s, start: int, stop: int, energy: Int32s
) -> None:
    """Write the energies of the frequencies from `start` to `stop` to `energy`.

    The transform of pairs holds the sum of the spectrum and its mirror image.
    """
    pairs = 2 * twiddles.shape[0]
    zero = spread(load(real, 0), 0)
    for k in range(1, pairs // 2 + 1):
        mirror = pairs - k
        if (k < start or k >= stop) and (mirror < start or mirror >= stop):
            continue
        r, i = _scale(load(real, k * COUNT), _HALF), _scale(load(imaginary, k * COUNT), _HALF)
        mirror_r = _scale(load(real, mirror * COUNT), _HALF)
        mirror_i = _scale(zero - load(imaginary, mirror * COUNT), _HALF)
        turned_r, turned_i = _rotate(r - mirror_r, i - mirror_i, twiddles[k - 1, 0], twiddles[k - 1, 1])
        turned_r, turned_i = resize(turned_r, 32), resize(turned_i, 32)
        even_r, even_i = resize(r + mirror_r, 32), resize(i + mirror_i, 32)
        if start <= k < stop:
            store(energy, k * COUNT, _energy((even_r + turned_r) >> 1, (even_i + turned_i) >> 1))
        # In the middle, `k` and `mirror` are equal, and the second formula applies.
        if start <= mirror < stop:
            store(energy, mirror * COUNT, _energy((even_r - turned_r) >> 1, (turned_i - even_i) >> 1))
    if stop > pairs:
        highest = resize(_scale(load(real, 0), _HALF) - _scale(load(imaginary, 0), _HALF), 32)
        store(energy, pairs * COUNT, highest * highest)


@_compiled
def _energy(r: Lanes, i: Lanes) -> Lanes:
    return r * r + i * i


@_compiled
def _accumulate(
    energy: Int32s, start: int, ends: Int32s, weights: Int16s, unweights: Int16s, sums: Int64s
) -> None:
    """Add each energy to the channels whose centres lie below and above its frequency."""
    zero = spread(load(sums, 0), 0)
    carried = zero
    begin = start
    for gap in range(ends.size):
        total, above = carried, zero
        for k in range(begin, ends[gap]):
            value = resize(load(energy, k * COUNT), 64)
            total += value * weights[k]
            above += value * unweights[k]
        if gap > 0:
            store(sums, (gap - 1) * COUNT, total)
        carried = above
        begin = ends[gap]


@_compiled
def _bit_length(value: np.uint32) -> int:
    bits = 0
    while value:
        value >>= np.uint32(1)
        bits += 1
    return bits


@_compiled
def _square_root(value: np.uint64) -> np.uint32:
    """Return the square root, rounded to the nearest integer; at most 65535 for values below 2³²."""
    one = np.uint64(1)
    root = np.uint64(np.sqrt(np.float64(value)) + 0.5)
    # The floating-point root may round to the wrong integer near one half.
    if root > np.uint64(0) and root * (root - one) >= value:
        root -= one
    elif root * (root + one) < value:
        root += one
    if root == np.uint64(1 << 16) and value < np.uint64(1 << 32):
        root -= one
    return np.uint32(root)


@_compiled
def features(amplitude: UInt32s, tables: Levels, estimates: UInt32s, activity: Int64s, out: UInt16s) -> None:
    """Convert amplitudes `(clips, rows, channels)`, which are overwritten, to features `out` of the same shape.

    Two arrays hold state between calls: `estimates` `(clips, channels)` of the noise, and `activity` `(clips, 4)`
    with the fast average, the slow average, a flag for "armed" and a flag for "activity detected".
    """
    for clip in range(out.shape[0]):
        for row in range(out.shape[1]):
            values = amplitude[clip, row]
            if tables.detect_activity:
                _detect_activity(values, tables, activity[clip])
            if tables.reduce_noise:
                _reduce_noise(values, tables, estimates[clip])
            if tables.pcan:
                _normalize_gain(values, tables, estimates[clip])
            if tables.log:
                _take_logarithm(values, tables)
            for channel in range(values.size):
                out[clip, row, channel] = min(values[channel], np.uint32(0xFFFF))


@_compiled
def _detect_activity(values: UInt32s, tables: Levels, state: Int64s) -> None:
    total = np.uint32(0)
    for value in values:
        total = np.uint32(total + value)
    loudness = np.int64(total >> np.uint32(tables.activity_scale))
    state[0] = _average(loudness, state[0], tables.alpha_a)
    state[1] = _average(loudness, state[1], tables.alpha_b)
    if state[2] == 0:
        state[2] = state[0] < (state[1] * tables.arm_threshold) >> 12
    elif state[0] > (state[1] * tables.trip_threshold) >> 12:
        state[2], state[3] = 0, 1


@_compiled
def _average(value: np.int64, last: np.int64, share: int) -> np.int64:
    return ((((256 - share) * value + share * last) >> 7) + 1) >> 1


@_compiled
def _reduce_noise(values: UInt32s, tables: Levels, estimate: UInt32s) -> None:
    bits, point = np.uint32(tables.smoothing_bits), np.uint64(NOISE_BITS)
    floor = np.uint64(tables.min_signal_remaining)
    for channel in range(values.size):
        value = values[channel]
        scaled = np.uint32(value << bits)
        share = np.uint64(tables.smoothing[channel])
        rest = np.uint64(1 << NOISE_BITS) - share
        noise = np.uint32((np.uint64(scaled) * share + np.uint64(estimate[channel]) * rest) >> point)
        estimate[channel] = noise
        remaining = np.uint32((np.uint64(value) * floor) >> point)
        values[channel] = max(np.uint32(scaled - min(noise, scaled)) >> bits, remaining)


@_compiled
def _normalize_gain(values: UInt32s, tables: Levels, estimate: UInt32s) -> None:
    for channel in range(values.size):
        gain = np.uint64(np.uint32(_gain(estimate[channel], tables.gain_lut)))
        ratio = np.uint32((np.uint64(values[channel]) * gain) >> np.uint64(tables.snr_shift))
        # A parabola that continues as a straight line: small values shrink.
        if ratio < np.uint32(2 << SNR_BITS):
            values[channel] = np.uint32(ratio * ratio) >> np.uint32(2 + 2 * SNR_BITS - _PCAN_OUTPUT_BITS)
        else:
            straight = ratio >> np.uint32(SNR_BITS - _PCAN_OUTPUT_BITS)
            values[channel] = straight - np.uint32(1 << _PCAN_OUTPUT_BITS)


@_compiled
def _gain(noise: np.uint32, lut: Int16s) -> np.int16:
    if noise <= np.uint32(2):
        return np.int16(lut[noise])
    octave = _bit_length(noise)
    at = 4 * octave - 6
    if octave < 11:
        position = np.int32((noise << np.uint32(11 - octave)) & np.uint32(0x3FF))
    else:
        position = np.int32((noise >> np.uint32(octave - 11)) & np.uint32(0x3FF))
    slope = np.int32(((np.int32(lut[at + 2]) * position) >> 5) + (np.int32(lut[at + 1]) << 5))
    rise = np.int32(np.int32(slope * position) + _ROUND) >> 15
    return np.int16(lut[at] + rise)


@_compiled
def _take_logarithm(values: UInt32s, tables: Levels) -> None:
    bits = tables.correction_bits
    for channel in range(values.size):
        value = values[channel]
        if bits < 0:
            value = np.uint32(value >> np.uint32(-bits))
        else:
            value = np.uint32(value << np.uint32(bits))
        if value > np.uint32(1):
            values[channel] = _logarithm(value, tables.log_shift, tables.log_lut)
        else:
            values[channel] = 0


@_compiled
def _logarithm(value: np.uint32, shift: int, lut: Int32s) -> np.uint32:
    """Return the natural logarithm, multiplied by two to the power of `shift`."""
    whole = _bit_length(value) - 1
    part = np.int64(value) - (1 << whole)
    part = part << (16 - whole) if whole < 16 else part >> (whole - 16)
    segment = part >> 9
    low, high = np.int64(lut[segment]), np.int64(lut[segment + 1])
    # A segment has 9 bits, but the firmware shifts by 16, so that it hardly interpolates.
    part += low + (((high - low) * (part - (segment << 9))) >> 16)
    log2 = np.uint64((whole << 16) + part)
    half, point = np.uint32(1 << 15), np.uint32(16)
    natural = np.uint32((np.uint64(_LN2) * log2 + np.uint64(half)) >> np.uint64(point))
    return np.uint32(np.uint32(natural << np.uint32(shift)) + half) >> point


@_compiled
def quantize(spectrograms: UInt16s, dynamic_range: int, out: npt.NDArray[np.int8]) -> None:
    """Scale features `(clips, values)` to int8.

    The range is fixed, or `dynamic_range` below the maximum of each clip if that is positive.
    """
    for clip in range(out.shape[0]):
        if dynamic_range > 0:
            loudest = np.int32(0)
            for value in spectrograms[clip]:
                loudest = max(loudest, np.int32(value))
            low = max(loudest - np.int32(dynamic_range), np.int32(0))
            factor, offset, divisor = np.int32(255), np.int32(0), max(loudest - low, np.int32(1))
        else:
            low, factor, offset, divisor = np.int32(0), np.int32(256), np.int32(333), np.int32(666)
        for i in range(out.shape[1]):
            scaled = ((np.int32(spectrograms[clip, i]) - low) * factor + offset) // divisor
            out[clip, i] = np.int8(min(max(scaled, np.int32(0)), np.int32(255)) - 128)
