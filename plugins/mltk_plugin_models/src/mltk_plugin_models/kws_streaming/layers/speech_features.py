"""A log mel spectrogram as a layer. This module imports Keras."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import keras  # noqa: TID253 - the layer below derives from Keras'
import numpy as np

# Random augmentation, with the value that disables it.
_RANDOM = {"sp_time_shift_samples": 0, "sp_resample": 0.0, "use_spec_augment": 0, "use_spec_cutout": 0}
_PARAMETERS = (
    *("sample_rate", "window_size_ms", "window_stride_ms", "feature_type", "window_type", "preemph"),
    *("mel_lower_edge_hertz", "mel_upper_edge_hertz", "mel_num_bins", "fft_magnitude_squared", "log_epsilon"),
    *("dct_num_features", "use_spec_augment", "use_spec_cutout", "sp_resample", "data_frame_padding"),
)


@keras.saving.register_keras_serializable("mltk_plugin_models")
class SpeechFeatures(keras.layers.Layer):
    """Log mel spectrogram or cepstral coefficients of audio samples.

    The window and the Fourier transform are one convolution, so the layer can be quantized.

    Args:
        params: The result of `get_params`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape (batch, samples), usually -1 to 1; output shape (batch, windows, features).

    Raises:
        ValueError: The value of a parameter is not supported.
    """

    def __init__(self, params: Mapping[str, Any], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.params = dict(params)
        supported = {
            "feature_type": ("mfcc_tf",),
            "window_type": ("hann", None),
            "data_frame_padding": (None,),
            **{name: (off,) for name, off in _RANDOM.items()},
        }
        for name, values in supported.items():
            if self.params[name] not in values:
                raise ValueError(
                    f"SpeechFeatures: {name} must be {' or '.join(map(repr, values))}, got {self.params[name]!r}."
                )
        self.frame_size = self._samples("window_size_ms")
        self.frame_step = self._samples("window_stride_ms")
        mel = self._mel()
        used = mel.any(axis=1)
        self._mel_weights = mel[used]
        self._kernel = self._fourier()[:, used].transpose(0, 2, 1).reshape(self.frame_size, 1, -1)

    @staticmethod
    def get_params(flags: SimpleNamespace) -> dict[str, Any]:
        """Return the parameters of the layer from flags of the same names and `sp_time_shift_ms`."""
        shift = int(flags.sp_time_shift_ms * flags.sample_rate / 1000)
        return {**{name: getattr(flags, name) for name in _PARAMETERS}, "sp_time_shift_samples": shift}

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Compute the features."""
        ops = keras.ops
        spectrum = ops.conv(inputs[..., None], self._kernel, strides=self.frame_step, padding="valid")
        real, imaginary = ops.split(spectrum, 2, axis=-1)
        energy = ops.square(real) + ops.square(imaginary)
        if not self.params["fft_magnitude_squared"]:
            energy = ops.sqrt(energy)
        features = ops.log(ops.maximum(ops.matmul(energy, self._mel_weights), self.params["log_epsilon"]))
        if self.params["dct_num_features"]:
            features = ops.matmul(features, self._cosines())
        return features

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape."""
        samples = input_shape[1]
        windows = None if samples is None else max(0, (samples - self.frame_size) // self.frame_step + 1)
        return input_shape[0], windows, self.params["dct_num_features"] or self.params["mel_num_bins"]

    def get_config(self) -> dict[str, object]:
        """Return the configuration of the layer."""
        return {**super().get_config(), "params": self.params}

    def _samples(self, name: str) -> int:
        samples: float = self.params["sample_rate"] * self.params[name] / 1000
        return round(samples)

    def _fft_size(self) -> int:
        return int(2 ** math.ceil(math.log2(self.frame_size)))

    def _fourier(self) -> np.ndarray:
        """Return the kernel of the Fourier transform, real and imaginary part, shape (frame_size, bins, 2)."""
        n = np.arange(self.frame_size)
        angles = 2 * np.pi / self._fft_size() * np.outer(n, np.arange(self._fft_size() // 2 + 1))
        parts: np.ndarray = np.stack([np.cos(angles), -np.sin(angles)], axis=-1)
        if self.params["window_type"] == "hann":
            parts *= (0.5 - 0.5 * np.cos(2 * np.pi / self.frame_size * n))[:, None, None]
        # Pre-emphasis subtracts a fraction of the previous sample, here from the kernel.
        parts[:-1] -= self.params["preemph"] * parts[1:]
        return parts.astype(np.float32)

    def _mel(self) -> np.ndarray:
        """Return the triangular weights of the spectrum in each mel band, shape (bins, bands)."""

        def mel(hertz: float | np.ndarray) -> np.ndarray:
            return np.asarray(1127 * np.log1p(np.asarray(hertz) / 700))

        low, high = mel(self.params["mel_lower_edge_hertz"]), mel(self.params["mel_upper_edge_hertz"])
        edges = np.linspace(low, high, self.params["mel_num_bins"] + 2)
        bins = mel(np.linspace(0, self.params["sample_rate"] / 2, self._fft_size() // 2 + 1))[:, None]
        rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
        weights: np.ndarray = np.maximum(0, np.minimum(rising, falling))
        # The mean of a window belongs to no band.
        weights[0] = 0
        return weights.astype(np.float32)

    def _cosines(self) -> np.ndarray:
        """Return the discrete cosine transform of type 2, shape (bands, coefficients)."""
        bands, count = self.params["mel_num_bins"], self.params["dct_num_features"]
        angles = np.pi / bands * np.outer(np.arange(bands) + 0.5, np.arange(count))
        cosines: np.ndarray = np.sqrt(2 / bands) * np.cos(angles)
        return cosines.astype(np.float32)
