"""`AudioFeatureGenerator` and `AudioFeatureStream`: from samples to spectrograms."""

from __future__ import annotations

import logging
import time
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_audio.frontend._settings import AudioFeatureGeneratorSettings
from mltk_plugin_audio.frontend._tables import (
    dynamic_range,
    level_tables,
    notch_coefficient,
    spectrum_tables,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

_logger = logging.getLogger("mltk.audio")

_DTYPES = (np.dtype(np.float32), np.dtype(np.uint16), np.dtype(np.int8))


class AudioFeatureGenerator:
    """Turns clips of one length into spectrograms, bit for bit as the firmware does.

    The first generator that is ever made compiles its code, which takes some seconds, and stores it for later.
    Threads may share a generator; only `activity_was_detected()` then makes no sense.

    Args:
        settings: What to compute; later changes of it have no effect.

    Raises:
        SpecificationError: The settings do not fit together.
    """

    def __init__(self, settings: AudioFeatureGeneratorSettings) -> None:
        self._front_end = _FrontEnd(settings)
        self._activity = False

    @property
    def settings(self) -> AudioFeatureGeneratorSettings:
        """The settings, as a copy."""
        return self._front_end.settings.copy()

    def process_sample(self, sample: ArrayLike, dtype: DTypeLike = np.float32) -> npt.NDArray[Any]:
        """Return the spectrogram of one clip.

        Args:
            sample: `(settings.sample_length,)`, int16, or floating point from -1 to 1; beyond is clipped.
            dtype: `uint16` for what the front end computes, `float32` for the same numbers, or `int8` for them
                scaled to -128 to 127.

        Returns:
            An array of the shape `settings.spectrogram_shape`.

        Raises:
            DatasetError: The sample has another shape, is of another type, or contains NaN or infinity.
            SpecificationError: Another `dtype`.
        """
        sample = np.asarray(sample)
        if sample.ndim != 1:
            raise DatasetError(f"A sample must have one dimension, not the shape {sample.shape}.")
        spectrogram: npt.NDArray[Any] = self.process_batch(sample[None], dtype)[0]
        return spectrogram

    def process_batch(self, samples: ArrayLike, dtype: DTypeLike = np.float32) -> npt.NDArray[Any]:
        """Return the spectrograms of several clips, without holding the interpreter's lock.

        Args:
            samples: `(clips, settings.sample_length)`, as for `process_sample`.
            dtype: As for `process_sample`.

        Returns:
            An array `(clips, *settings.spectrogram_shape)`.

        Raises:
            DatasetError: The samples have another shape, are of another type, or contain NaN or infinity.
            SpecificationError: Another `dtype`.
        """
        settings = self._front_end.settings
        dtype = _checked_dtype(dtype)
        signals = _to_int16(samples)
        if signals.ndim != 2 or signals.shape[1] != settings.sample_length:
            raise DatasetError(
                f"A sample must have {settings.sample_length} values ({settings.sample_length_ms} ms at "
                f"{settings.sample_rate_hz} Hz), not {signals.shape[-1] if signals.ndim else 'one number'}."
            )
        memory = _Memory(len(signals), settings.filterbank_n_channels)
        features = self._front_end.features(signals, memory)
        self._activity = bool(len(signals)) and bool(memory.activity[-1, 3])
        return _converted(features, dtype, settings)

    def activity_was_detected(self) -> bool:
        """Return whether the last clip had the onset of a sound; never, unless `activity_detection_enable` is set."""
        return self._activity


class AudioFeatureStream:
    """Turns an endless signal into rows of a spectrogram as it comes in, as the firmware does.

    The rows are those that one long clip would give, however the signal is cut. A stream belongs to one thread.

    Args:
        settings: What to compute; later changes of it have no effect. `sample_length_ms` has none either.

    Raises:
        SpecificationError: The settings do not fit together.
    """

    def __init__(self, settings: AudioFeatureGeneratorSettings) -> None:
        self._front_end = _FrontEnd(settings)
        self.reset()

    @property
    def settings(self) -> AudioFeatureGeneratorSettings:
        """The settings, as a copy."""
        return self._front_end.settings.copy()

    def reset(self) -> None:
        """Forget the signal so far."""
        self._memory = _Memory(1, self._front_end.settings.filterbank_n_channels)

    def process(self, chunk: ArrayLike, dtype: DTypeLike = np.float32) -> npt.NDArray[Any]:
        """Take the next part of the signal, of any length, and return the rows that are complete with it.

        Args:
            chunk: `(samples,)`, int16, or floating point from -1 to 1; beyond is clipped.
            dtype: `uint16`, `float32` or `int8`, as for `AudioFeatureGenerator.process_sample`.

        Returns:
            An array `(rows, channels)`; often of no rows, where less than a step came in.

        Raises:
            DatasetError: The chunk has more than one dimension, is of another type, or contains NaN or infinity.
            SpecificationError: Another `dtype`, or int8 with `quantize_dynamic_scale_enable`, which depends on rows
                still to come: take uint16 rows, and `quantize_spectrogram` of those that make up one input.
        """
        settings = self._front_end.settings
        dtype = _checked_dtype(dtype)
        if dtype == np.int8 and settings.quantize_dynamic_scale_enable:
            raise SpecificationError(
                "With quantize_dynamic_scale_enable, int8 values depend on the whole spectrogram: stream uint16 rows, "
                "and give the rows of one spectrogram to quantize_spectrogram()."
            )
        signal = _to_int16(chunk)
        if signal.ndim != 1:
            raise DatasetError(f"A chunk must have one dimension, not the shape {signal.shape}.")
        features = self._front_end.features(signal[None], self._memory)
        rows: npt.NDArray[Any] = _converted(features, dtype, settings)[0]
        return rows

    def activity_was_detected(self) -> bool:
        """Return whether the onset of a sound was found since this was last asked."""
        detected = bool(self._memory.activity[0, 3])
        self._memory.activity[0, 3] = 0
        return detected


def quantize_spectrogram(
    spectrogram: npt.NDArray[np.uint16], settings: AudioFeatureGeneratorSettings
) -> npt.NDArray[np.int8]:
    """Scale a spectrogram of raw features to int8, as the front end does for `dtype=np.int8`.

    Args:
        spectrogram: `(rows, channels)`, uint16.
        settings: `quantize_dynamic_scale_enable`, `quantize_dynamic_scale_range_db` and `log_scale_shift` count.

    Returns:
        An int8 array of the same shape.

    Raises:
        DatasetError: The spectrogram is not uint16.
    """
    if spectrogram.dtype != np.uint16:
        raise DatasetError(f"A spectrogram to be quantized must be uint16, not {spectrogram.dtype}.")
    quantized: npt.NDArray[np.int8] = _quantized(spectrogram[None], settings)[0]
    return quantized


class _Memory:
    """What goes on from one row to the next, for each of several signals."""

    def __init__(self, clips: int, channels: int) -> None:
        self.notch = np.zeros((clips, 2), np.int16)
        self.pending = np.zeros((clips, 0), np.int16)
        """The samples that the next window begins with."""
        self.estimates = np.zeros((clips, channels), np.uint32)
        self.activity = np.zeros((clips, 4), np.int64)


class _FrontEnd:
    def __init__(self, settings: AudioFeatureGeneratorSettings) -> None:
        settings.validate()
        self.settings = settings.copy()
        self._notch = notch_coefficient(settings)
        self._spectrum = spectrum_tables(settings)
        self._levels = level_tables(settings)
        _kernels()

    def features(self, signals: npt.NDArray[np.int16], memory: _Memory) -> npt.NDArray[np.uint16]:
        """Return the rows `(clips, rows, channels)` that are complete with the next part of the signals."""
        kernels = _kernels()
        if self.settings.dc_notch_filter_enable:
            filtered = np.empty_like(signals)
            kernels.notch(signals, self._notch, memory.notch, filtered)
            signals = filtered
        if memory.pending.shape[1]:
            signals = np.concatenate([memory.pending, signals], axis=1)
        step, window = self._spectrum.step, self._spectrum.window.size
        rows = max((signals.shape[1] - window) // step + 1, 0)
        shape = (len(signals), rows, self.settings.filterbank_n_channels)
        amplitudes, features = np.empty(shape, np.uint32), np.empty(shape, np.uint16)
        kernels.amplitudes(signals, self._spectrum, amplitudes)
        kernels.features(amplitudes, self._levels, memory.estimates, memory.activity, features)
        memory.pending = signals[:, rows * step :].copy()
        return features


@cache
def _kernels() -> ModuleType:
    """Import the compiled code; numba is not needed before a generator is made."""
    started = time.perf_counter()
    from mltk_plugin_audio.frontend import _kernels as kernels

    folder = kernels.amplitudes.stats.cache_path  # type: ignore[attr-defined]
    if folder is None or not any(Path(folder).glob("_kernels.amplitudes-*.nbi")):
        _logger.info("Compiling the audio front end; this is done once and takes about ten seconds.")
    # Each kernel is compiled, or read from numba's cache, when it is first called.
    settings = AudioFeatureGeneratorSettings()
    shape = (1, 1, settings.filterbank_n_channels)
    signals, amplitudes = np.zeros((1, settings.window_size), np.int16), np.zeros(shape, np.uint32)
    spectrogram = np.zeros(shape, np.uint16)
    memory = _Memory(1, settings.filterbank_n_channels)
    kernels.to_int16(np.zeros(1, np.float32), signals[0, :1])
    kernels.notch(signals, 0, memory.notch, signals)
    kernels.amplitudes(signals, spectrum_tables(settings), amplitudes)
    kernels.features(amplitudes, level_tables(settings), memory.estimates, memory.activity, spectrogram)
    kernels.quantize(spectrogram[0], 0, np.zeros(shape[1:], np.int8))
    if kernels.amplitudes.stats.cache_misses:  # type: ignore[attr-defined]
        _logger.info("Compiled the audio front end in %.1f s, for %s.", time.perf_counter() - started, folder)
    return kernels


def _to_int16(samples: ArrayLike) -> npt.NDArray[np.int16]:
    """Return contiguous int16 samples; the kernels are compiled for just these."""
    samples = np.asarray(samples)
    if samples.dtype.kind == "f":
        out = np.empty(samples.shape, np.int16)
        dtype = np.float64 if samples.dtype.itemsize > 4 else np.float32
        flat = np.require(samples.reshape(-1), dtype, ["C", "A", "W"])
        if not _kernels().to_int16(flat, out.reshape(-1)):
            raise DatasetError("The audio contains NaN or infinity.")
        samples = out
    elif samples.dtype.kind != "i" or samples.dtype.itemsize != 2:
        raise DatasetError(f"Audio must be int16, or floating point from -1 to 1, not {samples.dtype}.")
    return np.require(samples, np.int16, ["C", "A", "W"])


def _checked_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    checked = np.dtype(dtype)
    if checked not in _DTYPES:
        raise SpecificationError(f"The front end gives float32, uint16 or int8, not {checked}.")
    return checked


def _converted(
    features: npt.NDArray[np.uint16], dtype: np.dtype[Any], settings: AudioFeatureGeneratorSettings
) -> npt.NDArray[Any]:
    if dtype == np.int8:
        return _quantized(features, settings)
    return features.astype(dtype, copy=False)


def _quantized(
    spectrograms: npt.NDArray[np.uint16], settings: AudioFeatureGeneratorSettings
) -> npt.NDArray[np.int8]:
    reach = dynamic_range(settings) if settings.quantize_dynamic_scale_enable else 0
    out = np.empty(spectrograms.shape, np.int8)
    values = np.require(spectrograms.reshape(len(spectrograms), -1), np.uint16, ["C", "A", "W"])
    _kernels().quantize(values, reach, out.reshape(values.shape))
    return out
