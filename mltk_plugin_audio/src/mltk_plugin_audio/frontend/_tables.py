"""What the front end's kernels look up, computed once for each set of settings.

The firmware computes these tables in C with 32-bit floating point. They decide bits of the result, so every rounding to
32 bits of that computation is repeated here, and transcendental functions come from `math`: NumPy's differ in
the last digit from one processor to another.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mltk_plugin_audio.frontend._settings import AudioFeatureGeneratorSettings

Int16s = npt.NDArray[np.int16]
Int32s = npt.NDArray[np.int32]
UInt32s = npt.NDArray[np.uint32]

WINDOW_BITS = 12
WEIGHT_BITS = 12
NOISE_BITS = 14
SNR_BITS = 12
"""Binary digits behind the point of PCAN's ratio of signal to noise."""

_COSINE = (
    1.0,
    float.fromhex("-0x1.ffffffd0c621cp-2"),
    float.fromhex("0x1.55553e1068f19p-5"),
    float.fromhex("-0x1.6c087e89a359dp-10"),
    float.fromhex("0x1.99343027bf8c3p-16"),
)
_SINE = (
    1.0,
    float.fromhex("-0x1.555545995a603p-3"),
    float.fromhex("0x1.1107605230bc4p-7"),
    float.fromhex("-0x1.994eb3774cf24p-13"),
)
"""Coefficients of x⁰, x², … for the cosine, and of x¹, x³, … for the sine, up to π/4."""


class FilterBank(NamedTuple):
    """Which frequencies each mel channel adds up.

    Each frequency lies between the centres of two channels and belongs to both, in shares.
    """

    start: int
    """First frequency used, as a position in the spectrum; the constant part (0) never is."""
    ends: Int32s
    """For each gap between two centres (one more than channels), the position behind its last frequency."""
    weights: Int16s
    """For each position in the spectrum, its share in the channel below, in 1/4096."""
    unweights: Int16s
    """The same, in the channel above."""

    @property
    def stop(self) -> int:
        """Position behind the last frequency used."""
        return int(self.ends[-1])


class Spectrum(NamedTuple):
    """Tables for the way from samples to the amplitude of each channel."""

    window: Int16s
    step: int
    order: Int32s
    """Positions in the time signal (pairs of samples) in the order in which the first butterflies take them."""
    twiddles: Int16s
    """`(fft_length / 2, 2)`: cosine and sine for the butterflies."""
    split_twiddles: Int16s
    """`(fft_length / 4, 2)`: the same for getting the spectrum of real numbers out of that of pairs."""
    start: int
    ends: Int32s
    weights: Int16s
    unweights: Int16s


class Levels(NamedTuple):
    """Tables and numbers for the way from amplitudes to features. Flags are 0 or 1."""

    detect_activity: int
    activity_scale: int
    alpha_a: int
    alpha_b: int
    arm_threshold: int
    trip_threshold: int
    reduce_noise: int
    smoothing_bits: int
    smoothing: UInt32s
    """For each channel, in 1/16384."""
    min_signal_remaining: int
    pcan: int
    gain_lut: Int16s
    """For each octave of the noise estimate the three coefficients of a parabola and a zero."""
    snr_shift: int
    log: int
    log_shift: int
    correction_bits: int
    log_lut: Int32s


def spectrum_tables(settings: AudioFeatureGeneratorSettings) -> Spectrum:
    """Return the tables of the part of the front end that has no memory."""
    bank = filter_bank(settings)
    pairs = settings.fft_length // 2
    return Spectrum(
        window=_window(settings.window_size),
        step=settings.window_step,
        order=_butterfly_order(pairs),
        twiddles=_unit_circle([-2 * math.pi * k / pairs for k in range(pairs)]),
        split_twiddles=_unit_circle([-math.pi * ((k + 1) / pairs + 0.5) for k in range(pairs // 2)]),
        start=bank.start,
        ends=bank.ends,
        weights=bank.weights,
        unweights=bank.unweights,
    )


def level_tables(settings: AudioFeatureGeneratorSettings) -> Levels:
    """Return the tables of the part of the front end that works on channels, row by row."""
    channels = settings.filterbank_n_channels
    bits = correction_bits(settings.fft_length)
    even = _fixed(settings.noise_reduction_even_smoothing, NOISE_BITS)
    odd = _fixed(settings.noise_reduction_odd_smoothing, NOISE_BITS)
    return Levels(
        detect_activity=int(settings.activity_detection_enable),
        activity_scale=(channels - 1).bit_length(),
        alpha_a=_fixed(settings.activity_detection_alpha_a, 8),
        alpha_b=_fixed(settings.activity_detection_alpha_b, 8),
        arm_threshold=_fixed(settings.activity_detection_arm_threshold, 12),
        trip_threshold=_fixed(settings.activity_detection_trip_threshold, 12),
        reduce_noise=int(settings.noise_reduction_enable),
        smoothing_bits=settings.noise_reduction_smoothing_bits,
        smoothing=np.where(np.arange(channels) % 2, odd, even).astype(np.uint32),
        min_signal_remaining=_fixed(settings.noise_reduction_min_signal_remaining, NOISE_BITS),
        pcan=int(settings.pcan_enable),
        gain_lut=_gain_lut(settings) if settings.pcan_enable else np.zeros(0, np.int16),
        snr_shift=settings.pcan_gain_bits - bits - SNR_BITS,
        log=int(settings.log_scale_enable),
        log_shift=settings.log_scale_shift,
        correction_bits=bits,
        log_lut=_log_lut(),
    )


def notch_coefficient(settings: AudioFeatureGeneratorSettings) -> int:
    """Return the pole of the notch filter in 1/32768."""
    return _fixed(settings.dc_notch_filter_coefficient, 15)


def dynamic_range(settings: AudioFeatureGeneratorSettings) -> int:
    """Return how far below the loudest value an int8 spectrogram reaches, in units of the uint16 features."""
    decibels_to_nepers = 0.11512925465
    steps = np.float32(settings.quantize_dynamic_scale_range_db) * np.float32(1 << settings.log_scale_shift)
    return int(float(steps) * decibels_to_nepers)


def correction_bits(fft_length: int) -> int:
    """Return the binary digits by which amplitudes are too small before the logarithm.

    The transform divides by its length, and the filter bank multiplies energies by 2¹², hence amplitudes by 2⁶.
    """
    return fft_length.bit_length() - 1 - WEIGHT_BITS // 2


def filter_bank(settings: AudioFeatureGeneratorSettings) -> FilterBank:
    """Return the triangular mel filters. The upper limit is at most half of the sample rate."""
    half = settings.fft_length // 2
    hz_per_bin = np.float32(0.5 * settings.sample_rate_hz / half)
    lower, upper = (
        np.float32(settings.filterbank_lower_band_limit),
        np.float32(settings.filterbank_upper_band_limit),
    )
    low, high = _mel(lower), _mel(upper)
    gaps = settings.filterbank_n_channels + 1
    spacing = (high - low) / np.float32(gaps)
    centres = low + spacing * np.arange(1, gaps + 1, dtype=np.float32)
    edges = np.concatenate(([low], centres))

    start = int(1.5 + float(lower / hz_per_bin))
    mels = np.array([_mel(np.float32(k) * hz_per_bin) for k in range(half + 1)], np.float32)
    ends = np.maximum(np.searchsorted(mels, centres, side="right"), start).astype(np.int32)

    weights = np.zeros((2, half + 1), np.int16)
    for gap, (begin, end) in enumerate(zip((start, *ends[:-1]), ends, strict=True)):
        share = (centres[gap] - mels[begin:end]) / (centres[gap] - edges[gap])
        one = 1 << WEIGHT_BITS
        weights[0, begin:end] = np.floor((share * np.float32(one)).astype(np.float64) + 0.5)
        weights[1, begin:end] = np.floor((1.0 - share.astype(np.float64)) * one + 0.5)
    return FilterBank(start, ends, *weights)


def _mel(hz: np.float32) -> np.float32:
    return np.float32(1127.0 * math.log1p(float(hz) / 700.0))


def _fixed(value: float, bits: int) -> int:
    """Return a setting as the firmware stores it: in units of 2⁻ᵇⁱᵗˢ, cut off."""
    return int(np.float32(value) * np.float32(1 << bits))


def _window(size: int) -> Int16s:
    """Return a Hann window whose zeros lie half a sample outside."""
    step = np.float32(2 * math.pi / size)
    cosine = np.array([_cosine(np.float32(float(step) * (i + 0.5))) for i in range(size)], np.float32)
    values = (0.5 - 0.5 * cosine.astype(np.float64)).astype(np.float32)
    return np.floor((values * np.float32(1 << WINDOW_BITS)).astype(np.float64) + 0.5).astype(np.int16)


def _cosine(angle: np.float32) -> np.float32:
    """Return the 32-bit cosine of an angle from 0 to 2π, as the C library computes it.

    Its polynomials miss the nearest number in one of a hundred cases, which now and then changes the window.
    """
    quarter = round(float(angle) * 2 / math.pi)
    x = float(angle) - quarter * math.pi / 2
    value = x * _polynomial(_SINE, x * x) if quarter % 2 else _polynomial(_COSINE, x * x)
    return np.float32(-value if quarter % 4 in (1, 2) else value)


def _polynomial(coefficients: tuple[float, ...], x: float) -> float:
    value = 0.0
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value


def _butterfly_order(length: int) -> Int32s:
    """Return where a radix-4 transform takes its input from: digits reversed, last a factor of 2 if needed."""
    order = np.zeros(1, np.int32)
    stride = 1
    while stride < length:
        radix = 4 if (length // stride) % 4 == 0 else 2
        # The inner transforms stand one behind the other, so the positions of each are spread over all.
        order = (order[:, None] + stride * np.arange(radix, dtype=np.int32)).ravel()
        stride *= radix
    return order


def _unit_circle(angles: list[float]) -> Int16s:
    points = [(math.cos(a), math.sin(a)) for a in angles]
    return np.floor(0.5 + np.iinfo(np.int16).max * np.array(points)).astype(np.int16)


def _log_lut() -> Int32s:
    """Return how far the logarithm to base 2 lies above a straight line, between 1 and 2, in 1/65536."""
    segments = 128
    x = np.arange(segments + 1) / segments
    return np.rint((np.log2(1 + x) - x) * 65536).astype(np.int32)


def _gain_lut(settings: AudioFeatureGeneratorSettings) -> Int16s:
    """Return the gain over the noise estimate: its values at 0 and 1, then a parabola for each octave."""
    input_bits = settings.noise_reduction_smoothing_bits - correction_bits(settings.fft_length)
    offset, strength = np.float32(settings.pcan_offset), np.float32(settings.pcan_strength)
    scale = np.float32(1 << settings.pcan_gain_bits)

    def gain(noise: int) -> int:
        level = np.float32(noise) / np.float32(1 << input_bits)
        value = scale * np.float32(math.pow(level + offset, -strength))
        return min(int(value + np.float32(0.5)), np.iinfo(np.int16).max)

    lut = [gain(0), gain(1)]
    for octave in range(1, 32):
        first, last = 1 << octave, min(2 << octave, (1 << 32) - 1)
        begin = gain(first)
        middle, end = gain(first + first // 2) - begin, gain(last) - begin
        linear = 4 * middle - end
        lut += [begin, linear, end - linear, 0]
    return np.array(lut).astype(np.int16)
