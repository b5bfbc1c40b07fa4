"""Models that listen to a stream of sound as on the device, with one result after each hop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, cast

import numpy as np

from mltk.errors import SpecificationError
from mltk.plugins import Predictor
from mltk.tflite.interpreter import RawRunner
from mltk_plugin_audio.frontend import (
    AudioFeatureGeneratorSettings,
    AudioFeatureStream,
    quantize_spectrogram,
)
from mltk_plugin_audio.streaming.detection import Detection, DetectionSettings, Detector, to_scores

Features = Literal["int8", "uint16", "float32"]

_BATCH = 256
_FULL_SCALE = 32768

logger = logging.getLogger("mltk.audio")


class StreamingModel:
    """Model that computes scores for a stream of sound.

    It works as the device does. The feature buffer starts with zeros, so that there are results before it is full.
    The model runs once per hop on the newest rows. It reads features in the type of its input, whatever the
    quantization of that input. With activity detection, there are results only where the front end detects activity.
    The scores do not depend on how the stream is divided.

    Args:
        predictor: The model.
        parameters: Parameters of the `.tflite` or the specification, of which `fe.*` and `samplewise_norm.*` are
            used.
        settings: Settings of which `latency_ms` and `volume_gain` are used.
        features: Type of the model's input; `None` means that of the `.tflite`.
        source: Name of the model in messages.

    Raises:
        SpecificationError: The front end settings are missing or invalid, or the model does not accept spectrograms
            of their shape.
    """

    def __init__(
        self,
        predictor: Predictor,
        parameters: Mapping[str, object],
        settings: DetectionSettings,
        *,
        features: Features | None = None,
        source: str = "The model",
    ) -> None:
        if not any(name.startswith("fe.") for name in parameters):
            raise SpecificationError(
                f"{source} has no settings of an audio front end (parameters fe.*), which it needs to listen to sound. "
                "Embed them: my_model.model_parameters.update(frontend_settings); or give classify-audio --frontend."
            )
        self.predictor = predictor
        self.frontend = AudioFeatureGeneratorSettings.from_parameters(parameters)
        self.frontend.validate()
        self.hop_ms = settings.hop_ms
        self._gain = settings.volume_gain or 1
        self._convert = _make_converter(
            self.frontend,
            features or _get_input_type(predictor, source),
            _get_rescale(parameters),
            bool(parameters.get("samplewise_norm.mean_and_std")),
        )
        self._height, self._width = self.frontend.spectrogram_shape
        self._shape = predictor.input_shape[1:]
        if None in self._shape or int(np.prod(np.array(self._shape, int))) != self._height * self._width:
            raise SpecificationError(
                f"{source} takes samples of shape {self._shape}, but its front end (fe.*) makes spectrograms of "
                f"{self._height} rows and {self._width} channels."
            )
        self._received = 0
        self._hops = 0
        self._pending = np.empty(0, np.int16)
        self.clear()

    def clear(self) -> None:
        """Clear the spectrogram, as the device does when it resets its front end; the time continues."""
        self._stream = AudioFeatureStream(self.frontend)
        self._rows = np.zeros((self._height, self._width), np.uint16)
        self._row_count = 0
        self._cleared_at = self._hops * (self.hop_ms * self.frontend.sample_rate_hz) // 1000

    @property
    def spectrogram(self) -> np.ndarray:
        """Spectrogram that the model reads, uint16 `(rows, channels)`: the newest rows."""
        return self._rows.copy()

    def process(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Process the next samples, and return the results of the hops that they complete.

        Args:
            samples: `(n,)` of any length: int16, or float32 from -1 to 1; at the sample rate of the front end.

        Returns:
            `(times, scores)`: ends of the hops in milliseconds, int64 `(k,)`, and uint8 `(k, classes)`.

        Raises:
            SpecificationError: The model does not return one score per class.
        """
        samples = self._to_pcm(samples)
        begin = self._received - len(self._pending)
        self._received += len(samples)
        pcm = np.concatenate([self._pending, samples])
        last = self._received * 1000 // (self.hop_ms * self.frontend.sample_rate_hz) + 1
        hops = np.arange(self._hops + 1, last + 1)
        ends = hops * (self.hop_ms * self.frontend.sample_rate_hz) // 1000
        hops, ends = hops[ends <= self._received], ends[ends <= self._received]
        if not len(hops):
            self._pending = pcm
            return np.empty(0, np.int64), np.empty((0, 0), np.uint8)
        self._hops = int(hops[-1])
        cuts = ends - begin
        self._pending = pcm[cuts[-1] :]
        new, active = self._compute_rows(pcm, cuts)
        rows = np.concatenate([self._rows, new])
        heard = ends - self._cleared_at - self.frontend.window_size
        at = np.maximum(heard // self.frontend.window_step + 1, 0)
        scores = self._score(rows, at[active])
        self._row_count += len(new)
        self._rows = rows[len(rows) - self._height :]
        return hops[active] * self.hop_ms, scores

    def _compute_rows(self, pcm: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the new rows, and bool `(hops,)`: the hops after which the device runs the model."""
        if not self.frontend.activity_detection_enable:
            return self._stream.process(pcm[: cuts[-1]], np.uint16), np.ones(len(cuts), bool)
        rows, active = [], []
        for start, stop in zip([0, *cuts[:-1]], cuts, strict=True):
            rows.append(self._stream.process(pcm[start:stop], np.uint16))
            active.append(self._stream.activity_was_detected())
        return np.concatenate(rows), np.array(active, bool)

    def _score(self, rows: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return the scores of the spectrograms that end at the row numbers `at`; equal ones run once."""
        if not len(at):
            return np.empty((0, 0), np.uint8)
        different, of = np.unique(at, return_inverse=True)
        windows = np.lib.stride_tricks.sliding_window_view(rows, self._height, axis=0)
        scores = [
            self._predict(windows[different[i : i + _BATCH] - self._row_count].transpose(0, 2, 1))
            for i in range(0, len(different), _BATCH)
        ]
        return np.concatenate(scores)[of]

    def _predict(self, windows: np.ndarray) -> np.ndarray:
        x = self._convert(windows).reshape(len(windows), *self._shape)
        if isinstance(self.predictor, RawRunner):
            # The device fills in the integers of the features, and uses those of the output.
            outputs = self.predictor.run([x], raw=True)[0]
        else:
            outputs = self.predictor.predict(x)
        if outputs.ndim != 2:
            raise SpecificationError(
                f"The model '{self.predictor.name}' returns outputs of shape {outputs.shape[1:]}; expected one score "
                "per class."
            )
        return to_scores(outputs)

    def _to_pcm(self, samples: np.ndarray) -> np.ndarray:
        if samples.dtype != np.int16:
            # Truncated like in the front end, not rounded.
            samples = np.clip(samples * np.float32(_FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(
                np.int16
            )
        if self._gain == 1:
            return samples
        return np.clip(samples.astype(np.int64) * self._gain, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def score_blocks(
    model: StreamingModel, blocks: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the results of `StreamingModel.process` for each block of a recording, skipping empty ones."""
    for block in blocks:
        times, scores = model.process(block)
        if len(times):
            yield times, scores


def listen(
    model: StreamingModel,
    detector: Detector,
    blocks: Iterable[np.ndarray],
    *,
    clear_on_detection: bool = False,
    by_hop: bool = False,
) -> Iterator[Detection]:
    """Yield the detections in a recording, or in the sound of a microphone, as soon as they are made.

    Args:
        model: The model, at the start of the recording.
        detector: The detector, at the start of the recording.
        blocks: Samples, see `StreamingModel.process`.
        clear_on_detection: Clear the spectrogram after a detection, as the applications of Silicon Labs' gecko_sdk
            do. The model then runs hop by hop, which is slower.
        by_hop: Always run hop by hop, so that `model.spectrogram` ends with the detection.
    """
    rate = model.frontend.sample_rate_hz
    for block in blocks:
        # Blocks no longer than a hop, so that the spectrogram ends with the detection.
        size = max(model.hop_ms * rate // 1000 if by_hop or clear_on_detection else len(block), 1)
        for start in range(0, len(block), size):
            found = detector.process(*model.process(block[start : start + size]))
            yield from found
            if found and clear_on_detection:
                model.clear()


def _get_rescale(parameters: Mapping[str, object]) -> float:
    value = parameters.get("samplewise_norm.rescale") or 0
    if not isinstance(value, int | float):
        raise SpecificationError(
            f"The model parameter 'samplewise_norm.rescale' must be a number, got {value!r}."
        )
    return float(value)


def _get_input_type(predictor: Predictor, source: str) -> Features:
    tflite_model = getattr(predictor, "tflite_model", None)
    if tflite_model is None:
        return "float32"
    tensor = tflite_model.inputs[0]
    name = np.dtype(tensor.dtype).name
    if name not in ("int8", "uint16", "float32"):
        raise SpecificationError(
            f"{source} has an input of type {name}; the device supports int8, uint16 and float32."
        )
    if name == "int8":
        scale = float(tensor.quantization.scale[0]) if len(tensor.quantization.scale) else 1.0
        if not 0.9 < scale < 1.1:
            logger.warning(
                "%s was quantized for a different input than the device provides: its int8 input has the scale %.3g, "
                "but the device writes int8 features with the scale 1. Its scores on the device, and here, will differ "
                "from those of `mltk evaluate`.",
                source,
                scale,
            )
    return cast(Features, name)


def _make_converter(
    frontend: AudioFeatureGeneratorSettings, features: Features, rescale: float, mean_and_std: bool
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that converts uint16 spectrograms `(n, rows, channels)` to the input of the model."""
    if features == "int8":
        return lambda windows: np.stack([quantize_spectrogram(window, frontend) for window in windows])
    if features == "uint16":
        return np.asarray
    if rescale:
        return lambda windows: windows.astype(np.float32) * np.float32(rescale)
    return _standardize if mean_and_std else lambda windows: windows.astype(np.float32)


def _standardize(windows: np.ndarray) -> np.ndarray:
    values = windows.astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    # The first spectrograms may be all zeros, with a deviation of 0.
    values /= np.maximum(values.std(axis=(1, 2), keepdims=True), np.float32(1e-6))
    return values
