"""Statistics of a tensor in a quantized model and in the float model."""

from __future__ import annotations

import math

import numpy as np

from mltk.tflite.tensors import TfliteTensor

_USUAL = 99.9
"""Percentage of values that are usual; the others are outliers."""


class TensorStatistics:
    """Sums over the samples of what a quantized tensor holds and should hold.

    Args:
        tensor: The tensor of the quantized model.
    """

    def __init__(self, tensor: TfliteTensor) -> None:
        limits = np.iinfo(tensor.dtype)
        self.step = float(tensor.quantization.scale[0])
        """What one integer stands for."""
        self.low, self.high = (
            float(tensor.quantization.dequantize(np.asarray(limit))) for limit in (limits.min, limits.max)
        )
        """The smallest and the largest number that the tensor can hold."""
        self.minimum: np.ndarray | None = None
        """The smallest float value of each channel (last axis)."""
        self.maximum: np.ndarray | None = None
        """The largest float value of each channel."""
        self.usual = 0.0
        """The largest size of a float value among the 99.9 % smallest."""
        self._tensor = tensor
        self._signal = self._noise = np.zeros(tensor.shape[-1:] or 1)
        self._noise_beyond = 0.0
        self._count = self._beyond = 0

    def add(self, exact: np.ndarray, integers: np.ndarray) -> None:
        """Add a sample: float values, and the integers in their place."""
        shape = (-1, integers.shape[-1] if integers.ndim else 1)
        exact, integers = exact.astype(np.float64).reshape(shape), integers.reshape(shape)
        errors = np.square(exact - self._tensor.quantization.dequantize(integers))
        beyond = (exact < self.low - self.step) | (exact > self.high + self.step)
        self._signal = self._signal + np.square(exact).sum(axis=0)
        self._noise = self._noise + errors.sum(axis=0)
        self._noise_beyond += float(errors[beyond].sum())
        self._count += exact.size
        self._beyond += int(beyond.sum())
        low, high = exact.min(axis=0), exact.max(axis=0)
        self.minimum = low if self.minimum is None else np.minimum(self.minimum, low)
        self.maximum = high if self.maximum is None else np.maximum(self.maximum, high)
        self.usual = max(self.usual, float(np.percentile(np.abs(exact), _USUAL)))

    @property
    def rms(self) -> float:
        """Root mean square of the float values."""
        return math.sqrt(np.sum(self._signal) / max(self._count, 1))

    @property
    def noise_ratio(self) -> float:
        """Power of the errors over that of the float values; 0 if there is nothing to hold."""
        return float(np.sum(self._noise) / np.sum(self._signal)) if self._is_live.any() else 0.0

    @property
    def channel_noise_ratio(self) -> float:
        """The median of this ratio over the channels, so that large channels do not hide what small ones lose."""
        live = self._is_live
        return float(np.median(self._noise[live] / self._signal[live])) if live.any() else 0.0

    @property
    def _is_live(self) -> np.ndarray:
        """Whether each channel holds more than zeros and traces of rounding."""
        live: np.ndarray = self._signal * len(self._signal) > (self.step * 1e-4) ** 2 * max(self._count, 1)
        return live

    @property
    def snr_db(self) -> float:
        """Signal-to-noise ratio in dB; infinite without an error."""
        return -10 * math.log10(self.noise_ratio) if self.noise_ratio else math.inf

    @property
    def beyond(self) -> float:
        """Fraction of float values that the tensor cannot hold."""
        return self._beyond / max(self._count, 1)

    @property
    def noise_beyond(self) -> float:
        """Share of these values in the power of the errors."""
        noise = float(np.sum(self._noise))
        return self._noise_beyond / noise if noise else 0.0
