"""Functions that read, write and adjust single recordings, also available as `mltk.core.preprocess.utils.audio`.

All of them except `resample` also work in a `tf.data` pipeline, where they take and return tensors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import soundfile

from mltk.errors import DatasetError
from mltk.utils.files import atomic_path
from mltk_plugin_audio import _signal
from mltk_plugin_audio._files import read_recording
from mltk_plugin_audio._signal import find_speech, pad_or_crop, to_float, to_int16
from mltk_plugin_audio.frontend import AudioFeatureGenerator, AudioFeatureGeneratorSettings

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import ArrayLike, DTypeLike

    Array: TypeAlias = np.ndarray | tf.Tensor
    PathOrTensor: TypeAlias = str | os.PathLike[str] | tf.Tensor

__all__ = ["adjust_length", "apply_frontend", "read_audio_file", "resample", "write_audio_file"]


def read_audio_file(
    path: PathOrTensor, return_sample_rate: bool = False, return_numpy: bool = True, **kwargs: object
) -> Array | tuple[Array, int | tf.Tensor]:
    """Read the first channel of a WAV, FLAC, OGG or MP3 file.

    Args:
        path: Path, or scalar string tensor.
        return_sample_rate: Return `(samples, rate)`.
        return_numpy: Return an array instead of a tensor; a `tf.data` pipeline always gets a tensor.
        **kwargs: Ignored, as in the reference.

    Returns:
        float32 `(n,)` from -1 to 1; with `return_sample_rate` also the sample rate, an integer (int32 tensor).

    Raises:
        DatasetError: The file is missing, damaged, truncated, empty or not a recording.
    """
    if _is_symbolic(path):
        import tensorflow as tf

        samples, rate = tf.numpy_function(_read_in_graph, [path], (tf.float32, tf.int32), stateful=False)
        samples.set_shape([None])
        rate.set_shape([])
        return (samples, rate) if return_sample_rate else samples
    recorded, hertz = read_recording(_to_path(path))
    x: Array = to_float(recorded)
    if not return_numpy:
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
    return (x, hertz) if return_sample_rate else x


def write_audio_file(path: PathOrTensor, sample: Array, sample_rate: int | tf.Tensor) -> str | tf.Tensor:
    """Write a 16-bit mono recording.

    Args:
        path: File ending in `.wav`, `.flac` or `.ogg`, or a folder, which gets a file `audio-<number>.wav`.
        sample: `(n,)` or `(n, 1)`: int16, or float, which is clipped to -1 to 1.
        sample_rate: Sample rate in Hz.

    Returns:
        The path of the file; a string tensor in a `tf.data` pipeline.
    """
    if any(map(_is_symbolic, (path, sample, sample_rate))):
        import tensorflow as tf

        written = tf.numpy_function(_write_in_graph, [path, sample, sample_rate], tf.string)
        written.set_shape([])
        return written
    return _write(_to_path(path), np.asarray(sample), int(sample_rate))


def adjust_length(
    sample: Array,
    target_sr: int | tf.Tensor | None = None,
    original_sr: int | tf.Tensor | None = None,
    out_length: int | tf.Tensor | None = None,
    offset: float | tf.Tensor = 0.0,
    trim_threshold_db: float | None = 30.0,
) -> Array:
    """Resample a recording, trim silence at both ends, and pad or crop it.

    Args:
        sample: `(n,)`: float from -1 to 1, or integers.
        target_sr: Sample rate in Hz to convert to; `None` keeps the sample rate.
        original_sr: Sample rate of `sample`; required with `target_sr`.
        out_length: Number of samples of the result; `None` means the length after resampling.
        offset: Fraction, 0 to 1, of the padding, or of the cropped part, that comes first.
        trim_threshold_db: Trim sound that is quieter than the loudest 25 ms by more than this; 0 or `None` trims
            nothing.

    Returns:
        float32 `(out_length,)`.

    Raises:
        DatasetError: Only one of the two sample rates is given.
    """
    if (target_sr is None) != (original_sr is None):
        raise DatasetError("adjust_length needs both target_sr and original_sr, or neither.")

    def adjust(x: ArrayLike, to_rate: int, from_rate: int, length: int, where: float) -> np.ndarray:
        clip = to_float(np.asarray(x)).reshape(-1)
        rate = int(to_rate) or 16000
        if int(to_rate):
            clip = _signal.resample(clip, int(from_rate), rate)
        wanted = int(length) if int(length) >= 0 else len(clip)
        if trim_threshold_db and len(clip):
            start, stop = find_speech(clip, rate, float(trim_threshold_db))
            clip = clip[start:stop]
        out = np.zeros(wanted, np.float32)
        pad_or_crop(clip, wanted, float(where), out)
        return out

    arguments = [
        sample,
        0 if target_sr is None else target_sr,
        0 if original_sr is None else original_sr,
        -1 if out_length is None else out_length,
        offset,
    ]
    shape = [out_length if isinstance(out_length, int) else None]
    return _call_with_tensors(adjust, arguments, "float32", shape)


def apply_frontend(
    sample: Array, settings: AudioFeatureGeneratorSettings, dtype: DTypeLike | tf.DType = np.float32
) -> Array:
    """Return the spectrogram `(frames, channels)` of a recording.

    Args:
        sample: `(settings.sample_length,)`: float from -1 to 1, or int16.
        settings: Settings of the front end.
        dtype: uint16, float32 or int8.
    """
    frontend = AudioFeatureGenerator(settings)
    name: str = getattr(dtype, "name", "") or np.dtype(dtype).name

    def process(x: ArrayLike) -> np.ndarray:
        return frontend.process_sample(np.asarray(x), np.dtype(name))

    return _call_with_tensors(process, [sample], name, settings.spectrogram_shape)


def resample(y: ArrayLike, orig_sr: float, target_sr: float, **kwargs: object) -> np.ndarray:
    """Convert a recording to another sample rate, band-limited.

    Args:
        y: `(n,)`: float, or integers.
        orig_sr: Sample rate of `y`.
        target_sr: Sample rate to convert to.
        **kwargs: Ignored; further arguments of the function of this name in librosa.

    Returns:
        float32 `(n * target_sr / orig_sr,)`.
    """
    return _signal.resample(to_float(np.asarray(y)), orig_sr, target_sr)


def _call_with_tensors(
    function: Callable[..., np.ndarray], arguments: list[object], dtype: str, shape: Sequence[int | None]
) -> Array:
    """Call a function, or add it to the graph of a `tf.data` pipeline if an argument is symbolic."""
    if not any(map(_is_symbolic, arguments)):
        return function(*(a.numpy() if hasattr(a, "numpy") else a for a in arguments))
    import tensorflow as tf

    result = tf.numpy_function(function, arguments, tf.as_dtype(dtype), stateful=False)
    result.set_shape(list(shape))
    return result


def _read_in_graph(path: bytes) -> tuple[np.ndarray, np.int32]:
    samples, rate = read_recording(os.fsdecode(path))
    return to_float(samples), np.int32(rate)


def _write_in_graph(path: bytes, sample: np.ndarray, sample_rate: int) -> np.bytes_:
    return np.bytes_(os.fsencode(_write(os.fsdecode(path), sample, int(sample_rate))))


def _write(path: str, sample: np.ndarray, sample_rate: int) -> str:
    samples = sample.reshape(-1)
    if samples.dtype != np.int16:
        samples = to_int16(to_float(samples))
    target = Path(path)
    if not target.suffix:
        number = sum(1 for _ in target.glob("audio-*.wav"))
        target = target / f"audio-{number}.wav"
    with atomic_path(target) as temporary:
        soundfile.write(temporary, samples, sample_rate)
    return str(target)


def _to_path(path: PathOrTensor) -> str:
    return os.fsdecode(path.numpy() if hasattr(path, "numpy") else path)


def _is_symbolic(value: object) -> bool:
    """Return whether a value is a TensorFlow tensor without a value, without importing TensorFlow."""
    return hasattr(value, "dtype") and hasattr(value, "graph") and not hasattr(value, "numpy")
