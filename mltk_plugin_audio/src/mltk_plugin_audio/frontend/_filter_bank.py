"""Triangular mel filters of the audio front end."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

WEIGHT_BITS = 12
"""Fractional bits of the weights."""


class FilterBank(NamedTuple):
    """Weights with which each mel channel adds up frequencies.

    Each frequency lies between the centres of two channels and contributes to both.
    """

    start: int
    """Position in the spectrum of the first frequency used, at least 1."""
    ends: npt.NDArray[np.int32]
    """Position after the last frequency of each gap between two centres; one gap more than channels."""
    weights: npt.NDArray[np.int16]
    """Weight of each position in the spectrum for the channel below, in units of 1/4096."""
    unweights: npt.NDArray[np.int16]
    """Weight of each position in the spectrum for the channel above, in units of 1/4096."""

    @property
    def stop(self) -> int:
        """Position after the last frequency used."""
        return int(self.ends[-1])


def make_filter_bank(
    sample_rate_hz: int, fft_length: int, lower_hz: float, upper_hz: float, n_channels: int
) -> FilterBank:
    """Compute the filters; `upper_hz` is at most half of the sample rate."""
    half = fft_length // 2
    hz_per_bin = np.float32(0.5 * sample_rate_hz / half)
    lower = np.float32(lower_hz)
    low, high = _to_mel(lower), _to_mel(np.float32(upper_hz))
    gaps = n_channels + 1
    spacing = (high - low) / np.float32(gaps)
    centres = low + spacing * np.arange(1, gaps + 1, dtype=np.float32)
    edges = np.concatenate(([low], centres))

    start = int(1.5 + float(lower / hz_per_bin))
    mels = np.array([_to_mel(np.float32(k) * hz_per_bin) for k in range(half + 1)], np.float32)
    ends = np.maximum(np.searchsorted(mels, centres, side="right"), start).astype(np.int32)

    weights = np.zeros((2, half + 1), np.int16)
    for gap, (begin, end) in enumerate(zip((start, *ends[:-1]), ends, strict=True)):
        share = (centres[gap] - mels[begin:end]) / (centres[gap] - edges[gap])
        one = 1 << WEIGHT_BITS
        weights[0, begin:end] = np.floor((share * np.float32(one)).astype(np.float64) + 0.5)
        weights[1, begin:end] = np.floor((1.0 - share.astype(np.float64)) * one + 0.5)
    return FilterBank(start, ends, *weights)


def get_correction_bits(fft_length: int) -> int:
    """Return the number of bits by which amplitudes are shifted before the logarithm.

    The transform divides by its length; the filter bank multiplies energies by 2¹² and therefore amplitudes by 2⁶.
    """
    return fft_length.bit_length() - 1 - WEIGHT_BITS // 2


def _to_mel(hz: np.float32) -> np.float32:
    return np.float32(1127.0 * math.log1p(float(hz) / 700.0))
