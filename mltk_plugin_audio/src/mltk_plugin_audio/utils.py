"""Read, write and adjust single recordings; importable as `mltk.core.preprocess.utils.audio`.

All but `resample` also work in the functions of a `tf.data` pipeline, where they take and return tensors.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mltk.errors import DatasetError
from mltk.utils.files import atomic_path
from mltk_plugin_audio._files import as_float, fitted, is_tensor, read_recording, resampled, speech_bounds

__all__ = ["adjust_length", "apply_frontend", "read_audio_file", "resample", "write_audio_file"]


def read_audio_file(
    path: Any, return_sample_rate: bool = False, return_numpy: bool = True, **kwargs: Any
) -> Any:
    """Read the first channel of a WAV, FLAC, OGG or MP3 file.

    Args:
        path: A path, or a scalar string tensor.
        return_sample_rate: Return `(samples, rate)`.
        return_numpy: Return an array; in a `tf.data` pipeline a tensor is returned in any case.
        **kwargs: Ignored, as in the reference.

    Returns:
        float32 `(n,)`, -1 to 1; with the rate, an int (int32 tensor), if asked for.

    Raises:
        DatasetError: The file is missing, damaged, truncated, empty or of another kind.
    """
    if _is_symbolic(path):
        import tensorflow as tf

        samples, rate = tf.numpy_function(_read_for_graph, [path], (tf.float32, tf.int32), stateful=False)
        samples.set_shape([None])
        rate.set_shape([])
        return (samples, rate) if return_sample_rate else samples
    recorded, hertz = read_recording(_as_path(path))
    x: Any = as_float(recorded)
    if not return_numpy:
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
    return (x, hertz) if return_sample_rate else x


def write_audio_file(path: Any, sample: Any, sample_rate: Any) -> Any:
    """Write a 16-bit mono recording.

    Args:
        path: A file ending in `.wav`, `.flac` or `.ogg`; or a folder, into which a file `audio-<number>.wav` goes.
        sample: `(n,)` or `(n, 1)`: int16, or float from -1 to 1 (what is beyond is cut off).
        sample_rate: In Hz.

    Returns:
        The path written: a str, or in a `tf.data` pipeline a string tensor.
    """
    if any(map(_is_symbolic, (path, sample, sample_rate))):
        import tensorflow as tf

        written = tf.numpy_function(_write_for_graph, [path, sample, sample_rate], tf.string)
        written.set_shape([])
        return written
    return _write(_as_path(path), np.asarray(sample), int(sample_rate))


def adjust_length(
    sample: Any,
    target_sr: int | None = None,
    original_sr: int | None = None,
    out_length: int | None = None,
    offset: float = 0.0,
    trim_threshold_db: float | None = 30.0,
) -> Any:
    """Resample a recording, trim silence from both ends, and pad or crop it.

    Args:
        sample: `(n,)`, float from -1 to 1, or integers.
        target_sr: Wanted rate in Hz; `None` keeps it.
        original_sr: Rate of `sample`; needed together with `target_sr`.
        out_length: Wanted number of samples; `None` means that of `sample`, resampled.
        offset: Fraction of the slack, 0 to 1: where a short recording is put, or where a long one is cut.
        trim_threshold_db: What is quieter than the loudest 25 ms by more than this is cut off; 0 or `None`: nothing.

    Returns:
        float32 `(out_length,)`.

    Raises:
        DatasetError: Only one of the two rates is given.
    """
    if (target_sr is None) != (original_sr is None):
        raise DatasetError("adjust_length needs both target_sr and original_sr, or neither.")

    def adjust(x: Any, to_rate: Any, from_rate: Any, length: Any, where: Any) -> np.ndarray:
        clip = as_float(np.asarray(x)).reshape(-1)
        rate = int(to_rate) or 16000
        if int(to_rate):
            clip = resampled(clip, int(from_rate), rate)
        wanted = int(length) if int(length) >= 0 else len(clip)
        if trim_threshold_db and len(clip):
            start, stop = speech_bounds(clip, rate, float(trim_threshold_db))
            clip = clip[start:stop]
        out = np.zeros(wanted, np.float32)
        fitted(clip, wanted, float(where), out)
        return out

    arguments = [
        sample,
        0 if target_sr is None else target_sr,
        0 if original_sr is None else original_sr,
        -1 if out_length is None else out_length,
        offset,
    ]
    shape = [out_length if isinstance(out_length, int) else None]
    return _in_graph_or_not(adjust, arguments, "float32", shape)


def apply_frontend(sample: Any, settings: Any, dtype: Any = np.float32) -> Any:
    """Return the spectrogram `(frames, channels)` of a recording.

    Args:
        sample: `(settings.sample_length,)`, float from -1 to 1, or int16.
        settings: `AudioFeatureGeneratorSettings`.
        dtype: uint16, float32 or int8.
    """
    from mltk_plugin_audio.preprocess.audio_feature_generator import AudioFeatureGenerator

    frontend = AudioFeatureGenerator(settings)
    name = dtype.name if hasattr(dtype, "name") else np.dtype(dtype).name

    def process(x: Any) -> np.ndarray:
        return frontend.process_sample(np.asarray(x), np.dtype(name))

    return _in_graph_or_not(process, [sample], name, list(settings.spectrogram_shape))


def resample(y: Any, orig_sr: float, target_sr: float, **kwargs: Any) -> np.ndarray:
    """Return a recording at another rate, band-limited.

    Args:
        y: `(n,)` float, or integers.
        orig_sr: Rate of `y`.
        target_sr: Wanted rate.
        **kwargs: Ignored: further arguments of librosa's function of this name.

    Returns:
        float32 `(n * target_sr / orig_sr,)`.
    """
    return resampled(as_float(np.asarray(y)), orig_sr, target_sr)


def _in_graph_or_not(
    function: Callable[..., np.ndarray], arguments: list[Any], dtype: str, shape: list[int | None]
) -> Any:
    if not any(map(_is_symbolic, arguments)):
        return function(*(a.numpy() if is_tensor(a) else a for a in arguments))
    import tensorflow as tf

    result = tf.numpy_function(function, arguments, tf.as_dtype(dtype), stateful=False)
    result.set_shape(shape)
    return result


def _read_for_graph(path: bytes) -> tuple[np.ndarray, np.int32]:
    samples, rate = read_recording(os.fsdecode(path))
    return as_float(samples), np.int32(rate)


def _write_for_graph(path: bytes, sample: np.ndarray, sample_rate: int) -> np.bytes_:
    return np.bytes_(os.fsencode(_write(os.fsdecode(path), sample, int(sample_rate))))


def _write(path: str, sample: np.ndarray, sample_rate: int) -> str:
    import soundfile

    samples = sample.reshape(-1)
    if samples.dtype != np.int16:
        samples = np.clip(np.rint(as_float(samples) * 32768.0), -32768, 32767).astype(np.int16)
    target = Path(path)
    if not target.suffix:
        number = sum(1 for _ in target.glob("audio-*.wav"))
        target = target / f"audio-{number}.wav"
    with atomic_path(target) as temporary:
        soundfile.write(temporary, samples, sample_rate)
    return str(target)


def _as_path(path: Any) -> str:
    value = path.numpy() if is_tensor(path) else path
    return os.fsdecode(value)


def _is_symbolic(value: object) -> bool:
    return is_tensor(value) and not hasattr(value, "numpy")
