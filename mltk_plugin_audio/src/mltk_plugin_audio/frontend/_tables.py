"""Lookup tables of the front end's kernels, computed once for each set of settings.

The firmware computes these tables in C with 32-bit floating point. They determine bits of the result, so this module
repeats each rounding to 32 bits and takes transcendental functions from `math`, because those of NumPy differ in the
last digit between processors.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mltk_plugin_audio.frontend._filter_bank import get_correction_bits
from mltk_plugin_audio.frontend._settings import AudioFeatureGeneratorSettings

Int16s = npt.NDArray[np.int16]
Int32s = npt.NDArray[np.int32]
UInt32s = npt.NDArray[np.uint32]

WINDOW_BITS = 12
NOISE_BITS = 14
SNR_BITS = 12
"""Fractional bits of the signal-to-noise ratio in PCAN."""

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
"""Coefficients of x⁰, x², … for the cosine and of x¹, x³, … for the sine, for angles up to π/4."""


class Spectrum(NamedTuple):
    """Tables to compute the amplitude of each channel from samples."""

    window: Int16s
    step: int
    order: Int32s
    """Positions of pairs of samples, in the order in which the first butterflies read them."""
    twiddles: Int16s
    """`(fft_length / 2, 2)`: cosines and sines of the butterflies."""
    split_twiddles: Int16s
    """`(fft_length / 4, 2)`: cosines and sines to separate the spectrum of real samples from that of pairs."""
    start: int
    ends: Int32s
    weights: Int16s
    unweights: Int16s


class Levels(NamedTuple):
    """Tables and constants to compute features from amplitudes. Flags are 0 or 1."""

    detect_activity: int
    activity_scale: int
    alpha_a: int
    alpha_b: int
    arm_threshold: int
    trip_threshold: int
    reduce_noise: int
    smoothing_bits: int
    smoothing: UInt32s
    """One value per channel, in units of 1/16384."""
    min_signal_remaining: int
    pcan: int
    gain_lut: Int16s
    """For each octave of the noise estimate: the three coefficients of a parabola, and a zero."""
    snr_shift: int
    log: int
    log_shift: int
    correction_bits: int
    log_lut: Int32s


def make_spectrum_tables(settings: AudioFeatureGeneratorSettings) -> Spectrum:
    """Compute the tables of the stateless part of the front end."""
    bank = settings.make_filter_bank()
    pairs = settings.fft_length // 2
    return Spectrum(
        window=_make_window(settings.window_size),
        step=settings.window_step,
        order=_butterfly_order(pairs),
        twiddles=_unit_circle([-2 * math.pi * k / pairs for k in range(pairs)]),
        split_twiddles=_unit_circle([-math.pi * ((k + 1) / pairs + 0.5) for k in range(pairs // 2)]),
        start=bank.start,
        ends=bank.ends,
        weights=bank.weights,
        unweights=bank.unweights,
    )


def make_level_tables(settings: AudioFeatureGeneratorSettings) -> Levels:
    """Compute the tables of the part of the front end that processes channels row by row."""
    channels = settings.filterbank_n_channels
    bits = get_correction_bits(settings.fft_length)
    even = _to_fixed_point(settings.noise_reduction_even_smoothing, NOISE_BITS)
    odd = _to_fixed_point(settings.noise_reduction_odd_smoothing, NOISE_BITS)
    return Levels(
        detect_activity=int(settings.activity_detection_enable),
        activity_scale=(channels - 1).bit_length(),
        alpha_a=_to_fixed_point(settings.activity_detection_alpha_a, 8),
        alpha_b=_to_fixed_point(settings.activity_detection_alpha_b, 8),
        arm_threshold=_to_fixed_point(settings.activity_detection_arm_threshold, 12),
        trip_threshold=_to_fixed_point(settings.activity_detection_trip_threshold, 12),
        reduce_noise=int(settings.noise_reduction_enable),
        smoothing_bits=settings.noise_reduction_smoothing_bits,
        smoothing=np.where(np.arange(channels) % 2, odd, even).astype(np.uint32),
        min_signal_remaining=_to_fixed_point(settings.noise_reduction_min_signal_remaining, NOISE_BITS),
        pcan=int(settings.pcan_enable),
        gain_lut=_make_gain_table(settings) if settings.pcan_enable else np.zeros(0, np.int16),
        snr_shift=settings.pcan_gain_bits - bits - SNR_BITS,
        log=int(settings.log_scale_enable),
        log_shift=settings.log_scale_shift,
        correction_bits=bits,
        log_lut=_make_log_table(),
    )


def get_notch_coefficient(settings: AudioFeatureGeneratorSettings) -> int:
    """Return the pole of the notch filter in units of 1/32768."""
    return _to_fixed_point(settings.dc_notch_filter_coefficient, 15)


def get_dynamic_range(settings: AudioFeatureGeneratorSettings) -> int:
    """Return the range of an int8 spectrogram below its maximum, in units of the uint16 features."""
    decibels_to_nepers = 0.11512925465
    steps = np.float32(settings.quantize_dynamic_scale_range_db) * np.float32(1 << settings.log_scale_shift)
    return int(float(steps) * decibels_to_nepers)


def _to_fixed_point(value: float, bits: int) -> int:
    """Return a setting as the firmware stores it: in units of 2⁻ᵇⁱᵗˢ, truncated."""
    return int(np.float32(value) * np.float32(1 << bits))


def _make_window(size: int) -> Int16s:
    """Return a Hann window whose zeros lie half a sample outside of it."""
    step = np.float32(2 * math.pi / size)
    cosine = np.array([_cosine(np.float32(float(step) * (i + 0.5))) for i in range(size)], np.float32)
    values = (0.5 - 0.5 * cosine.astype(np.float64)).astype(np.float32)
    return np.floor((values * np.float32(1 << WINDOW_BITS)).astype(np.float64) + 0.5).astype(np.int16)


def _cosine(angle: np.float32) -> np.float32:
    """Return the 32-bit cosine of an angle from 0 to 2π, as the C library computes it.

    Its polynomials do not return the nearest number in one of a hundred cases, which sometimes changes the window.
    """
    quarter = round(float(angle) * 2 / math.pi)
    x = float(angle) - quarter * math.pi / 2
    value = x * _evaluate_polynomial(_SINE, x * x) if quarter % 2 else _evaluate_polynomial(_COSINE, x * x)
    return np.float32(-value if quarter % 4 in (1, 2) else value)


def _evaluate_polynomial(coefficients: tuple[float, ...], x: float) -> float:
    value = 0.0
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value


def _butterfly_order(length: int) -> Int32s:
    """Return the input positions of a radix-4 transform: digits reversed, with a last factor of 2 if needed."""
    order = np.zeros(1, np.int32)
    stride = 1
    while stride < length:
        radix = 4 if (length // stride) % 4 == 0 else 2
        # The inner transforms are stored one after the other, so the positions of each are spread over all.
        order = (order[:, None] + stride * np.arange(radix, dtype=np.int32)).ravel()
        stride *= radix
    return order


def _unit_circle(angles: list[float]) -> Int16s:
    points = [(math.cos(a), math.sin(a)) for a in angles]
    return np.floor(0.5 + np.iinfo(np.int16).max * np.array(points)).astype(np.int16)


def _make_log_table() -> Int32s:
    """Return log2(1 + x) - x for x from 0 to 1, in units of 1/65536."""
    segments = 128
    x = np.arange(segments + 1) / segments
    return np.rint((np.log2(1 + x) - x) * 65536).astype(np.int32)


def _make_gain_table(settings: AudioFeatureGeneratorSettings) -> Int16s:
    """Return the gain as a function of the noise estimate: values at 0 and 1, then a parabola for each octave."""
    input_bits = settings.noise_reduction_smoothing_bits - get_correction_bits(settings.fft_length)
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
