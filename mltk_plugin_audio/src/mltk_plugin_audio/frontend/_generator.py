"""`AudioFeatureGenerator` and `AudioFeatureStream`, which convert samples to spectrograms."""

from __future__ import annotations

import logging
import time
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_audio.frontend._settings import AudioFeatureGeneratorSettings
from mltk_plugin_audio.frontend._tables import (
    get_dynamic_range,
    get_notch_coefficient,
    make_level_tables,
    make_spectrum_tables,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

_logger = logging.getLogger("mltk.audio")

_DTYPES = (np.dtype(np.float32), np.dtype(np.uint16), np.dtype(np.int8))


class AudioFeatureGenerator:
    """Converter of clips of fixed length to spectrograms, bit for bit equal to the firmware.

    The first generator compiles its code, which takes about ten seconds, and caches it on disk. Threads may share a
    generator, but then the result of `activity_was_detected()` is undefined.

    Args:
        settings: Settings of the front end; the generator keeps a copy.

    Raises:
        SpecificationError: The settings contradict each other.
    """

    def __init__(self, settings: AudioFeatureGeneratorSettings) -> None:
        self._front_end = _FrontEnd(settings)
        self._activity = False

    @property
    def settings(self) -> AudioFeatureGeneratorSettings:
        """A copy of the settings."""
        return self._front_end.settings.copy()

    def process_sample(self, sample: ArrayLike, dtype: DTypeLike = np.float32) -> np.ndarray:
        """Return the spectrogram of one clip.

        Args:
            sample: `(settings.sample_length,)`: int16, or floating point, clipped to -1 to 1.
            dtype: `uint16` for the output of the front end, `float32` for the same numbers, or `int8` for numbers
                scaled to -128 to 127.

        Returns:
            An array of shape `settings.spectrogram_shape`.

        Raises:
            DatasetError: The sample has the wrong shape or type, or contains NaN or infinity.
            SpecificationError: `dtype` is not supported.
        """
        sample = np.asarray(sample)
        if sample.ndim != 1:
            raise DatasetError(f"A sample must have one dimension, got shape {sample.shape}.")
        return np.asarray(self.process_batch(sample[None], dtype)[0])

    def process_batch(self, samples: ArrayLike, dtype: DTypeLike = np.float32) -> np.ndarray:
        """Return the spectrograms of several clips; releases the GIL.

        Args:
            samples: `(clips, settings.sample_length)`; see `process_sample`.
            dtype: See `process_sample`.

        Returns:
            An array of shape `(clips, *settings.spectrogram_shape)`.

        Raises:
            DatasetError: The samples have the wrong shape or type, or contain NaN or infinity.
            SpecificationError: `dtype` is not supported.
        """
        settings = self._front_end.settings
        dtype = _check_dtype(dtype)
        signals = _to_int16(samples)
        if signals.ndim != 2 or signals.shape[1] != settings.sample_length:
            raise DatasetError(
                f"A sample must have {settings.sample_length} values ({settings.sample_length_ms} ms at "
                f"{settings.sample_rate_hz} Hz), got {signals.shape[-1] if signals.ndim else 'one number'}."
            )
        state = _State(len(signals), settings.filterbank_n_channels)
        features = self._front_end.features(signals, state)
        self._activity = bool(len(signals)) and bool(state.activity[-1, 3])
        return _convert(features, dtype, settings)

    def activity_was_detected(self) -> bool:
        """Return whether the last clip had the onset of a sound; `False` without `activity_detection_enable`."""
        return self._activity


class AudioFeatureStream:
    """Converter of a continuous signal to rows of a spectrogram, bit for bit equal to the firmware.

    The rows do not depend on how the signal is divided into chunks. A stream belongs to one thread.

    Args:
        settings: Settings of the front end, except `sample_length_ms`; the stream keeps a copy.

    Raises:
        SpecificationError: The settings contradict each other.
    """

    def __init__(self, settings: AudioFeatureGeneratorSettings) -> None:
        self._front_end = _FrontEnd(settings)
        self.reset()

    @property
    def settings(self) -> AudioFeatureGeneratorSettings:
        """A copy of the settings."""
        return self._front_end.settings.copy()

    def reset(self) -> None:
        """Clear all state, as if no signal had been processed."""
        self._state = _State(1, self._front_end.settings.filterbank_n_channels)

    def process(self, chunk: ArrayLike, dtype: DTypeLike = np.float32) -> np.ndarray:
        """Process the next part of the signal, and return the rows that it completes.

        Args:
            chunk: `(samples,)` of any length: int16, or floating point, clipped to -1 to 1.
            dtype: `uint16`, `float32` or `int8`; see `AudioFeatureGenerator.process_sample`.

        Returns:
            An array of shape `(rows, channels)`; no rows if the signal has not advanced by one step.

        Raises:
            DatasetError: The chunk has more than one dimension, has the wrong type, or contains NaN or infinity.
            SpecificationError: `dtype` is not supported, or is int8 with `quantize_dynamic_scale_enable`, which
                depends on later rows: request uint16 and apply `quantize_spectrogram` to the rows of one model input.
        """
        settings = self._front_end.settings
        dtype = _check_dtype(dtype)
        if dtype == np.int8 and settings.quantize_dynamic_scale_enable:
            raise SpecificationError(
                "With quantize_dynamic_scale_enable, int8 values depend on the whole spectrogram. Stream uint16 rows "
                "and pass the rows of one spectrogram to quantize_spectrogram()."
            )
        signal = _to_int16(chunk)
        if signal.ndim != 1:
            raise DatasetError(f"A chunk must have one dimension, got shape {signal.shape}.")
        features = self._front_end.features(signal[None], self._state)
        return np.asarray(_convert(features, dtype, settings)[0])

    def activity_was_detected(self) -> bool:
        """Return whether the onset of a sound was detected since the last call."""
        detected = bool(self._state.activity[0, 3])
        self._state.activity[0, 3] = 0
        return detected


def quantize_spectrogram(
    spectrogram: NDArray[np.uint16], settings: AudioFeatureGeneratorSettings
) -> NDArray[np.int8]:
    """Scale a uint16 spectrogram to int8, as the front end does for `dtype=np.int8`.

    Args:
        spectrogram: uint16 `(rows, channels)`.
        settings: Settings of which `quantize_dynamic_scale_enable`, `quantize_dynamic_scale_range_db` and
            `log_scale_shift` are used.

    Returns:
        An int8 array of the same shape.

    Raises:
        DatasetError: The spectrogram is not uint16.
    """
    if spectrogram.dtype != np.uint16:
        raise DatasetError(f"Only uint16 spectrograms can be quantized, got {spectrogram.dtype}.")
    return np.asarray(_quantize(spectrogram[None], settings)[0])


class _State:
    """State that is kept from one row to the next, for each of several signals."""

    def __init__(self, clips: int, channels: int) -> None:
        self.notch = np.zeros((clips, 2), np.int16)
        self.pending = np.zeros((clips, 0), np.int16)
        """First samples of the next window."""
        self.estimates = np.zeros((clips, channels), np.uint32)
        self.activity = np.zeros((clips, 4), np.int64)


class _FrontEnd:
    def __init__(self, settings: AudioFeatureGeneratorSettings) -> None:
        settings.validate()
        self.settings = settings.copy()
        self._notch = get_notch_coefficient(settings)
        self._spectrum = make_spectrum_tables(settings)
        self._levels = make_level_tables(settings)
        _kernels()

    def features(self, signals: NDArray[np.int16], state: _State) -> NDArray[np.uint16]:
        """Return the rows `(clips, rows, channels)` that the next part of the signals completes."""
        kernels = _kernels()
        if self.settings.dc_notch_filter_enable:
            filtered = np.empty_like(signals)
            kernels.notch(signals, self._notch, state.notch, filtered)
            signals = filtered
        if state.pending.shape[1]:
            signals = np.concatenate([state.pending, signals], axis=1)
        step, window = self._spectrum.step, self._spectrum.window.size
        rows = max((signals.shape[1] - window) // step + 1, 0)
        shape = (len(signals), rows, self.settings.filterbank_n_channels)
        amplitudes, features = np.empty(shape, np.uint32), np.empty(shape, np.uint16)
        kernels.amplitudes(signals, self._spectrum, amplitudes)
        kernels.features(amplitudes, self._levels, state.estimates, state.activity, features)
        state.pending = signals[:, rows * step :].copy()
        return features


@cache
def _kernels() -> ModuleType:
    """Import and compile the kernels; delayed because numba is only needed once a generator exists."""
    started = time.perf_counter()
    from mltk_plugin_audio.frontend import _kernels as kernels

    stats = vars(kernels)["amplitudes"].stats
    folder = stats.cache_path
    if folder is None or not any(Path(folder).glob("_kernels.amplitudes-*.nbi")):
        _logger.info("Compiling the audio front end once; this takes about ten seconds.")
    # The first call of a kernel compiles it or reads it from the cache of numba.
    settings = AudioFeatureGeneratorSettings()
    shape = (1, 1, settings.filterbank_n_channels)
    signals, amplitudes = np.zeros((1, settings.window_size), np.int16), np.zeros(shape, np.uint32)
    spectrogram = np.zeros(shape, np.uint16)
    state = _State(1, settings.filterbank_n_channels)
    kernels.to_int16(np.zeros(1, np.float32), signals[0, :1])
    kernels.notch(signals, 0, state.notch, signals)
    kernels.amplitudes(signals, make_spectrum_tables(settings), amplitudes)
    kernels.features(amplitudes, make_level_tables(settings), state.estimates, state.activity, spectrogram)
    kernels.quantize(spectrogram[0], 0, np.zeros(shape[1:], np.int8))
    if stats.cache_misses:
        _logger.info("Compiled the audio front end in %.1f s, for %s.", time.perf_counter() - started, folder)
    return kernels


def _to_int16(samples: ArrayLike) -> NDArray[np.int16]:
    """Return contiguous int16 samples, for which the kernels are compiled."""
    samples = np.asarray(samples)
    if samples.dtype.kind == "f":
        out = np.empty(samples.shape, np.int16)
        dtype = np.float64 if samples.dtype.itemsize > 4 else np.float32
        flat = np.require(samples.reshape(-1), dtype, ["C", "A", "W"])
        if not _kernels().to_int16(flat, out.reshape(-1)):
            raise DatasetError("The audio contains NaN or infinity.")
        samples = out
    elif samples.dtype.kind != "i" or samples.dtype.itemsize != 2:
        raise DatasetError(f"Audio must be int16, or floating point from -1 to 1, got {samples.dtype}.")
    return np.require(samples, np.int16, ["C", "A", "W"])


def _check_dtype(dtype: DTypeLike) -> np.dtype:
    checked = np.dtype(dtype)
    if checked not in _DTYPES:
        raise SpecificationError(f"The front end returns float32, uint16 or int8, not {checked}.")
    return checked


def _convert(
    features: NDArray[np.uint16], dtype: np.dtype, settings: AudioFeatureGeneratorSettings
) -> np.ndarray:
    if dtype == np.int8:
        return _quantize(features, settings)
    return features.astype(dtype, copy=False)


def _quantize(spectrograms: NDArray[np.uint16], settings: AudioFeatureGeneratorSettings) -> NDArray[np.int8]:
    reach = get_dynamic_range(settings) if settings.quantize_dynamic_scale_enable else 0
    out = np.empty(spectrograms.shape, np.int8)
    values = np.require(spectrograms.reshape(len(spectrograms), -1), np.uint16, ["C", "A", "W"])
    _kernels().quantize(values, reach, out.reshape(values.shape))
    return out
